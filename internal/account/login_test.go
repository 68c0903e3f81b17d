package account

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"hufu"
	"hufu/internal/meta"
)

func TestLogin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.password("alice")
	w.password("bob")
	alice, bob := w.subject("alice1"), w.subject("bob1")
	token, err := w.Login(ctx, alice, password)
	w.must(err)
	w.must(w.Resume(ctx, alice, token))
	w.code(w.Resume(ctx, bob, token), "login_ended")
	w.code(w.Resume(ctx, alice, token+"x"), "login_ended")
	w.code(w.Resume(ctx, alice, ""), "login_ended")

	// The token is this device's: with the certificate that renews the one it
	// was made with, not with another of the same user.
	w.renewed("alice", "laptop", "alice2", "alice1")
	w.must(w.Resume(ctx, w.subject("alice2"), token))
	w.cert("alice", "laptop", "alice3")
	w.code(w.Resume(ctx, w.subject("alice3"), token), "login_ended")
	w.cert("alice", "phone", "alice4")
	w.code(w.Resume(ctx, w.subject("alice4"), token), "login_ended")
	w.code(w.Logout(ctx, bob, token), "login_ended")

	w.must(w.Logout(ctx, alice, token))
	w.code(w.Resume(ctx, alice, token), "login_ended")

	// Another password ends what was logged in with the old one.
	token, err = w.Login(ctx, alice, password)
	w.must(err)
	w.must(w.SetPassword(ctx, "alice", "another password"))
	w.code(w.Resume(ctx, alice, token), "login_ended")
	_, err = w.Login(ctx, alice, password)
	w.code(err, "wrong_password")
}

func TestLoginEndsAfterLastUse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.password("alice")
	alice := w.subject("alice1")
	token, err := w.Login(ctx, alice, password)
	w.must(err)
	wait := func(d time.Duration) {
		w.clock.add(d)
		w.must(w.Reload(ctx))
	}
	wait(29 * 24 * time.Hour)
	w.must(w.Resume(ctx, alice, token))
	w.must(w.flush(ctx, flushLimit))
	// Another process, after a restart say, knows of the last use.
	again, err := Open(ctx, w.db, Options{Judges: true, Now: w.clock.now})
	w.must(err)
	w.clock.add(29 * 24 * time.Hour)
	w.must(again.Reload(ctx))
	w.must(again.Resume(ctx, alice, token))
	wait(0)
	w.must(w.Resume(ctx, alice, token))
	wait(LoginLife + time.Minute)
	w.code(w.Resume(ctx, alice, token), "login_ended")
}

func TestLastUseIsWrittenAtMostHourly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.password("alice")
	alice := w.subject("alice1")
	token, err := w.Login(ctx, alice, password)
	w.must(err)
	w.must(w.Resume(ctx, alice, token))
	if len(w.touched) != 0 {
		t.Error("the last use is to be written at once")
	}
	w.clock.add(touchEvery)
	w.must(w.Reload(ctx))
	w.must(w.Resume(ctx, alice, token))
	if len(w.touched) != 1 {
		t.Error("the last use is not to be written after an hour")
	}
	w.must(w.flush(ctx, flushLimit))
	logins, err := w.db.Logins(ctx)
	w.must(err)
	if len(logins) != 1 || !logins[0].LastUsed.Equal(w.clock.now()) {
		t.Errorf("logins are %+v", logins)
	}
}

// Each wrong password is answered as such until there are too many; then
// nothing is judged, the right one neither, until the time is over.
func TestHT24LockOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.password("alice")
	alice := w.subject("alice1")
	var waited time.Duration
	for i := range lockAfter {
		_, err := w.Login(ctx, alice, "wrong")
		if hufu.CodeOf(err) == "login_wait" {
			e, _ := errors.AsType[*hufu.Error](err)
			d, _ := time.ParseDuration(e.Args["seconds"] + "s")
			if hufu.KindOf(err) != hufu.KindRateLimit || d <= 0 {
				t.Fatal(err)
			}
			// The right one has to wait as well.
			_, err = w.Login(ctx, alice, password)
			w.code(err, "login_wait")
			waited += d
			w.clock.add(d)
			w.must(w.Reload(ctx))
			_, err = w.Login(ctx, alice, "wrong")
		}
		w.code(err, "wrong_password")
		if hufu.KindOf(err) != hufu.KindCredentials {
			t.Errorf("guess %d: %v", i, err)
		}
	}
	if waited < 20*time.Second || waited > time.Minute {
		t.Errorf("waited %v in all", waited)
	}
	_, err := w.Login(ctx, alice, password)
	w.code(err, "login_locked_out")
	if hufu.KindOf(err) != hufu.KindRateLimit {
		t.Error(err)
	}
	// The count outlives a restart.
	again, err := Open(ctx, w.db, Options{Judges: true, Now: w.clock.now})
	w.must(err)
	_, err = again.Login(ctx, alice, password)
	w.code(err, "login_locked_out")
	// bob does not notice, nor does alice on another device.
	w.password("bob")
	_, err = w.Login(ctx, w.subject("bob1"), password)
	w.must(err)
	w.cert("alice", "phone", "alice2")
	_, err = w.Login(ctx, w.subject("alice2"), password)
	w.must(err)

	w.clock.add(lockTime - time.Second)
	w.must(w.Reload(ctx))
	_, err = w.Login(ctx, alice, password)
	w.code(err, "login_locked_out")
	w.clock.add(time.Second)
	_, err = w.Login(ctx, alice, password)
	w.must(err)
	// The count begins anew.
	_, err = w.Login(ctx, alice, "wrong")
	w.code(err, "wrong_password")
}

func TestUnlockEndsLockOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.password("alice")
	alice := w.subject("alice1")
	w.must(w.db.PutAttempts(ctx, meta.Attempts{
		Key: attemptsOf("alice") + "laptop", Failures: lockAfter, Last: w.clock.now(), Until: w.clock.now().Add(lockTime),
	}))
	_, err := w.Login(ctx, alice, password)
	w.code(err, "login_locked_out")
	w.must(w.UnlockUser(ctx, "alice"))
	_, err = w.Login(ctx, alice, password)
	w.must(err)
	// Unlocking one device ends its own delay, and locking one does not.
	for _, device := range []string{"laptop", "phone"} {
		w.must(w.db.PutAttempts(ctx, meta.Attempts{
			Key: attemptsOf("alice") + device, Failures: lockAfter, Last: w.clock.now(), Until: w.clock.now().Add(lockTime),
		}))
	}
	w.must(w.LockDevice(ctx, "alice", "laptop"))
	for device, want := range map[string]int{"laptop": lockAfter, "phone": lockAfter} {
		if a, err := w.db.Attempts(ctx, attemptsOf("alice")+device); err != nil || a.Failures != want {
			t.Errorf("%s after locking: %+v, %v", device, a, err)
		}
	}
	w.must(w.UnlockDevice(ctx, "alice", "laptop"))
	_, err = w.Login(ctx, alice, password)
	w.must(err)
	if a, err := w.db.Attempts(ctx, attemptsOf("alice")+"phone"); err != nil || a.Failures != lockAfter {
		t.Errorf("the other device: %+v, %v", a, err)
	}
}

// A device has maxLogins logins. One more ends that which was not used for the longest time, and none
// of another device.
func TestLoginsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.password("alice")
	w.password("bob")
	alice, bob := w.subject("alice1"), w.subject("bob1")
	other, err := w.Login(ctx, bob, password)
	w.must(err)
	first, err := w.Login(ctx, alice, password)
	w.must(err)
	w.must(w.db.Update(ctx, func(q meta.Queries) error { // quickly
		for i := range maxLogins + 5 {
			err := q.AddLogin(ctx, meta.Login{
				TokenHash: [32]byte{1, byte(i)}, Lineage: "alice1", User: "alice", Device: "laptop", Created: w.clock.now(),
				LastUsed: w.clock.now().Add(time.Duration(1+i) * time.Second),
			})
			if err != nil {
				return err
			}
		}
		return nil
	}))
	w.clock.add(time.Hour)
	w.must(w.Reload(ctx))
	last, err := w.Login(ctx, alice, password)
	w.must(err)
	logins, err := w.db.Logins(ctx)
	w.must(err)
	count := map[string]int{}
	for _, l := range logins {
		count[l.User]++
		if l.User == "alice" && l.TokenHash[0] == 1 && l.TokenHash[2] == 0 && l.TokenHash[1] < 6 {
			t.Errorf("login %d is there", l.TokenHash[1])
		}
	}
	if count["alice"] != maxLogins || count["bob"] != 1 {
		t.Errorf("logins: %v", count)
	}
	w.code(w.Resume(ctx, alice, first), "login_ended")
	w.must(w.Resume(ctx, alice, last))
	w.must(w.Resume(ctx, bob, other))
}

// Guessing in parallel gets no more guesses than guessing in turn.
func TestHT24ParallelGuesses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.password("alice")
	alice := w.subject("alice1")
	var mu sync.Mutex
	codes := make(map[string]int)
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			_, err := w.Login(ctx, alice, fmt.Sprint("guess", i))
			mu.Lock()
			codes[hufu.CodeOf(err)]++
			mu.Unlock()
		})
	}
	wg.Wait()
	if codes["wrong_password"] != freeGuesses+1 || codes["login_wait"] != 40-freeGuesses-1 {
		t.Errorf("answers are %v", codes)
	}
}

