package session

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hufu"
	"hufu/internal/frame"
)

// TestCancel: a client that waits no more lets the server stop the request that
// it is at, and leave out those that wait; the answers keep their order, and the
// connection goes on.
func TestCancel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := newLink(roomy)
		begun := make(chan struct{})
		var handled []frame.Type
		_, over := run(far, func(s **Server) handler {
			return handler{handle: func(ctx context.Context, r *Request) error {
				defer (*s).Release(r)
				if r.Canceled {
					return (*s).Fail(ErrCanceled)
				}
				handled = append(handled, r.Message.Type())
				if _, long := r.Message.(*frame.Digest); long {
					close(begun)
					<-ctx.Done()
					if !errors.Is(context.Cause(ctx), ErrCanceled) {
						t.Errorf("ended by %v", context.Cause(ctx))
					}
					return (*s).Fail(ErrCanceled)
				}
				return (*s).Answer(reply(r), false, nil)
			}}
		})
		c := dial(near)
		var cancels []context.CancelFunc
		results := make(chan error, 2)
		for _, m := range []frame.Message{&frame.Digest{Path: path(t, "f")}, &frame.List{Path: path(t, "d")}} {
			ctx, cancel := context.WithCancel(t.Context())
			cancels = append(cancels, cancel)
			go func() {
				_, err := c.Do(ctx, m)
				results <- err
			}()
			synctest.Wait()
		}
		<-begun
		stat := make(chan error, 1)
		go func() {
			_, err := c.Do(t.Context(), &frame.Stat{Path: path(t, "f")})
			stat <- err
		}()
		synctest.Wait()
		start := time.Now()
		for _, cancel := range slices.Backward(cancels) { // the one that has begun last, or the other would begin
			cancel()
			synctest.Wait()
		}
		for range 2 {
			if err := <-results; hufu.KindOf(err) != hufu.KindCanceled {
				t.Error(err)
			}
		}
		if err := <-stat; err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("the server went on for %v", d)
		}
		_ = c.Close()
		<-over
		if len(handled) != 2 || handled[0] != frame.TypeDigest || handled[1] != frame.TypeStat {
			t.Errorf("carried out: %v", handled)
		}
	})
}

// TestCancelByHand: what is answered, or never came, may be named; what decides
// who the user is cannot be taken back.
func TestCancelByHand(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := newLink(roomy)
		var left []frame.Type
		release := make(chan struct{})
		server, over := run(far, func(s **Server) handler {
			return handler{handle: func(_ context.Context, r *Request) error {
				defer (*s).Release(r)
				if _, first := r.Message.(*frame.Space); first {
					<-release
				}
				if r.Canceled {
					left = append(left, r.Message.Type())
					return (*s).Fail(ErrCanceled)
				}
				return (*s).Answer(reply(r), false, nil)
			}}
		})
		p := byHand(t, near)
		p.write(&frame.Cancel{Request: 0}, false, nil) // of what has not come
		p.write(&frame.Stat{Path: path(t, "f")}, false, nil)
		p.read()
		p.write(&frame.Cancel{Request: 0}, false, nil) // of what is answered
		p.write(&frame.Space{}, false, nil)
		p.write(&frame.Logout{}, false, nil)
		p.write(put(), false, []byte("x"))
		p.write(&frame.Stat{Path: path(t, "f")}, false, nil)
		synctest.Wait()
		for n := range uint64(4) {
			p.write(&frame.Cancel{Request: n}, false, nil) // of all but the last
		}
		synctest.Wait()
		close(release)
		p.read() // space: begun, and too short to be stopped
		if m, _ := p.read(); m.Type() != frame.TypeLogout.Answer() {
			t.Errorf("logout: %+v", m)
		}
		if m, ok := first(p.read()).(*frame.Error); !ok || m.Kind != "canceled" {
			t.Errorf("put: %+v", m)
		}
		if m, _ := p.read(); m.Type() != frame.TypeStat.Answer() {
			t.Errorf("stat: %+v", m)
		}
		if n := len(server.canceled); n != 0 {
			t.Errorf("%d numbers are remembered", n)
		}
		_ = near.Close()
		<-over
		if len(left) != 1 || left[0] != frame.TypePut {
			t.Errorf("left out: %v", left)
		}
	})
}

