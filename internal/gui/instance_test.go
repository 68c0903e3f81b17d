package gui

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"hufu"
	"hufu/internal/queue"
)

func private(t *testing.T, path string) {
	t.Helper()
	i, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && i.Mode().Perm() != 0o600 {
		t.Errorf("%s is %v", path, i.Mode())
	}
}

// TestSecondPageAsksTheFirst: there is one queue of transfers, so there is one
// program, and a second one opens a window of it.
func TestSecondPageAsksTheFirst(t *testing.T) {
	t.Parallel()
	p := open(t, nil)
	dirs := testDirs(p.home)
	file := instanceFile(dirs)
	// What a killed program left, readable by all, is replaced by one that is not.
	if err := os.WriteFile(file, []byte(`{"address":"127.0.0.1:1","key":"old"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Ask(t.Context(), dirs); hufu.CodeOf(err) != "gui_stuck" {
		t.Errorf("the stale file of a dead program: %v", err)
	}
	first, stop := served(t, p)
	private(t, file)
	if _, err := Open(Options{Dirs: dirs}); hufu.CodeOf(err) != "queue_in_use" {
		t.Errorf("a second one opens: %v", err)
	}
	start, err := Ask(t.Context(), dirs)
	if err != nil || start == first {
		t.Fatalf("asked: %q %v", start, err)
	}
	res, err := http.Get(start) //nolint:noctx // short
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK || len(res.Cookies()) != 1 {
		t.Errorf("the second window: %s", res.Status)
	}
	var in instance
	data, err := os.ReadFile(file)
	if err != nil || json.Unmarshal(data, &in) != nil {
		t.Fatalf("%s: %v", data, err)
	}
	for _, key := range []string{"", "old", in.Key[1:], in.Key + "A", strings.ToLower(in.Key)} {
		body, _ := json.Marshal(map[string]string{"key": key})
		w := p.do(http.MethodPost, "/instance", string(body), func(r *http.Request) { r.Host = in.Address }, without("Origin"))
		if w.Code != http.StatusUnauthorized || strings.Contains(w.Body.String(), "token") {
			t.Errorf("with the key %q: %d %s", key, w.Code, w.Body)
		}
	}
	for _, key := range []string{"", "old", in.Key + "A"} { // Stop takes the same key
		body, _ := json.Marshal(map[string]any{"key": key, "stop": true})
		if w := p.do(http.MethodPost, "/instance", string(body), func(r *http.Request) { r.Host = in.Address }, without("Origin")); w.Code != http.StatusUnauthorized {
			t.Errorf("stopped with the key %q: %d %s", key, w.Code, w.Body)
		}
	}
	if _, err := Ask(t.Context(), dirs); err != nil {
		t.Errorf("after stops with wrong keys: %v", err)
	}
	stop()
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("left behind: %v", err)
	}
	if _, err := Ask(t.Context(), dirs); hufu.CodeOf(err) != "gui_stuck" {
		t.Errorf("nobody is there: %v", err)
	}
}

// TestAskTakesNothingForAnAnswer: a program that is none of ours at the old
// port, and a file that holds anything.
func TestAskTakesNothingForAnAnswer(t *testing.T) {
	t.Parallel()
	dirs := testDirs(t.TempDir())
	if err := os.MkdirAll(dirs.State, 0o700); err != nil {
		t.Fatal(err)
	}
	answers := map[string]string{"nothing": ``, "a page": `<html>`, "no address": `{}`, "a number": `{"start":1}`, "without end": strings.Repeat(" ", maxBody+1)}
	for what, answer := range answers {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(answer)) }))
		data, _ := json.Marshal(instance{Address: srv.Listener.Addr().String(), Key: "k"})
		if err := os.WriteFile(instanceFile(dirs), data, 0o600); err != nil {
			t.Fatal(err)
		}
		if start, err := Ask(t.Context(), dirs); hufu.CodeOf(err) != "gui_stuck" {
			t.Errorf("%s: %q %v", what, start, err)
		}
		srv.Close()
	}
	for _, data := range []string{``, `[]`, `{"address":`, `{"address":"\n"}`, `{"address":"127.0.0.1:0"}`} {
		if err := os.WriteFile(instanceFile(dirs), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		if start, err := Ask(t.Context(), dirs); hufu.CodeOf(err) != "gui_stuck" {
			t.Errorf("%s: %q %v", data, start, err)
		}
	}
}

// TestStopAsksAgain: a page that starts or ends does not answer yet or no more; only what never
// answers is stuck.
func TestStopAsksAgain(t *testing.T) {
	t.Parallel()
	dirs := testDirs(t.TempDir())
	q, err := queue.Open(queue.Options{Dirs: dirs})
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte(`{"stops":true}`))
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	}))
	defer srv.Close()
	data, _ := json.Marshal(instance{Address: srv.Listener.Addr().String(), Key: "k"})
	if err := os.WriteFile(instanceFile(dirs), data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Stop(t.Context(), dirs); err != nil || asked.Load() != 3 {
		t.Errorf("stopped: %v, asked %d times", err, asked.Load())
	}
}
