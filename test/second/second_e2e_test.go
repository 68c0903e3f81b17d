//go:build e2e

package second

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// site is a real server, built and started for the test.
type site struct {
	t      *testing.T
	hufud  string
	data   string
	server *exec.Cmd
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, hufud: filepath.Join(t.TempDir(), "hufud"), data: filepath.Join(t.TempDir(), "data")}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", s.hufud, "hufu/cmd/hufud").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s.run("init", "--name", "localhost,127.0.0.1", "--no-passphrase")
	s.start("127.0.0.1:0")
	t.Cleanup(s.stop)
	return s
}

func (s *site) run(args ...string) string {
	s.t.Helper()
	c := exec.CommandContext(s.t.Context(), s.hufud, append([]string{"--data", s.data}, args...)...)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		s.t.Fatalf("hufud %v: %v\n%s", args, err, &stderr)
	}
	return strings.TrimSpace(string(out))
}

// start returns when the server accepts connections.
func (s *site) start(listen string) {
	s.t.Helper()
	s.server = exec.Command(s.hufud, "--data", s.data, "serve", "--listen", listen)
	s.server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	r, w, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	s.server.Stderr = w
	if err := errors.Join(s.server.Start(), w.Close()); err != nil {
		s.t.Fatal(err)
	}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		s.t.Log(lines.Text())
		if strings.Contains(lines.Text(), "msg=listening") {
			go func() { // ends with the server
				for lines.Scan() {
				}
				_ = r.Close()
			}()
			return
		}
	}
	s.t.Fatal("the server did not start")
}

func (s *site) stop() {
	if err := s.server.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Error(err)
	}
	_ = s.server.Wait()
}

// kill stops the server as a crash does, and starts it again on the same port.
func (s *site) kill() {
	s.t.Helper()
	address, err := os.ReadFile(filepath.Join(s.data, "listen"))
	if err != nil {
		s.t.Fatal(err)
	}
	_ = s.server.Process.Kill()
	_ = s.server.Wait()
	s.start(strings.TrimSpace(string(address)))
}

const password = "correct horse battery"

func (s *site) enroll(user string) (*Identity, []byte) {
	s.t.Helper()
	inv, err := ParseInvitation(s.run("invite", user))
	if err != nil {
		s.t.Fatal(err)
	}
	id, err := Enroll(s.t.Context(), inv, nil, password, "second")
	if err != nil {
		s.t.Fatal(err)
	}
	c := s.connect(id, nil)
	defer c.Close()
	tok, err := c.Login(user, password)
	if err != nil {
		s.t.Fatal(err)
	}
	return id, tok
}

func (s *site) connect(id *Identity, tok []byte) *Client {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	c, err := id.Connect(ctx, tok)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	return c
}

// failed wants the server's error of this kind and code.
func failed(t *testing.T, err error, kind, code string) {
	t.Helper()
	if f, ok := errors.AsType[*Failure](err); !ok || f.Kind != kind || f.Code != code {
		t.Errorf("wanted %s %s, got %v", kind, code, err)
	}
}

func TestSecondClient(t *testing.T) {
	s := newSite(t)
	t.Run("enroll", func(t *testing.T) { testEnroll(t, s) })
	id, tok := s.enroll("alice")
	t.Run("login", func(t *testing.T) { testLogin(t, s, id, tok) })
	t.Run("small", func(t *testing.T) { testSmall(t, s, id, tok) })
	t.Run("large", func(t *testing.T) { testLarge(t, s, id, tok) })
	t.Run("canceled", func(t *testing.T) { testCanceled(t, s, id, tok) })
	t.Run("killed", func(t *testing.T) { testKilled(t, s, id, tok) })
	t.Run("shared", func(t *testing.T) { testShared(t, s, id, tok) })
	t.Run("broken", func(t *testing.T) { testBroken(t, s, id) })
	t.Run("revoked", func(t *testing.T) { testRevoked(t, s, id, tok) })
}

