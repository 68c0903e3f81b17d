package server_test

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hufu"
	"hufu/internal/client"
	"hufu/internal/frame"
	"hufu/internal/identity"
	"hufu/internal/server"
	"hufu/internal/testenv"
	"hufu/internal/transfer"
)

// patience is how long a peer that owes an answer gets.
const patience = 30 * time.Second

// wire is somebody who speaks frames to a server by hand.
type wire struct {
	*testing.T
	net.Conn
	in    *bufio.Reader
	codec *frame.Codec
}

func speak(t *testing.T, c net.Conn) *wire {
	t.Helper()
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &wire{t, c, bufio.NewReader(c), frame.NewCodec()}
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// dialTLS returns a peer without a certificate that believes everything.
func dialTLS(t *testing.T, address string, alpn ...string) (*wire, error) {
	t.Helper()
	raw := dial(t, address)
	c := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, NextProtos: alpn}) // a stranger
	w := speak(t, c)
	return w, c.HandshakeContext(t.Context())
}

func (w *wire) send(b []byte) {
	w.Helper()
	if _, err := w.Write(b); err != nil {
		w.Fatal(err)
	}
}

func (w *wire) say(m frame.Message) {
	w.Helper()
	b, err := w.codec.Append(nil, m, false, 0)
	if err != nil {
		w.Fatal(err)
	}
	w.send(b)
}

// raw is a frame that no codec would write.
func rawFrame(typ frame.Type, body []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(typ))
	b = binary.BigEndian.AppendUint16(b, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	b = binary.BigEndian.AppendUint32(b, 0)
	return append(b, body...)
}

// hear reads the next frame.
func (w *wire) hear() frame.Message {
	w.Helper()
	var head [frame.HeaderSize]byte
	if _, err := io.ReadFull(w.in, head[:]); err != nil {
		w.Fatalf("no answer: %v", err)
	}
	h, err := frame.ParseHeader(&head)
	if err != nil {
		w.Fatal(err)
	}
	body := make([]byte, h.Body)
	if _, err := io.ReadFull(w.in, body); err != nil {
		w.Fatal(err)
	}
	m, err := w.codec.Decode(h.Type, body)
	if err != nil {
		w.Fatal(err)
	}
	return m
}

// farewell returns the code with which the server says goodbye.
func (w *wire) farewell() string {
	w.Helper()
	m := w.hear()
	g, ok := m.(*frame.Goodbye)
	if !ok {
		w.Fatalf("instead of goodbye: %#v", m)
	}
	return g.Reason.Code
}

// nothing says that the server sends no byte any more.
func (w *wire) nothing() error {
	w.Helper()
	data, err := io.ReadAll(w.in)
	if len(data) > 0 {
		w.Errorf("%d bytes came: %q", len(data), data)
	}
	return err
}

// TestHT15NothingIsParsedBeforeTheProof: without a certificate neither a frame
// nor an HTTP request gets an answer, on any name; and on the enrollment name
// every request but its three is refused by its header, before its body.
func TestHT15NothingIsParsedBeforeTheProof(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	hello, err := frame.NewCodec().Append(nil, &frame.Hello{Version: frame.Version, Features: []string{frame.FeatureCore}}, false, 0)
	if err != nil {
		t.Fatal(err)
	}
	bodies := map[string][]byte{"a frame": hello, "HTTP": []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), "noise": make([]byte, 64)}
	for _, alpn := range [][]string{{"hufu/1"}, {"h2"}, {"http/1.1"}, nil, {"hufu/1", "hufu-enroll/1"}, {"hufu-enroll/1", "h2"}} {
		for what, body := range bodies {
			w, err := dialTLS(t, env.Address, alpn...)
			if err == nil { // the client's half of a TLS 1.3 handshake
				_, _ = w.Write(body) // the connection may be gone already
				err = w.nothing()
			}
			if err == nil || !strings.Contains(err.Error(), "certificate required") {
				t.Errorf("%v, %s: %v", alpn, what, err)
			}
		}
	}
	if log := env.Log.String(); strings.Contains(log, "msg=connected") {
		t.Errorf("somebody without a certificate is connected:\n%s", log)
	}
	allowed := []frame.Type{frame.TypeEnroll, frame.TypeRenew, frame.TypeWhy}
	refused := 0
	for typ := frame.Type(1); typ < 0x100; typ++ {
		if slices.Contains(allowed, typ) {
			continue
		}
		w, err := dialTLS(t, env.Address, "hufu-enroll/1")
		if err != nil {
			t.Fatal(err)
		}
		// The header of a request whose body never comes: whoever wanted the
		// body would wait for it.
		head := rawFrame(typ, make([]byte, 100))[:frame.HeaderSize]
		w.send(head)
		if code := w.farewell(); code != "request_unknown" && code != "frame_type" {
			t.Errorf("request %#x: %s", typ, code)
		} else if code == "request_unknown" {
			refused++
		}
	}
	if refused < 15 {
		t.Errorf("%d requests are known and refused: the scan is broken", refused)
	}
}

