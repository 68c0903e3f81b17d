package account

import (
	"context"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hufu"
	"hufu/internal/meta"
)

// clock is a time that stands still until it is told to go on.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// world is accounts with alice on a laptop and bob on a desktop.
type world struct {
	*Service
	t     *testing.T
	db    *meta.DB
	clock *clock
}

const password = "correct horse"

func openDB(t *testing.T, path string) *meta.DB {
	t.Helper()
	db, err := meta.Open(t.Context(), meta.File(path))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, clock: newClock(), db: openDB(t, filepath.Join(t.TempDir(), "hufu.db"))}
	var err error
	if w.Service, err = Open(t.Context(), w.db, Options{Judges: true, Now: w.clock.now}); err != nil {
		t.Fatal(err)
	}
	for user, device := range map[string]string{"alice": "laptop", "bob": "desktop"} {
		w.must(w.AddUser(t.Context(), user, false))
		w.cert(user, device, user+"1")
	}
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// cert registers a certificate and returns its fingerprint.
func (w *world) cert(user, device, serial string) [32]byte {
	w.t.Helper()
	return w.renewed(user, device, serial, serial)
}

func (w *world) renewed(user, device, serial, lineage string) [32]byte {
	w.t.Helper()
	now := w.clock.now()
	fp := sha256.Sum256([]byte(serial))
	w.must(w.db.AddCertificate(w.t.Context(), meta.Certificate{
		Serial: serial, Fingerprint: fp, Lineage: lineage, Use: meta.UseClient, User: user, Device: device,
		NotBefore: now, NotAfter: now.Add(90 * 24 * time.Hour), Issued: now, DER: []byte("der"),
	}))
	w.must(w.Reload(w.t.Context()))
	return fp
}

func (w *world) subject(serial string) Subject {
	w.t.Helper()
	s, err := w.Admit(serial, sha256.Sum256([]byte(serial)))
	w.must(err)
	return s
}

// password gives a user one without the cost of hashing it in each test.
func (w *world) password(user string) {
	w.t.Helper()
	w.must(w.SetPassword(w.t.Context(), user, password))
}

func (w *world) code(err error, want string) {
	w.t.Helper()
	if got := hufu.CodeOf(err); err == nil || got != want {
		w.t.Errorf("got %v, want %s", err, want)
	}
}

func TestAdmit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if s := w.subject("alice1"); s != (Subject{User: "alice", Device: "laptop", Serial: "alice1"}) {
		t.Errorf("admitted as %+v", s)
	}
	w.must(w.AddUser(t.Context(), "root", true))
	w.cert("root", "console", "root1")
	if !w.subject("root1").Admin {
		t.Error("an administrator is not one")
	}
}

// Whoever shows a serial without its certificate learns nothing from it: not
// that it exists, not whose it is, not its state.
func TestHT09RefusalsTellNothingOfOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.must(w.Revoke(ctx, "bob1", "secret reason"))
	_, unknown := w.Admit("nosuch", [32]byte{1})
	_, foreign := w.Admit("bob1", [32]byte{1})
	if unknown.Error() != foreign.Error() {
		t.Errorf("%v differs from %v", unknown, foreign)
	}
	w.code(foreign, "cert_unknown")
	if e := foreign.Error(); strings.Contains(e, "bob") || strings.Contains(e, "secret") {
		t.Errorf("the refusal tells %s", e)
	}
	// A subject that was made up is judged by what the server knows.
	_, err := w.Login(ctx, Subject{User: "alice", Device: "laptop", Serial: "bob1"}, password)
	w.code(err, "cert_unknown")
	_, err = w.Invitation(ctx, "nosuch", "192.0.2.1:1")
	w.code(err, "invitation_unknown")
}

// A server's certificate is no client's, also in the look-up.
func TestAdmitRefusesServerCertificate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	fp := sha256.Sum256([]byte("server"))
	w.must(w.db.AddCertificate(t.Context(), meta.Certificate{
		Serial: "5e", Fingerprint: fp, Use: meta.UseServer, NotAfter: w.clock.now().Add(time.Hour), DER: []byte("der"),
	}))
	w.must(w.Reload(t.Context()))
	_, err := w.Admit("5e", fp)
	w.code(err, "cert_unknown")
}

