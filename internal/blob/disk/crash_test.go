//go:build linux

package disk_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/disk"
	"hufu/internal/digest"
)

// TestMain lets the test binary be the process that dies.
func TestMain(m *testing.M) {
	if dir := os.Getenv("DISK_TEST_CHILD"); dir != "" {
		child(dir)
	}
	os.Exit(m.Run())
}

var crashBig = func() []byte { return random(4*mib+9, 40) }

// child writes into the tree at dir and dies by SIGKILL when it comes to the
// named step for the n-th time. It says on standard output what was
// acknowledged.
func child(dir string) {
	step := os.Getenv("DISK_TEST_STEP")
	foreign := os.Getenv("DISK_TEST_FOREIGN") // what somebody saves as "old" just before it is replaced
	times, _ := strconv.Atoi(os.Getenv("DISK_TEST_TIMES"))
	must := func(err error) {
		if err != nil {
			_, _ = os.Stderr.WriteString(err.Error())
			os.Exit(3)
		}
	}
	s, err := disk.Open(filepath.Join(dir, "root"), disk.Options{
		Server: os.Getenv("DISK_TEST_SERVER") != "", Uploads: filepath.Join(dir, "uploads"),
		Hook: func(at string) error {
			if foreign != "" && at == "replace-checked" {
				_ = os.WriteFile(filepath.Join(dir, "root", "foreign"), []byte(foreign), 0o600)
				_ = os.Rename(filepath.Join(dir, "root", "foreign"), filepath.Join(dir, "root", "old"))
			}
			if at == step {
				if times--; times <= 0 {
					_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
					select {}
				}
			}
			return nil
		},
	})
	must(err)
	if os.Getenv("DISK_TEST_FALLBACK") != "" {
		s.WithoutTmpfile()
	}
	parse := func(p string) hufu.Path { q, err := hufu.ParsePath(p); must(err); return q }
	old, err := s.Stat(context.Background(), parse("old"))
	must(err)
	b := s.Batch(blob.Guard{})
	if os.Getenv("DISK_TEST_RENAME") != "" {
		b.Rename(context.Background(), parse("d/any"), parse("old"), ifVersion(old.Version), "")
		must(b.Finish(context.Background())[0].Err)
		os.Exit(0)
	}
	for _, n := range []string{"d/one", "d/two"} {
		b.Put(context.Background(), parse(n), []byte(n), blob.Meta{Mode: 0o600, Digest: digest.Sum([]byte(n))}, ifAbsent())
	}
	b.Put(context.Background(), parse("old"), []byte("new content"), blob.Meta{Mode: 0o600}, ifVersion(old.Version))
	b.Put(context.Background(), parse("any"), []byte("new content"), blob.Meta{Mode: 0o600}, always())
	for _, r := range b.Finish(context.Background()) {
		must(r.Err)
	}
	_, _ = os.Stdout.WriteString("batch\n")
	data := crashBig()
	u, err := s.OpenUpload(context.Background(), blob.UploadKey{Path: parse("e/big"), Size: int64(len(data)), Source: "v1", Owner: "alice"}, blob.Guard{})
	must(err)
	for i := range digest.Chunks(int64(len(data))) {
		must(u.Write(context.Background(), i, chunk(data, i), digest.Chunk(chunk(data, i), i)))
		_, _ = os.Stdout.WriteString("chunk\n")
	}
	_, err = blob.CommitUpload(context.Background(), u, digest.Sum(data), blob.Meta{Mode: 0o600}, ifAbsent())
	must(err)
	_, _ = os.Stdout.WriteString("upload\n")
	for _, c := range []struct {
		name string
		cond hufu.Condition
	}{{"any", always()}, {"old", hufu.Condition{Kind: hufu.IfVersion}}} {
		if c.cond.Kind == hufu.IfVersion {
			e, err := s.Stat(context.Background(), parse(c.name))
			must(err)
			c.cond.Version = e.Version
		}
		u, err := s.OpenUpload(context.Background(), blob.UploadKey{Path: parse(c.name), Size: int64(len(data)), Source: "v1", Owner: "alice"}, blob.Guard{})
		must(err)
		for i := range digest.Chunks(int64(len(data))) {
			must(u.Write(context.Background(), i, chunk(data, i), digest.Chunk(chunk(data, i), i)))
		}
		_, err = blob.CommitUpload(context.Background(), u, digest.Sum(data), blob.Meta{Mode: 0o600}, c.cond)
		must(err)
	}
	os.Exit(0)
}

