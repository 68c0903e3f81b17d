package client

import (
	"context"
	"time"

	"hufu/internal/identity"
)

// Who is the user and device that the server sees.
type Who struct {
	User, Device string
	Server       string // program and version
	LoggedIn     error  // why there is no login; nil if there is one
	Serial       string
	NotAfter     time.Time
	Clock        time.Time // the server's, when the connection was made
	Teach        int       // port of the teaching listener, 0 if there is none
}

// Whoami asks the server which user and device it sees.
func (r *Remote) Whoami(ctx context.Context) (Who, error) {
	a, err := r.Connect(ctx)
	if err != nil {
		return Who{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	w := Who{User: a.User, Device: a.Device, Server: a.Program, LoggedIn: r.notLoggedIn(a), Teach: int(a.Teach), Clock: time.Unix(0, a.Time)}
	if r.dialer == nil {
		return w, nil
	}
	pair, err := r.p.Certificate()
	if err != nil {
		return w, err
	}
	leaf, err := identity.ParseCert(pair.Certificate[0])
	if err != nil {
		return w, err
	}
	w.Serial, w.NotAfter = identity.Serial(leaf), leaf.NotAfter
	return w, nil
}
