package account

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"hufu"
	"hufu/internal/meta"
)

// two are the accounts of two servers on one database. Neither polls.
func two(t *testing.T) (a, b *world) {
	t.Helper()
	path, clock := filepath.Join(t.TempDir(), "hufu.db"), newClock()
	worlds := make([]*world, 2)
	for i := range worlds {
		w := &world{t: t, clock: clock, db: openDB(t, path)}
		var err error
		w.Service, err = Open(t.Context(), w.db, Options{Judges: true, Now: clock.now})
		w.must(err)
		worlds[i] = w
	}
	return worlds[0], worlds[1]
}

// What another server has made a moment ago is known here before anybody is
// refused, and what nobody has made is refused.
func TestLookBeforeRefusing(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	a, b := two(t)
	a.must(a.AddUser(ctx, "alice", false))
	fp := a.cert("alice", "laptop", "a1")
	a.password("alice")
	if _, err := b.Admit("a1", fp); hufu.CodeOf(err) != "cert_unknown" {
		t.Fatalf("it was known before it was looked for: %v", err)
	}
	sub, err := b.AdmitOrLook(ctx, "a1", fp)
	b.must(err)
	_, err = b.AdmitOrLook(ctx, "nosuch", fp)
	b.code(err, "cert_unknown")
	_, err = b.AdmitOrLook(ctx, "a1", [32]byte{1})
	b.code(err, "cert_unknown")

	token, err := a.Login(ctx, sub, password)
	a.must(err)
	b.code(b.Resume(ctx, sub, token), "login_ended")
	b.must(b.ResumeOrLook(ctx, sub, token))
	b.code(b.ResumeOrLook(ctx, sub, token+"x"), "login_ended")

	// Unlocked and given again count as well.
	a.must(a.LockUser(ctx, "alice"))
	_, err = b.AdmitOrLook(ctx, "a1", fp)
	b.must(err) // a revocation is for the poll to notice
	b.must(b.Reload(ctx))
	_, err = b.AdmitOrLook(ctx, "a1", fp)
	b.code(err, "user_locked")
	a.must(a.UnlockUser(ctx, "alice"))
	_, err = b.AdmitOrLook(ctx, "a1", fp)
	b.must(err)

	// Logged in at one, locked out at the other.
	for i := range lockAfter {
		at := []*world{a, b}[i%2]
		a.code(at.Prove(ctx, "alice", "laptop", "wrong"), "wrong_password")
		a.clock.add(longestDelay)
	}
	a.code(a.Prove(ctx, "alice", "laptop", password), "login_locked_out")
	a.code(b.Prove(ctx, "alice", "laptop", password), "login_locked_out")
}

