package meta

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"hufu"
)

// busyTimeout is the time for which a statement waits for the write lock of another process. After it,
// the statement fails with "try again".
const busyTimeout = 10 * time.Second

// touch makes a file of SQLite, private, if there is none.
func touch(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return notOpened(path, err)
	}
	return nil
}

// openSQLite opens a file. Transactions that may write take the write lock when they begin, so that
// none fails half-way because another one wrote.
func openSQLite(path string, readOnly bool) (*sql.DB, *dialect, error) {
	q := url.Values{"_txlock": {"immediate"}, "_pragma": {
		fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()),
		"journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)",
	}}
	if readOnly {
		q = url.Values{"mode": {"ro"}}
		// If the -wal file holds changes, its -shm is there too. Otherwise SQLite would have to
		// create both, which it cannot here: the file is opened as immutable.
		if i, err := os.Stat(path + "-wal"); err != nil || i.Size() == 0 {
			q.Set("immutable", "1")
		}
	}
	name, err := fileURI(path, q)
	if err != nil {
		return nil, nil, notOpened(path, err)
	}
	db, err := sql.Open("sqlite", name)
	if err != nil {
		return nil, nil, failed("open database", err)
	}
	return db, &dialect{goose: goose.DialectSQLite3, tables: "migrations/sqlite", clock: "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"}, nil
}

func notOpened(path string, err error) error {
	e := &hufu.Error{Op: "open database", Path: path, Kind: hufu.KindUnreadable, Code: "database_open", Err: err}
	if errors.Is(err, syscall.EROFS) {
		e.Code = "data_folder_read_only"
	}
	return e
}

// fileURI spells the file name as SQLite's URI.
func fileURI(path string, q url.Values) (string, error) {
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

func sqliteClass(err error) class {
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return classOther
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return classBusy
	case sqlite3.SQLITE_FULL:
		return classFull
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_IOERR:
		return classAway
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return classCorrupt
	}
	return classOther
}
