package meta

import (
	"bytes"
	"cmp"
	"context"
	"reflect"
	"slices"
	"strings"
	"time"

	"hufu"
)

// fillLimit is the time that the transaction of a Fill may take on a shared database. It writes every
// row of an installation, one statement each, and the database may be far away.
const fillLimit = time.Hour

// certificatePage is how many certificates one statement reads with their bytes, so that it ends
// long before statementLimit.
const certificatePage = 1000

// Rows holds all rows about users, certificates, invitations and logins, each table in the order of
// its key. Rows of different databases can be compared.
type Rows struct {
	Users        []User
	Devices      []Device
	Certificates []Certificate // with their bytes
	Invitations  []Invitation
	Logins       []Login
	Attempts     []Attempts
}

// Empty reports whether there is no row at all.
func (r Rows) Empty() bool { return r.Equal(Rows{}) }

// Equal reports whether both hold the same rows. Both must be sorted.
func (r Rows) Equal(other Rows) bool { return reflect.DeepEqual(r, other) }

// SameInstallation reports whether both hold a certificate of the same server.
func (r Rows) SameInstallation(other Rows) bool {
	servers := make(map[[32]byte]bool)
	for _, c := range r.Certificates {
		servers[c.Fingerprint] = c.Use == UseServer
	}
	return slices.ContainsFunc(other.Certificates, func(c Certificate) bool { return c.Use == UseServer && servers[c.Fingerprint] })
}

// HoldsFiles reports whether the database holds names of files, which are no part of Rows.
func (q Queries) HoldsFiles(ctx context.Context) (bool, error) {
	found, err := all(ctx, q, "look at files", func(n *int64) []any { return []any{n} }, "SELECT 1 FROM trees LIMIT 1")
	return len(found) > 0, err
}

