package metatest

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hufu"
	"hufu/internal/meta"
)

func testAllOrNothing(t *testing.T, url string) {
	ctx, d := t.Context(), open(t, url)
	stop := errors.New("stop")
	before, err := d.Version(ctx)
	must(t, err)
	err = d.Update(ctx, func(q meta.Queries) error {
		must(t, q.PutUser(ctx, meta.User{Name: "alice", Created: moment}), q.PutAttempts(ctx, meta.Attempts{Key: "k", Failures: 1}))
		return stop
	})
	if !errors.Is(err, stop) {
		t.Fatal(err)
	}
	users, err := d.Users(ctx)
	same(t, "users", users, err, nil)
	a, err := d.Attempts(ctx, "k")
	same(t, "attempts", a.Failures, err, 0)
	after, err := d.Version(ctx)
	same(t, "version", after, err, before)
}

// testView: a view sees one state, whatever others do meanwhile, and changes
// nothing.
func testView(t *testing.T, url string) {
	ctx, d, other := t.Context(), open(t, url), open(t, url)
	must(t, d.PutUser(ctx, meta.User{Name: "alice", Created: moment}))
	must(t, d.View(ctx, func(q meta.Queries) error {
		before, err := q.Users(ctx)
		must(t, err, other.PutUser(ctx, meta.User{Name: "bob", Created: moment}))
		after, err := q.Users(ctx)
		same(t, "users", after, err, before)
		return nil
	}))
	users, err := d.Users(ctx)
	if must(t, err); len(users) != 2 {
		t.Errorf("users %+v", users)
	}
}

// testVersion: each change of what servers keep in memory is noticed, through the
// same DB and another, made alone or in a transaction; and nothing is noticed
// where nothing was done.
func testVersion(t *testing.T, url string) {
	ctx, a, b := t.Context(), open(t, url), open(t, url)
	version := func(d *meta.DB) meta.Version {
		t.Helper()
		v, err := d.Version(ctx)
		must(t, err)
		return v
	}
	changes := []func(meta.Queries) error{
		func(q meta.Queries) error { return q.PutUser(ctx, meta.User{Name: "alice", Created: moment}) },
		func(q meta.Queries) error {
			return q.PutUser(ctx, meta.User{Name: "alice", Created: moment, Locked: moment})
		},
		func(q meta.Queries) error {
			return q.PutDevice(ctx, meta.Device{User: "alice", Name: "x", Locked: moment})
		},
		func(q meta.Queries) error { return q.DropDevices(ctx, "alice") },
		func(q meta.Queries) error { return q.AddCertificate(ctx, certificate("0a")) },
		func(q meta.Queries) error { _, err := q.Revoke(ctx, "0a", "", moment); return err },
		func(q meta.Queries) error { return q.AddCertificate(ctx, certificate("0b")) },
		func(q meta.Queries) error { _, err := q.RevokeDevice(ctx, "alice", "laptop", "", moment); return err },
		func(q meta.Queries) error { return q.AddCertificate(ctx, certificate("0c")) },
		func(q meta.Queries) error { _, err := q.RevokeUser(ctx, "alice", "", moment); return err },
		func(q meta.Queries) error { return q.AddLogin(ctx, login(1, "alice")) },
		func(q meta.Queries) error { return q.DropLogin(ctx, [32]byte{1}) },
		func(q meta.Queries) error { return q.AddLogin(ctx, login(1, "alice")) },
		func(q meta.Queries) error { return q.DropLogins(ctx, "alice") },
		func(q meta.Queries) error { return q.AddLogin(ctx, login(1, "alice")) },
		func(q meta.Queries) error { return q.DropLoginsBefore(ctx, moment.Add(time.Hour)) },
	}
	for round, do := range []func(func(meta.Queries) error) error{
		func(f func(meta.Queries) error) error { return f(b.Queries) },
		func(f func(meta.Queries) error) error { return b.Update(ctx, f) },
	} {
		for i, change := range changes {
			if round == 1 && (i == 4 || i == 6 || i == 8) {
				continue // the serial is there already
			}
			ofA, ofB := version(a), version(b)
			if again := version(a); again != ofA {
				t.Errorf("round %d: something was noticed before change %d, though nothing was done", round, i)
			}
			must(t, do(change))
			touches := round == 0 || i != 5 && i != 7 && i != 9 // revoked already
			if touches && (version(a) == ofA || version(b) == ofB) {
				t.Errorf("round %d: change %d was not noticed", round, i)
			}
		}
	}
}

