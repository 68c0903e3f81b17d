package meta

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"hufu"
)

func open(t *testing.T, path string) *DB {
	t.Helper()
	d, err := Open(t.Context(), File(path))
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

// What was written last can be read without writing anything, whether it is in
// the database file or in the log beside it.
func TestOpenReadOnly(t *testing.T) {
	t.Parallel()
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "hufu.db")
	look := func(want int) {
		t.Helper()
		d, err := OpenReadOnly(ctx, File(path))
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
	d, err := Open(ctx, File(path))
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
	d, err := Open(t.Context(), File(newer))
	must(t, err)
	_, err = d.exec(t.Context(), "test", "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)")
	must(t, errors.Join(err, d.Close()))
	for path, code := range map[string]string{
		filepath.Join(dir, "text"):         "database_corrupt",
		newer:                              "database_newer",
		filepath.Join(dir, "no", "folder"): "database_open",
	} {
		if _, err := Open(t.Context(), File(path)); hufu.CodeOf(err) != code {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// The statement of each query is a constant, but for the number of its rows: nothing is ever put
// together.
func TestHT13StatementsAreConstants(t *testing.T) {
	t.Parallel()
	set, found := token.NewFileSet(), 0
	names, err := filepath.Glob("*.go")
	must(t, err)
	// where each function takes its statement
	at := map[string]int{"exec": 2, "execNew": 2, "change": 2, "put": 2, "all": 4, "one": 4, "upsert": 0, "pick": 0, "first": 2, "folder": 3, "content": 3, "execIDs": 2, "ExecContext": 1, "QueryContext": 1, "QueryRowContext": 1}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, name, nil, 0)
		must(t, err)
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			// these hand the statement on, as they were given it
			if !ok || slices.Contains([]string{"exec", "execNew", "change", "put", "all", "one", "first", "folder", "content", "execIDs"}, f.Name.Name) {
				continue
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if field, ok := n.(*ast.KeyValueExpr); ok {
					if key, ok := field.Key.(*ast.Ident); ok && (key.Name == "turn" || key.Name == "clock") && !literal(field.Value) {
						t.Errorf("%s: the statement is not a literal", set.Position(n.Pos()))
					}
				}
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
				if !literal(call.Args[i]) {
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

// literal reports whether e is a literal, a sum of such, the literals of an
// upsert, or a choice between those.
func literal(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		return e.Kind == token.STRING
	case *ast.BinaryExpr:
		return literal(e.X) && literal(e.Y)
	case *ast.CompositeLit:
		return !slices.ContainsFunc(e.Elts, func(e ast.Expr) bool { return !literal(e.(*ast.KeyValueExpr).Value) })
	case *ast.CallExpr: // d.upsert(…), d.pick(…); rows(…), which repeats a part of it
		if f, ok := e.Fun.(*ast.Ident); ok {
			return f.Name == "rows" && literal(e.Args[0])
		}
		f, ok := e.Fun.(*ast.SelectorExpr)
		return ok && (f.Sel.Name == "upsert" || f.Sel.Name == "pick") && literal(e.Args[0])
	case *ast.SelectorExpr: // a field of a dialect, checked where it is set
		return e.Sel.Name == "turn"
	}
	return false
}

// A statement with a question mark in a literal would be misspelled for
// PostgreSQL.
func TestSpell(t *testing.T) {
	t.Parallel()
	d := &dialect{postgres: true}
	if got := d.spell("UPDATE t SET a = ?, b = ? WHERE c = ?"); got != "UPDATE t SET a = $1, b = $2 WHERE c = $3" {
		t.Error(got)
	}
	names, err := filepath.Glob("*.go")
	must(t, err)
	for _, name := range names {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		must(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && !strings.HasSuffix(name, "_test.go") && strings.Contains(lit.Value, " = ?") && regexp.MustCompile(`'[^']*\?[^']*'`).MatchString(lit.Value) {
				t.Errorf("%s: %s", name, lit.Value)
			}
			return true
		})
	}
}

func TestMigrationsAreEmbedded(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"sqlite", "postgres", "mysql"} {
		names, err := fs.Glob(migrations, "migrations/"+name+"/*.sql")
		if err != nil || len(names) == 0 {
			t.Errorf("%v, %v", names, err)
		}
	}
}

func BenchmarkVersion(b *testing.B) {
	d, err := Open(b.Context(), File(filepath.Join(b.TempDir(), "hufu.db")))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	for b.Loop() {
		if _, err := d.Version(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
