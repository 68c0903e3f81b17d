package meta

import (
	"context"
	"time"
)

// Invitation returns the invitation whose secret has this hash.
func (q Queries) Invitation(ctx context.Context, secretHash [32]byte) (Invitation, error) {
	return one(ctx, q, "look up invitation", func(v *Invitation) []any {
		return []any{
			sum{&v.SecretHash}, &v.User, &v.Admin, at{&v.Created}, at{&v.Expires}, at{&v.Used}, sum{&v.UsedSPKI}, &v.UsedSerial,
		}
	}, `SELECT secret_hash, user_name, admin, created_at, expires_at, used_at, used_spki, used_serial
		FROM invitations WHERE secret_hash = ?`, secretHash[:])
}

// Invitations lists all invitations, the newest last.
func (q Queries) Invitations(ctx context.Context) ([]Invitation, error) {
	return all(ctx, q, "list invitations", func(v *Invitation) []any {
		return []any{
			sum{&v.SecretHash}, &v.User, &v.Admin, at{&v.Created}, at{&v.Expires}, at{&v.Used}, sum{&v.UsedSPKI}, &v.UsedSerial,
		}
	}, `SELECT secret_hash, user_name, admin, created_at, expires_at, used_at, used_spki, used_serial
		FROM invitations ORDER BY created_at, secret_hash`)
}

// DropInvitation forgets one invitation.
func (q Queries) DropInvitation(ctx context.Context, secretHash [32]byte) error {
	_, err := q.exec(ctx, "drop invitation", "DELETE FROM invitations WHERE secret_hash = ?", secretHash[:])
	return err
}

// AddInvitation writes a new invitation.
func (q Queries) AddInvitation(ctx context.Context, v Invitation) error {
	_, err := q.exec(ctx, "store invitation", `INSERT INTO invitations (secret_hash, user_name, admin, created_at,
		expires_at, used_at, used_spki, used_serial) VALUES (?, ?, ?, ?, ?, 0, ?, ?)`,
		v.SecretHash[:], v.User, v.Admin, millis(v.Created), millis(v.Expires), []byte{}, "")
	return err
}

// UseInvitation marks an unused invitation as used and reports whether it did:
// of many concurrent callers, one succeeds.
func (q Queries) UseInvitation(ctx context.Context, secretHash, spki [32]byte, serial string, when time.Time) (bool, error) {
	n, err := q.exec(ctx, "use invitation",
		"UPDATE invitations SET used_at = ?, used_spki = ?, used_serial = ? WHERE secret_hash = ? AND used_at = 0",
		millis(when), spki[:], serial, secretHash[:])
	return n == 1, err
}

// DropInvitations forgets a user's invitations.
func (q Queries) DropInvitations(ctx context.Context, user string) error {
	_, err := q.exec(ctx, "drop invitations", "DELETE FROM invitations WHERE user_name = ?", user)
	return err
}

// DropInvitationsBefore forgets the invitations that expired before then.
func (q Queries) DropInvitationsBefore(ctx context.Context, then time.Time) error {
	_, err := q.exec(ctx, "drop invitations", "DELETE FROM invitations WHERE expires_at < ?", millis(then))
	return err
}

// Logins lists all logins.
func (q Queries) Logins(ctx context.Context) ([]Login, error) {
	return all(ctx, q, "list logins", func(l *Login) []any {
		return []any{sum{&l.TokenHash}, &l.Lineage, &l.User, &l.Device, at{&l.Created}, at{&l.LastUsed}}
	}, "SELECT token_hash, lineage, user_name, device, created_at, last_used FROM logins")
}

// AddLogin writes a new login.
func (q Queries) AddLogin(ctx context.Context, l Login) error {
	_, err := q.change(ctx, "store login", `INSERT INTO logins (token_hash, lineage, user_name, device, created_at, last_used)
		VALUES (?, ?, ?, ?, ?, ?)`, l.TokenHash[:], l.Lineage, l.User, l.Device, millis(l.Created), millis(l.LastUsed))
	return err
}

