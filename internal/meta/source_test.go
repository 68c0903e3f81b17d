package meta

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"

	"hufu"
)

func TestParse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for raw, want := range map[string]string{
		"sqlite:hufu.db":                         "sqlite:" + filepath.Join(dir, "hufu.db"),
		"sqlite:" + filepath.Join(dir, "x"):      "sqlite:" + filepath.Join(dir, "x"),
		"postgres://u:secret@db.example:1/n":     "postgres://u:xxxxx@db.example:1/n",
		"postgresql://u:secret@db.example/n?a=b": "postgres://u:xxxxx@db.example/n?a=b",
		"mysql://u:secret@db.example/n":          "mysql://u:xxxxx@db.example/n",
		"mariadb://u@[::1]:3306/n":               "mysql://u@[::1]:3306/n",
		"mysql://u:secret%2F%40@h/a%40b":         "mysql://u:xxxxx@h/a%40b",
	} {
		s, err := Parse(raw, dir)
		if err != nil || s.String() != want || s.Shared() == strings.HasPrefix(raw, "sqlite:") {
			t.Errorf("%s: %s, %v", raw, s, err)
		}
		if s.HasPassword() != strings.Contains(raw, ":secret") {
			t.Errorf("%s: has a password: %v", raw, s.HasPassword())
		}
		if shown := fmt.Sprintf("%v %+v %s", s, s, s); strings.Contains(shown, "secret") {
			t.Errorf("the password is shown: %s", shown)
		}
	}
	for _, raw := range []string{
		"", "sqlite:", "hufu.db", "oracle://u:secret@h/n", "postgres://u:secret@h", "postgres://u:secret@h/", "postgres:secret", "mysql://u:secret@h:port/n",
		"postgres://u:secret@h/n#f", "mysql://u:sec%ret@h/n", "postgres://u:secret\x00@h/n",
	} {
		if s, err := Parse(raw, dir); hufu.CodeOf(err) != "database_url" || strings.Contains(fmt.Sprintf("%v%+v%#v", err, err, err), "secret") {
			t.Errorf("%q: %s, %v", raw, s, err)
		}
	}
}

// A password with special characters that are not encoded is not taken for the
// name of the database, which is printed.
func TestParseRefusesPasswordInPath(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{
		"postgres://u:12/secret@h/db", "mysql://u:12/secret@h/db", "postgres://u:p@1/secret@h/db",
		"postgres://u:1/2?secret@h/db", "postgres://u:1/2?pass=secret@h/db",
	} {
		if s, err := Parse(raw, ""); hufu.CodeOf(err) != "database_url_at" || strings.Contains(fmt.Sprintf("%v%+v%#v", err, err, err), "secret") {
			t.Errorf("%q: %s, %v", raw, s, err)
		}
	}
}

// A CA that is named is used, or the URL is refused.
func TestNamedCAIsNotIgnored(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"postgres", "mysql"} {
		for _, c := range []struct{ query, code string }{
			{"sslmode=disable&sslrootcert=ca.crt", "database_url_ca"},
			{"sslmode=prefer&sslrootcert=ca.crt", "database_url_ca"},
			{"sslmode=require&sslrootcert=ca.crt", ""},
			{"sslmode=verify-full&sslrootcert=ca.crt", ""},
			{"sslrootcert=ca.crt", ""},
			{"sslmode=disable", ""},
			{"sslmode=prefer", ""},
			{"sslmode=require", ""},
			{"sslmode=allow&sslrootcert=ca.crt", "database_url_option"}, // without TLS first
			{"sslmode=allow", "database_url_option"},
			{"sslmode=verify-ca&sslrootcert=ca.crt", "database_url_option"}, // no name
			{"sslmode=Disable", "database_url_option"},
		} {
			s, err := Parse(scheme+"://u:p@127.0.0.1/n?"+c.query, "")
			if (err != nil) != (c.code != "") || err != nil && hufu.CodeOf(err) != c.code {
				t.Errorf("%s, %s: %v, want %s", scheme, c.query, err, c.code)
			}
			if strings.Contains(c.query, "sslrootcert") && err == nil && mode(s.url) != "verify-full" {
				t.Errorf("%s, %s: the mode is %s", scheme, c.query, mode(s.url))
			}
		}
	}
}

