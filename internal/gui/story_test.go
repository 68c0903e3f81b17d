package gui_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hufu/internal/gui"
	"hufu/internal/profile"
	"hufu/internal/testenv"
)

// visitor is a person's page on a real port, and a browser's half of it.
type visitor struct {
	*testenv.Person
	t       *testing.T
	address string
	cookie  *http.Cookie
	key     string
}

var keyBehind = regexp.MustCompile(`url=/#([A-Z2-7]+)"`)

func visit(t *testing.T, p *testenv.Person) *visitor {
	t.Helper()
	return visitWith(t, p, 0)
}

// visitWith is visit of a page that waits so long for the server, or as usual if it is 0.
func visitWith(t *testing.T, p *testenv.Person, patience time.Duration) *visitor {
	t.Helper()
	return visitBy(t, p, gui.Options{Patience: patience})
}

// visitBy is visit of a page with further options.
func visitBy(t *testing.T, p *testenv.Person, o gui.Options) *visitor {
	t.Helper()
	o.Dirs, o.Disk, o.Profile, o.Home = p.Dirs, testenv.Disk{}, profile.Default, p.Home
	s, err := gui.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := gui.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready := make(chan string, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Serve(ctx, ln, func(start string) { ready <- start }); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	v := &visitor{Person: p, t: t, address: "http://" + ln.Addr().String()}
	res, err := http.Get(<-ready) //nolint:noctx // short
	if err != nil {
		t.Fatal(err)
	}
	lead, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil || len(res.Cookies()) != 1 {
		t.Fatal(res.Status, err)
	}
	v.cookie, v.key = res.Cookies()[0], keyBehind.FindStringSubmatch(string(lead))[1]
	return v
}

func (v *visitor) send(method, path, typ string, body []byte) *http.Response {
	v.t.Helper()
	r, err := http.NewRequestWithContext(v.t.Context(), method, v.address+"/api/"+path, bytes.NewReader(body))
	if err != nil {
		v.t.Fatal(err)
	}
	r.AddCookie(v.cookie)
	r.Header.Set("X-Hufu-Key", v.key)
	r.Header.Set("Content-Type", typ)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	return res
}

// ask returns the answer, or what is wrong by its code.
func (v *visitor) ask(path string, body any) (map[string]any, string) {
	v.t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		v.t.Fatal(err)
	}
	return v.answer(v.send(http.MethodPost, path, "application/json", data)) //nolint:bodyclose // answer does it
}

func (v *visitor) answer(res *http.Response) (map[string]any, string) {
	v.t.Helper()
	defer func() { _ = res.Body.Close() }()
	var a map[string]any
	if err := json.NewDecoder(res.Body).Decode(&a); err != nil {
		v.t.Fatalf("%s: %v", res.Status, err)
	}
	if e, bad := a["error"].(map[string]any); bad && res.StatusCode != http.StatusOK {
		return a, fmt.Sprint(e["code"])
	}
	return a, ""
}

func (v *visitor) must(path string, body any) map[string]any {
	v.t.Helper()
	a, code := v.ask(path, body)
	if code != "" {
		v.t.Fatalf("%s: %s", path, code)
	}
	return a
}

// until reads the stream of events until a job is in a state.
func (v *visitor) until(id string, states ...string) map[string]any {
	v.t.Helper()
	res := v.send(http.MethodGet, "events", "application/json", nil)
	defer func() { _ = res.Body.Close() }()
	d := json.NewDecoder(res.Body)
	for {
		var state struct{ Jobs []map[string]any }
		if err := d.Decode(&state); err != nil {
			v.t.Fatal(err)
		}
		for _, j := range state.Jobs {
			for _, s := range states {
				if j["id"] == id && (j["state"] == s || s == "asking" && j["question"] != nil) {
					return j
				}
			}
		}
	}
}

// next is what the stream of events says first.
func (v *visitor) next() map[string]any {
	v.t.Helper()
	res := v.send(http.MethodGet, "events", "application/json", nil)
	defer func() { _ = res.Body.Close() }()
	var state map[string]any
	if err := json.NewDecoder(res.Body).Decode(&state); err != nil {
		v.t.Fatal(err)
	}
	return state
}

func (v *visitor) names(side, path string) string {
	v.t.Helper()
	var all []string
	for _, e := range v.must("list", m{"side": side, "path": path})["entries"].([]any) {
		all = append(all, e.(map[string]any)["name"].(string))
	}
	return strings.Join(all, " ")
}

