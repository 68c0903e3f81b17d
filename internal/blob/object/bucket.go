// Package object keeps trees of files that many servers share: names are rows of a database, bytes
// are objects of an S3 store. A key is never written twice, and no object consists of parts, so a
// store needs only PUT, ranged GET, HEAD, DELETE and LIST. What is acknowledged is as durable as
// the database and the store make it.
package object

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"hufu"
)

// MaxUnit is the size of the largest object.
const MaxUnit = 64 << 20

// stallLimit ends a request that moves no byte for so long.
const stallLimit = 10 * time.Second

// Source says where a bucket is and how it is reached.
type Source struct {
	URL       string // s3://bucket or s3://bucket/prefix
	Endpoint  string // of the S3 service: http://host:port or https://host
	Region    string // "" is us-east-1
	PathStyle bool   // the bucket is named in the path, not in the host
	AccessKey string
	SecretKey string
	TLS       *tls.Config // of an https endpoint, nil for the roots of the system
}

// Bucket is the part of a bucket that belongs to one installation. Its methods
// may be called from several goroutines. No request is sent a second time:
// whether one whose answer was lost took effect is for the caller to bear.
type Bucket struct {
	s3     *minio.Core
	http   *http.Transport
	host   string        // of the service
	o      minio.Options // of s3
	name   string
	prefix string // "" or with a slash at its end
	stall  time.Duration
}

// Open checks src and returns its Bucket. It sends nothing yet.
func Open(src Source) (*Bucket, error) {
	where, err := url.Parse(src.URL)
	if err != nil || where.Scheme != "s3" || where.Host == "" || where.User != nil || where.RawQuery != "" || where.Fragment != "" {
		return nil, usage("store_url")
	}
	at, err := url.Parse(src.Endpoint)
	if err != nil || at.Scheme != "http" && at.Scheme != "https" || at.Host == "" || strings.Trim(at.Path, "/") != "" || at.User != nil || at.RawQuery != "" {
		return nil, usage("store_endpoint")
	}
	if src.AccessKey == "" || src.SecretKey == "" {
		return nil, usage("store_keys")
	}
	b := &Bucket{name: where.Host, stall: stallLimit, http: transport(src.TLS)}
	if p := strings.Trim(where.Path, "/"); p != "" {
		b.prefix = p + "/"
	}
	b.host, b.o = at.Host, minio.Options{
		Creds:           credentials.NewStaticV4(src.AccessKey, src.SecretKey, ""),
		Secure:          at.Scheme == "https",
		Transport:       b.http,
		Region:          src.Region,
		BucketLookup:    minio.BucketLookupDNS,
		TrailingHeaders: true,
		MaxRetries:      1,
	}
	if b.o.Region == "" {
		b.o.Region = "us-east-1" // a client without a region asks for it first
	}
	if src.PathStyle {
		b.o.BucketLookup = minio.BucketLookupPath
	}
	if b.s3, err = minio.NewCore(b.host, &b.o); err != nil {
		return nil, usage("store_endpoint")
	}
	return b, nil
}

// SharedKeys returns the keys of a profile in a file of AWS credentials, none if they are not there.
func SharedKeys(file, profile string) (access, secret string) {
	v, err := credentials.NewFileAWSCredentials(file, profile).GetWithContext(nil)
	if err != nil {
		return "", "" // it is one of the places where they may be
	}
	return v.AccessKeyID, v.SecretAccessKey
}

func usage(code string) error {
	return &hufu.Error{Op: "read store configuration", Kind: hufu.KindUsage, Code: code}
}

func transport(c *tls.Config) *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		TLSClientConfig:     c,
		TLSHandshakeTimeout: stallLimit,
		MaxIdleConns:        256,
		MaxIdleConnsPerHost: 256,
		IdleConnTimeout:     time.Minute,
		DisableCompression:  true, // the bytes are those of a file
		ForceAttemptHTTP2:   false,
	}
}

// Close gives idle connections back.
func (b *Bucket) Close() { b.http.CloseIdleConnections() }

