package client

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"hufu"
	"hufu/internal/frame"
	"hufu/internal/session"
	"hufu/internal/transfer"
)

// Several servers may serve one installation. Hello's answer says where the others are. A transfer
// spreads its lanes over them, and a lost connection is made again to another one if its own server
// does not answer. Each of them has to prove the same name as the first one, with the same root: the
// address in the list proves nothing.

const (
	// maxServers is how many servers one transfer uses, maxLanes how many lanes to all of them
	// together if the way is long.
	maxServers = 8
	maxLanes   = 48
	// triedOthers is how many other servers a lost connection is tried with.
	triedOthers = 2
	// nextAfter is how long a server is waited for if there is another one to connect to.
	nextAfter = 2 * time.Second

	firstAway = time.Second // pauses between the attempts to open a lane to another server
	lastAway  = 30 * time.Second
	// listFor is how long the list of hello's answer counts as new.
	listFor = 2 * time.Second
	// lastsLong is the time after which a lane that is lost was none that fails at once.
	lastsLong = 10 * time.Second
)

// servers are the addresses of an installation.
type servers struct {
	mu     sync.Mutex
	home   string   // where the control connection goes
	others []string // where hello has said that the others are
	// first is the home before the first move, that of the profile. It is tried even if no list has it: it
	// may have been away when the list was made.
	first string
	// unused says why another server could not be used the last time that it was tried.
	unused map[string]error
}

// Node is a server of an installation.
type Node struct {
	Address string
	Err     error // why it could not be used when it was tried, nil if it could or was not tried
}

// Nodes returns the servers of the installation that are known: that of the control connection, and the
// others.
func (r *Remote) Nodes() []Node {
	s := &r.servers
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []Node{{Address: s.home}}
	for _, at := range s.others {
		all = append(all, Node{at, s.unused[at]})
	}
	return all
}

// Examine tries to use each of the other servers, and returns all.
func (r *Remote) Examine(ctx context.Context) []Node {
	var all sync.WaitGroup
	for _, at := range r.servers.list() {
		all.Go(func() {
			if l, err := r.trySpare(ctx, at); err == nil {
				_ = l.Close()
			}
		})
	}
	all.Wait()
	return r.Nodes()
}

// trySpare is openSpare, and notes the result.
func (r *Remote) trySpare(ctx context.Context, at string) (*lane, error) {
	begun := time.Now()
	l, err := r.openSpare(ctx, at)
	why := err
	switch {
	case errors.Is(err, errSameServer):
		why = nil
	case err != nil && ctx.Err() != nil && time.Since(begun) < nextAfter:
		return nil, err // the transfer is over before the server could answer
	case err != nil && ctx.Err() != nil:
		why = &hufu.Error{Op: "connect", Kind: hufu.KindNetwork, Code: "connection_stalled", Err: err}
	}
	r.servers.mu.Lock()
	defer r.servers.mu.Unlock()
	if r.servers.unused == nil {
		r.servers.unused = map[string]error{}
	}
	r.servers.unused[at] = why
	return l, err
}

// spreads reports whether other servers may be used: not if the caller has named an address, or wants to
// see every byte.
func (r *Remote) spreads() bool {
	return r.dialer != nil && !r.o.Teach && r.o.Tap == nil && r.o.Address == r.p.Address
}

// learn takes over the addresses in hello's answer.
func (s *servers) learn(told []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.others = nil
	for _, at := range told {
		if len(s.others) < maxServers-1 && at != s.home && isAddress(at) && !slices.Contains(s.others, at) {
			s.others = append(s.others, at)
		}
	}
}

// nodesFile holds the addresses of the other servers, as hello's answer had them the last time, sorted, in
// the state of the profile: a command finds another server if its own is down when it starts.
const nodesFile = "nodes.json"

// keptNodes reads them, none if that is impossible.
func (r *Remote) keptNodes() (at []string) {
	data, err := r.p.Kept(nodesFile)
	if err != nil || json.Unmarshal(data, &at) != nil {
		return nil
	}
	return at
}

// recall takes over the addresses of the last time.
func (r *Remote) recall() {
	if r.spreads() {
		r.servers.learn(r.keptNodes())
	}
}

// learn takes over the addresses in hello's answer, and keeps them for the next time. A failure costs the
// next command no more than them.
func (r *Remote) learn(told []string) {
	if !r.spreads() {
		return
	}
	r.servers.learn(told)
	if home := r.servers.address(); home != r.p.Address { // which may still be down the next time
		told = append(slices.Clone(told), home)
	}
	if told = slices.Sorted(slices.Values(told)); slices.Equal(told, r.keptNodes()) {
		return
	}
	if data, err := json.Marshal(told); err == nil {
		_ = r.p.Keep(nodesFile, append(data, '\n'))
	}
}

