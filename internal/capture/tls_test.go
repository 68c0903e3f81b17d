package capture

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// shake records one handshake and a few words over a pipe.
func shake(t *testing.T, change func(client, server *tls.Config)) *Findings {
	t.Helper()
	clientConf, serverConf := configs(t, nil)
	change(clientConf, serverConf)
	// TCP, because on an unbuffered pipe both ends may write at once for ever.
	ln := listen(t, "127.0.0.1:0", func(c net.Conn) {
		s := tls.Server(c, serverConf)
		_, _ = io.Copy(s, s)
		_ = s.Close()
	})
	r := NewRecorder(Options{})
	c := tls.Client(dial(t, ln, r), clientConf)
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	said := []byte("password " + samplePassword)
	if _, err := c.Write(said); err == nil {
		_, _ = io.ReadFull(c, make([]byte, len(said)))
	}
	_ = c.Close()
	return r.Analyse(needle(samplePassword))
}

// names is what the client's records hold, and what the server's do.
func names(h *Handshake) (up, down string) {
	var all [2][]string
	for dir, records := range h.byDir {
		for _, r := range records {
			all[dir] = append(all[dir], strings.Join(r.Names, "+"))
		}
	}
	return strings.Join(all[fromClient], " | "), strings.Join(all[fromServer], " | ")
}

func TestHandshakes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(client, server *tls.Config)
		want   Handshake
		up     string
		down   string
	}{
		"as Go chooses": {
			func(_, _ *tls.Config) {},
			Handshake{Version: "TLS 1.3", Group: "X25519MLKEM768", PostQuantum: true},
			"ClientHello | ChangeCipherSpec | Application Data", "ServerHello | ChangeCipherSpec | Application Data",
		},
		"without ML-KEM": {
			func(c, _ *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.X25519} },
			Handshake{Version: "TLS 1.3", Group: "x25519"},
			"ClientHello | ChangeCipherSpec | Application Data", "ServerHello | ChangeCipherSpec | Application Data",
		},
		"another group": {
			func(_, s *tls.Config) { s.CurvePreferences = []tls.CurveID{tls.CurveP384} },
			Handshake{Version: "TLS 1.3", Group: "secp384r1", Retry: true},
			"ClientHello | ChangeCipherSpec | ClientHello | Application Data", "HelloRetryRequest | ChangeCipherSpec | ServerHello | Application Data",
		},
		"TLS 1.2": {
			func(c, s *tls.Config) { s.MinVersion, s.MaxVersion, c.MinVersion = 0, tls.VersionTLS12, 0 },
			Handshake{Version: "TLS 1.2", ALPNChosen: "hufu/1"},
			"ClientHello | ClientKeyExchange | ChangeCipherSpec | Encrypted Handshake Message | Application Data",
			"ServerHello | Certificate | ServerKeyExchange | ServerHelloDone | ChangeCipherSpec | Encrypted Handshake Message | Application Data",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := shake(t, c.change)
			h := f.TLS()
			if h == nil || f.Found() || h.Broken || h.Sample == nil || h.SamplePacket == 0 {
				t.Fatalf("%+v", h)
			}
			if h.Version != c.want.Version || h.Group != c.want.Group || h.PostQuantum != c.want.PostQuantum || h.Retry != c.want.Retry ||
				h.ALPNChosen != c.want.ALPNChosen || h.SNI != "hufu.test" || !slices.Equal(h.ALPN, []string{"hufu/1"}) || !strings.HasPrefix(h.Cipher, "TLS_") {
				t.Errorf("%+v", h)
			}
			if up, down := names(h); !strings.HasPrefix(up, c.up) || !strings.HasPrefix(down, c.down) {
				t.Errorf("\n> %s\n< %s", up, down)
			}
		})
	}
}

// A client that refuses the server: its alert is encrypted in TLS 1.3, a
// server's answer to a hello it cannot take is not.
func TestAlerts(t *testing.T) {
	t.Parallel()
	f := shake(t, func(c, _ *tls.Config) { c.ServerName = "somebody.else" })
	if up, _ := names(f.TLS()); f.Found() || up != "ClientHello | ChangeCipherSpec | Application Data" {
		t.Errorf("refused server: %s", up)
	}
	f = shake(t, func(c, _ *tls.Config) { c.MinVersion, c.MaxVersion = 0, tls.VersionTLS12 })
	if up, down := names(f.TLS()); up != "ClientHello" || down != "Alert (protocol version not supported)" {
		t.Errorf("no version in common: %s, %s", up, down)
	}
}

// tap makes the halves of a stream from what both said, in packets of n bytes.
func tap(up, down []byte, n int) (*half, *half) {
	var h [2]half
	packet := 0
	for dir, said := range [][]byte{up, down} {
		for part := range slices.Chunk(said, n) {
			packet++
			h[dir].add(part, packet)
		}
	}
	return &h[0], &h[1]
}

func tlsRecord(kind byte, body string) []byte {
	return append([]byte{kind, 3, 3, byte(len(body) >> 8), byte(len(body))}, body...)
}

// realHello is a ClientHello message of Go's, without the record around it.
func realHello(t testing.TB) []byte {
	t.Helper()
	client, _ := configs(t, nil)
	a, b := net.Pipe()
	defer b.Close()
	go func() { _ = tls.Client(a, client).Handshake() }()
	buf := make([]byte, 1<<14)
	n, err := b.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[recordHeader:n]
}

