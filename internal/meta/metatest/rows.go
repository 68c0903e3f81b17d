package metatest

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"hufu"
	"hufu/internal/meta"
)

func same[T any](t *testing.T, what string, got T, err error, want T) {
	t.Helper()
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %+v, %v; want %+v", what, got, err, want)
	}
}

// testRows: what is written comes back, and only what was meant is changed.
func testRows(t *testing.T, url string) {
	ctx, d := t.Context(), open(t, url)
	u := meta.User{Name: "alice", Admin: true, Password: "$argon2id$", Created: moment, Locked: moment.Add(1e9)}
	must(t, d.PutUser(ctx, u))
	got, err := d.User(ctx, "alice")
	same(t, "user", got, err, u)
	u.Locked, u.Admin, u.Removed = time.Time{}, false, moment
	must(t, d.PutUser(ctx, u))
	users, err := d.Users(ctx)
	same(t, "users", users, err, []meta.User{u})
	if _, err := d.User(ctx, "bob"); hufu.KindOf(err) != hufu.KindNotFound {
		t.Errorf("bob: %v", err)
	}

	dev := meta.Device{User: "alice", Name: "laptop", Locked: moment}
	must(t, d.PutDevice(ctx, dev))
	dev.Locked = time.Time{}
	must(t, d.PutDevice(ctx, dev))
	devices, err := d.Devices(ctx)
	same(t, "devices", devices, err, []meta.Device{dev})

	c := certificate("0a")
	must(t, d.AddCertificate(ctx, c))
	der, err := d.CertificateDER(ctx, "0a")
	same(t, "der", string(der), err, "der")
	c.DER = nil
	one, err := d.Certificate(ctx, "0a")
	same(t, "certificate", one, err, c)
	for i, want := range []bool{true, false} {
		done, err := d.Revoke(ctx, "0a", []string{"stolen", "again"}[i], moment.Add(time.Duration(i)))
		same(t, "revoke", done, err, want)
	}
	c.Revoked, c.Reason = moment, "stolen"
	certs, err := d.DeviceCertificates(ctx, "alice", "laptop")
	same(t, "certificates of the device", certs, err, []meta.Certificate{c})
	must(t, d.AddCertificate(ctx, certificate("0b")), d.AddCertificate(ctx, meta.Certificate{Serial: "00", Use: meta.UseServer, Issued: moment}))
	issued, err := d.NewestIssued(ctx, "alice", 0)
	same(t, "newest", issued, err, moment)
	issued, err = d.NewestIssued(ctx, "alice", 99)
	same(t, "of too few", issued, err, time.Time{})
	n, err := d.RevokeDevice(ctx, "alice", "laptop", "lost", moment)
	same(t, "revoked of the device", n, err, 1)
	must(t, d.AddCertificate(ctx, certificate("0c")))
	n, err = d.RevokeUser(ctx, "alice", "left", moment)
	same(t, "revoked of the user", n, err, 1)
	all, err := d.Certificates(ctx)
	var serials []string
	for _, c := range all {
		serials = append(serials, c.Serial+" "+c.Reason)
	}
	same(t, "certificates", serials, err, []string{"00 ", "0a stolen", "0b lost", "0c left"})

	v := invitation(9, "alice")
	v.Admin = true
	must(t, d.AddInvitation(ctx, v))
	inv, err := d.Invitation(ctx, v.SecretHash)
	same(t, "invitation", inv, err, v)
	for _, want := range []bool{true, false} {
		won, err := d.UseInvitation(ctx, v.SecretHash, [32]byte{7}, "0a", moment)
		same(t, "use", won, err, want)
	}
	v.Used, v.UsedSPKI, v.UsedSerial = moment, [32]byte{7}, "0a"
	sent, err := d.Invitations(ctx)
	same(t, "invitations", sent, err, []meta.Invitation{v})

	l := login(5, "alice")
	must(t, d.AddLogin(ctx, l), d.TouchLogin(ctx, l.TokenHash, moment.Add(time.Hour)), d.TouchLogin(ctx, l.TokenHash, moment)) // never back
	l.LastUsed = moment.Add(time.Hour)
	logins, err := d.Logins(ctx)
	same(t, "logins", logins, err, []meta.Login{l})

	a := meta.Attempts{Key: "login/alice/laptop", Failures: 3, Last: moment, Until: moment.Add(1e9)}
	must(t, d.PutAttempts(ctx, meta.Attempts{Key: a.Key, Failures: 1}), d.PutAttempts(ctx, a))
	tries, err := d.Attempts(ctx, a.Key)
	same(t, "attempts", tries, err, a)
	tries, err = d.Attempts(ctx, "login/alice/")
	same(t, "no attempts", tries, err, meta.Attempts{Key: "login/alice/"})
}

