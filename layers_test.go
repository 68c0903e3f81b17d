package hufu_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// arrows are all imports between packages of this module, beside the root
// package, which everyone may import. An arrow that is not here is a design
// decision: write it down in docs/decisions first.
var arrows = map[string][]string{
	"":                       {},
	"internal/text":          {},
	"internal/atomicfile":    {},
	"internal/digest":        {},
	"internal/identity":      {},
	"internal/frame":         {},
	"internal/capture":       {"internal/atomicfile"},
	"internal/report":        {"internal/capture", "internal/cli", "internal/atomicfile"},
	"internal/meta":          {},
	"internal/meta/metatest": {"internal/meta"},
	"internal/access":        {},
	"internal/session":       {"internal/frame", "internal/digest"},
	"internal/account":       {"internal/meta"},
	"internal/ca":            {"internal/identity", "internal/account", "internal/meta", "internal/atomicfile"},
	"internal/blob":          {"internal/digest"},
	"internal/blob/disk":     {"internal/digest", "internal/blob", "internal/blob/disk/sys", "internal/atomicfile"},
	"internal/blob/disk/sys": {},
	"internal/blob/mem":      {"internal/blob", "internal/digest"},
	"internal/blob/object":   {"internal/blob", "internal/digest", "internal/meta"},
	"internal/watch":         {},
	"internal/transfer":      {"internal/digest", "internal/blob"},
	"internal/files":         {"internal/access", "internal/blob", "internal/digest"},
	"internal/profile":       {"internal/session", "internal/frame", "internal/identity", "internal/atomicfile"},
	"internal/client":        {"internal/profile", "internal/transfer", "internal/session", "internal/frame", "internal/identity", "internal/blob", "internal/digest", "internal/atomicfile"},
	"internal/queue":         {"internal/client", "internal/profile", "internal/transfer", "internal/atomicfile"},
	"internal/demo":          {"internal/client", "internal/profile", "internal/transfer", "internal/capture", "internal/report", "internal/identity"},
	"internal/server":        {"internal/session", "internal/frame", "internal/identity", "internal/account", "internal/files", "internal/ca", "internal/blob", "internal/digest"},
	"internal/picture":       {},
	"internal/autostart":     {"internal/atomicfile"},
	"internal/cli":           {"internal/text"},
	"internal/testenv/port":  {},
	"internal/testenv/proxy": {},
	"internal/testenv/rerun": {},
	"internal/cli/clitest":   {"internal/cli", "internal/text"},
	"internal/gui":           {"internal/queue", "internal/client", "internal/profile", "internal/demo", "internal/picture", "internal/autostart", "internal/text", "internal/atomicfile"},
	"internal/blob/blobtest": {"internal/blob", "internal/digest"},
}

// stores are the packages that keep files. The tests of a package that knows the
// contract run it on them.
var stores = []string{"internal/blob/disk", "internal/blob/mem", "internal/blob/blobtest"}

// free are the places that wire packages together and may import any of them.
var free = []string{"cmd/hufu", "cmd/hufud", "internal/testenv"}

// foreign are packages outside the module that only some may import, their
// tests included.
var foreign = map[string][]string{
	"database/sql": {"internal/meta"},
	"crypto/x509":  {"internal/identity", "internal/ca", "internal/meta"}, // meta: the CA of a database server
}

// unlinked is what a program must not reach by any way: the client links no
// database driver and no CA.
var unlinked = map[string][]string{
	"cmd/hufu": {"internal/meta", "internal/account", "internal/ca", "internal/server", "internal/files"},
}

// A source is one Go file of the module.
type source struct {
	name    string // slash path below the root
	pkg     string // its folder
	test    bool
	file    *ast.File
	imports []string
}

