package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"hufu"
)

// correct looks at packets as a suspicious receiver would: checksums, lengths,
// every sequence and acknowledgement number, stamps, nothing behind a FIN. It
// returns what each connection sent, by its client's port.
func correct(t *testing.T, all []Packet) map[uint16][2][]byte {
	t.Helper()
	type end struct {
		next     uint32
		syn, fin bool
	}
	ends := map[string]*end{}
	sent := map[uint16][2][]byte{}
	clients := map[uint16]bool{}
	var last time.Time
	for i, k := range all {
		p := gopacket.NewPacket(k.Data, layers.LayerTypeEthernet, gopacket.Default)
		tcp, ok := p.TransportLayer().(*layers.TCP)
		if p.ErrorLayer() != nil || !ok {
			t.Fatalf("packet %d: %v", i+1, p.ErrorLayer())
		}
		if err := tcp.SetNetworkLayerForChecksum(p.NetworkLayer()); err != nil {
			t.Fatal(err)
		}
		if err, wrong := p.VerifyChecksums(); err != nil || len(wrong) > 0 {
			t.Errorf("packet %d: checksums %v %v", i+1, err, wrong)
		}
		if !k.Time.After(last) || len(k.Data) > snapLength {
			t.Errorf("packet %d: at %v after %v, %d bytes", i+1, k.Time, last, len(k.Data))
		}
		last = k.Time
		key := func(a, b layers.TCPPort) string { return a.String() + ">" + b.String() }
		me, you := ends[key(tcp.SrcPort, tcp.DstPort)], ends[key(tcp.DstPort, tcp.SrcPort)]
		if me == nil {
			me = &end{next: tcp.Seq}
			ends[key(tcp.SrcPort, tcp.DstPort)] = me
			if !tcp.SYN {
				t.Errorf("packet %d: no SYN before it", i+1)
			}
			if !tcp.ACK {
				clients[uint16(tcp.SrcPort)] = true
			}
		}
		if tcp.Seq != me.next || me.syn && tcp.SYN || me.fin && (tcp.FIN || len(tcp.Payload) > 0) {
			t.Errorf("packet %d: seq %d, want %d (%+v)", i+1, tcp.Seq, me.next, me)
		}
		if tcp.ACK && tcp.Ack != you.next {
			t.Errorf("packet %d: ack %d, want %d", i+1, tcp.Ack, you.next)
		}
		me.next += uint32(len(tcp.Payload))
		if tcp.SYN || tcp.FIN {
			me.next++
		}
		me.syn, me.fin = true, me.fin || tcp.FIN
		port, dir := uint16(tcp.SrcPort), fromClient
		if !clients[port] {
			port, dir = uint16(tcp.DstPort), fromServer
		}
		both := sent[port]
		both[dir] = append(both[dir], tcp.Payload...)
		sent[port] = both
	}
	return sent
}

// segmentOf reads a packet with gopacket.
func segmentOf(k Packet) *layers.TCP {
	tcp, _ := gopacket.NewPacket(k.Data, layers.LayerTypeEthernet, gopacket.Default).TransportLayer().(*layers.TCP)
	return tcp
}

// packets are those of a Recorder.
func packets(r *Recorder) []Packet {
	all, _ := r.packets()
	return all
}

// flags is the life of a connection in letters, data as numbers of bytes.
func flags(all []Packet) string {
	var out []string
	for _, k := range all {
		s := segmentOf(k)
		w := ">"
		if s.SrcPort == hufuPort {
			w = "<"
		}
		for _, f := range []struct {
			set  bool
			name string
		}{{s.SYN, "S"}, {s.FIN, "F"}, {s.RST, "R"}, {s.PSH, "P"}, {s.ACK, "A"}} {
			if f.set {
				w += f.name
			}
		}
		out = append(out, w)
	}
	return strings.Join(out, " ")
}

