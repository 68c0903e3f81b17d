package disk

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"hufu"
	"hufu/internal/blob/disk/sys"
)

// Where numbers change with each mount, a number does not make a left-over file ours: it is removed
// only if it has the size and time of the replaced version, or its name never held another file.
func TestLeftOversOnAFileSystemThatRenumbers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		step func(n *sys.Node) step // n is the file under the reserved name
		keep bool
	}{
		{"the number of ours, another size", func(n *sys.Node) step {
			return step{Base: []byte("f"), Ino: n.Ino, Size: n.Size + 1, Old: sys.Version{Size: 99}.String()}
		}, true},
		{"the number and size of ours", func(n *sys.Node) step {
			return step{Base: []byte("f"), Ino: n.Ino, Size: n.Size, Old: sys.Version{Size: 99}.String()}
		}, false},
		{"an unexpected version", func(n *sys.Node) step {
			return step{Base: []byte("g"), Ino: n.Ino + 1, Size: n.Size, Old: sys.Version{Size: 99}.String()}
		}, true},
		{"the replaced version", func(n *sys.Node) step {
			v := n.Version
			v.Ino++
			return step{Base: []byte("f"), Ino: n.Ino + 1, Size: 99, Old: v.String()}
		}, false},
		{"staged bytes", func(*sys.Node) step { return step{} }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			root, uploads, name := t.TempDir(), t.TempDir(), stagingName(newID())
			open := func() *Store {
				s, err := Open(root, Options{Uploads: uploads})
				if err != nil {
					t.Fatal(err)
				}
				s.has.Renumbers = true
				return s
			}
			for _, n := range []string{"f", name} {
				if err := os.WriteFile(filepath.Join(root, n), []byte("in "+n), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			s := open()
			n, err := s.root.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			st := c.step(&n)
			st.Name = []byte(name)
			tr := s.newTrail()
			tr.note(hufu.Path{}, st)
			tr.leave()
			_ = s.Close()
			s = open()
			defer func() { _ = s.Close() }()
			if err := s.Recover(); err != nil {
				t.Fatal(err)
			}
			var left []string
			list, err := os.ReadDir(root)
			for _, e := range list {
				left = append(left, e.Name())
			}
			if err != nil || slices.Contains(left, name) != c.keep || !slices.Contains(left, "f") || slices.Contains(left, "g") {
				t.Errorf("left: %q, want the left-over file %v, %v", left, c.keep, err)
			}
		})
	}
}

// TestLeftOversInARenamedFolder: what a killed process left is found if the user has renamed the folder.
func TestLeftOversInARenamedFolder(t *testing.T) {
	t.Parallel()
	root, uploads := t.TempDir(), t.TempDir()
	s, err := Open(root, Options{Uploads: uploads})
	if err != nil {
		t.Fatal(err)
	}
	dir, err := hufu.ParsePath("a/b")
	if err == nil {
		err = os.MkdirAll(filepath.Join(root, "c", "b"), 0o700) // a/b under its new name
	}
	if err != nil {
		t.Fatal(err)
	}
	tr := s.newTrail()
	for i := range 3 {
		name := stagingName(newID())
		if i > 0 { // the first one is gone
			err = os.WriteFile(filepath.Join(root, "c", "b", name), nil, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		tr.note(dir, step{Name: []byte(name)})
	}
	tr.leave()
	_ = s.Close()
	if s, err = Open(root, Options{Uploads: uploads}); err == nil {
		err = s.Recover()
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	for _, d := range []string{filepath.Join(root, "c", "b"), uploads} {
		if left, err := os.ReadDir(d); err != nil || len(left) != 0 {
			t.Errorf("left: %v, %v", left, err)
		}
	}
}