// TestHT18LoginDataIsOnlyCompared: whatever is typed as a name, a password or
// a secret, no file is touched and nobody is called.
func TestHT18LoginDataIsOnlyCompared(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{Teach: true})
	alice := env.Person("alice")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	called := make(chan string, 100)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				close(called)
				return
			}
			called <- c.RemoteAddr().String()
			_ = c.Close()
		}
	}()
	bait := filepath.Join(t.TempDir(), "bait")
	tempting := []string{
		"../../../etc/passwd", "/etc/passwd", bait, "file://" + bait, "http://" + ln.Addr().String() + "/x", "//" + ln.Addr().String() + "/share",
		`\\` + ln.Addr().String() + `\share`, "ldap://" + ln.Addr().String(), "${jndi:ldap://" + ln.Addr().String() + "/a}", "$(touch " + bait + ")", "`touch " + bait + "`",
		"|touch " + bait, "' OR '1'='1' -- ", `" OR 1=1 #`, "alice'; DROP TABLE users; --", "alice\x00admin", "alice\n", "{{.}}", "%s%n", "ssh-ed25519 AAAA",
	}
	before := tree(t, env.Data)
	r := alice.Remote(client.Options{})
	for _, s := range tempting {
		if err := r.Login(t.Context(), s, alice.Password); err == nil {
			t.Errorf("%q is somebody", s)
		}
	}
	for i, s := range tempting { // a few at a time, or guessing would be slowed down
		if i%4 == 0 {
			if err := env.Account.SetPassword(t.Context(), "alice", alice.Password); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Login(t.Context(), "alice", s); hufu.KindOf(err).Exit() != 6 && hufu.KindOf(err).Exit() != 10 && hufu.KindOf(err) != hufu.KindInvalid {
			t.Errorf("password %q: %v", s, err)
		}
		w, err := dialTLS(t, env.Address, "hufu-enroll/1")
		if err != nil {
			t.Fatal(err)
		}
		w.say(&frame.Enroll{Secret: s[:min(len(s), frame.MaxName)], CSR: []byte(s), Password: s, Device: "pc"})
		if e, ok := w.hear().(*frame.Error); !ok {
			t.Errorf("secret %q is good", s)
		} else if e.Kind == "internal" {
			t.Errorf("secret %q: %+v", s, e)
		}
		_ = w.Close()
		p := speak(t, dial(t, env.Teach.Address()))
		p.say(&frame.Hello{Version: frame.Version, Features: []string{frame.FeatureCore, frame.FeatureTeach}})
		p.hear()
		p.say(&frame.Login{User: s[:min(len(s), frame.MaxName)], Password: s})
		if e, ok := p.hear().(*frame.Error); !ok {
			t.Errorf("the teaching world lets %q in", s)
		} else if e.Kind == "internal" {
			t.Errorf("teaching, %q: %+v", s, e)
		}
		_ = p.Close()
	}
	if after := tree(t, env.Data); !slices.Equal(before, after) {
		t.Errorf("the data folder holds %q, before %q", after, before)
	}
	if _, err := os.Lstat(bait); err == nil {
		t.Error("a file was made")
	}
	_ = ln.Close()
	for from := range called {
		t.Errorf("somebody was called, from %s", from)
	}
}

