//go:build e2e && linux

package failsync

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"hufu/test/built"
)

// page is a hufu gui and the browser's half of it.
type page struct {
	*testing.T
	cmd     *exec.Cmd
	address string
	key     string
	http    http.Client
}

var keyBehind = regexp.MustCompile(`url=/#([A-Z2-7]+)"`)

// open starts hufu gui.
func open(t *testing.T, p built.Person) *page {
	t.Helper()
	g := &page{T: t, cmd: p.Command(context.WithoutCancel(t.Context()), "gui", "--no-open")}
	out, err := g.cmd.StdoutPipe()
	must(t, err)
	must(t, g.cmd.Start())
	t.Cleanup(g.kill)
	start, err := bufio.NewReader(out).ReadString('\n')
	must(t, err)
	g.address, _, _ = strings.Cut(start, "/start")
	g.http.Jar, err = cookiejar.New(nil)
	must(t, err)
	res, err := g.http.Get(strings.TrimSpace(start)) //nolint:noctx // ends with the program
	must(t, err)
	lead, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	must(t, err)
	m := keyBehind.FindSubmatch(lead)
	if m == nil {
		t.Fatalf("%s: %s", res.Status, lead)
	}
	g.key = string(m[1])
	return g
}

// kill ends it as a power cut would.
func (g *page) kill() {
	_ = g.cmd.Process.Kill()
	_ = g.cmd.Wait()
}

func (g *page) send(method, path, typ string, body []byte) *http.Response {
	g.Helper()
	r, err := http.NewRequestWithContext(g.Context(), method, g.address+"/api/"+path, bytes.NewReader(body))
	must(g.T, err)
	r.Header.Set("X-Hufu-Key", g.key)
	r.Header.Set("Content-Type", typ)
	res, err := g.http.Do(r)
	must(g.T, err)
	return res
}

// ask returns the answer and whether all is well.
func (g *page) ask(path string, body any) (map[string]any, bool) {
	g.Helper()
	typ := "application/octet-stream"
	data, ok := body.([]byte)
	if !ok {
		var err error
		typ = "application/json"
		data, err = json.Marshal(body)
		must(g.T, err)
	}
	res := g.send(http.MethodPost, path, typ, data)
	defer func() { _ = res.Body.Close() }()
	var a map[string]any
	must(g.T, json.NewDecoder(res.Body).Decode(&a))
	refused, _ := a["refused"].([]any)
	return a, res.StatusCode == http.StatusOK && len(refused) == 0
}

func (g *page) must(path string, body any) {
	g.Helper()
	if a, ok := g.ask(path, body); !ok {
		g.Fatalf("%s: %v", path, a)
	}
}

type job struct {
	ID, State string
	Error     any
}

func (j job) over() bool { return j.State == "done" || j.State == "failed" || j.State == "canceled" }

// until reads the stream of events until the jobs are so.
func (g *page) until(so func([]job) bool) []job {
	g.Helper()
	res := g.send(http.MethodGet, "events", "application/json", nil)
	defer func() { _ = res.Body.Close() }()
	d := json.NewDecoder(res.Body)
	for {
		var state struct{ Jobs []job }
		must(g.T, d.Decode(&state))
		if so(state.Jobs) {
			return state.Jobs
		}
	}
}

func (g *page) jobs() []job {
	g.Helper()
	return g.until(func([]job) bool { return true })
}

func (g *page) over() []job {
	g.Helper()
	return g.until(func(all []job) bool {
		for _, j := range all {
			if !j.over() {
				return false
			}
		}
		return true
	})
}

func done(all []job) int {
	n := 0
	for _, j := range all {
		if j.State == "done" {
			n++
		}
	}
	return n
}

// upload hands files over as the page does. It reports whether all is well.
func (g *page) upload(files map[string][]byte) bool {
	g.Helper()
	size := 0
	var batch bytes.Buffer
	for name, data := range files {
		size += len(data)
		line, err := json.Marshal(map[string]any{"path": name, "size": len(data), "mtime": 1_700_000_000_000})
		must(g.T, err)
		batch.Write(append(line, '\n'))
		batch.Write(data)
	}
	a, ok := g.ask("spool", map[string]any{"to": "/", "files": len(files), "bytes": size})
	if !ok {
		return false
	}
	path := fmt.Sprintf("spool/%v", a["id"])
	if _, ok = g.ask(path, batch.Bytes()); !ok {
		return false
	}
	_, ok = g.ask(path+"/done", struct{}{})
	return ok
}

// when says which calls fail.
type when string

const (
	taking when = "while a transfer is taken over" // and the server is away
	both   when = "until it is over"
	ending when = "from then on until it is over"
)