func sources(t *testing.T) (*token.FileSet, []source) {
	t.Helper()
	set := token.NewFileSet()
	var all []source
	err := fs.WalkDir(os.DirFS("."), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || slices.Contains([]string{"testdata", "bin", "vendor", "tools"}, d.Name())):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		file, err := parser.ParseFile(set, filepath.FromSlash(name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		s := source{name: name, pkg: strings.TrimPrefix(path.Dir(name), "."), test: strings.HasSuffix(name, "_test.go"), file: file}
		for _, i := range file.Imports {
			p, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			s.imports = append(s.imports, p)
		}
		all = append(all, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 5 {
		t.Fatalf("found %d files only: the scan is broken", len(all))
	}
	return set, all
}

func TestArrows(t *testing.T) {
	t.Parallel()
	_, all := sources(t)
	linked := make(map[string][]string)
	for _, s := range all {
		wires := slices.Contains(free, s.pkg) || outside(s.pkg)
		may, known := arrows[s.pkg]
		if !known && !wires {
			t.Errorf("%s: package %s is not in the table of arrows", s.name, s.pkg)
			continue
		}
		for _, p := range s.imports {
			to, ours := strings.CutPrefix(p, "hufu/")
			if !ours || to == s.pkg {
				continue
			}
			if !s.test {
				linked[s.pkg] = append(linked[s.pkg], to)
			}
			switch {
			case strings.HasPrefix(to, "cmd/"):
				t.Errorf("%s imports a program: %s", s.name, to)
			case wires, s.test && strings.HasSuffix(s.file.Name.Name, "_test"):
				// Seen from outside its package, a test may start a whole hufu.
			case s.test && slices.Contains(may, "internal/blob") && slices.Contains(stores, to):
			case !slices.Contains(may, to):
				t.Errorf("%s: no arrow from %q to %q", s.name, s.pkg, to)
			}
		}
	}
	for program, not := range unlinked {
		reach := reachable(program, linked)
		for _, p := range not {
			if reach[p] {
				t.Errorf("%s links %s", program, p)
			}
		}
	}
	for pkg, may := range arrows {
		for _, p := range append([]string{pkg}, may...) {
			if p != "" && !slices.ContainsFunc(all, func(s source) bool { return s.pkg == p && !s.test }) {
				t.Errorf("the table of arrows names package %s, which is not there", p)
			}
		}
		if reachable(pkg, arrows)[pkg] {
			t.Errorf("the arrows of %s lead back to it", pkg)
		}
	}
}

// outside reports whether pkg is part of neither program: end-to-end tests,
// measurements and the making of packages.
func outside(pkg string) bool {
	first, _, _ := strings.Cut(pkg, "/")
	return first == "test" || first == "bench" || first == "release"
}

func reachable(from string, edges map[string][]string) map[string]bool {
	seen := make(map[string]bool)
	todo := slices.Clone(edges[from])
	for len(todo) > 0 {
		p := todo[0]
		todo = todo[1:]
		if !seen[p] {
			seen[p] = true
			todo = append(todo, edges[p]...)
		}
	}
	return seen
}

// TestSecondClientKnowsOnlyTheDocument: a client in test/ that is written from
// docs/protocol.md proves nothing if it borrows our code.
func TestSecondClientKnowsOnlyTheDocument(t *testing.T) {
	t.Parallel()
	_, all := sources(t)
	for _, s := range all {
		if s.pkg != "test/second" && !strings.HasPrefix(s.pkg, "test/second/") || s.test {
			continue
		}
		for _, p := range s.imports {
			if p == "hufu" || strings.HasPrefix(p, "hufu/internal/") {
				t.Errorf("%s imports %s", s.name, p)
			}
		}
	}
}

func TestForeignImports(t *testing.T) {
	t.Parallel()
	_, all := sources(t)
	for _, s := range all {
		for _, p := range s.imports {
			if s.test || outside(s.pkg) || s.pkg == "internal/testenv" {
				continue
			}
			for _, only := range slices.Sorted(maps.Keys(foreign)) {
				if (p == only || strings.HasPrefix(p, only+"/")) && !slices.Contains(foreign[only], s.pkg) {
					t.Errorf("%s: %s belongs to %v only", s.name, p, foreign[only])
				}
			}
		}
	}
}

func TestNoPackageIsAHeap(t *testing.T) {
	t.Parallel()
	_, all := sources(t)
	for _, s := range all {
		for _, bad := range []string{"util", "utils", "common", "misc", "helper", "helpers", "shared", "base"} {
			if s.file.Name.Name == bad || path.Base(s.pkg) == bad {
				t.Errorf("%s: package %s: a function belongs to the thing it is about", s.name, bad)
			}
		}
	}
}

func TestNoInitAndNoLeftovers(t *testing.T) {
	t.Parallel()
	set, all := sources(t)
	for _, s := range all {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s: no init: build a value and hand it down", set.Position(f.Pos()))
			}
		}
		for _, group := range s.file.Comments {
			for _, c := range group.List {
				if strings.Contains(c.Text, "TO"+"DO") || strings.Contains(c.Text, "FIX"+"ME") {
					t.Errorf("%s: do it or delete it", set.Position(c.Pos()))
				}
			}
		}
	}
}

// TestHT13NoStringBuiltSQL finds a statement that is put together from pieces:
// a literal that looks like SQL in a sum or in a call of fmt and, in meta, any
// query or fragment handed to the database that is a sum or the outcome of a
// call.
func TestHT13NoStringBuiltSQL(t *testing.T) {
	t.Parallel()
	set, all := sources(t)
	for _, s := range all {
		if s.test {
			continue
		}
		for _, at := range builtSQL(set, s.file, s.pkg == "internal/meta") {
			t.Errorf("%s: SQL takes parameters, it is never put together", at)
		}
	}
}

func builtSQL(set *token.FileSet, file *ast.File, queries bool) []string {
	takers := []string{
		"Where", "WhereOr", "Set", "Having", "Join", "JoinOn", "On", "ColumnExpr", "OrderExpr", "GroupExpr", "TableExpr", "ModelTableExpr", "Returning",
		"NewRaw", "Raw", "Exec", "ExecContext", "Query", "QueryContext", "QueryRow", "QueryRowContext", "Prepare", "PrepareContext",
	}
	var found []string
	report := func(n ast.Node) { found = append(found, set.Position(n.Pos()).String()) }
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BinaryExpr:
			if n.Op == token.ADD && !constant(n) && (looksLikeSQL(n.X) || looksLikeSQL(n.Y)) {
				report(n)
			}
		case *ast.CallExpr:
			sel, ok := n.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			x, _ := sel.X.(*ast.Ident)
			switch {
			case x != nil && x.Name == "fmt":
				if slices.ContainsFunc(n.Args, looksLikeSQL) {
					report(n)
				}
			case x != nil && (x.Name == "strings" || x.Name == "filepath" || x.Name == "path"):
			case queries && slices.Contains(takers, sel.Sel.Name):
				for _, arg := range n.Args[:min(2, len(n.Args))] { // the context, then the query
					if sum, ok := arg.(*ast.BinaryExpr); ok && sum.Op == token.ADD && !constant(sum) {
						report(n)
					}
					if call, ok := arg.(*ast.CallExpr); ok && len(n.Args) > 0 && arg == n.Args[0] && named(call, "Sprintf", "Join", "String", "Replace", "ReplaceAll") {
						report(n)
					}
				}
			}
		}
		return true
	})
	return found
}