// tree returns the names of everything in a folder, the database's own files aside.
func tree(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		if rel := strings.TrimPrefix(name, dir); !strings.HasPrefix(rel, "/hufu.db") {
			names = append(names, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestHT23EachListenerHasItsOwnRules: what is good on one is good on that one
// alone.
func TestHT23EachListenerHasItsOwnRules(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{Teach: true})
	alice := env.Person("alice")
	core := &frame.Hello{Version: frame.Version, Features: []string{frame.FeatureCore}, Token: alice.Profile.Token()}
	teach := &frame.Hello{Version: frame.Version, Features: []string{frame.FeatureCore, frame.FeatureTeach}, Token: alice.Profile.Token()}

	for _, hello := range []*frame.Hello{core, teach} {
		// Plaintext on the port with TLS: an alert at most, and the end.
		w := speak(t, dial(t, env.Address))
		w.say(hello)
		data, _ := io.ReadAll(w.in)
		if len(data) > 7 || len(data) > 0 && data[0] != 21 {
			t.Errorf("plaintext on the port with TLS is answered: %q", data)
		}
	}
	// TLS on the port without.
	if _, err := dialTLS(t, env.Teach.Address(), "hufu/1"); err == nil {
		t.Error("the teaching port speaks TLS")
	}
	// A hello that does not ask for the teaching world.
	w := speak(t, dial(t, env.Teach.Address()))
	w.say(core)
	if code := w.farewell(); code != "teach_missing" {
		t.Errorf("a real hello on the teaching port: %s", code)
	}
	// A real token, and a real name with its password.
	w = speak(t, dial(t, env.Teach.Address()))
	w.say(teach)
	if a, ok := w.hear().(*frame.HelloAnswer); !ok || a.LoggedIn {
		t.Errorf("a real token opens the teaching world: %+v", a)
	}
	// Enrolling is for the port with TLS and its own name.
	for _, m := range []frame.Message{&frame.Enroll{Secret: "x", CSR: []byte("x"), Password: "x", Device: "pc"}, &frame.Renew{CSR: []byte("x")}, &frame.Why{}} {
		w := speak(t, dial(t, env.Teach.Address()))
		w.say(teach)
		w.hear()
		w.say(&frame.Login{User: "pupil", Password: "password"})
		w.hear()
		w.say(m)
		if code := w.farewell(); code != "request_unknown" {
			t.Errorf("%s on the teaching port: %s", m.Type(), code)
		}
	}
	// A server without the teaching world does not know the word.
	plain := testenv.New(t, testenv.Options{})
	bob := plain.Person("bob")
	a, err := bob.Remote(client.Options{}).Connect(t.Context())
	if err != nil || a.Teach != 0 || slices.Contains(a.Features, frame.FeatureTeach) {
		t.Errorf("%+v, %v", a, err)
	}
}

// TestHT40ErrorsShowVirtualPaths: whatever goes wrong on the server's disk,
// its folders are named in its own log and nowhere else. NUL bytes are refused.
func TestHT40ErrorsShowVirtualPaths(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{Teach: true})
	alice := env.Person("alice")
	r := alice.Remote(client.Options{})
	for name, data := range map[string][]byte{"small": {1}, "large": bytesOf(3 << 20), "dir/file": {2}} {
		write(t, alice.Local("src/"+name), data)
	}
	if reports, err := put(t, r, transfer.Options{}, "/", alice.Local("src")); err != nil || len(failures(reports)) > 0 {
		t.Fatal(err, failures(reports))
	}
	var met []error
	try := func(err error) {
		t.Helper()
		if err == nil {
			t.Error("nothing went wrong")
		}
		met = append(met, err)
	}
	ctx := t.Context()
	everything := func() {
		t.Helper()
		for _, p := range []string{"/src/small", "/src/large", "/src/dir", "/src/none/x", "/src/small/x", "/@shared/none", "/@x"} {
			q := path(t, p)
			if p != "/src/dir" {
				try(r.List(ctx, q, func(hufu.Entry) error { return nil }))
			}
			_, err := r.Mkdir(ctx, path(t, p+"/made/x"), 0o755, false)
			try(err)
			_, err = r.Digest(ctx, path(t, p+"/y"))
			try(err)
			_, err = r.Open(ctx, path(t, p+"/"+strings.Repeat("x", 250)), 0, "x")
			try(err)
			try(r.Rename(ctx, path(t, p+"/z"), path(t, "/src/small/z"), hufu.Condition{Kind: hufu.IfAbsent}))
			try(r.Remove(ctx, path(t, p+"/none"), true))
		}
	}
	everything()
	// The served folder is exchanged for a file while the server runs, and the
	// next one for a link that leads nowhere.
	users := filepath.Join(env.Data, "files", "users")
	for _, name := range []string{"alice/src/dir", "alice/src"} {
		if err := os.Rename(filepath.Join(users, name), filepath.Join(users, "away-"+filepath.Base(name))); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(env.Data, "ca"), filepath.Join(users, name)); err != nil {
			t.Fatal(err)
		}
		_, err := r.Digest(ctx, path(t, "/src/dir/file"))
		try(err)
		_, err = r.Mkdir(ctx, path(t, "/src/dir/new"), 0o755, true)
		try(err)
	}
	reports, err := put(t, r, transfer.Options{Conflict: transfer.Replace}, "/", alice.Local("src"))
	try(errors.Join(append(failures(reports), err)...))
	met = append(met, failures(reports)...)
	for _, err := range met {
		for e := err; e != nil; e = errors.Unwrap(e) {
			if h, ok := e.(*hufu.Error); ok { //nolint:errorlint // each one of the chain
				text := fmt.Sprintf("%q %q %v", h.Path, h.Code, h.Args)
				if strings.Contains(text, env.Data) || strings.Contains(text, "files/users") || strings.Contains(text, "SELECT") {
					t.Errorf("an error tells too much: %s", text)
				}
			}
		}
	}

	// What cannot be a name is refused before anything looks for it.
	if _, err := hufu.ParsePath("/a\x00b"); hufu.KindOf(err) != hufu.KindInvalidPath {
		t.Errorf("a path with NUL: %v", err)
	}
	w := speak(t, dial(t, env.Teach.Address()))
	w.say(&frame.Hello{Version: frame.Version, Features: []string{frame.FeatureCore, frame.FeatureTeach}})
	w.hear()
	w.say(&frame.Login{User: "pu\x00pil", Password: "password"})
	if e, ok := w.hear().(*frame.Error); !ok || e.Kind == "internal" {
		t.Errorf("a name with NUL: %+v", e)
	}
	w.say(&frame.Login{User: "pupil", Password: "password"})
	w.hear()
	w.send(rawFrame(frame.TypeStat, append([]byte{0xa1, 0x01, 0x43}, "a\x00b"...)))
	if code := w.farewell(); code != "message_value" {
		t.Errorf("a frame with a path with NUL: %s", code)
	}
}

