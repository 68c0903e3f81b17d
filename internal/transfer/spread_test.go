package transfer

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hufu"
	"hufu/internal/digest"
)

// spare is a lane to another server, which may be lost at each request.
type spare struct {
	*testLane
	asked *atomic.Int64
	loses bool
	begun func() // called at each request
}

func (s *spare) Node() string { return "other" }

func (s *spare) use() {
	s.asked.Add(1)
	s.begun()
	if s.loses {
		s.lose(&hufu.Error{Op: "lane", Kind: hufu.KindRefused, Code: "cert_unknown"})
	}
}

func (s *spare) Range(upload string, index int64, data []byte, hole bool, cv digest.CV, done func(error)) error {
	defer s.use()
	return s.testLane.Range(upload, index, data, hole, cv, done)
}

func (s *spare) Read(p hufu.Path, version string, index int64, size int, done func(Chunk, error)) error {
	defer s.use()
	return s.testLane.Read(p, version, index, size, done)
}

// TestSpread: lanes to other servers carry a part, and what they lose is carried again; nobody hears of
// it.
func TestSpread(t *testing.T) {
	t.Parallel()
	data := noise(24*hufu.ChunkSize+5, 1)
	for _, loses := range []bool{false, true} {
		w, src, dst := newWorld(), newNear(t), newNear(t)
		src.write("f", data)
		var asked atomic.Int64
		var lanes sync.WaitGroup
		meet := func() {
			begun := make(chan struct{})
			begin := sync.OnceFunc(func() { close(begun) })
			w.spread = func(ctx context.Context, use func(Lane, bool)) {
				for i := range 3 {
					lanes.Go(func() {
						for n := 0; ctx.Err() == nil && n < 3; n++ {
							l, err := w.Lane(ctx)
							if err != nil {
								return
							}
							use(&spare{l.(*testLane), &asked, loses, begin}, i == 0)
						}
					})
				}
				lanes.Wait()
				<-ctx.Done()
			}
			w.fault = func(op string, _ hufu.Path, after bool) error {
				if (op == "range" || op == "read") && !after {
					<-begun // until another server has been asked for something
				}
				return nil
			}
		}
		meet()
		told, err := put(t.Context(), w, Options{Lanes: 1}, src.all())
		if got, _ := w.content("f"); err != nil || told.codes() != "" || !bytes.Equal(got, data) {
			t.Fatal(err, told.codes())
		}
		up := asked.Swap(0)
		meet()
		told, err = get(t.Context(), w, Options{Lanes: 1}, dst.all())
		if err != nil || told.codes() != "" || !bytes.Equal(dst.content("f"), data) {
			t.Fatal(err, told.codes())
		}
		if up == 0 || asked.Load() == 0 {
			t.Errorf("%d chunks went up over other servers, %d down", up, asked.Load())
		}
	}
}

// TestOthersAnswerForASickServer: a server that cuts every lane is not dialed more often because other
// servers answer, and does not end what they do.
func TestOthersAnswerForASickServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, other, dst := newWorld(), newWorld(), newNear(t)
		data := noise(64*hufu.ChunkSize, 1)
		w.set("f", data, someTime, "")
		other.things = w.things
		w.fault = func(op string, _ hufu.Path, _ bool) error {
			if op == "read" {
				return errLoseLane
			}
			return nil
		}
		other.fault = func(_ string, _ hufu.Path, after bool) error {
			if !after {
				time.Sleep(time.Second)
			}
			return nil
		}
		w.spread = func(ctx context.Context, use func(Lane, bool)) {
			if l, err := other.Lane(ctx); err == nil {
				use(l, true)
			}
			<-ctx.Done()
		}
		begun := time.Now()
		told, err := get(t.Context(), w, Options{Lanes: 1}, dst.all())
		if err != nil || told.codes() != "" || !bytes.Equal(dst.content("f"), data) {
			t.Fatal(err, told.codes())
		}
		if most := int(time.Since(begun) / time.Second); w.lanes > most {
			t.Errorf("%d lanes in %d s", w.lanes, most)
		}
	})
}

// frozen is a lane to a server that takes requests and never answers.
type frozen struct {
	mu     sync.Mutex
	lost   []func(error)
	closed bool
}

