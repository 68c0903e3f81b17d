// Package meta owns the SQL database: users, devices, certificates, invitations, logins, failed
// attempts, the servers that share it, and the names of a store whose bytes are objects; the files
// of a disk have no row. The database is a file of SQLite, or one of PostgreSQL, MySQL or MariaDB
// that many servers share. It promises that every value reaches the database as a bound parameter,
// that a transaction that returned is durable, that the same calls mean the same on each database,
// and that a change of users, devices, certificates or logins by another process is noticed by
// Version. The meaning of the rows, and who may change them and when, is left to its callers. It is
// the only package that uses database/sql; package metatest tests these promises.
package meta

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"hufu"
)

// The bounds of a shared database. A server that is frozen in the middle of a
// transaction holds up the others for idleLimit at most.
const (
	connectLimit   = 5 * time.Second
	lockLimit      = 5 * time.Second
	idleLimit      = 5 * time.Second
	statementLimit = 10 * time.Second
	updateLimit    = 30 * time.Second
	versionLimit   = 2 * time.Second // of a question that is asked all the time
	maxConnections = 8
)

// An Update is run at most maxTries times, and not again once retryFor has
// passed.
const (
	maxTries = 20
	retryFor = 5 * time.Second
)

// DB is one open database. It may be used by many goroutines.
type DB struct {
	Queries
	src     Source
	sql     *sql.DB
	writing chan struct{} // holds one while this process runs an Update, or on SQLite changes anything

	mu    sync.Mutex // guards watch
	watch *sql.Conn  // of SQLite: never writes, so its data_version counts everyone's changes
}

// Open opens a database and brings its tables up to date. Many processes may do so at once.
// A file of SQLite is made with mode 0600 if there is none. A database written by
// a newer hufud is refused. So is a file on a read-only file system, with the code
// data_folder_read_only.
func Open(ctx context.Context, src Source) (*DB, error) {
	if !src.Shared() {
		if err := touch(src.file); err != nil {
			return nil, err
		}
	}
	return connect(ctx, src, serving, func(ctx context.Context, db *sql.DB, d *dialect) error { return migrate(ctx, src, db, d) })
}

// OpenReadOnly opens a file of SQLite on a file system that is read-only. Every
// change fails. A shared database is opened as by Open.
func OpenReadOnly(ctx context.Context, src Source) (*DB, error) {
	if src.Shared() {
		return Open(ctx, src)
	}
	return connect(ctx, src, reading, func(ctx context.Context, db *sql.DB, d *dialect) error {
		p, newest, err := provider(db, d)
		if err != nil {
			return err
		}
		have, err := p.GetDBVersion(ctx)
		switch {
		case err != nil:
			return failed("open database", err)
		case have > newest:
			return tooNew()
		case have < newest: // its tables would have to be changed
			return &hufu.Error{Op: "open database", Path: src.file, Kind: hufu.KindUnreadable, Code: "data_folder_read_only"}
		}
		return nil
	})
}

func connect(ctx context.Context, src Source, p purpose, prepare func(context.Context, *sql.DB, *dialect) error) (*DB, error) {
	db, d, err := src.openFor(p)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(maxConnections)
	db.SetMaxIdleConns(maxConnections)
	if err := prepare(ctx, db, d); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	out := &DB{src: src, sql: db, writing: make(chan struct{}, 1)}
	out.Queries = Queries{run: db, d: d, db: out}
	if !d.shared {
		out.turn = out.writing
	}
	if !d.shared {
		if out.watch, err = db.Conn(ctx); err != nil {
			return nil, errors.Join(failed("open database", err), db.Close())
		}
	}
	return out, nil
}

// Close gives the database back.
func (d *DB) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var err error
	if d.watch != nil {
		err = d.watch.Close()
	}
	if err := errors.Join(err, d.sql.Close()); err != nil {
		return failed("close database", err)
	}
	return nil
}

// Shared reports whether servers on other computers may use the database, too.
func (d *DB) Shared() bool { return d.d.shared }

// Version is a state of users, devices, certificates and logins. Two are equal
// if nothing has changed between them.
type Version struct {
	counter int64
	random  [16]byte // a restored backup repeats counters
}

// Before reports whether v is an older state than other, which was read first. A shared database has
// an older state only after it was restored from a backup.
func (v Version) Before(other Version) bool {
	return v.counter <= other.counter && v.random != other.random
}

// Version returns the current version. It changes with every change of a user, device,
// certificate or login by anybody, in this process or another, except the time of a login's last
// use; on SQLite with every other change, too. It costs microseconds on SQLite and a round trip on a
// shared database. There it waits at most connectLimit for a connection, and then versionLimit for
// the answer.
func (d *DB) Version(ctx context.Context) (Version, error) {
	v, _, err := d.VersionAt(ctx)
	return v, err
}

