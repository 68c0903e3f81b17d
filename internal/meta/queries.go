package meta

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"hufu"
)

var errSum = errors.New("not a digest of 32 bytes")

// Queries holds the questions and changes about users, certificates, logins and nodes, on the database
// or within one transaction; NameQueries holds those about names. Each statement is one of a fixed
// set, and each value a bound parameter: no text from outside ever becomes part of a statement.
type Queries struct {
	run   runner
	d     *dialect
	db    *DB           // for a change outside a transaction, which needs an Update
	turn  chan struct{} // of SQLite, outside a transaction: see updateIn
	raise *bool         // within a transaction: set when the version is to be raised
}

type runner interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// exec runs a change and returns how many rows it touched.
func (q Queries) exec(ctx context.Context, op, query string, args ...any) (int64, error) {
	if q.turn != nil {
		release, err := takeTurn(ctx, op, q.turn)
		if err != nil {
			return 0, err
		}
		defer release()
	}
	ctx, cancel := q.bounded(ctx)
	defer cancel()
	r, err := q.run.ExecContext(ctx, q.d.spell(query), q.d.bind(args)...)
	if err != nil {
		return 0, failed(op, cause(ctx, err))
	}
	n, err := r.RowsAffected()
	if err != nil {
		return 0, failed(op, err)
	}
	return n, nil
}

// takeTurn waits until no other goroutine writes.
func takeTurn(ctx context.Context, op string, writing chan struct{}) (release func(), err error) {
	select {
	case writing <- struct{}{}:
		return func() { <-writing }, nil
	case <-ctx.Done():
		return nil, failed(op, ctx.Err())
	}
}

// execNew is exec for an INSERT of one row, without effect if its key is there. On MySQL the error for a
// duplicate key, which undoes the statement alone, says so: INSERT IGNORE would also store the beginning
// of a value that is too long.
func (q Queries) execNew(ctx context.Context, op, insert string, args ...any) (int64, error) {
	if !q.d.mysql {
		return q.exec(ctx, op, insert+" ON CONFLICT DO NOTHING", args...)
	}
	n, err := q.exec(ctx, op, insert, args...)
	if duplicate(err) {
		return 0, nil
	}
	return n, err
}

// change is exec for what servers keep in memory: in the same transaction it
// raises the version of a shared database. SQLite counts changes by itself.
func (q Queries) change(ctx context.Context, op, query string, args ...any) (n int64, err error) {
	if q.raise == nil && q.d.shared {
		err = q.db.Update(ctx, func(q Queries) error {
			n, err = q.change(ctx, op, query, args...)
			return err
		})
		return n, err
	}
	n, err = q.exec(ctx, op, query, args...)
	if n > 0 && q.raise != nil {
		*q.raise = true
	}
	return n, err
}

// put is change for a row that is new or not.
func (q Queries) put(ctx context.Context, op string, u upsert, args ...any) error {
	_, err := q.change(ctx, op, q.d.upsert(u), args...)
	return err
}

// bounded limits one statement, also where the server is gone and answers
// nothing.
func (q Queries) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if !q.d.shared {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, statementLimit)
}