// isAddress reports whether an address can be dialed.
func isAddress(at string) bool {
	host, port, err := net.SplitHostPort(at)
	n, convErr := strconv.ParseUint(port, 10, 16)
	return err == nil && convErr == nil && host != "" && n > 0
}

// address returns where the control connection goes.
func (s *servers) address() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.home
}

// list returns the other servers.
func (s *servers) list() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.others)
}

// candidates returns the addresses to connect to, one after the other. If there are several, the last
// is the first one again, for all the time that is left.
func (s *servers) candidates() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []string{s.home}
	all = append(all, s.others[:min(triedOthers, len(s.others))]...)
	if s.first != "" && !slices.Contains(all, s.first) {
		all = append(all, s.first)
	}
	if len(all) > 1 {
		all = append(all, s.home)
	}
	return all
}

// failed notes that an address did not answer: others come first the next time.
func (s *servers) failed(at string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.others, at); i >= 0 {
		s.others = append(slices.Delete(s.others, i, i+1), at)
	}
}

// move makes an address the home: it has answered, and the one before has not.
func (s *servers) move(to string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first == "" {
		s.first = s.home
	}
	if s.home != to {
		s.others = append(slices.DeleteFunc(s.others, func(at string) bool { return at == to }), s.home)
		s.home = to
	}
}

// lanesPerServer returns how many lanes to one of n servers are worth their cost.
func (r *Remote) lanesPerServer(way session.Way, n int) int {
	if way.RTT < r.farRTT {
		return fewLanes
	}
	return max(fewLanes, min(manyLanes, maxLanes/n))
}

// share returns how many of jobs lanes go to the server with this number, of n.
func share(jobs, n, number int) int { return (jobs + n - 1 - number) / n }

// Spread opens lanes to the other servers of the installation until ctx ends, and calls use with each
// of them. It says nothing of a server that cannot be used.
func (r *Remote) Spread(ctx context.Context, jobs int, use func(l transfer.Lane, first bool)) {
	r.refresh(ctx)
	others := r.servers.list()
	n := len(others) + 1
	var all sync.WaitGroup
	for i, at := range others {
		most := share(jobs, n, i+1)
		if jobs > 0 && most == 0 {
			break
		}
		all.Go(func() {
			place := standIns{r: r, ctx: ctx, n: most, use: use}
			if jobs == 0 {
				r.mu.Lock()
				place.n = share(r.lanesPerServer(r.way, 1)-r.lanesPerServer(r.way, n), n-1, i)
				r.mu.Unlock()
			}
			r.lanesTo(ctx, at, func(way session.Way) int {
				if jobs > 0 {
					return most
				}
				return r.lanesPerServer(way, n)
			}, &place, use)
			<-ctx.Done() // it may be the own server by another address
			place.end()
			place.all.Wait()
		})
	}
	all.Wait()
}

// standIns are lanes to the own server in place of those of another one that cannot be used. They are used
// like lanes to another server.
type standIns struct {
	r   *Remote
	ctx context.Context //nolint:containedctx // of Spread
	n   int             // how many
	use func(l transfer.Lane, first bool)

	mu   sync.Mutex         // guards what follows
	up   bool               // the other server can be used
	stop context.CancelFunc // nil if there are none
	all  sync.WaitGroup
}

// open calls try, which opens a lane to the other server. The stand-ins begin when that fails, or takes
// longer than nextAfter.
func (s *standIns) open(try func() (*lane, error)) (*lane, error) {
	s.mu.Lock()
	s.up = false
	s.mu.Unlock()
	late := time.AfterFunc(nextAfter, s.begin)
	defer late.Stop()
	l, err := try()
	if err != nil {
		s.begin()
		return nil, err
	}
	s.mu.Lock()
	s.up = true
	s.mu.Unlock()
	return l, nil
}

// begin opens them, unless there are some or the other server can be used.
func (s *standIns) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.up || s.stop != nil || s.n == 0 || s.ctx.Err() != nil {
		return
	}
	var ctx context.Context
	ctx, s.stop = context.WithCancel(s.ctx)
	for range s.n {
		s.all.Go(func() {
			s.r.keep(ctx, s.r.openOwn, func(l *lane) {
				defer context.AfterFunc(ctx, func() { _ = l.Close() })()
				s.use(l, false)
			})
		})
	}
}

