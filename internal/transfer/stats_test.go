package transfer

import (
	"context"
	"testing"

	"hufu"
)

// TestEveryFileIsCountedOnce: a file that gets a report was found, also if it failed before
// it could be planned.
func TestEveryFileIsCountedOnce(t *testing.T) {
	t.Parallel()
	w, src := newWorld(), newNear(t)
	src.write("d/good", []byte("x"))
	src.write("d/"+hufu.ReservedPrefix+"x", []byte("refused"))
	src.write("large", noise(2*hufu.ChunkSize, 1))
	w.set("a", []byte("there"), someTime, "")
	src.write("a", []byte("differs"))
	var told reports
	e := New(w, Options{Owner: "test", Report: told.add})
	e.Tell([]Report{{Local: "none", Kind: hufu.File, Outcome: Failed}})
	err := e.Put(t.Context(), []Source{src.one("d", "d"), src.one("large", "large"), src.one("a", "a"), src.one("gone", "gone")})
	if err != nil {
		t.Fatal(err)
	}
	if found, done := e.Stats.Files.Load(), e.Stats.FilesDone.Load(); found != 5 || done != 5 {
		t.Errorf("%d files are found, %d done: %+v", found, done, told)
	}
}

// TestResumedIsCountedOnce: an upload that the server loses is opened again, and its bytes
// are not counted twice.
func TestResumedIsCountedOnce(t *testing.T) {
	t.Parallel()
	w, src := newWorld(), newNear(t)
	data := noise(3*hufu.ChunkSize, 1)
	src.write("large", data)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	first := nth("range", 1, true, context.Canceled)
	w.fault = func(op string, p hufu.Path, after bool) error {
		if first(op, p, after) != nil {
			stop() // one chunk is there
		}
		return nil
	}
	if _, err := put(ctx, w, Options{Lanes: 1}, src.all()); err == nil {
		t.Fatal("the first try was not stopped")
	}
	w.fault = nth("commit", 1, false, failed(hufu.KindNotFound, "upload_unknown"))
	var told reports
	e := New(w, Options{Lanes: 1, Owner: "test", Report: told.add})
	if err := e.Put(t.Context(), src.all()); err != nil || told.codes() != "" {
		t.Fatal(err, told.codes())
	}
	if done, resumed := e.Stats.BytesDone.Load(), e.Stats.Resumed.Load(); done != int64(len(data)) || resumed != int64(len(data)) {
		t.Errorf("of %d bytes %d are done, %d resumed", len(data), done, resumed)
	}
}

// TestBytesOfASourceThatGrows: a large file counts with the size that it had when it was
// opened.
func TestBytesOfASourceThatGrows(t *testing.T) {
	t.Parallel()
	e := New(newWorld(), Options{})
	it := &item{from: hufu.Entry{Kind: hufu.File, Size: 10}}
	e.found(it.from)
	e.setSource(it, hufu.Entry{Kind: hufu.File, Size: 12})
	if got := e.Stats.Bytes.Load(); got != 12 {
		t.Errorf("%d bytes of 12", got)
	}
}
