package capture

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

var (
	clientEnd = netip.MustParseAddrPort("192.0.2.1:50000")
	serverEnd = netip.MustParseAddrPort("192.0.2.2:9999")
)

// said is a recorder through which a client said these parts, one write each, and heard
// an answer after each.
func said(parts ...string) *Recorder {
	r := NewRecorder(Options{})
	f := &flow{client: clientEnd, server: serverEnd}
	r.add(f, eventOpen, nil)
	for _, p := range parts {
		r.add(f, eventOut, []byte(p))
	}
	return r
}

func needle(s string) []Needle { return []Needle{{RolePassword, []byte(s)}} }

func TestNeedleAcrossPackets(t *testing.T) {
	t.Parallel()
	f := said("login alice cor", "rect", " horse and more").Analyse(needle("correct horse"))
	if len(f.Results) != 1 || f.Results[0].Count != 1 || len(f.Streams) != 1 || f.Packets != 9 {
		t.Fatalf("%+v", f)
	}
	hit := f.Results[0].Hits[0]
	if hit.Packet != 4 || hit.LastPacket != 8 || hit.Offset != 12 || !hit.FromClient || hit.Stream != 0 {
		t.Errorf("%+v", hit)
	}
	want := []string{
		"000000  6c 6f 67 69 6e 20 61 6c 69 63 65 20[63 6f 72 72] login alice corr",
		"000010 [65 63 74 20 68 6f 72 73 65]20 61 6e 64 20 6d 6f  ect horse and mo",
		"000020  72 65                                            re",
	}
	if got := hit.Excerpt.Lines(); !slices.Equal(got, want) {
		t.Errorf("\n%s", strings.Join(got, "\n"))
	}
}

// The same ports, used again: two streams, in the order of their first packets.
func TestConnectionsApart(t *testing.T) {
	t.Parallel()
	r := said("first")
	again := &flow{client: clientEnd, server: serverEnd}
	r.add(again, eventOpen, nil)
	r.add(again, eventOut, []byte("second"))
	f := r.Analyse(needle("second"))
	if len(f.Streams) != 2 || f.Streams[0].Client != clientEnd || f.Results[0].Hits[0].Stream != 1 || f.Streams[1].BytesUp != 6 {
		t.Errorf("%+v", f)
	}
}

func TestFilters(t *testing.T) {
	t.Parallel()
	f := said().Analyse(nil)
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
	f := said(strings.Repeat("aa", 500)).Analyse(
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