func (v *visitor) write(name, content string) string {
	v.t.Helper()
	if err := os.WriteFile(v.Local(name), []byte(content), 0o600); err != nil {
		v.t.Fatal(err)
	}
	return filepath.ToSlash(v.Local(name))
}

type m = map[string]any

// TestStory: what a person does in the page, by the interface alone, with
// somebody else's files beside his own.
func TestStory(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	bob := visit(t, env.Person("bob"))
	v := visit(t, env.Person("alice"))
	for _, call := range []struct {
		path string
		body m
	}{
		{"list", m{"side": "remote", "path": "/"}}, {"jobs", m{"op": "put", "sources": []string{"/x"}, "to": "/"}}, {"spool", m{"to": "/", "files": 1, "bytes": 1}},
	} {
		if _, code := v.ask(call.path, call.body); code != "not_logged_in" {
			t.Errorf("%s before the login: %q", call.path, code)
		}
	}
	if a := v.must("connect", m{"profile": "default", "plain": false})["link"].(m); a["logged_in"] != true || a["proof"].(m)["version"] != "TLS 1.3" {
		t.Errorf("connected: %v", a)
	}
	if _, code := v.ask("connect", m{"profile": "default", "plain": true}); code == "" {
		t.Error("there is a teaching world on a server without one")
	}
	if _, code := v.ask("login", m{"profile": "default", "user": "alice", "password": "wrong", "plain": false}); code == "" {
		t.Error("a wrong password enters")
	}
	v.must("login", m{"profile": "default", "user": "alice", "password": v.Password, "plain": false})
	bob.must("login", m{"profile": "default", "user": "bob", "password": bob.Password, "plain": false})

	// Put, and what is refused on the way.
	a := v.write("a.txt", "one")
	put := func(to string, sources ...string) string {
		t.Helper()
		return v.must("jobs", m{"op": "put", "sources": sources, "to": to})["id"].(string)
	}
	v.until(put("/", a), "done")
	if n := v.names("remote", "/"); n != "@shared a.txt" {
		t.Errorf("at the server: %s", n)
	}
	if n := bob.names("remote", "/"); strings.Contains(n, "a.txt") {
		t.Errorf("bob sees %s", n)
	}
	for what, body := range map[string]m{
		"a way up": {"op": "put", "sources": []string{"/../x"}, "to": "/"}, "nothing": {"op": "put", "sources": []string{}, "to": "/"}, "another operation": {"op": "move", "sources": []string{a}, "to": "/"},
		"a target that is no path": {"op": "put", "sources": []string{a}, "to": "x"},
	} {
		if _, code := v.ask("jobs", body); code == "" {
			t.Errorf("%s becomes a transfer", what)
		}
	}

	// A name that is taken is never replaced by a rename, on neither side.
	v.must("mkdir", m{"side": "remote", "path": "/f"})
	if _, code := v.ask("mkdir", m{"side": "remote", "path": "/f"}); code == "" {
		t.Error("a folder is made twice")
	}
	v.write("b.txt", "two")
	for _, side := range []string{"remote", "local"} {
		from, to := "/a.txt", "/f"
		if side == "local" {
			from, to = a, filepath.ToSlash(v.Local("b.txt"))
		}
		if _, code := v.ask("rename", m{"side": side, "path": from, "to": to}); code == "" {
			t.Errorf("%s: a rename replaces", side)
		}
	}
	if data, err := os.ReadFile(v.Local("b.txt")); string(data) != "two" {
		t.Errorf("replaced: %q %v", data, err)
	}
	v.must("rename", m{"side": "remote", "path": "/a.txt", "to": "/f/c.txt"})
	e := v.must("properties", m{"side": "remote", "path": "/f/c.txt", "digest": true})["entry"].(m)
	l := v.must("properties", m{"side": "local", "path": a, "digest": true})["entry"].(m)
	if e["digest"] == nil || e["digest"] != l["digest"] || e["size"] != 3.0 {
		t.Errorf("properties: %v and %v", e, l)
	}
	if tag := v.must("list", m{"side": "remote", "path": "/f"}); v.must("list", m{"side": "remote", "path": "/f", "tag": tag["tag"]})["entries"] != nil {
		t.Error("what is known already is sent again")
	}

	// A conflict is asked about, once, by its number.
	v.write("c.txt", "another")
	id := put("/f", filepath.ToSlash(v.Local("c.txt")))
	q := v.until(id, "asking")["question"].(m)
	for what, body := range map[string]m{
		"no policy": {"id": id, "question": q["id"], "policy": "", "all": false}, "an unknown one": {"id": id, "question": q["id"], "policy": "ask", "all": false},
		"another job": {"id": "x", "question": q["id"], "policy": "skip", "all": false},
	} {
		if _, code := v.ask("jobs/answer", body); code == "" {
			t.Errorf("%s is an answer", what)
		}
	}
	v.must("jobs/answer", m{"id": id, "question": 99, "policy": "replace", "all": false}) // of a question that is over: nothing
	v.must("jobs/answer", m{"id": id, "question": q["id"], "policy": "rename", "all": false})
	v.until(id, "done")
	if n := v.names("remote", "/f"); n != "c (2).txt c.txt" {
		t.Errorf("both are kept: %s", n)
	}

	// The limit of the speed is one for all windows.
	for _, n := range []int64{-1, 100} {
		if _, code := v.ask("limit", m{"bytes": n}); code != "limit_low" {
			t.Errorf("a limit of %d: %q", n, code)
		}
	}
	v.must("limit", m{"bytes": 1 << 20})
	if got := v.next()["limit"]; got != float64(1<<20) {
		t.Errorf("the limit is told as %v", got)
	}
	v.must("limit", m{"bytes": 0})
	if _, code := v.ask("lanes", m{"lanes": 65}); code != "lanes_range" {
		t.Errorf("65 lanes: %q", code)
	}
	v.must("lanes", m{"lanes": 3})
	if got := v.next()["lanes"]; got != 3.0 {
		t.Errorf("the lanes are told as %v", got)
	}

	// Removing goes on after a name that is not there.
	r := v.must("remove", m{"side": "remote", "paths": []string{"/none", "/f", "/@shared"}})
	if r["removed"] != 1.0 || len(r["failed"].([]any)) != 2 {
		t.Errorf("removed: %v", r)
	}
	if r := v.must("remove", m{"side": "local", "paths": []string{"/"}}); r["removed"] != 0.0 {
		t.Error("the root of this computer is removed")
	}
	if _, code := v.ask("jobs/act", m{"id": "", "act": "cancel"}); code != "gui_bad_request" {
		t.Errorf("cancel nothing: %q", code)
	}
	if _, code := v.ask("jobs/act", m{"id": id, "act": "explode"}); code != "gui_bad_request" {
		t.Errorf("an unknown act: %q", code)
	}
	v.must("jobs/act", m{"id": id, "act": "dismiss"})
	v.must("logout", m{})
	if _, code := v.ask("list", m{"side": "remote", "path": "/"}); code != "not_logged_in" {
		t.Errorf("after the logout: %q", code)
	}
}