// script is a connection that does what it is told.
type script struct {
	net.Conn
	reads  []string
	end    error
	accept int // bytes a write takes; the rest is an error
	remote net.Addr
}

func (s *script) Read(p []byte) (int, error) {
	if len(s.reads) == 0 {
		return 0, s.end
	}
	n := copy(p, s.reads[0])
	s.reads = s.reads[1:]
	return n, nil
}

func (s *script) Write(p []byte) (int, error) {
	if len(p) > s.accept {
		return s.accept, errors.New("connection reset by peer")
	}
	return len(p), nil
}
func (s *script) Close() error      { return nil }
func (s *script) CloseWrite() error { return nil }
func (s *script) LocalAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1).To4(), Port: 50000}
}
func (s *script) RemoteAddr() net.Addr { return s.remote }

func TestLifeOfAConnection(t *testing.T) {
	t.Parallel()
	v4 := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 2), Port: hufuPort} // in 16 bytes, as the kernel gives it
	const open = ">S <SA >A"
	for name, c := range map[string]struct {
		conn *script
		do   func(net.Conn)
		want string
	}{
		"nothing": {&script{remote: v4}, func(net.Conn) {}, ""},
		"we close": {&script{remote: v4, accept: 9, reads: []string{"hello"}}, func(c net.Conn) {
			_, _ = c.Write([]byte("hi"))
			_, _ = c.Read(make([]byte, 9))
			_ = c.Close()
			_ = c.Close()
		}, ">PA <A <PA >A >FA <A <FA >A"},
		"the server ends first": {&script{remote: v4, end: io.EOF}, func(c net.Conn) {
			_, _ = c.Read(make([]byte, 9))
			_, _ = c.Read(make([]byte, 9))
			_ = c.Close()
		}, "<FA >A >FA <A"},
		"half-closed": {&script{remote: v4, accept: 9, reads: []string{"late"}, end: io.EOF}, func(c net.Conn) {
			_ = c.(*conn).CloseWrite()
			_, _ = io.ReadAll(c)
			_ = c.Close()
		}, ">FA <A <PA >A <FA >A"},
		"a write breaks in the middle": {&script{remote: v4, accept: 2, reads: []string{"why"}, end: io.EOF}, func(c net.Conn) {
			_, _ = c.Write([]byte("long"))
			_, _ = c.Read(make([]byte, 9))
			_ = c.Close()
		}, ">PA <A <PA >A <RA"},
		"a deadline is no end": {&script{remote: v4, accept: 9, end: os.ErrDeadlineExceeded}, func(c net.Conn) {
			_, _ = c.Read(make([]byte, 9))
			_, _ = c.Write([]byte("hi"))
		}, ">PA <A"},
		"a small reader": {&script{remote: v4, reads: []string{"ab", "cd"}, end: io.EOF}, func(c net.Conn) {
			b, err := io.ReadAll(&oneByte{c})
			if string(b) != "abcd" || err != nil {
				t.Errorf("read %q, %v", b, err)
			}
		}, "<PA >A <PA >A <FA >A"},
	} {
		r := NewRecorder(Options{})
		tap := Wrap(c.conn, r)
		c.do(tap)
		correct(t, packets(r))
		if got := flags(packets(r)); got != strings.TrimSpace(open+" "+c.want) {
			t.Errorf("%s:\n got %s\nwant %s %s", name, got, open, c.want)
		}
		if tap.(*conn).NetConn() != c.conn {
			t.Errorf("%s: NetConn is not the connection below", name)
		}
	}
}

type oneByte struct{ r io.Reader }

func (o *oneByte) Read(p []byte) (int, error) { return o.r.Read(p[:1]) }

