package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hufu"
	"hufu/internal/digest"
	"hufu/internal/frame"
)

// TestChunksAreHashedOnTheWay: whoever gets a chunk, of either side, gets its
// chaining value with it, computed over the bytes that came.
func TestChunksAreHashedOnTheWay(t *testing.T) {
	t.Parallel()
	const index = 7
	chunk := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(i * i >> 7)
		}
		return b
	}
	for _, n := range []int{1, 16 << 10, 16<<10 + 1, smallRaw, 100_001, frame.MaxRaw} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			t.Parallel()
			data := chunk(n)
			want := digest.Chunk(data, index)
			near, far := newLink(roomy)
			_, over := run(far, func(s **Server) handler {
				return handler{handle: func(_ context.Context, r *Request) error {
					defer (*s).Release(r)
					switch r.Message.(type) {
					case *frame.Range:
						if r.CV != want {
							t.Errorf("the server has %x, want %x", r.CV, want)
						}
						return (*s).Answer(&frame.RangeAnswer{}, false, nil)
					case *frame.Read:
						return (*s).Answer(&frame.ReadAnswer{CV: make([]byte, 32)}, false, data)
					}
					return (*s).Answer(reply(r), false, nil)
				}}
			})
			c := dial(near)
			c.Allow(MaxRequests, MaxAsked)
			answers := 0
			got := func(a Answer) {
				if a.Err != nil {
					t.Error(a.Err)
				}
				answers++
			}
			err := c.Send(&frame.Range{Upload: strings.Repeat("0", 32), Index: index, CV: make([]byte, 32)}, data, 0, got)
			if err == nil {
				err = c.Send(&frame.Read{Path: path(t, "f"), Version: "v", Index: index}, nil, n, func(a Answer) {
					got(a)
					if a.CV != want || !bytes.Equal(a.Raw, data) {
						t.Errorf("the client has %x, want %x", a.CV, want)
					}
				})
			}
			if err == nil {
				_, err = c.Do(t.Context(), &frame.Logout{})
			}
			_ = c.Close()
			<-over
			if answers != 2 {
				t.Errorf("%d answers, %v", answers, err)
			}
		})
	}
}

// TestOrder: answers come back in the order of the requests, whether the
// handler answers at once or a group later.
func TestOrder(t *testing.T) {
	t.Parallel()
	atOnce := echo
	grouped := func(s **Server) handler {
		var group []*Request
		return handler{
			handle: func(_ context.Context, r *Request) error { group = append(group, r); return nil },
			idle: func(context.Context) error {
				for _, r := range group {
					if err := (*s).Answer(reply(r), false, nil); err != nil {
						return err
					}
				}
				group = group[:0]
				return nil
			},
		}
	}
	for name, h := range map[string]func(**Server) handler{"at once": atOnce, "grouped": grouped} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				near, far := newLink(roomy)
				_, over := run(far, h)
				c := dial(near)
				c.Allow(MaxRequests, MaxAsked)
				const n = 5000
				next := 0
				// Some requests are longer than the buffer that a waiting connection keeps.
				above := func(i int) string { return strings.Repeat(strings.Repeat("x", 200)+"/", 10*(i%50/49)) }
				for i := range n {
					err := c.Send(&frame.Stat{Path: path(t, above(i)+strconv.Itoa(i))}, nil, 0, func(a Answer) {
						s, ok := a.Message.(*frame.StatAnswer)
						if !ok || string(s.Entry.Name) != strconv.Itoa(next) {
							t.Errorf("answer %d is %+v", next, a)
						}
						next++
					})
					if err != nil {
						t.Fatal(err)
					}
				}
				if err := c.Flush(); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if next != n || c.Unanswered() != 0 {
					t.Errorf("%d of %d answers came, %d are awaited", next, n, c.Unanswered())
				}
				_ = c.Close()
				if err := <-over; err != nil {
					t.Errorf("a client that left is no error: %v", err)
				}
			})
		})
	}
}