// Put stores data under key, which no object had before. The store compares the
// bytes with a checksum that follows them, and refuses others.
func (b *Bucket) Put(ctx context.Context, key string, data []byte) error {
	const op = "store object"
	if len(data) > MaxUnit {
		return &hufu.Error{Op: op, Kind: hufu.KindInvalid, Code: "chunk_form"}
	}
	ctx, w := b.watch(ctx)
	defer w.end()
	o := minio.PutObjectOptions{ContentType: "application/octet-stream", DisableContentSha256: true, Checksum: minio.ChecksumFullObjectCRC32C}
	info, err := b.s3.PutObject(ctx, b.name, b.prefix+key, w.reader(bytes.NewReader(data)), int64(len(data)), "", "", o)
	if err == nil && info.ETag == "" {
		// A store, or a proxy before it, can answer 200 and tell of an error in the body.
		err = fmt.Errorf("%w: no ETag", errAnswer)
	}
	return w.failed(op, err)
}

// Get reads len(into) bytes of the object key from off on. It fails if there are
// fewer.
func (b *Bucket) Get(ctx context.Context, key string, off int64, into []byte) error {
	const op = "read object"
	if len(into) == 0 {
		return nil
	}
	ctx, w := b.watch(ctx)
	defer w.end()
	var o minio.GetObjectOptions
	if err := o.SetRange(off, off+int64(len(into))-1); err != nil {
		return &hufu.Error{Op: op, Kind: hufu.KindInvalid, Err: err}
	}
	body, info, header, err := b.s3.GetObject(ctx, b.name, b.prefix+key, o)
	if err != nil {
		return w.failed(op, err)
	}
	defer func() { _ = body.Close() }() // all that is wanted has been read
	// A store that ignores the range sends the beginning.
	if part := header.Get("Content-Range"); info.Size != int64(len(into)) || off > 0 && !strings.HasPrefix(part, fmt.Sprintf("bytes %d-", off)) {
		return w.failed(op, fmt.Errorf("%w: %d bytes of %d", errAnswer, info.Size, len(into)))
	}
	_, err = io.ReadFull(w.reader(body), into)
	return w.failed(op, err)
}

// Size returns the size of the object key.
func (b *Bucket) Size(ctx context.Context, key string) (int64, error) {
	size, err := b.size(ctx, key)
	if hufu.CodeOf(err) == "store_denied" { // the answer to HEAD has no body that says why; that to GET has
		if why := b.Get(ctx, key, 0, make([]byte, 1)); hufu.CodeOf(why) == "store_clock" {
			return 0, why
		}
	}
	return size, err
}

func (b *Bucket) size(ctx context.Context, key string) (int64, error) {
	ctx, w := b.watch(ctx)
	defer w.end()
	info, err := b.s3.StatObject(ctx, b.name, b.prefix+key, minio.StatObjectOptions{})
	return info.Size, w.failed("look at object", err)
}

// Delete removes the object key; that there is none is no error.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	ctx, w := b.watch(ctx)
	defer w.end()
	err := b.s3.RemoveObject(ctx, b.name, b.prefix+key, minio.RemoveObjectOptions{})
	if err = w.failed("remove object", err); hufu.CodeOf(err) == "store_object_missing" {
		return nil
	}
	return err
}

// Keys calls yield for each key that begins with prefix, in no special order, and
// its size. It stops at the first error of yield.
func (b *Bucket) Keys(ctx context.Context, prefix string, yield func(key string, size int64) error) error {
	return b.List(ctx, prefix, func(o Stored) error { return yield(o.Key, o.Size) })
}

// mark is the key of the object that names the installation.
const mark = "hufu-installation"

