package text

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// A place is a literal in the source that must be a key of the catalogues.
type place struct {
	at  string // file:line
	key string
}

// source is what the Go and JavaScript files of the module say of texts. Test
// files are left out: they make up what they need.
type source struct {
	texts  []place // T("…")
	counts []place // N("…", n)
	codes  []place // Code: "…", or "…" for a parameter named code, or right behind a kind
	pieces []string
}

const module = "../.."

func readSource(t *testing.T) source {
	t.Helper()
	var s source
	set := token.NewFileSet()
	packages := make(map[string][]*ast.File)
	err := filepath.WalkDir(module, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != module && (strings.HasPrefix(d.Name(), ".") || slices.Contains([]string{"testdata", "bin", "vendor", "test", "tools"}, d.Name())):
			return filepath.SkipDir
		case strings.HasSuffix(name, ".js"):
			return s.readScript(name)
		case strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go"):
			file, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			packages[filepath.Dir(name)] = append(packages[filepath.Dir(name)], file)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, files := range packages {
		s.readPackage(set, files)
	}
	return s
}

func (s *source) readPackage(set *token.FileSet, files []*ast.File) {
	takes := make(map[string]int) // functions with a parameter named code, and its index
	for _, file := range files {
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				if i := codeParameter(f); i >= 0 {
					takes[f.Name.Name] = i
				}
			}
		}
	}
	for _, file := range files {
		s.readGo(set, file, takes)
	}
}

func codeParameter(f *ast.FuncDecl) int {
	i := 0
	for _, field := range f.Type.Params.List {
		kind, ok := field.Type.(*ast.Ident)
		for _, name := range field.Names {
			if ok && kind.Name == "string" && name.Name == "code" {
				return i
			}
			i++
		}
	}
	return -1
}

func (s *source) readGo(set *token.FileSet, file *ast.File, takes map[string]int) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ReturnStmt:
			s.readBehindKinds(set, n.Results)
		case *ast.CompositeLit:
			s.readBehindKinds(set, n.Elts)
		case *ast.AssignStmt:
			s.readBehindKinds(set, n.Rhs)
		case *ast.CallExpr:
			s.readBehindKinds(set, n.Args)
			if i, ok := takes[method(n)]; ok {
				if code, ok := literal(n.Args, i); ok && code != "" {
					s.codes = append(s.codes, place{set.Position(n.Pos()).String(), code})
				}
			}
			key, ok := literal(n.Args, 0)
			if !ok {
				return true
			}
			switch method(n) {
			case "T":
				s.texts = append(s.texts, place{set.Position(n.Pos()).String(), key})
			case "N":
				s.counts = append(s.counts, place{set.Position(n.Pos()).String(), key})
			}
		case *ast.KeyValueExpr:
			if id, ok := n.Key.(*ast.Ident); !ok || id.Name != "Code" {
				return true
			}
			if code, ok := literal([]ast.Expr{n.Value}, 0); ok && code != "" {
				s.codes = append(s.codes, place{set.Position(n.Pos()).String(), code})
			}
		case *ast.BinaryExpr:
			if n.Op == token.ADD && pieced(n) {
				// a sum of three is a sum in a sum, at the same place
				if at := set.Position(n.Pos()).String(); !slices.Contains(s.pieces, at) {
					s.pieces = append(s.pieces, at)
				}
			}
		}
		return true
	})
}

// readBehindKinds finds the code in a list like hufu.KindQuota, "disk_full".
func (s *source) readBehindKinds(set *token.FileSet, list []ast.Expr) {
	for i, e := range list {
		var name string
		switch e := e.(type) {
		case *ast.SelectorExpr:
			name = e.Sel.Name
		case *ast.Ident:
			name = e.Name
		}
		if code, ok := literal(list, i+1); ok && strings.HasPrefix(name, "Kind") && codeForm.MatchString(code) {
			s.codes = append(s.codes, place{set.Position(e.Pos()).String(), code})
		}
	}
}

var codeForm = regexp.MustCompile(`^[a-z0-9_]+$`)

