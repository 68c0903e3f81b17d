package server_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hufu"
	"hufu/internal/client"
	"hufu/internal/digest"
	"hufu/internal/frame"
	"hufu/internal/identity"
	"hufu/internal/testenv"
)

// These tests hold docs/protocol.md and the server to one another, over real
// connections and with messages made by hand.

// asPerson returns a connection of p's own on which hello has been said.
func asPerson(t *testing.T, env *testenv.Env, p *testenv.Person) *wire {
	t.Helper()
	w := connect(t, env, p)
	a := w.ask(&frame.Hello{Version: frame.Version, Features: []string{frame.FeatureCore}, Token: p.Profile.Token()}, nil)
	if h, ok := a.(*frame.HelloAnswer); !ok || !h.LoggedIn {
		t.Fatalf("%+v", a)
	}
	return w
}

// connect returns a connection on which nothing has been said.
func connect(t *testing.T, env *testenv.Env, p *testenv.Person) *wire {
	t.Helper()
	return connectBy(t, env, p, identity.ProtoNative)
}

func connectBy(t *testing.T, env *testenv.Env, p *testenv.Person, alpn string) *wire {
	t.Helper()
	roots, err := p.Profile.Roots()
	if err != nil {
		t.Fatal(err)
	}
	config, err := identity.Client{Roots: roots, Certificate: p.Profile.Certificate, Host: p.Profile.Host, ALPN: alpn}.Config()
	if err != nil {
		t.Fatal(err)
	}
	c := tls.Client(dial(t, env.Address), config)
	w := speak(t, c)
	if err := c.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w
}

// ask sends a request and hears one frame.
func (w *wire) ask(m frame.Message, raw []byte) frame.Message {
	w.Helper()
	b, err := w.codec.Append(nil, m, false, len(raw))
	if err != nil {
		w.Fatal(err)
	}
	w.send(append(b, raw...))
	return w.hear()
}

// fails wants an error of this kind and code.
func (w *wire) fails(m frame.Message, raw []byte, kind hufu.Kind, code string) {
	w.Helper()
	a := w.ask(m, raw)
	if e, ok := a.(*frame.Error); !ok || e.Kind != kind.String() || e.Code != code {
		w.Errorf("%s: wanted %s %s, got %+v", m.Type(), kind, code, a)
	}
}

// answered wants an answer of type A.
func answered[A frame.Message](w *wire, m frame.Message, raw []byte) A {
	w.Helper()
	a, ok := w.ask(m, raw).(A)
	if !ok {
		w.Fatalf("%s was not answered well", m.Type())
	}
	return a
}

var (
	ifFree = frame.Condition{Kind: uint8(hufu.IfAbsent)}
	always = frame.Condition{Kind: uint8(hufu.Always)}
)

func ifIs(version string) frame.Condition {
	return frame.Condition{Kind: uint8(hufu.IfVersion), Version: version}
}

func putOf(p string, data []byte, c frame.Condition) *frame.Put {
	d := digest.Sum(data)
	return &frame.Put{Path: frame.Path(p), Mode: 0o644, MTime: 1, Digest: d[:], Condition: c}
}

func (w *wire) put(p, data string, c frame.Condition) string {
	w.Helper()
	return answered[*frame.PutAnswer](w, putOf(p, []byte(data), c), []byte(data)).Version
}

func (w *wire) entry(p string) frame.Entry {
	w.Helper()
	return answered[*frame.StatAnswer](w, &frame.Stat{Path: frame.Path(p)}, nil).Entry
}

// upload sends the chunks of data.
func (w *wire) upload(id string, data []byte, indexes ...int64) {
	w.Helper()
	for _, i := range indexes {
		c := data[i*hufu.ChunkSize:][:digest.ChunkLen(int64(len(data)), i)]
		cv := digest.Chunk(c, i)
		answered[*frame.RangeAnswer](w, &frame.Range{Upload: id, Index: i, CV: cv[:]}, c)
	}
}

func (w *wire) open(p string, data []byte) string {
	w.Helper()
	return answered[*frame.OpenAnswer](w, &frame.Open{Path: frame.Path(p), Size: int64(len(data)), Source: "v1"}, nil).Upload
}