// What did not go out is not in the capture.
func TestPartialWriteIsCut(t *testing.T) {
	t.Parallel()
	r := NewRecorder(Options{})
	c := Wrap(&script{accept: 3, remote: &net.TCPAddr{IP: net.IPv6loopback, Port: 7}}, r)
	if n, err := c.Write([]byte("secret")); n != 3 || err == nil {
		t.Fatal(n, err)
	}
	if sent := correct(t, packets(r))[50000]; string(sent[fromClient]) != "sec" {
		t.Errorf("%q", sent[fromClient])
	}
}

// Packets recorded late for a connection that another goroutine closed.
func TestDataRecordedAfterClose(t *testing.T) {
	t.Parallel()
	r := NewRecorder(Options{})
	c := Wrap(&script{remote: &net.TCPAddr{IP: net.IPv4(1, 2, 3, 4), Port: hufuPort}}, r).(*conn)
	_ = c.Close()
	r.add(c.flow, eventIn, []byte("late"))
	r.add(c.flow, eventOut, []byte("later"))
	correct(t, packets(r))
	if got := flags(packets(r)); got != ">S <SA >A <PA >A >PA <A >FA <A <FA >A" {
		t.Error(got)
	}
}

func TestNilRecorder(t *testing.T) {
	t.Parallel()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if Wrap(a, nil) != a {
		t.Error("wrapped for nothing")
	}
	if err := Wrap(a, NewRecorder(Options{})).(*conn).CloseWrite(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a pipe has no half: %v", err)
	}
}

// Many connections at once, each read and written at once: every byte is
// there, in order, and every number is right.
func TestManyConnections(t *testing.T) {
	t.Parallel()
	r := NewRecorder(Options{})
	ln := listen(t, "127.0.0.1:0", echo)
	file := sampleFile(200_000)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { story(t, dial(t, ln, r), file) })
	}
	wg.Wait()
	sent := correct(t, packets(r))
	if len(sent) != 8 {
		t.Fatalf("%d connections", len(sent))
	}
	for port, both := range sent {
		if !bytes.HasSuffix(both[fromClient], file) || !bytes.Equal(both[fromClient], both[fromServer]) {
			t.Errorf("port %d: %d bytes out, %d in", port, len(both[fromClient]), len(both[fromServer]))
		}
	}
	_, streams := r.packets()
	for _, c := range streams {
		for dir, h := range c.halves {
			if !bytes.Equal(h.data, sent[c.client.Port()][dir]) {
				t.Errorf("port %d: the stream is not what its packets carry", c.client.Port())
			}
		}
	}
	f := r.Analyse(sampleNeedles(file))
	if len(f.Streams) != 8 || f.Results[1].Count != 16 || f.Streams[0].Server.String() != ln.Addr().String() {
		t.Errorf("%d streams, %d passwords", len(f.Streams), f.Results[1].Count)
	}
}

// A question stands before its answer, however the goroutines run.
func TestCausalOrder(t *testing.T) {
	t.Parallel()
	r := NewRecorder(Options{})
	c := dial(t, listen(t, "127.0.0.1:0", echo), r)
	defer c.Close()
	const rounds = 200
	var wg sync.WaitGroup
	wg.Go(func() {
		b := make([]byte, 4)
		for range rounds {
			_, _ = io.ReadFull(c, b)
		}
	})
	for i := range rounds {
		_, _ = c.Write(binary.BigEndian.AppendUint32(nil, uint32(i)))
	}
	wg.Wait()
	up, down := 0, 0
	for _, k := range packets(r) {
		s := segmentOf(k)
		if int(s.SrcPort) == c.LocalAddr().(*net.TCPAddr).Port {
			up += len(s.Payload)
		} else {
			down += len(s.Payload)
		}
		if down > up {
			t.Fatal("an answer stands before its question")
		}
	}
	if up != 4*rounds || down != 4*rounds {
		t.Errorf("%d up, %d down", up, down)
	}
}

