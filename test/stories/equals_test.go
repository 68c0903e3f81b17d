//go:build e2e && linux

package stories

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hufu/test/built"
)

// TestSyncEqualsRsync: a folder that hufu sync has made equal to another one is what rsync -a
// makes of it, with --delete and without, with filters and without, in both directions; and a
// second run moves nothing. The trees are random and have every kind of change.
func TestSyncEqualsRsync(t *testing.T) {
	t.Parallel()
	trees := 3
	if os.Getenv("HUFU_LARGE") != "" {
		trees = 1000
	}
	dir, err := os.MkdirTemp("/dev/shm", "hufu-sync-") //nolint:usetesting // not where TempDir is
	if err != nil {                                    // no file system in memory: it takes longer
		dir = t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s, err := built.NewServer(bin, filepath.Join(dir, "data"))
	if err == nil {
		err = s.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Kill() })
	alice, err := s.Enroll(t.TempDir(), "alice", "")
	if err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	for i := range trees {
		w := &mirrored{t: t, alice: alice, dir: filepath.Join(dir, fmt.Sprint(i)), rand: rand.New(rand.NewPCG(seed, uint64(i)))}
		if err := os.Mkdir(w.dir, 0o700); err != nil {
			t.Fatal(err)
		}
		w.run(i)
		if t.Failed() {
			t.Fatalf("tree %d of seed %d", i, seed)
		}
		_ = os.RemoveAll(w.dir)
	}
}

type mirrored struct {
	t     *testing.T
	alice built.Person
	dir   string
	rand  *rand.Rand
}

func (w *mirrored) run(i int) {
	w.tree("source", 0)
	w.tree("target", 0)
	var flags []string
	if i%2 == 0 || w.rand.IntN(2) == 0 {
		flags = append(flags, "--delete")
	}
	if i%2 == 1 {
		rules := [][]string{{"--exclude", "a"}, {"--exclude", "c*/**"}, {"--exclude", "/**/d"}, {"--exclude", "/b/"}, {"--include", "a/", "--exclude", "[ab]"}}
		n := len(rules)
		if w.protects() {
			n -= 2
		}
		flags = append(flags, rules[w.rand.IntN(n)]...)
	}
	w.command("cp", "-a", "target", "wanted")
	w.command("cp", "-a", "target", "back")
	wanted := w.command("rsync", slices.Concat([]string{"-a"}, flags, []string{"source/", "wanted/"})...)
	far := fmt.Sprintf(":/t%d", i)
	w.hufu(0, "sync", "--delete", "target", far)
	want := w.list("wanted")

	up := slices.Concat([]string{"sync", "--json"}, flags, []string{"source", far})
	dry := w.hufu(-1, append(up, "--dry-run")...)
	done := w.hufu(wanted, up...)
	if wanted == 0 {
		w.same("what a dry run says", undry(dry), undry(done))
	}
	again := w.hufu(-1, up...)
	if !strings.Contains(again, `"bytes_sent":0,`) || !strings.Contains(again, `"transferred":0`) || strings.Contains(again, `"outcome":"deleted"`) || strings.Contains(again, `"outcome":"updated"`) {
		w.t.Errorf("the second run: %s", again)
	}
	w.hufu(0, "sync", "--delete", far, "copy")
	w.same("upwards "+strings.Join(flags, " "), want, w.list("copy"))

	w.hufu(0, "sync", "--delete", "source", far)
	down := slices.Concat([]string{"sync", "--json"}, flags, []string{far, "back"})
	w.hufu(wanted, down...)
	w.same("downwards "+strings.Join(flags, " "), want, w.list("back"))
	again = w.hufu(-1, down...)
	if !strings.Contains(again, `"bytes_sent":0,`) || !strings.Contains(again, `"transferred":0`) || strings.Contains(again, `"outcome":"deleted"`) || strings.Contains(again, `"outcome":"updated"`) {
		w.t.Errorf("the second run downwards: %s", again)
	}
}

// protects reports whether a filter that tells folders from files may exclude something of the target
// that is in the way of something of the source. hufu then leaves it, and rsync does not.
func (w *mirrored) protects() (found bool) {
	_ = filepath.WalkDir(filepath.Join(w.dir, "target"), func(path string, d fs.DirEntry, _ error) error {
		rel, _ := filepath.Rel(filepath.Join(w.dir, "target"), path)
		i, err := os.Lstat(filepath.Join(w.dir, "source", rel))
		found = found || err == nil && i.IsDir() != d.IsDir() && (d.Name() == "a" || d.Name() == "b")
		return nil
	})
	return found
}

