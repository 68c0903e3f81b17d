package account

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"hufu"
	"hufu/internal/meta"
)

func namesOf(all []OwnDevice) string {
	var names []string
	for _, d := range all {
		names = append(names, d.Name+" "+string(d.State))
	}
	return strings.Join(names, ", ")
}

// TestDevices: a user sees what can connect, each device once, and how long ago it was in use.
func TestDevices(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.password("alice")
	sub := w.subject("alice1")
	w.cert("alice", "phone", "phone1")
	w.cert("alice", "gone", "gone1")
	w.must(w.Revoke(ctx, "gone1", ""))
	w.cert("alice", "tablet", "tablet1")
	w.must(w.LockDevice(ctx, "alice", "tablet"))
	w.clock.add(time.Hour)
	w.renewed("alice", "laptop", "alice2", "alice1") // lasts an hour longer
	_, err := w.Login(ctx, sub, password)
	w.must(err)
	all, err := w.Devices(ctx, sub)
	w.must(err)
	if got := namesOf(all); got != "laptop active, phone active, tablet locked" {
		t.Fatalf("the devices are %s", got)
	}
	if all[0].Serial != "alice2" || !all[0].Seen.Equal(w.clock.now()) || all[1].Seen.Equal(w.clock.now()) {
		t.Errorf("%+v", all)
	}
	later := w.clock.now().Add(time.Minute) // at another server, which says so to nobody
	logins, err := w.db.Logins(ctx)
	w.must(err)
	w.must(w.db.TouchLogin(ctx, logins[0].TokenHash, later))
	all, err = w.Devices(ctx, sub)
	w.must(err)
	if !all[0].Seen.Equal(later) {
		t.Errorf("last seen %v, want %v", all[0].Seen, later)
	}
	w.clock.add(90*24*time.Hour - time.Minute) // the laptop's lasts
	w.must(w.Reload(ctx))
	all, err = w.Devices(ctx, w.subject("alice2"))
	w.must(err)
	if got := namesOf(all); got != "laptop active, phone expired, tablet locked" {
		t.Errorf("later they are %s", got)
	}
}

// TestHT58OwnDevicesOnly: a user lists, removes and invites own devices and no other ones, with the
// password, and a subject that may not act does none of it.
func TestHT58OwnDevicesOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.password("alice")
	w.password("bob")
	alice := w.subject("alice1")
	all, err := w.Devices(ctx, alice)
	w.must(err)
	if got := namesOf(all); got != "laptop active" {
		t.Errorf("alice sees %s", got)
	}
	w.cert("alice", "phone", "phone1")
	for _, name := range []string{"desktop", "bob1", "' OR 1=1 --", "lap%", "../bob/desktop", "\xff\x00", "laptop\x00", strings.Repeat("x", 64)} {
		w.code(w.RemoveDevice(ctx, alice, name, password, true), "own_device_unknown")
	}
	w.code(w.RemoveDevice(ctx, alice, "phone", "' OR 1=1 --", true), "wrong_password")
	_, err = w.InviteDevice(ctx, alice, "wrong password")
	w.code(err, "wrong_password")
	for _, forged := range []Subject{
		{User: "bob", Device: "desktop", Serial: "alice1"},
		{User: "bob", Device: "desktop", Serial: "nosuch"},
		{User: "bob' OR 1=1 --", Device: "desktop", Serial: "bob1"},
	} {
		_, err := w.Devices(ctx, forged)
		w.code(err, "cert_unknown")
		_, err = w.InviteDevice(ctx, forged, password)
		w.code(err, "cert_unknown")
		w.code(w.RemoveDevice(ctx, forged, "desktop", password, true), "cert_unknown")
	}
	for _, serial := range []string{"alice1", "phone1", "bob1"} {
		w.subject(serial) // all are still good
	}
	w.must(w.LockDevice(ctx, "alice", "laptop"))
	_, err = w.InviteDevice(ctx, alice, password)
	w.code(err, "device_locked")
	w.code(w.RemoveDevice(ctx, alice, "phone", password, true), "device_locked")
	w.subject("phone1")
}

