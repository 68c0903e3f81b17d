//go:build e2e && linux

package stories

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"hufu/test/built"
)

// TestSyncWatch: a save is brought over soon, none of 10,000 changes is lost, also in new folders and
// while the server is away; Ctrl-C ends the command, and so does a folder that vanishes, whose copy
// stays. With HUFU_LARGE it is 100,000 changes, some of which the system does not tell.
func TestSyncWatch(t *testing.T) {
	t.Parallel()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dir, err := os.MkdirTemp("/dev/shm", "hufu-watch-") //nolint:usetesting // not where TempDir is
	if err != nil {                                     // no file system in memory: it takes longer
		dir = t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s, err := built.NewServer(bin, filepath.Join(dir, "data"))
	must(err)
	must(s.Start())
	t.Cleanup(func() { _ = s.Kill() })
	alice, err := s.Enroll(filepath.Join(dir, "home"), "alice", "")
	must(err)
	src, far := filepath.Join(dir, "src"), filepath.Join(s.Data, "files", "users", "alice", "w")
	must(os.Mkdir(src, 0o755))
	write := func(name, text string) {
		t.Helper()
		file := filepath.Join(src, name)
		must(errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o600)))
	}
	holds := func(name, text string) {
		t.Helper()
		must(built.Eventually(name, func() bool {
			data, err := os.ReadFile(filepath.Join(far, name))
			return err == nil && string(data) == text
		}))
	}
	changes := 10_000
	large := os.Getenv("HUFU_LARGE") != ""
	if large {
		changes = 100_000
	}
	pid := 0
	start := func() (ended func() int, signal func(os.Signal) error) {
		cmd := alice.Command(t.Context(), "sync", "--delete", "--watch", src, ":/w")
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		must(cmd.Start())
		pid = cmd.Process.Pid
		var once sync.Once
		code := 0
		ended = func() int {
			once.Do(func() {
				var err error
				if code, err = built.Code(cmd, cmd.Wait()); err != nil {
					t.Error(err)
				}
			})
			return code
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			if ended(); t.Failed() {
				t.Logf("%.2000s", &out)
			}
		})
		return ended, cmd.Process.Signal
	}

	write("first", "1")
	ended, signal := start()
	holds("first", "1")
	began := time.Now()
	write("saved", "once")
	holds("saved", "once")
	if took := time.Since(began); took > 10*time.Second { // the promise is two
		t.Errorf("a save took %v", took)
	}
	began = time.Now()
	for i := range changes {
		write(fmt.Sprintf("many/%d/%d", i%100, i), fmt.Sprint(i))
	}
	unheard := 0
	if large { // more than the system keeps for a program that does not read them
		text, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
		must(err)
		kept, err := strconv.Atoi(strings.TrimSpace(string(text)))
		must(err)
		unheard = kept + 1000
		must(signal(syscall.SIGSTOP))
	}
	for i := range unheard {
		write(fmt.Sprintf("unheard/%d/%d", i%100, i), fmt.Sprint(i))
	}
	for i := 0; i < changes; i += 7 {
		write(fmt.Sprintf("many/%d/%d", i%100, i), fmt.Sprint("again ", i))
	}
	for i := 0; i < changes; i += 11 {
		must(os.Remove(filepath.Join(src, "many", fmt.Sprint(i%100), fmt.Sprint(i))))
	}
	if large {
		must(signal(syscall.SIGCONT))
	}
	must(built.Eventually("both trees are the same", func() bool { return reflect.DeepEqual(texts(src), texts(far)) }))
	t.Logf("%d changes were there after %v; the command needed %d MiB at most", changes+changes/7+changes/11+unheard, time.Since(began).Round(time.Millisecond), built.Peak(pid)>>20)
	must(os.RemoveAll(filepath.Join(src, "many")))
	must(built.Eventually("removal", func() bool { _, err := os.Stat(filepath.Join(far, "many")); return errors.Is(err, os.ErrNotExist) }))

	_, err = s.Stop()
	must(err)
	write("away", "2")
	must(s.Start())
	holds("away", "2")
	must(signal(os.Interrupt))
	if code := ended(); code != 0 && code != 130 { // 130 if it was in the middle of a pass
		t.Errorf("Ctrl-C: %d", code)
	}

	ended, _ = start()
	write("last", "3")
	holds("last", "3")
	must(os.Rename(src, src+"2"))
	if code := ended(); code != 3 {
		t.Errorf("the folder vanished: %d", code)
	}
	holds("first", "1")
}

// texts are the files below a folder with what is in them, as far as they can be read now.
func texts(folder string) map[string]string {
	all := map[string]string{}
	_ = filepath.WalkDir(folder, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			data, err := os.ReadFile(path)
			if err == nil {
				all[strings.TrimPrefix(path, folder)] = string(data)
			}
		}
		return nil
	})
	return all
}