// Claim makes the bucket that of the installation id, if it is nobody's and
// empty. Only one process may do so at a time.
func (b *Bucket) Claim(ctx context.Context, id string) error {
	err := b.Owned(ctx, id)
	if hufu.CodeOf(err) != "store_unclaimed" {
		return err
	}
	err = b.Keys(ctx, "", func(string, int64) error {
		return &hufu.Error{Op: "claim bucket", Kind: hufu.KindExists, Code: "store_not_empty"}
	})
	if err != nil {
		return err
	}
	if err := b.Put(ctx, mark, []byte(id)); err != nil {
		return err
	}
	return b.Owned(ctx, id)
}

// Owned returns nil if the bucket is that of the installation id. A server uses
// no other: the clean-up of a copied database would remove the objects of the
// original.
func (b *Bucket) Owned(ctx context.Context, id string) error {
	const op = "look at owner of bucket"
	size, err := b.Size(ctx, mark)
	switch {
	case hufu.CodeOf(err) == "store_object_missing":
		return &hufu.Error{Op: op, Kind: hufu.KindNotFound, Code: "store_unclaimed"}
	case err != nil:
		return err
	case size != int64(len(id)):
		return &hufu.Error{Op: op, Kind: hufu.KindUsage, Code: "store_foreign"}
	}
	got := make([]byte, size)
	if err := b.Get(ctx, mark, 0, got); err != nil {
		return err
	}
	if string(got) != id {
		return &hufu.Error{Op: op, Kind: hufu.KindUsage, Code: "store_foreign"}
	}
	return nil
}

var (
	errStalled = errors.New("no byte has moved for too long")
	errAnswer  = errors.New("the store has answered something else")
)

// watch gives a request up when no byte moves.
func (b *Bucket) watch(ctx context.Context) (context.Context, *watched) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watched{ctx: ctx, cancel: cancel, limit: b.stall}
	w.timer = time.AfterFunc(w.limit, func() { cancel(errStalled) })
	return ctx, w
}

type watched struct {
	ctx    context.Context //nolint:containedctx // of this one request
	cancel context.CancelCauseFunc
	timer  *time.Timer
	limit  time.Duration
}

func (w *watched) moved() { w.timer.Reset(w.limit) }

func (w *watched) end() {
	w.timer.Stop()
	w.cancel(nil)
}

// reader reads r and notes that bytes move.
func (w *watched) reader(r io.Reader) io.Reader { return watchedReader{w, r} }

type watchedReader struct {
	w *watched
	r io.Reader
}

func (r watchedReader) Read(b []byte) (int, error) {
	n, err := r.r.Read(b)
	r.w.moved()
	return n, err //nolint:wrapcheck // io.EOF has to stay what it is
}

// failed classifies an error by the advice for its reader. Neither key nor
// secret is in it.
func (w *watched) failed(op string, err error) error {
	if err == nil {
		return nil
	}
	out := &hufu.Error{Op: op, Kind: hufu.KindUnavailable, Code: "store_unreachable", Err: err}
	if w.ctx.Err() != nil && !errors.Is(context.Cause(w.ctx), errStalled) {
		out.Kind, out.Code, out.Err = hufu.KindCanceled, "", context.Cause(w.ctx)
		return out
	}
	if w.ctx.Err() != nil {
		out.Err = errStalled
		return out
	}
	r := minio.ToErrorResponse(err)
	switch r.Code {
	case "NoSuchKey":
		out.Kind, out.Code = hufu.KindNotFound, "store_object_missing"
	case "NoSuchBucket":
		out.Code = "store_bucket_missing"
	case "AccessDenied", "InvalidAccessKeyId", "XAdminUserNotFound", "SignatureDoesNotMatch":
		out.Code = "store_denied"
	case "RequestTimeTooSkewed":
		out.Code = "store_clock"
	case "XAmzContentChecksumMismatch", "BadDigest", "InvalidDigest", "IncompleteBody":
		out.Code = "store_bytes" // nothing was stored: the client sends them again
	case "InvalidRange":
		out.Kind, out.Code = hufu.KindIntegrity, "store_bytes"
	default:
		if r.StatusCode == http.StatusUnauthorized || r.StatusCode == http.StatusForbidden {
			out.Code = "store_denied"
		}
	}
	return out
}