// TestManyCallers: calls from many goroutines on one connection, each flushed
// although none of them flushes for the others.
func TestManyCallers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := newLink(4 << 10)
		_, over := run(far, echo)
		c := dial(near)
		var wg sync.WaitGroup
		for i := range 300 {
			wg.Go(func() {
				m, err := c.Do(t.Context(), &frame.Stat{Path: path(t, strconv.Itoa(i))})
				if err != nil {
					t.Error(err)
					return
				}
				if got := string(m.(*frame.StatAnswer).Entry.Name); got != strconv.Itoa(i) {
					t.Errorf("%d got the answer of %s", i, got)
				}
			})
		}
		wg.Wait()
		_ = c.Close()
		<-over
	})
}

// TestMore: an answer in several frames comes whole, between others.
func TestMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := newLink(roomy)
		_, over := run(far, func(s **Server) handler {
			return handler{handle: func(_ context.Context, r *Request) error {
				if _, ok := r.Message.(*frame.List); ok {
					for i := range 3 {
						e := frame.Entry{Name: []byte{'a' + byte(i)}, Kind: uint8(hufu.File)}
						if err := (*s).Answer(&frame.ListAnswer{Entries: []frame.Entry{e}}, i < 2, nil); err != nil {
							return err
						}
					}
					return nil
				}
				return (*s).Answer(reply(r), false, nil)
			}}
		})
		c := dial(near)
		var got []string
		note := func(what string) func(Answer) {
			return func(a Answer) { got = append(got, fmt.Sprintf("%s %v %v", what, a.More, a.Err)) }
		}
		for _, err := range []error{
			c.Send(&frame.Stat{}, nil, 0, note("stat")),
			c.Send(&frame.List{}, nil, 0, note("list")),
			c.Send(&frame.Logout{}, nil, 0, note("logout")),
			c.Flush(),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		want := "[stat false <nil> list true <nil> list true <nil> list false <nil> logout false <nil>]"
		if fmt.Sprint(got) != want {
			t.Errorf("got %v", got)
		}
		_ = c.Close()
		<-over
	})
}

// TestBoundsOfTheClient: however much is asked of it, a client has no more
// under way than the hello allows.
func TestBoundsOfTheClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := newLink(8 << 20)
		c := dial(near)
		server := byHand(t, far)
		arrived := 0
		go func() {
			for m, _ := server.read(); m != nil; m, _ = server.read() {
				arrived++
			}
		}()
		var wg sync.WaitGroup
		send := func(n, bytes int) {
			wg.Go(func() {
				for range n {
					if c.Send(&frame.Read{Version: "v"}, nil, bytes, func(Answer) {}) != nil {
						return
					}
				}
				_ = c.Flush()
			})
		}
		expect := func(n int) {
			t.Helper()
			synctest.Wait()
			if arrived != n {
				t.Errorf("%d requests are under way, not %d", arrived, n)
			}
		}
		answer := func(n int) {
			for range n {
				server.write(&frame.ReadAnswer{CV: make([]byte, 32)}, false, nil)
				synctest.Wait()
			}
		}
		send(3000, 0)
		expect(64) // before hello is answered
		c.Allow(100, MaxAsked)
		expect(100)
		c.Allow(1<<30, 1<<30)
		expect(MaxRequests) // more than this end's own limit is not taken
		answer(MaxRequests/8 - 1)
		expect(MaxRequests) // there is room, but not for an eighth
		answer(1)
		expect(MaxRequests * 9 / 8)
		answer(3000 - MaxRequests/8)
		expect(3000)
		if n := c.Unanswered(); n != 0 {
			t.Errorf("%d are awaited", n)
		}
		c.Allow(MaxRequests, 3<<20)
		arrived = 0
		send(10, 1<<20)
		expect(3)
		answer(1)
		expect(4)
		answer(9)
		expect(10)
		send(2, 5<<20) // more than the bound by itself: one at a time
		expect(11)
		_ = c.Close()
		wg.Wait()
	})
}

