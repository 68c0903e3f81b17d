package client

import (
	"context"
	"time"
)

// Far makes the server of r one that is far away, wherever it is.
func Far(r *Remote) { r.farRTT = 0 }

// Distant makes the way to the server take so long, as a Remote that is connected
// sees it.
func Distant(r *Remote, roundTrip time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.way.RTT = roundTrip
}

// ErrSameServer is the error of OpenSpare for the server that r is connected to.
var ErrSameServer = errSameServer

// OpenSpare opens a lane to another server and closes it.
func OpenSpare(ctx context.Context, r *Remote, at string) error {
	l, err := r.openSpare(ctx, at)
	if err == nil {
		err = l.Close()
	}
	return err
}

// Learn makes these the other servers that r knows.
func Learn(r *Remote, others []string) { r.servers.learn(others) }

// Lose ends the connection of r, whose server is at home from now on.
func Lose(r *Remote, home string) {
	r.mu.Lock()
	c := r.control
	r.mu.Unlock()
	r.servers.mu.Lock()
	r.servers.home = home
	r.servers.mu.Unlock()
	c.Drop()
	<-c.Done()
}
