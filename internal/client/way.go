package client

import (
	"encoding/json"
	"time"

	"hufu/internal/frame"
)

// Over a far link the first round trips carry next to nothing. The lanes are dialled
// when the first answer has shown how far the server is. They are ready when the
// first folder is known, and only then begin to open their windows, twice as much in
// each round trip. If the way was long and wide the last time, the lanes are dialled
// at once and have a round trip to spare. In it they send padding, so that their
// windows are open when there is something to send (docs/decisions/0014).

// Flow is the direction of the bytes of a transfer.
type Flow int

// The directions.
const (
	Up Flow = iota + 1
	Down
)

const (
	// wideFrom is the rate, in bytes per second, from which the padding of all
	// lanes together is done in some milliseconds.
	wideFrom = 12_500_000
	// telling is how many bytes a transfer must have sent to tell the rate.
	telling = 16 << 20
)

// pastWay is what is remembered of the network path to the server.
type pastWay struct {
	RoundTrip time.Duration `json:"round_trip_ns"`
	Rate      int64         `json:"bytes_per_second"`
}

func (w pastWay) longAndWide(far time.Duration) bool { return w.RoundTrip >= far && w.Rate >= wideFrom }

const wayFile = "way.json" // in the state of the profile

func (r *Remote) pastWay() (w pastWay) {
	data, err := r.p.Kept(wayFile)
	if err != nil || json.Unmarshal(data, &w) != nil {
		return pastWay{}
	}
	return w
}

// remembers reports whether way.json is about this way: to the server of the
// profile at the address of the profile.
func (r *Remote) remembers() bool { return !r.o.Teach && r.o.Address == r.p.Address }

// wasLongAndWide reports whether the way was long and wide the last time.
func (r *Remote) wasLongAndWide() bool { return r.remembers() && r.pastWay().longAndWide(r.farRTT) }

// Remember records how fast the way to the server is, for the next WarmUp. sent is the
// number of bytes that a successful transfer moved, in either direction, and took its
// duration. Only the verdict "long and wide, or not" is used, so nothing is written as long
// as it stays the same. If the user was asked something meanwhile, or the connection was
// lost, the way looks narrower than it is, which costs the next transfer a round trip. A
// failure costs no more, so Remember returns no error.
func (r *Remote) Remember(sent int64, took time.Duration) {
	r.mu.Lock()
	now, far := pastWay{RoundTrip: r.way.RTT}, r.isSlowLink()
	r.mu.Unlock()
	// The rate means nothing before the windows are open. That takes several round
	// trips at the full rate of a fast route.
	least := max(telling, int64(manyLanes*wideFrom*now.RoundTrip.Seconds()))
	if !r.remembers() || now.RoundTrip == 0 || far && sent < least {
		return // nothing was learnt
	}
	now.Rate = int64(float64(sent) / max(took.Seconds(), 1e-3))
	if now.longAndWide(r.farRTT) == r.wasLongAndWide() {
		return
	}
	if data, err := json.Marshal(now); err == nil {
		_ = r.p.Keep(wayFile, append(data, '\n'))
	}
}

// pad makes hello long for a put, and its answer for a get.
func pad(hello *frame.Hello, flow Flow) {
	switch flow {
	case Up:
		hello.Padding = make([]byte, frame.MaxPadding)
	case Down:
		hello.Pad = frame.MaxPadding
	}
}