// testOtherProcess: a change by another process is noticed, and two processes
// that count lose nothing.
func testOtherProcess(t *testing.T, url string) {
	ctx, d := t.Context(), open(t, url)
	before, err := d.Version(ctx)
	must(t, err)
	self, err := os.Executable()
	must(t, err)
	cmd := exec.CommandContext(ctx, self) //nolint:gosec // our own program
	cmd.Env = append(os.Environ(), childURL+"="+url)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	must(t, cmd.Start())
	for range rounds {
		must(t, count(ctx, d, "k"))
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, said.String())
	}
	a, err := d.Attempts(ctx, "k")
	same(t, "counted", a.Failures, err, 2*rounds)
	if after, err := d.Version(ctx); err != nil || after == before {
		t.Errorf("not noticed, %v", err)
	}
	_, err = d.User(ctx, "child")
	must(t, err)
}

// testCounters: nothing that is counted at the same time is lost. On a slow disk
// one may find a lock taken for too long: it is told so, and tries again.
func testCounters(t *testing.T, url string) {
	ctx, dbs := t.Context(), []*meta.DB{open(t, url), open(t, url)}
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for range 5 {
				if err := count(ctx, dbs[i%2], "k"); err != nil {
					t.Error(err)
				}
				if _, err := dbs[i%2].Users(ctx); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	a, err := dbs[0].Attempts(ctx, "k")
	same(t, "counted", a.Failures, err, 80)
}

// testWonOnce: of many who use one invitation at the same time, one does.
func testWonOnce(t *testing.T, url string) {
	ctx, dbs := t.Context(), []*meta.DB{open(t, url), open(t, url)}
	must(t, dbs[0].PutUser(ctx, meta.User{Name: "alice", Created: moment}))
	for round := range 4 {
		v := invitation(byte(round), "alice")
		must(t, dbs[0].AddInvitation(ctx, v))
		var wins atomic.Int32
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				won, d := false, dbs[i%2]
				use := func(q meta.Queries) (err error) {
					won, err = q.UseInvitation(ctx, v.SecretHash, [32]byte{byte(i)}, "0a", moment)
					return err
				}
				var err error
				if i < 4 {
					err = use(d.Queries)
				} else {
					err = d.Update(ctx, func(q meta.Queries) error {
						if _, err := q.Invitation(ctx, v.SecretHash); err != nil {
							return err //nolint:wrapcheck // a test
						}
						return use(q)
					})
				}
				if err != nil && hufu.CodeOf(err) != "database_busy" {
					t.Error(err)
				}
				if err == nil && won {
					wins.Add(1)
				}
			})
		}
		wg.Wait()
		if n := wins.Load(); n != 1 {
			t.Errorf("round %d: %d have won", round, n)
		}
	}
}

// testTurns: one that waits for its turn ends with its context.
func testTurns(t *testing.T, url string) {
	d := open(t, url)
	ctx, cancel := context.WithCancel(t.Context())
	second := make(chan error, 1)
	must(t, d.Update(t.Context(), func(meta.Queries) error {
		go func() { second <- d.Update(ctx, func(meta.Queries) error { return nil }) }()
		cancel()
		if err := <-second; hufu.KindOf(err) != hufu.KindCanceled {
			t.Errorf("a waiting update was told %v", err)
		}
		return nil
	}))
	must(t, d.Update(t.Context(), func(meta.Queries) error { return nil }))
}

// testCanceled: what is canceled says so and has no effect.
func testCanceled(t *testing.T, url string) {
	d := open(t, url)
	ctx, cancel := context.WithCancel(t.Context())
	err := d.Update(ctx, func(q meta.Queries) error {
		must(t, q.PutUser(ctx, meta.User{Name: "alice", Created: moment}))
		cancel()
		return q.PutUser(ctx, meta.User{Name: "bob", Created: moment})
	})
	if hufu.KindOf(err) != hufu.KindCanceled {
		t.Errorf("an update was told %v", err)
	}
	last, cancelLast := context.WithCancel(t.Context())
	err = d.Update(last, func(q meta.Queries) error {
		defer cancelLast() // after the last statement and before COMMIT
		return q.PutAttempts(last, meta.Attempts{Key: "k", Failures: 1})
	})
	if hufu.KindOf(err) != hufu.KindCanceled {
		t.Errorf("an update that was canceled before COMMIT was told %v", err)
	}
	if _, err := d.Users(ctx); hufu.KindOf(err) != hufu.KindCanceled {
		t.Errorf("a question was told %v", err)
	}
	users, err := d.Users(t.Context())
	same(t, "users", users, err, nil)
}

// testOpenTogether: many processes make the tables at the same time.
func testOpenTogether(t *testing.T, url string) {
	src, err := meta.Parse(url, "")
	must(t, err)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			d, err := meta.Open(t.Context(), src)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := d.Users(t.Context()); err != nil {
				t.Error(err)
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}
