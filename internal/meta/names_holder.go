package meta

import (
	"context"
	"time"
)

// A process that has an upload open is a holder of it, and has a row that says until when. It is
// known by its grip. What ends an upload that nobody has open passes the grip of its own process,
// which knows by itself what it has open: only the rows of others count.
//
// A holder whose row is over may go on. That does no harm: what it does to an upload that was ended
// meanwhile has no effect, and it notices.

// Hold notes that a process has an upload open, for length by the clock of the database. It reports
// whether there is such an upload.
func (q NameQueries) Hold(ctx context.Context, upload ID, grip string, length time.Duration) (bool, error) {
	n, err := q.q.exec(ctx, "hold upload", q.q.d.pick(spelled{
		sqlite: `INSERT INTO holders (upload, grip, ends) SELECT id, ?, CLOCK() + ? FROM uploads WHERE id = ?
			ON CONFLICT (upload, grip) DO UPDATE SET ends = excluded.ends`,
		// The lock makes it wait for a transaction that ends the upload.
		postgres: `INSERT INTO holders (upload, grip, ends) SELECT id, CAST(? AS BYTEA), CLOCK() + CAST(? AS BIGINT) FROM uploads WHERE id = ? FOR KEY SHARE
			ON CONFLICT (upload, grip) DO UPDATE SET ends = excluded.ends`,
		mysql: `INSERT INTO holders (upload, grip, ends) SELECT id, ?, CLOCK() + ? FROM uploads WHERE id = ? LOCK IN SHARE MODE
			ON DUPLICATE KEY UPDATE ends = VALUES(ends)`,
	}), []byte(grip), length.Milliseconds(), upload)
	return n > 0, err
}

// Extend is Hold for uploads that the process holds already.
func (q NameQueries) Extend(ctx context.Context, grip string, length time.Duration, uploads ...ID) error {
	_, err := q.execIDs(ctx, "hold uploads", "UPDATE holders SET ends = CLOCK() + ? WHERE grip = ? AND upload IN ({?})", uploads, length.Milliseconds(), []byte(grip))
	return err
}

// LetGo notes that a process has closed an upload.
func (q NameQueries) LetGo(ctx context.Context, upload ID, grip string) error {
	_, err := q.q.exec(ctx, "let upload go", "DELETE FROM holders WHERE upload = ? AND grip = ?", upload, []byte(grip))
	return err
}

// HeldInto reports whether another process has an upload into a folder open.
func (q NameQueries) HeldInto(ctx context.Context, folder ID, grip string) (bool, error) {
	n, err := one(ctx, q.q, "look up holders", func(n *int64) []any { return []any{n} },
		"SELECT COUNT(*) FROM uploads u JOIN holders h ON h.upload = u.id WHERE u.into_folder = ? AND h.grip <> ? AND h.ends > CLOCK()", folder, []byte(grip))
	return n > 0, err
}

// lockUpload makes a process that is about to hold an upload wait until the transaction ends.
func (q NameQueries) lockUpload(ctx context.Context, id ID) error {
	_, err := all(ctx, q.q, "lock upload", idColumn, q.q.d.pick(spelled{
		sqlite:   "SELECT id FROM uploads WHERE id = ?",
		postgres: "SELECT id FROM uploads WHERE id = ? FOR UPDATE",
		mysql:    "SELECT id FROM uploads WHERE id = ? FOR UPDATE",
	}), id)
	return err
}

// The next methods forget an upload, unless another process has it open, and report whether they
// did. They are part of a transaction, and each locks the upload first, so it sees every holder.

// DropUnheld forgets an upload.
func (q NameQueries) DropUnheld(ctx context.Context, id ID, grip string) (bool, error) {
	if err := q.lockUpload(ctx, id); err != nil {
		return false, err
	}
	n, err := q.q.exec(ctx, "drop upload", `DELETE FROM uploads WHERE id = ?
		AND NOT EXISTS (SELECT 1 FROM holders h WHERE h.upload = uploads.id AND h.grip <> ? AND h.ends > CLOCK())`, id, []byte(grip))
	return n == 1, err
}

// DropUnbegun forgets an upload of which nothing has arrived.
func (q NameQueries) DropUnbegun(ctx context.Context, id ID, grip string) (bool, error) {
	if err := q.lockUpload(ctx, id); err != nil {
		return false, err
	}
	n, err := q.q.exec(ctx, "drop upload", `DELETE FROM uploads WHERE id = ? AND into_folder = ?
		AND NOT EXISTS (SELECT 1 FROM holders h WHERE h.upload = uploads.id AND h.grip <> ? AND h.ends > CLOCK())`, id, ID{}, []byte(grip))
	return n == 1, err
}

// DropIdle forgets an upload to which nothing was added for a time.
func (q NameQueries) DropIdle(ctx context.Context, id ID, grip string, idle time.Duration) (bool, error) {
	if err := q.lockUpload(ctx, id); err != nil {
		return false, err
	}
	n, err := q.q.exec(ctx, "expire upload", `DELETE FROM uploads WHERE id = ? AND opened_at < CLOCK() - ?
		AND NOT EXISTS (SELECT 1 FROM units t WHERE t.content = uploads.id AND t.added_at >= CLOCK() - ?)
		AND NOT EXISTS (SELECT 1 FROM holders h WHERE h.upload = uploads.id AND h.grip <> ? AND h.ends > CLOCK())`,
		id, idle.Milliseconds(), idle.Milliseconds(), []byte(grip))
	return n == 1, err
}

// Progress returns the state of an upload's content and how many of its units have arrived. The
// state is 0 if there is no such content.
func (q NameQueries) Progress(ctx context.Context, id ID) (state int, units int64, err error) {
	type progress struct {
		state int
		units int64
	}
	found, err := all(ctx, q.q, "look at upload", func(p *progress) []any { return []any{&p.state, &p.units} },
		"SELECT c.state, (SELECT COUNT(*) FROM units t WHERE t.content = c.id) FROM contents c WHERE c.id = ?", id)
	if err != nil || len(found) == 0 {
		return 0, 0, err
	}
	return found[0].state, found[0].units, nil
}