// testKeepLogins: of the logins of a device those stay that were used last.
func testKeepLogins(t *testing.T, url string) {
	ctx, d := t.Context(), open(t, url)
	add := func(hash byte, user, device string, used time.Duration) {
		t.Helper()
		l := login(hash, user)
		l.Device, l.LastUsed = device, moment.Add(used)
		must(t, d.AddLogin(ctx, l))
	}
	for i, used := range []time.Duration{5, 1, 3, 3, 3, 2} {
		add(byte(1+i), "alice", "laptop", used*time.Second)
	}
	add(10, "alice", "phone", 0)
	add(11, "alice2", "laptop", 0)
	for _, c := range []struct {
		keep int
		left string
	}{{9, "1 2 3 4 5 6"}, {6, "1 2 3 4 5 6"}, {5, "1 3 4 5 6"}, {3, "1 4 5"}, {1, "1"}, {0, ""}} {
		must(t, d.Update(ctx, func(q meta.Queries) error { return q.KeepLogins(ctx, "alice", "laptop", c.keep) }))
		logins, err := d.Logins(ctx)
		must(t, err)
		var left []string
		others := 0
		for _, l := range logins {
			if l.User == "alice" && l.Device == "laptop" {
				left = append(left, strconv.Itoa(int(l.TokenHash[0])))
			} else {
				others++
			}
		}
		slices.Sort(left)
		if got := strings.Join(left, " "); got != c.left || others != 2 {
			t.Errorf("keep %d: %q and %d others are left, want %q", c.keep, got, others, c.left)
		}
	}
}

// testDrops: each removal takes what it names and leaves its neighbour.
func testDrops(t *testing.T, url string) {
	ctx, d := t.Context(), open(t, url)
	for i, name := range []string{"alice", "alice2"} {
		must(t, d.PutUser(ctx, meta.User{Name: name, Created: moment}), d.PutDevice(ctx, meta.Device{User: name, Name: "x", Locked: moment}))
		must(t, d.AddInvitation(ctx, invitation(byte(i), name)), d.AddInvitation(ctx, invitation(byte(10+i), name)))
		must(t, d.AddLogin(ctx, login(byte(i), name)), d.AddLogin(ctx, login(byte(10+i), name)))
	}
	must(t, d.DropDevices(ctx, "alice"))
	devices, err := d.Devices(ctx)
	same(t, "devices", devices, err, []meta.Device{{User: "alice2", Name: "x", Locked: moment}})
	must(t, d.DropInvitation(ctx, [32]byte{10}), d.DropInvitations(ctx, "alice2"))
	sent, err := d.Invitations(ctx)
	same(t, "invitations", sent, err, []meta.Invitation{invitation(0, "alice")})
	for i, name := range []string{"alice", "alice2"} {
		must(t, d.AddInvitation(ctx, invitation(byte(20+i), name)))
	}
	_, err = d.UseInvitation(ctx, [32]byte{20}, [32]byte{7}, "0a", moment)
	must(t, err, d.DropUnusedInvitations(ctx, "alice"))
	for hash, want := range map[byte]hufu.Kind{0: hufu.KindNotFound, 20: 0, 21: 0} {
		if _, err := d.Invitation(ctx, [32]byte{hash}); hufu.KindOf(err) != want {
			t.Errorf("after the unused invitations of alice were dropped, %d: %v", hash, err)
		}
	}
	must(t, d.DropLogin(ctx, [32]byte{10}), d.DropLogins(ctx, "alice2"))
	logins, err := d.Logins(ctx)
	same(t, "logins", logins, err, []meta.Login{login(0, "alice")})

	keys := []string{"login/alice/", "login/alice/laptop", "login/alice0", "login/alic/", "login/%/", "a\x00b", "a\x00", "a", "\xff", "\xff\xff", "\xffa"}
	left := func(prefix string) []string {
		for _, k := range keys {
			must(t, d.PutAttempts(ctx, meta.Attempts{Key: k, Failures: 1}))
		}
		must(t, d.DropAttemptsBelow(ctx, prefix))
		var left []string
		for _, k := range keys {
			a, err := d.Attempts(ctx, k)
			must(t, err)
			if a.Failures != 0 {
				left = append(left, k)
			}
		}
		return left
	}
	for _, prefix := range []string{"login/alice/", "login/%/", "login/_lice", "a\x00", "\xff", "\xff\xff", "none", ""} {
		want := slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return strings.HasPrefix(k, prefix) })
		if got := left(prefix); !slices.Equal(got, want) {
			t.Errorf("below %q: left %q, want %q", prefix, got, want)
		}
	}
	must(t, d.PutAttempts(ctx, meta.Attempts{Key: "a", Failures: 1}), d.DropAttempts(ctx, "a"))
	if a, err := d.Attempts(ctx, "a"); err != nil || a.Failures != 0 {
		t.Errorf("attempts %+v, %v", a, err)
	}
}