// TLS and its proof are on unless the database is on this computer, or the user
// says otherwise. The environment, which PostgreSQL's programs listen to, does
// not switch them off.
func TestTLSIsOnByDefault(t *testing.T) {
	t.Setenv("PGSSLMODE", "disable")
	for _, c := range []struct{ host, query, want string }{
		{"db.example", "", "verify-full"},
		{"192.0.2.1:5432", "", "verify-full"},
		{"localhost.example", "", "verify-full"},
		{"", "?host=db.example", "verify-full"},
		{"localhost", "?host=db.example", "verify-full"},
		{"127.0.0.1", "?host=/run/postgresql&host=db.example", "verify-full"},
		{"", "?host=/run/postgresql,db.example", "verify-full"},
		{"localhost,db.example", "", "verify-full"},
		{"127.0.0.1", "", "prefer"},
		{"[::1]:1", "", "prefer"},
		{"localhost", "", "prefer"},
		{"", "", "prefer"},
		{"", "?host=/run/postgresql", "prefer"},
		{"db.example", "?sslmode=require", "require"},
		{"127.0.0.1", "?sslmode=verify-full", "verify-full"},
	} {
		u, err := url.Parse("postgres://u:p@" + c.host + "/n" + c.query)
		must(t, err)
		if got := mode(u); got != c.want {
			t.Errorf("%s: %s, want %s", u, got, c.want)
		}
	}
	u, err := url.Parse("mysql://u:p@db.example/n")
	must(t, err)
	c := mysql.NewConfig()
	if must(t, mysqlTLS(c, u)); c.TLS == nil || c.TLS.InsecureSkipVerify || c.TLS.ServerName != "db.example" || c.AllowFallbackToPlaintext {
		t.Errorf("%+v", c)
	}
}

// handshakes returns, for each database, the TLS settings of a connection; nil if there is no TLS.
var handshakes = map[string]func(t *testing.T, u *url.URL) *tls.Config{
	"mysql": func(t *testing.T, u *url.URL) *tls.Config {
		t.Helper()
		c := mysql.NewConfig()
		must(t, mysqlTLS(c, u))
		return c.TLS
	},
	"postgres": func(t *testing.T, u *url.URL) *tls.Config {
		t.Helper()
		c, err := postgresConfig(u)
		must(t, err)
		if len(c.Fallbacks) > 0 {
			t.Errorf("%s: there is another way to connect", u)
		}
		return c.TLSConfig
	},
}

// A server with which TLS is required and a CA is named proves by that CA that it has the name in
// the URL, on each database.
func TestNamedCAIsVerified(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	issue := func(name string) (tls.Certificate, string) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(t, err)
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"db.example"}, NotAfter: time.Now().Add(time.Hour),
			IsCA: true, BasicConstraintsValid: true,
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		must(t, err)
		file := filepath.Join(dir, name)
		must(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
		return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
	}
	server, right := issue("right")
	_, wrong := issue("wrong")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
			_ = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{server}}).HandshakeContext(t.Context())
			_ = conn.Close()
		}
	}()
	for _, c := range []struct {
		host, query string
		ok          bool
	}{
		{"db.example", "sslmode=require&sslrootcert=" + right, true},
		{"other.example", "sslmode=require&sslrootcert=" + right, false},
		{"db.example", "sslmode=require&sslrootcert=" + wrong, false},
		{"db.example", "sslmode=verify-full&sslrootcert=" + right, true},
		{"other.example", "sslmode=verify-full&sslrootcert=" + right, false},
		{"db.example", "sslmode=verify-full&sslrootcert=" + wrong, false},
	} {
		for scheme, settings := range handshakes {
			u, err := url.Parse(scheme + "://u:p@" + c.host + "/n?" + c.query)
			must(t, err)
			config := settings(t, u)
			if config == nil {
				t.Errorf("%s: the CA is ignored", u)
				continue
			}
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr().String())
			must(t, err)
			err = tls.Client(conn, config).HandshakeContext(t.Context())
			_ = conn.Close()
			if (err == nil) != c.ok || err != nil && hufu.CodeOf(failed("test", err)) != "database_tls" {
				t.Errorf("%s: %v", u, err)
			}
		}
	}
}

