//go:build linux

package disk_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"hufu/internal/blob"
	"hufu/internal/blob/disk"
)

// A rename over a file never shows the replaced file under the name of the moved one, not even
// between two of its steps.
func TestRenameOverAVersionMixesNoNames(t *testing.T) {
	t.Parallel()
	eachTree(t, func(t *testing.T, first *tree, isServer bool) {
		looked, fault := 0, error(nil)
		var tr *tree
		tr = first.reopen(disk.Options{Server: isServer, Hook: func(step string) error {
			switch step {
			case "replaced", "remove-source":
				looked++
				if got, err := os.ReadFile(filepath.Join(tr.root, "d/from")); err == nil && string(got) != "new" {
					t.Errorf("%s: the old name shows %q", step, got)
				}
				if step == "remove-source" {
					return fault
				}
			}
			return nil
		}})
		tr.mustPut("d/from", "new")
		rename := func() blob.Result {
			old := tr.mustPut("to", "old")
			b := tr.Batch(blob.Guard{})
			b.Rename(t.Context(), path(t, "d/from"), path(t, "to"), ifVersion(old.Version), "")
			return b.Finish(t.Context())[0]
		}
		tidy := func() {
			t.Helper()
			noneReserved(t, tr.root)
			if n := tr.Staged() + tr.Replaced(); n != 0 {
				t.Errorf("%d reserved names are remembered", n)
			}
			if left := names(t, filepath.Join(tr.dir, "uploads")); len(left) != 0 {
				t.Errorf("left: %q", left)
			}
		}
		fault = syscall.EIO
		if err := rename().Err; !errors.Is(err, syscall.EIO) {
			t.Fatal(err)
		}
		if tr.content("d/from") != "new" || tr.content("to") != "old" {
			t.Errorf("after an error: %q and %q", tr.content("d/from"), tr.content("to"))
		}
		tidy()
		fault = nil
		must(t, rename().Err)
		if tr.content("to") != "new" || len(names(t, filepath.Join(tr.root, "d"))) != 0 {
			t.Errorf("%q is there", tr.content("to"))
		}
		var st syscall.Stat_t
		must(t, syscall.Stat(filepath.Join(tr.root, "to"), &st))
		if st.Nlink != 1 {
			t.Errorf("the file has %d names", st.Nlink)
		}
		tidy()
		if looked != 5 {
			t.Errorf("looked %d times", looked)
		}
	})
}

// A rename over another hard link of the same file removes the old name, which rename(2) does not.
func TestRenameOverAHardLink(t *testing.T) {
	t.Parallel()
	eachTree(t, func(t *testing.T, tr *tree, _ bool) {
		for _, to := range []string{"b", "d/b"} {
			tr.mustPut("a", "content")
			must(t, os.MkdirAll(filepath.Join(tr.root, "d"), 0o700))
			must(t, os.Link(filepath.Join(tr.root, "a"), filepath.Join(tr.root, to)))
			b := tr.Batch(blob.Guard{})
			b.Rename(t.Context(), path(t, "a"), path(t, to), always(), "")
			r := b.Finish(t.Context())[0]
			must(t, r.Err)
			if _, err := os.Lstat(filepath.Join(tr.root, "a")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s: the old name is there: %v", to, err)
			}
			if tr.content(to) != "content" || r.Created {
				t.Errorf("%s: %q, %+v", to, tr.content(to), r)
			}
			must(t, os.Remove(filepath.Join(tr.root, to)))
		}
	})
}

// A process that is killed during a rename over a file leaves the moved file under one of the two
// names or both, and nothing else after the next one has cleared up.
func TestKilledDuringARename(t *testing.T) {
	t.Parallel()
	for _, side := range []string{"", "1"} {
		for _, step := range []string{"replace-checked", "replaced", "remove-source", "batch-named"} {
			t.Run(side+step, func(t *testing.T) {
				t.Parallel()
				o := disk.Options{Server: side != ""}
				tr := newTree(t, o)
				tr.mustPut("old", "old content")
				tr.mustPut("d/any", "new content")
				cmd := exec.CommandContext(t.Context(), os.Args[0])
				cmd.Env = append(os.Environ(), "DISK_TEST_CHILD="+tr.dir, "DISK_TEST_STEP="+step, "DISK_TEST_TIMES=1", "DISK_TEST_RENAME=1", "DISK_TEST_SERVER="+side)
				if err := cmd.Run(); err == nil {
					t.Fatal("the child did not come to the step")
				}
				tr = tr.reopen(o)
				from, err := os.ReadFile(filepath.Join(tr.root, "d/any"))
				if err == nil && string(from) != "new content" {
					t.Errorf("the old name shows %q", from)
				}
				if to := tr.content("old"); to != "new content" && (to != "old content" || err != nil) {
					t.Errorf("the new name shows %q, the old one %v", to, err)
				}
				must(t, tr.Recover())
				noneReserved(t, tr.root)
				if left := names(t, filepath.Join(tr.dir, "uploads")); len(left) != 0 {
					t.Errorf("left: %q", left)
				}
			})
		}
	}
}