// The matrix: whatever is wrong with an account or a certificate, no way in is
// left open.
func TestHT20NoWayInForWhoMayNot(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for _, c := range []struct {
		name, code, invitation string
		spoil                  func(*world)
	}{
		{"locked", "user_locked", "invitation_unknown", func(w *world) { w.must(w.LockUser(ctx, "alice")) }},
		{"device locked", "device_locked", "invitation_unknown", func(w *world) { w.must(w.LockDevice(ctx, "alice", "laptop")) }},
		{"revoked", "cert_revoked", "invitation_unknown", func(w *world) { w.must(w.Revoke(ctx, "alice1", "")) }},
		{"revoked with a reason", "cert_revoked_reason", "invitation_unknown", func(w *world) { w.must(w.Revoke(ctx, "ALICE1", "lost")) }},
		{"revoked by user", "cert_revoked", "invitation_unknown", func(w *world) { _, err := w.RevokeUser(ctx, "alice", ""); w.must(err) }},
		{"revoked by device", "cert_revoked", "invitation_unknown", func(w *world) { _, err := w.RevokeDevice(ctx, "alice", "laptop", ""); w.must(err) }},
		{"removed", "user_removed", "invitation_unknown", func(w *world) { w.must(w.RemoveUser(ctx, "alice")) }},
		{"removed and given again", "cert_revoked_reason", "invitation_unknown", func(w *world) {
			w.must(w.RemoveUser(ctx, "alice"))
			w.must(w.AddUser(ctx, "alice", false))
		}},
		{"expired", "cert_expired", "invitation_expired", func(w *world) {
			w.clock.add(91 * 24 * time.Hour)
			w.must(w.Reload(ctx))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.password("alice")
			sub := w.subject("alice1")
			token, err := w.Login(ctx, sub, password)
			w.must(err)
			invited, err := w.Invite(ctx, "alice", 0)
			w.must(err)
			bob := w.subject("bob1")
			c.spoil(w)

			_, err = w.Admit("alice1", sha256.Sum256([]byte("alice1")))
			w.code(err, c.code)
			_, err = w.Login(ctx, sub, password)
			w.code(err, c.code)
			w.code(w.Resume(ctx, sub, token), c.code)
			w.code(w.Logout(ctx, sub, token), c.code)
			err = w.db.View(ctx, func(q meta.Queries) error {
				_, err := Judge(ctx, q, "alice1", sha256.Sum256([]byte("alice1")), w.clock.now())
				return err
			})
			w.code(err, c.code)
			_, err = w.Invitation(ctx, invited.Secret, "192.0.2.1:1")
			w.code(err, c.invitation)
			if c.name != "expired" {
				if _, err := w.Admit("bob1", sha256.Sum256([]byte("bob1"))); err != nil {
					t.Errorf("bob has to suffer: %v", err)
				}
				w.code(w.Resume(ctx, bob, token), "login_ended")
			}
		})
	}
}

// A name that is given again does not come with the old one's ways in.
func TestHT20NameGivenAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.password("alice")
	token, err := w.Login(ctx, w.subject("alice1"), password)
	w.must(err)
	w.must(w.LockDevice(ctx, "alice", "laptop"))
	w.must(w.RemoveUser(ctx, "alice"))
	w.must(w.AddUser(ctx, "alice", false))
	w.cert("alice", "laptop", "alice2")
	sub := w.subject("alice2")
	w.code(w.Resume(ctx, sub, token), "login_ended")
	_, err = w.Login(ctx, sub, password)
	w.code(err, "wrong_password")
}