// end closes them. What they have not answered goes over other lanes.
func (s *standIns) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop != nil {
		s.stop()
		s.stop = nil
	}
}

// openOwn opens a lane to the own server that is used like one to another server.
func (r *Remote) openOwn(ctx context.Context) (*lane, error) {
	ctx, cancel := context.WithTimeout(ctx, session.DialTimeout)
	defer cancel()
	r.mu.Lock()
	hello := r.helloMessage(r.token)
	r.mu.Unlock()
	at := r.servers.address()
	c, _, err := r.dialAt(ctx, at, nil, false)
	if err != nil {
		return nil, err
	}
	l := &lane{c: c, spare: true, at: at}
	if err := c.Send(hello, nil, 0, func(session.Answer) {}); err != nil {
		_ = c.Close()
		return nil, err
	}
	r.bound(l)
	return l, nil
}

// refresh asks for the other servers again, over a connection of its own, if the control connection is
// that to one of several and older than the list may be: servers that have joined since are used by the
// next transfer.
func (r *Remote) refresh(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, nextAfter)
	defer cancel()
	r.mu.Lock()
	old := r.hello != nil && slices.Contains(r.hello.Features, frame.FeatureNodes) && time.Since(r.greeted) >= listFor
	hello := r.helloMessage(r.token)
	r.mu.Unlock()
	if !old {
		return
	}
	hello.Features = append(hello.Features, frame.FeatureNodes)
	c, _, err := r.dialAt(ctx, r.servers.address(), nil, false)
	if err != nil {
		return
	}
	defer func() { _ = c.Close() }()
	m, err := c.Do(ctx, hello)
	if a, ok := m.(*frame.HelloAnswer); err == nil && ok {
		r.learn(a.Nodes)
	}
}

// lanesTo opens lanes to another server until ctx ends: one, and when that has shown how far the server
// is, as many as count says. While it cannot be used, place stands in for it.
func (r *Remote) lanesTo(ctx context.Context, at string, count func(session.Way) int, place *standIns, use func(l transfer.Lane, first bool)) {
	var more sync.WaitGroup
	begun := false
	r.keep(ctx, func(ctx context.Context) (*lane, error) {
		return place.open(func() (*lane, error) { return r.trySpare(ctx, at) })
	}, func(l *lane) {
		place.end()
		if !begun {
			begun = true
			for range count(l.c.Way()) - 1 {
				more.Go(func() {
					r.keep(ctx, func(ctx context.Context) (*lane, error) { return r.trySpare(ctx, at) }, func(l *lane) { use(l, false) })
				})
			}
		}
		use(l, true)
	})
	more.Wait()
}

// keep opens a lane, calls use with it, and opens it again after a pause, until ctx ends.
func (r *Remote) keep(ctx context.Context, open func(context.Context) (*lane, error), use func(*lane)) {
	for pause := firstAway; ctx.Err() == nil; {
		l, err := open(ctx)
		if errors.Is(err, errSameServer) {
			return
		}
		if err == nil {
			begun := time.Now()
			use(l)
			_ = l.Close()
			if time.Since(begun) >= lastsLong {
				pause = firstAway
			}
		}
		select {
		case <-time.After(Jitter(pause)):
		case <-ctx.Done():
		}
		pause = min(2*pause, lastAway)
	}
}

var errSameServer = errors.New("the server has another address")

// openSpare opens a lane to another server, and waits until that has accepted the login.
func (r *Remote) openSpare(ctx context.Context, at string) (*lane, error) {
	ctx, cancel := context.WithTimeout(ctx, session.DialTimeout)
	defer cancel()
	r.mu.Lock()
	hello, home := r.helloMessage(r.token), r.hello
	r.mu.Unlock()
	c, _, err := r.dialAt(ctx, at, nil, false)
	if err != nil {
		return nil, err
	}
	m, err := c.Do(ctx, hello)
	a, ok := m.(*frame.HelloAnswer)
	switch {
	case err != nil:
	case !ok:
		err = &hufu.Error{Op: "hello", Kind: hufu.KindProtocol}
	case home != nil && slices.Equal(a.Instance, home.Instance): // by another address
		err = errSameServer
	default:
		err = r.notLoggedIn(a)
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	c.Allow(int(a.Requests), int(a.Bytes))
	c.AskLess(laneWindow)
	return &lane{c: c, spare: true, at: at}, nil
}
