package capture

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

var (
	clientEnd = netip.MustParseAddrPort("192.0.2.1:50000")
	serverEnd = netip.MustParseAddrPort("192.0.2.2:9999")
)

// sent is one packet from the client (up) or the server.
func sent(up bool, seq uint32, flags byte, payload string) Packet {
	h := header{src: clientEnd, dst: serverEnd, seq: seq, ack: 1, flags: flags}
	if !up {
		h.src, h.dst = h.dst, h.src
	}
	return Packet{Link: LinkEthernet, Data: h.frame([]byte(payload))}
}

func needle(s string) []Needle { return []Needle{{RolePassword, []byte(s)}} }

func TestNeedleAcrossPackets(t *testing.T) {
	t.Parallel()
	packets := []Packet{
		sent(true, 99, flagSYN, ""), sent(false, 199, flagSYN|flagACK, ""), sent(true, 100, flagACK, ""),
		sent(true, 100, flagACK, "login alice cor"), sent(false, 200, flagACK, ""), sent(true, 115, flagACK, "rect"),
		sent(true, 119, flagACK, " horse and more"),
	}
	f := Analyse(packets, needle("correct horse"))
	if len(f.Results) != 1 || f.Results[0].Count != 1 || len(f.Streams) != 1 || f.Packets != 7 {
		t.Fatalf("%+v", f)
	}
	hit := f.Results[0].Hits[0]
	if hit.Packet != 4 || hit.LastPacket != 7 || hit.Offset != 12 || !hit.FromClient || hit.Stream != 0 {
		t.Errorf("%+v", hit)
	}
	want := []string{
		"000000  6c 6f 67 69 6e 20 61 6c 69 63 65 20[63 6f 72 72] login alice corr",
		"000010 [65 63 74 20 68 6f 72 73 65]20 61 6e 64 20 6d 6f  ect horse and mo",
		"000020  72 65                                            re",
	}
	if got := hit.Excerpt.lines(); !slices.Equal(got, want) {
		t.Errorf("\n%s", strings.Join(got, "\n"))
	}
}

// Packets in any order, some twice: the stream is the same.
func TestReassembly(t *testing.T) {
	t.Parallel()
	text := sampleFile(5000)
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 50 {
		base := uint32(0) - uint32(random.IntN(6000)) // it may wrap
		var body []Packet
		for at := 0; at < len(text); {
			n := min(1+random.IntN(300), len(text)-at)
			body = append(body, sent(true, base+uint32(at), flagACK, string(text[at:at+n])))
			if random.IntN(4) == 0 && at > 50 { // again, with bytes from before
				body = append(body, sent(true, base+uint32(at-50), flagACK, string(text[at-50:at+n])))
			}
			at += n
		}
		random.Shuffle(len(body), func(i, j int) { body[i], body[j] = body[j], body[i] })
		all := append([]Packet{sent(true, base-1, flagSYN, "")}, body...)
		c := connections(all)
		if len(c) != 1 || len(c[0].halves[0].runs) != 1 || !bytes.Equal(c[0].halves[0].runs[0].data, text) {
			t.Fatalf("round %d: %d runs", round, len(c[0].halves[0].runs))
		}
		if f := Analyse(all, []Needle{{RoleFile, text[4000:4032]}}); f.Results[0].Count != 1 || f.Streams[0].Incomplete {
			t.Errorf("round %d: %+v", round, f.Results)
		}
	}
}

func TestMissingPacket(t *testing.T) {
	t.Parallel()
	packets := []Packet{
		sent(true, 99, flagSYN, ""), sent(true, 100, flagACK, "correct"), // " h" is missing
		sent(true, 109, flagACK, "orse"), sent(true, 113, flagACK, " correct horse"),
	}
	f := Analyse(packets, needle("correct horse"))
	if r := f.Results[0]; r.Count != 1 || r.Hits[0].Packet != 4 || r.Hits[0].Offset != 14 || !f.Streams[0].Incomplete {
		t.Errorf("%+v", f)
	}
}

// Without its handshake in the capture, and after its ports were used again.
func TestConnectionsApart(t *testing.T) {
	t.Parallel()
	packets := []Packet{
		sent(false, 7, flagSYN|flagACK, ""), sent(true, 1, flagACK, "first"),
		sent(true, 5000, flagSYN, ""), sent(true, 5000, flagSYN, ""), sent(true, 5001, flagACK, "second"),
		{Link: LinkEthernet, Data: []byte("short")},
		{Link: 7},
	}
	f := Analyse(packets, needle("second"))
	if len(f.Streams) != 2 || f.Streams[0].Client != clientEnd || f.Results[0].Hits[0].Stream != 1 || f.Streams[1].BytesUp != 6 {
		t.Errorf("%+v", f)
	}
}

