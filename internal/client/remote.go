package client

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"time"

	"hufu"
	"hufu/internal/frame"
	"hufu/internal/profile"
	"hufu/internal/session"
)

// Times of a client.
const (
	// RetryFor is how long a lost connection is tried again before giving up, unless Options say
	// otherwise.
	RetryFor = 2 * time.Minute
	// restartTime is the retry limit of LoggedIn for a server that breaks off the
	// first connection.
	restartTime = 30 * time.Second

	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
)

// Patience is how long a server that is away is tried again.
type Patience struct {
	For   time.Duration // 0 means once
	Tries int           // in addition to the first one, in each outage; below 0 as many as fit
}

// Options change how a server is reached.
type Options struct {
	// Teach asks for the teaching world: real accounts and files are not there.
	Teach bool
	// Plaintext reaches the teaching world without TLS, at Address.
	Plaintext bool
	Address   string // instead of the profile's
	// Remember keeps a login to the teaching world in the profile's state, apart
	// from the real one.
	Remember bool
	// Tap, if not nil, stands between TLS and the network: it records.
	Tap    func(net.Conn) net.Conn
	KeyLog io.Writer
	// Notify is told when the connection is lost (with the reason) and when it
	// is back (nil).
	Notify func(error)
	// Patience, if not nil, replaces RetryFor, and holds for the first connection, too. An attempt
	// to connect takes no longer than For.
	Patience *Patience
	// Disk opens the folders of this computer. It is needed to put and get, and to
	// verify against local files.
	Disk Disk
	// NoRenew leaves the certificate as it is.
	NoRenew bool
}

// Remote is one server as one profile sees it. Its methods are safe for
// concurrent use and reconnect by themselves; what they return is final.
type Remote struct {
	p      *profile.Profile
	o      Options
	dialer *profile.Dialer // nil without TLS
	farRTT time.Duration   // the round trip from which the server is far away
	life   context.Context // ends with Close, which must not wait for a dial
	end    context.CancelFunc

	mu      sync.Mutex // guards what follows; held while connecting
	control *session.Client
	hello   *frame.HelloAnswer
	greeted time.Time // when hello was answered
	state   *tls.ConnectionState
	token   []byte
	way     session.Way // to the server, zero before it was reached
	// hurry means that WarmUp was called before the first connection. Lanes are
	// dialled when the distance is known, or with the first dial if the last route
	// was long and fast.
	hurry  bool
	flow   Flow // which way their bytes will go
	lanes  int  // how many
	warm   []*warming
	ahead  []*foreseen
	closed bool
	// recalled says that the servers of the last time have been read.
	recalled bool
	failed   error     // of the last try to connect, nil if it succeeded
	tried    time.Time // when it ended

	outage  outage  // has its own lock
	servers servers // has its own lock

	maxForeseenBytes int64 // equals the constant of this name, except in tests
}

// New prepares a Remote; it reads the profile's certificates and does not
// connect.
func New(p *profile.Profile, o Options) (*Remote, error) {
	r := &Remote{p: p, o: o, farRTT: farFrom, maxForeseenBytes: maxForeseenBytes}
	r.life, r.end = context.WithCancel(context.Background())
	if r.outage.notify = o.Notify; o.Notify == nil {
		r.outage.notify = func(error) {}
	}
	if o.Address == "" {
		r.o.Address = p.Address
	}
	r.servers.home = r.o.Address
	if !o.Teach && !o.Plaintext {
		r.token = p.Token()
	}
	if r.o.Remember = o.Remember && (o.Teach || o.Plaintext); r.o.Remember {
		r.token = p.TeachLogin().Token
	}
	if o.Plaintext {
		r.o.Teach = true
		return r, CheckLoopback(r.o.Address)
	}
	var err error
	r.dialer, err = p.Dialer(r.o.Address, o.KeyLog)
	return r, err
}

// CheckLoopback returns an error unless address is on this computer: no other
// computer is spoken to without TLS.
func CheckLoopback(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return &hufu.Error{Op: "plaintext", Path: address, Kind: hufu.KindUsage, Code: "bad_address", Err: err}
	}
	ips := []net.IP{net.ParseIP(host)}
	if ips[0] == nil {
		if ips, err = net.LookupIP(host); err != nil {
			return &hufu.Error{Op: "plaintext", Path: address, Kind: hufu.KindNetwork, Code: "name_not_found", Err: err}
		}
	}
	for _, ip := range ips {
		if !ip.IsLoopback() {
			return &hufu.Error{Op: "plaintext", Path: address, Kind: hufu.KindUsage, Code: "plaintext_not_loopback"}
		}
	}
	return nil
}

// Profile returns the profile that the server is reached with.
func (r *Remote) Profile() *profile.Profile { return r.p }

// State returns what TLS has proven on the control connection, nil without TLS.
func (r *Remote) State() *tls.ConnectionState {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

// Close ends the control connection, or the attempt to make one, and the lanes that were opened
// ahead.
func (r *Remote) Close() error {
	r.end()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.coolDown()
	if r.control != nil {
		return r.control.Close()
	}
	return nil
}
