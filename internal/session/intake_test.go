package session

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"hufu"
	"hufu/internal/digest"
	"hufu/internal/frame"
)

// TestHT42IntakeIsShared: what clients send ahead of a server that is busy takes
// bounded memory on all connections together; one user leaves room to another;
// all of it comes in the end, and nothing stays taken.
func TestHT42IntakeIsShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const mib, connections, puts = 1 << 20, 12, 6
		in := NewIntake(16 * mib)
		busy := make(chan struct{})
		type side struct {
			c    *Client
			s    *Server
			over <-chan error
		}
		var all []side
		var answered atomic.Int64
		data := make([]byte, mib)
		begin := func(who string, data []byte, h func(**Server) handler) {
			near, far := newLink(roomy)
			stream := NewStream(far)
			s := NewServer(stream, stream, frame.NewCodec())
			s.UseIntake(in, who)
			over := make(chan error, 1)
			go func() { over <- s.Serve(context.Background(), h(&s)) }()
			c := dial(near)
			all = append(all, side{c, s, over})
			d := digest.Sum(data)
			go func() {
				for range puts {
					m := &frame.Put{Path: frame.Path("a"), Digest: d[:], Condition: frame.WireCondition(hufu.Condition{Kind: hufu.Always})}
					if c.Send(m, data, 0, func(a Answer) {
						if a.Err == nil {
							answered.Add(1)
						}
					}) != nil {
						return
					}
				}
				_ = c.Flush()
			}()
		}
		slowly := func(until chan struct{}) func(**Server) handler {
			return func(s **Server) handler {
				return handler{handle: func(_ context.Context, r *Request) error {
					<-until
					defer (*s).Release(r)
					return (*s).Answer(reply(r), false, nil)
				}}
			}
		}
		slow := slowly(busy)
		for range connections {
			begin("alice", data, slow)
		}
		synctest.Wait()
		if in.used > 8*mib || in.used < 6*mib {
			t.Errorf("alice's requests take %d bytes", in.used)
		}
		for range connections {
			begin("bob", data, slow)
		}
		synctest.Wait()
		if in.by["bob"] < 3*mib || in.used > 16*mib-3*mib {
			t.Errorf("bob's requests take %d bytes of %d", in.by["bob"], in.used)
		}
		begin("carl", data, echo)
		synctest.Wait()
		if n := answered.Load(); n != puts {
			t.Errorf("%d of carl's are answered while others wait", n)
		}
		// One that waits for room ends as any other does, also while nobody gives
		// any back.
		others := 0
		for ; in.limit-in.used > mib; others++ {
			begin(fmt.Sprint("other", others), data, slow)
			synctest.Wait()
		}
		stopping := &hufu.Error{Kind: hufu.KindUnavailable, Code: "server_stopping"}
		begin("dave", data, echo)
		synctest.Wait()
		waiting, parted := all[len(all)-1], all[connections-1]
		waiting.s.Part(stopping)
		if err := <-waiting.over; hufu.CodeOf(err) != "server_stopping" {
			t.Error(err)
		}
		parted.s.Part(stopping)
		close(busy)
		if err := <-parted.over; hufu.CodeOf(err) != "server_stopping" {
			t.Error(err)
		}
		_ = errors.Join(waiting.c.Close(), parted.c.Close())
		synctest.Wait()
		if n, want := answered.Load(), int64(puts*(2*connections+others)); n != want {
			t.Errorf("%d of %d are answered", n, want)
		}
		for i, s := range all {
			if i == connections-1 || s.c == waiting.c {
				continue
			}
			_ = s.c.Close()
			if err := <-s.over; err != nil {
				t.Error(err)
			}
		}
		// One that ends with requests that nobody has begun gives back theirs, too.
		still := make(chan struct{})
		begin("erin", data[:1000], slowly(still))
		synctest.Wait()
		erin := all[len(all)-1]
		erin.s.Part(stopping)
		close(still)
		if err := <-erin.over; hufu.CodeOf(err) != "server_stopping" {
			t.Error(err)
		}
		_ = erin.c.Close()
		synctest.Wait()
		if in.used != 0 || len(in.by) != 0 {
			t.Errorf("%d bytes are taken by nothing: %v", in.used, in.by)
		}
	})
}

// TestHT42MessagesTakeRoom: requests without raw bytes are bounded as well.
func TestHT42MessagesTakeRoom(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]func(s **Server, busy chan struct{}) handler{
		"one by one": func(s **Server, busy chan struct{}) handler {
			return handler{handle: func(_ context.Context, r *Request) error {
				<-busy
				defer (*s).Release(r)
				return (*s).Answer(reply(r), false, nil)
			}}
		},
		"staged": func(s **Server, busy chan struct{}) handler {
			var group []frame.Message
			return handler{
				handle: func(_ context.Context, r *Request) error {
					defer (*s).Release(r)
					group = append(group, reply(r))
					(*s).Stage(r)
					return nil
				},
				idle: func(context.Context) error {
					if len(group) == 0 {
						return nil
					}
					<-busy
					for _, m := range group {
						if err := (*s).Answer(m, false, nil); err != nil {
							return err
						}
					}
					group = nil
					(*s).Settle()
					return nil
				},
			}
		},
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); messagesTakeRoom(t, h) })
	}
}

func messagesTakeRoom(t *testing.T, h func(s **Server, busy chan struct{}) handler) {
	synctest.Test(t, func(t *testing.T) {
		near, far := newLink(32 << 20)
		busy := make(chan struct{})
		s, over := run(far, func(s **Server) handler { return h(s, busy) })
		c := dial(near)
		c.Allow(MaxRequests, MaxAsked)
		answered := 0
		long := make([]byte, 4000)
		for i := range long {
			if long[i] = 'a'; i%100 == 0 {
				long[i] = '/'
			}
		}
		for range MaxRequests {
			if err := c.Send(&frame.Stat{Path: long[1:]}, nil, 0, func(Answer) { answered++ }); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Flush(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s.mu.Lock()
		queued := s.queued
		s.mu.Unlock()
		if queued > queueBytes || queued < queueBytes/2 {
			t.Errorf("%d bytes are queued", queued)
		}
		close(busy)
		synctest.Wait()
		if answered != MaxRequests || s.queued != 0 {
			t.Errorf("%d are answered, %d bytes are queued", answered, s.queued)
		}
		_ = c.Close()
		if err := <-over; err != nil {
			t.Error(err)
		}
	})
}
