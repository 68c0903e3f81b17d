package meta

import (
	"database/sql"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"hufu"
)

// Source names a database.
type Source struct {
	file string   // of SQLite
	url  *url.URL // of a shared database
}

// File is the database in a file of SQLite.
func File(path string) Source { return Source{file: path} }

// Parse reads the URL of a database:
//
//	sqlite:FILE                              relative to dir
//	postgres://USER:PASSWORD@HOST:PORT/NAME
//	mysql://USER:PASSWORD@HOST:PORT/NAME     MariaDB, too
//
// A shared database takes the options sslmode (disable, prefer, require or
// verify-full) and sslrootcert, the file of a CA, with the same meaning on each
// database, and the option host: the folder of a socket of PostgreSQL, or a socket
// of MySQL. PostgreSQL also takes the other options of pgx. If a CA is named, require means verify-full: the server proves its
// name, too. Without sslmode the mode is verify-full, or prefer if the server is
// on this computer and no CA is named. Another mode is an error, and so is a CA
// with a mode that verifies nothing.
func Parse(raw, dir string) (Source, error) {
	if file, ok := strings.CutPrefix(raw, "sqlite:"); ok && file != "" {
		if !filepath.IsAbs(file) {
			file = filepath.Join(dir, file)
		}
		return File(file), nil
	}
	u, err := url.Parse(raw)
	if err != nil { // err repeats the URL, and so the password
		return Source{}, badURL()
	}
	switch u.Scheme {
	case "postgresql":
		u.Scheme = "postgres"
	case "mariadb":
		u.Scheme = "mysql"
	case "postgres", "mysql":
	default:
		return Source{}, badURL()
	}
	// After a "/" or "?" in the password, url.Parse takes its rest up to the "@" for a path or a
	// query, which would be printed.
	if strings.Contains(u.EscapedPath()+u.RawQuery, "@") {
		return Source{}, &hufu.Error{Op: "read database url", Kind: hufu.KindUsage, Code: "database_url_at"}
	}
	if strings.Trim(u.Path, "/") == "" || u.Opaque != "" || u.Fragment != "" {
		return Source{}, badURL()
	}
	m := mode(u)
	if !slices.Contains(modes[:], m) {
		return Source{}, badOption("sslmode", nil)
	}
	if u.Query().Has("sslrootcert") && m != "verify-full" {
		return Source{}, &hufu.Error{Op: "read database url", Kind: hufu.KindUsage, Code: "database_url_ca", Args: map[string]string{"mode": m}}
	}
	s := Source{url: u}
	for name := range u.Query() {
		if strings.Contains(strings.ToLower(name), "pass") {
			return Source{}, badOption(name, nil)
		}
	}
	return s, nil
}

func badURL() error {
	return &hufu.Error{Op: "read database url", Kind: hufu.KindUsage, Code: "database_url"}
}

// badOption is the error for an option: what is its name, or what a driver says about it.
func badOption(what string, err error) error {
	return &hufu.Error{Op: "read database url", Kind: hufu.KindUsage, Code: "database_url_option", Args: map[string]string{"option": what}, Err: err}
}

// Shared reports whether processes on many computers may use the database.
func (s Source) Shared() bool { return s.url != nil }

// Path returns the file of SQLite, "" for a shared database.
func (s Source) Path() string { return s.file }

// HasPassword reports whether the URL holds a password.
func (s Source) HasPassword() bool {
	if s.url == nil {
		return false
	}
	_, ok := s.url.User.Password()
	return ok
}

// String returns the URL without its password.
func (s Source) String() string {
	if s.url == nil {
		return "sqlite:" + s.file
	}
	return s.url.Redacted()
}

// purpose is what connections are opened for.
type purpose int

const (
	serving   purpose = iota
	reading           // a file of SQLite on a file system that is read-only
	migrating         // one statement may take hours: an index on millions of rows
)

func (s Source) openFor(p purpose) (*sql.DB, *dialect, error) {
	if s.url == nil {
		return openSQLite(s.file, p == reading)
	}
	if s.url.Scheme == "postgres" {
		return openPostgres(s.url, p == migrating)
	}
	return openMySQL(s.url, p == migrating)
}

// systemCAs is the value of sslrootcert that means the CAs of this computer, as in PostgreSQL.
const systemCAs = "system"

// modes are the values of sslmode: no TLS; TLS if the server has it; TLS; TLS with a certificate
// that proves the server's name. PostgreSQL's allow and verify-ca, which verify less than they seem
// to, do not exist here.
var modes = [...]string{"disable", "prefer", "require", "verify-full"}

// mode returns the mode that the option sslmode of a URL stands for, or its default. A database on
// this computer may do without a certificate, unless the URL names a CA.
func mode(u *url.URL) string {
	m, named := u.Query().Get("sslmode"), u.Query().Has("sslrootcert")
	if named && (m == "" || m == "require") {
		return "verify-full"
	}
	if m != "" {
		return m
	}
	// A driver may take the host from the options instead, and from a list.
	hosts := append(u.Query()["host"], u.Hostname())
	if !slices.ContainsFunc(strings.Split(strings.Join(hosts, ","), ","), remote) {
		return "prefer"
	}
	return "verify-full"
}

// remote reports whether a host, as a driver takes it, may be another computer.
func remote(host string) bool {
	ip := net.ParseIP(host)
	return host != "" && host != "localhost" && !strings.HasPrefix(host, "/") && (ip == nil || !ip.IsLoopback())
}

// scrub returns the text of err, which a driver has put together, without the
// password of u.
func scrub(u *url.URL, err error) string {
	text := err.Error()
	if secret, ok := u.User.Password(); ok && secret != "" {
		text = strings.NewReplacer(secret, "xxxxx", url.PathEscape(secret), "xxxxx", url.QueryEscape(secret), "xxxxx",
			url.UserPassword("", secret).String()[1:], "xxxxx").Replace(text)
	}
	return text
}
