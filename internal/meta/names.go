package meta

import (
	"context"
	"database/sql"
	"errors"
	mathrand "math/rand/v2"
	"time"

	"hufu"
)

// The bounds of Names. Many lanes change names at once, so names have connections of their own.
const (
	namesConnections = 32
	settleLimit      = 15 * time.Second // longer than a frozen transaction can last: see idleLimit
)

// Names is the part of a database that holds the names, uploads and units of a store whose bytes
// are objects. It has connections of its own. It may be used by many goroutines.
type Names struct {
	NameQueries
	sql     *sql.DB
	writing chan struct{} // of SQLite: shared with the DB
}

// Names opens the names of the database. Close them before the DB.
func (d *DB) Names() (*Names, error) {
	db, di, err := d.src.openFor(serving)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(namesConnections)
	db.SetMaxIdleConns(namesConnections)
	n := &Names{NameQueries: NameQueries{Queries{run: db, d: di}}, sql: db, writing: d.writing}
	if !di.shared {
		n.q.turn = d.writing
	}
	return n, nil
}

// Close gives the connections back.
func (n *Names) Close() error {
	if err := n.sql.Close(); err != nil {
		return failed("close names", err)
	}
	return nil
}

// Shared reports whether other processes may change the names, too.
func (n *Names) Shared() bool { return n.q.d.shared }

// NameQueries is every question about names and every change of them, on the database or within
// one transaction.
type NameQueries struct{ q Queries }

// Change runs fn in one writing transaction, which is durable when Change returns nil and without
// effect otherwise, with one exception below. The transaction is READ COMMITTED: each statement
// sees what is committed when it begins. So fn must lock what its result depends on before it reads
// it, in this order:
//
//   - LockTree, if a folder moves
//   - LockFolder, by ascending id
//   - LockContent, of an upload
//
// fn may run more than once, as in DB.Update. It gives the statements a context of its own. If ctx
// ends while fn runs, the transaction stays open, for at most updateLimit, so that fn can still
// commit what it has done.
//
// If the answer to COMMIT is lost, Change asks the database whether the transaction is in. Only if
// that cannot be found out either, the error has the code database_unsure, and nothing may be
// concluded from it.
func (n *Names) Change(ctx context.Context, fn func(NameQueries) error) error {
	return n.ChangeIf(ctx, fn, nil)
}

// ChangeIf is Change with a last check: on a shared database it calls admit, if not nil, after the
// last statement and right before COMMIT; an error of admit rolls the change back. So a process
// that was frozen during fn notices what has changed.
//
// No Update that raises the version commits between admit and the end of COMMIT, so what admit has
// found still holds when the change becomes visible. Such an Update waits for idleLimit at most: then
// the database ends the transaction of a frozen process. admit uses no connection of the
// names and makes no Update.
func (n *Names) ChangeIf(ctx context.Context, fn func(NameQueries) error, admit func(context.Context) error) error {
	if !n.Shared() { // as in DB.Update: SQLite only polls for its lock
		release, err := takeTurn(ctx, "begin transaction", n.writing)
		if err != nil {
			return err
		}
		defer release()
	}
	return again(ctx, func() error { return n.try(ctx, fn, admit) })
}

// again runs a transaction. If it fails for a reason that passes, again repeats it, at most maxTries
// times and not after retryFor.
func again(ctx context.Context, run func() error) error {
	for start, try := time.Now(), 1; ; try++ {
		err := run()
		if try == maxTries || time.Since(start) > retryFor || !passing(err) && !errors.Is(err, errNotIn) {
			return err
		}
		select {
		case <-time.After(mathrand.N(min(10*time.Millisecond<<try, 500*time.Millisecond))): //nolint:gosec // not a secret
		case <-ctx.Done():
			return err
		}
	}
}

