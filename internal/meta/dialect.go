package meta

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"embed"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	"github.com/pressly/goose/v3/lock"

	"hufu"
)

//go:embed migrations
var migrations embed.FS

// dialect is what differs between the databases.
type dialect struct {
	goose    goose.Dialect
	tables   string // the folder of its migrations
	shared   bool   // used by many computers: it has a row with its version, bounds, and text as bytes
	postgres bool   // PostgreSQL
	mysql    bool   // MySQL or MariaDB
	turn     string // the statement at which Updates take turns
	clock    string // CLOCK() in a statement
	// locker makes the lock that one process holds while it migrates a shared database.
	locker func() (lock.SessionLocker, error)
}

// upsert is a change that writes a row, new or not: as SQLite and PostgreSQL
// spell it, and as MySQL and MariaDB do.
type upsert struct{ standard, mysql string }

func (d *dialect) upsert(u upsert) string {
	if d.mysql {
		return u.mysql
	}
	return u.standard
}

// spelled is a statement that each database spells in its own way.
type spelled struct{ sqlite, postgres, mysql string }

func (d *dialect) pick(s spelled) string {
	switch {
	case d.postgres:
		return s.postgres
	case d.mysql:
		return s.mysql
	}
	return s.sqlite
}

// spell writes the parameters of a statement as the database has them. None of
// the statements has a question mark in a literal. CLOCK() is the moment when the
// statement began, by the clock of the database, in milliseconds since 1970.
func (d *dialect) spell(query string) string {
	query = strings.ReplaceAll(query, "CLOCK()", d.clock)
	if !d.postgres {
		return query
	}
	var b strings.Builder
	for i, part := range strings.Split(query, "?") {
		if i > 0 {
			b.WriteString("$" + strconv.Itoa(i))
		}
		b.WriteString(part)
	}
	return b.String()
}

// bind returns values as the database takes them: text as bytes, where it is kept as bytes, and a
// nil slice as an empty value, not as NULL.
func (d *dialect) bind(args []any) []any {
	for i, v := range args {
		switch v := v.(type) {
		case string:
			if d.shared {
				args[i] = []byte(v)
			}
		case []byte:
			if v == nil {
				args[i] = []byte{}
			}
		case ID:
			args[i] = v.value()
		}
	}
	return args
}

// provider returns the migrations of db, and the number of the newest.
func provider(db *sql.DB, d *dialect) (p *goose.Provider, newest int64, err error) {
	dir, err := fs.Sub(migrations, d.tables)
	if err != nil {
		return nil, 0, failed("read migrations", err)
	}
	p, err = goose.NewProvider(d.goose, db, dir,
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

// version returns the number of the newest migration that the database has. It fails if there is
// none.
func version(ctx context.Context, db *sql.DB, d *dialect) (int64, error) {
	s, err := database.NewStore(d.goose, goose.DefaultTablename)
	if err != nil {
		return 0, err //nolint:wrapcheck // classify looks at it
	}
	return s.GetLatestVersion(ctx, db) //nolint:wrapcheck // classify looks at it
}

// migrate brings the tables of db up to date. A database that is up to date is only read: a process
// that was frozen while it migrated keeps nobody else from it.
func migrate(ctx context.Context, src Source, db *sql.DB, d *dialect) (err error) {
	const op = "migrate database"
	p, newest, err := provider(db, d)
	if err != nil {
		return err
	}
	switch have, err := version(ctx, db, d); {
	case err == nil && have > newest:
		return tooNew()
	case err == nil && have == newest:
		return nil
	case err != nil && d.shared && classify(err) != classOther: // other than "no such table"
		return failed("open database", err)
	}
	if !d.shared {
		return up(ctx, p, newest)
	}
	patient, _, err := src.openFor(migrating)
	if err != nil {
		return err
	}
	defer func() {
		if e := patient.Close(); err == nil && e != nil {
			err = failed(op, e)
		}
	}()
	l, err := d.locker()
	if err != nil {
		return failed(op, err)
	}
	conn, err := patient.Conn(ctx)
	if err != nil {
		return failed("open database", err)
	}
	defer func() { _ = conn.Close() }() // back to the pool
	if err := l.SessionLock(ctx, conn); err != nil {
		return failed(op, err)
	}
	defer func() { _ = l.SessionUnlock(context.WithoutCancel(ctx), conn) }() // at the latest when the connection ends
	if p, newest, err = provider(patient, d); err != nil {
		return err
	}
	return up(ctx, p, newest)
}

// up runs the migrations that are missing. A file of SQLite has no lock for that: if another process
// migrates it, too, a step fails here that was made there. So up tries again while the version rises.
func up(ctx context.Context, p *goose.Provider, newest int64) error {
	const op = "migrate database"
	var failure error
	for before := int64(-1); ; {
		have, err := p.GetDBVersion(ctx)
		switch {
		case err != nil:
			return failed(op, errors.Join(failure, err))
		case have > newest:
			return tooNew()
		case have == newest:
			return nil
		case have <= before:
			return failed(op, failure)
		}
		before = have
		if _, failure = p.Up(ctx); failure == nil {
			return nil
		}
	}
}

// class says what an error of a database means for us.
type class int

const (
	classOther   class = iota
	classAgain         // nothing happened, run the whole transaction again
	classBusy          // try again later
	classFull          // no room
	classAway          // not there, or not to be written
	classCorrupt       // damaged
	classLogin         // wrong user or password
	classMissing       // there is no database of this name
	classDenied        // this user may not
	classTLS           // no TLS that can be trusted
)

// classify asks each driver for what it knows.
func classify(err error) class {
	for _, of := range []func(error) class{sqliteClass, postgresClass, mysqlClass} {
		if c := of(err); c != classOther {
			return c
		}
	}
	_, network := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, sql.ErrTxDone): // the limit of a statement, or of an Update
		return classBusy
	case network, errors.Is(err, driver.ErrBadConn), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), errors.Is(err, sql.ErrConnDone):
		return classAway
	}
	return classOther
}

// passing reports whether the same may work in a moment.
func passing(err error) bool {
	c := classify(err)
	return hufu.CodeOf(err) != "database_unsure" && (c == classAgain || c == classBusy)
}

// failed turns err into the hufu.Error whose code has the right advice for its reader.
func failed(op string, err error) error {
	out := &hufu.Error{Op: op, Kind: hufu.KindInternal, Code: "database", Err: err}
	if errors.Is(err, context.Canceled) {
		out.Kind, out.Code = hufu.KindCanceled, ""
		return out
	}
	switch classify(err) {
	case classAgain, classBusy:
		out.Kind, out.Code = hufu.KindUnavailable, "database_busy"
	case classFull:
		out.Kind, out.Code = hufu.KindQuota, "database_full"
	case classAway:
		out.Kind, out.Code = hufu.KindUnavailable, "database_unreachable"
	case classCorrupt:
		out.Kind, out.Code = hufu.KindIntegrity, "database_corrupt"
	case classLogin:
		out.Kind, out.Code = hufu.KindUnavailable, "database_login"
	case classMissing:
		out.Kind, out.Code = hufu.KindUnavailable, "database_missing"
	case classDenied:
		out.Kind, out.Code = hufu.KindUnavailable, "database_denied"
	case classTLS:
		out.Kind, out.Code = hufu.KindUnavailable, "database_tls"
	case classOther:
	}
	return out
}
