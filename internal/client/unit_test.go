package client_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"sync/atomic"
	"testing"

	"hufu"
	"hufu/internal/blob/mem"
	"hufu/internal/client"
	"hufu/internal/digest"
	"hufu/internal/testenv"
	"hufu/internal/transfer"
)

// breaking is a connection that calls broken and ends after it has sent so many bytes,
// unless broken says that it goes on.
type breaking struct {
	net.Conn
	after  int
	broken func() bool
}

func (b *breaking) Write(p []byte) (int, error) {
	if b.after -= len(p); b.after < 0 && b.broken() {
		_ = b.Close()
	}
	return b.Conn.Write(p)
}

// TestLargerUnits: a server whose store takes 8 MiB at once keeps whole units when the
// client is stopped, and gets the rest of the file over three connections that break
// again and again.
func TestLargerUnits(t *testing.T) {
	t.Parallel()
	const unit = 8 << 20
	env := testenv.New(t, testenv.Options{Trees: mem.NewTrees(mem.Options{Unit: unit})})
	alice := env.Person("alice")
	data := make([]byte, 5*unit+3*hufu.ChunkSize+7)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data)
	source := alice.Local("large")
	if err := os.WriteFile(source, data, 0o600); err != nil {
		t.Fatal(err)
	}
	send := func(ctx context.Context, lanes, after int, broken func() bool) *transfer.Engine {
		r := alice.Remote(client.Options{Tap: func(c net.Conn) net.Conn { return &breaking{c, after, broken} }})
		c, err := r.PreparePut(ctx, []string{source}, parse(t, "large"), client.How{})
		if err != nil {
			t.Fatal(err)
		}
		e := transfer.New(r, transfer.Options{Lanes: lanes, Report: func(rep transfer.Report) {
			if rep.Err != nil && ctx.Err() == nil {
				t.Errorf("%s: %v", rep.Local, rep.Err)
			}
		}})
		if err := errors.Join(e.Put(ctx, c.Sources), c.Close()); err != nil && ctx.Err() == nil {
			t.Fatal(err)
		}
		return e
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	send(ctx, 1, 3*unit, func() bool { cancel(); return true })
	if ctx.Err() == nil {
		t.Fatal("it was not stopped")
	}
	var breaks atomic.Int32
	e := send(t.Context(), 3, 5*hufu.ChunkSize, func() bool { return breaks.Add(1) <= 6 })
	if got := e.Stats.Resumed.Load(); got < unit || got%unit != 0 {
		t.Errorf("%d bytes were there", got)
	}
	if got := e.Stats.BytesDone.Load(); got != int64(len(data)) {
		t.Errorf("%d bytes of %d are done", got, len(data))
	}
	if n := breaks.Load(); n < 3 {
		t.Errorf("%d connections broke", n)
	}
	there, err := alice.Remote(client.Options{}).Digest(t.Context(), parse(t, "large"))
	if err != nil || there.Digest != digest.Sum(data) {
		t.Errorf("%v, %v", there, err)
	}
}