func (f *frozen) take(lost func(error)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return ErrLost
	}
	f.lost = append(f.lost, lost)
	return nil
}

func (f *frozen) Put(_ hufu.Path, _ Meta, _ []byte, _ hufu.Digest, _ hufu.Condition, done func(error)) error {
	return f.take(done)
}

func (f *frozen) Range(_ string, _ int64, _ []byte, _ bool, _ digest.CV, done func(error)) error {
	return f.take(done)
}

func (f *frozen) Get(_ hufu.Path, _ hufu.Entry, done func(hufu.Entry, []byte, error)) error {
	return f.take(func(err error) { done(hufu.Entry{}, nil, err) })
}

func (f *frozen) Read(_ hufu.Path, _ string, _ int64, _ int, done func(Chunk, error)) error {
	return f.take(func(err error) { done(Chunk{}, err) })
}

func (f *frozen) Flush() error { return nil }
func (f *frozen) Node() string { return "frozen" }

func (f *frozen) Close() error {
	f.mu.Lock()
	lost := f.lost
	f.lost, f.closed = nil, true
	f.mu.Unlock()
	for _, fn := range lost {
		fn(ErrLost)
	}
	return nil
}

// TestCarried: how many bytes have gone over each server.
func TestCarried(t *testing.T) {
	t.Parallel()
	data := noise(24*hufu.ChunkSize+5, 1)
	for _, gets := range []bool{false, true} {
		w, near := newWorld(), newNear(t)
		e := New(w, Options{Lanes: 1, Owner: "test"})
		run := e.Put
		if gets {
			w.set("f", data, someTime, "")
			run = e.Get
		} else {
			near.write("f", data)
		}
		begun := make(chan struct{})
		w.spread = func(ctx context.Context, use func(Lane, bool)) {
			if l, err := w.Lane(ctx); err == nil {
				use(&spare{l.(*testLane), new(atomic.Int64), false, sync.OnceFunc(func() { close(begun) })}, true)
			}
			<-ctx.Done()
		}
		w.fault = func(op string, _ hufu.Path, after bool) error {
			if (op == "range" || op == "read") && !after {
				<-begun // until the other server has been asked for something
			}
			return nil
		}
		if err := run(t.Context(), near.all()); err != nil {
			t.Fatal(err)
		}
		got := e.Carried()
		if len(got) != 2 || got[""] == 0 || got["other"] == 0 || got[""]+got["other"] != int64(len(data)) {
			t.Errorf("gets %v: %v", gets, got)
		}
	}
}

// TestAFrozenServer: what another server was asked for and does not answer is given to the own one when
// that has nothing else to do, in both directions, for units and for small files.
func TestAFrozenServer(t *testing.T) {
	t.Parallel()
	for _, small := range []bool{false, true} {
		for _, gets := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				w, src, dst := newWorld(), newNear(t), newNear(t)
				names := map[string][]byte{"f": noise(32*hufu.ChunkSize+5, 1)}
				if small {
					names = map[string][]byte{}
					for i := range 300 {
						names[fmt.Sprint(i)] = noise(100+i, byte(i))
					}
				}
				for name, data := range names {
					if src.write(name, data); gets {
						w.set(name, data, someTime, "")
					}
				}
				w.fault = func(_ string, _ hufu.Path, after bool) error {
					if !after {
						time.Sleep(10 * time.Millisecond)
					}
					return nil
				}
				other := &frozen{}
				w.spread = func(ctx context.Context, use func(Lane, bool)) {
					use(other, true)
					<-ctx.Done()
				}
				begun, run, from := time.Now(), put, src
				if gets {
					run, from = get, dst
				}
				told, err := run(t.Context(), w, Options{Lanes: 1}, from.all())
				if err != nil || told.codes() != "" {
					t.Fatal(err, told.codes())
				}
				limit := silentFor
				if small && !gets { // which the server may still store
					limit = silentPut
				}
				if took := time.Since(begun); took < limit || took > limit+4*silentFor {
					t.Errorf("small %v, gets %v: %v", small, gets, took)
				}
				for name, data := range names {
					if got, _ := w.content(name); !bytes.Equal(got, data) || gets && !bytes.Equal(dst.content(name), data) {
						t.Errorf("small %v, gets %v: %s is another file", small, gets, name)
					}
				}
			})
		}
	}
}