// TestHT58RemovedDevice: what was removed is refused at once, with the invitations that somebody
// may have made on it; the last way in is not lost by accident.
func TestHT58RemovedDevice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.password("alice")
	alice := w.subject("alice1")
	w.code(w.RemoveDevice(ctx, alice, "laptop", password, false), "device_last")
	fp := w.cert("alice", "phone", "phone1")
	w.must(w.LockDevice(ctx, "alice", "phone"))
	w.code(w.RemoveDevice(ctx, alice, "laptop", password, false), "device_last") // a locked device is no way in
	w.must(w.UnlockDevice(ctx, "alice", "phone"))
	w.renewed("alice", "phone", "phone2", "phone1")

	phone := w.subject("phone1")
	stolen, err := w.InviteDevice(ctx, phone, password)
	w.must(err)
	others, err := w.Invite(ctx, "bob", time.Hour)
	w.must(err)
	w.must(w.RemoveDevice(ctx, alice, "phone", password, false))
	for _, serial := range []string{"phone1", "phone2"} {
		_, err := w.Admit(serial, sha256.Sum256([]byte(serial)))
		w.code(err, "cert_revoked_reason")
	}
	_, err = w.Admit("phone1", fp)
	if e := err.Error(); !strings.Contains(e, "cert_revoked_reason") {
		t.Errorf("the reason is %s", e)
	}
	_, err = w.Invitation(ctx, stolen.Secret, "192.0.2.1:1")
	w.code(err, "invitation_unknown")
	if _, err := w.Invitation(ctx, others.Secret, "192.0.2.1:1"); err != nil {
		t.Errorf("the invitation of another user: %v", err)
	}
	_, err = w.InviteDevice(ctx, phone, password)
	w.code(err, "cert_revoked_reason")
	w.code(w.RemoveDevice(ctx, alice, "laptop", password, false), "device_last")
	w.must(w.RemoveDevice(ctx, alice, "laptop", password, true))
	_, err = w.Admit("alice1", sha256.Sum256([]byte("alice1")))
	w.code(err, "cert_revoked_reason")
	w.subject("bob1")
}

// TestHT58Bounds: a user can have so many devices by own invitations and so many new ones a day, and
// removing them makes no room on that day. The administrator's invitations are not counted or limited.
func TestHT58Bounds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.password("alice")
	alice := w.subject("alice1")
	check := func(life time.Duration) error {
		v := meta.Invitation{User: "alice", Created: w.clock.now(), Expires: w.clock.now().Add(life)}
		return w.db.View(ctx, func(q meta.Queries) error { return CheckRoom(ctx, q, v, w.clock.now()) })
	}
	for range maxOwnInvitations {
		_, err := w.Invite(ctx, "alice", 0)
		w.must(err)
	}
	add := func(from, to int) {
		for i := from; i < to; i++ {
			w.cert("alice", fmt.Sprint("d", i), fmt.Sprint("d", i))
		}
	}
	add(1, maxNewDaily-1)
	_, err := w.InviteDevice(ctx, alice, password)
	w.must(err)
	_, err = w.InviteDevice(ctx, alice, password) // the one before may be used
	w.code(err, "devices_new")
	w.must(check(OwnInvitationLife))
	add(maxNewDaily-1, maxNewDaily)
	w.code(check(OwnInvitationLife), "devices_new")
	w.must(check(InvitationLife))
	_, err = w.RevokeDevice(ctx, "alice", "d1", "")
	w.must(err)
	_, err = w.InviteDevice(ctx, alice, password)
	w.code(err, "devices_new")
	w.clock.add(day)
	w.must(w.Reload(ctx))
	_, err = w.InviteDevice(ctx, alice, password)
	w.must(err)
	add(maxNewDaily, maxDevices)
	w.clock.add(day)
	w.must(w.Reload(ctx))
	_, err = w.InviteDevice(ctx, alice, password)
	w.must(err) // d1 is gone
	_, err = w.InviteDevice(ctx, alice, password)
	w.code(err, "devices_full")
	w.must(check(OwnInvitationLife))
	add(maxDevices, maxDevices+1)
	w.clock.add(day)
	w.must(w.Reload(ctx))
	w.code(check(OwnInvitationLife), "devices_full")
	w.must(check(InvitationLife))
}

