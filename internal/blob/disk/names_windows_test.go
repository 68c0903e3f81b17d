package disk

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/disk/sys"
)

// No call of a folder's handle takes a name that leads elsewhere, whoever calls
// it.
func TestHandleRefusesNamesThatLeadElsewhere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	root := filepath.Join(dir, "a", "b")
	if err := os.MkdirAll(root, 0o700); err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(dir, "x.bat")
	if err := os.WriteFile(outside, []byte("outside"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := sys.OpenRoot(root)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	f, err := d.Create("good", 0o600)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	var k sys.Kernel
	for _, bad := range []string{`..\..\x.bat`, "good:stream", "NUL", "good.", "good ", "..", "", "a/b"} {
		for call, try := range map[string]func() error{
			"stat":        func() error { _, err := d.Stat(bad); return err },
			"openDir":     func() error { _, err := k.OpenDir(d, `x/`+bad, sys.PassFlags); return err },
			"openSub":     func() error { _, err := d.OpenSub(bad); return err },
			"readlink":    func() error { _, err := d.Readlink(bad); return err },
			"mkdir":       func() error { return d.Mkdir(bad, 0o700) },
			"unlink":      func() error { return d.Unlink(bad) },
			"rmdir":       func() error { return d.Rmdir(bad) },
			"symlink":     func() error { return d.Symlink("x", bad) },
			"rename":      func() error { return d.Rename("good", d, bad) },
			"rename from": func() error { return d.Rename(bad, d, "new") },
			"link":        func() error { return d.Link("good", d, bad) },
			"link from":   func() error { return d.Link(bad, d, "new") },
			"new":         func() error { return d.RenameNew("good", d, bad) },
			"new from":    func() error { return d.RenameNew(bad, d, "new") },
			"openPlain":   func() error { _, err := d.OpenPlain(bad); return err },
			"openWrite":   func() error { _, err := d.OpenWrite(bad); return err },
			"create":      func() error { _, err := d.Create(bad, 0o600); return err },
			"touch":       func() error { return d.TouchNamed(bad, sys.Stamp{}) },
			"chmod":       func() error { return d.ChmodNamed(bad, 0o600) },
		} {
			want := error(syscall.EINVAL)
			if call == "openDir" {
				want = syscall.ENOENT // of x: nothing of it is looked at
				if bad == "" || bad == ".." {
					continue
				}
			}
			if err := try(); !errors.Is(err, want) {
				t.Errorf("%s of %q: %v", call, bad, err)
			}
		}
	}
	if b, err := os.ReadFile(outside); err != nil || string(b) != "outside" {
		t.Errorf("%q %v", b, err)
	}
	if _, err := os.Stat(filepath.Join(root, "good")); err != nil {
		t.Error(err)
	}
	s, err := Open(root, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p, err := hufu.Path{}.Join(`..\..\y.bat`)
	if err != nil {
		t.Fatal(err)
	}
	b := s.Batch(blob.Guard{})
	b.Put(t.Context(), p, []byte("x"), blob.Meta{}, hufu.Condition{Kind: hufu.Always})
	if err := b.Finish(t.Context())[0].Err; hufu.CodeOf(err) != "name_not_possible_here" {
		t.Error(err)
	}
}