// TestJoinOverADeadProfile: an invitation replaces a profile whose certificate is
// of no use, under its own name, and what the page shows belongs to the new one;
// a good one it does not.
func TestJoinOverADeadProfile(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	alice := env.Person("alice")
	v := visit(t, alice)
	connect := m{"profile": profile.Default, "plain": false}
	join := func() m {
		t.Helper()
		return m{"code": env.Invite("alice").String(), "password": alice.Password, "profile": profile.Default}
	}
	serial := func() any {
		t.Helper()
		return v.must("connect", connect)["link"].(m)["proof"].(m)["own"].(m)["serial"]
	}
	first := serial()
	if _, code := v.ask("join", join()); code != "profile_exists" || serial() != first {
		t.Errorf("over a good profile: %q", code)
	}
	if _, err := env.Account.RevokeUser(t.Context(), "alice", "lost"); err != nil {
		t.Fatal(err)
	}
	if err := env.Account.Reload(t.Context()); err != nil { // or the server looks a moment later
		t.Fatal(err)
	}
	if a := v.must("join", join()); a["error"] != nil {
		t.Errorf("over a dead profile: %v", a["error"])
	}
	if serial() == first {
		t.Error("the page shows the dead certificate")
	}
	v.must("login", m{"profile": profile.Default, "user": "alice", "password": "", "plain": false})
	if got := v.names("remote", "/"); got != "@shared" {
		t.Errorf("listed %q", got)
	}
}

