package capture

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"hufu"
	"hufu/internal/atomicfile"
)

// DefaultLimit is how many bytes of payload a Recorder holds unless told
// otherwise.
const DefaultLimit = 128 << 20

// Options of a Recorder.
type Options struct {
	Info Info
	// Secrets, if not nil, is embedded into the file, so that Wireshark can
	// decrypt it: give the same to tls.Config.KeyLogWriter.
	Secrets *Secrets
	Limit   int64 // bytes of payload; 0: DefaultLimit
	Now     func() time.Time
}

// Recorder remembers what passed through its taps, in causal order: what was
// written stands before what was read in answer. It holds everything in
// memory, because the secrets of TLS must stand before the packets and are
// known after them. All methods may be called at the same time.
type Recorder struct {
	opts Options

	mu     sync.Mutex // guards all below, and the events
	events []*event
	flows  int
	bytes  int64
	full   bool
	note   string
}

type eventKind uint8

const (
	eventOpen    eventKind = iota + 1
	eventOut               // client → server
	eventIn                // server → client
	eventOutEnd            // the client will write no more
	eventInEnd             // the server said it will write no more
	eventClose             // the client closed both directions
	eventAborted           // the connection broke
)

// event is something that happened to a connection. The data of a write is
// cut to what was really written once that is known.
type event struct {
	flow *flow
	kind eventKind
	at   time.Time
	data []byte
	note string
}

// flow is one TCP connection; isn are the first sequence numbers of both
// directions.
type flow struct {
	client, server netip.AddrPort
	isn            [2]uint32
}

// NewRecorder returns an empty Recorder.
func NewRecorder(o Options) *Recorder {
	if o.Limit <= 0 {
		o.Limit = DefaultLimit
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Info.Application == "" {
		o.Info.Application = appName + hufu.Version
	}
	if o.Info.Interface == "" {
		o.Info.Interface = "hufu"
	}
	if o.Info.Description == "" {
		o.Info.Description = "tap inside the hufu client"
	}
	if o.Info.Comment == "" {
		o.Info.Comment = "Recorded inside the client, without root: bytes, order, addresses and ports are real; " +
			"TCP sequence numbers, handshakes and acknowledgements were made to fit them."
	}
	return &Recorder{opts: o}
}

// Note puts a comment onto the next packet that carries data, for people who
// look at the file: "log in", "upload". Never a secret.
func (r *Recorder) Note(text string) {
	r.mu.Lock()
	r.note = text
	r.mu.Unlock()
}

// Err reports whether something could not be recorded because of the limit. Then
// the capture would prove nothing, and WriteTo and Save refuse.
func (r *Recorder) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.full {
		return tooLarge(r.opts.Limit)
	}
	return nil
}

// packets returns the packets that were recorded so far, and the streams in them.
func (r *Recorder) packets() ([]Packet, []*stream) {
	r.mu.Lock()
	events := make([]event, len(r.events))
	for i, e := range r.events {
		events[i] = *e
	}
	r.mu.Unlock()
	return synthesise(events)
}

// Analyse reports where needles stand in clear in what was recorded so far, also across
// the border of two packets, and the records of TLS. It decrypts nothing.
func (r *Recorder) Analyse(needles []Needle) *Findings {
	packets, streams := r.packets()
	f := analyse(streams, needles)
	f.Packets = len(packets)
	f.Secrets = r.opts.Secrets.Len() > 0
	return f
}

// WriteTo writes what was recorded so far as pcapng.
func (r *Recorder) WriteTo(w io.Writer) (int64, error) {
	if err := r.Err(); err != nil {
		return 0, err
	}
	c := &counter{w: w}
	p := NewWriter(c, r.opts.Info)
	p.Secrets(r.opts.Secrets.Lines())
	packets, _ := r.packets()
	for _, k := range packets {
		p.Packet(k)
	}
	err := p.Flush()
	return c.n, err
}

// Save writes the file at path for its owner alone, because it may hold a
// password; an old one is replaced when the new one is whole.
func (r *Recorder) Save(path string) error {
	if err := r.Err(); err != nil {
		return err
	}
	err := atomicfile.WriteFunc(path, 0o600, func(w io.Writer) error {
		_, err := r.WriteTo(w)
		return err
	})
	if err != nil {
		return &hufu.Error{Op: "save", Path: path, Kind: hufu.KindUnreadable, Code: "capture_write", Err: err}
	}
	return nil
}

func tooLarge(limit int64) *hufu.Error {
	return &hufu.Error{
		Op: "hold capture", Kind: hufu.KindInvalid, Code: "capture_too_large",
		Args: map[string]string{"limit": mib(limit)},
	}
}

// open registers a connection and its TCP handshake.
func (r *Recorder) open(c net.Conn) *flow {
	f := &flow{isn: [2]uint32{rand.Uint32(), rand.Uint32()}} //nolint:gosec // where a picture of a connection begins to count
	r.mu.Lock()
	n := r.flows
	r.flows++
	r.mu.Unlock()
	f.client = addrPort(c.LocalAddr(), uint16(firstPortUsed+n%(1<<16-firstPortUsed)))
	f.server = addrPort(c.RemoteAddr(), hufuPort)
	if f.client.Addr().Is4() != f.server.Addr().Is4() {
		// One side only has an address of its own, so neither's can be shown.
		f.client = netip.AddrPortFrom(netip.IPv6Loopback(), f.client.Port())
		f.server = netip.AddrPortFrom(netip.IPv6Loopback(), f.server.Port())
	}
	r.add(f, eventOpen, nil)
	return f
}

// Ports for connections that have none (a pipe): the server's, and the first
// of the clients'.
const (
	hufuPort      = 9999
	firstPortUsed = 49152
)

// addrPort is a as the packets show it; what is not TCP gets loopback and
// port.
func addrPort(a net.Addr, port uint16) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok && t != nil {
		if p := t.AddrPort(); p.IsValid() && p.Port() != 0 {
			return netip.AddrPortFrom(p.Addr().Unmap().WithZone(""), p.Port())
		}
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
}

// add appends an event. It takes data over. After the limit nothing more is
// recorded, so that what there is stays in one piece.
func (r *Recorder) add(f *flow, k eventKind, data []byte) *event {
	e := &event{flow: f, kind: k, data: data}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bytes += int64(len(data))
	if r.bytes > r.opts.Limit {
		r.full = true
	}
	if r.full {
		e.data = nil
		return e
	}
	if len(data) > 0 {
		e.note, r.note = r.note, ""
	}
	e.at = r.opts.Now()
	r.events = append(r.events, e)
	return e
}

// cut takes back what a write did not get rid of.
func (r *Recorder) cut(e *event, n int) {
	r.mu.Lock()
	if n < len(e.data) {
		r.bytes -= int64(len(e.data) - n)
		e.data = e.data[:n]
	}
	r.mu.Unlock()
}

// Secrets collects key log lines: give it to tls.Config.KeyLogWriter. The zero
// value is ready; nil is empty. It may be used at the same time.
type Secrets struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write takes one or several whole lines.
func (s *Secrets) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

// Lines is a copy of all lines so far.
func (s *Secrets) Lines() []byte {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.buf.Bytes())
}

// Len is the number of bytes so far.
func (s *Secrets) Len() int {
	if s == nil {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Len()
}

// counter counts what goes through it.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

func mib(n int64) string { return strconv.FormatInt(n>>20, 10) + " MiB" }