// TestHT58RevokedInvitations: whatever takes trust away takes the user's unused invitations with it,
// and nobody else's.
func TestHT58RevokedInvitations(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for name, take := range map[string]func(*world) error{
		"certificate": func(w *world) error { return w.Revoke(ctx, "alice1", "stolen") },
		"device":      func(w *world) error { _, err := w.RevokeDevice(ctx, "alice", "laptop", "stolen"); return err },
		"user":        func(w *world) error { _, err := w.RevokeUser(ctx, "alice", "stolen"); return err },
		"lock device": func(w *world) error { return w.LockDevice(ctx, "alice", "laptop") },
		"lock user": func(w *world) error {
			if err := w.LockUser(ctx, "alice"); err != nil {
				return err
			}
			return w.UnlockUser(ctx, "alice")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.password("alice")
			w.password("bob")
			v, err := w.InviteDevice(ctx, w.subject("alice1"), password)
			w.must(err)
			other, err := w.InviteDevice(ctx, w.subject("bob1"), password)
			w.must(err)
			w.must(take(w))
			_, err = w.Invitation(ctx, v.Secret, "192.0.2.1:1")
			w.code(err, "invitation_unknown")
			_, err = w.Invitation(ctx, other.Secret, "192.0.2.1:1")
			w.must(err)
		})
	}
}

// TestHT58OwnInvitations last for an hour, and there are a few at a time.
func TestHT58OwnInvitations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.password("alice")
	alice := w.subject("alice1")
	v, err := w.InviteDevice(ctx, alice, password)
	w.must(err)
	if v.User != "alice" || !v.Expires.Equal(w.clock.now().Add(OwnInvitationLife)) || len(v.Secret) != 32 {
		t.Errorf("%+v", v)
	}
	for range maxOwnInvitations - 1 {
		_, err := w.InviteDevice(ctx, alice, password)
		w.must(err)
	}
	_, err = w.InviteDevice(ctx, alice, password)
	w.code(err, "invitations_open")
	if hufu.KindOf(err) != hufu.KindRateLimit {
		t.Error(hufu.KindOf(err))
	}
	w.clock.add(OwnInvitationLife)
	w.must(w.Reload(ctx))
	_, err = w.Invitation(ctx, v.Secret, "192.0.2.1:1")
	w.code(err, "invitation_expired")
	if _, err = w.InviteDevice(ctx, alice, password); err != nil {
		t.Error(err)
	}
	rows, err := w.db.Invitations(ctx)
	w.must(err)
	for _, r := range rows {
		if r.User != "alice" || r.SecretHash == ([32]byte{}) || r.Admin {
			t.Errorf("%+v", r)
		}
	}
}

// TestHT58AsTheOwnerIsNow: what has changed since the password was checked counts.
func TestHT58AsTheOwnerIsNow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.password("alice")
	alice := w.subject("alice1")
	change := func(f func()) error {
		return w.asOwner(ctx, "test", alice, password, func(q meta.Queries, _ time.Time) error {
			f()
			return nil
		})
	}
	if err := change(func() {}); err != nil {
		t.Fatal(err)
	}
	hidden := w.db // another server's change, of which this one's memory does not know yet
	_, err := hidden.Revoke(ctx, "alice1", "lost", w.clock.now())
	w.must(err)
	w.code(change(func() { t.Error("a revoked certificate has changed something") }), "cert_revoked_reason")
}