func commitOf(id, p string, data []byte, c frame.Condition) *frame.Commit {
	d := digest.Sum(data)
	return &frame.Commit{Upload: id, Path: frame.Path(p), Digest: d[:], Mode: 0o644, MTime: 1, Condition: c}
}

// TestVersionsAfterChanges: what makes a new version of a file says which, so
// that the next change can name it.
func TestVersionsAfterChanges(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	w := asPerson(t, env, env.Person("alice"))
	v := w.put("f", "one", ifFree)
	set := answered[*frame.SetMetaAnswer](w, &frame.SetMeta{Path: frame.Path("f"), Mode: 0o600, MTime: 77}, nil).Version
	if set == "" || set == v || set != w.entry("f").Version {
		t.Errorf("setmeta answers %q, stat says %q", set, w.entry("f").Version)
	}
	moved := answered[*frame.RenameAnswer](w, &frame.Rename{From: frame.Path("f"), To: frame.Path("g"), Condition: ifFree}, nil).Version
	if moved == "" || moved != w.entry("g").Version {
		t.Errorf("rename answers %q, stat says %q", moved, w.entry("g").Version)
	}
	w.put("g", "two", ifIs(moved))
	w.fails(putOf("g", []byte("late"), ifIs(set)), []byte("late"), hufu.KindChanged, "target_changed")

	// A link has a version too: no change needs to name "whatever is there".
	answered[*frame.LinkAnswer](w, &frame.Link{Path: frame.Path("l"), Target: []byte("x"), MTime: 1, Condition: ifFree}, nil)
	old := w.entry("l").Version
	w.put("l", "a file in its place", ifIs(old))
	w.fails(putOf("l", []byte("late"), ifIs(old)), []byte("late"), hufu.KindChanged, "target_changed")

	// A folder has none.
	answered[*frame.MkdirAnswer](w, &frame.Mkdir{Path: frame.Path("d"), Mode: 0o755}, nil)
	if a := answered[*frame.SetMetaAnswer](w, &frame.SetMeta{Path: frame.Path("d"), Mode: 0o700, MTime: 1}, nil); a.Version != "" || w.entry("d").Version != "" {
		t.Errorf("a folder has the version %q", a.Version)
	}
}

// TestConditionsAndFolders: a folder fulfils no condition, and a rename onto
// itself is judged like any other.
func TestConditionsAndFolders(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	w := asPerson(t, env, env.Person("alice"))
	answered[*frame.MkdirAnswer](w, &frame.Mkdir{Path: frame.Path("d"), Mode: 0o755}, nil)
	v := w.put("f", "one", ifFree)
	data := make([]byte, hufu.ChunkSize+1)
	id := w.open("d", data)
	w.upload(id, data, 0, 1)
	for _, c := range []frame.Condition{ifFree, always} {
		w.fails(putOf("d", []byte("x"), c), []byte("x"), hufu.KindWrongKind, "folder_in_the_way")
		w.fails(&frame.Rename{From: frame.Path("f"), To: frame.Path("d"), Condition: c}, nil, hufu.KindWrongKind, "folder_in_the_way")
		w.fails(&frame.Rename{From: frame.Path("d"), To: frame.Path("d"), Condition: c}, nil, hufu.KindWrongKind, "folder_in_the_way")
		w.fails(&frame.Link{Path: frame.Path("d"), Target: []byte("x"), Condition: c}, nil, hufu.KindWrongKind, "folder_in_the_way")
		w.fails(commitOf(id, "d", data, c), nil, hufu.KindWrongKind, "folder_in_the_way")
	}
	w.fails(putOf("d", []byte("x"), ifIs(v)), []byte("x"), hufu.KindWrongKind, "folder_in_the_way")

	self := func(c frame.Condition) *frame.Rename {
		return &frame.Rename{From: frame.Path("f"), To: frame.Path("f"), Condition: c}
	}
	w.fails(self(ifFree), nil, hufu.KindExists, "target_exists")
	w.fails(self(ifIs("another")), nil, hufu.KindChanged, "target_changed")
	for _, c := range []frame.Condition{ifIs(v), always} {
		if a := answered[*frame.RenameAnswer](w, self(c), nil); a.Version != v {
			t.Errorf("nothing has happened, and the version is %q", a.Version)
		}
	}
	w.fails(&frame.Mkdir{Path: frame.Path("f"), Mode: 0o755}, nil, hufu.KindExists, "target_exists")
	w.fails(&frame.Mkdir{Path: frame.Path("f/below"), Mode: 0o755, Parents: true}, nil, hufu.KindWrongKind, "not_a_folder")
}