// clientHello returns the first flight of a client on this name.
func clientHello(t *testing.T, alpn string) []byte {
	t.Helper()
	near, far := net.Pipe()
	c := tls.Client(near, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{alpn}, MinVersion: tls.VersionTLS13}) // it is never answered
	over := make(chan struct{})
	go func() { defer close(over); _ = c.HandshakeContext(t.Context()) }()
	head := make([]byte, 5)
	_, err := io.ReadFull(far, head)
	body := make([]byte, binary.BigEndian.Uint16(head[3:]))
	if err == nil {
		_, err = io.ReadFull(far, body)
	}
	_ = far.Close()
	<-over
	if err != nil {
		t.Fatal(err)
	}
	return append(head, body...)
}

// TestHT44SilentStrangers: peers that connect and prove nothing, or begin a
// handshake and do not go on, neither keep others out, behind the same address,
// nor stay.
func TestHT44SilentStrangers(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	alice := env.Person("alice")
	const more = 60
	var open []net.Conn
	gone := make(chan time.Duration, server.MaxSilent+server.MaxHandshakes+2*more)
	defer func() {
		for _, c := range open {
			_ = c.Close()
		}
	}()
	hello := clientHello(t, "hufu/1")
	for first, n := range map[string]int{"": server.MaxSilent + more, string(hello): server.MaxHandshakes + more} {
		for range n {
			c := dial(t, env.Address)
			open = append(open, c)
			began := time.Now()
			go func() {
				_, _ = io.WriteString(c, first) // it may be put out already
				_, _ = io.Copy(io.Discard, c)
				gone <- time.Since(began)
			}()
		}
	}
	for range 5 {
		if err := alice.Remote(client.Options{}).LoggedIn(t.Context()); err != nil {
			t.Errorf("somebody who can prove himself is kept out: %v", err)
		}
		// This one was accepted after all others.
		if silent, handshakes := env.Server.Unproven(); silent > server.MaxSilent || handshakes > server.MaxHandshakes {
			t.Errorf("%d keep silent, %d do not go on", silent, handshakes)
		}
	}
	bob := env.Person("bob") // enrolls meanwhile
	if err := bob.Remote(client.Options{}).LoggedIn(t.Context()); err != nil {
		t.Error(err)
	}
	var last time.Duration
	for range open {
		last = max(last, <-gone)
	}
	t.Logf("%d peers that proved nothing were put out within %v, promised are %v", len(open), last, server.HandshakeTime)
	if last > 5*server.HandshakeTime {
		t.Errorf("they stayed for %v", last)
	}
}