// TestBoundsHoldWhenWritingFails: until reading has found out why, requests
// pile up to the bound and no further.
func TestBoundsHoldWhenWritingFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := newLink(roomy)
		c := dial(deaf{near})
		start := time.Now()
		lost, sent := 0, 0
		answered := func(a Answer) {
			if a.Lost {
				lost++
			}
		}
		for c.Send(put(), make([]byte, 1000), 0, answered) == nil {
			if sent++; sent > 1000 {
				t.Fatal("no bound")
			}
		}
		<-c.Done()
		if sent > 64 || lost != sent {
			t.Errorf("%d were sent, %d of them said to be lost", sent, lost)
		}
		if took := time.Since(start); took > PartTimeout {
			t.Errorf("waited %v for a reason", took)
		}
		if err := c.Err(); !errors.Is(err, errDeaf) || hufu.CodeOf(err) != "connection_lost" {
			t.Error(err)
		}
		_ = far.Close()
	})
}

// deaf fails every write at once and keeps reading open.
type deaf struct{ net.Conn }

var errDeaf = errors.New("broken pipe")

func (deaf) Write([]byte) (int, error) { return 0, errDeaf }

// TestServerCutsAtTheBound: the last request that is allowed is taken, one
// more ends the connection with the reason.
func TestServerCutsAtTheBound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := newLink(roomy)
		s, over := run(far, func(**Server) handler { return handler{} }) // answers nothing
		client := byHand(t, near)
		for range MaxRequests {
			client.write(&frame.Logout{}, false, nil)
		}
		synctest.Wait()
		if n := s.Unanswered(); n != MaxRequests {
			t.Fatalf("%d requests were taken", n)
		}
		select {
		case err := <-over:
			t.Fatal("cut at the bound", err)
		default:
		}
		client.write(&frame.Logout{}, false, nil)
		m, _ := client.read()
		g, ok := m.(*frame.Goodbye)
		if !ok || g.Reason.Code != "too_many_requests" || g.Reason.Kind != "protocol" {
			t.Errorf("%+v", m)
		}
		if m, _ := client.read(); m != nil {
			t.Errorf("after goodbye: %+v", m)
		}
		_ = near.Close()
		if err := <-over; hufu.CodeOf(err) != "too_many_requests" {
			t.Error(err)
		}
	})
}

// TestServerHoldsLittle: raw bytes that wait for a slow handler stay on the
// wire, and their buffers come back.
func TestServerHoldsLittle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := newLink(roomy)
		gate := make(chan struct{})
		s, over := run(far, func(s **Server) handler {
			return handler{handle: func(_ context.Context, r *Request) error {
				<-gate
				defer (*s).Release(r)
				return (*s).Answer(&frame.PutAnswer{}, false, nil)
			}}
		})
		c := dial(near)
		go func() {
			data := make([]byte, frame.MaxRaw)
			for i := range 60 {
				if i%2 == 0 {
					_ = c.Send(put(), data, 0, func(Answer) {})
				} else {
					_ = c.Send(put(), data[:100], 0, func(Answer) {})
				}
			}
			_ = c.Flush()
		}()
		synctest.Wait()
		s.mu.Lock()
		if s.queued > queueBytes+frame.MaxRaw {
			t.Errorf("%d bytes are held", s.queued)
		}
		s.mu.Unlock()
		close(gate)
		synctest.Wait()
		if s.queued != 0 || c.Unanswered() != 0 {
			t.Errorf("%d bytes are still counted, %d requests wait", s.queued, c.Unanswered())
		}
		_ = c.Close()
		<-over
	})
}

