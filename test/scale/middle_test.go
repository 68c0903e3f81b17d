//go:build e2e && linux

package scale

import (
	"fmt"
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

// TestStoppedClientHindersNobody: 200 clients at once, one of them stopped in
// the middle.
func TestStoppedClientHindersNobody(t *testing.T) {
	const clients, size = 200, 4 * mib
	w := newWorld(t, t.TempDir(), 0)
	sum := w.b3sum(w.fill("one", size))
	large := w.b3sum(w.fill("large", 256*mib))
	w.do(0, "put", "one", "large", ":/")
	w.must(os.Mkdir(w.home("down"), 0o755))

	stopped := w.start("get", ":/large", "down/large")
	w.must(built.Eventually("a part of the large file", func() bool {
		parts, _ := filepath.Glob(w.home("down/.hufu-*"))
		return len(parts) > 0
	}))
	w.must(stopped.cmd.Process.Signal(syscall.SIGSTOP))
	began := time.Now()
	others := make([]*run, clients-1)
	for i := range others {
		if i%2 == 0 {
			others[i] = w.start("put", "one", fmt.Sprintf(":/up/%d", i))
		} else {
			others[i] = w.start("get", ":/one", fmt.Sprintf("down/%d", i))
		}
	}
	var longest time.Duration
	for i, r := range others {
		r.end(0)
		longest = max(longest, r.took)
		path := w.served(fmt.Sprintf("up/%d", i))
		if i%2 != 0 {
			path = w.home(fmt.Sprintf("down/%d", i))
		}
		if !w.whole(path, sum) {
			t.Errorf("%s is missing", path)
		}
	}
	t.Logf("%d clients moved %d MiB each in %v, the slowest took %v, while one was stopped; server: at most %d MB resident",
		len(others), size/mib, time.Since(began).Round(time.Millisecond), longest.Round(time.Millisecond), built.Peak(w.server.Pid())/1e6)
	select {
	case <-stopped.done:
		t.Error("the stopped client has ended: it was stopped too late")
	default:
	}
	w.must(stopped.cmd.Process.Signal(syscall.SIGCONT))
	stopped.end(0)
	if !w.whole(w.home("down/large"), large) {
		t.Error("the file of the stopped client is missing")
	}
}

// TestRevokedInTheMiddle: who is refused from now on is cut off now.
func TestRevokedInTheMiddle(t *testing.T) {
	w := newWorld(t, t.TempDir(), 40*mib)
	w.fill("large", 400*mib)
	for _, revoke := range [][]string{
		{"user", "lock", "alice"},
		{"cert", "revoke", "--user", "alice", "--reason", "laptop lost"},
	} {
		before := w.slow.Passed()
		r := w.start("put", "large", ":/large")
		w.must(built.Eventually("bytes of the file", func() bool { return w.slow.Passed() > before+30*mib }))
		began := time.Now()
		res, err := w.server.Admin(revoke...)
		if w.must(err); res.Code != 0 {
			t.Fatal(res)
		}
		done := time.Now()
		end := r.end(6)
		t.Logf("hufud %s took %v; the client had ended %v after it", strings.Join(revoke, " "), done.Sub(began).Round(time.Millisecond), time.Since(done).Round(time.Millisecond))
		if late := time.Since(done); late > 5*time.Second {
			t.Errorf("cut after %v", late)
		}
		if !regexp.MustCompile(`hufu: This (user has been locked since|certificate was revoked on) .*`).MatchString(end.Err) {
			t.Errorf("the client does not say why:\n%s", end.Err)
		}
		if _, err := os.Stat(w.served("large")); err == nil {
			t.Error("a part has the final name")
		}
		if !strings.Contains(w.server.Log(), "msg=cut") {
			t.Error("the log has no line")
		}
		if revoke[0] == "user" {
			_, err = w.server.Admin("user", "unlock", "alice")
			w.must(err)
		} else if !strings.Contains(end.Err, "laptop lost") {
			t.Errorf("the client does not say the reason:\n%s", end.Err)
		}
	}
}

// TestStoppedInTheMiddle: a signal in the middle of a transfer is what the user
// asked for, and the same command goes on.
func TestStoppedInTheMiddle(t *testing.T) {
	w := newWorld(t, t.TempDir(), 40*mib)
	sum := w.b3sum(w.fill("large", 60*mib))
	for _, way := range [][]string{{"put", "large", ":/there"}, {"get", ":/there", "back"}} {
		for signal, status := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
			before := w.slow.Passed()
			r := w.start(way...)
			w.must(built.Eventually("bytes of the file", func() bool { return w.slow.Passed() > before+5*mib }))
			w.must(r.cmd.Process.Signal(signal))
			if end := r.end(status); !strings.Contains(end.Err, "hufu: Canceled.") {
				t.Errorf("%s, %v: %s", way[0], signal, end.Err)
			}
		}
		s, err := w.do(0, append(way, "--json")...).Summary()
		w.must(err)
		if s.Resumed == 0 {
			t.Errorf("%s: nothing was kept", way[0])
		}
	}
	if !w.whole(w.home("back"), sum) {
		t.Error("it did not come back")
	}
}