// Sorted puts each table in the order of its key and returns r.
func (r Rows) Sorted() Rows {
	slices.SortFunc(r.Users, func(a, b User) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(r.Devices, func(a, b Device) int { return cmp.Or(strings.Compare(a.User, b.User), strings.Compare(a.Name, b.Name)) })
	slices.SortFunc(r.Certificates, func(a, b Certificate) int { return strings.Compare(a.Serial, b.Serial) })
	slices.SortFunc(r.Invitations, func(a, b Invitation) int { return bytes.Compare(a.SecretHash[:], b.SecretHash[:]) })
	slices.SortFunc(r.Logins, func(a, b Login) int { return bytes.Compare(a.TokenHash[:], b.TokenHash[:]) })
	slices.SortFunc(r.Attempts, func(a, b Attempts) int { return strings.Compare(a.Key, b.Key) })
	return r
}

// Rows reads these rows; only within View or Update are they from one moment.
func (q Queries) Rows(ctx context.Context) (r Rows, err error) {
	if r.Users, err = q.Users(ctx); err != nil {
		return Rows{}, err
	}
	if r.Devices, err = q.Devices(ctx); err != nil {
		return Rows{}, err
	}
	if r.Certificates, err = q.wholeCertificates(ctx); err != nil {
		return Rows{}, err
	}
	if r.Invitations, err = q.Invitations(ctx); err != nil {
		return Rows{}, err
	}
	if r.Logins, err = q.Logins(ctx); err != nil {
		return Rows{}, err
	}
	if r.Attempts, err = q.allAttempts(ctx); err != nil {
		return Rows{}, err
	}
	return r.Sorted(), nil
}

// wholeCertificates lists all certificates with their bytes, by serial.
func (q Queries) wholeCertificates(ctx context.Context) ([]Certificate, error) {
	var out []Certificate
	for from := ""; ; {
		page, err := all(ctx, q, "read certificates", func(c *Certificate) []any { return append(certificateColumns(c), &c.DER) },
			`SELECT serial, fingerprint, lineage, spki, cert_use, user_name, device, not_before, not_after, issued_at,
			revoked_at, reason, der FROM certificates WHERE serial >= ? ORDER BY serial LIMIT ?`, from, certificatePage)
		if err != nil {
			return nil, err
		}
		for i := range page {
			if page[i].DER == nil {
				page[i].DER = []byte{} // drivers differ in what an empty value is
			}
		}
		out = append(out, page...)
		if len(page) < certificatePage {
			return out, nil
		}
		from = page[len(page)-1].Serial + "\x00" // the first that may follow
	}
}

func (q Queries) allAttempts(ctx context.Context) ([]Attempts, error) {
	return all(ctx, q, "list attempts", func(a *Attempts) []any { return []any{&a.Key, &a.Failures, at{&a.Last}, at{&a.Until}} },
		"SELECT attempts.key, failures, last_at, until FROM attempts")
}

// addWholeInvitation writes a new invitation, used or not.
func (q Queries) addWholeInvitation(ctx context.Context, v Invitation) error {
	var spki []byte
	if v.UsedSPKI != ([32]byte{}) {
		spki = v.UsedSPKI[:]
	}
	_, err := q.exec(ctx, "store invitation", `INSERT INTO invitations (secret_hash, user_name, admin, created_at,
		expires_at, used_at, used_spki, used_serial) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		v.SecretHash[:], v.User, v.Admin, millis(v.Created), millis(v.Expires), millis(v.Used), spki, v.UsedSerial)
	return err
}

// Fill makes the database hold these rows and no others, in one transaction that reads them back
// and compares them before it commits. changed is false if it held exactly these already. If it
// held others, may is asked about them first, and its error ends Fill without a change. An
// unknown outcome is reported as by Update; the same Fill again finds out.
func (d *DB) Fill(ctx context.Context, rows Rows, may func(have Rows) error) (changed bool, err error) {
	err = d.updateIn(ctx, fillLimit, func(q Queries) error {
		changed = false
		have, err := q.Rows(ctx)
		if err != nil || have.Equal(rows) {
			return err
		}
		if !have.Empty() {
			if err := may(have); err != nil {
				return err
			}
		}
		if err := q.clear(ctx); err != nil {
			return err
		}
		if err := q.write(ctx, rows); err != nil {
			return err
		}
		changed = true
		back, err := q.Rows(ctx)
		if err == nil && !back.Equal(rows) {
			return &hufu.Error{Op: "compare rows", Kind: hufu.KindIntegrity, Code: "database_differs"}
		}
		return err
	})
	return changed && err == nil, err
}

// clear removes every row, those that name users before the users.
func (q Queries) clear(ctx context.Context) error {
	if _, err := q.change(ctx, "drop attempts", "DELETE FROM attempts"); err != nil {
		return err
	}
	if _, err := q.change(ctx, "drop logins", "DELETE FROM logins"); err != nil {
		return err
	}
	if _, err := q.change(ctx, "drop invitations", "DELETE FROM invitations"); err != nil {
		return err
	}
	if _, err := q.change(ctx, "drop certificates", "DELETE FROM certificates"); err != nil {
		return err
	}
	if _, err := q.change(ctx, "drop devices", "DELETE FROM devices"); err != nil {
		return err
	}
	_, err := q.change(ctx, "drop users", "DELETE FROM users")
	return err
}

func (q Queries) write(ctx context.Context, r Rows) error {
	for _, u := range r.Users {
		if err := q.PutUser(ctx, u); err != nil {
			return err
		}
	}
	for _, d := range r.Devices {
		if err := q.PutDevice(ctx, d); err != nil {
			return err
		}
	}
	for _, c := range r.Certificates {
		if err := q.AddCertificate(ctx, c); err != nil {
			return err
		}
	}
	for _, v := range r.Invitations {
		if err := q.addWholeInvitation(ctx, v); err != nil {
			return err
		}
	}
	for _, l := range r.Logins {
		if err := q.AddLogin(ctx, l); err != nil {
			return err
		}
	}
	for _, a := range r.Attempts {
		if err := q.PutAttempts(ctx, a); err != nil {
			return err
		}
	}
	return nil
}