// testExpiry: what ended before a moment goes, what ends at it stays.
func testExpiry(t *testing.T, url string) {
	ctx, d := t.Context(), open(t, url)
	must(t, d.PutUser(ctx, meta.User{Name: "alice", Created: moment}))
	for i := range 3 {
		v, l := invitation(byte(i), "alice"), login(byte(i), "alice")
		v.Expires, l.LastUsed = moment.Add(time.Duration(i)*time.Millisecond), moment.Add(time.Duration(i)*time.Millisecond)
		must(t, d.AddInvitation(ctx, v), d.AddLogin(ctx, l))
	}
	then := moment.Add(time.Millisecond)
	must(t, d.DropInvitationsBefore(ctx, then), d.DropLoginsBefore(ctx, then))
	sent, err := d.Invitations(ctx)
	logins, err2 := d.Logins(ctx)
	if must(t, err, err2); len(sent) != 2 || len(logins) != 2 {
		t.Errorf("left: %+v, %+v", sent, logins)
	}
}

// testBytes: names are bytes. Case, accents, blanks at the end, NUL and what is
// not UTF-8 make another name, and the order is that of the bytes.
func testBytes(t *testing.T, url string) {
	ctx, d := t.Context(), open(t, url)
	names := []string{
		"", " ", "\x00", "ALICE", "Alice", "a\u0301lice", "alice", "alice ", "alice\x00", "alice\x00b", "alice\t", `al\ice`, "al''ice", "\u00e1lice",
		"ß", "ss", "\xc3", "\xff", "\xff\xfe", "\U0001F42F", "虎符", "NULL", "0", "00", "0x41", `\x41`,
	}
	slices.Sort(names)
	for i, n := range names {
		must(t, d.PutUser(ctx, meta.User{Name: n, Password: n, Created: moment.Add(time.Duration(i) * time.Second)}))
		must(t, d.PutDevice(ctx, meta.Device{User: n, Name: n, Locked: moment}), d.AddCertificate(ctx, certificate(n)))
	}
	users, err := d.Users(ctx)
	must(t, err)
	var got []string
	for _, u := range users {
		got = append(got, u.Name)
	}
	if !slices.Equal(got, names) {
		t.Errorf("names %q, want %q", got, names)
	}
	for i, n := range names {
		u, err := d.User(ctx, n)
		same(t, n, u, err, meta.User{Name: n, Password: n, Created: moment.Add(time.Duration(i) * time.Second)})
		c, err := d.Certificate(ctx, n)
		same(t, n, c.Serial, err, n)
	}
	if _, err := d.User(ctx, "aLICE"); hufu.KindOf(err) != hufu.KindNotFound {
		t.Errorf("another case: %v", err)
	}
}