func testEnroll(t *testing.T, s *site) {
	inv, err := ParseInvitation(s.run("invite", "carol"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	first, err := Enroll(t.Context(), inv, key, password, "laptop")
	if err != nil {
		t.Fatal(err)
	}
	if first.User != "carol" || first.Device != "laptop" {
		t.Errorf("enrolled as %s on %s", first.User, first.Device)
	}
	again, err := Enroll(t.Context(), inv, key, password, "laptop")
	if err != nil || !bytes.Equal(again.Chain[0], first.Chain[0]) {
		t.Errorf("the same key did not get the same certificate: %v", err)
	}
	_, err = Enroll(t.Context(), inv, nil, password, "thief")
	failed(t, err, "refused", "invitation_used")
	inv.Fingerprint[0] ^= 1
	if _, err := Enroll(t.Context(), inv, key, password, "laptop"); err == nil {
		t.Error("a server without the invitation's root was believed")
	}
	f, clock, err := first.Why(t.Context())
	if f != nil || err != nil || time.Since(clock).Abs() > time.Minute {
		t.Error(f, clock, err)
	}
}

func testLogin(t *testing.T, s *site, id *Identity, tok []byte) {
	c := s.connect(id, nil)
	if c.Hello.LoggedIn || c.Hello.User != "alice" || c.Hello.Device != "second" {
		t.Errorf("%+v", c.Hello)
	}
	_, err := c.List("")
	failed(t, err, "credentials", "not_logged_in")
	_, err = c.Login("bob", password)
	failed(t, err, "credentials", "wrong_user")
	_, err = c.Login("alice", "wrong")
	failed(t, err, "credentials", "wrong_password")

	bad := s.connect(id, bytes.Repeat([]byte{1}, 32))
	if bad.Hello.LoggedIn || bad.Hello.Why == nil || bad.Hello.Why.Kind != "credentials" {
		t.Errorf("%+v", bad.Hello)
	}
	good := s.connect(id, tok)
	if !good.Hello.LoggedIn || good.Hello.Why != nil {
		t.Errorf("%+v", good.Hello)
	}
	if all, err := good.List(""); err != nil {
		t.Error(all, err)
	}
}

func testSmall(t *testing.T, s *site, id *Identity, tok []byte) {
	c := s.connect(id, tok)
	files := map[string][]byte{"empty": nil, "one": {1}, "odd \xff\xfe name": []byte("x"), "日本": pattern(1000), "full": pattern(chunkSize)}
	for name, data := range files {
		v, err := c.Put("small/"+name, data, Absent)
		if err != nil || v == "" {
			t.Fatalf("%q: %q, %v", name, v, err)
		}
		e, got, err := c.Get("small/"+name, v)
		if err != nil || !bytes.Equal(got, data) || e.Mode != 0o640 || e.MTime != mtime.UnixNano() || e.By != "alice" {
			t.Errorf("%q: %+v, %v", name, e, err)
		}
		got, err = c.GetKnown("small/"+name, v, e.Digest)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%q by its digest: %d bytes, %v", name, len(got), err)
		}
		_, err = c.GetKnown("small/"+name, v, Digest([]byte("not these")))
		failed(t, err, "invalid", "digest_differs")
		_, err = c.Put("small/"+name, []byte("other"), Absent)
		failed(t, err, "exists", "target_exists")
		_, _, err = c.Get("small/"+name, "another version")
		failed(t, err, "changed", "file_changed")
		v2, err := c.Put("small/"+name, []byte("newer"), Condition{2, v})
		if err != nil || v2 == v {
			t.Errorf("%q, %q, %v", v, v2, err)
		}
		_, err = c.Put("small/"+name, []byte("late"), Condition{2, v})
		failed(t, err, "changed", "target_changed")
	}
	all, err := c.List("small")
	if err != nil || len(all) != len(files) {
		t.Fatal(all, err)
	}
	for _, e := range all {
		if _, ok := files[string(e.Name)]; !ok || e.Kind != 1 || e.Size != 5 || !bytes.Equal(e.Digest, Digest([]byte("newer"))) {
			t.Errorf("%+v", e)
		}
	}

	many := map[string][]byte{}
	for i := range 2500 {
		many[strconv.Itoa(i)] = []byte(strconv.Itoa(i))
	}
	if err := c.PutMany("many", many); err != nil {
		t.Fatal(err)
	}
	if all, err = c.List("many"); err != nil { // more than one frame
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, e := range all {
		names[string(e.Name)] = true
	}
	if len(all) != len(many) || !slices.Equal(slices.Sorted(maps.Keys(names)), slices.Sorted(maps.Keys(many))) {
		t.Errorf("%d entries, %d names", len(all), len(names))
	}
	for _, limit := range []uint{999, 2500, 4096} {
		pages, err := c.ListPages("many", limit)
		if err != nil || len(pages) != len(many) {
			t.Errorf("pages of %d: %d entries, %v", limit, len(pages), err)
		}
	}
	failed(t, c.Remove("many", false), "not_empty", "")
	if err := c.Remove("many", true); err != nil {
		t.Error(err)
	}
	_, err = c.List("many")
	failed(t, err, "not_found", "")
	v, err := c.Put("small/moving", []byte("old"), Absent)
	if err != nil {
		t.Fatal(err)
	}
	set, err := c.SetMeta("small/moving", 0o600, 1)
	if err != nil || set == "" || set == v {
		t.Errorf("%q, then %q, %v", v, set, err)
	}
	moved, err := c.Rename("small/moving", "small/moved", Absent)
	if err != nil || moved == "" {
		t.Error(moved, err)
	}
	v, err = c.Put("small/moved", []byte("new"), Condition{2, moved})
	if err != nil {
		t.Error(err)
	}
	failed(t, c.RemoveVersion("small/moved", moved), "changed", "target_changed")
	if err := c.RemoveVersion("small/moved", v); err != nil {
		t.Error(err)
	}
	_, err = c.Put("@elsewhere/x", nil, Absent)
	failed(t, err, "invalid_path", "at_name")
	_, err = c.Stat("a/.hufu-x")
	failed(t, err, "invalid_path", "name_reserved")
}

// big has random bytes, a hole of two chunks and a short last chunk.
func big(t *testing.T) []byte {
	t.Helper()
	data := make([]byte, 9*chunkSize+12345)
	if _, err := rand.Read(data); err != nil {
		t.Fatal(err)
	}
	clear(data[3*chunkSize : 5*chunkSize])
	return data
}

func all(int64) bool { return true }

// testCanceled lets the server read a file that takes seconds, and does not wait
// for it.
func testCanceled(t *testing.T, s *site, id *Identity, tok []byte) {
	c := s.connect(id, tok)
	if _, err := c.Put("slow", nil, Absent); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(s.data, "files", "users", "alice", "slow"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range int64(16 << 10) { // 16 GiB, nearly all holes
		if _, err := f.WriteAt([]byte{1}, i*chunkSize); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	close(stop)
	_, err = c.Digest("slow", stop)
	failed(t, err, "canceled", "")
	if e, err := c.Stat("slow"); err != nil || len(e.Digest) != 0 {
		t.Errorf("%+v, %v", e, err)
	}
	if err := c.Remove("slow", false); err != nil {
		t.Error(err)
	}
}

func testLarge(t *testing.T, s *site, id *Identity, tok []byte) {
	data := big(t)
	c, lane := s.connect(id, tok), s.connect(id, tok)
	stale := bytes.Clone(data)
	stale[0] ^= 1
	u, err := c.Open("large/stale", "v1", stale)
	if err == nil {
		_, err = c.Send(u, all)
	}
	if err != nil {
		t.Fatal(err)
	}
	if u, err = lane.Open("large/stale", "v1", data); err != nil || len(u.There) != 10 {
		t.Fatal(len(u.There), err)
	}
	if n, err := lane.Send(u, all); n != 1 || err != nil { // the one that differs
		t.Error(n, err)
	}
	if _, err := lane.Commit(u, Absent); err != nil {
		t.Error(err)
	}
	u, err = c.Open("large/file", "v1", data)
	if err != nil || len(u.There) != 0 {
		t.Fatal(u, err)
	}
	if n, err := lane.Send(u, func(i int64) bool { return i%2 == 0 }); n != 5 || err != nil {
		t.Fatal(n, err)
	}
	_, err = c.Commit(u, Absent)
	if f, ok := errors.AsType[*Failure](err); !ok || f.Code != "upload_incomplete" {
		t.Error(err)
	}
	_, err = c.Stat("large/file")
	failed(t, err, "not_found", "")
	c.Close()
	lane.Close()

	c = s.connect(id, tok)
	again, err := c.Open("large/file", "v1", data)
	if err != nil || again.ID != u.ID || len(again.There) != 5 {
		t.Fatal(len(again.There), err)
	}
	for i, cv := range again.There {
		if !bytes.Equal(cv, CV(again.chunk(i), i)) {
			t.Errorf("chunk %d is another one", i)
		}
	}
	wrong := *again
	wrong.Data = pattern(len(data))
	m := oneRange{Upload: u.ID, Index: 1, CV: CV(wrong.chunk(1), 1)}
	_, err = c.k.do(tRange, m, again.chunk(1), &empty{})
	failed(t, err, "integrity", "chunk_differs")
	_, err = c.k.do(tRange, oneRange{Upload: u.ID, Index: 10, CV: m.CV}, again.chunk(1), &empty{})
	failed(t, err, "invalid", "chunk_index")
	_, err = c.k.do(tRange, m, again.chunk(1)[1:], &empty{})
	failed(t, err, "invalid", "chunk_length")
	if n, err := c.Send(again, all); n != 5 || err != nil {
		t.Fatal(n, err)
	}
	e, err := c.Commit(again, Absent)
	if err != nil || !bytes.Equal(e.Digest, Digest(data)) || e.Size != int64(len(data)) || e.MTime != mtime.UnixNano() || e.Mode != 0o600 {
		t.Fatalf("%+v, %v", e, err)
	}
	twice, err := c.Commit(again, Absent) // as if the answer had been lost
	if err != nil || twice.Version != e.Version {
		t.Errorf("%+v, %v", twice, err)
	}
	other := s.connect(id, tok)
	got, err := Fetch([]*Client{c, other}, "large/file", e)
	if err != nil || !bytes.Equal(got, data) {
		t.Error("other bytes came back", err)
	}
	e.Version += "x"
	_, err = Fetch([]*Client{c}, "large/file", e)
	failed(t, err, "changed", "file_changed")
	_, _, err = c.Get("large/file", "")
	failed(t, err, "changed", "file_changed")
}

// testKilled: the server dies in the middle of an upload and comes back.
func testKilled(t *testing.T, s *site, id *Identity, tok []byte) {
	data := big(t)
	c := s.connect(id, tok)
	u, err := c.Open("killed", "v1", data)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Send(u, func(i int64) bool { return i < 6 }); err != nil {
		t.Fatal(err)
	}
	instance := c.Hello.Instance
	s.kill()
	<-c.k.over
	c = s.connect(id, tok)
	if !c.Hello.LoggedIn || bytes.Equal(instance, c.Hello.Instance) {
		t.Errorf("%+v", c.Hello)
	}
	again, err := c.Open("killed", "v1", data)
	if err != nil || again.ID != u.ID || len(again.There) != 6 {
		t.Fatal(len(again.There), err)
	}
	if n, err := c.Send(again, all); n != 4 || err != nil {
		t.Fatal(n, err)
	}
	if e, err := c.Commit(again, Absent); err != nil || !bytes.Equal(e.Digest, Digest(data)) {
		t.Error(e, err)
	}
}

func testShared(t *testing.T, s *site, id *Identity, tok []byte) {
	bobID, bobTok := s.enroll("bob")
	alice, bob := s.connect(id, tok), s.connect(bobID, bobTok)
	if _, err := alice.Put("@shared/common/hello", []byte("hello, bob"), Absent); err != nil {
		t.Fatal(err)
	}
	if e, got, err := bob.Get("@shared/common/hello", ""); err != nil || string(got) != "hello, bob" || e.By != "alice" {
		t.Error(e, err)
	}
	if err := bob.Remove("@shared/common/hello", false); err == nil {
		t.Error("bob removed what is alice's")
	}
	if mine, err := bob.List(""); err != nil || len(mine) != 0 {
		t.Error("bob sees", mine, err)
	}
	stolen := s.connect(bobID, tok)
	if stolen.Hello.LoggedIn {
		t.Error("alice's token is good with bob's certificate")
	}
}

// testBroken: what must not be sent ends the connection with a goodbye.
func testBroken(t *testing.T, s *site, id *Identity) {
	for code, frames := range map[string][]byte{
		"hello_missing":      {0, 5, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0xa1, 1, 0x40},
		"frame_type":         {0x7f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		"frame_too_large":    {0, 1, 0, 0, 0, 0, 0x40, 1, 0, 0, 0, 0},
		"message_form":       {0, 5, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0xa1, 1, 0x40, 0},
		"message_value":      {0, 5, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0xa1, 1, 0x41, '/'},
		"answer_from_client": {0x80, 3, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0xa0},
	} {
		c, err := dialTLS(t.Context(), id.Host, id.Port, id.config(native))
		if err != nil {
			t.Fatal(err)
		}
		k, err := newConn(c, 1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(frames); err != nil {
			t.Fatal(err)
		}
		<-k.over
		failed(t, k.err, "protocol", code)
	}
	plain := id.config(native)
	plain.Certificates = nil
	c, err := tls.Dial("tcp", id.Host+":"+id.Port, plain)
	if err == nil {
		if _, err = io.ReadAll(c); err == nil {
			t.Error("let in without a certificate")
		}
		_ = c.Close()
	}
}

func testRevoked(t *testing.T, s *site, id *Identity, tok []byte) {
	c := s.connect(id, tok)
	serial := regexp.MustCompile(`"serial":"([0-9a-f]+)"`)
	revoked := false
	for line := range strings.Lines(s.run("cert", "list", "--json")) {
		if strings.Contains(line, `"alice"`) {
			s.run("cert", "revoke", serial.FindStringSubmatch(line)[1])
			revoked = true
		}
	}
	if !revoked {
		t.Fatal("alice has no certificate")
	}
	start := time.Now()
	<-c.k.over
	failed(t, c.k.err, "refused", "cert_revoked")
	const promise = time.Second
	took := time.Since(start)
	t.Logf("cut %v after it was revoked", took)
	if took > 5*promise {
		t.Errorf("cut after %v, promised within %v", took, promise)
	}
	if _, err := id.Connect(t.Context(), tok); err == nil {
		t.Error("let in again")
	}
	f, _, err := id.Why(t.Context())
	if f == nil || f.Code != "cert_revoked" {
		t.Error(f, err)
	}
}