// TestBrokenServers: what a server must not send ends the connection and says
// so; nothing is taken for an answer.
func TestBrokenServers(t *testing.T) {
	t.Parallel()
	for code, send := range map[string]func(peer){
		"answer_to_nothing": func(p peer) {
			p.write(&frame.ReadAnswer{CV: make([]byte, 32)}, false, nil)
			p.write(&frame.ReadAnswer{CV: make([]byte, 32)}, false, nil)
		},
		"answer_out_of_order": func(p peer) { p.write(&frame.LogoutAnswer{}, false, nil) },
		"answer_too_large":    func(p peer) { p.write(&frame.ReadAnswer{CV: make([]byte, 32)}, false, make([]byte, 101)) },
		"request_from_server": func(p peer) { p.write(&frame.Logout{}, false, nil) },
		"frame_type":          func(p peer) { _, _ = p.conn.Write([]byte{0x7f, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0}) },
		"message_form":        func(p peer) { _, _ = p.conn.Write([]byte{0x80, 3, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0xa0, 0}) },
		"frame_flags":         func(p peer) { _, _ = p.conn.Write([]byte{0x80, 18, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}) },
		"connection_lost":     func(p peer) { _, _ = p.conn.Write([]byte{0x80, 3, 0, 0}); _ = p.conn.Close() },
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				near, far := newLink(roomy)
				c := dial(near)
				good, bad := 0, 0
				if err := errors.Join(c.Send(&frame.Read{Version: "v"}, nil, 100, func(a Answer) {
					if a.Err == nil {
						good++
					} else {
						bad++
					}
				}), c.Flush()); err != nil {
					t.Fatal(err)
				}
				server := byHand(t, far)
				server.read()
				send(server)
				<-c.Done()
				if hufu.CodeOf(c.Err()) != code || good+bad != 1 || good == 1 != (code == "answer_to_nothing") {
					t.Errorf("%d good and %d bad answers, %v", good, bad, c.Err())
				}
				if err := c.Send(&frame.Logout{}, nil, 0, nil); !errors.Is(err, c.Err()) {
					t.Error(err)
				}
				_ = far.Close()
			})
		})
	}
}

// TestBrokenClients: what a client must not send ends its connection with a
// goodbye that says why.
func TestBrokenClients(t *testing.T) {
	t.Parallel()
	for code, bytes := range map[string][]byte{
		"answer_from_client": {0x80, 3, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0xa0},
		"frame_type":         {0x7f, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0},
		"frame_too_large":    {0, 4, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0},
		"frame_raw":          {0, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 9, 0},
		"frame_flags":        {0, 5, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0},
		"message_form":       {0, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0xff},
		"message_value":      {0, 4, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0xa1, 1, 0x41, '/'},
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				near, far := newLink(roomy)
				_, over := run(far, echo)
				client := byHand(t, near)
				// Whatever follows is thrown away, not answered with a reset.
				if _, err := near.Write(append(bytes, make([]byte, 1<<20)...)); err != nil {
					t.Error(err)
				}
				m, _ := client.read()
				if g, ok := m.(*frame.Goodbye); !ok || g.Reason.Code != code {
					t.Errorf("%+v", m)
				}
				_ = near.Close()
				if err := <-over; hufu.CodeOf(err) != code {
					t.Error(err)
				}
			})
		})
	}
}

