package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hufu"
	"hufu/internal/account"
	"hufu/internal/blob/mem"
	"hufu/internal/files"
	"hufu/internal/frame"
	"hufu/internal/session"
)

// bare returns a server without accounts and files.
func bare() *Server {
	return &Server{
		codec: frame.NewCodec(), conns: newConnections(), handles: handles{limit: maxHandlesOfUser, of: map[string]int{}},
		held: held{limit: 2, drops: true, holders: map[*conn]struct{}{}},
		long: held{limit: 3, ofUser: 2, holders: map[*conn]struct{}{}},
	}
}

// connection is one whose other end is far.
func (s *Server) connection(user, device string) (c *conn, far net.Conn) {
	near, far := net.Pipe()
	stream := session.NewStream(near)
	return &conn{
		s: s, sub: account.Subject{User: user, Device: device}, stream: stream, session: session.NewServer(stream, stream, s.codec), log: NewLog(io.Discard),
	}, far
}

// TestStatusOfTheTeachingListener: its clients have no name.
func TestStatusOfTheTeachingListener(t *testing.T) {
	t.Parallel()
	s := bare()
	c, far := s.connection("", "")
	defer far.Close()
	s.conns.join(c)
	if open, users, _, _ := s.conns.totals(); open != 1 || len(users) != 0 {
		t.Errorf("%d open, of %q", open, users)
	}
}

// TestCutIsLoggedOnce: while the connection is parting, further reloads do not repeat it.
func TestCutIsLoggedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		cs := newConnections()
		c := &refused{log: slog.New(slog.NewTextHandler(&log, nil))}
		cs.join(c)
		cs.judge()
		cs.judge()
		if n := strings.Count(log.String(), "msg=cut"); n != 1 {
			t.Errorf("%d lines", n)
		}
	})
}

// refused is a connection that may not go on.
type refused struct {
	admitted
	log  *slog.Logger
	cuts int
}

func (*refused) from() device           { return device{"alice", "pc"} }
func (*refused) judge() error           { return stopping() }
func (r *refused) cut(*hufu.Error)      { r.cuts++ }
func (r *refused) isCut() bool          { return r.cuts > 0 }
func (r *refused) logger() *slog.Logger { return r.log }

// TestWhoMakesRoom: a device and a user have so many connections at most, and when
// all places are taken, there is one for whoever has few.
func TestWhoMakesRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := bare()
		idle, _ := s.connection("", "")
		several := func(n int, user, device string, busy bool) (all []*conn) {
			t.Helper()
			for range n {
				time.Sleep(time.Nanosecond)
				near, _ := net.Pipe()
				c := &conn{s: s, sub: account.Subject{User: user, Device: device}, stream: session.NewStream(near), session: idle.session, log: NewLog(io.Discard)}
				c.committing.Store(busy)
				if all = append(all, c); !s.conns.join(c) {
					t.Fatalf("no room for number %d of %s on %s", len(all), user, device)
				}
			}
			return all
		}
		cut := func() (all []*conn) {
			for a := range s.conns.all {
				if c := a.(*conn); c.cutting.Load() {
					c.cuts.Wait()
					s.gone(c)
					all = append(all, c)
				}
			}
			return all
		}
		only := func(what string, want *conn) {
			t.Helper()
			if got := cut(); len(got) != 1 || got[0] != want {
				t.Errorf("%s: %d were cut, or another one", what, len(got))
			}
		}
		// A device.
		pc := several(MaxOfOneDevice, "mallory", "pc", false)
		pc[0].committing.Store(true)
		if n := cut(); len(n) != 0 {
			t.Fatalf("%d were cut at the limit", len(n))
		}
		pc = append(pc, several(1, "mallory", "pc", false)...)
		only("one more than a device may have", pc[1])
		for _, c := range pc {
			c.committing.Store(true)
		}
		one, _ := s.connection("mallory", "pc")
		two, _ := s.connection("mallory", "pc")
		for _, more := range []*conn{one, two} { // the second comes before the first has left
			if s.conns.join(more) || !more.cutting.Load() {
				t.Error("a device gets one more although it works with all")
			}
		}
		s.gone(one)
		s.gone(two)
		// A user.
		laptop := several(maxOfOneUser-MaxOfOneDevice, "mallory", "laptop", false)
		if n := cut(); len(n) != 0 {
			t.Fatalf("%d were cut at the limit", len(n))
		}
		several(1, "mallory", "phone", false)
		only("one more than a user may have", laptop[0])
		// Everybody.
		for u := 1; u < maxConnections/maxOfOneUser; u++ {
			for d := range maxOfOneUser / MaxOfOneDevice {
				several(MaxOfOneDevice, fmt.Sprint("friend", u), fmt.Sprint(d), true)
			}
		}
		if n := cut(); len(n) != 0 || len(s.conns.all) != maxConnections {
			t.Fatalf("%d were cut, %d are there", len(n), len(s.conns.all))
		}
		for i := range 50 {
			alice := several(1, "alice", "pc", i%2 == 0)
			got := cut()
			if len(got) != 1 || got[0].sub.User == "alice" || alice[0].cutting.Load() {
				t.Fatalf("alice's connection number %d: %d were cut", i, len(got))
			}
		}
		if n := len(s.conns.all); n != maxConnections {
			t.Errorf("%d connections", n)
		}
		for c := range s.conns.all {
			s.gone(c.(*conn))
		}
		if len(s.conns.ofUser)+len(s.conns.ofDevice) != 0 {
			t.Errorf("%v %v", s.conns.ofUser, s.conns.ofDevice)
		}
	})
}