// TestFailedSyncOfTheQueue: the page is told that a transfer is taken over only
// when it survives that the program is killed. One that is not is told as failed,
// is not carried out later, and can be given again. What is over may be carried
// out once more after a kill, and finds that all is there.
func TestFailedSyncOfTheQueue(t *testing.T) {
	for _, at := range []when{taking, both, ending} {
		for _, spooled := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s,spooled=%v", at, spooled), func(t *testing.T) {
				dir, err := filepath.EvalSymlinks(t.TempDir())
				must(t, err)
				server, err := built.NewServer(bin, filepath.Join(dir, "data"))
				must(t, err)
				t.Cleanup(func() { _ = server.Kill() })
				must(t, server.Start())
				failures := 0
				for n := 1; ; n++ {
					if n > 30 {
						t.Fatal("it fails for ever")
					}
					user := fmt.Sprintf("alice%d", n)
					person, err := server.Enroll(filepath.Join(dir, user), user, "")
					must(t, err)
					if bad := transferOnce(t, server, person, user, n, at, spooled); bad == 0 {
						break
					}
					failures++
				}
				if failures == 0 {
					t.Error("nothing was made durable")
				}
			})
		}
	}
}

// transferOnce has the n-th call of each thread fail while a transfer is put into
// the queue or carried out. It returns how many calls have failed.
func transferOnce(t *testing.T, server *built.Server, alice built.Person, user string, n int, at when, spooled bool) int {
	t.Helper()
	const name = "upload"
	state := filepath.Join(alice.Home, ".local/state/hufu")
	files := map[string][]byte{name + "-large": bytes.Repeat([]byte("large"), 500_000)}
	for i := range 20 {
		files[fmt.Sprintf("%s-folder/%d/%d", name, i%3, i)] = fmt.Appendf(nil, "small %d", i)
	}
	var sources []string
	if !spooled {
		for name, data := range files {
			full := filepath.Join(alice.Home, filepath.FromSlash(name))
			must(t, os.MkdirAll(filepath.Dir(full), 0o755))
			must(t, os.WriteFile(full, data, 0o644))
		}
		sources = []string{filepath.Join(alice.Home, name+"-large"), filepath.Join(alice.Home, name+"-folder")}
	}
	// The folder of journals is there: what fails in the end is the queue's own.
	if r, err := alice.Run("put", "password", ":/before"); err != nil || r.Code != 0 {
		t.Fatal(err, r)
	}
	g := open(t, alice)
	g.must("login", map[string]any{"profile": "default", "user": user, "password": built.Password})
	give := func() bool {
		if spooled {
			return g.upload(files)
		}
		_, ok := g.ask("jobs", map[string]any{"op": "put", "sources": sources, "to": "/"})
		return ok
	}
	away := at != both
	if away {
		must(t, server.Kill())
	}
	log := filepath.Join(t.TempDir(), "log")
	ok := false
	if at == ending {
		ok = give()
	}
	detach := attach(t, g.cmd.Process.Pid, log, n)
	if at != ending {
		ok = give()
	}
	if at == ending {
		must(t, server.Start())
		away = false
	}
	if !away {
		g.over()
	}
	detach()
	bad := failed(t, log, state)
	if ok && at == taking && len(bad) > 0 {
		t.Errorf("%d: taken over, although this failed: %q", n, bad)
	}
	if !ok && (len(bad) == 0 || at == ending) {
		t.Fatalf("%d: nothing failed, and it is not taken over", n)
	}
	if !ok {
		for _, j := range g.jobs() {
			if j.State != "failed" {
				t.Errorf("%d: after failures of %q: %+v", n, bad, j)
			}
		}
		if !give() {
			t.Fatalf("%d: not taken over the second time", n)
		}
		if !away {
			g.over()
		}
	}
	g.kill()
	if away {
		must(t, server.Start())
	}
	g = open(t, alice)
	all := g.over()
	if ok && done(all) == 0 { // it was carried out, and told as failed
		g.must("jobs/act", map[string]any{"act": "retry"})
		all = g.over()
	}
	if done(all) != 1 {
		t.Errorf("%d: after failures of %q, and the next start: %+v", n, bad, all)
	}
	for name, data := range files {
		got, err := os.ReadFile(filepath.Join(server.Data, "files/users", user, filepath.FromSlash(name)))
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d: %s: %d bytes of %d, %v", n, name, len(got), len(data), err)
		}
	}
	if list, err := os.ReadDir(filepath.Join(state, "spool")); spooled && (err != nil || len(list) > 0) {
		t.Errorf("%d: left in the spool: %v, %v", n, list, err)
	}
	g.kill()
	return len(bad)
}
