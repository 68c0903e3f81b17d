package gui

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"hufu"
	"hufu/internal/profile"
	"hufu/internal/queue"
)

// TestHT41NoBodyOfAFileIsServed: whatever route is asked for a file that holds a page, a drawing or
// an image, its bytes do not come. Only the preview shows anything of a file: a plain text, as JSON
// for a text node, and the pixels of an image, encoded again.
func TestHT41NoBodyOfAFileIsServed(t *testing.T) {
	t.Parallel()
	p := sit(t)
	const marker = "MARKER-OF-THE-BODY"
	const script = "<script>" + marker + "</script>"
	var pixel bytes.Buffer
	if err := png.Encode(&pixel, image.NewGray(image.Rect(0, 0, 1, 1))); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"evil.html": script, "evil": "<!doctype html>" + script, "evil.svg": "<svg xmlns='http://www.w3.org/2000/svg'>" + script + "</svg>",
		"drawing": "<?xml version='1.0'?><svg>" + script + "</svg>", "evil.pdf": "%PDF-1.7\n" + marker, "evil.png": pixel.String() + script,
	} {
		file := filepath.Join(p.home, name)
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		at := localPath(file)
		bodies := []string{
			`{}`, `{"side":"local","path":` + quoted(at) + `}`, `{"side":"local","path":` + quoted(at) + `,"tag":""}`, `{"side":"local","path":` + quoted(at) + `,"digest":true}`,
			`{"side":"local","path":` + quoted(localPath(p.home)) + `}`, `{"side":"local","path":` + quoted(at) + `,"to":` + quoted(at) + `}`,
			`{"side":"local","path":` + quoted(at) + `,"width":10,"height":10}`,
			`{"op":"put","sources":[` + quoted(at) + `],"to":"/"}`, `{"profile":"default","file":` + quoted(file) + `,"secrets":true,"mitm":false}`, `{"code":` + quoted(file) + `}`,
		}
		answers := 0
		for _, rt := range p.routes() {
			method, where := target(rt.pattern)
			if where == "/api/events" {
				continue
			}
			targets := []string{where, where + "?path=" + at, where + "?file=" + at}
			if method == http.MethodGet {
				targets = append(targets, "/web"+at, "/web/..%2f"+strings.TrimPrefix(at, "/"), at, "/web/index.html", "/file"+at)
			}
			for _, tg := range targets {
				for _, body := range bodies {
					w := p.do(method, tg, body)
					answers++
					if strings.Contains(w.Body.String(), marker) {
						t.Fatalf("%s %s %s serves the file", method, tg, body)
					}
					typ := w.Header().Get("Content-Type")
					// The start address leads on to the page by one of two constant pages.
					if page := strings.HasPrefix(typ, "text/html"); page && tg != "/" && !strings.HasPrefix(tg, "/?") && where != "/start" {
						t.Errorf("%s %s is a page", method, tg)
					}
					if w.Header().Get("X-Content-Type-Options") != "nosniff" {
						t.Errorf("%s %s may be sniffed", method, tg)
					}
				}
			}
		}
		if answers < 500 {
			t.Errorf("%d answers only: the walk is broken", answers)
		}
		// The file does exist: its properties and its preview are answered.
		var got struct{ Entry jsonEntry }
		if e := p.ask("properties", map[string]any{"side": "local", "path": at, "digest": true}, &got); e != nil || got.Entry.Digest == "" || got.Entry.Name != name {
			t.Errorf("properties: %+v %+v", got, e)
		}
		want := jsonPreview{Kind: shownNot, Why: otherType}
		if name == "evil.png" {
			want = jsonPreview{Kind: shownImage, Width: 1, Height: 1}
		}
		var seen jsonPreview
		if e := p.ask("preview", where{"local", at}, &seen); e != nil || seen.Kind != want.Kind || seen.Why != want.Why || seen.Width != want.Width || seen.Text != "" || (seen.PNG != nil) != (want.Width > 0) || bytes.Contains(seen.PNG, []byte(marker)) {
			t.Errorf("%s: %+v %+v", name, seen, e)
		}
	}
	// A plain text comes as data in JSON, in which no markup stands as such.
	file := filepath.Join(p.home, "notes.txt")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	w := p.do(http.MethodPost, "/api/preview", `{"side":"local","path":`+quoted(localPath(file))+`}`)
	if w.Header().Get("Content-Type") != "application/json" || !strings.Contains(w.Body.String(), marker) || strings.ContainsAny(w.Body.String(), "<>") {
		t.Errorf("a text: %s %s", w.Header().Get("Content-Type"), w.Body)
	}
}

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// scripts are our own files of the page, without those of others.
func scripts(t *testing.T) map[string]string {
	t.Helper()
	st, err := loadStatic()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for name, data := range st.files {
		if !strings.HasPrefix(name, "vendor/") {
			all[name] = string(data)
		}
	}
	if len(all) < 10 {
		t.Fatalf("%d files only: the scan is broken", len(all))
	}
	return all
}