// TestClientsThatNeverRead ask for much and take nothing of it: a good client works
// beside two hundred of them as it does without.
func TestClientsThatNeverRead(t *testing.T) {
	t.Parallel()
	const silent, chunks = 200, 8
	env := testenv.New(t, testenv.Options{})
	mallory, alice := env.Person("mallory"), env.Person("alice")
	good, bad := alice.Remote(client.Options{}), mallory.Remote(client.Options{})
	write(t, alice.Local("large"), bytesOf(16<<20))
	write(t, mallory.Local("large"), bytesOf(chunks<<20))
	if reports, err := put(t, bad, transfer.Options{}, "/", mallory.Local("large")); err != nil || len(failures(reports)) > 0 {
		t.Fatal(err, failures(reports))
	}
	e, err := bad.Stat(t.Context(), path(t, "/large"))
	if err != nil {
		t.Fatal(err)
	}
	work := func(name string) time.Duration {
		t.Helper()
		began := time.Now()
		if reports, err := put(t, good, transfer.Options{}, "/"+name, alice.Local("large")); err != nil || len(failures(reports)) > 0 {
			t.Fatal(err, failures(reports))
		}
		if reports, err := get(t, good, transfer.Options{}, alice.Local(name), "/"+name+"/large"); err != nil || len(failures(reports)) > 0 {
			t.Fatal(err, failures(reports))
		}
		return time.Since(began)
	}
	alone := work("alone")
	roots, err := mallory.Profile.Roots()
	if err != nil {
		t.Fatal(err)
	}
	config, err := identity.Client{Roots: roots, Certificate: mallory.Profile.Certificate, Host: mallory.Profile.Host, ALPN: identity.ProtoNative}.Config()
	if err != nil {
		t.Fatal(err)
	}
	var open []net.Conn
	for range silent {
		raw := dial(t, env.Address)
		open = append(open, raw)
		if tcp, ok := raw.(*net.TCPConn); ok {
			_ = tcp.SetReadBuffer(8 << 10)
		}
		w := speak(t, tls.Client(raw, config))
		w.say(&frame.Hello{Version: frame.Version, Features: []string{frame.FeatureCore}, Token: mallory.Profile.Token()})
		for i := range chunks {
			w.say(&frame.Read{Path: frame.WirePath(path(t, "/large")), Version: e.Version, Index: int64(i)})
		}
	}
	for began := time.Now(); env.Server.Sending() < silent; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > patience {
			t.Fatalf("only %d of them are being waited for", env.Server.Sending())
		}
	}
	beside := work("beside")
	t.Logf("%v alone, %v beside %d clients that do not read", alone, beside, silent)
	if beside > 5*alone+5*time.Second {
		t.Errorf("%v, alone it takes %v", beside, alone)
	}
	if n := env.Server.Sending(); n != silent {
		t.Errorf("%d clients are being waited for: nothing is tested", n)
	}
	if n := env.Server.Held(); n < silent || n > server.MaxHeld {
		t.Errorf("%d chunks are held", n)
	}
	for _, c := range open {
		_ = c.Close()
	}
	for began := time.Now(); env.Server.Held() > 0; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > patience {
			t.Fatalf("%d chunks are not given back", env.Server.Held())
		}
	}
}