// cause returns the error of ctx if a transaction had ended because ctx did.
func cause(ctx context.Context, err error) error {
	if errors.Is(err, sql.ErrTxDone) && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// all reads every row of a question; columns returns where its columns go.
func all[T any](ctx context.Context, q Queries, op string, columns func(*T) []any, query string, args ...any) ([]T, error) {
	ctx, cancel := q.bounded(ctx)
	defer cancel()
	rows, err := q.run.QueryContext(ctx, q.d.spell(query), q.d.bind(args)...)
	if err != nil {
		return nil, failed(op, cause(ctx, err))
	}
	defer func() { _ = rows.Close() }() // Err returns the error that Close would
	var out []T
	for rows.Next() {
		var t T
		if err := rows.Scan(columns(&t)...); err != nil {
			return nil, failed(op, err)
		}
		out = append(out, t)
	}
	if err := rows.Err(); err != nil {
		return nil, failed(op, err)
	}
	return out, nil
}

// one returns the only row of a question, KindNotFound if there is none.
func one[T any](ctx context.Context, q Queries, op string, columns func(*T) []any, query string, args ...any) (T, error) {
	rows, err := all(ctx, q, op, columns, query, args...)
	if err != nil {
		return *new(T), err
	}
	if len(rows) == 0 {
		return *new(T), &hufu.Error{Op: op, Kind: hufu.KindNotFound}
	}
	return rows[0], nil
}

// Used reports whether the database has a user or a certificate.
func (q Queries) Used(ctx context.Context) (bool, error) {
	found, err := all(ctx, q, "look at database", func(n *int64) []any { return []any{n} },
		"SELECT 1 FROM users UNION ALL SELECT 1 FROM certificates LIMIT 1")
	return len(found) > 0, err
}

func userColumns(u *User) []any {
	return []any{&u.Name, &u.Admin, &u.Password, at{&u.Created}, at{&u.Locked}, at{&u.Removed}}
}

// Users lists all users, the removed ones too, by name.
func (q Queries) Users(ctx context.Context) ([]User, error) {
	return all(ctx, q, "list users", userColumns,
		"SELECT name, admin, password, created_at, locked_at, removed_at FROM users ORDER BY name")
}

// User returns the user of this name, removed or not.
func (q Queries) User(ctx context.Context, name string) (User, error) {
	return one(ctx, q, "look up user", userColumns,
		"SELECT name, admin, password, created_at, locked_at, removed_at FROM users WHERE name = ?", name)
}

// PutUser writes the whole user, new or not.
func (q Queries) PutUser(ctx context.Context, u User) error {
	return q.put(ctx, "store user", upsert{
		standard: `INSERT INTO users (name, admin, password, created_at, locked_at, removed_at)
			VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET admin = excluded.admin, password = excluded.password,
			created_at = excluded.created_at, locked_at = excluded.locked_at, removed_at = excluded.removed_at`,
		mysql: `INSERT INTO users (name, admin, password, created_at, locked_at, removed_at)
			VALUES (?, ?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE admin = VALUES(admin), password = VALUES(password),
			created_at = VALUES(created_at), locked_at = VALUES(locked_at), removed_at = VALUES(removed_at)`,
	}, u.Name, u.Admin, u.Password, millis(u.Created), millis(u.Locked), millis(u.Removed))
}

// Devices lists the devices that were ever locked, whether they still are or not.
func (q Queries) Devices(ctx context.Context) ([]Device, error) {
	return all(ctx, q, "list devices", func(d *Device) []any { return []any{&d.User, &d.Name, at{&d.Locked}} },
		"SELECT user_name, name, locked_at FROM devices")
}

// Device returns a device that was ever locked, and the zero Device for any other.
func (q Queries) Device(ctx context.Context, user, name string) (Device, error) {
	found, err := all(ctx, q, "look up device", func(d *Device) []any { return []any{&d.User, &d.Name, at{&d.Locked}} },
		"SELECT user_name, name, locked_at FROM devices WHERE user_name = ? AND name = ?", user, name)
	if err != nil || len(found) == 0 {
		return Device{}, err
	}
	return found[0], nil
}

// PutDevice writes the whole device, new or not.
func (q Queries) PutDevice(ctx context.Context, d Device) error {
	return q.put(ctx, "store device", upsert{
		standard: `INSERT INTO devices (user_name, name, locked_at) VALUES (?, ?, ?)
			ON CONFLICT (user_name, name) DO UPDATE SET locked_at = excluded.locked_at`,
		mysql: `INSERT INTO devices (user_name, name, locked_at) VALUES (?, ?, ?)
			ON DUPLICATE KEY UPDATE locked_at = VALUES(locked_at)`,
	}, d.User, d.Name, millis(d.Locked))
}

// DropDevices forgets the locks on a user's devices.
func (q Queries) DropDevices(ctx context.Context, user string) error {
	_, err := q.change(ctx, "drop devices", "DELETE FROM devices WHERE user_name = ?", user)
	return err
}

func certificateColumns(c *Certificate) []any {
	return []any{
		&c.Serial,
		sum{&c.Fingerprint},
		&c.Lineage,
		sum{&c.SPKI},
		&c.Use, &c.User, &c.Device,
		at{&c.NotBefore},
		at{&c.NotAfter},
		at{&c.Issued},
		at{&c.Revoked},
		&c.Reason,
	}
}

// Certificates lists all certificates, oldest first, without their bytes.
func (q Queries) Certificates(ctx context.Context) ([]Certificate, error) {
	return all(ctx, q, "list certificates", certificateColumns,
		`SELECT serial, fingerprint, lineage, spki, cert_use, user_name, device, not_before, not_after, issued_at,
		revoked_at, reason FROM certificates ORDER BY issued_at, serial`)
}

// Certificate returns the certificate of this serial, without its bytes.
func (q Queries) Certificate(ctx context.Context, serial string) (Certificate, error) {
	return one(ctx, q, "look up certificate", certificateColumns,
		`SELECT serial, fingerprint, lineage, spki, cert_use, user_name, device, not_before, not_after, issued_at,
		revoked_at, reason FROM certificates WHERE serial = ?`, serial)
}

// DeviceCertificates lists the certificates of one device, oldest first.
func (q Queries) DeviceCertificates(ctx context.Context, user, device string) ([]Certificate, error) {
	return all(ctx, q, "list certificates", certificateColumns,
		`SELECT serial, fingerprint, lineage, spki, cert_use, user_name, device, not_before, not_after, issued_at,
		revoked_at, reason FROM certificates WHERE user_name = ? AND device = ? ORDER BY issued_at, serial`, user, device)
}

// UserCertificates lists the certificates of a user that are not revoked, oldest first.
func (q Queries) UserCertificates(ctx context.Context, user string) ([]Certificate, error) {
	return all(ctx, q, "list certificates", certificateColumns,
		`SELECT serial, fingerprint, lineage, spki, cert_use, user_name, device, not_before, not_after, issued_at,
		revoked_at, reason FROM certificates WHERE user_name = ? AND revoked_at = 0 ORDER BY issued_at, serial`, user)
}

// NewestIssued returns when the certificate of a user was issued that n others, revoked or not, are
// newer than or as new as, and the zero time if there is none.
func (q Queries) NewestIssued(ctx context.Context, user string, n int) (time.Time, error) {
	found, err := all(ctx, q, "look up certificates", func(t *time.Time) []any { return []any{at{t}} },
		"SELECT issued_at FROM certificates WHERE user_name = ? ORDER BY issued_at DESC LIMIT 1 OFFSET ?", user, n)
	if err != nil || len(found) == 0 {
		return time.Time{}, err
	}
	return found[0], nil
}

// CertificateDER returns the bytes of the certificate of this serial.
func (q Queries) CertificateDER(ctx context.Context, serial string) ([]byte, error) {
	return one(ctx, q, "read certificate", func(b *[]byte) []any { return []any{b} },
		"SELECT der FROM certificates WHERE serial = ?", serial)
}

// AddCertificate writes a new certificate; a serial that is there already is an
// error.
func (q Queries) AddCertificate(ctx context.Context, c Certificate) error {
	_, err := q.change(ctx, "store certificate", `INSERT INTO certificates (serial, fingerprint, lineage, spki, cert_use,
		user_name, device, not_before, not_after, issued_at, revoked_at, reason, der)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		c.Serial, c.Fingerprint[:], c.Lineage, c.SPKI[:], c.Use, c.User, c.Device, millis(c.NotBefore), millis(c.NotAfter),
		millis(c.Issued), millis(c.Revoked), c.Reason, c.DER)
	return err
}

// Revoke marks a certificate that is not yet revoked, and reports whether it
// did.
func (q Queries) Revoke(ctx context.Context, serial, reason string, when time.Time) (bool, error) {
	n, err := q.change(ctx, "revoke certificate",
		"UPDATE certificates SET revoked_at = ?, reason = ? WHERE serial = ? AND revoked_at = 0", millis(when), reason, serial)
	return n > 0, err
}

// RevokeUser marks all of a user's certificates and says how many.
func (q Queries) RevokeUser(ctx context.Context, user, reason string, when time.Time) (int64, error) {
	return q.change(ctx, "revoke certificates",
		"UPDATE certificates SET revoked_at = ?, reason = ? WHERE user_name = ? AND revoked_at = 0", millis(when), reason, user)
}

// RevokeDevice marks all certificates of one device and says how many.
func (q Queries) RevokeDevice(ctx context.Context, user, device, reason string, when time.Time) (int64, error) {
	return q.change(ctx, "revoke certificates",
		"UPDATE certificates SET revoked_at = ?, reason = ? WHERE user_name = ? AND device = ? AND revoked_at = 0",
		millis(when), reason, user, device)
}