// undry is what a run says of each name, without its summary, a dry run as the other one.
func undry(out string) string {
	for _, r := range []string{"transferred", "deleted", "updated", "made"} {
		out = strings.ReplaceAll(out, "would_"+map[string]string{"transferred": "transfer", "deleted": "delete", "updated": "update", "made": "make"}[r], r)
	}
	var all []string
	for line := range strings.Lines(out) {
		if !strings.Contains(line, `"summary"`) && !strings.Contains(line, `"same"`) {
			name, _, _ := strings.Cut(line, `,"size"`)
			_, outcome, _ := strings.Cut(line, `"outcome":`)
			all = append(all, name+" "+outcome)
		}
	}
	slices.Sort(all)
	return strings.Join(all, "")
}

func (w *mirrored) same(what, want, got string) {
	w.t.Helper()
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	for _, l := range a {
		if !slices.Contains(b, l) {
			w.t.Errorf("%s: missing %s", what, l)
		}
	}
	for _, l := range b {
		if !slices.Contains(a, l) {
			w.t.Errorf("%s: unexpected %s", what, l)
		}
	}
}

// command runs a program that may end with 0, or as rsync with 23 if a folder was in the way. It
// returns the status that hufu must end with.
func (w *mirrored) command(name string, args ...string) int {
	w.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = w.dir
	out, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && name == "rsync" && exit.ExitCode() == 23 && bytes.Contains(out, []byte("could not make way for")) {
		return 1
	}
	if err != nil {
		w.t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return 0
}

// hufu runs hufu, which must end with this status if it is not below 0.
func (w *mirrored) hufu(want int, args ...string) string {
	w.t.Helper()
	cmd := w.alice.Command(w.t.Context(), args...)
	cmd.Dir = w.dir
	r, err := built.Run(cmd)
	if err != nil || want >= 0 && r.Code != want {
		w.t.Fatalf("hufu %q: %v %v, not %d", args, err, r, want)
	}
	return r.Out
}

// tree makes a folder with random things in it. Two files of the same size, time and name have the
// same contents.
func (w *mirrored) tree(dir string, depth int) {
	must := func(err error) {
		if err != nil {
			w.t.Fatal(err)
		}
	}
	at := filepath.Join(w.dir, dir)
	must(os.Mkdir(at, 0o755))
	for _, name := range []string{"a", "b", "c d", "d", "é", "-e", ".f", "\xff", "long"} {
		file := filepath.Join(at, name)
		switch w.rand.IntN(5) {
		case 0, 1:
			size := []int{0, 1, 100, 5000}[w.rand.IntN(4)]
			if w.rand.IntN(40) == 0 {
				size = 1<<20 + 7
			}
			must(os.WriteFile(file, bytes.Repeat([]byte(name), size)[:size], 0o600))
			must(os.Chmod(file, fs.FileMode([]uint32{0o644, 0o600, 0o755, 0o444, 0o664}[w.rand.IntN(5)])))
		case 2:
			must(os.Symlink([]string{"a", "../b", "/none", "."}[w.rand.IntN(4)], file))
		case 3:
			if depth < 3 {
				w.tree(filepath.Join(dir, name), depth+1)
			}
			continue
		default:
			continue
		}
		w.touch(file)
	}
	must(os.Chmod(at, fs.FileMode([]uint32{0o755, 0o700, 0o775, 0o750}[w.rand.IntN(4)])))
	w.touch(at)
}

func (w *mirrored) touch(file string) {
	ts := unix.NsecToTimespec(1_500_000_000_000_000_000 + []int64{0, 5e9, 9_123456789, 7e15}[w.rand.IntN(4)])
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, file, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		w.t.Fatal(err)
	}
}

// list describes everything in a folder and the folder itself.
func (w *mirrored) list(dir string) string {
	var b strings.Builder
	root := filepath.Join(w.dir, dir)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		i, err := d.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		when := i.ModTime().UnixNano()
		if when > 1_600_000_000_000_000_000 { // of a folder in which something had to stay
			when = 0
		}
		fmt.Fprintf(&b, "%q %v %d", rel, i.Mode().Type(), when)
		switch {
		case i.Mode().IsRegular():
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %o %d %x", i.Mode().Perm(), len(data), sha256.Sum256(data))
		case i.IsDir():
			fmt.Fprintf(&b, " %o", i.Mode().Perm())
		default:
			to, err := os.Readlink(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " -> %s", to)
		}
		b.WriteByte('\n')
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return b.String()
}
