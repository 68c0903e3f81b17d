package client

import (
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hufu"
	"hufu/internal/frame"
	"hufu/internal/profile"
	"hufu/internal/session"
)

// TestOutage: that the connection is lost, and that it is back, is told once by
// all the calls that wait.
func TestOutage(t *testing.T) {
	t.Parallel()
	lost := errors.New("lost")
	var told []error
	o := outage{notify: func(err error) { told = append(told, err) }}
	step := func(name string, do func(), want ...error) {
		t.Helper()
		told = nil
		if do(); !slices.Equal(told, want) {
			t.Errorf("%s: told %v, want %v", name, told, want)
		}
	}
	step("three calls meet it", func() { o.lost(lost, true); o.lost(lost, true); o.lost(lost, true) }, lost)
	step("they try again", func() { o.lost(lost, false); o.lost(lost, false) })
	step("one is answered", func() { o.over(true) }, nil)
	step("it is lost again, for one of those who wait", func() { o.lost(lost, false) }, lost)
	step("one gives up", func() { o.over(false) })
	step("the last is answered", func() { o.over(true) }, nil)
	step("another loss", func() { o.lost(lost, true) }, lost)
	step("nobody waits any more", func() { o.over(false) })
	step("and another", func() { o.lost(lost, true); o.over(true) }, lost, nil)
	if o.waiting != 0 {
		t.Errorf("%d wait", o.waiting)
	}
}

// TestNotInStep: clients that lost their server at the same moment do not try
// again at the same moments.
func TestNotInStep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const clients, tries = 200, 5
		lost := &hufu.Error{Op: "connection", Kind: hufu.KindNetwork}
		start := time.Now()
		var mu sync.Mutex
		at := map[time.Duration]int{} // of the last try
		var all sync.WaitGroup
		for range clients {
			r := &Remote{outage: outage{notify: func(error) {}}}
			n := 0
			all.Go(func() {
				_ = r.persist(t.Context(), func() error {
					if n++; n < tries {
						return lost
					}
					mu.Lock()
					defer mu.Unlock()
					at[time.Since(start)/(10*time.Millisecond)]++
					return nil
				})
			})
		}
		all.Wait()
		for when, n := range at {
			if n > clients/10 {
				t.Errorf("%d of %d clients come within 10 ms after %v", n, clients, when*10*time.Millisecond)
			}
			if sum := (1<<(tries-1) - 1) * firstPause; when*10*time.Millisecond < sum/2-10*time.Millisecond || when*10*time.Millisecond > sum*3/2 {
				t.Errorf("the try after %v", when*10*time.Millisecond)
			}
		}
	})
}

// TestPatience: a server that is away is tried for as long, and as often, as the options say.
func TestPatience(t *testing.T) {
	t.Parallel()
	lost := &hufu.Error{Op: "connection", Kind: hufu.KindNetwork}
	for _, c := range []struct {
		name  string
		p     *Patience
		tries int // 0: many
		least time.Duration
		most  time.Duration
		told  int
	}{
		{"by default", nil, 0, RetryFor, RetryFor + 3*lastPause/2, 1},
		{"ten seconds", &Patience{10 * time.Second, -1}, 0, 10 * time.Second, 10 * time.Second, 1},
		{"not at all", &Patience{0, -1}, 1, 0, 0, 0},
		{"no retries", &Patience{time.Minute, 0}, 1, 0, 0, 0},
		{"three retries", &Patience{time.Minute, 3}, 4, 0, 3 * time.Second, 1},
		{"three retries that do not fit", &Patience{time.Millisecond, 3}, 2, time.Millisecond, time.Millisecond, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				tries, told := 0, 0
				r := &Remote{o: Options{Patience: c.p}, outage: outage{notify: func(error) { told++ }}}
				start := time.Now()
				err := r.persist(t.Context(), func() error { tries++; return lost })
				if took := time.Since(start); !errors.Is(err, lost) || took < c.least || took > c.most {
					t.Errorf("%v after %v, want %v to %v", err, took, c.least, c.most)
				}
				if c.tries > 0 && tries != c.tries || told != c.told {
					t.Errorf("%d tries, told %d times", tries, told)
				}
			})
		})
	}
}

// TestAtOnce: if there are other servers, what the server that is away has not done is tried again at
// once; what a server has answered over a connection that goes on is not.
func TestAtOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		err    *hufu.Error
		alive  bool
		atOnce bool
	}{
		{"cannot connect", &hufu.Error{Op: "connect", Kind: hufu.KindNetwork}, true, true},
		{"overloaded", &hufu.Error{Op: "stat", Kind: hufu.KindUnavailable, Far: true}, true, false},
		{"stops", &hufu.Error{Op: "stat", Kind: hufu.KindUnavailable, Far: true}, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			near, far := net.Pipe()
			stream := session.NewStream(near)
			control := session.NewClient(stream, stream, frame.NewCodec(), nil)
			defer func() { _, _ = control.Close(), far.Close() }()
			if !c.alive {
				control.Drop()
				<-control.Done()
			}
			told := 0
			r := &Remote{
				control: control, o: Options{Patience: &Patience{time.Minute, 1}},
				servers: servers{home: "a:1", others: []string{"b:2"}}, outage: outage{notify: func(error) { told++ }},
			}
			err := r.persist(t.Context(), func() error { return c.err })
			if !errors.Is(err, c.err) || (told == 0) != c.atOnce {
				t.Errorf("%v; told %d times", err, told)
			}
		})
	}
}

// TestOneTryForAll: a hundred calls do not wait for a server that is not there
// one after the other.
func TestOneTryForAll(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	var tries atomic.Int32
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			tries.Add(1)
			time.AfterFunc(200*time.Millisecond, func() { _ = c.Close() })
		}
	}()
	r, err := New(&profile.Profile{}, Options{Address: ln.Addr().String(), Plaintext: true})
	if err != nil {
		t.Fatal(err)
	}
	var calls sync.WaitGroup
	for range 100 {
		calls.Go(func() {
			if _, err := r.Connect(t.Context()); hufu.KindOf(err) != hufu.KindNetwork {
				t.Error(err)
			}
		})
	}
	if calls.Wait(); tries.Load() > 20 {
		t.Errorf("%d tries for 100 calls", tries.Load())
	}
}