// TestDrainAwaitsAnEnrollment: one that is being carried out may end, others are closed
// when nothing is being done.
func TestDrainAwaitsAnEnrollment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := bare()
		s.silent.limit, s.handshakes.limit, s.enrolling.limit = 8, 8, 8
		var busy atomic.Bool
		busy.Store(true)
		start, cut := time.Now(), time.Duration(0)
		s.enrolling.enter(&net.TCPAddr{}, func() { cut = time.Since(start) }, busy.Load)
		time.AfterFunc(3*time.Second, func() { busy.Store(false) })
		if err := s.drain(time.Minute, &sync.WaitGroup{}); err != nil || cut < 3*time.Second || cut > 4*time.Second {
			t.Errorf("%v, cut after %v", err, cut)
		}
	})
}

// TestHeldChunks: all connections together hold so many chunks, one that does not
// get rid of its own loses it, and a free one goes to the user with the fewest.
func TestHeldChunks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := bare()
		var all sync.WaitGroup
		defer all.Wait()
		// Two of mallory's, who does not read the answers.
		var stuck []*conn
		for range s.held.limit {
			time.Sleep(time.Millisecond)
			c, far := s.connection("mallory", "pc")
			stuck = append(stuck, c)
			if err := s.held.take(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			all.Go(func() {
				defer s.held.release(c)
				if _, err := c.stream.Write(make([]byte, 1<<20)); err == nil {
					t.Error("somebody has read")
				}
				_ = far.Close()
			})
		}
		synctest.Wait()
		start := time.Now()
		var order []string
		var mu sync.Mutex
		take := func(ctx context.Context, user string) *conn {
			c, _ := s.connection(user, "pc")
			all.Go(func() {
				if err := s.held.take(ctx, c); err != nil {
					if hufu.KindOf(err) != hufu.KindCanceled {
						t.Error(err)
					}
					return
				}
				mu.Lock()
				defer mu.Unlock()
				order = append(order, fmt.Sprint(user, " ", time.Since(start)))
			})
			synctest.Wait()
			return c
		}
		gone, cancel := context.WithCancel(t.Context())
		take(gone, "carol") // gives up
		cancel()
		third := take(t.Context(), "mallory")
		alice := take(t.Context(), "alice")
		time.Sleep(3 * heldWait)
		mu.Lock()
		if len(order) != 2 || !slices.Contains(order, fmt.Sprint("alice ", heldWait)) {
			t.Errorf("in this order: %q", order)
		}
		mu.Unlock()
		if err := stuck[0].session.Serve(t.Context(), stuck[0]); hufu.CodeOf(err) != "client_stalled" {
			t.Errorf("the reason is %v", err)
		}
		s.held.release(third)
		s.held.release(alice)
		if len(s.held.holders) != 0 || len(s.held.waiting) != 0 {
			t.Errorf("%d hold one, %d wait", len(s.held.holders), len(s.held.waiting))
		}
	})
}

