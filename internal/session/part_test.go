package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hufu"
	"hufu/internal/frame"
)

func revoked() *hufu.Error {
	return &hufu.Error{Op: "test", Kind: hufu.KindRefused, Code: "cert_revoked", Args: map[string]string{"when": "today"}}
}

// TestPart: every request that was not answered gets the reason, and both ends
// are gone at once when both of them read.
func TestPart(t *testing.T) {
	t.Parallel()
	for name, over := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				near, far := newLink(roomy)
				s, c := ends(t, far, near, over)
				end := make(chan error, 1)
				go func() { end <- s.Serve(context.Background(), handler{}) }()
				var reasons []error
				for range 10 {
					_ = c.Send(put(), make([]byte, 1000), 0, func(a Answer) {
						if !a.Lost {
							t.Error("not lost")
						}
						reasons = append(reasons, a.Err)
					})
				}
				_ = c.Flush()
				synctest.Wait()
				start := time.Now()
				var wg sync.WaitGroup
				for range 3 { // the first reason counts, all wait until it is said
					wg.Go(func() { s.Part(revoked()) })
				}
				wg.Wait()
				<-c.Done()
				err := <-end
				if took := time.Since(start); took != 0 {
					t.Errorf("took %v", took)
				}
				if hufu.CodeOf(err) != "cert_revoked" || hufu.KindOf(c.Err()) != hufu.KindRefused || len(reasons) != 10 {
					t.Error(err, c.Err(), len(reasons))
				}
				for _, r := range reasons {
					e, ok := errors.AsType[*hufu.Error](r)
					if !ok || e.Code != "cert_revoked" || e.Args["when"] != "today" {
						t.Error(r)
					}
				}
				if err := s.Answer(&frame.LogoutAnswer{}, false, nil); err != nil {
					t.Error(err)
				}
				if _, err := far.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
					t.Error(err)
				}
			})
		})
	}
}

// ends makes a server and a client over a connection, with TLS or without.
func ends(t testing.TB, a, b net.Conn, over bool) (*Server, *Client) {
	t.Helper()
	if !over {
		return serverOn(a), dial(b)
	}
	server, client, below, above := tlsPair(t, a, b)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := server.Handshake(); err != nil {
			t.Error(err)
		}
	})
	if err := client.Handshake(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	return NewServer(server, below, frame.NewCodec()), NewClient(client, above, frame.NewCodec(), nil)
}

func serverOn(conn net.Conn) *Server {
	stream := NewStream(conn)
	return NewServer(stream, stream, frame.NewCodec())
}

// TestPartEndsTheStream: a client that reads to the end need not wait for the
// time of parting: goodbye, the end of TLS and the end of the stream come
// together.
func TestPartEndsTheStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := newLink(roomy)
		server, client, below, _ := tlsPair(t, far, near)
		go func() { _ = server.Handshake() }()
		if err := client.Handshake(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s := NewServer(server, below, frame.NewCodec())
		over := make(chan error, 1)
		go func() { over <- s.Serve(context.Background(), handler{}) }()
		start := time.Now()
		s.Part(revoked())
		all, err := io.ReadAll(client)
		if err != nil || len(all) < frame.HeaderSize || time.Since(start) != 0 {
			t.Errorf("after %v: %d bytes, %v", time.Since(start), len(all), err)
		}
		// The client says nothing more and does not close: it is cut.
		if err := <-over; hufu.CodeOf(err) != "cert_revoked" || time.Since(start) > PartTimeout {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		_ = near.Close()
	})
}

// TestPartFromAnUnwillingClient: one that sends without end and does not read
// is gone within the time of parting.
func TestPartFromAnUnwillingClient(t *testing.T) {
	t.Parallel()
	// Who waits for a lock is not idle in the eyes of a bubble, so these take
	// their real second.
	t.Run("it sends and does not read", func(t *testing.T) {
		t.Parallel()
		near, far := newLink(20)
		s := serverOn(far)
		over := make(chan error, 1)
		go func() { over <- s.Serve(context.Background(), handler{}) }()
		b := byHand(t, near).bytes(put(), false, make([]byte, 1000))
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				if _, err := near.Write(b); err != nil {
					return
				}
			}
		})
		start := time.Now()
		s.Part(revoked())
		err := <-over
		if took := time.Since(start); hufu.CodeOf(err) != "cert_revoked" || took > PartTimeout+PartTimeout/2 {
			t.Errorf("after %v: %v", took, err)
		}
		wg.Wait()
		_ = near.Close()
	})
	t.Run("the handler is blocked by it", func(t *testing.T) {
		t.Parallel()
		near, far := newLink(1000)
		s := serverOn(far)
		over := make(chan error, 1)
		blocked := make(chan struct{})
		go func() {
			over <- s.Serve(context.Background(), handler{handle: func(_ context.Context, r *Request) error {
				close(blocked)
				return s.Answer(&frame.ReadAnswer{CV: make([]byte, 32)}, false, make([]byte, frame.MaxRaw))
			}})
		}()
		byHand(t, near).write(&frame.Read{Version: "v"}, false, nil)
		<-blocked
		start := time.Now()
		s.Part(revoked())
		err := <-over
		if took := time.Since(start); hufu.CodeOf(err) != "cert_revoked" || took > PartTimeout+PartTimeout/2 {
			t.Errorf("after %v: %v", took, err)
		}
		_ = near.Close()
	})
}

