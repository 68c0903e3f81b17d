package meta

import (
	"context"
	"time"
)

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