// TestModeOfNewFolders: mkdir takes mode 0 as what it says; what is made on the
// way to a name gets 0o755.
func TestModeOfNewFolders(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	w := asPerson(t, env, env.Person("alice"))
	answered[*frame.MkdirAnswer](w, &frame.Mkdir{Path: frame.Path("a/b"), Mode: 0, Parents: true}, nil)
	w.put("c/f", "x", ifFree)
	for p, want := range map[string]uint32{"a": 0o755, "a/b": 0, "c": 0o755} {
		if got := w.entry(p).Mode; got != want {
			t.Errorf("%s has mode %o, want %o", p, got, want)
		}
	}
}

// TestChunkSentAgain: the newer of two values of a chunk counts, so that a
// client that sends what differs gets on.
func TestChunkSentAgain(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	p := env.Person("alice")
	w, lane := asPerson(t, env, p), asPerson(t, env, p)
	stale, data := bytesOf(2*hufu.ChunkSize+3), bytesOf(2*hufu.ChunkSize+3)
	stale[0], stale[hufu.ChunkSize] = ^stale[0], ^stale[hufu.ChunkSize]
	id := w.open("f", data)
	w.upload(id, stale, 0, 1)
	w.upload(id, data, 2)
	w.fails(commitOf(id, "f", data, ifFree), nil, hufu.KindIntegrity, "digest_differs")
	again := asPerson(t, env, p) // resumes, as the document says
	if got := again.open("f", data); got != id {
		t.Fatal("another upload")
	}
	lane.upload(id, data, 0)
	again.upload(id, data, 1)
	a := answered[*frame.CommitAnswer](again, commitOf(id, "f", data, ifFree), nil)
	if hufu.Digest(a.Entry.Digest) != digest.Sum(data) {
		t.Error("another digest")
	}
}

// TestAbandonBeforeAnything: an upload can be given up as soon as it has a name.
func TestAbandonBeforeAnything(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	w := asPerson(t, env, env.Person("alice"))
	data := make([]byte, hufu.ChunkSize+1)
	for _, chunks := range [][]int64{nil, {0}} {
		id := w.open("f", data)
		w.upload(id, data, chunks...)
		answered[*frame.AbandonAnswer](w, &frame.Abandon{Upload: id}, nil)
		w.fails(&frame.Abandon{Upload: id}, nil, hufu.KindNotFound, "upload_unknown")
		w.fails(commitOf(id, "f", data, ifFree), nil, hufu.KindNotFound, "upload_unknown")
	}
}

// TestCommitAgainTouchesNothingNewer: a commit whose answer was lost may be
// repeated whatever has become of the file, and so may everything that its
// answer then leads to.
func TestCommitAgainTouchesNothingNewer(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	p := env.Person("alice")
	data := bytesOf(hufu.ChunkSize + 9)
	for name, later := range map[string]func(w *wire) string{
		"replaced": func(w *wire) string { return w.put("f", "newer", ifIs(w.entry("f").Version)) },
		"moved away": func(w *wire) string {
			answered[*frame.RenameAnswer](w, &frame.Rename{From: frame.Path("f"), To: frame.Path("elsewhere"), Condition: always}, nil)
			return w.put("f", "newer", ifFree)
		},
	} {
		for _, replace := range []bool{false, true} {
			w := asPerson(t, env, p)
			cond := ifFree
			if replace {
				cond = ifIs(w.put("f", "older", always))
			} else {
				w.ask(&frame.Remove{Path: frame.Path("f")}, nil)
			}
			id := w.open("f", data)
			w.upload(id, data, 0, 1)
			answered[*frame.CommitAnswer](w, commitOf(id, "f", data, cond), nil) // and this was lost
			answered[*frame.CommitAnswer](w, commitOf(id, "f", data, cond), nil) // so it is repeated
			newer := later(w)
			again := asPerson(t, env, p)
			again.fails(commitOf(id, "f", data, cond), nil, hufu.KindNotFound, "upload_unknown")
			// A client that opens again and keeps its condition does no harm.
			id = again.open("f", data)
			again.upload(id, data, 0, 1)
			want, code := hufu.KindExists, "target_exists"
			if replace {
				want, code = hufu.KindChanged, "target_changed"
			}
			again.fails(commitOf(id, "f", data, cond), nil, want, code)
			answered[*frame.AbandonAnswer](again, &frame.Abandon{Upload: id}, nil)
			if e := again.entry("f"); e.Version != newer {
				t.Errorf("%s: the newer file is gone", name)
			}
		}
	}
}

