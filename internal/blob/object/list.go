package object

import (
	"context"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
)

// Stored is an object as a listing has it.
type Stored struct {
	Key      string
	Size     int64
	Modified time.Time // by the clock of the store
}

// List calls yield for each object whose key begins with prefix, in no special order. It stops at
// the first error of yield, which may take as long as it likes.
func (b *Bucket) List(ctx context.Context, prefix string, yield func(Stored) error) error {
	ctx, w := b.watch(ctx)
	defer w.end() // also the end of the listing, which goes on in the background
	for o := range b.s3.Client.ListObjects(ctx, b.name, minio.ListObjectsOptions{Prefix: b.prefix + prefix, Recursive: true}) {
		if o.Err != nil {
			return w.failed("list objects", o.Err)
		}
		w.timer.Stop() // the store has nothing to do meanwhile
		if err := yield(Stored{strings.TrimPrefix(o.Key, b.prefix), o.Size, o.LastModified}); err != nil {
			return err
		}
		w.moved()
	}
	return w.failed("list objects", context.Cause(ctx))
}
