//go:build e2e && linux

// Package failsync has the kernel refuse to make things durable, once on each
// thread, at each of the places in turn: fsync, fdatasync and syncfs answer EIO, as
// on a disk that has lost what it should have written. What cannot be durable is
// never acknowledged, and nothing of it is left to be believed by the next try.
package failsync

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"hufu/test/built"
)

var bin string

func TestMain(m *testing.M) { built.Main(m, &bin) }

const patience = time.Minute

// injection makes the n-th call of each thread fail.
func injection(log string, n int) []string {
	return []string{
		"-f", "-y", "-o", log, "-e", "trace=fsync,fdatasync,syncfs",
		"-e", fmt.Sprintf("inject=fsync,fdatasync,syncfs:error=EIO:when=%d", n),
	}
}

// attach injects into a running program until the function that it returns is
// called.
func attach(t *testing.T, pid int, log string, n int) (detach func()) {
	t.Helper()
	cmd := exec.Command("strace", append(injection(log, n), "-p", fmt.Sprint(pid))...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	errs, err := cmd.StderrPipe()
	must(t, err)
	must(t, cmd.Start())
	attached := make(chan bool, 1)
	go func() {
		lines := bufio.NewScanner(errs)
		for lines.Scan() {
			if strings.Contains(lines.Text(), "attached") {
				select {
				case attached <- true:
				default:
				}
			}
		}
		close(attached)
	}()
	select {
	case ok := <-attached:
		if !ok {
			t.Fatal("strace cannot attach: ", cmd.Wait())
		}
	case <-time.After(patience):
		t.Fatal("strace does not attach")
	}
	return func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	}
}

// A sync is a call that strace has seen.
type sync struct {
	path   string
	failed bool // by us
}

var (
	called   = regexp.MustCompile(`^(\d+) +[a-z]+\(\d+<([^>]*)>`)
	resumed  = regexp.MustCompile(`^(\d+) +<\.\.\. [a-z]+ resumed>`)
	finished = regexp.MustCompile(`\) += (-?\d+)`)
)

// syncs reads what strace has written of the files and folders below roots.
// Calls of several threads stand between each other.
func syncs(t *testing.T, log string, roots ...string) []sync {
	t.Helper()
	b, err := os.ReadFile(log)
	must(t, err)
	var all []sync
	paths := map[string]string{} // by thread
	for line := range strings.Lines(string(b)) {
		var thread string
		if m := called.FindStringSubmatch(line); m != nil {
			thread = m[1]
			paths[thread] = m[2]
		} else if m := resumed.FindStringSubmatch(line); m != nil {
			thread = m[1]
		}
		if thread == "" || !finished.MatchString(line) {
			continue
		}
		path := paths[thread]
		if slices.ContainsFunc(roots, func(root string) bool { return strings.HasPrefix(path, root) }) {
			all = append(all, sync{path, strings.Contains(line, "(INJECTED)")})
		}
	}
	return all
}

// failed are the files and folders below roots that could not be made durable.
func failed(t *testing.T, log string, roots ...string) []string {
	t.Helper()
	var all []string
	for _, s := range syncs(t, log, roots...) {
		if s.failed {
			all = append(all, s.path)
		}
	}
	return all
}

// inject runs a command of a person's, of which the n-th call of each thread
// fails.
func inject(t *testing.T, p built.Person, log string, n int, args ...string) built.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*patience)
	defer cancel()
	plain := p.Command(ctx, args...)
	cmd := exec.CommandContext(ctx, "strace", append(injection(log, n), append([]string{"--", plain.Path}, args...)...)...)
	cmd.Dir, cmd.Env, cmd.SysProcAttr = plain.Dir, plain.Env, plain.SysProcAttr
	r, err := built.Run(cmd)
	must(t, err)
	return r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestFailedSyncIsNeverAcknowledged(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	server, err := built.NewServer(bin, filepath.Join(dir, "data"))
	must(t, err)
	t.Cleanup(func() { _ = server.Kill() })
	must(t, server.Start())
	alice, err := server.Enroll(filepath.Join(dir, "alice"), "alice", "")
	must(t, err)
	served := filepath.Join(server.Data, "files", "users", "alice")
	journals := filepath.Join(alice.Home, ".local/state/hufu/journals")
	down := filepath.Join(alice.Home, "down")
	must(t, os.Mkdir(down, 0o755))
	run := func(args ...string) built.Result {
		t.Helper()
		r, err := alice.Run(args...)
		must(t, err)
		return r
	}
	for name, size := range map[string]int{"small": 5000, "big": 3<<20 + 11} {
		data := make([]byte, size)
		_, _ = rand.Read(data)
		must(t, os.WriteFile(filepath.Join(alice.Home, name), data, 0o644))
		if r := run("put", name, ":/origin-"+name); r.Code != 0 {
			t.Fatal(r)
		}
		for _, over := range []string{"", "old content"} {
			for _, put := range []bool{true, false} {
				t.Run(fmt.Sprintf("put=%v,%s,over=%q", put, name, over), func(t *testing.T) {
					failures := 0
					for n := 1; ; n++ {
						if n > 30 {
							t.Fatal("it fails for ever")
						}
						target := fmt.Sprintf("%s-%v-%d-%d", name, put, len(over), n)
						log := filepath.Join(t.TempDir(), "log")
						folder, roots := down, []string{down, journals}
						args := []string{"get", "--conflict", "replace", ":/origin-" + name, "down/" + target}
						if put {
							folder, roots = served, []string{served, filepath.Join(server.Data, "uploads")}
							args = []string{"put", "--conflict", "replace", name, ":/" + target}
						}
						full := filepath.Join(folder, target)
						if over != "" {
							must(t, os.WriteFile(full, []byte(over), 0o600))
						}
						var r built.Result
						if put {
							detach := attach(t, server.Pid(), log, n)
							r = run(args...)
							detach()
						} else {
							r = inject(t, alice, log, n, args...)
						}
						bad := failed(t, log, roots...)
						if len(bad) == 0 {
							if r.Code != 0 {
								t.Fatal("nothing failed: ", r)
							}
							break
						}
						failures++
						if r.Code == 0 {
							t.Fatalf("acknowledged, although this failed: %q\n%s", bad, r)
						}
						if now, err := os.ReadFile(full); string(now) != over {
							t.Fatalf("after failure %d of %q: %d bytes, %v", n, bad, len(now), err)
						}
						nothingLeft(t, roots)
						if r := run(append(args, "--json")...); r.Code != 0 {
							t.Fatal(r)
						} else if s, err := r.Summary(); err != nil || s.Transferred != 1 || s.Resumed != 0 {
							t.Fatalf("not sent as a whole: %v %s", err, r)
						}
						if now, err := os.ReadFile(full); err != nil || string(now) != string(data) {
							t.Fatalf("%d bytes, %v", len(now), err)
						}
					}
					if failures == 0 {
						t.Error("nothing was made durable")
					}
				})
			}
		}
	}
}

// nothingLeft looks for journals and for reserved names.
func nothingLeft(t *testing.T, roots []string) {
	t.Helper()
	for i, root := range roots {
		must(t, filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
			if err == nil && (strings.HasPrefix(d.Name(), ".hufu-") || i == 1 && !d.IsDir()) {
				t.Errorf("left: %s", p)
			}
			return err
		}))
	}
}
