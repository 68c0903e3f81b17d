//go:build e2e && linux

package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"hufu/test/built"
)

// words is where a program writes; what it has written can be read meanwhile.
type words struct {
	said chan string
	all  bytes.Buffer
}

func (w *words) Write(p []byte) (int, error) {
	w.said <- string(p)
	return len(p), nil
}

// until waits for text.
func (w *words) until(t *testing.T, text string) string {
	t.Helper()
	for end := time.After(5 * time.Minute); !strings.Contains(w.all.String(), text); {
		select {
		case s := <-w.said:
			w.all.WriteString(s)
		case <-end:
			t.Fatalf("%q is not said:\n%s", text, &w.all)
		}
	}
	return w.all.String()
}

// TestCluster types every command that the program prints, in order.
func TestCluster(t *testing.T) {
	bin, remove, err := built.Build()
	if err != nil {
		t.Fatal(err)
	}
	defer remove()
	ctx, stop := context.WithCancel(t.Context())
	out, over := &words{said: make(chan string, 1000)}, make(chan error, 1)
	go func() { over <- run(ctx, bin, out) }()
	text := out.until(t, "Ctrl-C here stops everything")
	type answer struct {
		code int
		says string
	}
	file := filepath.Join(t.TempDir(), "got.md")
	want := map[string]answer{
		"alice put README.md":   {0, ""},
		"bob ls -l":             {0, "README.md"},
		"bob get :/@shared":     {0, ""},
		"node3 status":          {0, "postgres://hufu:xxxxx@"},
		"node3 cert list":       {0, "alice"},
		"node3 user lock alice": {0, ""},
		"alice ls :/":           {6, "locked"},
		"kill -9 ":              {0, ""},
		"node2 serve":           {0, ""},
		"psql ":                 {0, ""},
	}
	dir := regexp.MustCompile(`removes (\S+)\. `).FindStringSubmatch(text)[1]
	var server *exec.Cmd
	for line := range strings.Lines(text) {
		command := strings.TrimPrefix(strings.TrimSpace(line), dir+"/")
		if !strings.HasPrefix(line, "  ") || strings.HasPrefix(line, "  S3 ") {
			continue
		}
		var key string
		for k := range want {
			if strings.HasPrefix(command, k) {
				key = k
			}
		}
		w, known := want[key]
		if !known {
			t.Errorf("nobody tries %q", line)
			continue
		}
		cmd := exec.CommandContext(t.Context(), "sh", "-c", strings.TrimSpace(strings.ReplaceAll(line, "/tmp/from-alice.md", file)))
		cmd.Dir = "../.."
		switch key {
		case "node2 serve": // runs until the end
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			server = cmd
			if err := built.Eventually("bob goes on", func() bool {
				r, err := built.Run(exec.CommandContext(t.Context(), filepath.Join(dir, "bob"), "ls", ":/@shared/common"))
				return err == nil && r.Code == 0 && strings.Contains(r.Out, "README.md")
			}); err != nil {
				t.Error(err)
			}
			continue
		case "psql ":
			if _, err := exec.LookPath("psql"); err != nil {
				t.Error(err)
			}
			cmd.Args[2] += ` -tc "SELECT count(*) > 0 FROM certificates"`
		}
		if r, err := built.Run(cmd); err != nil || r.Code != w.code || !strings.Contains(r.Out+r.Err, w.says) {
			t.Errorf("%s: want %d, %q: %s %v", line, w.code, w.says, r, err)
		}
	}
	if server != nil {
		_ = syscall.Kill(-server.Process.Pid, syscall.SIGKILL) // the shell and what it started
		_ = server.Wait()
	}
	got, err1 := os.ReadFile(file)
	sent, err2 := os.ReadFile("../../README.md")
	if err1 != nil || err2 != nil || !bytes.Equal(got, sent) {
		t.Error("another file came back:", err1, err2)
	}
	stop()
	out.until(t, "Stopping.")
	if err := <-over; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Error("something is left:", err)
	}
}