// A process killed at any step leaves each name old or new, whole; what was
// acknowledged is there; an upload goes on without the chunks that had arrived
// (HT-45).
func TestHT45KilledAtEveryStep(t *testing.T) {
	t.Parallel()
	steps := []struct {
		name  string
		times int
	}{
		{"put-created", 1},
		{"put-created", 3},
		{"put-written", 1},
		{"put-written", 4},
		{"batch-staged", 1},
		{"batch-synced", 1},
		{"batch-name", 1},
		{"batch-name", 2},
		{"batch-name", 3},
		{"batch-name", 4},
		{"replace-checked", 1},
		{"batch-named", 1},
		{"batch-durable", 1},
		{"journal-made", 1},
		{"journal-made", 2},
		{"journal-made", 3},
		{"journal-made", 4},
		{"upload-staged", 1},
		{"upload-created", 1},
		{"chunk-written", 1},
		{"chunk-written", 3},
		{"chunk-journalled", 1},
		{"chunk-journalled", 5},
		{"commit-meta", 1},
		{"commit-synced", 1},
		{"commit-named", 1},
		{"commit-durable", 1},
		{"commit-done", 1},
		{"replaced", 1}, // the old version is under a reserved name
		{"replaced", 2},
		{"replaced", 3},
		{"replaced", 4},
		{"commit-named", 2},
		{"commit-named", 3},
		{"commit-durable", 2},
		{"commit-durable", 3},
		{"never", 1},
	}
	for _, side := range []string{"server", "person"} {
		for _, step := range steps {
			t.Run(side+"/"+step.name+strconv.Itoa(step.times), func(t *testing.T) {
				t.Parallel()
				killed(t, side == "server", step.name, step.times)
			})
		}
	}
}

// What somebody else has saved under the name in the last moment came out of the
// exchange, and we are killed before it is put back: the next one puts it back.
func TestKilledWithWhatSomebodyElseSaved(t *testing.T) {
	t.Parallel()
	for _, env := range [][]string{{"DISK_TEST_SERVER=1"}, {}, {"DISK_TEST_SERVER=1", "DISK_TEST_FALLBACK=1"}, {"DISK_TEST_FALLBACK=1"}} {
		o := disk.Options{Server: slices.Contains(env, "DISK_TEST_SERVER=1")}
		tr := newTree(t, o)
		tr.mustPut("old", "old content")
		tr.mustPut("any", "old content")
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), "DISK_TEST_CHILD="+tr.dir, "DISK_TEST_STEP=replaced", "DISK_TEST_TIMES=1", "DISK_TEST_FOREIGN=saved meanwhile")
		cmd.Env = append(cmd.Env, env...)
		_ = cmd.Run()
		if tr.content("old") == "saved meanwhile" {
			t.Fatal("the child did not come to the exchange")
		}
		tr = tr.reopen(o)
		must(t, tr.Recover())
		if got := tr.content("old"); got != "saved meanwhile" {
			t.Errorf("%q: %q is there", env, got)
		}
		noneReserved(t, tr.root)
		if left := names(t, filepath.Join(tr.dir, "uploads")); len(left) != 0 {
			t.Errorf("left: %q", left)
		}
	}
}

