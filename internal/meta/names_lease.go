package meta

import (
	"context"
	"time"
)

// Lease reserves the task name for holder, for length by the clock of the database, unless another
// holder has it. It reports whether holder has it now. A slow holder may lose the lease without
// noticing, so two holders at once must do no harm.
func (q NameQueries) Lease(ctx context.Context, name, holder string, length time.Duration) (bool, error) {
	const op = "take lease"
	_, err := q.q.exec(ctx, op, q.q.d.pick(spelled{
		sqlite: `INSERT INTO leases (name, holder, ends) VALUES (?, ?, CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) + ?)
			ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, ends = excluded.ends
			WHERE leases.holder = excluded.holder OR leases.ends <= CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)`,
		// Not CLOCK(): whether the lease of another has ended is judged by the time after the wait for
		// the row. The new end counts from before the wait.
		postgres: `INSERT INTO leases (name, holder, ends) VALUES (?, ?, CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT) + ?)
			ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, ends = excluded.ends
			WHERE leases.holder = excluded.holder OR leases.ends <= CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)`,
		mysql: `INSERT INTO leases (name, holder, ends) VALUES (?, ?, CAST(UNIX_TIMESTAMP(SYSDATE(3)) * 1000 AS SIGNED) + ?)
			ON DUPLICATE KEY UPDATE
			holder = IF(holder = VALUES(holder) OR ends <= CAST(UNIX_TIMESTAMP(SYSDATE(3)) * 1000 AS SIGNED), VALUES(holder), holder),
			ends = IF(holder = VALUES(holder), VALUES(ends), ends)`,
	}), []byte(name), []byte(holder), length.Milliseconds())
	if err != nil {
		return false, err
	}
	has, err := all(ctx, q.q, op, func(s *string) []any { return []any{s} }, "SELECT holder FROM leases WHERE name = ?", []byte(name))
	return len(has) > 0 && has[0] == holder, err
}

// Yield ends the lease on the task name, if holder has it.
func (q NameQueries) Yield(ctx context.Context, name, holder string) error {
	_, err := q.q.exec(ctx, "give lease back", "DELETE FROM leases WHERE name = ? AND holder = ?", []byte(name), []byte(holder))
	return err
}
