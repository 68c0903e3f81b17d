package meta

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"hufu"
)

func open(t *testing.T, path string) *DB {
	t.Helper()
	d, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func newDB(t *testing.T) *DB { return open(t, filepath.Join(t.TempDir(), "hufu.db")) }

// What was written last can be read without writing anything, whether it is in
// the database file or in the log beside it.
func TestOpenReadOnly(t *testing.T) {
	t.Parallel()
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "hufu.db")
	look := func(want int) {
		t.Helper()
		d, err := OpenReadOnly(ctx, path)
		must(t, err)
		defer func() { must(t, d.Close()) }()
		err = d.View(ctx, func(q Queries) error {
			if users, err := q.Users(ctx); err != nil || len(users) != want {
				t.Errorf("users %+v, %v", users, err)
			}
			return nil
		})
		must(t, err)
		if d.Update(ctx, func(q Queries) error { return q.PutUser(ctx, User{Name: "eve", Created: moment}) }) == nil {
			t.Error("it was changed")
		}
	}
	d, err := Open(ctx, path)
	must(t, err)
	must(t, d.PutUser(ctx, User{Name: "alice", Created: moment}))
	look(1) // in the log
	must(t, d.Close())
	before, err := os.ReadDir(filepath.Dir(path))
	must(t, err)
	look(1)
	if after, err := os.ReadDir(filepath.Dir(path)); err != nil || len(after) != len(before) {
		t.Errorf("the folder holds %v, not %v, %v", after, before, err)
	}
}

var moment = time.UnixMilli(1_800_000_000_123).UTC()

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func sampleCertificate(serial string) Certificate {
	return Certificate{
		Serial: serial, Fingerprint: [32]byte{1, 2}, Lineage: serial, SPKI: [32]byte{3}, Use: UseClient, User: "alice",
		Device: "laptop", NotBefore: moment, NotAfter: moment.Add(time.Hour), Issued: moment, DER: []byte("der"),
	}
}

func TestRowsComeBack(t *testing.T) {
	t.Parallel()
	ctx, d := t.Context(), newDB(t)
	u := User{Name: "alice", Admin: true, Password: "$argon2id$", Created: moment, Locked: moment.Add(1e9)}
	must(t, d.PutUser(ctx, u))
	if got, err := d.User(ctx, "alice"); err != nil || got != u {
		t.Errorf("user %+v, %v", got, err)
	}
	u.Locked = time.Time{}
	must(t, d.PutUser(ctx, u))
	if got, err := d.Users(ctx); err != nil || len(got) != 1 || got[0] != u {
		t.Errorf("users %+v, %v", got, err)
	}
	if _, err := d.User(ctx, "bob"); hufu.KindOf(err) != hufu.KindNotFound {
		t.Errorf("bob: %v", err)
	}

	c := sampleCertificate("0a")
	must(t, d.AddCertificate(ctx, c))
	if d.AddCertificate(ctx, c) == nil {
		t.Error("one serial was stored twice")
	}
	if der, err := d.CertificateDER(ctx, "0a"); err != nil || string(der) != "der" {
		t.Errorf("der %q, %v", der, err)
	}
	c.DER = nil
	if got, err := d.Certificate(ctx, "0a"); err != nil || !reflect.DeepEqual(got, c) {
		t.Errorf("certificate %+v, %v", got, err)
	}
	if done, err := d.Revoke(ctx, "0a", "stolen", moment); err != nil || !done {
		t.Errorf("revoke: %v, %v", done, err)
	}
	if done, err := d.Revoke(ctx, "0a", "again", moment.Add(1e9)); err != nil || done {
		t.Errorf("revoke again: %v, %v", done, err)
	}
	if got, err := d.DeviceCertificates(ctx, "alice", "laptop"); err != nil || len(got) != 1 || got[0].Reason != "stolen" || got[0].Revoked != moment {
		t.Errorf("certificates %+v, %v", got, err)
	}

	v := Invitation{SecretHash: [32]byte{9}, User: "alice", Admin: true, Created: moment, Expires: moment.Add(time.Hour)}
	must(t, d.AddInvitation(ctx, v))
	if got, err := d.Invitation(ctx, v.SecretHash); err != nil || got != v {
		t.Errorf("invitation %+v, %v", got, err)
	}
	for i, want := range []bool{true, false} {
		if won, err := d.UseInvitation(ctx, v.SecretHash, [32]byte{7}, "0a", moment); err != nil || won != want {
			t.Errorf("use %d: %v, %v", i, won, err)
		}
	}

	l := Login{TokenHash: [32]byte{5}, Lineage: "0a", User: "alice", Device: "laptop", Created: moment, LastUsed: moment}
	must(t, d.AddLogin(ctx, l))
	must(t, d.TouchLogin(ctx, l.TokenHash, moment.Add(time.Hour)))
	must(t, d.TouchLogin(ctx, l.TokenHash, moment)) // never back
	l.LastUsed = moment.Add(time.Hour)
	if got, err := d.Logins(ctx); err != nil || len(got) != 1 || got[0] != l {
		t.Errorf("logins %+v, %v", got, err)
	}

	a := Attempts{Key: "login/alice/laptop", Failures: 3, Last: moment, Until: moment.Add(1e9)}
	must(t, d.PutAttempts(ctx, a))
	must(t, d.DropAttemptsBelow(ctx, "login/alic/"))
	must(t, d.DropAttemptsBelow(ctx, "login/%/"))
	if got, err := d.Attempts(ctx, a.Key); err != nil || got != a {
		t.Errorf("attempts %+v, %v", got, err)
	}
	must(t, d.DropAttemptsBelow(ctx, "login/alice/"))
	if got, err := d.Attempts(ctx, a.Key); err != nil || got.Failures != 0 {
		t.Errorf("attempts %+v, %v", got, err)
	}
}