// TestHT43: of a buffer that is used again only what was written anew goes
// out, and only what came in is shown.
func TestHT43OldBytesStay(t *testing.T) {
	t.Parallel()
	secret := bytes.Repeat([]byte("SECRET!!"), frame.MaxRaw/8)
	synctest.Test(t, func(t *testing.T) {
		near, far := newLink(4 << 20)
		buf := append([]byte(nil), secret...)
		_, over := run(far, func(s **Server) handler {
			return handler{handle: func(_ context.Context, r *Request) error {
				if _, ok := r.Message.(*frame.Put); ok && len(r.Raw) < 1<<20 && bytes.Contains(r.Raw, []byte("SECRET")) {
					t.Error("the handler sees bytes of another request")
				}
				if m, ok := r.Message.(*frame.Read); ok {
					n := copy(buf, bytes.Repeat([]byte{'.'}, int(m.Index)))
					(*s).Release(r)
					return (*s).Answer(&frame.ReadAnswer{CV: make([]byte, 32)}, false, buf[:n])
				}
				(*s).Release(r)
				return (*s).Answer(reply(r), false, nil)
			}}
		})
		client := byHand(t, near)
		for _, n := range []int{0, 1, 100, smallRaw, smallRaw + 1, 200_000, 1<<20 - 1} {
			client.write(put(), false, secret)
			client.read()
			client.write(put(), false, bytes.Repeat([]byte{'.'}, n))
			client.read()
			client.write(&frame.Read{Version: "v", Index: int64(n)}, false, nil)
			m, raw := client.read()
			if _, ok := m.(*frame.ReadAnswer); !ok || len(raw) != n || bytes.Contains(raw, []byte("SECRET")) {
				t.Fatalf("%d bytes: got %d, %T", n, len(raw), m)
			}
		}
		_ = near.Close()
		<-over
	})
}

// TestEachGivesUp: a call whose context ends returns, and its function is not
// called afterwards; the connection goes on.
func TestEachGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := newLink(roomy)
		c := dial(near)
		server := byHand(t, far)
		ctx, cancel := context.WithCancel(t.Context())
		calls := 0
		over := make(chan error)
		go func() {
			over <- c.Each(ctx, &frame.List{}, func(Answer) error { calls++; return nil })
		}()
		server.read()
		server.write(&frame.ListAnswer{Entries: []frame.Entry{}}, true, nil)
		synctest.Wait()
		cancel()
		if err := <-over; hufu.KindOf(err) != hufu.KindCanceled {
			t.Error(err)
		}
		server.write(&frame.ListAnswer{Entries: []frame.Entry{}}, true, nil)
		server.write(&frame.ListAnswer{Entries: []frame.Entry{}}, false, nil)
		synctest.Wait()
		if calls != 1 || c.Unanswered() != 0 || c.Err() != nil {
			t.Errorf("called %d times, %d are awaited, %v", calls, c.Unanswered(), c.Err())
		}
		if err := c.Each(t.Context(), &frame.Login{User: "u"}, nil); hufu.KindOf(err) != hufu.KindInvalid {
			t.Errorf("a message that cannot be was sent: %v", err)
		}
		_ = c.Close()
		_ = far.Close()
	})
}

// TestEndsWhoeverIsBlocked: a writer that the other end does not read from
// holds nobody up.
func TestEndsWhoeverIsBlocked(t *testing.T) {
	t.Parallel()
	t.Run("client closes", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			near, far := newLink(1000)
			c := dial(near)
			lost := 0
			var wg sync.WaitGroup
			wg.Go(func() {
				for range 5 {
					_ = c.Send(put(), make([]byte, 300_000), 0, func(a Answer) {
						if a.Lost && hufu.CodeOf(a.Err) == "connection_closed" {
							lost++
						}
					})
				}
			})
			synctest.Wait()
			start := time.Now()
			_ = c.Close()
			wg.Wait()
			if took := time.Since(start); took != 0 || lost != 1 {
				t.Errorf("took %v, %d were lost", took, lost)
			}
			_ = far.Close()
		})
	})
	t.Run("client closes, bytes gathered", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			near, far := newLink(1000)
			c := dial(near)
			if err := c.Send(put(), make([]byte, 50_000), 0, func(Answer) {}); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			_ = c.Close()
			if took := time.Since(start); took != 0 {
				t.Errorf("took %v", took)
			}
			_ = far.Close()
		})
	})
	t.Run("client leaves and does not read", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			near, far := newLink(1000)
			_, over := run(far, func(s **Server) handler {
				return handler{handle: func(_ context.Context, r *Request) error {
					return (*s).Answer(reply(r), false, make([]byte, 900_000))
				}}
			})
			client := byHand(t, near)
			client.write(&frame.Read{Version: "v"}, false, nil)
			synctest.Wait()
			_ = near.CloseWrite()
			start := time.Now()
			<-over
			if took := time.Since(start); took > PartTimeout {
				t.Errorf("took %v", took)
			}
			_ = near.Close()
		})
	})
	t.Run("handler panics", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			near, far := newLink(8 << 20)
			stream := NewStream(far)
			s := NewServer(stream, stream, frame.NewCodec())
			client := byHand(t, near)
			for range 6 { // the reader waits for room when it happens
				client.write(put(), false, make([]byte, frame.MaxRaw))
			}
			func() {
				defer func() {
					if p, ok := recover().(*Panic); !ok || p.Value != "test" || !bytes.Contains(p.Stack, []byte("session_test.go")) {
						t.Errorf("it panicked with %v", p)
					}
				}()
				_ = s.Serve(t.Context(), handler{handle: func(context.Context, *Request) error {
					synctest.Wait()
					panic("test")
				}})
			}()
			_ = near.Close()
		})
	})
}

