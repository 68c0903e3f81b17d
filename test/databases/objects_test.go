//go:build e2e && linux

package databases

import (
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/blobtest"
	"hufu/internal/blob/object"
	"hufu/internal/digest"
	"hufu/internal/meta"
	"hufu/test/s3"
)

// service is the S3 service, started once.
var (
	stopService func()
	service     = sync.OnceValues(func() (*s3.Service, error) {
		s, err := s3.Start()
		if err == nil {
			stopService = s.Stop
		}
		return s, err
	})
)

// TestObjects holds blob/object to the promises of package blob: names in each database, bytes in a
// real S3 service. Each test has a tree of its own in one database.
func TestObjects(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		s, err := service()
		if err != nil {
			t.Fatal(err)
		}
		where, err := s.Bucket()
		if err != nil {
			t.Fatal(err)
		}
		src, err1 := meta.Parse(e.fresh(t), "")
		bucket, err2 := object.Open(where)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(bucket.Close)
		db, err := meta.Open(t.Context(), src)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		var users atomic.Int64
		o := object.Options{Installation: "test"}
		blobtest.Run(t, func(t *testing.T) blobtest.Store {
			n, err := db.Names()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = n.Close() })
			user := "user" + strconv.FormatInt(users.Add(1), 10)
			tree := func() blob.Tree {
				tree, err := object.NewTrees(n, bucket, o).User(t.Context(), user)
				if err != nil {
					t.Fatal(err)
				}
				return tree
			}
			return blobtest.Store{Tree: tree(), Unit: hufu.ChunkSize, Records: true, Modes: true, Times: true, Links: true, Names: true, Rounds: 60, Another: tree, Reopen: tree}
		})
	})
}

// TestAwaitSeesOtherProcesses: a holder that waits for chunks notices those that came to another
// process, and that the upload was given up there.
func TestAwaitSeesOtherProcesses(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		trees := twoProcesses(t, e)
		data := make([]byte, 2*hufu.ChunkSize+1)
		for _, given := range []bool{false, true} {
			p, err := hufu.ParsePath("f" + strconv.FormatBool(given))
			if err != nil {
				t.Fatal(err)
			}
			u, err := trees[0].OpenUpload(t.Context(), blob.UploadKey{Path: p, Size: int64(len(data)), Source: "v", Owner: "alice/x"}, blob.Guard{})
			if err != nil {
				t.Fatal(err)
			}
			v, err := trees[1].FindUpload(t.Context(), u.Info().ID, blob.Guard{})
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			wg.Go(func() { u.Await(t.Context()) })
			for i := range int64(3) {
				if given && i == 2 {
					if err := v.Abort(); err != nil {
						t.Error(err)
					}
					break
				}
				n := digest.ChunkLen(int64(len(data)), i)
				if err := v.Write(t.Context(), i, data[:n], digest.Zeros(n, i)); err != nil {
					t.Error(err)
				}
			}
			wg.Wait()
			_, err = blob.CommitUpload(t.Context(), u, digest.Sum(data), blob.Meta{}, hufu.Condition{Kind: hufu.IfAbsent})
			if given != (hufu.CodeOf(err) == "upload_gone") || !given && err != nil {
				t.Errorf("given up %v: %v", given, err)
			}
			_, _ = u.Close(), v.Close()
		}
	})
}

// TestAnUploadThatEndedElsewhere: an upload that another process has given up, or committed, is not handed
// out again although it is open here; another one begins.
func TestAnUploadThatEndedElsewhere(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		trees := twoProcesses(t, e)
		data := make([]byte, 2*hufu.ChunkSize)
		for _, committed := range []bool{false, true} {
			p, err := hufu.ParsePath("f" + strconv.FormatBool(committed))
			must(t, err)
			k := blob.UploadKey{Path: p, Size: int64(len(data)), Source: "v", Owner: "alice/x"}
			all := func(u blob.Upload) error {
				for i := range digest.Chunks(k.Size) {
					n := digest.ChunkLen(k.Size, i)
					if err := u.Write(t.Context(), i, data[:n], digest.Zeros(n, i)); err != nil {
						return err
					}
				}
				_, err := blob.CommitUpload(t.Context(), u, digest.Sum(data), blob.Meta{}, hufu.Condition{Kind: hufu.Always})
				return err
			}
			u, err := trees[0].OpenUpload(t.Context(), k, blob.Guard{})
			must(t, err)
			v, err := trees[1].FindUpload(t.Context(), u.Info().ID, blob.Guard{})
			must(t, err)
			if committed {
				must(t, all(v), v.Close())
			} else {
				must(t, v.Abort())
			}
			again, err := trees[0].OpenUpload(t.Context(), k, blob.Guard{})
			must(t, err)
			if again.Info().ID == u.Info().ID {
				t.Errorf("committed %v: the same upload was opened", committed)
			}
			must(t, all(again), again.Close())
			if _, err := blob.CommitUpload(t.Context(), u, digest.Sum(data), blob.Meta{}, hufu.Condition{Kind: hufu.Always}); hufu.CodeOf(err) != "upload_gone" {
				t.Errorf("committed %v: the old one: %v", committed, err)
			}
			must(t, u.Close())
		}
	})
}

