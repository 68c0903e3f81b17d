package meta

import (
	"cmp"
	"crypto/tls"
	"database/sql"
	"errors"
	"maps"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// openPostgres opens a database of PostgreSQL. Nothing is asked of it yet. With patient, a statement
// may take any time, but waits for a lock no longer than others.
func openPostgres(u *url.URL, patient bool) (*sql.DB, *dialect, error) {
	c, err := postgresConfig(u)
	if err != nil {
		return nil, nil, err
	}
	c.ConnectTimeout = connectLimit
	maps.Copy(c.RuntimeParams, map[string]string{
		"application_name":                    "hufud",
		"statement_timeout":                   milliseconds(statementLimit),
		"lock_timeout":                        milliseconds(lockLimit),
		"idle_in_transaction_session_timeout": milliseconds(idleLimit),
	})
	if patient {
		c.RuntimeParams["statement_timeout"] = "0"
	}
	db := stdlib.OpenDB(*c)
	// Few connections are idle, so that after a silent loss of all of them a new one is made soon.
	db.SetConnMaxIdleTime(idleLimit)
	return db, &dialect{
		goose: goose.DialectPostgres, tables: "migrations/postgres", shared: true, postgres: true,
		clock: "CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)", // no index is used with clock_timestamp()
		// It takes no snapshot, so the transaction sees what the one before it has written;
		// others can still read the table.
		turn: "LOCK TABLE epoch IN EXCLUSIVE MODE",
		locker: func() (lock.SessionLocker, error) {
			return lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 60))
		},
	}, nil
}

// postgresConfig returns the configuration of the driver. It always sets the options of TLS: the
// driver would take an option that is not set from a variable of the environment.
func postgresConfig(u *url.URL) (*pgx.ConnConfig, error) {
	full := *u
	q := full.Query()
	q.Set("sslmode", mode(u))
	ca := "" // none, whatever the environment says
	if q.Has("sslrootcert") {
		ca = cmp.Or(q.Get("sslrootcert"), systemCAs)
	}
	q.Set("sslrootcert", ca)
	full.RawQuery = q.Encode()
	if full.Host == "" && !q.Has("host") {
		full.Host = "127.0.0.1"
	}
	c, err := pgx.ParseConfig(full.String())
	if err != nil {
		return nil, badOption(scrub(u, err), nil)
	}
	return c, nil
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

func postgresClass(err error) class {
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return connectClass(err)
	}
	switch e.Code {
	case "40001", "40P01": // serialization_failure, deadlock_detected
		return classAgain
	case "55P03", "57014", "25P03": // lock_not_available, query_canceled, idle_in_transaction_session_timeout
		return classBusy
	case "53100":
		return classFull
	case "25006": // read_only_sql_transaction
		return classAway
	case "3D000":
		return classMissing
	case "42501":
		return classDenied
	case "XX001", "XX002":
		return classCorrupt
	}
	switch e.Code[:min(2, len(e.Code))] {
	case "08", "57": // connection exception, operator intervention
		return classAway
	case "28":
		return classLogin
	case "53": // insufficient resources
		return classBusy
	}
	return classOther
}

// connectClass judges what kept pgx from connecting, or ended the connection.
func connectClass(err error) class {
	_, proof := errors.AsType[*tls.CertificateVerificationError](err)
	_, connecting := errors.AsType[*pgconn.ConnectError](err)
	switch {
	case proof, connecting && strings.Contains(err.Error(), "server refused TLS connection"):
		return classTLS
	case connecting, errors.Is(err, pgconn.ErrConnClosed):
		return classAway
	}
	return classOther
}

// rolledBack reports whether a server has answered COMMIT with ROLLBACK.
func rolledBack(err error) bool { return errors.Is(err, pgx.ErrTxCommitRollback) }
