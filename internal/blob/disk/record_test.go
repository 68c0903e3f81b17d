//go:build linux

package disk_test

import (
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hufu/internal/blob"
	"hufu/internal/blob/disk"
	"hufu/internal/digest"
)

// What a file's record holds is read and written again by several: each waits for
// the one who is between the two, so nobody's field is lost.
func TestRecordIsChangedByOneAtATime(t *testing.T) {
	t.Parallel()
	setMeta := func(t *testing.T, tr *tree) {
		b := tr.Batch(blob.Guard{})
		b.SetMeta(t.Context(), path(t, "f"), blob.Meta{Mode: 0o751, MTime: time.Unix(1_600_000_000, 0)}, "")
		if r := b.Finish(t.Context())[0]; r.Err != nil {
			t.Error(r.Err)
		}
	}
	hash := func(t *testing.T, tr *tree) { // fails with file_changed if it sees the other one's work
		_, _ = tr.Digest(t.Context(), path(t, "f"))
	}
	type action func(*testing.T, *tree)
	for name, do := range map[string][2]action{
		"set while digested":   {hash, setMeta},
		"digested while set":   {setMeta, hash},
		"digested by two":      {hash, hash},
		"set by two, the same": {setMeta, setMeta},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var tr *tree
			var second sync.WaitGroup
			var met sync.Once
			var begun atomic.Bool
			waiting, ended := make(chan struct{}), make(chan struct{})
			first := make(chan struct{}, 1)
			tr = newTree(t, disk.Options{Server: true, Hook: func(step string) error {
				switch step {
				case "record-wait":
					select {
					case first <- struct{}{}: // of the first of the two
					default:
						met.Do(func() { close(waiting) })
					}
				case "record-read":
					if !begun.CompareAndSwap(false, true) {
						return nil
					}
					second.Go(func() {
						defer close(ended)
						do[1](t, tr)
					})
					select {
					case <-waiting:
						if !tr.RecordLocked(path(t, "f")) {
							<-ended
							t.Error("the record was changed between its being read and written")
						}
					case <-ended:
						t.Error("the second has changed nothing")
					}
				}
				return nil
			}})
			must(t, os.WriteFile(filepath.Join(tr.root, "f"), []byte("content"), 0o600)) // no digest is kept yet
			do[0](t, tr)
			second.Wait()
			if _, err := tr.Digest(t.Context(), path(t, "f")); err != nil {
				t.Fatal(err)
			}
			e, err := tr.Stat(t.Context(), path(t, "f"))
			if err != nil || e.Digest != digest.Sum([]byte("content")) {
				t.Errorf("%+v %v", e, err)
			}
			if name != "digested by two" && e.Mode != 0o751 {
				t.Errorf("the mode is %o", e.Mode)
			}
		})
	}
}