// The CAs of this computer can be named as in PostgreSQL. They prove a name, and no file is read.
func TestSystemCAs(t *testing.T) {
	t.Parallel()
	for scheme, settings := range handshakes {
		for _, query := range []string{"sslrootcert=system", "sslrootcert=", "sslmode=require&sslrootcert=system"} {
			u, err := url.Parse(scheme + "://u:p@db.example/n?" + query)
			must(t, err)
			if c := settings(t, u); c == nil || c.InsecureSkipVerify || c.ServerName != "db.example" {
				t.Errorf("%s: %+v", u, c)
			}
		}
	}
}

// What a driver says in its own words shows no password either.
func TestScrub(t *testing.T) {
	t.Parallel()
	u := &url.URL{Scheme: "postgres", User: url.UserPassword("u", "a/b c"), Host: "h", Path: "/n"}
	for _, said := range []string{u.String(), "a/b c", url.QueryEscape("a/b c"), url.PathEscape("a/b c")} {
		if got := scrub(u, errors.New("cannot parse "+said)); strings.Contains(got, "a/b") || strings.Contains(got, "b c") || strings.Contains(got, "b%20c") || strings.Contains(got, "b+c") {
			t.Errorf("%s: %s", said, got)
		}
	}
}

// Each error of each database has the advice that fits.
func TestErrors(t *testing.T) {
	t.Parallel()
	pg := func(code string) error { return &pgconn.PgError{Code: code} }
	my := func(number uint16) error { return &mysql.MySQLError{Number: number} }
	for code, errs := range map[string][]error{
		"database_busy":        {pg("40001"), pg("40P01"), pg("55P03"), pg("57014"), pg("53300"), my(1213), my(1205), my(1040), my(1969), my(3024), context.DeadlineExceeded},
		"database_full":        {pg("53100"), my(1021), my(1114)},
		"database_unreachable": {pg("57P01"), pg("08006"), pg("25006"), my(1290), my(1053), my(4031), mysql.ErrInvalidConn, io.ErrUnexpectedEOF, &net.OpError{Op: "read", Err: syscall.ECONNRESET}},
		"database_login":       {pg("28P01"), pg("28000"), my(1045), my(1698)},
		"database_missing":     {pg("3D000"), my(1049)},
		"database_denied":      {pg("42501"), my(1142), my(1044)},
		"database_corrupt":     {pg("XX001"), my(1194)},
		"database_tls":         {mysql.ErrNoTLS, &tls.CertificateVerificationError{Err: errors.New("unknown authority")}},
		"database":             {pg("23505"), pg(""), my(1062), errors.New("something")},
	} {
		for _, err := range errs {
			if got := failed("test", fmt.Errorf("statement: %w", err)); hufu.CodeOf(got) != code {
				t.Errorf("%v: %s, want %s", err, hufu.CodeOf(got), code)
			}
		}
	}
	shared, own := &dialect{shared: true}, &dialect{}
	for _, c := range []struct {
		d    *dialect
		err  error
		code string
	}{
		{shared, io.ErrUnexpectedEOF, "database_unsure"},
		{shared, pg("57P01"), "database_unsure"}, // it may have been shutting down after it
		{shared, context.DeadlineExceeded, "database_unsure"},
		{shared, pg("40001"), "database_busy"}, // rolled back, to be run again
		{shared, my(1213), "database_busy"},
		{own, io.ErrUnexpectedEOF, "database_unreachable"},
	} {
		err := notCommitted(c.d, c.err)
		if hufu.CodeOf(err) != c.code || passing(err) != (c.code == "database_busy") {
			t.Errorf("commit, %v: %v, to be run again %v", c.err, err, passing(err))
		}
	}
}

// TestEnvironmentNamesNoCA: only the URL says how the database proves its name.
func TestEnvironmentNamesNoCA(t *testing.T) {
	t.Setenv("PGSSLROOTCERT", filepath.Join(t.TempDir(), "none.pem"))
	u, err := url.Parse("postgres://u:p@db.test/hufu")
	if err != nil {
		t.Fatal(err)
	}
	c, err := postgresConfig(u)
	if err != nil || c.TLSConfig == nil || c.TLSConfig.RootCAs != nil || c.TLSConfig.ServerName != "db.test" {
		t.Errorf("%v", err)
	}
}