func TestMessageOverManyRecords(t *testing.T) {
	t.Parallel()
	hello := realHello(t)
	var said []byte
	for part := range slices.Chunk(hello, 400) {
		said = append(said, tlsRecord(recordHandshake, string(part))...)
	}
	up, down := tap(said, nil, 7)
	h := parseTLS(up, down)
	if h == nil || h.SNI != "hufu.test" || h.Broken {
		t.Fatalf("%+v", h)
	}
	if got, _ := names(h); got != "ClientHello"+strings.Repeat(" | Handshake (continued)", len(h.Records)-1) {
		t.Error(got)
	}
	if r := h.Records[1]; r.Packet != 405/7+1 || r.LastPacket != (2*405-1)/7+1 {
		t.Errorf("%+v", r)
	}
	// Two messages share a record, and the second goes on in the next.
	up, down = tap(slices.Concat(tlsRecord(recordHandshake, string(hello)+"\x14\x00\x00\x04ab"), tlsRecord(recordHandshake, "cd\x0e\x00\x00\x00")), nil, 1000)
	if got, _ := names(parseTLS(up, down)); got != "ClientHello+Finished | Handshake (continued)+ServerHelloDone" {
		t.Error(got)
	}
}

func TestNotWhollyTLS(t *testing.T) {
	t.Parallel()
	hello := tlsRecord(recordHandshake, string(realHello(t)))
	for name, said := range map[string][]byte{
		"then words":      append(bytes.Clone(hello), "user=alice"...),
		"cut":             hello[:len(hello)-1],
		"too long":        append(bytes.Clone(hello), recordData, 3, 3, 0x60, 0),
		"half a header":   append(bytes.Clone(hello), recordData, 3),
		"unknown type":    append(bytes.Clone(hello), tlsRecord(99, "x")...),
		"unknown version": append(bytes.Clone(hello), recordData, 4, 0, 0, 1, 0),
	} {
		up, down := tap(said, nil, 500)
		if h := parseTLS(up, down); h == nil || !h.Broken {
			t.Errorf("%s: %+v", name, h)
		}
	}
	for _, said := range []string{"", "GET / HTTP/1.1\r\n", "\x17\x03\x03\x00\x01x", "\x16\x03"} {
		if up, down := tap([]byte(said), nil, 500); parseTLS(up, down) != nil {
			t.Errorf("%q taken for TLS", said)
		}
	}
	up, down := tap(hello, []byte("HTTP/1.1 400 Bad Request\r\n"), 500)
	if h := parseTLS(up, down); h == nil || !h.Broken {
		t.Errorf("answer in clear: %+v", h)
	}
}

// A short word among encrypted bytes is chance; a long one, or one in clear
// behind the records, is not.
func TestChance(t *testing.T) {
	t.Parallel()
	hello := tlsRecord(recordHandshake, string(realHello(t)))
	data := append(bytes.Clone(hello), tlsRecord(recordData, "..bob..correct horse..")...)
	needles := []Needle{{RoleUser, []byte("bob")}, {RolePassword, []byte("correct horse")}}
	look := func(data []byte) (user, password Result) {
		f := said(string(data)).Analyse(needles)
		return f.Results[0], f.Results[1]
	}
	if u, p := look(data); u.Count != 0 || u.Chance != 1 || p.Count != 1 {
		t.Errorf("%+v %+v", u, p)
	}
	if u, _ := look(append(bytes.Clone(data), "bob"...)); u.Count != 1 || u.Chance != 1 {
		t.Errorf("%+v", u)
	}
	// Across the header of a record it is in clear: no cipher made it.
	if u, _ := look(slices.Concat(hello, tlsRecord(recordData, "xbo"), []byte("b"))); u.Count != 1 {
		t.Errorf("%+v", u)
	}
}

func TestGroupNames(t *testing.T) {
	t.Parallel()
	for id, want := range map[uint16]string{
		0: "", 23: "secp256r1", 24: "secp384r1", 25: "secp521r1", 29: "x25519", 30: "x448",
		0x11eb: "SecP256r1MLKEM768", 0x11ec: "X25519MLKEM768", 0x11ed: "SecP384r1MLKEM1024", 0x1234: "0x1234",
	} {
		if got := groupName(id); got != want {
			t.Errorf("%x: %s", id, got)
		}
	}
}

func FuzzTLS(f *testing.F) {
	hello := realHello(f)
	f.Add(tlsRecord(recordHandshake, string(hello)), tlsRecord(recordAlert, "\x02\x46"), 100)
	f.Add(tlsRecord(recordHandshake, string(hello[:50])), tlsRecord(recordHandshake, "\x02\x00\x00\x26\x03\x03"+retryRandom+"\x00\x13\x01\x00"), 1)
	f.Add(tlsRecord(recordHandshake, ""), []byte("0"), 1)
	f.Fuzz(func(t *testing.T, said, answer []byte, size int) {
		up, down := tap(said, answer, 1+size&1023)
		h := parseTLS(up, down)
		if h == nil {
			return
		}
		covered := int64(0)
		for _, r := range h.byDir[fromClient] {
			if r.Offset != covered || r.Packet < 1 || r.LastPacket < r.Packet || len(r.Names) == 0 {
				t.Fatalf("%+v", r)
			}
			covered += recordHeader + int64(r.Length)
		}
		if n := int64(len(said)); covered > n || covered < n && !h.Broken {
			t.Fatalf("records cover %d of %d bytes", covered, n)
		}
		for i := range said {
			h.encrypted(fromClient, int64(i), 1)
		}
	})
}
