package session

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// counted counts the calls that reach the network and keeps what was written.
type counted struct {
	net.Conn
	reads, writes int
	largest       int
	out           bytes.Buffer
	in            io.Reader
	closed        bool
}

func (c *counted) Read(p []byte) (int, error) {
	c.reads++
	return c.in.Read(p)
}

func (c *counted) Write(p []byte) (int, error) {
	c.writes++
	c.largest = max(c.largest, len(p))
	return c.out.Write(p)
}

func (c *counted) Close() error                   { c.closed = true; return nil }
func (*counted) SetWriteDeadline(time.Time) error { return nil }

func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(b)
	return b
}

// TestStreamCoalesces: records of 16 KiB leave in large writes, exactly the
// bytes that were written and in their order.
func TestStreamCoalesces(t *testing.T) {
	t.Parallel()
	c := &counted{}
	s := NewStream(c)
	if _, err := s.Write([]byte("at once")); err != nil || c.writes != 1 {
		t.Fatal("a handshake waits", err)
	}
	c.out.Reset()
	c.writes = 0
	s.Gather()
	data := noise(1<<20 + 333)
	for rest := data; len(rest) > 0; {
		n := min(len(rest), 16401)
		if w, err := s.Write(rest[:n]); w != n || err != nil {
			t.Fatal(w, err)
		}
		rest = rest[n:]
	}
	if c.writes != len(data)/coalesce || c.largest != coalesce {
		t.Errorf("%d writes, the largest of %d bytes", c.writes, c.largest)
	}
	if err := s.Flush(); err != nil || !bytes.Equal(c.out.Bytes(), data) {
		t.Error("other bytes came out", err)
	}
	if s.wbuf != nil {
		t.Error("an idle stream holds a buffer")
	}
	if in, out := s.Bytes(); in != 0 || int(out) != len(data)+len("at once") {
		t.Error(in, out)
	}
	c.out.Reset()
	// HT-43: the buffer comes back from the pool full of what was there.
	if _, err := s.Write([]byte("short")); err != nil {
		t.Error(err)
	}
	if err := errors.Join(s.Flush(), s.Flush(), s.Close()); err != nil || c.out.String() != "short" {
		t.Errorf("%q, %v", c.out.Bytes(), err)
	}
	if !c.closed {
		t.Error("not closed")
	}
}

// TestStreamReadsAhead: many small reads become few large ones while much
// comes, and a stream to which little comes holds no buffer.
func TestStreamReadsAhead(t *testing.T) {
	t.Parallel()
	data := noise(8 << 20)
	c := &counted{in: bytes.NewReader(data)}
	s := NewStream(c)
	var got bytes.Buffer
	p := make([]byte, 17<<10)
	r := rand.New(rand.NewPCG(1, 2))
	for {
		n, err := s.Read(p[:1+r.IntN(len(p))])
		got.Write(p[:n])
		if err != nil {
			if !errors.Is(err, io.EOF) {
				t.Error(err)
			}
			break
		}
	}
	if !bytes.Equal(got.Bytes(), data) {
		t.Error("other bytes came in")
	}
	if most := len(data)/readAhead + 10; c.reads > most {
		t.Errorf("%d reads, at most %d are needed", c.reads, most)
	}
	if s.rbuf != nil {
		t.Error("a stream at its end holds a buffer")
	}

	near, far := newLink(roomy)
	s = NewStream(near)
	for range 10 {
		if _, err := far.Write([]byte("little")); err != nil {
			t.Fatal(err)
		}
		if n, err := s.Read(p); err != nil || string(p[:n]) != "little" {
			t.Fatal(n, err)
		}
		if s.rbuf != nil {
			t.Error("a stream to which little comes holds a buffer")
		}
	}
	_ = s.Close()
	_ = far.Close()
}

// TestStreamPassesErrorsOn: bytes first, then the error, a deadline included.
func TestStreamPassesErrorsOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := newLink(roomy)
		s := NewStream(near)
		if _, err := far.Write(noise(100_000)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(s, make([]byte, 100_000)); err != nil {
			t.Fatal(err)
		}
		_ = s.SetReadDeadline(time.Now().Add(time.Second))
		if n, err := s.Read(make([]byte, 10)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(n, err)
		}
		_ = s.SetReadDeadline(time.Time{})
		if _, err := far.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		_ = far.CloseWrite()
		if all, err := io.ReadAll(s); string(all) != "x" || err != nil {
			t.Errorf("%q, %v", all, err)
		}
		_ = s.Close()
		_ = far.Close()
	})
}

// TestStreamCloses although the other end takes nothing.
func TestStreamCloses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := newLink(10)
		s := NewStream(near)
		s.Gather()
		if _, err := s.Write(noise(1000)); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_ = s.Close()
		if took := time.Since(start); took > PartTimeout/2 {
			t.Errorf("took %v", took)
		}
		_ = far.Close()
	})
}
