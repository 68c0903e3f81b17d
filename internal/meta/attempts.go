package meta

import "context"

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