// State that is too old decides nothing.
func TestStaleState(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	sub := w.subject("alice1")
	w.clock.add(StateLimit)
	if w.Fresh() {
		t.Error("state is fresh after its limit")
	}
	_, err := w.Admit("alice1", sha256.Sum256([]byte("alice1")))
	w.code(err, "state_stale")
	w.code(w.Resume(ctx, sub, "x"), "state_stale")
	if hufu.KindOf(err) != hufu.KindUnavailable {
		t.Errorf("%v is not \"try again\"", err)
	}
	w.must(w.Reload(ctx))
	w.subject("alice1")
}

// A running server sees what another process has changed within one poll, and
// tells whoever asked to be told.
func TestRunSeesOthersChanges(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "hufu.db")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		server, err := Open(ctx, openDB(t, path), Options{Judges: true})
		if err != nil {
			t.Fatal(err)
		}
		other := &world{t: t, db: openDB(t, path), clock: &clock{t: time.Now()}}
		if other.Service, err = Open(ctx, other.db, Options{Judges: true}); err != nil {
			t.Fatal(err)
		}
		var calls atomic.Int32
		server.OnChange(func() { calls.Add(1) })
		done := make(chan error)
		go func() { done <- server.Run(ctx) }()

		other.must(other.AddUser(ctx, "alice", false))
		fp := other.cert("alice", "laptop", "a1")
		time.Sleep(PollInterval)
		synctest.Wait()
		if _, err := server.Admit("a1", fp); err != nil {
			t.Fatal(err)
		}
		before := calls.Load()
		other.must(other.Revoke(ctx, "a1", ""))
		time.Sleep(PollInterval)
		synctest.Wait()
		_, err = server.Admit("a1", fp)
		other.code(err, "cert_revoked")
		if calls.Load() != before+1 {
			t.Errorf("told %d times of one change", calls.Load()-before)
		}
		// Nothing happens: nobody is told, and the state stays fresh.
		time.Sleep(time.Hour)
		synctest.Wait()
		if calls.Load() != before+1 || !server.Fresh() {
			t.Errorf("told %d times of nothing, fresh %v", calls.Load()-before-1, server.Fresh())
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Reading goes on while everything changes, and never sees half a change.
func TestConcurrentReaders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.password("alice")
	sub := w.subject("alice1")
	token, err := w.Login(ctx, sub, password)
	w.must(err)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := w.Resume(ctx, sub, token); err != nil && hufu.CodeOf(err) != "user_locked" {
					t.Error(err)
				}
				if _, err := w.Admit("bob1", sha256.Sum256([]byte("bob1"))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 10 {
		w.must(w.LockUser(ctx, "alice"))
		w.must(w.UnlockUser(ctx, "alice"))
	}
	close(stop)
	wg.Wait()
	w.must(w.Resume(ctx, sub, token))
}

func TestCertificatesTellTheirState(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.cert("alice", "phone", "alice2")
	w.cert("bob", "phone", "bob2")
	w.must(w.Revoke(ctx, "al:ic:e1", "stolen"))
	w.must(w.LockDevice(ctx, "bob", "phone"))
	all, err := w.Certificates(ctx)
	w.must(err)
	got := make(map[string]CertState)
	for _, c := range all {
		got[c.Serial] = c.State
	}
	want := fmt.Sprint(map[string]CertState{"alice1": CertRevoked, "alice2": CertActive, "bob1": CertActive, "bob2": CertLocked})
	if fmt.Sprint(got) != want {
		t.Errorf("states are %v", got)
	}
	c, err := w.Certificate(ctx, "ALICE1")
	w.must(err)
	if c.Reason != "stolen" || string(c.DER) != "der" || c.State != CertRevoked {
		t.Errorf("certificate is %+v", c)
	}
	w.must(w.Revoke(ctx, "alice1", "another")) // stays as it was
	if c, err := w.Certificate(ctx, "alice1"); err != nil || c.Reason != "stolen" {
		t.Errorf("certificate is %+v, %v", c, err)
	}
	w.code(w.Revoke(ctx, "nosuch", ""), "serial_unknown")
	w.code(w.Revoke(ctx, "bob1", "\x1b[2J"), "reason_unprintable")
	for _, name := range []string{"laptop", ""} { // none is not all
		_, err = w.RevokeDevice(ctx, "bob", name, "")
		w.code(err, "device_unknown")
		w.code(w.LockDevice(ctx, "bob", name), "device_unknown")
		w.code(w.UnlockDevice(ctx, "bob", name), "device_unknown")
	}
	_, err = w.RevokeUser(ctx, "carol", "")
	w.code(err, "user_unknown")
	if n, err := w.RevokeUser(ctx, "bob", ""); err != nil || n != 2 {
		t.Errorf("revoked %d, %v", n, err)
	}
	w.clock.add(91 * 24 * time.Hour)
	if c, err := w.Certificate(ctx, "alice2"); err != nil || c.State != CertExpired {
		t.Errorf("certificate is %+v, %v", c, err)
	}
}

func TestUsers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.code(w.AddUser(ctx, "alice", true), "user_exists")
	w.password("alice")
	w.must(w.LockUser(ctx, "bob"))
	users, err := w.Users(ctx)
	w.must(err)
	if len(users) != 2 || !users[0].Password || users[1].Password || users[1].Locked.IsZero() || !users[0].Locked.IsZero() {
		t.Errorf("users are %+v", users)
	}
	w.must(w.RemoveUser(ctx, "bob"))
	if users, err = w.Users(ctx); err != nil || len(users) != 1 {
		t.Errorf("users are %+v, %v", users, err)
	}
	for _, err := range []error{
		w.RemoveUser(ctx, "bob"), w.LockUser(ctx, "bob"), w.UnlockUser(ctx, "bob"),
		w.SetPassword(ctx, "bob", password), w.LockDevice(ctx, "bob", "x"),
	} {
		w.code(err, "user_unknown")
	}
	w.code(w.SetPassword(ctx, "alice", ""), "password_missing")
	w.code(w.SetPassword(ctx, "alice", strings.Repeat("x", MaxPassword+1)), "password_too_long")
	w.must(w.SetPassword(ctx, "alice", strings.Repeat("x", MaxPassword)))
	w.code(w.SetPassword(ctx, "alice", "1234567"), "password_short")
	w.code(w.SetPassword(ctx, "alice", "七个字的密码啊"), "password_short")
	w.must(w.SetPassword(ctx, "alice", "八个字的密码好了"))
	w.must(w.SetPassword(ctx, "alice", "12345678"))
}