func TestLinkTypes(t *testing.T) {
	t.Parallel()
	ip := sent(true, 5, flagACK, "hello there").Data[14:]
	v6 := header{src: netip.MustParseAddrPort("[2001:db8::1]:5"), dst: netip.MustParseAddrPort("[2001:db8::2]:9999"), flags: flagACK}.frame([]byte("hello there"))
	for name, k := range map[string]Packet{
		"raw":            {Link: LinkRaw, Data: ip},
		"null":           {Link: LinkNull, Data: append(make([]byte, 4), ip...)},
		"loop":           {Link: LinkLoop, Data: append(make([]byte, 4), ip...)},
		"cooked":         {Link: LinkSLL, Data: append(make([]byte, 16), ip...)},
		"cooked 2":       {Link: LinkSLL2, Data: append(make([]byte, 20), ip...)},
		"VLAN":           {Link: LinkEthernet, Data: append(append(make([]byte, 12), 0x81, 0, 0, 1, 8, 0), ip...)},
		"padded":         {Link: LinkEthernet, Data: append(sent(true, 5, flagACK, "hello there").Data, 0, 0, 0)},
		"IPv6":           {Link: LinkEthernet, Data: v6},
		"IPv6 by itself": {Link: LinkRaw, Data: v6[14:]},
	} {
		if f := Analyse([]Packet{k}, needle("hello there")); f.Bytes != 11 || !f.Found() {
			t.Errorf("%s: %+v", name, f)
		}
	}
	for n := range ip {
		if f := Analyse([]Packet{{Link: LinkRaw, Data: ip[:n]}}, needle("hello")); f.Found() {
			t.Errorf("found in a packet cut at %d", n)
		}
	}
	fragment := bytes.Clone(ip)
	binary.BigEndian.PutUint16(fragment[6:], 100)
	if f := Analyse([]Packet{{Link: LinkRaw, Data: fragment}}, nil); len(f.Streams) != 0 {
		t.Error("a fragment is no segment")
	}
}

func TestFilters(t *testing.T) {
	t.Parallel()
	f := Analyse([]Packet{sent(true, 1, flagSYN, "")}, nil)
	if got := f.Filter(); got != "ip.addr == 192.0.2.2 and tcp.port == 9999" {
		t.Error(got)
	}
	f.Streams = append(f.Streams, f.Streams[0], Stream{Server: netip.MustParseAddrPort("[::1]:9998")})
	if got := f.Filter(); got != "(ip.addr == 192.0.2.2 and tcp.port == 9999) or (ipv6.addr == ::1 and tcp.port == 9998)" {
		t.Error(got)
	}
	if got := (&Findings{}).Filter(); got != "" {
		t.Error(got)
	}
	for in, want := range map[string]string{
		"alice":      `frame contains "alice"`,
		`a"b`:        "frame contains 61:22:62",
		"报":          "frame contains e6:8a:a5",
		"a\\b":       "frame contains 61:5c:62",
		"x\n":        "frame contains 78:0a",
		"two  words": `frame contains "two  words"`,
	} {
		if got := (Needle{RoleUser, []byte(in)}).Filter(); got != want {
			t.Errorf("%q: %s", in, got)
		}
	}
}

func TestManyHitsAndEmptyNeedles(t *testing.T) {
	t.Parallel()
	f := Analyse([]Packet{sent(true, 1, flagACK, strings.Repeat("aa", 500))},
		[]Needle{{RoleUser, []byte("a")}, {RolePassword, nil}, {RoleFile, []byte("aa")}})
	if len(f.Results) != 2 || f.Results[0].Count != 1000 || len(f.Results[0].Hits) != maxHits || f.Results[1].Count != 999 {
		t.Errorf("%d results, %+v", len(f.Results), f.Results[0].Count)
	}
	if f.Result(RolePassword) != nil || f.Result(RoleFile) != &f.Results[1] {
		t.Error("a needle without bytes has no result")
	}
}

func TestFileNeedle(t *testing.T) {
	t.Parallel()
	zeros := make([]byte, 1<<20)
	copy(zeros[40_000:], sampleFile(64))
	for _, c := range []struct {
		content []byte
		want    string
	}{
		{nil, ""},
		{[]byte("short"), hex.EncodeToString([]byte("short"))},
		{zeros[:100], strings.Repeat("00", 32)},
		{zeros, hex.EncodeToString(sampleFile(64)[32:])},
	} {
		if got := hex.EncodeToString(FileNeedle(c.content).Bytes); got != c.want {
			t.Errorf("%d bytes: %s", len(c.content), got)
		}
	}
}

func TestExcerptAtBorders(t *testing.T) {
	t.Parallel()
	data := sampleFile(100)
	for at := range len(data) {
		for _, n := range []int{0, 1, 20} {
			if at+n > len(data) {
				continue
			}
			for _, start := range []int64{0, 5, 32} {
				var hits, first int
				e := excerpt(data, start, at, n)
				for _, r := range e.Rows {
					if len(r.Cells) == 0 || len(r.Cells) > rowBytes {
						t.Fatalf("%d cells", len(r.Cells))
					}
					for i, c := range r.Cells {
						if c.Hit {
							if hits++; hits == 1 {
								first = int(r.Offset-start) + i
							}
						}
					}
				}
				if hits != n || n > 0 && first != at || len(e.Rows) > excerptRows {
					t.Fatalf("at %d, %d bytes, from %d: %d hits from %d in %d rows", at, n, start, hits, first, len(e.Rows))
				}
			}
		}
	}
}
