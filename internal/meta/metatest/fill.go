package metatest

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"hufu"
	"hufu/internal/meta"
)

// Everything returns rows of every table, in the order of meta.Rows: each field has each value
// that a database might take for something else, each time is set and not set, and there are n
// certificates more.
func Everything(n int) meta.Rows {
	var r meta.Rows
	for i, bad := range append([]string{"", "alice", "alice ", "Alice"}, hostile...) {
		when, key := time.Time{}, byte(i+1)
		if i%2 == 0 {
			when = moment.Add(time.Duration(i) * time.Millisecond)
		}
		r.Users = append(r.Users, meta.User{Name: bad, Admin: i%3 == 0, Password: bad, Created: moment, Locked: when, Removed: when})
		r.Devices = append(r.Devices, meta.Device{User: bad, Name: bad, Locked: when})
		r.Certificates = append(r.Certificates, meta.Certificate{
			Serial: bad, Fingerprint: [32]byte{key}, Lineage: bad, SPKI: [32]byte{31: key}, Use: bad, User: bad, Device: bad,
			NotBefore: when, NotAfter: moment, Issued: moment, Revoked: when, Reason: bad, DER: []byte(bad),
		})
		v := meta.Invitation{SecretHash: [32]byte{key}, User: bad, Admin: i%3 == 0, Created: moment.Add(-time.Duration(i) * time.Hour), Expires: moment}
		if i%2 == 0 {
			v.Used, v.UsedSPKI, v.UsedSerial = when, [32]byte{key}, bad
		}
		r.Invitations = append(r.Invitations, v)
		r.Logins = append(r.Logins, meta.Login{TokenHash: [32]byte{key}, Lineage: bad, User: bad, Device: bad, Created: moment, LastUsed: when})
		r.Attempts = append(r.Attempts, meta.Attempts{Key: bad, Failures: i, Last: when, Until: moment})
	}
	for i := range n {
		c := certificate(fmt.Sprintf("%08x", i))
		c.Fingerprint[5], c.DER = byte(i), fmt.Append(nil, "certificate ", i)
		r.Certificates = append(r.Certificates, c)
	}
	server := certificate("server")
	server.Use, server.User, server.Device, server.Fingerprint = meta.UseServer, "", "", [32]byte{30: 1}
	r.Certificates = append(r.Certificates, server)
	return r.Sorted()
}

// testFill: Fill makes a database hold what it is given, whatever it held before, and does nothing
// twice. It is noticed by others.
func testFill(t *testing.T, url string) {
	ctx, d, other := t.Context(), open(t, url), open(t, url)
	read := func() (r meta.Rows) {
		t.Helper()
		must(t, d.View(ctx, func(q meta.Queries) (err error) { r, err = q.Rows(ctx); return err }))
		return r
	}
	if r := read(); !r.Empty() {
		t.Errorf("a new database holds %+v", r)
	}
	never := func(meta.Rows) error { t.Error("asked about rows that are not there"); return nil }
	// The certificates are read in pages; here the last one is full.
	want := Everything(0)
	want = Everything(2000 - len(want.Certificates))
	version := func() meta.Version {
		t.Helper()
		v, err := other.Version(ctx)
		must(t, err)
		return v
	}
	before := version()
	changed, err := d.Fill(ctx, want, never)
	same(t, "changed", changed, err, true)
	if got := read(); !reflect.DeepEqual(got, want) || got.Empty() {
		t.Error("other rows came back")
	}
	filled := version()
	if filled == before {
		t.Error("it was not noticed")
	}
	changed, err = d.Fill(ctx, want, never)
	same(t, "changed again", changed, err, false)
	same(t, "version", version(), nil, filled)

	less := Everything(1)
	less.Users[1].Locked = moment.Add(time.Minute)
	less.Logins, less.Attempts = nil, nil
	stop := errors.New("stop")
	changed, err = d.Fill(ctx, less, func(have meta.Rows) error {
		if !reflect.DeepEqual(have, want) {
			t.Error("asked about other rows")
		}
		return stop
	})
	if changed || !errors.Is(err, stop) || !reflect.DeepEqual(read(), want) {
		t.Errorf("forbidden: %v, %v", changed, err)
	}
	changed, err = d.Fill(ctx, less, func(meta.Rows) error { return nil })
	same(t, "changed", changed, err, true)
	same(t, "rows", read(), nil, less)
	if version() == filled {
		t.Error("it was not noticed")
	}

	if !want.SameInstallation(less) || want.SameInstallation(meta.Rows{Certificates: Everything(0).Certificates[:1]}) {
		t.Error("the certificate of the server decides")
	}
	// What was copied is alive: an invitation that was used stays so.
	for _, v := range less.Invitations {
		won, err := d.UseInvitation(ctx, v.SecretHash, [32]byte{7}, "0a", moment)
		same(t, "won", won, err, v.Used.IsZero())
	}
}

// testFillRefused: rows that do not fit leave all as it was.
func testFillRefused(t *testing.T, url string) {
	ctx, d := t.Context(), open(t, url)
	want := Everything(0)
	_, err := d.Fill(ctx, want, nil)
	must(t, err)
	allow := func(meta.Rows) error { return nil }
	for what, change := range map[string]func(*meta.Rows){
		"a device of nobody":       func(r *meta.Rows) { r.Users = r.Users[1:] },
		"a certificate twice":      func(r *meta.Rows) { r.Certificates = append(r.Certificates, r.Certificates[0]) },
		"another order":            func(r *meta.Rows) { r.Logins[0], r.Logins[1] = r.Logins[1], r.Logins[0] },
		"less than a millisecond":  func(r *meta.Rows) { r.Users[0].Created = r.Users[0].Created.Add(1) },
		"a user twice, in the end": func(r *meta.Rows) { r.Users = append(r.Users, r.Users[0]) },
	} {
		bad := Everything(0)
		change(&bad)
		changed, err := d.Fill(ctx, bad, allow)
		if err == nil || changed {
			t.Errorf("%s: %v, %v", what, changed, err)
		}
		if (what == "another order" || what == "less than a millisecond") && hufu.CodeOf(err) != "database_differs" {
			t.Errorf("%s: %v", what, err)
		}
		got, err := d.Rows(ctx)
		same(t, what, got, err, want)
	}
}