func killed(t *testing.T, isServer bool, step string, times int) {
	o := disk.Options{Server: isServer}
	tr := newTree(t, o)
	tr.mustPut("old", "old content")
	tr.mustPut("any", "old content")
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "DISK_TEST_CHILD="+tr.dir, "DISK_TEST_STEP="+step, "DISK_TEST_TIMES="+strconv.Itoa(times))
	if isServer {
		cmd.Env = append(cmd.Env, "DISK_TEST_SERVER=1")
	}
	var said strings.Builder
	cmd.Stdout = &said
	var stderr strings.Builder
	cmd.Stderr = &stderr
	err := cmd.Run()
	if step == "never" {
		if err != nil {
			t.Fatal(err, stderr.String())
		}
	} else if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the child did not come to the step: %v %s", err, stderr.String())
	}
	tr = tr.reopen(o)
	data := crashBig()
	for name, allowed := range map[string][]string{
		"d/one": {"d/one", ""}, "d/two": {"d/two", ""}, "old": {"old content", "new content", string(data)}, "any": {"old content", "new content", string(data)},
		"e/big": {string(data), ""},
	} {
		b, err := os.ReadFile(filepath.Join(tr.root, name))
		if err != nil && !os.IsNotExist(err) || !slices.Contains(allowed, string(b)) || err == nil && len(b) == 0 {
			t.Errorf("%s: %d bytes, neither old nor new (%v)", name, len(b), err)
		}
		if strings.Contains(said.String(), "batch") && name != "e/big" && string(b) != allowed[0] && string(b) != "new content" && string(b) != string(data) {
			t.Errorf("%s was acknowledged and is not there", name)
		}
		if isServer && err == nil && name == "d/one" {
			if e, err := tr.Stat(t.Context(), path(t, name)); err != nil || e.Digest != digest.Sum(b) {
				t.Errorf("%s: %+v %v", name, e, err)
			}
		}
	}
	for _, dir := range []string{"", "d", "e"} { // nothing half done is ever shown
		if _, err := os.Stat(filepath.Join(tr.root, dir)); err != nil {
			continue
		}
		for _, n := range tr.list(dir) {
			if strings.HasPrefix(n, hufu.ReservedPrefix) {
				t.Errorf("shown: %q", n)
			}
		}
	}
	if b, err := os.ReadFile(filepath.Join(tr.root, "e/big")); err == nil {
		if string(b) != string(data) {
			t.Error("the big file is a part")
		}
		// Of one that got its name and was killed then, nothing is left either.
		must(t, tr.Recover())
		for _, n := range []string{"any", "old"} { // the same again goes on, or begins anew
			u := tr.open(blob.UploadKey{Path: path(t, n), Size: int64(len(data)), Source: "v1", Owner: "alice"})
			write(t, u, data, missing(u)...)
			if _, err := blob.CommitUpload(t.Context(), u, digest.Sum(data), meta, always()); err != nil {
				t.Error(err)
			}
			u.Close()
		}
		noneReserved(t, tr.root)
		if left := names(t, filepath.Join(tr.dir, "uploads")); len(left) != 0 {
			t.Errorf("journals left: %q", left)
		}
		return
	}
	if strings.Contains(said.String(), "upload") {
		t.Fatal("the big file was acknowledged and is not there")
	}
	u := tr.open(blob.UploadKey{Path: path(t, "e/big"), Size: int64(len(data)), Source: "v1", Owner: "alice"})
	defer u.Close()
	if told := int64(strings.Count(said.String(), "chunk")); u.Info().Have < told {
		t.Errorf("%d chunks were acknowledged, %d are there", told, u.Info().Have)
	}
	write(t, u, data, missing(u)...)
	if _, err := blob.CommitUpload(t.Context(), u, digest.Sum(data), meta, ifAbsent()); err != nil {
		t.Fatal(err)
	}
	if tr.content("e/big") != string(data) {
		t.Error("other bytes after going on")
	}
	if left := names(t, filepath.Join(tr.root, "e")); !slices.Equal(left, []string{"big"}) {
		t.Errorf("left: %q", left)
	}
	noneReserved(t, tr.root)
	if left := names(t, filepath.Join(tr.dir, "uploads")); len(left) != 0 {
		t.Errorf("journals left: %q", left)
	}
}

// An error at any step is reported, and leaves each name old or new, whole.
// The answer may be wrong about what happened in one way only: it says no
// where it is yes, and repeating then says yes.
func TestFaultAtEveryStep(t *testing.T) {
	t.Parallel()
	fault := errors.New("fault")
	for _, step := range []string{
		"put-created", "put-written", "batch-staged", "batch-synced", "batch-name", "batch-named", "batch-durable",
		"upload-staged", "upload-created", "chunk-written", "chunk-journalled", "commit-meta", "commit-synced", "commit-named", "commit-durable",
	} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			on := true
			tr := newTree(t, disk.Options{Server: true, Hook: func(at string) error {
				if on && at == step {
					return fault
				}
				return nil
			}})
			data := random(2*mib, 41)
			r := tr.put("d/f", "content", always())
			failed := r.Err != nil
			u, err := tr.OpenUpload(tr.t.Context(), key(t, "big", data), blob.Guard{})
			if err == nil {
				for i := range int64(2) {
					c := chunk(data, i)
					err = errors.Join(err, u.Write(context.Background(), i, c, digest.Chunk(c, i)))
				}
				if err == nil {
					_, err = blob.CommitUpload(t.Context(), u, digest.Sum(data), meta, always())
				}
			}
			if !failed && err == nil {
				t.Fatal("the fault was swallowed")
			}
			on = false
			if r := tr.put("d/f", "content", always()); r.Err != nil {
				t.Error(r.Err)
			}
			if u == nil {
				u = tr.open(key(t, "big", data))
			}
			write(t, u, data, missing(u)...)
			if _, err := blob.CommitUpload(t.Context(), u, digest.Sum(data), meta, always()); err != nil {
				t.Error(err)
			}
			u.Close()
			if tr.content("big") != string(data) || tr.content("d/f") != "content" {
				t.Error("other bytes")
			}
			left := slices.Concat(names(t, tr.root), names(t, filepath.Join(tr.root, "d")), names(t, filepath.Join(tr.dir, "uploads")))
			if !slices.Equal(left, []string{"big", "d", "f"}) {
				t.Errorf("left: %q", left)
			}
		})
	}
}