func TestUpdateIsAllOrNothing(t *testing.T) {
	t.Parallel()
	ctx, d := t.Context(), newDB(t)
	stop := errors.New("stop")
	err := d.Update(ctx, func(q Queries) error {
		must(t, q.PutUser(ctx, User{Name: "alice", Created: moment}))
		return stop
	})
	if !errors.Is(err, stop) {
		t.Fatal(err)
	}
	if users, err := d.Users(ctx); err != nil || len(users) != 0 {
		t.Errorf("users %v, %v", users, err)
	}
}

// Every change by anybody else is noticed; none is reported that was not made.
func TestDataVersion(t *testing.T) {
	t.Parallel()
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "hufu.db")
	a, b := open(t, path), open(t, path)
	before, err := a.DataVersion(ctx)
	must(t, err)
	for i, change := range []*DB{a, b, a, b} {
		same, err := a.DataVersion(ctx)
		must(t, err)
		if same != before {
			t.Errorf("version changed before change %d", i)
		}
		must(t, change.PutUser(ctx, User{Name: "alice", Created: moment.Add(time.Duration(i) * time.Second)}))
		after, err := a.DataVersion(ctx)
		must(t, err)
		if after == before {
			t.Errorf("change %d was not noticed", i)
		}
		before = after
	}
}

// TestConcurrentReadersAndWriters: nothing that two processes count is lost. On
// a slow disk one may find the other's lock taken for too long: it is told so,
// and tries again.
func TestConcurrentReadersAndWriters(t *testing.T) {
	t.Parallel()
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "hufu.db")
	dbs := []*DB{open(t, path), open(t, path)}
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			d := dbs[i%2]
			for range 5 {
				err := error(&hufu.Error{Kind: hufu.KindUnavailable})
				for hufu.KindOf(err) == hufu.KindUnavailable {
					err = d.Update(ctx, func(q Queries) error {
						a, err := q.Attempts(ctx, "k")
						if err != nil {
							return err
						}
						a.Failures++
						return q.PutAttempts(ctx, a)
					})
				}
				if err != nil {
					t.Error(err)
				}
				if _, err := d.Users(ctx); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if a, err := dbs[0].Attempts(ctx, "k"); err != nil || a.Failures != 80 {
		t.Errorf("counted %d of 80, %v", a.Failures, err)
	}
}

// TestUpdatesTakeTurns: one that waits for its turn ends with its context.
func TestUpdatesTakeTurns(t *testing.T) {
	t.Parallel()
	d := open(t, filepath.Join(t.TempDir(), "hufu.db"))
	ctx, cancel := context.WithCancel(t.Context())
	second := make(chan error, 1)
	must(t, d.Update(t.Context(), func(Queries) error {
		go func() { second <- d.Update(ctx, func(Queries) error { return nil }) }()
		cancel()
		if err := <-second; hufu.KindOf(err) != hufu.KindCanceled {
			t.Errorf("a waiting update was told %v", err)
		}
		return nil
	}))
	must(t, d.Update(t.Context(), func(Queries) error { return nil }))
}