// Without its database a server refuses nobody whom it does not know.
func TestLookWithoutDatabase(t *testing.T) {
	t.Parallel()
	_, b := two(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := b.AdmitOrLook(ctx, "nosuch", [32]byte{})
	b.code(err, "state_stale")
	b.must(b.db.Update(t.Context(), func(q meta.Queries) error {
		return q.PutUser(t.Context(), meta.User{Name: "alice", Created: time.UnixMilli(1)})
	}))
	err = b.ResumeOrLook(ctx, Subject{User: "alice"}, "x")
	if b.code(err, "state_stale"); hufu.KindOf(err) != hufu.KindUnavailable {
		t.Errorf("%v is not \"try again\"", err)
	}
}

// The age of the state counts from the moment of its snapshot, however long it
// takes to load.
func TestAgeCountsFromSnapshot(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	clock, asked := newClock(), make(chan struct{}, 100)
	w := &world{t: t, clock: clock, db: openDB(t, filepath.Join(t.TempDir(), "hufu.db"))}
	var err error
	w.Service, err = Open(ctx, w.db, Options{Judges: true, Now: func() time.Time {
		defer func() { asked <- struct{}{} }()
		return clock.now()
	}})
	w.must(err)
	for len(asked) > 0 {
		<-asked
	}

	// Every connection is taken, so the load waits.
	release := make(chan struct{})
	var views sync.WaitGroup
	for range 7 { // of 8; the last one is Version's
		ready := make(chan struct{})
		views.Go(func() {
			if err := w.db.View(ctx, func(meta.Queries) error { close(ready); <-release; return nil }); err != nil {
				t.Error(err)
			}
		})
		<-ready
	}
	loaded := make(chan error, 1)
	go func() { loaded <- w.Reload(ctx) }()
	select {
	case <-asked:
	case err := <-loaded:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(2 * time.Second):
	}
	clock.add(StateLimit)
	close(release)
	w.must(<-loaded)
	views.Wait()
	if w.Fresh() {
		t.Error("a state of StateLimit ago is fresh")
	}
}

// A client that goes away while the database is asked is no failure of the
// database.
func TestGivenUpIsNotAway(t *testing.T) {
	t.Parallel()
	var said bytes.Buffer
	w := &world{t: t, clock: newClock(), db: openDB(t, filepath.Join(t.TempDir(), "hufu.db"))}
	var err error
	w.Service, err = Open(t.Context(), w.db, Options{Judges: true, Now: w.clock.now, Log: slog.New(slog.NewTextHandler(&said, nil))})
	w.must(err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if w.look(ctx) == nil || w.Reload(ctx) == nil {
		t.Error("no error without an answer")
	}
	if w.away || said.Len() > 0 {
		t.Errorf("away %v, logged: %s", w.away, said.String())
	}
	w.mark(t.Context(), time.Now(), w.clock.now(), errors.New("gone"))
	if !w.away || said.Len() == 0 {
		t.Errorf("without a database: away %v, logged: %s", w.away, said.String())
	}
}

// A server that runs while its database is restored from a backup names the certificates that are
// valid again.
func TestRestoredDatabaseIsNoticed(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	var said bytes.Buffer
	w := newWorld(t)
	w.log = slog.New(slog.NewTextHandler(&said, nil))
	backup, err := w.db.Rows(ctx)
	w.must(err)
	w.must(w.Revoke(ctx, "alice1", "stolen"))
	w.must(w.LockUser(ctx, "bob"))
	w.must(w.UnlockUser(ctx, "bob"))
	if said.Len() > 0 {
		t.Errorf("without a restore: %s", said.String())
	}
	_, err = w.db.Fill(ctx, backup, func(meta.Rows) error { return nil })
	w.must(err)
	w.must(w.Reload(ctx))
	w.subject("alice1") // the database decides
	if s := said.String(); !strings.Contains(s, "the database has gone back to an earlier state") || !strings.Contains(s, "valid_again=1") || !strings.Contains(s, `certificates="alice1 (alice laptop)"`) {
		t.Errorf("it was not said: %s", s)
	}
	said.Reset()
	w.must(w.Revoke(ctx, "alice1", "stolen"))
	if said.Len() > 0 {
		t.Errorf("revoked again: %s", said.String())
	}
}

// occupy takes every connection to the database but that of Version until the returned function is
// called.
func (w *world) occupy() (release func()) {
	w.t.Helper()
	held := make(chan struct{})
	var views sync.WaitGroup
	for range 7 { // of 8
		ready := make(chan struct{})
		views.Go(func() {
			if err := w.db.View(w.t.Context(), func(meta.Queries) error { close(ready); <-held; return nil }); err != nil {
				w.t.Error(err)
			}
		})
		<-ready
	}
	return func() { close(held); views.Wait() }
}

// within returns the error of f, or fails when f does not return.
func (w *world) within(what string, f func() error) (err error) {
	w.t.Helper()
	over := make(chan error, 1)
	go func() { over <- f() }()
	select {
	case err = <-over:
	case <-time.After(20 * time.Second):
		w.t.Errorf("%s does not end with its context", what)
	}
	return err
}

// A client that goes away, or a server that stops, does not wait for somebody else's question to a
// database that does not answer.
func TestNobodyWaitsWithoutAContext(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.password("alice")
	release := w.occupy()
	asks := make(chan error, 2)
	go func() { asks <- w.Reload(t.Context()) }()
	go func() { asks <- w.Prove(t.Context(), "alice", "laptop", password) }()
	busy := func() (n int) {
		for _, turn := range w.guess {
			n += len(turn)
		}
		return n + len(w.loading)
	}
	for end := time.Now().Add(20 * time.Second); busy() < 2; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nobody asks")
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for what, f := range map[string]func() error{
		"look":   func() error { return w.look(ctx) },
		"reload": func() error { return w.Reload(ctx) },
		"guess":  func() error { return w.Prove(ctx, "alice", "laptop", password) },
	} {
		if err := w.within(what, f); hufu.KindOf(err) != hufu.KindCanceled {
			t.Errorf("%s: %v", what, err)
		}
	}
	release()
	w.must(<-asks)
	w.must(<-asks)
}

// Who has waited while a question was asked in vain does not ask again.
func TestAFailureIsShared(t *testing.T) {
	t.Parallel()
	w, gone := newWorld(t), errors.New("gone")
	w.mark(t.Context(), time.Now().Add(time.Hour), w.clock.now(), gone) // begun after what follows
	if err := w.look(t.Context()); !errors.Is(err, gone) {
		t.Error(err)
	}
	w.must(w.Reload(t.Context()))
	w.must(w.look(t.Context()))

	// After a restore nobody is refused by what another one has found: rows may have followed since.
	w.backAt = time.Now()
	w.mark(t.Context(), time.Now().Add(time.Hour), w.clock.now(), gone)
	w.must(w.lookAgain(t.Context()))
}