func (n *Names) try(ctx context.Context, fn func(NameQueries) error, admit func(context.Context) error) error {
	conn, err := n.sql.Conn(ctx)
	if err != nil {
		return failed("begin transaction", err)
	}
	defer func() { _ = conn.Close() }() // back to the pool
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), updateLimit)
	defer cancel()
	var o *sql.TxOptions
	if n.Shared() {
		o = &sql.TxOptions{Isolation: sql.LevelReadCommitted}
	}
	tx, err := conn.BeginTx(limit, o)
	if err != nil {
		return failed("begin transaction", err)
	}
	defer func() { _ = tx.Rollback() }() // if fn panics; otherwise it has ended by then
	q, stamp := NameQueries{Queries{run: tx, d: n.q.d}}, NewID()
	err = fn(q)
	switch {
	case err != nil || !n.Shared():
	case admit == nil:
		err = q.stamp(limit, stamp)
	default:
		if err = q.stampAdmitted(limit, stamp); err == nil {
			err = admit(limit)
		}
	}
	if err != nil {
		_ = tx.Rollback() // the database rolls back when the connection ends, at the latest
		return err
	}
	if err := commit(limit, tx); err != nil {
		err = notCommitted(n.q.d, err)
		if hufu.CodeOf(err) == "database_unsure" {
			// settle takes a connection. If many break at once, each would wait for those of the others.
			_ = conn.Close()
			return n.settle(ctx, stamp, err)
		}
		return err
	}
	return nil
}

// stamp leaves the id of a transaction.
func (q NameQueries) stamp(ctx context.Context, id ID) error {
	_, err := q.q.exec(ctx, "stamp transaction", "INSERT INTO stamps (id, made_at) VALUES (?, CLOCK())", id)
	return err
}

// stampAdmitted is stamp for a new id. It also takes the lock under which the version is raised, shared
// with others that stamp. PostgreSQL and MariaDB let those who wait have their turns in order, so
// nobody who raises the version waits for more than those before them; MySQL 8 prefers those for whom
// others wait, within bounds.
func (q NameQueries) stampAdmitted(ctx context.Context, id ID) error {
	const op = "stamp transaction"
	n, err := q.q.exec(ctx, op, q.q.d.pick(spelled{
		postgres: "INSERT INTO stamps (id, made_at) SELECT CAST(? AS BYTEA), CLOCK() FROM pg_advisory_xact_lock_shared(1752524405)",
		mysql:    "INSERT INTO stamps (id, made_at) SELECT ?, CLOCK() FROM installation WHERE id = 1 LOCK IN SHARE MODE",
	}), id)
	if err == nil && n != 1 {
		err = &hufu.Error{Op: op, Kind: hufu.KindIntegrity, Code: "database_corrupt"} // no installation
	}
	return err
}

// settle finds out whether the transaction of stamp was committed, and returns nil if it was. It
// inserts the same stamp. The insert waits while the transaction is open. If it succeeds, the
// transaction was rolled back and can no longer commit; if the stamp is there, it was committed.
// The stamps of settle have a time below zero: if the answer to one is lost, the next try tells it
// from the stamp of the transaction.
func (n *Names) settle(ctx context.Context, stamp ID, unsure error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleLimit)
	defer cancel()
	for {
		in, err := n.isIn(ctx, stamp)
		switch {
		case err == nil && !in:
			return &hufu.Error{Op: "commit transaction", Kind: hufu.KindUnavailable, Code: "database_busy", Err: errors.Join(errNotIn, unsure)}
		case err == nil:
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return unsure
		}
	}
}

// isIn reports whether the transaction of stamp was committed. If not, it can no longer be.
func (q NameQueries) isIn(ctx context.Context, stamp ID) (bool, error) {
	const op = "look up stamp"
	n, err := q.q.execNew(ctx, op, "INSERT INTO stamps (id, made_at) VALUES (?, -CLOCK())", stamp)
	if err != nil || n == 1 {
		return false, err
	}
	at, err := one(ctx, q.q, op, func(at *int64) []any { return []any{at} }, "SELECT made_at FROM stamps WHERE id = ?", stamp)
	return at > 0, err
}

var errNotIn = errors.New("the transaction is not in")

// Clock returns the time by the clock of the database.
func (q NameQueries) Clock(ctx context.Context) (time.Time, error) {
	at, err := one(ctx, q.q, "look at clock", func(n *int64) []any { return []any{n} }, "SELECT CLOCK()")
	return time.UnixMilli(at), err
}