func first(m frame.Message, _ []byte) frame.Message { return m }

// TestCancelWithoutRoom: a cancel does not wait behind a request that waits for room.
func TestCancelWithoutRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := newLink(roomy)
		c := dial(near)
		c.Allow(1, MaxAsked)
		p := byHand(t, far)
		ctx, stop := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() { _, _ = c.Do(ctx, &frame.Digest{Path: path(t, "f")}) })
		synctest.Wait()
		all.Go(func() { _, _ = c.Do(t.Context(), &frame.Stat{Path: path(t, "f")}) })
		synctest.Wait()
		stop()
		p.read() // the digest
		_ = far.SetReadDeadline(time.Now().Add(time.Minute))
		if m, ok := first(p.read()).(*frame.Cancel); !ok || m.Request != 0 {
			t.Errorf("the cancel does not come, but %+v", m)
		}
		_ = c.Close()
		all.Wait()
	})
}

// TestClientRefusesCancel: it is the client's word.
func TestClientRefusesCancel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := newLink(roomy)
		c := dial(near)
		byHand(t, far).write(&frame.Cancel{}, false, nil)
		<-c.Done()
		if err := c.Err(); hufu.CodeOf(err) != "request_from_server" {
			t.Error(err)
		}
		_ = far.Close()
	})
}

// TestWorkingInTime: a client whose answer takes long hears of it after
// WorkingEvery of silence, however long before it asked the last frame was sent.
func TestWorkingInTime(t *testing.T) {
	t.Parallel()
	for _, idle := range []time.Duration{0, time.Millisecond, WorkingEvery - time.Millisecond, 7 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			near, far := newLink(roomy)
			_, over := run(far, func(s **Server) handler {
				return handler{handle: func(ctx context.Context, r *Request) error {
					if _, long := r.Message.(*frame.Digest); long {
						<-ctx.Done()
						return errors.New("left")
					}
					return (*s).Answer(reply(r), false, nil)
				}}
			})
			p := byHand(t, near)
			p.write(&frame.Stat{Path: path(t, "f")}, false, nil)
			p.read()
			time.Sleep(idle)
			p.write(&frame.Digest{Path: path(t, "f")}, false, nil)
			start := time.Now()
			for range 3 {
				if m, _ := p.read(); m.Type() != frame.TypeWorking {
					t.Fatalf("%+v", m)
				}
				if d := time.Since(start); d > WorkingEvery {
					t.Errorf("after a pause of %v: heard after %v", idle, d)
				}
				start = time.Now()
			}
			_ = near.Close()
			<-over
		})
	}
}

// TestAnswersOfALaterServer: a client leaves out the keys that it does not know
// where a later server may have them.
func TestAnswersOfALaterServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := newLink(roomy)
		c := dial(near)
		p := byHand(t, far)
		go func() {
			p.read()
			// {1: [{1: 'n', 2: 1, 64: 7, 127: "x"}]}
			body := []byte{0xa1, 0x01, 0x81, 0xa4, 0x01, 0x41, 'n', 0x02, 0x01, 0x18, 0x40, 0x07, 0x18, 0x7f, 0x61, 'x'}
			head := []byte{0x80, 0x05, 0, 0, 0, 0, 0, byte(len(body)), 0, 0, 0, 0}
			if _, err := far.Write(append(head, body...)); err != nil {
				t.Error(err)
			}
		}()
		m, err := c.Do(t.Context(), &frame.List{})
		if l, ok := m.(*frame.ListAnswer); !ok || len(l.Entries) != 1 || string(l.Entries[0].Name) != "n" {
			t.Errorf("%+v, %v", m, err)
		}
		_ = c.Close()
		_ = far.Close()
	})
}
