package server_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/disk"
	"hufu/internal/client"
	"hufu/internal/digest"
	"hufu/internal/frame"
	"hufu/internal/server"
	"hufu/internal/testenv"
	"hufu/internal/transfer"
)

func path(t testing.TB, s string) hufu.Path {
	t.Helper()
	p, err := hufu.ParsePath(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func write(t testing.TB, name string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func bytesOf(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(n)})
	_, _ = r.Read(b)
	return b
}

// put and get run a transfer and return its reports.
func put(t testing.TB, r *client.Remote, o transfer.Options, to string, sources ...string) ([]transfer.Report, error) {
	t.Helper()
	c, err := r.PreparePut(t.Context(), sources, path(t, to), client.How{Folder: true})
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	var reports []transfer.Report
	o.Report = func(r transfer.Report) { reports = append(reports, r) }
	o.Owner = "test"
	err = transfer.New(r, o).Put(t.Context(), c.Sources)
	return reports, err
}

func get(t testing.TB, r *client.Remote, o transfer.Options, to string, sources ...string) ([]transfer.Report, error) {
	t.Helper()
	var fetch []client.Fetch
	for _, s := range sources {
		fetch = append(fetch, client.Fetch{Path: path(t, s)})
	}
	c, err := r.PrepareGet(t.Context(), fetch, to+"/", client.How{})
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	var reports []transfer.Report
	o.Report = func(r transfer.Report) { reports = append(reports, r) }
	o.Owner = "test"
	err = transfer.New(r, o).Get(t.Context(), c.Sources)
	return reports, err
}

func failures(reports []transfer.Report) (failed []error) {
	for _, r := range reports {
		if r.Outcome == transfer.Failed {
			failed = append(failed, r.Err)
		}
	}
	return failed
}

func TestThereAndBack(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	alice := env.Person("alice")
	r := alice.Remote(client.Options{})
	src := alice.Local("src")
	contents := map[string][]byte{
		"empty": {}, "one": {1}, "a/b/c/deep": bytesOf(100), "chunk": bytesOf(hufu.ChunkSize), "chunk1": bytesOf(hufu.ChunkSize + 1),
		"large": bytesOf(5*hufu.ChunkSize + 17), "name with \xff and \n": bytesOf(10), "zeros": make([]byte, 3*hufu.ChunkSize),
	}
	for name, data := range contents {
		write(t, filepath.Join(src, name), data)
	}
	if err := os.MkdirAll(filepath.Join(src, "empty folder", "in"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../one", filepath.Join(src, "a", "link")); err != nil {
		t.Fatal(err)
	}
	old := time.Date(2001, 2, 3, 4, 5, 6, 789, time.UTC)
	if err := os.Chtimes(filepath.Join(src, "a"), old, old); err != nil {
		t.Fatal(err)
	}
	reports, err := put(t, r, transfer.Options{}, "/f", src)
	if err != nil || len(failures(reports)) > 0 {
		t.Fatal(err, failures(reports))
	}
	back := alice.Local("back")
	reports, err = get(t, r, transfer.Options{}, back, "/f/src")
	if err != nil || len(failures(reports)) > 0 {
		t.Fatal(err, failures(reports))
	}
	for name, want := range contents {
		got, err := os.ReadFile(filepath.Join(back, "src", name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%q came back as %d bytes, want %d: %v", name, len(got), len(want), err)
		}
	}
	if target, err := os.Readlink(filepath.Join(back, "src", "a", "link")); err != nil || target != "../one" {
		t.Errorf("link came back as %q, %v", target, err)
	}
	i, err := os.Stat(filepath.Join(back, "src", "a"))
	if err != nil || !i.ModTime().Equal(old) {
		t.Errorf("time of a folder came back as %v, %v", i.ModTime(), err)
	}
	if i, err := os.Stat(filepath.Join(back, "src", "empty folder", "in")); err != nil || i.Mode().Perm() != 0o700 {
		t.Errorf("empty folder came back as %v, %v", i, err)
	}
	// Once more: nothing to do, in either direction.
	again, err := put(t, r, transfer.Options{}, "/f", src)
	if err != nil {
		t.Fatal(err)
	}
	more, err := get(t, r, transfer.Options{}, back, "/f/src")
	if err != nil {
		t.Fatal(err)
	}
	for _, rep := range append(again, more...) {
		if rep.Outcome != transfer.Same {
			t.Errorf("second time %q was %s: %v", rep.Local, rep.Outcome, rep.Err)
		}
	}
}

// TestGetByDigest: the bytes have the digest that was named of their version;
// whether the client or the disk is wrong is told apart.
func TestGetByDigest(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	alice := env.Person("alice")
	r := alice.Remote(client.Options{})
	data := bytesOf(5000)
	write(t, alice.Local("f"), data)
	if reports, err := put(t, r, transfer.Options{}, "/", alice.Local("f")); err != nil || len(failures(reports)) > 0 {
		t.Fatal(err, failures(reports))
	}
	lane, err := r.Lane(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lane.Close() }()
	p := path(t, "f")
	try := func(listed hufu.Entry) (got []byte, failed error) {
		t.Helper()
		answered := make(chan struct{})
		err := lane.Get(p, listed, func(e hufu.Entry, b []byte, err error) {
			got, failed = bytes.Clone(b), err
			if err == nil && e != listed {
				t.Errorf("told of %+v, asked for %+v", e, listed)
			}
			close(answered)
		})
		if err == nil {
			err = lane.Flush()
		}
		if err != nil {
			t.Fatal(err)
		}
		<-answered
		return got, failed
	}
	e, err := r.Stat(t.Context(), p)
	if err != nil || e.Digest != digest.Sum(data) {
		t.Fatal(e, err)
	}
	if got, err := try(e); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	wrong := e
	wrong.Digest[0]++
	if _, err := try(wrong); hufu.KindOf(err) != hufu.KindInvalid || hufu.CodeOf(err) != "digest_differs" {
		t.Error(err)
	}
	// One byte rots, and nothing else tells of it.
	name := filepath.Join(env.Data, "files", "users", "alice", "f")
	data[4999]++
	if err := errors.Join(os.WriteFile(name, data, 0o600), os.Chtimes(name, time.Time{}, e.MTime)); err != nil {
		t.Fatal(err)
	}
	if _, err := try(e); runtime.GOOS != "windows" && hufu.KindOf(err) != hufu.KindChanged { // which has no time of an inode
		t.Error(err)
	}
	rotten, err := r.Stat(t.Context(), p)
	if err != nil || rotten.Digest != e.Digest {
		t.Fatal(rotten, err)
	}
	if _, err := try(rotten); hufu.KindOf(err) != hufu.KindIntegrity || hufu.CodeOf(err) != "stored_digest_differs" {
		t.Error(err)
	}
	if log := env.Log.String(); strings.Count(log, "why=stored_digest_differs") != 1 {
		t.Errorf("the operator reads\n%s", log)
	}
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	alice, bob := env.Person("alice"), env.Person("bob")
	ra, rb := alice.Remote(client.Options{}), bob.Remote(client.Options{})
	ctx := t.Context()
	write(t, alice.Local("secret"), []byte("of alice"))
	write(t, alice.Local("plan"), []byte("for all"))
	for _, c := range [][2]string{{"/", "secret"}, {"/@shared/common", "plan"}} {
		if reports, err := put(t, ra, transfer.Options{}, c[0], alice.Local(c[1])); err != nil || len(failures(reports)) > 0 {
			t.Fatal(err, failures(reports))
		}
	}
	if n := count(t, rb, "/"); n != 0 {
		t.Errorf("bob sees %d entries in his own folder", n)
	}
	if n := count(t, rb, "/@shared/common"); n != 1 {
		t.Errorf("bob sees %d entries in the common folder", n)
	}
	for _, p := range []string{"/secret", "/../alice/secret", "/@shared/../alice"} {
		parsed, err := hufu.ParsePath(p)
		if err == nil {
			_, err = rb.Stat(ctx, parsed)
		}
		if err == nil {
			t.Errorf("bob reaches %s", p)
		}
	}
	plan := path(t, "/@shared/common/plan")
	if err := rb.Remove(ctx, plan, false); hufu.CodeOf(err) != "not_yours" {
		t.Errorf("bob removes what is alice's: %v", err)
	}
	write(t, bob.Local("plan"), []byte("other"))
	reports, err := put(t, rb, transfer.Options{Conflict: transfer.Replace}, "/@shared/common", bob.Local("plan"))
	if err != nil || len(failures(reports)) != 1 || hufu.CodeOf(failures(reports)[0]) != "not_yours" {
		t.Errorf("bob replaces what is alice's: %v %v", err, failures(reports))
	}
	if _, err := get(t, rb, transfer.Options{}, bob.Local("in"), "/@shared/common/plan"); err != nil {
		t.Error(err)
	}
	if err := ra.Remove(ctx, plan, false); err != nil {
		t.Errorf("alice removes her own: %v", err)
	}
	for _, p := range []string{"/@other", "/@shared/none/x", "/@shared/x"} {
		if _, err := ra.Mkdir(ctx, path(t, p), 0o755, true); err == nil {
			t.Errorf("made %s", p)
		}
	}
}

func count(t testing.TB, r *client.Remote, p string) int {
	t.Helper()
	n := 0
	if err := r.List(t.Context(), path(t, p), func(hufu.Entry) error { n++; return nil }); err != nil {
		t.Error(err)
	}
	return n
}

// slowFrom is a connection on which every write after so many bytes, of all that
// share the counter, takes a while: a transfer that is not over soon.
type slowFrom struct {
	net.Conn
	left     *atomic.Int64
	underWay func()
}

func (c slowFrom) Write(p []byte) (int, error) {
	if c.left.Add(-int64(len(p))) < 0 {
		c.underWay()
		time.Sleep(100 * time.Millisecond)
	}
	return c.Conn.Write(p)
}

// TestHT02CutsWithinASecond revokes in the middle of a transfer, beside an idle
// connection. The promise is one second; five are allowed to a busy computer.
func TestHT02CutsWithinASecond(t *testing.T) {
	t.Parallel()
	const promise = time.Second
	env := testenv.New(t, testenv.Options{})
	alice := env.Person("alice")
	underWay := make(chan struct{})
	var left atomic.Int64
	left.Store(8 << 20)
	reached := sync.OnceFunc(func() { close(underWay) })
	busy := alice.Remote(client.Options{Tap: func(c net.Conn) net.Conn { return slowFrom{c, &left, reached} }})
	idle := alice.Remote(client.Options{})
	who, err := idle.Whoami(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	write(t, alice.Local("large"), bytesOf(128<<20))
	revoked := make(chan time.Time, 1)
	go func() {
		<-underWay
		if err := env.Account.Revoke(t.Context(), who.Serial, "stolen"); err != nil {
			t.Error(err)
		}
		revoked <- time.Now()
	}()
	_, err = put(t, busy, transfer.Options{}, "/", alice.Local("large"))
	took := time.Since(<-revoked)
	t.Logf("cut %v after the revocation, promised is %v", took, promise)
	if took > 5*promise {
		t.Errorf("cut after %v", took)
	}
	if hufu.KindOf(err).Exit() != 6 || !strings.HasPrefix(hufu.CodeOf(err), "cert_revoked") {
		t.Errorf("the reason is %v", err)
	}
	if _, err := idle.Stat(t.Context(), hufu.Path{}); !strings.HasPrefix(hufu.CodeOf(err), "cert_revoked") {
		t.Errorf("idle connection: %v", err)
	}
}

// milestone is a connection that says when so many bytes have passed in either
// direction, and lets nothing more pass before it is told to.
type milestone struct {
	net.Conn
	left    *atomic.Int64
	reached func()
}

func (c milestone) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.pass(n)
	return n, err
}

func (c milestone) Write(p []byte) (int, error) {
	c.pass(len(p))
	return c.Conn.Write(p)
}

func (c milestone) pass(n int) {
	if c.left.Add(-int64(n)) < 0 {
		c.reached()
	}
}

// TestGoesOnAfterTheServerWasAway stops the server in the middle of a put and
// a get and starts it again once the client has noticed: both end whole by
// themselves.
func TestGoesOnAfterTheServerWasAway(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	alice := env.Person("alice")
	data := bytesOf(48 << 20)
	write(t, alice.Local("large"), data)
	for _, way := range []struct {
		name string
		move func(*client.Remote) ([]transfer.Report, error)
	}{
		{"put", func(r *client.Remote) ([]transfer.Report, error) {
			return put(t, r, transfer.Options{}, "/", alice.Local("large"))
		}},
		{"get", func(r *client.Remote) ([]transfer.Report, error) {
			return get(t, r, transfer.Options{}, alice.Local("back"), "/large")
		}},
	} {
		var left atomic.Int64
		left.Store(16 << 20)
		halfway, away, lost := make(chan struct{}), make(chan struct{}), make(chan struct{})
		reached := sync.OnceFunc(func() { close(halfway); <-away })
		noticed := sync.OnceFunc(func() { close(lost) })
		r := alice.Remote(client.Options{
			Tap: func(c net.Conn) net.Conn { return milestone{c, &left, reached} },
			Notify: func(err error) {
				if err != nil {
					noticed()
				}
			},
		})
		var reports []transfer.Report
		var err error
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			reports, err = way.move(r)
		}()
		for _, step := range []struct {
			what string
			done chan struct{}
			then func()
		}{
			{"is under way", halfway, func() { env.Stop(); close(away) }},
			{"has noticed that the server is away", lost, func() { env.Start(testenv.Options{}) }},
		} {
			select {
			case <-step.done:
				step.then()
			case <-ended:
				t.Fatalf("%s ended before it %s: %v", way.name, step.what, err)
			}
		}
		if <-ended; err != nil || len(failures(reports)) > 0 {
			t.Fatal(way.name, err, failures(reports))
		}
	}
	got, err := os.ReadFile(alice.Local("back/large"))
	if err != nil || !bytes.Equal(got, data) {
		t.Fatalf("came back as %d bytes: %v", len(got), err)
	}
}

// reluctant is a connection that says when so many bytes were written, and
// then waits with the rest.
type reluctant struct {
	net.Conn
	left    *atomic.Int64
	reached func()
	goOn    <-chan struct{}
}

func (c reluctant) Write(p []byte) (int, error) {
	if c.left.Add(-int64(len(p))) < 0 {
		c.reached()
		<-c.goOn
	}
	return c.Conn.Write(p)
}

// noted returns how many bytes alice's journals at the server hold behind their
// headers.
func noted(env *testenv.Env) (n int64) {
	journals, _ := filepath.Glob(filepath.Join(env.Data, "uploads", "users", "alice", "*"))
	for _, name := range journals {
		if b, err := os.ReadFile(name); err == nil && len(b) > 16 {
			n += max(0, int64(len(b))-16-int64(binary.LittleEndian.Uint32(b[8:])))
		}
	}
	return n
}

// TestCanceled leaves nothing behind but what can be resumed.
func TestCanceled(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	alice := env.Person("alice")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var left atomic.Int64
	left.Store(20 << 20)
	stop := func() { // once the server has verified something
		defer cancel()
		soon(t, "the server notes a chunk", func() bool { return noted(env) > 0 })
	}
	r := alice.Remote(client.Options{Tap: func(c net.Conn) net.Conn { return reluctant{c, &left, stop, ctx.Done()} }})
	write(t, alice.Local("large"), bytesOf(64<<20))
	c, err := r.PreparePut(t.Context(), []string{alice.Local("large")}, hufu.Path{}, client.How{Folder: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := transfer.New(r, transfer.Options{Owner: "test"}).Put(ctx, c.Sources); hufu.KindOf(err) != hufu.KindCanceled {
		t.Errorf("a put that is stopped in the middle: %v", err)
	}
	if n := count(t, r, "/"); n != 0 {
		t.Errorf("%d names after a put that was stopped", n)
	}
	reports, err := put(t, r, transfer.Options{}, "/", alice.Local("large"))
	if err != nil || len(failures(reports)) > 0 {
		t.Fatal(err, failures(reports))
	}
	if n := len(reports); n != 1 || reports[0].Resumed == 0 {
		t.Errorf("nothing was kept for resuming: %+v", reports)
	}
}

// TestFirstConnectionBrokenOff: a server that is being restarted while somebody
// connects for the first time is waited for.
func TestFirstConnectionBrokenOff(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	alice := env.Person("alice")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for i := 0; ; i++ {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			if i < 2 {
				_ = c.Close()
				continue
			}
			to, err := net.Dial("tcp", env.Address)
			if err != nil {
				_ = c.Close()
				return
			}
			go func() { _, _ = io.Copy(to, c); _ = to.Close() }()
			go func() { _, _ = io.Copy(c, to); _ = c.Close() }()
		}
	}()
	var notes []error
	r := alice.Remote(client.Options{Address: ln.Addr().String(), Notify: func(err error) { notes = append(notes, err) }})
	if err := r.LoggedIn(t.Context()); err != nil {
		t.Error(err)
	}
	if len(notes) != 2 || notes[0] == nil || notes[1] != nil {
		t.Errorf("told: %v", notes)
	}
	_ = ln.Close()
	if err := alice.Remote(client.Options{Address: ln.Addr().String()}).LoggedIn(t.Context()); hufu.CodeOf(err) != "cannot_connect" {
		t.Errorf("a server that is not there: %v", err)
	}
}

// TestLogBeforeAnswer: what a client has the answer to is in the log, while its
// connection goes on.
func TestLogBeforeAnswer(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	r := env.Person("alice").Remote(client.Options{})
	if err := r.LoggedIn(t.Context()); err != nil {
		t.Fatal(err)
	}
	ours := regexp.MustCompile(`msg=transfer (remote=\S+) .* op=mkdir path=(\S+) `)
	for _, name := range []string{"/one", "/two"} {
		if _, err := r.Mkdir(t.Context(), path(t, name), 0o700, false); err != nil {
			t.Fatal(err)
		}
		log := env.Log.String()
		all := ours.FindAllStringSubmatch(log, -1)
		if len(all) == 0 || all[len(all)-1][2] != name || strings.Contains(log, "msg=gone "+all[len(all)-1][1]+" ") {
			t.Errorf("not in the log:\n%s", log)
		}
	}
}

// TestNothingIsAnsweredAfterAFailedCommit: a request that is refused is answered behind
// the changes before it, or not at all.
func TestNothingIsAnsweredAfterAFailedCommit(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	answers, err := server.RefusedAfterAChange(t.Context(), env.Account)
	if err == nil || answers != 0 {
		t.Errorf("%v, and %d answers", err, answers)
	}
}

// TestLogOfABrokenConnection: a change that was staged when its connection broke is in
// the log before the line that the connection has gone.
func TestLogOfABrokenConnection(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	w := asPerson(t, env, env.Person("alice"))
	begun := make(chan struct{}, 1)
	env.Server.Watch(func(ctx context.Context) context.Context {
		begun <- struct{}{}
		<-ctx.Done() // the server has seen that the client is gone
		return ctx
	})
	data := []byte("x")
	d := digest.Sum(data)
	b, err := w.codec.Append(nil, &frame.Put{Path: frame.Path("f"), Digest: d[:], Mode: 0o600, Condition: always}, false, len(data))
	if err != nil {
		t.Fatal(err)
	}
	w.send(append(b, data...))
	<-begun
	_ = w.Close()
	gone := "msg=gone remote=" + w.LocalAddr().String()
	soon(t, "gone", func() bool { return strings.Contains(env.Log.String(), gone) })
	if log := env.Log.String(); !regexp.MustCompile(`(?s)op=put path=/f .*` + gone).MatchString(log) {
		t.Errorf("the log:\n%s", log)
	}
}

// TestNoChunkIsHeldDuringADigest: a get behind which a long request waits gives its chunk
// back before that is begun.
func TestNoChunkIsHeldDuringADigest(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	w := asPerson(t, env, env.Person("alice"))
	w.put("small", "x", ifFree)
	holed(t, filepath.Join(env.Data, "files/users/alice/big"), 100)
	held := make(chan int, 2)
	requests := 0
	env.Server.Watch(func(ctx context.Context) context.Context {
		if requests++; requests == 2 {
			return asked{ctx, sync.OnceFunc(func() { held <- env.Server.Held() })}
		}
		return ctx
	})
	var both []byte
	for _, m := range []frame.Message{&frame.Get{Path: frame.Path("small")}, &frame.Digest{Path: frame.Path("big")}} {
		b, err := w.codec.Append(nil, m, false, 0)
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, b...)
	}
	w.send(both)
	if n := <-held; n != 0 {
		t.Errorf("%d chunks are held", n)
	}
}

// asked is a context that calls f when it is asked whether it has ended.
type asked struct {
	context.Context
	f func()
}

func (a asked) Err() error { a.f(); return a.Context.Err() }

// TestLargeGetIsCountedOnce: however many connections its chunks are fetched over.
func TestLargeGetIsCountedOnce(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	p := env.Person("alice")
	write(t, filepath.Join(env.Data, "files/users/alice/large"), bytesOf(3*hufu.ChunkSize))
	for i := range 3 {
		w := asPerson(t, env, p)
		version := w.entry("large").Version
		for _, index := range [][]int64{{1}, {0, 2}, {2}}[i] {
			w.say(&frame.Read{Path: frame.Path("large"), Version: version, Index: index})
			w.hear()
			if _, err := io.CopyN(io.Discard, w.in, hufu.ChunkSize); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := env.Server.Status().Gets; got != 1 {
		t.Errorf("%d gets", got)
	}
}

// TestGetRecovers: somebody was killed when a download had just got its name; the
// next get leaves nothing of it.
func TestGetRecovers(t *testing.T) {
	t.Parallel()
	alice := testenv.New(t, testenv.Options{}).Person("alice")
	r := alice.Remote(client.Options{})
	write(t, alice.Local("small"), []byte("x"))
	if _, err := put(t, r, transfer.Options{}, "/", alice.Local("small")); err != nil {
		t.Fatal(err)
	}
	into := alice.Local("into")
	if err := os.Mkdir(into, 0o700); err != nil {
		t.Fatal(err)
	}
	killed := errors.New("killed")
	s, err := disk.Open(into, disk.Options{Uploads: alice.Dirs.Journals(), Hook: func(at string) error {
		if at == "commit-named" {
			return killed
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	data := bytesOf(2 * hufu.ChunkSize)
	u, err := s.OpenUpload(t.Context(), blob.UploadKey{Path: path(t, "/large"), Size: int64(len(data))}, blob.Guard{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range digest.Chunks(int64(len(data))) {
		chunk := data[i*hufu.ChunkSize:][:hufu.ChunkSize]
		if err := u.Write(context.Background(), i, chunk, digest.Chunk(chunk, i)); err != nil {
			t.Fatal(err)
		}
	}
	always := hufu.Condition{Kind: hufu.Always}
	if _, err := blob.CommitUpload(t.Context(), u, digest.Sum(data), blob.Meta{Mode: 0o600}, always); !errors.Is(err, killed) {
		t.Fatal(err)
	}
	_ = u.Close()
	journals := func() int {
		list, err := os.ReadDir(alice.Dirs.Journals())
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	if n := journals(); n != 1 {
		t.Fatalf("%d journals", n)
	}
	if _, err := get(t, r, transfer.Options{}, into, "/small"); err != nil {
		t.Fatal(err)
	}
	if n := journals(); n != 0 {
		t.Errorf("%d journals are left", n)
	}
	if got, err := os.ReadFile(filepath.Join(into, "large")); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