// holed makes a file of so many chunks that takes long to read and little room:
// each holds a byte and a hole.
func holed(t *testing.T, name string, chunks int64) {
	t.Helper()
	write(t, name, nil)
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for i := range chunks {
		if _, err := f.WriteAt([]byte{1}, i*hufu.ChunkSize+1000); err != nil {
			t.Fatal(err)
		}
	}
}

// canceled wants the answer to a request that was taken back.
func canceled(t *testing.T, m frame.Message) {
	t.Helper()
	if e, ok := m.(*frame.Error); !ok || e.Kind != hufu.KindCanceled.String() {
		t.Errorf("wanted canceled, got %+v", m)
	}
}

// TestCancelStopsADigest: a request that nobody wants any more ends in the
// middle, those that wait behind it are not begun, and the connection goes on.
func TestCancelStopsADigest(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	w := asPerson(t, env, env.Person("alice"))
	w.put("d/f", "stays", ifFree)
	holed(t, filepath.Join(env.Data, "files/users/alice/big"), 100)
	var left atomic.Int64
	left.Store(50)
	reached := make(chan struct{})
	env.Server.Watch(func(ctx context.Context) context.Context { return stopped{ctx, &left, reached} })
	w.say(&frame.Digest{Path: frame.Path("big")}) // number 2, after hello and put
	w.say(&frame.Remove{Path: frame.Path("d"), Recursive: true})
	w.say(&frame.List{Path: frame.Path("d")})
	<-reached
	for _, n := range []uint64{4, 3, 2} { // the digest last: what follows it would be begun
		w.say(&frame.Cancel{Request: n})
	}
	for range 3 {
		canceled(t, w.hear())
	}
	w.entry("d/f")
	if e := w.entry("big"); len(e.Digest) != 0 {
		t.Error("the digest was computed to its end")
	}
}

// stopped is the context of a request. When it has been asked left times whether
// it has ended, it says so and waits until it has.
type stopped struct {
	context.Context
	left    *atomic.Int64
	reached chan struct{}
}

func (s stopped) Err() error {
	if s.left.Add(-1) == 0 {
		s.reached <- struct{}{}
		<-s.Done()
	}
	return s.Context.Err()
}

// TestCancelStopsAListingAndARemoval in the middle of what they do.
func TestCancelStopsAListingAndARemoval(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	var left atomic.Int64
	reached := make(chan struct{})
	env.Server.Watch(func(ctx context.Context) context.Context { return stopped{ctx, &left, reached} })
	w := asPerson(t, env, env.Person("alice"))
	const n = 300 // fewer than one frame of a listing holds
	for i := range n {
		w.say(putOf(fmt.Sprint("d/", i), nil, ifFree))
	}
	for range n {
		w.hear()
	}
	folder := filepath.Join(env.Data, "files/users/alice/d")
	there := func() int {
		list, err := os.ReadDir(folder)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	left.Store(n / 2) // it is asked for each entry at least
	w.say(&frame.List{Path: frame.Path("d")})
	<-reached
	w.say(&frame.Cancel{Request: 1 + n})
	canceled(t, w.hear())
	left.Store(n + n/2) // for each name that is found, and for each that is removed
	w.say(&frame.Remove{Path: frame.Path("d"), Recursive: true})
	<-reached
	if now := there(); now == 0 || now == n {
		t.Errorf("%d of %d are there, so this is not the middle", now, n)
	}
	w.say(&frame.Cancel{Request: 2 + n})
	before := there()
	canceled(t, w.hear())
	if now := there(); now != before {
		t.Errorf("%d were there when it was taken back, %d are in the end", before, now)
	}
	w.entry("d")
}

// TestClientTakesBack: what the caller of a Remote stops is stopped at the server,
// and the same connection serves the next call.
func TestClientTakesBack(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	var left atomic.Int64
	reached := make(chan struct{})
	env.Server.Watch(func(ctx context.Context) context.Context { return stopped{ctx, &left, reached} })
	r := env.Person("alice").Remote(client.Options{})
	holed(t, filepath.Join(env.Data, "files/users/alice/big"), 100)
	if err := r.LoggedIn(t.Context()); err != nil {
		t.Fatal(err)
	}
	left.Store(50) // in the middle of the digest the server waits until it is taken back
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-reached
		cancel()
	}()
	if _, err := r.Digest(ctx, path(t, "/big")); hufu.KindOf(err) != hufu.KindCanceled {
		t.Fatal(err)
	}
	// It is answered after the digest has ended, which would have kept what it had
	// computed.
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	e, err := r.Stat(ctx, path(t, "/big"))
	if err != nil || !e.Digest.IsZero() {
		t.Errorf("%+v, %v", e, err)
	}
	if log := env.Log.String(); strings.Count(log, "msg=connected") != 2 { // one to enroll
		t.Error(log)
	}
}