// A right password is right however often at once.
func TestParallelLogins(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.password("alice")
	alice := w.subject("alice1")
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			if _, err := w.Login(ctx, alice, password); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// No password opens an account that has none.
func TestNoPasswordIsNotAnyPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, pw := range []string{"", password} {
		_, err := w.Login(t.Context(), w.subject("alice1"), pw)
		w.code(err, "wrong_password")
	}
	_, err := w.Login(t.Context(), w.subject("alice1"), strings.Repeat("x", MaxPassword+1))
	w.code(err, "password_too_long")
}

// A password that was set before new ones had a least length still logs in.
func TestOldShortPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u, err := w.db.User(t.Context(), "alice")
	w.must(err)
	salt := []byte("0123456789abcdef")
	u.Password = phc(salt, idKey("short", salt, hashTime, hashMemory, hashLanes, hashSize))
	w.must(w.db.PutUser(t.Context(), u))
	_, err = w.Login(t.Context(), w.subject("alice1"), "short")
	w.must(err)
}

const injection = `' OR '1'='1' -- `

// The trick that opened the original's login opens nothing, in no field.
func TestHT13InjectionOpensNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.password("alice")
	alice := w.subject("alice1")
	_, err := w.Login(ctx, alice, injection)
	w.code(err, "wrong_password")
	w.code(w.Resume(ctx, alice, injection), "login_ended")
	w.code(w.Logout(ctx, alice, injection), "login_ended")
	_, err = w.Admit(injection, [32]byte{})
	w.code(err, "cert_unknown")
	for _, sub := range []Subject{{User: injection, Device: "laptop", Serial: "alice1"}, {User: "alice", Device: injection, Serial: "alice1"}, {Serial: injection}} {
		_, err := w.Login(ctx, sub, password)
		w.code(err, "cert_unknown")
	}
	_, err = w.Invitation(ctx, injection, injection)
	w.code(err, "invitation_unknown")
	_, err = w.Invite(ctx, injection, 0)
	w.code(err, "user_name")
	w.code(w.AddUser(ctx, injection, true), "user_name")
	w.code(w.SetPassword(ctx, injection, password), "user_unknown")
	w.code(w.LockUser(ctx, injection), "user_unknown")
	w.code(w.RemoveUser(ctx, injection), "user_unknown")
	w.code(w.LockDevice(ctx, "alice", injection), "device_unknown")
	w.code(w.Revoke(ctx, injection, injection), "serial_unknown")
	_, err = w.RevokeDevice(ctx, "alice", injection, injection)
	w.code(err, "device_unknown")
	// As a password it is one like any other, for this user alone.
	w.must(w.SetPassword(ctx, "bob", injection))
	_, err = w.Login(ctx, w.subject("bob1"), injection)
	w.must(err)
	_, err = w.Login(ctx, w.subject("bob1"), password)
	w.code(err, "wrong_password")
	if users, err := w.Users(ctx); err != nil || len(users) != 2 {
		t.Errorf("users are %+v, %v", users, err)
	}
	w.subject("alice1")
}

// What grants something cannot be guessed, and the database does not hold it.
func TestHT19SecretsAreRandomAndHashed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.password("alice")
	alice := w.subject("alice1")
	seen := make(map[string]bool)
	for range 5 {
		token, err := w.Login(ctx, alice, password)
		w.must(err)
		raw, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil || len(raw) < 16 || seen[token] {
			t.Errorf("token %q", token)
		}
		seen[token] = true
	}
	for range 50 {
		v, err := w.Invite(ctx, "alice", 0)
		w.must(err)
		if len(v.Secret)*5 < 128 || seen[v.Secret] {
			t.Errorf("secret %q", v.Secret)
		}
		seen[v.Secret] = true
	}
	u, err := w.db.User(ctx, "alice")
	w.must(err)
	if !strings.HasPrefix(u.Password, "$argon2id$v=19$m=19456,t=2,p=1$") || strings.Contains(u.Password, password) {
		t.Errorf("the stored password is %s", u.Password)
	}
	w.password("bob")
	if b, err := w.db.User(ctx, "bob"); err != nil || b.Password == u.Password {
		t.Error("one password is stored the same way twice")
	}
}

