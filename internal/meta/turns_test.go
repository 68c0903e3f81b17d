package meta

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// A write to SQLite outside a transaction waits for its turn, as an Update does, instead of polling
// for SQLite's lock.
func TestWritesOutsideTransactionsTakeTurns(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "hufu.db")
	must(t, open(t, path).PutUser(t.Context(), User{Name: "alice", Created: moment}))
	synctest.Test(t, func(t *testing.T) {
		d := open(t, path)
		n, err := d.Names()
		must(t, err)
		for what, write := range map[string]func(context.Context) error{
			"row":   func(ctx context.Context) error { return d.DropAttempts(ctx, "k") },
			"names": func(ctx context.Context) error { return n.stamp(ctx, NewID()) },
		} {
			d.writing <- struct{}{}
			over := make(chan error, 1)
			go func() { over <- write(t.Context()) }()
			synctest.Wait()
			if len(over) > 0 {
				t.Errorf("%s: it was not its turn", what)
			}
			<-d.writing
			must(t, <-over)

			d.writing <- struct{}{}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if err := write(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: it waits without its context: %v", what, err)
			}
			cancel()
			<-d.writing
		}
		must(t, n.Close())
	})
}

// After a panic in a transaction, others can write.
func TestPanicInATransaction(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	d := open(t, filepath.Join(t.TempDir(), "hufu.db"))
	n, err := d.Names()
	must(t, err)
	defer func() { must(t, n.Close()) }()
	for what, run := range map[string]func() error{
		"update": func() error { return d.Update(ctx, func(Queries) error { panic("broken") }) },
		"view":   func() error { return d.View(ctx, func(Queries) error { panic("broken") }) },
		"change": func() error { return n.Change(ctx, func(NameQueries) error { panic("broken") }) },
	} {
		func() {
			defer func() { _ = recover() }()
			_ = run()
			t.Errorf("%s: no panic", what)
		}()
		if inUse := d.sql.Stats().InUse + n.sql.Stats().InUse; inUse != 1 { // that of Version
			t.Errorf("%s: %d connections are in use", what, inUse)
		}
		must(t, d.PutUser(ctx, User{Name: what, Created: moment}))
	}
}

// However many rows there are to forget, all go, in pieces.
func TestForgetInPieces(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	d := open(t, filepath.Join(t.TempDir(), "hufu.db"))
	n, err := d.Names()
	must(t, err)
	defer func() { must(t, n.Close()) }()
	const rows = 2*forgetPage + 1
	id, other := NewID(), NewID()
	must(t, n.AddContent(ctx, Content{ID: id, Layout: 1, State: StateRemoved}, Content{ID: other, Layout: 1, State: StateRemoved}))
	for _, content := range []ID{id, other} {
		_, err = d.exec(ctx, "test", `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
			INSERT INTO units SELECT ?, i, x'01', x'02', 0 FROM n`, rows, content)
		must(t, err)
	}
	_, err = d.exec(ctx, "test", `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
		INSERT INTO stamps SELECT CAST(printf('%016d', i) AS BLOB), 1 FROM n`, rows)
	must(t, err)
	must(t, n.ForgetStamps(ctx, time.Hour))
	must(t, n.ForgetContent(ctx, id))
	if left, err := n.CountUnits(ctx, id); err != nil || left != 0 {
		t.Errorf("%d units are left, %v", left, err)
	}
	if left, err := n.CountUnits(ctx, other); err != nil || left != rows {
		t.Errorf("of another content %d units are left, %v", left, err)
	}
	if left, err := one(ctx, d.Queries, "test", func(n *int64) []any { return []any{n} }, "SELECT COUNT(*) FROM stamps"); err != nil || left != 0 {
		t.Errorf("%d stamps are left, %v", left, err)
	}
}
