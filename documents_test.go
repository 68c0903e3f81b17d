package hufu_test

import (
	"fmt"
	"go/ast"
	"io/fs"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"hufu"
)

// TestEveryPromiseHasATest holds the threat model to the tests: each case it
// promises must be the beginning of a test's name, or be named in a test file.
func TestEveryPromiseHasATest(t *testing.T) {
	t.Parallel()
	model, err := os.ReadFile("docs/threat-model.md")
	if err != nil {
		t.Fatal(err)
	}
	promised := make(map[string]string)
	for line := range strings.Lines(string(model)) {
		if !strings.HasPrefix(line, "|") {
			continue
		}
		for _, m := range regexp.MustCompile(`HT-(\d\d)`).FindAllStringSubmatch(line, -1) {
			promised[m[1]], _, _ = strings.Cut(strings.TrimPrefix(line, "| "), " |")
		}
	}
	if len(promised) < 30 {
		t.Fatalf("found %d promises only: the scan is broken", len(promised))
	}
	_, all := sources(t)
	var tests strings.Builder
	for _, s := range all {
		if !s.test || s.pkg == "" && s.name == "documents_test.go" {
			continue
		}
		data, err := os.ReadFile(s.name)
		if err != nil {
			t.Fatal(err)
		}
		tests.Write(data)
	}
	for _, n := range slices.Sorted(maps.Keys(promised)) {
		named := regexp.MustCompile(fmt.Sprintf(`\b(Test|Fuzz)\w*HT%s|"[^"\n]*\bHT-?%s\b`, n, n))
		if !named.MatchString(tests.String()) {
			t.Errorf("no test is named after HT-%s: %s", n, promised[n])
		}
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)#\s]*)(?:#([^)\s]*))?\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	notInID = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// TestLinksLeadSomewhere follows the links between the documents, to the
// heading.
func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	root := os.DirFS(".")
	var documents []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md"} {
		some, err := fs.Glob(root, pattern)
		if err != nil {
			t.Fatal(err)
		}
		documents = append(documents, some...)
	}
	headings := make(map[string][]string)
	texts := make(map[string]string)
	for _, name := range documents {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = string(data)
		for _, m := range heading.FindAllStringSubmatch(texts[name], -1) {
			id := notInID.ReplaceAllString(strings.ToLower(m[1]), "")
			headings[name] = append(headings[name], strings.ReplaceAll(id, " ", "-"))
		}
	}
	for _, name := range documents {
		for _, m := range link.FindAllStringSubmatch(texts[name], -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			to := name
			if m[1] != "" {
				to = path.Join(path.Dir(name), m[1])
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s: %s leads nowhere", name, m[1])
			} else if m[2] != "" && !slices.Contains(headings[to], m[2]) {
				t.Errorf("%s: there is no heading %s in %s", name, m[2], to)
			}
		}
	}
}