// TestSourceThatMoves covers HT-48 on the built programs: files that are
// changed, cut off and removed while they are read, and one that is replaced
// while it is fetched: one version whole or none, and the rest goes on.
func TestSourceThatMoves(t *testing.T) {
	w := newWorld(t, t.TempDir(), 60*mib)
	moving := []string{"written", "cut", "gone-1", "gone-2", "gone-3", "gone-4", "gone-5", "gone-6"}
	sums := map[string]string{}
	for _, name := range moving {
		sums[name] = w.b3sum(w.fill("src/"+name, 24*mib))
	}
	for i := range 50 {
		name := fmt.Sprintf("still-%d", i)
		sums[name] = w.b3sum(w.fill("src/sub/"+name, 10_000))
	}
	before := w.slow.Passed()
	r := w.start("put", "--json", "src/", ":/src/")
	w.must(built.Eventually("the first bytes", func() bool { return w.slow.Passed() > before+10*mib }))
	f, err := os.OpenFile(w.home("src/written"), os.O_WRONLY, 0)
	w.must(err)
	_, err = f.WriteAt([]byte("other"), 23*mib)
	w.must(err)
	w.must(f.Close())
	sums["written now"] = w.b3sum(w.home("src/written"))
	w.must(os.Truncate(w.home("src/cut"), 5*mib))
	sums["cut now"] = w.b3sum(w.home("src/cut"))
	for _, name := range moving[2:] {
		w.must(os.Remove(w.home("src/" + name)))
	}
	res := r.end(1)
	lines, err := res.Lines()
	w.must(err)
	codes := map[string]int{}
	for _, l := range lines {
		if l["outcome"] == "failed" {
			codes[fmt.Sprint(l["code"])]++
		}
	}
	there := 0
	for _, name := range moving {
		if w.whole(w.served("src/"+name), sums[name], sums[name+" now"]) {
			there++
		}
	}
	for i := range 50 {
		name := fmt.Sprintf("still-%d", i)
		if !w.whole(w.served("src/sub/"+name), sums[name]) {
			t.Errorf("%s is missing: the rest did not go on", name)
		}
	}
	t.Logf("of %d moving files %d arrived whole, the others were refused: %v", len(moving), there, codes)
	if len(codes) == 0 {
		t.Error("nothing failed: the files moved too late")
	}

	// Replaced ten times while it is fetched.
	versions := []string{w.b3sum(w.fill("v", 16*mib))}
	w.do(0, "put", "v", ":/v")
	w.slow.Rate(8 * mib)
	g := w.start("get", "--json", ":/v", "got")
	time.Sleep(300 * time.Millisecond)
	for range 10 {
		// At the server itself: the network is slow for everybody.
		next := w.served("v.next")
		w.must(exec.Command("sh", "-c", "head -c 16777216 /dev/urandom >"+next).Run())
		versions = append(versions, w.b3sum(next))
		w.must(os.Rename(next, w.served("v")))
	}
	w.slow.Rate(60 * mib)
	<-g.done
	switch g.code {
	case 0:
		w.whole(w.home("got"), versions...)
	case 1:
		if !strings.Contains(g.out.String(), `"code":"file_changed"`) {
			t.Errorf("want changed:\n%s%s", &g.out, &g.errs)
		}
		if w.whole(w.home("got"), versions...) {
			t.Error("it failed and is there")
		}
	default:
		t.Errorf("exit status %d\n%s%s", g.code, &g.out, &g.errs)
	}
	t.Logf("replaced ten times while fetched: exit status %d", g.code)
	w.do(0, "get", ":/v", "again")
	w.whole(w.home("again"), versions[10])
}