// TestStalled: nothing moves for half a minute although an answer is awaited.
func TestStalled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := newLink(roomy)
		c := dial(near)
		time.Sleep(time.Hour) // nothing is awaited
		if c.Err() != nil {
			t.Fatal(c.Err())
		}
		start := time.Now()
		_, err := c.Do(t.Context(), &frame.Stat{})
		if took := time.Since(start); hufu.CodeOf(err) != "connection_stalled" || took < StallTimeout || took > StallTimeout*4/3 {
			t.Errorf("after %v: %v", took, err)
		}
		if hufu.KindOf(err) != hufu.KindNetwork {
			t.Error(err)
		}
		_ = far.Close()
	})
}

// TestStalledWriter: the same while a large request does not get out.
func TestStalledWriter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := newLink(1000)
		c := dial(near)
		start := time.Now()
		lost := make(chan error, 1)
		_ = c.Send(put(), make([]byte, frame.MaxRaw), 0, func(a Answer) { lost <- a.Err })
		if err := <-lost; hufu.CodeOf(err) != "connection_stalled" || time.Since(start) > StallTimeout*4/3 {
			t.Error(err)
		}
		<-c.Done()
		_ = far.Close()
	})
}

// TestNotStalled: an answer that takes long, many small steps without an
// answer, and a client that is slow itself are no stall.
func TestNotStalled(t *testing.T) {
	t.Parallel()
	slow := func(s **Server) handler {
		return handler{handle: func(_ context.Context, r *Request) error {
			time.Sleep(Patience - 2*WorkingEvery) // at Patience itself the last notice may come first
			return (*s).Answer(reply(r), false, nil)
		}}
	}
	steps := func(s **Server) handler {
		var group []*Request
		return handler{
			handle: func(_ context.Context, r *Request) error {
				time.Sleep(time.Second)
				group = append(group, r)
				return nil
			},
			idle: func(context.Context) error {
				time.Sleep(time.Minute)
				for _, r := range group {
					if err := (*s).Answer(reply(r), false, nil); err != nil {
						return err
					}
				}
				group = nil
				return nil
			},
		}
	}
	for name, h := range map[string]func(**Server) handler{"slow": slow, "steps": steps} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				near, far := newLink(roomy)
				_, over := run(far, h)
				c := dial(near)
				var wg sync.WaitGroup
				for range 60 {
					wg.Go(func() {
						if _, err := c.Do(t.Context(), &frame.Stat{}); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				_ = c.Close()
				<-over
			})
		})
	}
	t.Run("own function", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			near, far := newLink(roomy)
			_, over := run(far, echo)
			c := dial(near)
			done := make(chan error, 3)
			for range 3 {
				_ = c.Send(&frame.Stat{}, nil, 0, func(a Answer) {
					time.Sleep(5 * time.Minute) // a slow disk
					done <- a.Err
				})
			}
			_ = c.Flush()
			for range 3 {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
			_ = c.Close()
			<-over
		})
	})
}

