package server

import (
	"log/slog"
	"strconv"
	"sync"
	"time"

	"hufu"
)

// device is the user and device that a connection belongs to.
type device struct{ user, name string }

// admitted is a connection past its handshake, or one of the teaching listener. Connections that
// only enroll are not counted here. The server judges, cuts and counts it through this interface.
type admitted interface {
	// from returns the device that the connection comes from, always the same.
	from() device
	// judge returns why the connection may no longer go on, or nil.
	judge() error
	// cut tells the other end why and ends the connection, and returns at once. The caller holds
	// connections.mu and the connection has not left yet. Only the first call counts.
	cut(why *hufu.Error)
	// isCut reports whether cut was called.
	isCut() bool
	// active reports whether something is under way for which draining waits.
	active() bool
	// moved returns when bytes came or went last.
	moved() time.Time
	// bytes returns how many bytes have come and gone.
	bytes() (in, out int64)
	// logger returns the log for what happens to the connection.
	logger() *slog.Logger
	// pending describes what is under way, as attributes for the log.
	pending() []any
}

// connections are all admitted connections of a server, within their limits.
type connections struct {
	mu       sync.Mutex // guards all below
	all      map[admitted]struct{}
	ofUser   map[string]int
	ofDevice map[device]int
}

func newConnections() *connections {
	return &connections{all: map[admitted]struct{}{}, ofUser: map[string]int{}, ofDevice: map[device]int{}}
}

// join adds a connection, and cuts the one that has to make room for it, if any: c itself or
// another one. It reports whether c stays.
func (cs *connections) join(c admitted) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	from := c.from()
	cs.all[c] = struct{}{}
	cs.ofUser[from.user]++
	cs.ofDevice[from]++
	out, code := cs.full(c)
	if out == nil {
		return true
	}
	if out != c {
		out.logger().Warn("cut", "why", code)
	}
	// While mu is held. Otherwise the next connection could choose out too: two would come, and one
	// would leave.
	out.cut(&hufu.Error{Op: "server", Kind: hufu.KindUnavailable, Code: code})
	return out != c
}

// leave removes a connection that has ended, in whatever way.
func (cs *connections) leave(c admitted) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	from := c.from()
	delete(cs.all, c)
	lessOf(cs.ofUser, from.user)
	lessOf(cs.ofDevice, from)
}

func lessOf[K comparable](count map[K]int, k K) {
	if count[k]--; count[k] == 0 {
		delete(count, k)
	}
}

// judge cuts the connections that may no longer go on. It runs after every change of
// accounts and certificates, and every judgeAllEvery.
func (cs *connections) judge() {
	cs.mu.Lock()
	all := make([]admitted, 0, len(cs.all))
	for c := range cs.all {
		all = append(all, c)
	}
	cs.mu.Unlock()
	for _, c := range all {
		if err := c.judge(); err != nil {
			// A goodbye takes up to session.PartTimeout. All must be gone within that time, so cut
			// does not wait.
			cs.mu.Lock()
			if _, here := cs.all[c]; here && !c.isCut() {
				c.logger().Warn("cut", "why", hufu.CodeOf(err))
				c.cut(asError(err))
			}
			cs.mu.Unlock()
		}
	}
}

// The codes of a connection that has to go.
const (
	tooMany = "too_many_connections" // of its device or user
	allFull = "server_full"          // of all
)

// full returns the connection that has to go because c has come and the code that it is told, or
// nil if there is room for all; the caller holds mu. A device or a user who has too many loses the one that has
// been idle for longest, or else the new one. When all places are taken, the user with the
// most places loses a connection, even an active one; if that is the user of c, active ones
// are spared.
func (cs *connections) full(c admitted) (out admitted, code string) {
	from := c.from()
	user := from.user
	code = tooMany
	var among func(device) bool
	switch {
	case cs.ofDevice[from] > MaxOfOneDevice:
		among = func(d device) bool { return d == from }
	case cs.ofUser[user] > maxOfOneUser:
		among = func(d device) bool { return d.user == user }
	case len(cs.all) > maxConnections:
		for u, n := range cs.ofUser {
			if n > cs.ofUser[user] {
				user = u
			}
		}
		among = func(d device) bool { return d.user == user }
		code = allFull
	default:
		return nil, ""
	}
	for other := range cs.all {
		switch {
		case other == c || !among(other.from()) || other.isCut() || user == from.user && other.active():
		case out == nil || other.moved().Before(out.moved()):
			out = other
		}
	}
	if out == nil {
		return c, code
	}
	return out, code
}

// partIdle tells all connections to come back later, except those at work if they may
// finish. It returns how many these are.
func (cs *connections) partIdle(finish bool) (busy int) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for c := range cs.all {
		if finish && c.active() {
			busy++
			continue
		}
		c.cut(stopping())
	}
	return busy
}

// stuck logs the connections that do not end, and returns the error that tells of them.
func (cs *connections) stuck() error {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for c := range cs.all {
		c.logger().Error("does not end", c.pending()...)
	}
	return &hufu.Error{Op: "stop server", Kind: hufu.KindUnreadable, Code: "serve_stuck", Args: map[string]string{"count": strconv.Itoa(len(cs.all))}}
}

// totals returns how many connections are open, the users that they belong to, each once, and
// the bytes that have come and gone over them.
func (cs *connections) totals() (open int, users []string, in, out int64) {
	users = []string{}
	seen := map[string]bool{}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for c := range cs.all {
		i, o := c.bytes()
		in, out = in+i, out+o
		if user := c.from().user; user != "" && !seen[user] { // on the teaching listener nobody is known
			seen[user] = true
			users = append(users, user)
		}
	}
	return len(cs.all), users, in, out
}