// mount makes a small disk, as root only: there is no other way to fill one.
func mount(t *testing.T, size string) (dir string, grow func(size string)) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("mounting a small disk needs root; run this test as root")
	}
	dir = filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", dir).CombinedOutput(); err != nil {
		t.Fatalf("a small disk cannot be mounted, so a full one was not tried: %v %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", dir).Run() })
	return dir, func(size string) {
		t.Helper()
		if out, err := exec.Command("mount", "-o", "remount,size="+size, dir).CombinedOutput(); err != nil {
			t.Fatalf("mount: %v %s", err, out)
		}
	}
}

// TestDiskFull covers HT-45 on the built programs, at both ends.
func TestDiskFull(t *testing.T) {
	disk, grow := mount(t, "48m")
	w := newWorld(t, disk, 0)
	w.fill("first", 24*mib)
	sum := w.b3sum(w.fill("second", 32*mib))
	w.do(0, "put", "first", ":/")
	res := w.do(4, "put", "second", ":/")
	if !strings.Contains(res.Err, `There is no space left for`) {
		t.Errorf("the client does not say what is wrong:\n%s", res.Err)
	}
	for i := range 40 {
		w.fill(fmt.Sprintf("small/%d", i), 900_000)
	}
	res = w.do(1, "put", "small", ":/")
	if !strings.Contains(res.Err, "There is no space left for") {
		t.Errorf("the client does not say what is wrong:\n%s", res.Err)
	}
	if _, err := os.Stat(w.served("second")); err == nil {
		t.Error("a part has the final name")
	}
	// Looking and making room still work on a full disk.
	w.do(0, "ls", ":/")
	w.do(0, "get", ":/first", "back")
	w.do(0, "rm", "-r", ":/first", ":/small")
	w.do(0, "put", "second", ":/")
	w.whole(w.served("second"), sum)
	grow("200m")
	w.do(0, "put", "small", "first", ":/")

	disk, grow = mount(t, "16m")
	res = w.do(4, "get", ":/second", disk+"/")
	if !strings.Contains(res.Err, "There is no space left for") {
		t.Errorf("the client does not say what is wrong:\n%s", res.Err)
	}
	if _, err := os.Stat(filepath.Join(disk, "second")); err == nil {
		t.Error("a part has the final name")
	}
	grow("64m")
	s, err := w.do(0, "get", "--json", ":/second", disk+"/").Summary()
	w.must(err)
	w.whole(filepath.Join(disk, "second"), sum)
	t.Logf("after room was made the get went on: %d MiB were there, %d MiB were fetched", s.Resumed/mib, s.Sent/mib)
	if s.Resumed == 0 {
		t.Error("what had arrived was fetched again")
	}
	if log := w.server.Log(); !strings.Contains(log, "why=disk_full") || strings.Contains(log, "panic") {
		t.Errorf("the log of a full disk:\n%s", log)
	}
}