// soon waits for what is to happen in a moment.
func soon(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !so(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Error("waited in vain until ", what)
			return
		}
	}
}

// TestWhatEndsAConnection: a value that no correct client can send ends it; one
// that is wrong in view of what the server has is answered.
func TestWhatEndsAConnection(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	p := env.Person("alice")
	d := make([]byte, 32)
	for name, body := range map[string]struct {
		typ  frame.Type
		body []byte
	}{
		"path":      {frame.TypeStat, []byte{0xa1, 0x01, 0x44, 'a', '/', '/', 'b'}},
		"mode":      {frame.TypeMkdir, []byte{0xa2, 0x01, 0x41, 'a', 0x02, 0x19, 0x02, 0x00}},
		"condition": {frame.TypeRename, []byte{0xa3, 0x01, 0x41, 'a', 0x02, 0x41, 'b', 0x03, 0xa1, 0x01, 0x04}},
		"small":     {frame.TypeOpen, []byte{0xa3, 0x01, 0x41, 'a', 0x02, 0x1a, 0x00, 0x10, 0x00, 0x00, 0x03, 0x61, 's'}},
		"password":  {frame.TypeLogin, []byte{0xa2, 0x01, 0x61, 'a', 0x02, 0x60}},
	} {
		w := asPerson(t, env, p)
		w.send(rawFrame(body.typ, body.body))
		if code := w.farewell(); code != "message_value" {
			t.Errorf("%s: %s", name, code)
		}
		if err := w.nothing(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	w := asPerson(t, env, p)
	big := make([]byte, hufu.ChunkSize+1)
	id := w.open("big", big)
	for _, c := range []struct {
		m    frame.Message
		raw  []byte
		kind hufu.Kind
		code string
	}{
		{&frame.Stat{Path: frame.Path("a/.hufu-x")}, nil, hufu.KindInvalidPath, "name_reserved"},
		{&frame.Stat{Path: frame.Path("@elsewhere")}, nil, hufu.KindInvalidPath, "at_name"},
		{&frame.Stat{Path: frame.Path("a")}, nil, hufu.KindNotFound, ""},
		{&frame.Put{Path: frame.Path("a"), Digest: d, Condition: always}, []byte("x"), hufu.KindIntegrity, "digest_differs"},
		{&frame.Range{Upload: id, Index: 2, CV: d}, nil, hufu.KindInvalid, "chunk_index"},
		{&frame.Range{Upload: id, Index: 0, CV: d}, []byte("x"), hufu.KindInvalid, "chunk_length"},
		{&frame.Range{Upload: id, Index: 1, CV: d}, []byte("x"), hufu.KindIntegrity, "chunk_differs"},
		{&frame.Range{Upload: "nobody's", Index: 0, CV: d}, nil, hufu.KindNotFound, "upload_unknown"},
		{&frame.Login{User: "bob", Password: "p"}, nil, hufu.KindCredentials, "wrong_user"},
		{&frame.Remove{}, nil, hufu.KindPermission, "not_allowed_here"},
		{&frame.Get{Path: frame.Path("a"), Version: "no version"}, nil, hufu.KindNotFound, ""},
	} {
		w.fails(c.m, c.raw, c.kind, c.code)
	}
	w.put("a", "it goes on", ifFree)
}

// TestRenewKeepsTheKey, if its owner likes; the same request again is the same
// certificate.
func TestRenewKeepsTheKey(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	p := env.Person("alice")
	own, err := p.Profile.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	key, ok := own.PrivateKey.(crypto.Signer)
	if !ok {
		t.Fatalf("%T", own.PrivateKey)
	}
	csr, err := identity.MakeCSR(key)
	if err != nil {
		t.Fatal(err)
	}
	var chains [2][][]byte
	for i := range chains {
		chains[i] = answered[*frame.RenewAnswer](connectBy(t, env, p, identity.ProtoEnroll), &frame.Renew{CSR: csr}, nil).Chain
	}
	if len(chains[0]) != 3 || !slices.EqualFunc(chains[0], chains[1], bytes.Equal) || bytes.Equal(chains[0][0], own.Certificate[0]) {
		t.Error("not one new certificate")
	}
}

// TestKeysThatMayBeUsed are those that the document names.
func TestKeysThatMayBeUsed(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	p := env.Person("alice")
	for _, c := range []struct {
		curve elliptic.Curve
		code  string
	}{{elliptic.P256(), ""}, {elliptic.P384(), ""}, {elliptic.P521(), ""}, {elliptic.P224(), "key_too_weak"}} {
		key, err := ecdsa.GenerateKey(c.curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
		if err != nil {
			t.Fatal(err)
		}
		w := connectBy(t, env, p, identity.ProtoEnroll)
		if c.code != "" {
			w.fails(&frame.Renew{CSR: csr}, nil, hufu.KindInvalid, c.code)
			continue
		}
		answered[*frame.RenewAnswer](w, &frame.Renew{CSR: csr}, nil)
	}
}

// TestTeachingIsToldToEverybody, and in it the name is one's own choice.
func TestTeachingIsToldToEverybody(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{Teach: true})
	p := env.Person("alice")
	a := answered[*frame.HelloAnswer](connect(t, env, p), &frame.Hello{Version: 1, Features: []string{"core"}}, nil)
	if int(a.Teach) != env.Teach.Port() || slices.Contains(a.Features, "teach") {
		t.Errorf("%+v", a)
	}
	w := connect(t, env, p)
	answered[*frame.HelloAnswer](w, &frame.Hello{Version: 1, Features: []string{"core", "teach"}}, nil)
	token := answered[*frame.LoginAnswer](w, &frame.Login{User: "somebody", Password: "anything"}, nil).Token
	w.put("f", "x", ifFree)
	if e := w.entry("f"); e.By != "somebody" {
		t.Errorf("put by %q", e.By)
	}
	w.fails(&frame.Login{User: "somebody", Password: "else"}, nil, hufu.KindCredentials, "teach_wrong_password")
	w.fails(&frame.Login{User: "Some Body", Password: "x"}, nil, hufu.KindInvalid, "user_name")
	lane := connect(t, env, p)
	a = answered[*frame.HelloAnswer](lane, &frame.Hello{Version: 1, Features: []string{"core", "teach"}, Token: token}, nil)
	if !a.LoggedIn || a.User != "somebody" || a.Device != "teach" {
		t.Errorf("%+v", a)
	}
}

// TestUploadsAndTheirFolders: an unfinished upload lies in the folder that its
// file is to go to, is not shown, and is lost if that is moved.
func TestUploadsAndTheirFolders(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	w := asPerson(t, env, env.Person("alice"))
	data := bytesOf(hufu.ChunkSize + 1)
	id := w.open("d/f", data)
	w.upload(id, data, 0, 1)
	if names, _ := w.page(&frame.List{Path: frame.Path("d")}); len(names) != 0 {
		t.Errorf("shown: %q", names)
	}
	answered[*frame.RenameAnswer](w, &frame.Rename{From: frame.Path("d"), To: frame.Path("e"), Condition: ifFree}, nil)
	a := w.ask(commitOf(id, "d/f", data, ifFree), nil)
	if e, ok := a.(*frame.Error); !ok || e.Kind != hufu.KindNotFound.String() {
		t.Errorf("%+v", a)
	}
	id = w.open("d/f", data)
	w.upload(id, data, 0, 1)
	answered[*frame.CommitAnswer](w, commitOf(id, "d/f", data, ifFree), nil)
}

// TestChangesOfOneVersion: what says which version it means leaves every other
// alone.
func TestChangesOfOneVersion(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	w := asPerson(t, env, env.Person("alice"))
	for _, place := range []string{"", "@shared/common/"} {
		f, g := place+"f", place+"g"
		old := w.put(f, "old", ifFree)
		newer := w.put(f, "newer", ifIs(old))
		for _, wrong := range []string{old, "no version at all"} {
			w.fails(&frame.Remove{Path: frame.Path(f), Version: wrong}, nil, hufu.KindChanged, "target_changed")
			w.fails(&frame.Remove{Path: frame.Path(f), Recursive: true, Version: wrong}, nil, hufu.KindChanged, "target_changed")
			w.fails(&frame.SetMeta{Path: frame.Path(f), Version: wrong}, nil, hufu.KindChanged, "target_changed")
			w.fails(&frame.Rename{From: frame.Path(f), To: frame.Path(g), Condition: ifFree, Version: wrong}, nil, hufu.KindChanged, "target_changed")
		}
		if e := w.entry(f); e.Version != newer || e.MTime != 1 {
			t.Errorf("%+v", e)
		}
		v := answered[*frame.SetMetaAnswer](w, &frame.SetMeta{Path: frame.Path(f), Mode: 0o600, MTime: 2, Version: newer}, nil).Version
		v = answered[*frame.RenameAnswer](w, &frame.Rename{From: frame.Path(f), To: frame.Path(g), Condition: ifFree, Version: v}, nil).Version
		answered[*frame.RemoveAnswer](w, &frame.Remove{Path: frame.Path(g), Version: v}, nil)

		d, l := place+"d", place+"d/l"
		answered[*frame.MkdirAnswer](w, &frame.Mkdir{Path: frame.Path(d), Mode: 0o755}, nil)
		w.fails(&frame.Remove{Path: frame.Path(d), Recursive: true, Version: v}, nil, hufu.KindWrongKind, "folder_in_the_way")
		answered[*frame.LinkAnswer](w, &frame.Link{Path: frame.Path(l), Target: []byte("x"), MTime: 1, Condition: ifFree}, nil)
		v = w.entry(l).Version
		w.fails(&frame.SetMeta{Path: frame.Path(l), MTime: 5, Version: old}, nil, hufu.KindChanged, "target_changed")
		w.fails(&frame.Remove{Path: frame.Path(l), Version: old}, nil, hufu.KindChanged, "target_changed")
		answered[*frame.RemoveAnswer](w, &frame.Remove{Path: frame.Path(l), Version: v}, nil)
	}
}

// TestASingleServerListsNoNodes: nor does it say that it could.
func TestASingleServerListsNoNodes(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	p := env.Person("alice")
	a := answered[*frame.HelloAnswer](connect(t, env, p), &frame.Hello{Version: 1, Features: []string{"core", "nodes"}, Token: p.Profile.Token()}, nil)
	if !slices.Equal(a.Features, []string{"core"}) || a.Nodes != nil {
		t.Errorf("features: %v, nodes: %v", a.Features, a.Nodes)
	}
}

// TestCopyIsAFeature: a copy is a request only where both ends have named the feature.
func TestCopyIsAFeature(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	p := env.Person("alice")
	request := &frame.Copy{From: frame.Path("a"), To: frame.Path("b"), Condition: frame.WireCondition(hufu.Condition{Kind: hufu.IfAbsent})}
	w := asPerson(t, env, p)
	w.say(request)
	if code := w.farewell(); code != "request_unknown" {
		t.Errorf("without the feature: %s", code)
	}
	w = connect(t, env, p)
	a := answered[*frame.HelloAnswer](w, &frame.Hello{Version: 1, Features: []string{"core", "copy", "later"}, Token: p.Profile.Token()}, nil)
	if !slices.Equal(a.Features, []string{"core", "copy"}) {
		t.Errorf("features: %v", a.Features)
	}
	if e, ok := w.ask(request, nil).(*frame.Error); !ok || e.Kind != "not_found" {
		t.Errorf("with the feature: %+v", e)
	}
}
