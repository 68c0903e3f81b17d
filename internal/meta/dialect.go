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
	"github.com/pressly/goose/v3/lock"

	"hufu"
)

//go:embed migrations
var migrations embed.FS

// dialect is what differs between the databases.
type dialect struct {
	goose    goose.Dialect
	tables   string // the folder of its migrations
	shared   bool   // used by many computers: it has an epoch, bounds, and text as bytes
	numbered bool   // parameters are $1, $2, …
	mysql    bool   // an upsert is spelled in its way
	turn     string // the statement at which Updates take turns
	clock    string // CLOCK() in a statement
	// locker makes the lock that one process holds while it migrates.
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
	case d.numbered:
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
	if !d.numbered {
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

func migrate(ctx context.Context, db *sql.DB, d *dialect) (err error) {
	const op = "migrate database"
	p, newest, err := provider(db, d)
	if err != nil {
		return err
	}
	if d.locker != nil {
		l, err := d.locker()
		if err != nil {
			return failed(op, err)
		}
		conn, err := db.Conn(ctx)
		if err != nil {
			return failed("open database", err)
		}
		defer func() { _ = conn.Close() }() // back to the pool
		if err := l.SessionLock(ctx, conn); err != nil {
			return failed(op, err)
		}
		defer func() { _ = l.SessionUnlock(context.WithoutCancel(ctx), conn) }() // at the latest when the pool closes the connection
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
	// Without a lock another process may have done the same at the same time;
	// the second one finds everything in place.
	if have, again := p.GetDBVersion(ctx); again == nil && have == newest {
		return nil
	}
	return failed(op, err)
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