func named(call *ast.CallExpr, names ...string) bool {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	return ok && slices.Contains(names, sel.Sel.Name)
}

func constant(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		return true
	case *ast.BinaryExpr:
		return constant(e.X) && constant(e.Y)
	}
	return false
}

func looksLikeSQL(e ast.Expr) bool {
	if sum, ok := e.(*ast.BinaryExpr); ok {
		return looksLikeSQL(sum.X) || looksLikeSQL(sum.Y)
	}
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return false
	}
	words := strings.Fields(strings.Trim(lit.Value, "\"`"))
	if len(words) == 0 {
		return false
	}
	// In capitals only: "update the set" may stand in a sentence.
	pairs := map[string][]string{
		"SELECT": {"FROM"}, "INSERT": {"INTO"}, "DELETE": {"FROM"}, "UPDATE": {"SET"}, "REPLACE": {"INTO"},
		"CREATE": {"TABLE", "INDEX", "TRIGGER", "VIEW"}, "DROP": {"TABLE", "INDEX"}, "ALTER": {"TABLE"},
	}
	for _, second := range pairs[words[0]] {
		if slices.Contains(words[1:], second) {
			return true
		}
	}
	return slices.Contains([]string{"WHERE", "VALUES", "PRAGMA", "ATTACH"}, words[0])
}

// TestHT14NoShell: hufu starts no shell. The one program that is started with
// an argument from outside is a browser, with a fixed argument list.
func TestHT14NoShell(t *testing.T) {
	t.Parallel()
	set, all := sources(t)
	starters := []string{"internal/gui", "internal/testenv", "internal/testenv/rerun", "internal/meta/metatest", "cmd/hufu", "cmd/hufud"}
	for _, s := range all {
		if s.test || outside(s.pkg) {
			continue
		}
		if slices.Contains(s.imports, "os/exec") && !slices.Contains(starters, s.pkg) {
			t.Errorf("%s: starts programs", s.name)
		}
		for _, at := range shells(set, s.file) {
			t.Errorf("%s: no shell anywhere", at)
		}
	}
}

func shells(set *token.FileSet, file *ast.File) []string {
	names := []string{"sh", "bash", "dash", "zsh", "ksh", "cmd", "cmd.exe", "powershell", "powershell.exe", "pwsh", "env"}
	var found []string
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || !slices.Contains([]string{"Command", "CommandContext", "LookPath", "StartProcess", "Exec"}, sel.Sel.Name) {
			return true
		}
		for _, arg := range call.Args {
			lit, ok := arg.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				continue
			}
			if v, err := strconv.Unquote(lit.Value); err == nil && slices.Contains(names, path.Base(v)) {
				found = append(found, set.Position(lit.Pos()).String())
			}
		}
		return true
	})
	return found
}

// The scans are code that may go blind.
func TestScansSeeWhatTheyShould(t *testing.T) {
	t.Parallel()
	const code = `package p
func f(name string) {
	q("SELECT id FROM users WHERE name = '" + name + "'")
	q(fmt.Sprintf("DELETE FROM users WHERE name = %q", name))
	q("SELECT id " + "FROM users")
	q("SELECT id FROM users WHERE name = ?", name)
	r("select a file from the list: " + name)
	db.Where("name = '" + name + "'")
	db.Exec(ctx, "update users set name = " + name)
	db.Where("name = ?", name)
	exec.Command("/bin/sh", "-c", name)
	exec.Command("chromium", "--app="+name)
}`
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, "p.go", code, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, at := range append(builtSQL(set, file, true), shells(set, file)...) {
		line := strings.Split(at, ":")[1]
		if !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	if want := []string{"3", "4", "8", "9", "11"}; !slices.Equal(lines, want) {
		t.Errorf("scans found lines %v, want %v", lines, want)
	}
}

// TestFilesStayShort: a longer file has two subjects.
func TestFilesStayShort(t *testing.T) {
	t.Parallel()
	set, all := sources(t)
	for _, s := range all {
		limit := 500
		if s.test {
			limit = 900
		}
		if n := set.File(s.file.Pos()).LineCount(); n > limit {
			t.Errorf("%s has %d lines, more than %d: it has two subjects", s.name, n, limit)
		}
	}
}