func TestStoredPasswordForms(t *testing.T) {
	t.Parallel()
	// from the test vectors of the reference implementation
	const vector = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
	for pw, want := range map[string]bool{"password": true, "passwore": false, "": false} {
		if ok, err := matches(vector, pw); ok != want || err != nil {
			t.Errorf("%q: %v, %v", pw, ok, err)
		}
	}
	good := phc([]byte("0123456789abcdef"), make([]byte, hashSize))
	if ok, err := matches(good, "x"); ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
	for _, bad := range []string{
		"", "x", "$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHQ$AAAA", strings.Replace(good, "v=19", "v=16", 1),
		strings.Replace(good, "m=19456", "m=99999999", 1), strings.Replace(good, "t=2", "t=0", 1), good + "$", good[:len(good)-30],
	} {
		if _, err := matches(bad, "x"); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// The last use is written once in touchEvery, though the state is not read again.
func TestLastUseIsWrittenOnce(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	w.password("alice")
	sub := w.subject("alice1")
	token, err := w.Login(ctx, sub, password)
	w.must(err)
	for _, c := range []struct {
		later time.Duration
		want  int
	}{{touchEvery - time.Minute, 0}, {time.Minute, 1}, {time.Minute, 0}, {touchEvery, 1}, {0, 0}} {
		w.clock.add(c.later)
		past := w.clock.now()
		w.checked.Store(&past) // as by a poll that finds no change
		w.must(w.Resume(ctx, sub, token))
		if got := len(w.touched); got != c.want {
			t.Errorf("%v later: %d to write, want %d", c.later, got, c.want)
		}
		w.must(w.flush(ctx, flushLimit))
	}
}

// A connection on which nothing happens does not keep its login alive; one that sends requests does.
func TestAnIdleConnectionDoesNotUseItsLogin(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	w.password("alice")
	sub := w.subject("alice1")
	idle, err := w.Login(ctx, sub, password)
	w.must(err)
	active, err := w.Login(ctx, sub, password)
	w.must(err)
	for range 3 {
		w.clock.add(LoginLife / 3)
		w.must(w.Reload(ctx))
		w.must(w.LoggedIn(sub, idle))
		w.must(w.Resume(ctx, sub, active))
	}
	w.clock.add(time.Minute)
	w.must(w.Reload(ctx))
	w.code(w.LoggedIn(sub, idle), "login_ended")
	w.must(w.LoggedIn(sub, active))
	w.must(w.flush(ctx, flushLimit))
	rows, err := w.db.Logins(ctx)
	if w.must(err); len(rows) != 1 {
		t.Errorf("the login that ended is kept: %+v", rows)
	}
}

// A password that is changed while a guess waits for its turn is the one that counts.
func TestPasswordChangedBeforeItIsChecked(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	w.password("alice")
	sub := w.subject("alice1")
	hash, err := w.HashPassword(ctx, "another password")
	w.must(err)
	for range hashesAtOnce {
		w.hashing <- struct{}{}
	}
	over := make(chan error, 1)
	go func() { _, err := w.Login(ctx, sub, "another password"); over <- err }()
	w.until("the guess waits", func() bool {
		for _, turn := range w.guess {
			if len(turn) > 0 {
				return true
			}
		}
		return false
	})
	u, err := w.db.User(ctx, "alice")
	w.must(err)
	u.Password = hash
	w.must(w.db.PutUser(ctx, u))
	for range hashesAtOnce {
		<-w.hashing
	}
	w.must(<-over)
}

// until waits for a condition.
func (w *world) until(what string, is func() bool) {
	w.t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatal("not within 20 s: " + what)
		}
	}
}

// While the last use of a login waits for its turn to be written, the state stays fresh; and Run ends
// soon.
func TestStateStaysFreshWhileAnotherWrites(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	w.password("alice")
	sub := w.subject("alice1")
	token, err := w.Login(ctx, sub, password)
	w.must(err)
	w.clock.add(touchEvery)
	w.must(w.Reload(ctx))
	held, release := make(chan struct{}), make(chan struct{})
	updated := make(chan error, 1)
	go func() {
		updated <- w.db.Update(ctx, func(meta.Queries) error { close(held); <-release; return nil })
	}()
	<-held
	w.must(w.Resume(ctx, sub, token))
	run, stop := context.WithCancel(ctx)
	over := make(chan error, 1)
	go func() { over <- w.Run(run) }()
	w.until("the use is being written", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.touched) == 0
	})
	w.clock.add(StateLimit)
	w.until("the state is fresh again", w.Fresh)
	stop()
	w.must(<-over)
	if len(w.touched) != 1 {
		t.Error("a use that was not written is forgotten")
	}
	close(release)
	w.must(<-updated)
	w.must(w.flush(ctx, flushLimit))
	rows, err := w.db.Logins(ctx)
	if w.must(err); len(rows) != 1 || !rows[0].LastUsed.After(rows[0].Created) {
		t.Errorf("%+v", rows)
	}
}