// TestHT41ThePageMakesNoMarkupFromData: no way from a string to markup or code
// is used, nor anything that the policy of the page would have to allow.
func TestHT41ThePageMakesNoMarkupFromData(t *testing.T) {
	t.Parallel()
	never := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|dangerouslySetInnerHTML|\beval\(|new Function|srcdoc|createContextualFragment|DOMParser|javascript:|setHTMLUnsafe|importScripts|https?://`)
	for name, text := range scripts(t) {
		if found := never.FindString(strings.ReplaceAll(text, `xmlns="http://www.w3.org/2000/svg"`, "")); found != "" {
			t.Errorf("%s: %s", name, found)
		}
	}
	index := scripts(t)["index.html"]
	if inline := regexp.MustCompile(`(?i)<style|\son\w+=|\sstyle=|<script(?:\s+type="module")?>|<script[^>]*>[^<]`).FindString(index); inline != "" {
		t.Errorf("index.html: %s", inline)
	}
}

// TestThePageIsWhole: what the files of the page ask for is there, with a type.
func TestThePageIsWhole(t *testing.T) {
	t.Parallel()
	p := sit(t)
	asked := 0
	for name, text := range scripts(t) {
		for _, m := range regexp.MustCompile(`(?:from |import )'(\./[^']+)'|(?:src|href)="/web/([^"]+)"`).FindAllStringSubmatch(text, -1) {
			file := m[2]
			if m[1] != "" {
				file = path.Join(path.Dir(name), m[1])
			}
			asked++
			w := p.do(http.MethodGet, "/web/"+file, "", without(keyHeader))
			if w.Code != http.StatusOK || w.Header().Get("Content-Type") != contentTypes[path.Ext(file)] || w.Body.Len() == 0 {
				t.Errorf("%s asks for %s: %d %s", name, file, w.Code, w.Header().Get("Content-Type"))
			}
			tag := w.Header().Get("ETag")
			if again := p.do(http.MethodGet, "/web/"+file, "", with("If-None-Match", tag)); again.Code != http.StatusNotModified || again.Body.Len() > 0 {
				t.Errorf("%s again: %d", file, again.Code)
			}
		}
	}
	if asked < 20 {
		t.Errorf("%d files asked for: the scan is broken", asked)
	}
}

// TestTheBundleIsSmall: everything that the page is made of.
func TestTheBundleIsSmall(t *testing.T) {
	t.Parallel()
	st, err := loadStatic()
	if err != nil {
		t.Fatal(err)
	}
	plain, packed := 0, 0
	for name, data := range st.files {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := z.Write(data); err != nil || z.Close() != nil {
			t.Fatalf("%s: %v", name, err)
		}
		plain += len(data)
		packed += b.Len()
	}
	t.Logf("%d files, %.1f kB, gzipped %.1f kB", len(st.files), float64(plain)/1000, float64(packed)/1000)
	if packed == 0 || packed >= 300_000 {
		t.Errorf("gzipped the page has %d bytes, at most 300 kB are allowed", packed)
	}
}

// TestNoSpoolIsTold: what a browser has sent is shown by its own name, in
// whatever goes wrong with it.
func TestNoSpoolIsTold(t *testing.T) {
	t.Parallel()
	p := sit(t)
	spool := filepath.Join(p.o.Dirs.State, profile.Spools, "J")
	file := filepath.Join(spool, "tree", "a.txt")
	bad := &hufu.Error{Op: "read", Path: file, Kind: hufu.KindUnreadable, Code: "cannot_read", Err: &fs.PathError{Op: "open", Path: file, Err: fs.ErrPermission}}
	j := queue.Job{
		Spec: queue.Spec{Put: true, Sources: []string{filepath.Join(spool, "tree")}, To: "/in"}, ID: "J", State: queue.Failed, Err: bad,
		Failures: []queue.Failure{{Local: file, Err: bad}}, Question: &queue.Question{Local: file},
	}
	for _, c := range p.cats {
		v := p.jsonJob(c, j)
		if !v.Browser || v.Name != "tree" || v.FromAt != "" || v.ToAt != "/in" || v.Failures[0].Name != filepath.Join("tree", "a.txt") {
			t.Errorf("%+v", v)
		}
		v.Question.LocalPath = "" // an address of the interface, which is not shown
		if data, err := json.Marshal(v); err != nil || strings.Contains(string(data), "spool") || !strings.Contains(string(data), "a.txt") {
			t.Errorf("%s %v", data, err)
		}
	}
	j.Sources = []string{filepath.Join(p.home, "b")}
	if v := p.jsonJob(p.cats["en"], j); v.Browser || v.FromAt != localPath(p.home) {
		t.Errorf("of this computer: %+v", v)
	}
}

// TestEvents: the stream says at once what is, carries the same head as
// everything, and ends with the page.
func TestEvents(t *testing.T) {
	t.Parallel()
	p := open(t, nil)
	start, stop := served(t, p)
	defer stop()
	host, _, _ := strings.Cut(strings.TrimPrefix(start, "http://"), "/")
	res, err := http.Get(start) //nolint:noctx // short
	if err != nil {
		t.Fatal(err)
	}
	lead, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+host+"/api/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.AddCookie(res.Cookies()[0])
	r.Header.Set(keyHeader, keyBehind.FindStringSubmatch(string(lead))[1])
	stream, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Body.Close() }()
	if stream.StatusCode != http.StatusOK || stream.Header.Get("X-Content-Type-Options") != "nosniff" || stream.Header.Get("Content-Security-Policy") == "" {
		t.Errorf("%s %v", stream.Status, stream.Header)
	}
	var state struct {
		Jobs    []jsonJob
		Entered bool
	}
	d := json.NewDecoder(stream.Body)
	if err := d.Decode(&state); err != nil || state.Jobs == nil || state.Entered {
		t.Errorf("%+v %v", state, err)
	}
	stop()
	if err := d.Decode(&state); err == nil {
		t.Error("the stream goes on without the page")
	}
}

// TestPathsInWords: an error tells a path of the server as the page shows it.
func TestPathsInWords(t *testing.T) {
	t.Parallel()
	p := sit(t)
	for path, want := range map[string]string{
		":/": "My files", ":/a/b": "My files › a › b", ":/@shared": "Shared", ":/@shared/common/x": "Shared › common › x",
		":/@sharedx": "My files › @sharedx", "/home/x": "/home/x", "": "",
	} {
		if got := placeOf(p.cats["en"], path); got != want {
			t.Errorf("%q is told as %q", path, got)
		}
	}
	err := &hufu.Error{Kind: hufu.KindWrongKind, Code: "target_wrong_kind", Args: map[string]string{"target": ":/a", "kind": "folder"}}
	if got := problemOf(p.cats["en"], fmt.Errorf("put: %w", err)).What; got != "My files already has a folder called \"a\"." || err.Args["target"] != ":/a" {
		t.Errorf("it says %q", got)
	}
}
