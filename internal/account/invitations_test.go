package account

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"hufu"
	"hufu/internal/meta"
)

func TestInvite(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	v, err := w.Invite(ctx, "carol", 0)
	w.must(err)
	if !v.NewUser || v.User != "carol" || !v.Expires.Equal(w.clock.now().Add(InvitationLife)) {
		t.Errorf("invited %+v", v)
	}
	if got, err := w.Invitation(ctx, v.Secret, "192.0.2.1:1"); err != nil || got.User != "carol" || got.Admin {
		t.Errorf("found %+v, %v", got, err)
	}
	code := hufu.Invitation{Host: "localhost", Port: 1, Fingerprint: make([]byte, hufu.InvitationFingerprint), Secret: v.Secret}
	w.must(code.Check())
	if v, err := w.Invite(ctx, "carol", time.Hour); err != nil || v.NewUser {
		t.Errorf("invited %+v, %v", v, err)
	}
	w.clock.add(InvitationLife)
	_, err = w.Invitation(ctx, v.Secret, "192.0.2.1:1")
	w.code(err, "invitation_expired")

	for _, ttl := range []time.Duration{-1, 1, MaxInvitationLife + 1} {
		_, err = w.Invite(ctx, "carol", ttl)
		w.code(err, "invitation_life")
	}
	_, err = w.Invite(ctx, "..", 0)
	w.code(err, "user_name")
	_, err = w.Invite(ctx, "Dora", 0)
	w.code(err, "user_name")
	// Who has a name of an earlier rule stays, and their devices do.
	w.must(w.db.Update(ctx, func(q meta.Queries) error { return q.PutUser(ctx, meta.User{Name: "Dora", Created: w.clock.now()}) }))
	fp := w.cert("Dora", "MacBook-Pro", "dora1")
	if v, err := w.Invite(ctx, "Dora", 0); err != nil || v.NewUser {
		t.Errorf("invited %+v, %v", v, err)
	}
	if sub, err := w.Admit("dora1", fp); err != nil || sub.User != "Dora" || sub.Device != "MacBook-Pro" {
		t.Errorf("%+v, %v", sub, err)
	}
	w.must(w.LockDevice(ctx, "Dora", "MacBook-Pro"))
	_, err = w.Admit("dora1", fp)
	w.code(err, "device_locked")
	w.must(w.LockUser(ctx, "carol"))
	_, err = w.Invite(ctx, "carol", 0)
	w.code(err, "invite_locked")
	_, err = w.InviteAs(ctx, "alice", true, 0)
	w.code(err, "invite_not_admin")
	if v, err := w.InviteAs(ctx, "root", true, 0); err != nil || !v.NewUser {
		t.Errorf("invited %+v, %v", v, err)
	}
	users, err := w.Users(ctx)
	w.must(err)
	for _, u := range users {
		if u.Admin != (u.Name == "root") {
			t.Errorf("user is %+v", u)
		}
	}
}

// An invitation is for the role that its user had.
func TestHT07InvitationIsBoundToRole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	v, err := w.InviteAs(ctx, "root", true, 0)
	w.must(err)
	u, err := w.db.User(ctx, "root")
	w.must(err)
	u.Admin = false
	w.must(w.db.PutUser(ctx, u))
	_, err = w.Invitation(ctx, v.Secret, "")
	w.code(err, "invitation_unknown")
}