// TestFoldersMovedAcrossEachOther: of two moves that would put two folders into each other, one is
// refused; the tree stays one tree.
func TestFoldersMovedAcrossEachOther(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		trees := twoProcesses(t, e)
		at := func(p string) hufu.Path {
			q, err := hufu.ParsePath(p)
			if err != nil {
				t.Fatal(err)
			}
			return q
		}
		for range 20 {
			b := trees[0].Batch(blob.Guard{})
			b.Mkdir(t.Context(), at("p/a/x"), blob.Meta{Mode: 0o755}, true)
			b.Mkdir(t.Context(), at("q/b/y"), blob.Meta{Mode: 0o755}, true)
			for _, r := range b.Finish(t.Context()) {
				if r.Err != nil {
					t.Fatal(r.Err)
				}
			}
			var wg sync.WaitGroup
			errs := make([]error, 2)
			for i, move := range [][2]string{{"p/a", "q/b/y/a"}, {"q/b", "p/a/x/b"}} {
				wg.Go(func() {
					b := trees[i].Batch(blob.Guard{})
					b.Rename(t.Context(), at(move[0]), at(move[1]), hufu.Condition{Kind: hufu.IfAbsent}, "")
					errs[i] = b.Finish(t.Context())[0].Err
				})
			}
			wg.Wait()
			if (errs[0] == nil) == (errs[1] == nil) {
				t.Fatalf("both have the same outcome: %v, %v", errs[0], errs[1])
			}
			for _, p := range []string{"p", "q"} {
				b := trees[0].Batch(blob.Guard{})
				b.Remove(t.Context(), at(p), true, "")
				if err := b.Finish(t.Context())[0].Err; err != nil && hufu.KindOf(err) != hufu.KindNotFound {
					t.Fatal(err)
				}
			}
			for _, p := range []string{"p", "q"} {
				if _, err := trees[1].Stat(t.Context(), at(p)); hufu.KindOf(err) != hufu.KindNotFound {
					t.Fatalf("%s is left: %v", p, err)
				}
			}
		}
	})
}

// TestAFolderThatMovesBeforeItIsLocked: between the look at a path and the lock of its folder, the
// folder is moved and another one takes its name. The file goes where its path leads.
func TestAFolderThatMovesBeforeItIsLocked(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		l := e.link(t)
		name := e.create(t)
		trees := processes(t, e.at(l.address, name)+"?sslmode=disable", e.at(e.address, name))
		at := func(p string) hufu.Path {
			q, err := hufu.ParsePath(p)
			must(t, err)
			return q
		}
		do := func(tree blob.Tree, stage func(b blob.Batch)) {
			t.Helper()
			b := tree.Batch(blob.Guard{})
			stage(b)
			for _, r := range b.Finish(t.Context()) {
				must(t, r.Err)
			}
		}
		do(trees[1], func(b blob.Batch) { b.Mkdir(t.Context(), at("a"), blob.Meta{Mode: 0o755}, false) })
		moved := false
		do(trees[0], func(b blob.Batch) {
			b.Put(t.Context(), at("a/f"), []byte("x"), blob.Meta{}, hufu.Condition{Kind: hufu.IfAbsent})
			l.before("for update", func() {
				do(trees[1], func(b blob.Batch) { b.Rename(t.Context(), at("a"), at("b"), hufu.Condition{Kind: hufu.IfAbsent}, "") })
				do(trees[1], func(b blob.Batch) { b.Mkdir(t.Context(), at("a"), blob.Meta{Mode: 0o755}, false) })
				moved = true
			})
		})
		if !moved {
			t.Fatal("nothing was locked")
		}
		if _, err := trees[1].Stat(t.Context(), at("a/f")); err != nil {
			t.Error(err)
		}
		if _, err := trees[1].Stat(t.Context(), at("b/f")); hufu.KindOf(err) != hufu.KindNotFound {
			t.Error("the file is in the folder that was moved away:", err)
		}
	})
}

// twoProcesses opens the same tree as two servers do.
func twoProcesses(t *testing.T, e *engine) [2]blob.Tree {
	t.Helper()
	at := e.fresh(t)
	return processes(t, at, at)
}

// processes opens the same tree by two URLs.
func processes(t *testing.T, urls ...string) (trees [2]blob.Tree) {
	t.Helper()
	s, err := service()
	if err != nil {
		t.Fatal(err)
	}
	where, err := s.Bucket()
	if err != nil {
		t.Fatal(err)
	}
	for i := range trees {
		src, err := meta.Parse(urls[i], "")
		if err != nil {
			t.Fatal(err)
		}
		bucket, err := object.Open(where)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(bucket.Close)
		db, err := meta.Open(t.Context(), src)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		n, err := db.Names()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = n.Close() })
		if trees[i], err = object.NewTrees(n, bucket, object.Options{Installation: "test"}).User(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
	}
	return trees
}