// TestNotices may stand between any two frames.
func TestNotices(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := newLink(roomy)
		c := dial(near)
		server := byHand(t, far)
		go func() {
			server.write(&frame.Changed{}, false, nil)
			server.read()
			for range 20 {
				time.Sleep(WorkingEvery)
				server.write(&frame.Working{}, false, nil)
			}
			server.write(&frame.ListAnswer{Entries: []frame.Entry{}}, true, nil)
			server.write(&frame.Changed{}, false, nil)
			server.write(&frame.ListAnswer{Entries: []frame.Entry{}}, false, nil)
		}()
		frames := 0
		if err := c.Each(t.Context(), &frame.List{}, func(Answer) error { frames++; return nil }); err != nil || frames != 2 {
			t.Error(frames, err)
		}
		_ = c.Close()
		_ = far.Close()
	})
}

// TestAnswersDoNotWait: while requests keep coming, an answer goes out soon, and
// before many bytes have come.
func TestAnswersDoNotWait(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]struct {
		each time.Duration // what handling one request takes
		raw  int
		soon time.Duration
	}{
		"slow":  {50 * time.Millisecond, 0, 4 * flushEvery},
		"large": {time.Millisecond, frame.MaxRaw, time.Millisecond * (flushBytes/frame.MaxRaw + 4)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				near, far := newLink(roomy)
				_, over := run(far, func(s **Server) handler {
					return handler{handle: func(_ context.Context, r *Request) error {
						defer (*s).Release(r)
						time.Sleep(v.each)
						return (*s).Answer(reply(r), false, nil)
					}}
				})
				c := dial(near)
				c.Allow(MaxRequests, MaxAsked)
				start := time.Now()
				const n = 200
				raw := make([]byte, v.raw)
				answers := make(chan time.Duration, n)
				for range n {
					err := c.Send(put(), raw, 0, func(Answer) { answers <- time.Since(start) })
					if err != nil {
						t.Fatal(err)
					}
				}
				_ = c.Flush()
				last := time.Duration(0)
				for range n {
					took := <-answers
					if took-last > v.soon {
						t.Errorf("no answer came from %v to %v", last, took)
					}
					last = took
				}
				_ = c.Close()
				<-over
			})
		})
	}
}

// TestNothingIsSentIntoTheVoid: when writing has failed, no more requests are
// taken while the reason is being found out.
func TestNothingIsSentIntoTheVoid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := newLink(roomy)
		stream := NewStream(near)
		c := NewClient(stream, stream, frame.NewCodec(), func(err error) error {
			time.Sleep(time.Second)
			return err
		})
		c.Allow(MaxRequests, MaxAsked)
		_ = far.Close()
		raw := make([]byte, frame.MaxRaw)
		taken, lost := 0, 0
		for c.Send(put(), raw, 0, func(a Answer) {
			if a.Lost {
				lost++
			}
		}) == nil {
			taken++
		}
		if <-c.Done(); taken > 1 || lost != taken {
			t.Errorf("%d requests were taken, %d are said to be lost", taken, lost)
		}
	})
}

// TestJudge: the reason that somebody else found stands in place of what
// reading met.
func TestJudge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := newLink(roomy)
		stream := NewStream(near)
		c := NewClient(stream, stream, frame.NewCodec(), func(err error) error {
			time.Sleep(time.Second)
			return &hufu.Error{Kind: hufu.KindRefused, Code: "cert_revoked", Err: err}
		})
		_ = far.Close()
		_, err := c.Do(t.Context(), &frame.Stat{})
		if hufu.CodeOf(err) != "cert_revoked" {
			t.Error(err)
		}
		<-c.Done()
		if _, err := c.Do(t.Context(), &frame.Stat{}); hufu.CodeOf(err) != "cert_revoked" || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
	})
}