// TestSpool: files that the browser hands over, and what it may not.
func TestSpool(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	v := visit(t, env.Person("alice"))
	v.must("login", m{"profile": "default", "user": "alice", "password": "", "plain": false})
	begin := func(files, size int) string {
		t.Helper()
		return v.must("spool", m{"to": "/", "files": files, "bytes": size})["id"].(string)
	}
	hand := func(id, body string) (map[string]any, string) {
		t.Helper()
		return v.answer(v.send(http.MethodPost, "spool/"+id, "application/octet-stream", []byte(body))) //nolint:bodyclose // answer does it
	}
	folder := filepath.Join(v.Dirs.State, "spool")
	for what, body := range map[string]m{
		"more than there is": {"to": "/", "files": 1, "bytes": 1 << 60}, "less than nothing": {"to": "/", "files": 1, "bytes": -1}, "a way up": {"to": "/../x", "files": 1, "bytes": 1},
	} {
		if a, code := v.ask("spool", body); code == "" {
			t.Errorf("%s is taken: %v", what, a)
		}
	}
	id := begin(3, 100)
	// A name handed over twice, and one below a file: they are told, the rest arrives.
	a, code := hand(id, `{"path":"old","size":3,"mtime":-315619200000}`+"\nold"+`{"path":"old","size":3,"mtime":1}`+"\nnew"+`{"path":"old/x","size":3,"mtime":1}`+"\nxxx"+`{"path":"f","size":-1}`+"\n")
	if code != "" || len(a["refused"].([]any)) != 2 {
		t.Fatalf("handed over: %v %s", a, code)
	}
	if i, err := os.Stat(filepath.Join(folder, id, "old")); err != nil || i.Size() != 3 || i.ModTime().UTC().Year() != 1960 {
		t.Errorf("a file of 1960: %v %v", i, err)
	}
	a, code = hand(id, `{"path":"d/名.txt","size":3,"mtime":1700000000000}`+"\nabc"+`{"path":"../up","size":2,"mtime":0}`+"\nxx"+`{"path":".hufu-x","size":1,"mtime":0}`+"\ny"+`{"path":"e","size":-1,"mtime":0}`+"\n")
	if code != "" || len(a["refused"].([]any)) != 2 {
		t.Fatalf("handed over: %v %s", a, code)
	}
	if _, code := hand(id, `{"path":"big","size":98,"mtime":0}`+"\n"+strings.Repeat("x", 98)); code != "spool_more_than_announced" {
		t.Errorf("more than announced: %q", code)
	}
	if _, code := hand(id, `{"path":"cut","size":5,"mtime":0}`+"\nab"); code != "spool_cut" {
		t.Errorf("a file that is cut: %q", code)
	}
	if _, code := hand("none", `{"path":"x","size":0,"mtime":0}`+"\n"); code != "spool_gone" {
		t.Errorf("no such spool: %q", code)
	}
	v.must("spool/"+id+"/done", m{})
	v.until(id, "done")
	if n := v.names("remote", "/d") + " " + v.names("remote", "/"); n != "名.txt @shared d e f old" {
		t.Errorf("arrived: %s", n)
	}
	if _, code := hand(id, `{"path":"late","size":0,"mtime":0}`+"\n"); code != "spool_gone" {
		t.Errorf("after it is done: %q", code)
	}
	// Given up in the middle: nothing stays.
	id = begin(1, 10)
	if _, code := hand(id, `{"path":"x","size":1,"mtime":0}`+"\nx"); code != "" {
		t.Error(code)
	}
	v.must("jobs/act", m{"id": id, "act": "cancel"})
	v.until(id, "canceled")
	if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
		t.Errorf("left in the spool: %v %v", left, err)
	}
}

