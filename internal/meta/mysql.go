package meta

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/go-sql-driver/mysql"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// openMySQL opens a database of MySQL or MariaDB. Nothing is asked of it yet. With patient, a
// statement may take any time, but waits for a lock no longer than others.
func openMySQL(u *url.URL, patient bool) (*sql.DB, *dialect, error) {
	c := mysql.NewConfig()
	c.Net, c.Addr = "tcp", net.JoinHostPort(cmp.Or(u.Hostname(), "127.0.0.1"), cmp.Or(u.Port(), "3306"))
	c.User = u.User.Username()
	c.Passwd, _ = u.User.Password()
	c.DBName = strings.Trim(u.Path, "/")
	c.Timeout = connectLimit
	c.ReadTimeout, c.WriteTimeout = updateLimit, updateLimit // COMMIT has no other limit
	if patient {
		c.ReadTimeout = 0
	}
	c.Collation = "binary" // text is bytes, the server changes nothing in it
	c.ClientFoundRows = true
	c.Logger = &mysql.NopLogger{}
	for name, values := range u.Query() {
		switch name {
		case "sslmode", "sslrootcert":
		case "host": // unlike for PostgreSQL: the socket, not its folder
			c.Net, c.Addr = "unix", values[0]
		default:
			return nil, nil, badOption(name, nil)
		}
	}
	if err := mysqlTLS(c, u); err != nil {
		return nil, nil, err
	}
	to, err := mysql.NewConnector(c)
	if err != nil {
		return nil, nil, badOption(scrub(u, err), nil)
	}
	db := sql.OpenDB(bounded{to, patient})
	db.SetConnMaxIdleTime(idleLimit / 2) // the server ends a connection after idleLimit
	return db, &dialect{
		goose: goose.DialectMySQL, tables: "migrations/mysql", shared: true, mysql: true,
		// In UTC: a local time is ambiguous for an hour of each autumn.
		clock:  "(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP'1970-01-01 00:00:00', UTC_TIMESTAMP(3)) DIV 1000)",
		turn:   "SELECT counter FROM epoch WHERE id = 1 FOR UPDATE",
		locker: func() (lock.SessionLocker, error) { return mysqlLocker{}, nil },
	}, nil
}

// mysqlTLS sets what PostgreSQL calls sslmode and sslrootcert.
func mysqlTLS(c *mysql.Config, u *url.URL) error {
	switch mode(u) {
	case "disable":
		return nil
	case "prefer":
		c.TLSConfig = "preferred"
		return nil
	case "require":
		c.TLSConfig = "skip-verify"
		return nil
	}
	file := u.Query().Get("sslrootcert")
	c.TLS = &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}
	if file == "" || file == systemCAs {
		return nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return badOption("sslrootcert", err)
	}
	c.TLS.RootCAs = x509.NewCertPool()
	if !c.TLS.RootCAs.AppendCertsFromPEM(data) {
		return badOption("sslrootcert", nil)
	}
	return nil
}

// bounded makes connections whose settings are ours, where those of the server would matter.
type bounded struct {
	driver.Connector
	patient bool // a statement may take any time
}

// Connect makes the server refuse values that do not fit, and sets the time zone and the time limits.
// The isolation is set for each transaction. A local time would be ambiguous for an hour of each
// autumn. MariaDB and MySQL name the limit of a statement differently; each executes only the
// `/*!…*/` comment that is meant for it.
func (b bounded) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := b.Connector.Connect(ctx)
	if err != nil {
		return nil, err //nolint:wrapcheck // classify looks at it
	}
	x, ok := conn.(driver.ExecerContext)
	if !ok {
		return nil, errors.Join(errors.New("the driver cannot set its bounds"), conn.Close())
	}
	_, err = x.ExecContext(ctx, `SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', time_zone = '+00:00', innodb_lock_wait_timeout = 5,
		lock_wait_timeout = 5, wait_timeout = 5 /*M!100101 , max_statement_time = 10 */ /*!50708 , max_execution_time = 10000 */`, nil)
	if err == nil && b.patient {
		_, err = x.ExecContext(ctx, "SET SESSION wait_timeout = 604800 /*M!100101 , max_statement_time = 0 */ /*!50708 , max_execution_time = 0 */", nil)
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// mysqlLocker is held while one process migrates. Unlike PostgreSQL's, names of
// locks are common to all databases of a server, so the name holds that of the
// database.
type mysqlLocker struct{}

var errLocked = errors.New("another process is migrating the database")

// SessionLock waits for its turn, at most for a minute.
func (mysqlLocker) SessionLock(ctx context.Context, conn *sql.Conn) error {
	for range 12 {
		var got sql.NullInt64
		err := conn.QueryRowContext(ctx, "SELECT GET_LOCK(CONCAT('hufu ', MD5(DATABASE())), 5)").Scan(&got)
		if err != nil {
			return fmt.Errorf("take lock: %w", err)
		}
		if got.Int64 == 1 {
			return nil
		}
	}
	return errLocked
}

// SessionUnlock gives the lock to the next one.
func (mysqlLocker) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	var done sql.NullInt64
	if err := conn.QueryRowContext(ctx, "SELECT RELEASE_LOCK(CONCAT('hufu ', MD5(DATABASE())))").Scan(&done); err != nil {
		return fmt.Errorf("give lock back: %w", err)
	}
	return nil
}

// duplicate reports whether a row was not written because its key is there. InnoDB has undone the
// statement then, not the transaction.
func duplicate(err error) bool {
	e, ok := errors.AsType[*mysql.MySQLError](err)
	return ok && e.Number == 1062
}

func mysqlClass(err error) class {
	if errors.Is(err, mysql.ErrInvalidConn) {
		return classAway
	}
	if errors.Is(err, mysql.ErrNoTLS) {
		return classTLS
	}
	e, ok := errors.AsType[*mysql.MySQLError](err)
	if !ok {
		return classOther
	}
	switch e.Number {
	case 1213, 1020: // deadlock; changed since it was read
		return classAgain
	case 1205, 1040, 1041, 1203, 1226, 1317, 1969, 3024: // a lock, too many connections, out of memory, interrupted, limit of a statement
		return classBusy
	case 1021, 1114: // disk full, table full
		return classFull
	case 1053, 1290, 1792, 1836, 1927, 4031: // shutting down, read-only, connection ended
		return classAway
	case 1045, 1129, 1130, 1251, 1698, 1862, 3118:
		return classLogin
	case 1049:
		return classMissing
	case 1044, 1142, 1143, 1227, 1370:
		return classDenied
	case 1194, 1195, 1712, 1877:
		return classCorrupt
	}
	return classOther
}