// pieced reports whether a sum puts a text of the catalogue beside words or
// beside another text. White space and marks around a whole sentence are
// layout and allowed.
func pieced(sum *ast.BinaryExpr) bool {
	texts, words := 0, 0
	var walk func(ast.Expr)
	walk = func(e ast.Expr) {
		switch e := e.(type) {
		case *ast.BinaryExpr:
			walk(e.X)
			walk(e.Y)
		case *ast.CallExpr:
			if m := method(e); m == "T" || m == "N" {
				if _, ok := literal(e.Args, 0); ok {
					texts++
				}
			}
		case *ast.BasicLit:
			if strings.ContainsFunc(e.Value, unicode.IsSpace) && strings.ContainsFunc(e.Value, unicode.IsLetter) {
				words++
			}
		}
	}
	walk(sum)
	return texts > 1 || texts == 1 && words > 0
}

func method(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.SelectorExpr:
		return f.Sel.Name
	case *ast.Ident:
		return f.Name
	}
	return ""
}

func literal(args []ast.Expr, i int) (string, bool) {
	if i >= len(args) {
		return "", false
	}
	lit, ok := args[i].(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(lit.Value)
	return s, err == nil
}

var scriptKey = regexp.MustCompile(`["'\x60](gui\.[a-z0-9_.]*[a-z0-9_])["'\x60]`)

func (s *source) readScript(name string) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	for _, m := range scriptKey.FindAllSubmatch(data, -1) {
		s.texts = append(s.texts, place{name, string(m[1])})
	}
	return nil
}

func TestEveryKeyInTheSourceHasAText(t *testing.T) {
	t.Parallel()
	s, c := readSource(t), For(English)
	for _, p := range s.texts {
		// a page chooses between .one and .other by itself
		counted := strings.HasSuffix(p.at, ".js") && c.Has(p.key+".other")
		if !c.Has(p.key) && !counted {
			t.Errorf("%s: no text for %q", p.at, p.key)
		}
	}
	for _, p := range s.counts {
		if !c.Has(p.key+".one") || !c.Has(p.key+".other") {
			t.Errorf("%s: %q needs .one and .other", p.at, p.key)
		}
	}
}

func TestEveryErrorCodeHasATextAndAFix(t *testing.T) {
	t.Parallel()
	s, c := readSource(t), For(English)
	if len(s.codes) == 0 {
		t.Fatal("found no code in the source: the scan is broken")
	}
	seen := make(map[string]bool)
	for _, p := range s.codes {
		if seen[p.key] {
			continue
		}
		seen[p.key] = true
		for _, key := range []string{"error." + p.key, "error." + p.key + ".fix"} {
			if !c.Has(key) {
				t.Errorf("%s: no text for %q", p.at, key)
			}
		}
	}
}

func TestNoSentenceIsPutTogetherFromPieces(t *testing.T) {
	t.Parallel()
	for _, at := range readSource(t).pieces {
		t.Errorf("%s: a text is joined to other words; write one whole sentence with placeholders", at)
	}
}

// The scan is itself code that may go blind.
func TestScanSeesWhatItShould(t *testing.T) {
	t.Parallel()
	const code = `package p
func f(c C) {
	c.T("a.b", "x", 1)
	c.N("a.n", 2)
	_ = &Error{Code: "broken"}
	_ = c.T("a.b") + " and then " + x
	_ = c.T("a.b") + c.T("a.c")
	_ = "  " + c.T("a.b") + "\n"
	return refuse(1, "by_helper")
}
func g() (hufu.Kind, string) { return hufu.KindQuota, "behind_kind" }
func refuse(n int, code string) error`
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, "p.go", code, 0)
	if err != nil {
		t.Fatal(err)
	}
	var s source
	s.readPackage(set, []*ast.File{file})
	if len(s.texts) != 5 || len(s.counts) != 1 || len(s.codes) != 3 || len(s.pieces) != 2 {
		t.Errorf("scan found %+v", s)
	}
}