// TestChunksOfOneUser: a user who has all the chunks that one may have waits, also if others are free, and
// then loses one of their own that is stuck, not one of somebody else.
func TestChunksOfOneUser(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := bare()
		s.held.limit, s.held.ofUser = 4, 1
		var all sync.WaitGroup
		defer all.Wait()
		stuck := map[string]*conn{}
		for _, user := range []string{"alice", "mallory"} {
			c, far := s.connection(user, "pc")
			stuck[user] = c
			if err := s.held.take(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			all.Go(func() {
				defer s.held.release(c)
				_, _ = c.stream.Write(make([]byte, 1<<20))
				_ = far.Close()
			})
			time.Sleep(time.Millisecond)
		}
		c, _ := s.connection("mallory", "pc")
		start := time.Now()
		if err := s.held.take(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d != heldWait {
			t.Errorf("the second one of a user came after %v", d)
		}
		if err := stuck["mallory"].session.Serve(t.Context(), stuck["mallory"]); hufu.CodeOf(err) != "client_stalled" {
			t.Errorf("the reason is %v", err)
		}
		if _, has := s.held.holders[stuck["alice"]]; !has {
			t.Error("another user has lost one")
		}
		_ = stuck["alice"].stream.Close()
	})
}

// TestLongRequestsOfOneUser: copies and digests of one user never take the last place, however
// many wait, and each of them gets one in the end.
func TestLongRequestsOfOneUser(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := bare()
		var has []*conn
		var all sync.WaitGroup
		begin := func(user string) {
			c, far := s.connection(user, "pc")
			all.Go(func() {
				defer far.Close()
				if err := s.long.take(t.Context(), c); err != nil {
					t.Error(err)
				}
				has = append(has, c)
			})
			synctest.Wait()
		}
		users := func() (u string) {
			for _, c := range has {
				u += c.sub.User[:1]
			}
			return u
		}
		end := func() {
			c := has[0]
			has = has[1:]
			s.long.release(c)
			synctest.Wait()
		}
		for range 4 {
			begin("mallory")
		}
		if got := users(); got != "mm" {
			t.Errorf("at work: %q, not two of one user", got)
		}
		begin("alice")
		if got := users(); got != "mma" {
			t.Errorf("at work: %q, alice does not get the free place", got)
		}
		begin("bob")
		end() // the place of one of mallory's
		if got := users(); got != "mab" {
			t.Errorf("at work: %q, bob waits behind mallory", got)
		}
		for len(has) > 0 {
			end()
		}
		if len(s.long.waiting)+len(s.long.holders) != 0 {
			t.Errorf("%d wait, %d are at work", len(s.long.waiting), len(s.long.holders))
		}
		all.Wait()
	})
}

// TestIdleConnectionKeepsNoRoom: not for the largest group that it ever had.
func TestIdleConnectionKeepsNoRoom(t *testing.T) {
	t.Parallel()
	s := bare()
	c, far := s.connection("alice", "pc")
	defer far.Close()
	fs := files.New(mem.NewTrees(mem.Options{}), slog.New(slog.DiscardHandler))
	c.view = fs.For("alice", "pc", func() error { return nil }, slog.DiscardHandler)
	c.batch = c.view.Batch()
	c.group = make([]change, 0, groupChanges)
	if err := c.Idle(t.Context()); err != nil || cap(c.group) > keptChanges {
		t.Errorf("%v, room for %d", err, cap(c.group))
	}
}

