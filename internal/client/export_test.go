package client

import (
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
