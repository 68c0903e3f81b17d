// Package meta owns the SQL database: users, certificates, invitations, logins
// and failed attempts, never a row for a file. It promises that every value
// reaches the database as a bound parameter, that a transaction that returned
// is on the disk, and that a change made by another process is noticed by
// DataVersion. The meaning of the rows, and who may change them and when, is
// left to its callers. It is the only package that uses database/sql.
package meta

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"hufu"
)

//go:embed migrations/*.sql
var migrations embed.FS

// busyTimeout is how long a statement waits for another process's write
// transaction before it fails with "try again".
const busyTimeout = 10 * time.Second

// DB is one open database. It may be used by many goroutines.
type DB struct {
	Queries
	sql     *sql.DB
	writing chan struct{} // holds one while an Update of this process runs

	mu    sync.Mutex // guards watch
	watch *sql.Conn  // never writes, so its data_version counts everyone's changes
}

// Open opens the database file at path, making it with mode 0600 if there is
// none, and brings its tables up to date. A file written by a newer hufud is
// refused, and with the code data_folder_read_only one on a file system that is
// read-only.
func Open(ctx context.Context, path string) (*DB, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return nil, notOpened(path, err)
	}
	return connect(ctx, path, url.Values{"_txlock": {"immediate"}, "_pragma": {
		fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()),
		"journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)",
	}}, migrate)
}

// OpenReadOnly opens a database on a file system that is read-only. Every
// change fails.
func OpenReadOnly(ctx context.Context, path string) (*DB, error) {
	q := url.Values{"mode": {"ro"}}
	// A log with changes that are not in the file yet has its index next to it.
	// Without such a log SQLite would have to create both files.
	if i, err := os.Stat(path + "-wal"); err != nil || i.Size() == 0 {
		q.Set("immutable", "1")
	}
	return connect(ctx, path, q, func(ctx context.Context, db *sql.DB) error {
		p, newest, err := provider(db)
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
			return &hufu.Error{Op: "open database", Path: path, Kind: hufu.KindUnreadable, Code: "data_folder_read_only"}
		}
		return nil
	})
}

func connect(ctx context.Context, path string, q url.Values, prepare func(context.Context, *sql.DB) error) (*DB, error) {
	name, err := dsn(path, q)
	if err != nil {
		return nil, notOpened(path, err)
	}
	db, err := sql.Open("sqlite", name)
	if err != nil {
		return nil, failed("open database", err)
	}
	db.SetMaxOpenConns(8)
	db.SetMaxIdleConns(8)
	if err := prepare(ctx, db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	watch, err := db.Conn(ctx)
	if err != nil {
		return nil, errors.Join(failed("open database", err), db.Close())
	}
	return &DB{Queries: Queries{db}, sql: db, writing: make(chan struct{}, 1), watch: watch}, nil
}

func notOpened(path string, err error) error {
	e := &hufu.Error{Op: "open database", Path: path, Kind: hufu.KindUnreadable, Code: "database_open", Err: err}
	if errors.Is(err, syscall.EROFS) {
		e.Code = "data_folder_read_only"
	}
	return e
}

// dsn spells the file name as SQLite's URI. Transactions take the write lock
// when they begin, so that none fails half-way because another one wrote.
func dsn(path string, q url.Values) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("find the absolute path: %w", err)
	}
	abs = filepath.ToSlash(abs)
	if !strings.HasPrefix(abs, "/") {
		abs = "/" + abs
	}
	return (&url.URL{Scheme: "file", Path: abs, RawQuery: q.Encode()}).String(), nil
}

// provider returns the migrations of db, and the number of the newest.
func provider(db *sql.DB) (p *goose.Provider, newest int64, err error) {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, 0, failed("read migrations", err)
	}
	p, err = goose.NewProvider(goose.DialectSQLite3, db, dir,
		goose.WithDisableGlobalRegistry(true), goose.WithSlog(slog.New(slog.DiscardHandler)))
	if err != nil {
		return nil, 0, failed("read migrations", err)
	}
	for _, s := range p.ListSources() {
		newest = max(newest, s.Version)
	}
	return p, newest, nil
}

func tooNew() error {
	return &hufu.Error{Op: "open database", Kind: hufu.KindUsage, Code: "database_newer"}
}

func migrate(ctx context.Context, db *sql.DB) error {
	p, newest, err := provider(db)
	if err != nil {
		return err
	}
	have, err := p.GetDBVersion(ctx)
	if err == nil && have > newest {
		return tooNew()
	}
	if err == nil && have == newest {
		return nil
	}
	if _, err = p.Up(ctx); err == nil {
		return nil
	}
	// Another process may have done the same at the same time; the second one
	// finds everything in place.
	if have, again := p.GetDBVersion(ctx); again == nil && have == newest {
		return nil
	}
	return failed("migrate database", err)
}

// Close gives the database back.
func (d *DB) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := errors.Join(d.watch.Close(), d.sql.Close()); err != nil {
		return failed("close database", err)
	}
	return nil
}

// DataVersion returns a number that differs from the last one if anybody, in this
// process or another, has changed the database since. It costs microseconds.
func (d *DB) DataVersion(ctx context.Context) (int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var v int64
	if err := d.watch.QueryRowContext(ctx, "PRAGMA data_version").Scan(&v); err != nil {
		return 0, failed("ask for the database's version", err)
	}
	return v, nil
}

// Update runs fn in one writing transaction, which is durable when Update
// returns nil and without effect otherwise. The Updates of one process take
// turns: SQLite only polls for its lock, so that on a slow disk one of many
// waiters would find it taken until busyTimeout.
func (d *DB) Update(ctx context.Context, fn func(Queries) error) error {
	select {
	case d.writing <- struct{}{}:
		defer func() { <-d.writing }()
	case <-ctx.Done():
		return failed("begin transaction", ctx.Err())
	}
	return d.tx(ctx, nil, fn)
}

// View runs fn on one consistent state of the database.
func (d *DB) View(ctx context.Context, fn func(Queries) error) error {
	return d.tx(ctx, &sql.TxOptions{ReadOnly: true}, fn)
}

func (d *DB) tx(ctx context.Context, o *sql.TxOptions, fn func(Queries) error) error {
	tx, err := d.sql.BeginTx(ctx, o)
	if err != nil {
		return failed("begin transaction", err)
	}
	if err := fn(Queries{tx}); err != nil {
		if back := tx.Rollback(); back != nil && !errors.Is(back, sql.ErrTxDone) {
			return errors.Join(err, failed("roll back transaction", back))
		}
		return err
	}
	if err := tx.Commit(); err != nil {
		return failed("commit transaction", err)
	}
	return nil
}

// failed classifies an error of the database by the advice for its reader.
func failed(op string, err error) error {
	out := &hufu.Error{Op: op, Kind: hufu.KindInternal, Code: "database", Err: err}
	if errors.Is(err, context.Canceled) {
		out.Kind, out.Code = hufu.KindCanceled, ""
		return out
	}
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		if errors.Is(err, context.DeadlineExceeded) {
			out.Kind, out.Code = hufu.KindUnavailable, "database_busy"
		}
		return out
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		out.Kind, out.Code = hufu.KindUnavailable, "database_busy"
	case sqlite3.SQLITE_FULL:
		out.Kind, out.Code = hufu.KindQuota, "database_full"
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_IOERR:
		out.Kind, out.Code = hufu.KindUnavailable, "database_unreachable"
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		out.Kind, out.Code = hufu.KindIntegrity, "database_corrupt"
	}
	return out
}