func TestOpenTogether(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "hufu.db")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			d, err := Open(t.Context(), path)
			if err != nil {
				t.Error(err)
				return
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestOpenKeepsStrangersOut(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a b?c#d%20'")
	must(t, os.Mkdir(dir, 0o700))
	d := open(t, filepath.Join(dir, "hufu.db"))
	must(t, d.PutUser(t.Context(), User{Name: "alice", Created: moment}))
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		fi, err := e.Info()
		must(t, err)
		if runtime.GOOS != "windows" && fi.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", e.Name(), fi.Mode())
		}
	}
	if len(entries) == 0 {
		t.Error("the database is somewhere else")
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "text"), []byte(strings.Repeat("this is no database ", 400)), 0o600))
	newer := filepath.Join(dir, "newer")
	d, err := Open(t.Context(), newer)
	must(t, err)
	_, err = d.exec(t.Context(), "test", "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)")
	must(t, errors.Join(err, d.Close()))
	for path, code := range map[string]string{
		filepath.Join(dir, "text"):         "database_corrupt",
		newer:                              "database_newer",
		filepath.Join(dir, "no", "folder"): "database_open",
	} {
		if _, err := Open(t.Context(), path); hufu.CodeOf(err) != code {
			t.Errorf("%s: %v", path, err)
		}
	}
}

const injection = `' OR '1'='1' -- `

// What looks like SQL is data: it is stored as it is, finds nothing else, and
// changes nothing else.
func TestHT13ValuesAreNeverSQL(t *testing.T) {
	t.Parallel()
	ctx, d := t.Context(), newDB(t)
	must(t, d.PutUser(ctx, User{Name: "alice", Password: "secret", Created: moment}))
	must(t, d.AddCertificate(ctx, sampleCertificate("0a")))
	must(t, d.PutAttempts(ctx, Attempts{Key: "login/alice/x", Failures: 1}))
	for _, bad := range []string{injection, `"; DROP TABLE users; --`, `\' OR 1=1#`, "a\x00b", "%", "_", "\xff"} {
		if _, err := d.User(ctx, bad); hufu.KindOf(err) != hufu.KindNotFound {
			t.Errorf("user %q: %v", bad, err)
		}
		if _, err := d.Certificate(ctx, bad); hufu.KindOf(err) != hufu.KindNotFound {
			t.Errorf("certificate %q: %v", bad, err)
		}
		if c, err := d.DeviceCertificates(ctx, bad, bad); err != nil || len(c) != 0 {
			t.Errorf("device %q: %v, %v", bad, c, err)
		}
		if done, err := d.Revoke(ctx, bad, bad, moment); err != nil || done {
			t.Errorf("revoke %q: %v, %v", bad, done, err)
		}
		for _, f := range []func(context.Context, string) error{d.DropLogins, d.DropInvitations, d.DropAttempts, d.DropAttemptsBelow, d.DropDevices} {
			must(t, f(ctx, bad))
		}
		must(t, d.PutUser(ctx, User{Name: bad, Password: bad, Created: moment}))
		if u, err := d.User(ctx, bad); err != nil || u.Password != bad {
			t.Errorf("user %q came back as %+v, %v", bad, u, err)
		}
	}
	if u, err := d.User(ctx, "alice"); err != nil || u.Password != "secret" {
		t.Errorf("alice is %+v, %v", u, err)
	}
	if c, err := d.Certificate(ctx, "0a"); err != nil || !c.Revoked.IsZero() {
		t.Errorf("certificate is %+v, %v", c, err)
	}
	if a, err := d.Attempts(ctx, "login/alice/x"); err != nil || a.Failures != 1 {
		t.Errorf("attempts are %+v, %v", a, err)
	}
}

// The statement of each query is one string literal: nothing is ever put
// together.
func TestHT13StatementsAreConstants(t *testing.T) {
	t.Parallel()
	set, found := token.NewFileSet(), 0
	names, err := filepath.Glob("*.go")
	must(t, err)
	// where each function takes its statement
	at := map[string]int{"exec": 2, "all": 4, "one": 4, "ExecContext": 1, "QueryContext": 1, "QueryRowContext": 1}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, name, nil, 0)
		must(t, err)
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			// these hand the statement on, as they were given it
			if !ok || f.Name.Name == "exec" || f.Name.Name == "all" || f.Name.Name == "one" {
				continue
			}
			ast.Inspect(f, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				var fn string
				switch f := call.Fun.(type) {
				case *ast.Ident:
					fn = f.Name
				case *ast.SelectorExpr:
					fn = f.Sel.Name
				}
				i, ok := at[fn]
				if !ok {
					return true
				}
				found++
				if lit, ok := call.Args[i].(*ast.BasicLit); !ok || lit.Kind != token.STRING {
					t.Errorf("%s: the statement is not a literal", set.Position(call.Pos()))
				}
				return true
			})
		}
	}
	if found < 20 {
		t.Errorf("found %d statements only: the scan is broken", found)
	}
}

func TestMigrationsAreEmbedded(t *testing.T) {
	t.Parallel()
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil || len(names) == 0 {
		t.Errorf("%v, %v", names, err)
	}
}

func BenchmarkDataVersion(b *testing.B) {
	d, err := Open(b.Context(), filepath.Join(b.TempDir(), "hufu.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	for b.Loop() {
		if _, err := d.DataVersion(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