// KeepLogins ends the logins of a device but for the keep that were used last.
func (q Queries) KeepLogins(ctx context.Context, user, device string, keep int) error {
	const op = "drop logins"
	first, err := all(ctx, q, op, func(l *Login) []any { return []any{sum{&l.TokenHash}, at{&l.LastUsed}} },
		`SELECT token_hash, last_used FROM logins WHERE user_name = ? AND device = ?
		ORDER BY last_used DESC, token_hash DESC LIMIT 1 OFFSET ?`, user, device, keep)
	if err != nil || len(first) == 0 {
		return err
	}
	used := millis(first[0].LastUsed)
	_, err = q.change(ctx, op, "DELETE FROM logins WHERE user_name = ? AND device = ? AND (last_used < ? OR last_used = ? AND token_hash <= ?)",
		user, device, used, used, first[0].TokenHash[:])
	return err
}

// TouchLogin notes when a login was last used.
func (q Queries) TouchLogin(ctx context.Context, tokenHash [32]byte, when time.Time) error {
	_, err := q.exec(ctx, "touch login", "UPDATE logins SET last_used = ? WHERE token_hash = ? AND last_used < ?",
		millis(when), tokenHash[:], millis(when))
	return err
}

// DropLogin ends one login.
func (q Queries) DropLogin(ctx context.Context, tokenHash [32]byte) error {
	_, err := q.change(ctx, "drop login", "DELETE FROM logins WHERE token_hash = ?", tokenHash[:])
	return err
}

// DropLogins ends all of a user's logins.
func (q Queries) DropLogins(ctx context.Context, user string) error {
	_, err := q.change(ctx, "drop logins", "DELETE FROM logins WHERE user_name = ?", user)
	return err
}

// DropLoginsBefore ends the logins that were last used before then.
func (q Queries) DropLoginsBefore(ctx context.Context, then time.Time) error {
	_, err := q.change(ctx, "drop logins", "DELETE FROM logins WHERE last_used < ?", millis(then))
	return err
}

// Attempts returns the count under key, or the zero count.
func (q Queries) Attempts(ctx context.Context, key string) (Attempts, error) {
	rows, err := all(ctx, q, "look up attempts", func(a *Attempts) []any {
		return []any{&a.Key, &a.Failures, at{&a.Last}, at{&a.Until}}
	}, "SELECT attempts.key, failures, last_at, until FROM attempts WHERE attempts.key = ?", key)
	if err != nil || len(rows) == 0 {
		return Attempts{Key: key}, err
	}
	return rows[0], nil
}

// PutAttempts writes the whole count.
func (q Queries) PutAttempts(ctx context.Context, a Attempts) error {
	_, err := q.exec(ctx, "store attempts", q.d.upsert(upsert{
		standard: `INSERT INTO attempts (key, failures, last_at, until) VALUES (?, ?, ?, ?)
			ON CONFLICT (key) DO UPDATE SET failures = excluded.failures, last_at = excluded.last_at, until = excluded.until`,
		mysql: "INSERT INTO attempts (`key`, failures, last_at, until) VALUES (?, ?, ?, ?) " +
			"ON DUPLICATE KEY UPDATE failures = VALUES(failures), last_at = VALUES(last_at), until = VALUES(until)",
	}), a.Key, a.Failures, millis(a.Last), millis(a.Until))
	return err
}

// DropAttempts removes the count under key.
func (q Queries) DropAttempts(ctx context.Context, key string) error {
	_, err := q.exec(ctx, "drop attempts", "DELETE FROM attempts WHERE attempts.key = ?", key) // key alone is a word of MySQL
	return err
}

// DropAttemptsBelow removes the count under every key with this prefix.
func (q Queries) DropAttemptsBelow(ctx context.Context, prefix string) error {
	end := successor(prefix)
	if end == "" {
		_, err := q.exec(ctx, "drop attempts", "DELETE FROM attempts WHERE attempts.key >= ?", prefix)
		return err
	}
	_, err := q.exec(ctx, "drop attempts", "DELETE FROM attempts WHERE attempts.key >= ? AND attempts.key < ?", prefix, end)
	return err
}

// successor returns the first string after all that begin with prefix, "" if
// there is none.
func successor(prefix string) string {
	b := []byte(prefix)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] != 0xff {
			b[i]++
			return string(b[:i+1])
		}
	}
	return ""
}
