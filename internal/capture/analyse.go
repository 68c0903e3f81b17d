package capture

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// Role is what a needle is to its owner; its text is "wire.role.<role>".
type Role string

// The roles.
const (
	RoleUser     Role = "user"
	RolePassword Role = "password"
	RoleFileName Role = "file_name"
	RoleFile     Role = "file" // bytes of the file itself
)

// Needle is something an eavesdropper would like to find.
type Needle struct {
	Role  Role   `json:"role"`
	Bytes []byte `json:"bytes"`
}

// sampleSize is how many bytes of a file are looked for.
const sampleSize = 32

// FileNeedle picks the bytes to look for in a file's content: a piece that
// does not repeat much, so that it is found for no other reason.
func FileNeedle(content []byte) Needle {
	best, most := content[:min(len(content), sampleSize)], 0
	// Only the first 64 KiB: that far no frame's border can cut a piece.
	for at := 0; at+sampleSize <= min(len(content), 64<<10); at += sampleSize {
		var seen [256]bool
		distinct := 0
		for _, c := range content[at : at+sampleSize] {
			if !seen[c] {
				seen[c] = true
				distinct++
			}
		}
		if distinct > most {
			best, most = content[at:at+sampleSize], distinct
		}
	}
	return Needle{Role: RoleFile, Bytes: best}
}

const (
	// maxHits are told in full for each needle; the rest is counted.
	maxHits = 16
	// certain is the length from which a needle is not found in random bytes
	// by chance. Shorter ones inside of encrypted records are counted apart.
	certain = 8
)

// Findings are the names, passwords and bytes that a reader of a capture can see.
type Findings struct {
	Packets int      `json:"packets"`
	Bytes   int64    `json:"bytes"` // of payload
	Secrets bool     `json:"secrets"`
	Streams []Stream `json:"streams"`
	Results []Result `json:"results"` // one for each needle that is not empty, in order
}

// Result is what became of one needle.
type Result struct {
	Needle Needle `json:"needle"`
	Count  int    `json:"count"`
	// Chance counts hits of a short needle inside encrypted bytes, where it
	// stands by chance and means nothing.
	Chance int   `json:"chance"`
	Hits   []Hit `json:"hits"` // at most 16
}

// Hit is one place where a needle stands in clear.
type Hit struct {
	Stream     int     `json:"stream"` // Wireshark's tcp.stream
	FromClient bool    `json:"from_client"`
	Packet     int     `json:"packet"` // Wireshark's frame.number
	LastPacket int     `json:"last_packet"`
	Offset     int64   `json:"offset"` // in its direction of the stream
	Excerpt    Excerpt `json:"excerpt"`
}

// Stream is one TCP connection.
type Stream struct {
	Index     int            `json:"index"`
	Client    netip.AddrPort `json:"client"`
	Server    netip.AddrPort `json:"server"`
	Packets   int            `json:"packets"`
	BytesUp   int64          `json:"bytes_up"`
	BytesDown int64          `json:"bytes_down"`
	TLS       *Handshake     `json:"tls,omitempty"` // nil: not TLS
}

// analyse reports where needles stand in clear in streams.
func analyse(streams []*stream, needles []Needle) *Findings {
	f := &Findings{}
	for _, n := range needles {
		if len(n.Bytes) > 0 {
			f.Results = append(f.Results, Result{Needle: n})
		}
	}
	for i, c := range streams {
		up, down := &c.halves[fromClient], &c.halves[fromServer]
		s := Stream{
			Index: i, Client: c.client, Server: c.server, Packets: c.packets,
			BytesUp: int64(len(up.data)), BytesDown: int64(len(down.data)), TLS: parseTLS(up, down),
		}
		f.Bytes += s.BytesUp + s.BytesDown
		for dir := range c.halves {
			for n := range f.Results {
				f.Results[n].search(&s, &c.halves[dir], dir)
			}
		}
		f.Streams = append(f.Streams, s)
	}
	for n := range f.Results {
		hits := f.Results[n].Hits
		slices.SortStableFunc(hits, func(a, b Hit) int { return a.Packet - b.Packet })
		f.Results[n].Hits = hits[:min(len(hits), maxHits)]
	}
	return f
}

// search adds the hits in one direction of a stream.
func (res *Result) search(s *Stream, h *half, dir int) {
	needle, found := res.Needle.Bytes, 0
	for at := 0; ; at++ {
		i := bytes.Index(h.data[at:], needle)
		if i < 0 {
			return
		}
		at += i
		if len(needle) < certain && s.TLS.encrypted(dir, int64(at), len(needle)) {
			res.Chance++
			continue
		}
		res.Count++
		if found++; found > maxHits {
			continue
		}
		res.Hits = append(res.Hits, Hit{
			Stream: s.Index, FromClient: dir == fromClient,
			Packet: h.packet(at), LastPacket: h.packet(at + len(needle) - 1),
			Offset: int64(at), Excerpt: *excerpt(h.data, 0, at, len(needle)),
		})
	}
}

// Found reports whether any needle stands in clear.
func (f *Findings) Found() bool {
	return slices.ContainsFunc(f.Results, func(r Result) bool { return r.Count > 0 })
}

// Result is the result of the first needle with this role, nil if none was
// looked for.
func (f *Findings) Result(role Role) *Result {
	for i := range f.Results {
		if f.Results[i].Needle.Role == role {
			return &f.Results[i]
		}
	}
	return nil
}

// TLS is the handshake of the first stream that has one, or nil.
func (f *Findings) TLS() *Handshake {
	for _, s := range f.Streams {
		if s.TLS != nil {
			return s.TLS
		}
	}
	return nil
}

// Filter is the display filter that makes Wireshark show these connections.
func (f *Findings) Filter() string {
	var all []string
	for _, s := range f.Streams {
		field := "ip.addr"
		if s.Server.Addr().Is6() {
			field = "ipv6.addr"
		}
		one := field + " == " + s.Server.Addr().String() + " and tcp.port == " + strconv.Itoa(int(s.Server.Port()))
		if !slices.Contains(all, one) {
			all = append(all, one)
		}
	}
	if len(all) > 1 {
		return "(" + strings.Join(all, ") or (") + ")"
	}
	return strings.Join(all, "")
}

// encrypted reports whether n bytes at off lie wholly inside the encrypted part
// of one record.
func (h *Handshake) encrypted(dir int, off int64, n int) bool {
	if h == nil {
		return false
	}
	all := h.byDir[dir]
	i := sort.Search(len(all), func(i int) bool { return all[i].Offset > off }) - 1
	return i >= 0 && all[i].Encrypted && off >= all[i].Offset+recordHeader &&
		off+int64(n) <= all[i].Offset+recordHeader+int64(all[i].Length)
}

// Filter is the display filter by which Wireshark finds the needle itself.
func (n Needle) Filter() string {
	for _, c := range n.Bytes {
		if c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			hex := fmt.Sprintf("% x", n.Bytes)
			return "frame contains " + strings.ReplaceAll(hex, " ", ":")
		}
	}
	return `frame contains "` + string(n.Bytes) + `"`
}