// VersionAt is Version with the time by the clock of the database, in milliseconds since 1970.
func (d *DB) VersionAt(ctx context.Context) (v Version, at int64, err error) {
	const op = "ask for the database's version"
	if d.watch == nil {
		// Opening a connection takes several round trips and has its own limit. Under versionLimit,
		// opening one to a distant server would be cut off and begun again each time.
		conn, err := d.connection(ctx)
		if err != nil {
			return Version{}, 0, failed(op, err)
		}
		defer func() { _ = conn.Close() }() // back to the others
		ctx, cancel := context.WithTimeout(ctx, versionLimit)
		defer cancel()
		v, err = one(ctx, Queries{run: conn, d: d.d}, op, func(v *Version) []any { return []any{&v.counter, random{&v.random}, &at} },
			"SELECT counter, random, CLOCK() FROM epoch WHERE id = 1")
		return v, at, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	at = now()
	if err := d.watch.QueryRowContext(ctx, "PRAGMA data_version").Scan(&v.counter); err != nil {
		return Version{}, 0, failed(op, err)
	}
	return v, at, nil
}

// connection returns one of the pool, at the latest after connectLimit.
func (d *DB) connection(ctx context.Context) (*sql.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	return d.sql.Conn(ctx)
}

// Update runs fn in one writing transaction, SERIALIZABLE, which is durable when
// Update returns nil and without effect otherwise, with one exception below. The
// Updates of all processes take turns.
//
// fn may be run more than once: after a deadlock, a serialization failure, or
// while the database is busy, the whole of it is run again, within bounds. It
// must set what it returns to its caller, never add to it, and do nothing that
// only the first run may do.
//
// If the connection to a shared database breaks during COMMIT, it is unknown whether the
// transaction was committed. Update does not repeat it but returns the code database_unsure, of
// KindUnavailable. Every caller must tolerate both outcomes: the change can be repeated (enrolling
// and renewing by the same key, locking, revoking), or repeating it says that it was made (adding or
// removing a user, adding a certificate), or it left something useless (an invitation or a login
// whose secret was not told), or it errs on the safe side (a guess at a password that counts twice).
func (d *DB) Update(ctx context.Context, fn func(Queries) error) error {
	return d.updateIn(ctx, updateLimit, fn)
}

// updateIn is Update; one run on a shared database may take until limit.
func (d *DB) updateIn(ctx context.Context, limit time.Duration, fn func(Queries) error) error {
	// SQLite only polls for its lock: on a slow disk one of many waiters might never get it within
	// busyTimeout. On a shared database each waiter would occupy a connection of the pool.
	release, err := takeTurn(ctx, "begin transaction", d.writing)
	if err != nil {
		return err
	}
	defer release()
	return again(ctx, func() error { return d.update(ctx, limit, fn) })
}

func (d *DB) update(ctx context.Context, limit time.Duration, fn func(Queries) error) error {
	if !d.d.shared {
		return d.tx(ctx, nil, fn)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return d.tx(ctx, &sql.TxOptions{Isolation: sql.LevelSerializable}, func(q Queries) error {
		// Without turns, two Updates that read and then write the same row could both read it before
		// either writes, and one of them would have to begin again.
		if _, err := q.exec(ctx, "take turns", d.d.turn); err != nil {
			return err
		}
		if err := fn(q); err != nil || !*q.raise {
			return err
		}
		// Those in stampAdmitted come first. PostgreSQL has a lock for this alone: those who share a
		// row's lock would all write to that row. MySQL has the row of the installation, which is not
		// the one of the turn: so only an Update that raises the version holds them up.
		if _, err := q.exec(ctx, "raise version", d.d.pick(spelled{
			postgres: "SELECT pg_advisory_xact_lock(1752524405)",
			mysql:    "SELECT id FROM installation WHERE id = 1 FOR UPDATE",
		})); err != nil {
			return err
		}
		var fresh [16]byte
		_, _ = rand.Read(fresh[:]) // never fails
		_, err := q.exec(ctx, "raise version", "UPDATE epoch SET counter = counter + 1, random = ? WHERE id = 1", fresh[:])
		return err
	})
}

// View runs fn on one consistent state of the database. What fn has read counts, however the
// transaction ends.
func (d *DB) View(ctx context.Context, fn func(Queries) error) error {
	o := &sql.TxOptions{ReadOnly: true}
	if d.d.shared {
		o.Isolation = sql.LevelRepeatableRead
	}
	tx, err := d.sql.BeginTx(ctx, o)
	if err != nil {
		return failed("begin transaction", err)
	}
	defer func() { _ = tx.Rollback() }() // it has changed nothing
	return fn(Queries{run: tx, d: d.d, raise: new(bool)})
}

func (d *DB) tx(ctx context.Context, o *sql.TxOptions, fn func(Queries) error) error {
	tx, err := d.sql.BeginTx(ctx, o)
	if err != nil {
		return failed("begin transaction", err)
	}
	defer func() { _ = tx.Rollback() }() // if fn panics; otherwise it has ended by then
	if err := fn(Queries{run: tx, d: d.d, raise: new(bool)}); err != nil {
		if back := tx.Rollback(); back != nil && !errors.Is(back, sql.ErrTxDone) && !d.d.shared {
			return errors.Join(err, failed("roll back transaction", back))
		}
		return err // a failed rollback is not reported: the database rolls back when the connection ends
	}
	if err := commit(ctx, tx); err != nil {
		return notCommitted(d.d, err)
	}
	return nil
}

// errNotSent is the error of a COMMIT that was not sent.
var errNotSent = errors.New("the context had ended before")

// commit commits tx, unless ctx has ended: an error of a context alone does not say whether COMMIT
// was sent.
func commit(ctx context.Context, tx *sql.Tx) error {
	if err := ctx.Err(); err != nil {
		return errors.Join(errNotSent, err)
	}
	return tx.Commit() //nolint:wrapcheck // notCommitted does
}

// notCommitted distinguishes a COMMIT that certainly failed, or was not sent, from one that may have
// succeeded.
func notCommitted(d *dialect, err error) error {
	const op = "commit transaction"
	refused := classify(err) == classAgain || errors.Is(err, sql.ErrTxDone) || rolledBack(err)
	unsent := errors.Is(err, errNotSent) || pgconn.SafeToRetry(err)
	if !d.shared || refused || unsent {
		return failed(op, err)
	}
	return &hufu.Error{Op: op, Kind: hufu.KindUnavailable, Code: "database_unsure", Err: err}
}

// now is the time by the clock of this computer, in milliseconds.
func now() int64 { return time.Now().UnixMilli() }