func BenchmarkAdmit(b *testing.B) {
	db, err := meta.Open(b.Context(), meta.File(filepath.Join(b.TempDir(), "hufu.db")))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := db.PutUser(b.Context(), meta.User{Name: "alice"}); err != nil {
		b.Fatal(err)
	}
	if err := db.AddCertificate(b.Context(), meta.Certificate{Serial: "a1", Use: meta.UseClient, User: "alice", NotAfter: time.Now().Add(time.Hour), DER: []byte{1}}); err != nil {
		b.Fatal(err)
	}
	s, err := Open(b.Context(), db, Options{Judges: true})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := s.Admit("a1", [32]byte{}); err != nil {
			b.Fatal(err)
		}
	}
}

// A user who is to have a password is there with it or not at all.
func TestAddUserWithPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.must(w.AddUserWithPassword(ctx, "carol", true, password))
	carol := w.cert("carol", "tablet", "carol1")
	s, err := w.Admit("carol1", carol)
	w.must(err)
	if !s.Admin {
		t.Error("she is no administrator")
	}
	_, err = w.Login(ctx, s, password)
	w.must(err)
	w.code(w.AddUserWithPassword(ctx, "carol", false, password), "user_exists")
	w.code(w.AddUserWithPassword(ctx, "dave", false, ""), "password_missing")

	for range cap(w.hashing) {
		w.hashing <- struct{}{}
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if err := w.AddUserWithPassword(gone, "dave", false, password); hufu.KindOf(err) != hufu.KindCanceled {
		t.Errorf("canceled: %v", err)
	}
	users, err := w.Users(ctx)
	w.must(err)
	for _, u := range users {
		if u.Name == "dave" {
			t.Errorf("there is %+v", u)
		}
	}
}