func TestSequenceNumbersWrap(t *testing.T) {
	t.Parallel()
	r := NewRecorder(Options{})
	c := Wrap(&script{accept: 1 << 20, remote: &net.TCPAddr{IP: net.IPv4(1, 2, 3, 4), Port: hufuPort}}, r).(*conn)
	c.flow.isn = [2]uint32{1<<32 - 10, 1<<32 - 1}
	file := sampleFile(100_000)
	_, _ = c.Write(file)
	r.add(c.flow, eventIn, []byte("abc"))
	_ = c.Close()
	if sent := correct(t, packets(r))[50000]; !bytes.Equal(sent[fromClient], file) {
		t.Error("bytes differ")
	}
	if f := r.Analyse(sampleNeedles(file)); f.Result(RoleFile).Count != 1 || f.Bytes != 100_003 {
		t.Errorf("%+v", f)
	}
}

func TestLimitIsAnError(t *testing.T) {
	t.Parallel()
	r := NewRecorder(Options{Limit: 10})
	c := Wrap(&script{accept: 100, remote: &net.TCPAddr{IP: net.IPv4(1, 2, 3, 4), Port: hufuPort}}, r)
	_, _ = c.Write(make([]byte, 10))
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Write([]byte("x")); n != 1 || err != nil {
		t.Errorf("the connection must go on: %d, %v", n, err)
	}
	file := filepath.Join(t.TempDir(), "x.pcapng")
	if err := r.Save(file); hufu.CodeOf(err) != "capture_too_large" {
		t.Errorf("%v", err)
	}
	if _, err := r.WriteTo(io.Discard); hufu.CodeOf(err) != "capture_too_large" {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file was made: %v", err)
	}
}

func TestSave(t *testing.T) {
	t.Parallel()
	secrets := &Secrets{}
	_, _ = secrets.Write([]byte("CLIENT_RANDOM aa bb\n"))
	r := NewRecorder(Options{Secrets: secrets})
	r.Note("log in")
	c := Wrap(&script{accept: 100, remote: &net.TCPAddr{IP: net.IPv4(1, 2, 3, 4), Port: hufuPort}}, r)
	_, _ = c.Write([]byte("user=alice"))
	dir := t.TempDir()
	file := filepath.Join(dir, "x.pcapng")
	for range 2 { // the second replaces the first
		if err := r.Save(file); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(file); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if names, _ := os.ReadDir(dir); len(names) != 1 {
		t.Errorf("left behind: %v", names)
	}
	if f := r.Analyse([]Needle{{RoleUser, []byte("alice")}}); !f.Secrets || !f.Found() || f.Packets != 5 {
		t.Errorf("%+v", f)
	}
	data, _ := os.ReadFile(file)
	for _, want := range []string{"log in", "user=alice", "CLIENT_RANDOM aa bb\n"} {
		if !bytes.Contains(data, []byte(want)) {
			t.Errorf("%q is missing", want)
		}
	}
	if !Made(data[:min(len(data), 4<<10)]) {
		t.Error("the file does not say who made it")
	}
	if err := r.Save(filepath.Join(dir, "no", "x")); hufu.CodeOf(err) != "capture_write" || hufu.KindOf(err) != hufu.KindUnreadable {
		t.Errorf("%v", err)
	}
}

// Over a pipe, in a bubble: no port of its own, so each gets one.
func TestPipes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := NewRecorder(Options{})
		for _, word := range []string{"one", "two"} {
			a, b := net.Pipe()
			go echo(b)
			c := Wrap(a, r)
			_, _ = c.Write([]byte(word))
			_, _ = io.ReadFull(c, make([]byte, 3))
			_ = c.Close()
			_ = b.Close()
		}
		ports := []uint16{}
		for port, both := range correct(t, packets(r)) {
			ports = append(ports, port)
			if !bytes.Equal(both[fromClient], both[fromServer]) {
				t.Errorf("%q", both)
			}
		}
		if slices.Sort(ports); !slices.Equal(ports, []uint16{firstPortUsed, firstPortUsed + 1}) {
			t.Errorf("%v", ports)
		}
	})
}