// TestPartWhileHandling: a handler at long work does not keep the connection.
func TestPartWhileHandling(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := newLink(roomy)
		s := serverOn(far)
		over := make(chan error, 1)
		go func() {
			over <- s.Serve(context.Background(), handler{handle: func(ctx context.Context, _ *Request) error {
				<-ctx.Done() // it is told
				time.Sleep(time.Hour)
				return nil
			}})
		}()
		p := byHand(t, near)
		p.write(&frame.Logout{}, false, nil)
		synctest.Wait()
		start := time.Now()
		s.Part(revoked())
		if m, _ := p.read(); m == nil || m.Type() != frame.TypeGoodbye {
			t.Errorf("%+v", m)
		}
		time.Sleep(PartTimeout)
		synctest.Wait()
		if _, err := near.Write([]byte{0}); err == nil {
			t.Error("the connection is still open")
		}
		<-over
		if time.Since(start) < time.Hour {
			t.Error("Serve returned before its handler")
		}
		_ = near.Close()
	})
}

// TestPartBeforeServe: who is refused before anything was read hears why, too.
func TestPartBeforeServe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := newLink(roomy)
		s, c := ends(t, far, near, true)
		lost := make(chan error, 1)
		go func() {
			_ = c.Send(put(), make([]byte, frame.MaxRaw), 0, func(a Answer) { lost <- a.Err })
		}()
		synctest.Wait()
		s.Part(revoked())
		handled := false
		err := s.Serve(t.Context(), handler{handle: func(context.Context, *Request) error { handled = true; return nil }})
		if hufu.CodeOf(err) != "cert_revoked" || handled {
			t.Error(err, handled)
		}
		if err := <-lost; hufu.CodeOf(err) != "cert_revoked" {
			t.Error(err)
		}
		<-c.Done()
	})
}

// TestHandlersError is the reason of parting; one that is not an Error is a
// defect, and its text stays here.
func TestHandlersError(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err  error
		kind hufu.Kind
	}{
		"reason": {revoked(), hufu.KindRefused},
		"defect": {errors.New("secret"), hufu.KindInternal},
	} {
		for _, when := range []string{"handle", "idle"} {
			t.Run(name+" of "+when, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					near, far := newLink(roomy)
					asked := false
					_, over := run(far, func(**Server) handler {
						return handler{
							handle: func(context.Context, *Request) error {
								if asked = true; when == "handle" {
									return test.err
								}
								return nil
							},
							idle: func(context.Context) error {
								if asked && when == "idle" {
									return test.err
								}
								return nil
							},
						}
					})
					c := dial(near)
					_, err := c.Do(t.Context(), &frame.Stat{})
					if hufu.KindOf(err) != test.kind || fmt.Sprint(err) == "secret" {
						t.Error(err)
					}
					if err := <-over; hufu.KindOf(err) != test.kind {
						t.Error(err)
					}
					<-c.Done()
				})
			})
		}
	}
}

// TestHT55ReasonIsNotLost: 200 clients that are refused while they send as fast
// as they can, over real sockets and TLS: each hears the reason, none of them
// just a broken pipe.
func TestHT55ReasonIsNotLost(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	const clients, together = 200, 8
	var wg sync.WaitGroup
	slots := make(chan struct{}, together)
	for i := range clients {
		slots <- struct{}{}
		near, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		far, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			defer func() { <-slots }()
			s, c := ends(t, far, near, i%2 == 0)
			over := make(chan error, 1)
			go func() {
				over <- s.Serve(context.Background(), handler{handle: func(_ context.Context, r *Request) error {
					s.Release(r)
					if i%4 < 2 {
						return revoked() // by what it asks
					}
					go s.Part(revoked()) // by somebody else
					return nil
				}})
			}()
			c.Allow(MaxRequests, MaxAsked)
			data := make([]byte, 200_000)
			lost := 0
			for {
				err := c.Send(put(), data, 0, func(a Answer) {
					if lost++; hufu.CodeOf(a.Err) != "cert_revoked" {
						t.Errorf("client %d was told %v", i, a.Err)
					}
				})
				if err != nil {
					if hufu.CodeOf(err) != "cert_revoked" {
						t.Errorf("client %d met %v", i, err)
					}
					break
				}
			}
			<-c.Done()
			if lost == 0 {
				t.Errorf("client %d lost nothing", i)
			}
			if err := <-over; hufu.CodeOf(err) != "cert_revoked" {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}