// TestDrainEndsWhateverHappens: what does not end is left behind, in time.
func TestDrainEndsWhateverHappens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := bare()
		s.o.Log = NewLog(io.Discard)
		c, far := s.connection("alice", "pc")
		c.committing.Store(true)
		s.conns.join(c)
		var open sync.WaitGroup
		open.Add(1) // a call of the store that does not return
		const limit = 7 * time.Second
		start := time.Now()
		err := s.drain(limit, &open)
		if took := time.Since(start); took < limit || took > limit+StopTime+time.Second {
			t.Errorf("took %v", took)
		}
		if hufu.CodeOf(err) != "serve_stuck" {
			t.Error(err)
		}
		open.Done()
		_ = far.Close()
		s.gone(c)
		start = time.Now()
		if err := s.drain(limit, &open); err != nil || time.Since(start) > time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

// TestCrowd: who has to make room among those who have proven nothing.
func TestCrowd(t *testing.T) {
	t.Parallel()
	c := crowd{limit: 4}
	from := func(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 1} }
	enter := func(ip string, busy bool) *stranger { return c.enter(from(ip), func() {}, func() bool { return busy }) }
	good := enter("192.0.2.1", false)
	working := enter("198.51.100.1", true)
	first := enter("198.51.100.1", false)
	second := enter("198.51.100.1", false)
	if good.out.Load() || working.out.Load() || first.out.Load() || second.out.Load() {
		t.Fatal("put out although there is room")
	}
	third := enter("198.51.100.1", false)
	if !first.out.Load() || good.out.Load() || working.out.Load() || second.out.Load() {
		t.Error("not the oldest idle one of the busiest origin")
	}
	enter("198.51.100.1", false)
	if !second.out.Load() || third.out.Load() || working.out.Load() {
		t.Error("not the next one")
	}
	working.leave()
	good.leave()
	first.leave() // has none
	if len(c.in) != 2 {
		t.Errorf("%d places are taken", len(c.in))
	}
	// An IPv6 network is one origin.
	v6 := crowd{limit: 3}
	at := func(ip string) *stranger { return v6.enter(from(ip), func() {}, nil) }
	first4, first6, second6 := at("192.0.2.1"), at("2001:db8::1"), at("2001:db8::2")
	at("203.0.113.1")
	if first4.out.Load() || !first6.out.Load() || second6.out.Load() {
		t.Error("not the oldest of the network that has most")
	}
	c.end()
	if late := enter("192.0.2.1", false); !late.out.Load() || !third.out.Load() {
		t.Error("somebody stays after the end")
	}
}

// TestHelloLeavesTheSilent: a peer that has said hello has a place of its own kind,
// which those who keep silent cannot take.
func TestHelloLeavesTheSilent(t *testing.T) {
	t.Parallel()
	s := bare()
	s.silent.limit, s.handshakes.limit = 1, 1
	near, far := net.Pipe()
	st := &step{remote: &net.TCPAddr{IP: net.ParseIP("192.0.2.1")}, cut: func() {}}
	st.place = s.silent.enter(st.remote, st.cut, nil)
	said := make(chan struct{})
	go func() {
		_ = tls.Client(near, &tls.Config{ServerName: "localhost", MinVersion: tls.VersionTLS13}).HandshakeContext(t.Context())
		_ = near.Close()
		close(said)
	}()
	enough := errors.New("enough")
	config := s.withSteps(&tls.Config{MinVersion: tls.VersionTLS13, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, enough }})
	if err := tls.Server(far, config).HandshakeContext(context.WithValue(t.Context(), stepKey{}, st)); !errors.Is(err, enough) {
		t.Error(err)
	}
	_ = far.Close()
	<-said
	if silent, handshakes := s.Unproven(); silent != 0 || handshakes != 1 || st.place.out.Load() {
		t.Errorf("%d keep silent, %d are in their handshake", silent, handshakes)
	}
}