// TestSizeCountsWhatIsBelow: on both sides, links not followed, the named
// folders included.
func TestSizeCountsWhatIsBelow(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	v := visit(t, env.Person("alice"))
	v.must("login", m{"profile": "default", "user": "alice", "password": v.Password, "plain": false})
	for name, content := range map[string]string{"photos/a": "12", "photos/deep/b": "345", "photos/deep/er/c": ""} {
		if err := os.MkdirAll(v.Local(filepath.Dir(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		v.write(name, content)
	}
	v.until(v.must("jobs", m{"op": "put", "sources": []string{filepath.ToSlash(v.Local("photos"))}, "to": "/"})["id"].(string), "done")
	if err := os.Symlink(v.Home, v.Local("photos/loop")); err != nil {
		t.Fatal(err)
	}
	want := func(side, path, want string) {
		t.Helper()
		a := v.must("size", m{"side": side, "paths": []string{path}})
		if got := fmt.Sprintf("%v files, %v folders, %v bytes, %v", a["files"], a["folders"], a["bytes"], a["whole"]); got != want {
			t.Errorf("%s: %s, want %s", side, got, want)
		}
	}
	want("remote", "/photos", "3 files, 3 folders, 5 bytes, true")
	want("local", filepath.ToSlash(v.Local("photos")), "4 files, 3 folders, 5 bytes, true")
	for side, code := range map[string]string{"remote": "", "local": "no_such_file", "none": "gui_bad_request"} {
		if _, got := v.ask("size", m{"side": side, "paths": []string{"/no such/thing"}}); got == "" || code != "" && got != code {
			t.Errorf("%s: what is not there: %q", side, got)
		}
	}
}

// TestLongAnswers: what takes as long as it takes is not cut off, however little patience there is
// for a listing; and an error that the server has answered late is told as it is.
func TestLongAnswers(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	v := visitWith(t, env.Person("alice"), time.Nanosecond)
	v.must("login", m{"profile": "default", "user": "alice", "password": v.Password, "plain": false})
	served := filepath.Join(env.Data, "files", "users", "alice")
	for i := range 50 {
		if err := os.MkdirAll(filepath.Join(served, "tree", fmt.Sprint(i)), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(served, "file"), []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, code := v.ask("list", m{"side": "remote", "path": "/"}); code != "gui_server_slow" {
		t.Errorf("without patience: %q", code)
	}
	if e := v.must("properties", m{"side": "remote", "path": "/file", "digest": true})["entry"].(m); e["digest"] == nil {
		t.Errorf("the digest: %v", e)
	}
	if _, code := v.ask("properties", m{"side": "remote", "path": "/none", "digest": true}); code != "no_such_file" && code != "not_found" {
		t.Errorf("the digest of no file: %q", code)
	}
	if a := v.must("remove", m{"side": "remote", "paths": []string{"/tree", "/none", "/file"}}); a["removed"] != 2.0 || a["rest"] != 0.0 {
		t.Errorf("removed: %v", a)
	}
}

// TestSearch: names below a folder, on both sides.
func TestSearch(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	v := visit(t, env.Person("alice"))
	v.must("login", m{"profile": "default", "user": "alice", "password": v.Password, "plain": false})
	served := filepath.Join(env.Data, "files", "users", "alice")
	for _, root := range []string{v.Local("in"), filepath.Join(served, "in")} {
		for _, n := range []string{"Report.txt", "a/b/report [1].TXT", "a/other", "a/.hidden/report.txt", "reports/x", "数据/年度报告.txt"} {
			name := filepath.Join(root, n)
			if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte("12345"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.Symlink(v.Local("in"), v.Local("link")); err != nil {
		t.Fatal(err)
	}
	for top, side := range map[string]string{filepath.ToSlash(v.Local("in")): "local", filepath.ToSlash(v.Local("link")): "local", "/in": "remote"} {
		for words, want := range map[string][]string{
			"report": {"/Report.txt", "/a/b/report%20%5B1%5D.TXT", "/reports"}, "*.txt": {"/Report.txt", "/a/b/report%20%5B1%5D.TXT", "/%E6%95%B0%E6%8D%AE/%E5%B9%B4%E5%BA%A6%E6%8A%A5%E5%91%8A.txt"},
			"[1]": {"/a/b/report%20%5B1%5D.TXT"}, "?[1*": nil, "年度": {"/%E6%95%B0%E6%8D%AE/%E5%B9%B4%E5%BA%A6%E6%8A%A5%E5%91%8A.txt"}, "in": nil, "nowhere": nil, "x": {"/Report.txt", "/a/b/report%20%5B1%5D.TXT", "/reports/x", "/%E6%95%B0%E6%8D%AE/%E5%B9%B4%E5%BA%A6%E6%8A%A5%E5%91%8A.txt"},
		} {
			a := v.must("search", m{"side": side, "path": top, "words": words, "hidden": false})
			var got []string
			for _, h := range a["hits"].([]any) {
				got = append(got, strings.TrimPrefix(h.(m)["path"].(string), top))
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) || a["whole"] != true {
				t.Errorf("%s %q: %v, not %v; %v", side, words, got, want, a["whole"])
			}
		}
		if a := v.must("search", m{"side": side, "path": top, "words": "report", "hidden": true}); len(a["hits"].([]any)) != 4 {
			t.Errorf("%s with hidden ones: %v", side, a["hits"])
		}
		if _, code := v.ask("search", m{"side": side, "path": top, "words": "", "hidden": true}); code != "gui_bad_request" {
			t.Errorf("%s for nothing: %q", side, code)
		}
	}
}