// hostile are values that a database might take for something else.
var hostile = []string{
	`' OR '1'='1' -- `, `"; DROP TABLE users; --`, `\' OR 1=1#`, `'; UPDATE users SET admin = 1; --`, "a\x00b", "%", "_", "\xff", `\x41`, "$1", "?", ":a", "@a",
	"`", "0x41", "x'41'", "/*!50000 1*/", "NULL", "\xbf' OR 1=1 -- ", "\xbf\\",
}

// testInjection: what looks like SQL is a value, in every field. It is stored as
// it is, finds nothing else, and changes nothing else.
func testInjection(t *testing.T, url string) {
	ctx, d := t.Context(), open(t, url)
	alice := meta.User{Name: "alice", Password: "secret", Created: moment}
	must(t, d.PutUser(ctx, alice), d.AddCertificate(ctx, certificate("0a")), d.AddLogin(ctx, login(0, "alice")))
	must(t, d.PutAttempts(ctx, meta.Attempts{Key: "login/alice/x", Failures: 1}))
	for i, bad := range hostile {
		if _, err := d.User(ctx, bad); hufu.KindOf(err) != hufu.KindNotFound {
			t.Errorf("user %q: %v", bad, err)
		}
		if _, err := d.Certificate(ctx, bad); hufu.KindOf(err) != hufu.KindNotFound {
			t.Errorf("certificate %q: %v", bad, err)
		}
		if _, err := d.CertificateDER(ctx, bad); hufu.KindOf(err) != hufu.KindNotFound {
			t.Errorf("certificate %q: %v", bad, err)
		}
		none, err := d.DeviceCertificates(ctx, bad, bad)
		same(t, bad, none, err, nil)
		done, err := d.Revoke(ctx, bad, bad, moment)
		same(t, bad, done, err, false)
		n, err := d.RevokeUser(ctx, bad, bad, moment)
		same(t, bad, n, err, 0)
		n, err = d.RevokeDevice(ctx, bad, bad, bad, moment)
		same(t, bad, n, err, 0)
		drops := []func(context.Context, string) error{d.DropLogins, d.DropInvitations, d.DropUnusedInvitations, d.DropAttempts, d.DropAttemptsBelow, d.DropDevices}
		for _, drop := range drops {
			must(t, drop(ctx, bad))
		}

		u := meta.User{Name: bad, Password: bad, Created: moment}
		must(t, d.PutUser(ctx, u), d.PutUser(ctx, u))
		gotUser, err := d.User(ctx, bad)
		same(t, bad, gotUser, err, u)
		dev := meta.Device{User: bad, Name: bad, Locked: moment}
		must(t, d.PutDevice(ctx, dev), d.PutDevice(ctx, dev))
		c := certificate(bad)
		c.Lineage, c.Use, c.User, c.Device, c.Reason, c.DER = bad, bad, bad, bad, bad, []byte(bad)
		must(t, d.AddCertificate(ctx, c))
		der, err := d.CertificateDER(ctx, bad)
		same(t, bad, string(der), err, bad)
		done, err = d.Revoke(ctx, bad, bad, moment)
		same(t, bad, done, err, true)
		c.DER, c.Revoked = nil, moment
		certs, err := d.DeviceCertificates(ctx, bad, bad)
		same(t, bad, certs, err, []meta.Certificate{c})
		v := invitation(byte(i), bad)
		must(t, d.AddInvitation(ctx, v))
		won, err := d.UseInvitation(ctx, v.SecretHash, [32]byte{1}, bad, moment)
		same(t, bad, won, err, true)
		gotInv, err := d.Invitation(ctx, v.SecretHash)
		same(t, bad, gotInv.UsedSerial+gotInv.User, err, bad+bad)
		l := login(byte(100+i), bad)
		l.Lineage, l.Device = bad, bad
		must(t, d.AddLogin(ctx, l))
		logins, err := d.Logins(ctx)
		if err != nil || !slices.Contains(logins, l) {
			t.Errorf("login %q: %+v, %v", bad, logins, err)
		}
		must(t, d.PutAttempts(ctx, meta.Attempts{Key: bad, Failures: 7}))
		a, err := d.Attempts(ctx, bad)
		same(t, bad, a, err, meta.Attempts{Key: bad, Failures: 7})
		for _, drop := range drops {
			must(t, drop(ctx, bad))
		}
	}
	u, err := d.User(ctx, "alice")
	same(t, "alice", u, err, alice)
	c, err := d.Certificate(ctx, "0a")
	same(t, "certificate", c.Revoked, err, time.Time{})
	logins, err := d.Logins(ctx)
	same(t, "logins", logins, err, []meta.Login{login(0, "alice")})
	a, err := d.Attempts(ctx, "login/alice/x")
	same(t, "attempts", a.Failures, err, 1)
}