// liar is a lane to another server that sends other bytes.
type liar struct {
	*testLane
	agrees bool // the hash that it sends is that of its bytes
	begun  func()
}

func (l *liar) Node() string { return "liar" }

func (l *liar) Get(p hufu.Path, listed hufu.Entry, done func(hufu.Entry, []byte, error)) error {
	l.begun()
	return l.testLane.Get(p, listed, func(e hufu.Entry, data []byte, err error) {
		if err != nil {
			done(e, data, err)
			return
		}
		data = bytes.Clone(data)
		data[0] ^= 1
		if l.agrees {
			e.Digest = digest.Sum(data)
		}
		done(e, data, err)
	})
}

func (l *liar) Read(p hufu.Path, version string, index int64, size int, done func(Chunk, error)) error {
	l.begun()
	return l.testLane.Read(p, version, index, size, func(c Chunk, err error) {
		if err != nil {
			done(c, err)
			return
		}
		c.Data = bytes.Clone(c.Data)
		c.Data[0] ^= 1
		if c.Got = digest.Chunk(c.Data, index); l.agrees {
			c.Want = c.Got
		}
		done(c, err)
	})
}

// TestHT48AnotherServerSendsWrongBytes: what another server has sent is asked for again at the own one, and the
// user is warned once. If the own server sends wrong bytes, the file fails.
func TestHT48AnotherServerSendsWrongBytes(t *testing.T) {
	t.Parallel()
	for _, small := range []bool{false, true} {
		for _, agrees := range []bool{false, true} {
			w, dst := newWorld(), newNear(t)
			names := map[string][]byte{"f": noise(24*hufu.ChunkSize+5, 1)}
			if small {
				names = map[string][]byte{}
				for i := range 300 {
					names[fmt.Sprint(i)] = noise(100+i, byte(i))
				}
			}
			for name, data := range names {
				w.set(name, data, someTime, "")
			}
			begun := make(chan struct{})
			begin := sync.OnceFunc(func() { close(begun) })
			w.spread = func(ctx context.Context, use func(Lane, bool)) {
				for range 3 {
					if l, err := w.Lane(ctx); err == nil {
						use(&liar{l.(*testLane), agrees, begin}, true)
					}
				}
				<-ctx.Done()
			}
			w.fault = func(op string, _ hufu.Path, after bool) error {
				if (op == "get" || op == "read") && !after {
					<-begun // until the other server has been asked for something
				}
				return nil
			}
			var warned []string
			told, err := get(t.Context(), w, Options{Lanes: 1, Warn: func(err error) { warned = append(warned, err.Error()) }}, dst.all())
			if err != nil || told.codes() != "" || len(warned) != 1 || !strings.Contains(warned[0], "node_wrong_bytes") {
				t.Fatal(small, agrees, err, told.codes(), warned)
			}
			for name, data := range names {
				if !bytes.Equal(dst.content(name), data) {
					t.Errorf("small %v, agrees %v: %s is another file", small, agrees, name)
				}
			}
		}
	}
}

// TestLittleIsNotSpread: lanes to other servers are opened only if there is enough to do.
func TestLittleIsNotSpread(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		size, files int
		want        bool
	}{
		{spreadFrom - hufu.ChunkSize, 1, false},
		{spreadFrom, 1, true},
		{10, spreadFrom/smallCost - 1, false},
		{10, spreadFrom / smallCost, true},
	} {
		w, src := newWorld(), newNear(t)
		for i := range c.files {
			src.write(string(rune('a'+i%26))+string(rune('a'+i/26)), noise(c.size, 1))
		}
		begun, spread := make(chan struct{}), false
		w.spread = func(context.Context, func(Lane, bool)) {
			spread = true
			close(begun)
		}
		w.fault = func(op string, _ hufu.Path, after bool) error {
			if c.want && (op == "range" || op == "put") && !after {
				<-begun
			}
			return nil
		}
		told, err := put(t.Context(), w, Options{}, src.all())
		if err != nil || told.codes() != "" || spread != c.want {
			t.Errorf("%d files of %d bytes: %v, want %v: %v %s", c.files, c.size, spread, c.want, err, told.codes())
		}
	}
}