func TestHT24WrongSecretsAreLimited(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	v, err := w.Invite(ctx, "alice", 0)
	w.must(err)
	guess := func(remote string) error {
		_, err := w.Invitation(ctx, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", remote)
		return err
	}
	for i := range wrongAtOnce {
		w.code(guess(fmt.Sprintf("192.0.2.1:%d", 1000+i)), "invitation_unknown")
	}
	err = guess("192.0.2.1:7")
	w.code(err, "invitation_wait")
	if hufu.KindOf(err) != hufu.KindRateLimit {
		t.Error(err)
	}
	w.code(guess("[::ffff:192.0.2.1]:7"), "invitation_wait")
	// The right one is good all the same, from there and from elsewhere.
	for _, remote := range []string{"192.0.2.1:8", "192.0.2.2:7"} {
		_, err = w.Invitation(ctx, v.Secret, remote)
		w.must(err)
	}
	// One IPv6 network is one sender.
	for i := range wrongAtOnce {
		w.code(guess(fmt.Sprintf("[2001:db8::%x]:1", i+1)), "invitation_unknown")
	}
	w.code(guess("[2001:db8::ffff]:1"), "invitation_wait")
	// However many strangers guess, nobody is kept from enrolling by it, and an
	// address that has guessed little is told the truth.
	for i := range maxRemotes {
		w.code(guess(fmt.Sprintf("10.0.%d.%d:1", i>>8, i&0xff)), "invitation_unknown")
	}
	for _, remote := range []string{"203.0.113.1:1", "192.0.2.1:1"} {
		_, err = w.Invitation(ctx, v.Secret, remote)
		w.must(err)
	}
	w.code(guess("203.0.113.1:1"), "invitation_unknown")
	// A guesser has waited.
	w.code(guess("192.0.2.1:1"), "invitation_wait")
	w.clock.add(wrongEvery)
	w.code(guess("192.0.2.1:1"), "invitation_unknown")
	w.code(guess("192.0.2.1:1"), "invitation_wait")
}

// However many addresses guess, what is remembered of them is bounded.
func TestInvitationLimitsAreBounded(t *testing.T) {
	t.Parallel()
	c := newClock()
	l := invitationLimits{now: c.now}
	for i := range maxRemotes + 100 {
		err := l.wrong("guess", fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&0xff, i&0xff))
		if hufu.CodeOf(err) != "invitation_unknown" {
			t.Fatal(err)
		}
	}
	if len(l.remotes) > maxRemotes {
		t.Errorf("remembers %d", len(l.remotes))
	}
	// Those that have been right or silent for long make room.
	c.add(wrongEvery)
	_ = l.wrong("guess", "203.0.113.1:1")
	if len(l.remotes) != 1 {
		t.Errorf("remembers %d that guessed once, long ago", len(l.remotes))
	}
}

// An invitation is revoked by an ID that does not tell its secret, unless it was
// used; the words of the command are no names of new users, but of those there
// are.
func TestRevokeInvitation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	var secrets []string
	for range 3 {
		v, err := w.Invite(ctx, "carol", 0)
		w.must(err)
		secrets = append(secrets, v.Secret)
		w.clock.add(time.Minute)
	}
	sent, err := w.Invitations(ctx)
	if err != nil || len(sent) != 3 || sent[0].User != "carol" || !sent[0].Open(w.clock.now()) || sent[0].Open(w.clock.now().Add(InvitationLife)) {
		t.Fatalf("sent %+v, %v", sent, err)
	}
	w.must(w.RevokeInvitation(ctx, sent[0].ID))
	_, err = w.Invitation(ctx, secrets[0], "192.0.2.1:1")
	w.code(err, "invitation_unknown")
	w.code(w.RevokeInvitation(ctx, sent[0].ID), "invitation_no_id")
	w.code(w.RevokeInvitation(ctx, ""), "invitation_no_id")
	if won, err := w.db.UseInvitation(ctx, sha256.Sum256([]byte(secrets[1])), [32]byte{1}, "carol1", w.clock.now()); err != nil || !won {
		t.Fatal(won, err)
	}
	w.code(w.RevokeInvitation(ctx, sent[1].ID), "invitation_spent")
	if n, err := w.RevokeInvitations(ctx, "carol"); err != nil || n != 1 {
		t.Errorf("revoked %d, %v", n, err)
	}
	_, err = w.RevokeInvitations(ctx, "nobody")
	w.code(err, "user_unknown")
	if sent, err := w.Invitations(ctx); err != nil || len(sent) != 1 || sent[0].Used.IsZero() {
		t.Errorf("sent %+v, %v", sent, err)
	}

	w.code(w.AddUser(ctx, "list", false), "user_name_command")
	_, err = w.Invite(ctx, "revoke", 0)
	w.code(err, "user_name_command")
	w.must(w.db.PutUser(ctx, meta.User{Name: "list", Created: w.clock.now()})) // of an earlier version
	w.must(w.Reload(ctx))
	_, err = w.Invite(ctx, "list", 0)
	w.must(err)
}

// TestNothingIsKeptByACommand: what an invitation costs does not grow with the users.
func TestNothingIsKeptByACommand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, err := Open(t.Context(), w.db, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Invite(t.Context(), "alice", 0); err != nil {
		t.Fatal(err)
	}
	if st := s.state.Load(); len(st.users)+len(st.certs) != 0 {
		t.Errorf("%d users are kept", len(st.users))
	}
}