// testLong: a value comes back whole or is refused, it is never cut.
func testLong(t *testing.T, url string) {
	ctx, d := t.Context(), open(t, url)
	name := strings.Repeat("n", 700)
	must(t, d.PutUser(ctx, meta.User{Name: name, Password: strings.Repeat("p", 1000), Created: moment}))
	u, err := d.User(ctx, name)
	same(t, "password", u.Password, err, strings.Repeat("p", 1000))
	c := certificate(name)
	c.Lineage, c.User, c.Device, c.DER = name, name, name, bytes.Repeat([]byte{0, 1, 0xff}, 40_000)
	must(t, d.AddCertificate(ctx, c))
	_, err = d.Revoke(ctx, name, strings.Repeat("r", 1000), moment)
	must(t, err)
	der, err := d.CertificateDER(ctx, name)
	same(t, "der", der, err, c.DER)
	must(t, d.PutAttempts(ctx, meta.Attempts{Key: name + name, Failures: 1}))

	huge := strings.Repeat("x", 100_000)
	err = d.PutUser(ctx, meta.User{Name: huge, Created: moment})
	users, err2 := d.Users(ctx)
	must(t, err2)
	for _, u := range users {
		if u.Name != name && u.Name != huge {
			t.Errorf("a name was cut to %d bytes", len(u.Name))
		}
	}
	if err == nil && len(users) != 2 || err != nil && len(users) != 1 {
		t.Errorf("a huge name: %d users, %v", len(users), err)
	}
}

// testTwice: a key exists once, and a row may name only users that exist. A failure takes the whole
// transaction back.
func testTwice(t *testing.T, url string) {
	ctx, d := t.Context(), open(t, url)
	must(t, d.PutUser(ctx, meta.User{Name: "alice", Created: moment}), d.AddCertificate(ctx, certificate("0a")))
	must(t, d.AddInvitation(ctx, invitation(1, "alice")), d.AddLogin(ctx, login(1, "alice")))
	for what, f := range map[string]func(meta.Queries) error{
		"certificate":          func(q meta.Queries) error { return q.AddCertificate(ctx, certificate("0a")) },
		"invitation":           func(q meta.Queries) error { return q.AddInvitation(ctx, invitation(1, "alice")) },
		"login":                func(q meta.Queries) error { return q.AddLogin(ctx, login(1, "alice")) },
		"invitation of nobody": func(q meta.Queries) error { return q.AddInvitation(ctx, invitation(2, "bob")) },
		"device of nobody":     func(q meta.Queries) error { return q.PutDevice(ctx, meta.Device{User: "bob", Name: "x"}) },
		"what another call did": func(q meta.Queries) error {
			return errors.Join(q.AddCertificate(ctx, certificate("0a")), q.DropLogins(ctx, "alice"))
		},
	} {
		if what != "what another call did" && f(d.Queries) == nil {
			t.Errorf("%s: alone it was no error", what)
		}
		err := d.Update(ctx, func(q meta.Queries) error {
			return errors.Join(q.PutUser(ctx, meta.User{Name: "eve", Created: moment}), f(q))
		})
		if err == nil {
			t.Errorf("%s: in a transaction it was no error", what)
		}
	}
	if users, err := d.Users(ctx); err != nil || len(users) != 1 {
		t.Errorf("users %+v, %v", users, err)
	}
}