// TestEveryCodeIsInTheProtocol holds the table of codes to the programs: every
// code that an error of the server's packages may have stands in it, unless it is
// one of those that stay on one computer, and nothing else does.
func TestEveryCodeIsInTheProtocol(t *testing.T) {
	t.Parallel()
	stay := map[string]string{
		"internal/session/proxy.go":  "the client's way to a server",
		"internal/session/client.go": "the client's end", "internal/session/dial.go": "the client's end",
		"internal/identity/client.go": "what a client thinks of a server", "internal/identity/classify.go": "of a handshake that failed",
		"internal/identity/key.go": "of the command line, but for what a request's key is", "internal/identity/server.go": "of the start",
		"internal/identity/subject.go": "of the command line", "internal/identity/describe.go": "for people", "internal/identity/explain.go": "for people",
		"internal/ca/ca.go": "of the start", "internal/ca/another.go": "of the start", "internal/ca/init.go": "of hufud init", "internal/ca/file.go": "of hufud init",
		"internal/ca/outside.go": "of hufud cert", "internal/ca/renewca.go": "of hufud ca", "internal/ca/server.go": "of the start", "internal/account/users.go": "of hufud user",
		"internal/account/certificates.go": "of hufud cert", "invitation.go": "of the command line", "errors.go": "kinds",
	}
	local := strings.Fields(`
		bad_address cannot_listen teach_not_loopback serve_stuck
		invitation_life invitation_no_id invitation_spent invite_locked invite_not_admin reason_unprintable sign_use
		cert_unreadable key_other_cert database_differs database_newer database_open database_url database_url_at database_url_ca database_url_option data_folder_read_only
		chunk_form condition_form no_uploads_folder upload_key upload_size
		connection_lost connection_stalled
		digest_form name_too_long path_segment path_too_long`)
	english := map[string]bool{}
	catalogues, err := fs.Glob(os.DirFS("."), "internal/text/en/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range catalogues {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^\s*"error\.([a-z_]+)":`).FindAllStringSubmatch(string(data), -1) {
			english[m[1]] = true
		}
	}
	kinds := map[string]bool{}
	for _, k := range hufu.Kinds() {
		kinds[k.String()] = true
	}
	sent := map[string]bool{"key_too_weak": true} // of identity/key.go
	for code := range english {
		if strings.HasPrefix(code, "client_") {
			sent[code] = true // put together in identity/judge.go
		}
	}
	_, all := sources(t)
	for _, s := range all {
		switch s.pkg {
		case "", "internal/server", "internal/session", "internal/files", "internal/access", "internal/account", "internal/ca",
			"internal/blob/disk", "internal/blob/mem", "internal/frame", "internal/identity", "internal/digest", "internal/meta":
		default:
			continue
		}
		if s.test || stay[s.name] != "" {
			continue
		}
		data, err := os.ReadFile(s.name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`"([a-z_]+)"`).FindAllStringSubmatch(string(data), -1) {
			if code := m[1]; english[code] && !kinds[code] && !slices.Contains(local, code) {
				sent[code] = true
			}
		}
	}
	document, err := os.ReadFile("docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(document), "### Codes\n")
	table, _, _ = strings.Cut(table, "\n## ")
	told := map[string]bool{}
	for _, m := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(table, -1) {
		told[m[1]] = true
	}
	if len(told) < 60 {
		t.Fatalf("%d codes: the scan is broken", len(told))
	}
	for _, code := range slices.Sorted(maps.Keys(sent)) {
		if !told[code] {
			t.Errorf("docs/protocol.md, Codes, lacks %s; or it stays on one machine", code)
		}
	}
	for _, code := range slices.Sorted(maps.Keys(told)) {
		if !sent[code] {
			t.Errorf("docs/protocol.md, Codes, has %s, which no server sends", code)
		}
	}
}

// TestWalkIsTheCode: each function that the walk of one byte names is there.
func TestWalkIsTheCode(t *testing.T) {
	t.Parallel()
	design, err := os.ReadFile("docs/design.md")
	if err != nil {
		t.Fatal(err)
	}
	_, walk, found := strings.Cut(string(design), "## The walk of one byte")
	walk, _, ended := strings.Cut(walk, "\n## ")
	if !found || !ended {
		t.Fatal("docs/design.md has no walk of one byte")
	}
	_, all := sources(t)
	there := make(map[string]bool)
	for _, s := range all {
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || s.test {
				continue
			}
			name := f.Name.Name
			if f.Recv != nil {
				of := f.Recv.List[0].Type
				if star, ok := of.(*ast.StarExpr); ok {
					of = star.X
				}
				if id, ok := of.(*ast.Ident); ok {
					name = id.Name + "." + name
				}
			}
			there[s.file.Name.Name+"."+name] = true
		}
	}
	named := regexp.MustCompile("`([a-z]+\\.[A-Za-z.]+)`").FindAllStringSubmatch(walk, -1)
	if len(named) < 25 {
		t.Fatalf("the walk names %d functions: the scan is broken", len(named))
	}
	for _, m := range named {
		if !there[m[1]] {
			t.Errorf("the walk names %s, which is not there", m[1])
		}
	}
}
