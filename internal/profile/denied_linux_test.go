package profile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"hufu"
	"hufu/internal/profile"
	"hufu/internal/testenv/rerun"
)

// ofNobody returns folders for the profiles of a user who may not read everything. It
// reports false where the test has been run as one, see rerun.AsNobody.
func ofNobody(t *testing.T) (dirs profile.Dirs, ok bool) {
	t.Helper()
	folder, ok := rerun.AsNobody(t)
	return profile.Dirs{Config: filepath.Join(folder, "config"), State: filepath.Join(folder, "state")}, ok
}

// TestProfileOfAnotherUser: where a profile may not be read, the file and the
// permission are told, not that there is no profile or that it is broken, and
// enrolling does not take it for a dead one.
func TestProfileOfAnotherUser(t *testing.T) {
	t.Parallel()
	dirs, ok := ofNobody(t)
	if !ok {
		return
	}
	folderOf := dirs.Profile("work")
	file, standard := filepath.Join(folderOf, "profile.json"), filepath.Join(dirs.Config, "default-profile")
	if err := errors.Join(
		os.MkdirAll(folderOf, 0o700),
		os.WriteFile(file, []byte(`{"address":"127.0.0.1:9","host":"127.0.0.1"}`), 0o600),
		os.WriteFile(standard, []byte("work\n"), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	locked := func(path string, what func()) {
		t.Helper()
		i, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0); err != nil {
			t.Fatal(err)
		}
		what()
		if err := os.Chmod(path, i.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
	denied := func(name string, err error, path string) {
		t.Helper()
		e, ok := errors.AsType[*hufu.Error](err)
		if !ok || e.Code != "profile_denied" || e.Path != path || !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, at := range []string{dirs.Config, standard} {
		locked(at, func() {
			_, err := dirs.Default()
			denied("default", err, standard)
		})
	}
	for _, at := range []string{folderOf, dirs.Config} {
		locked(at, func() { denied("has", dirs.Has("work"), file) })
	}
	for _, at := range []string{file, folderOf, dirs.Config} {
		locked(at, func() {
			_, err := profile.Load(dirs, "work")
			denied("load", err, file)
			_, err = profile.Replaces(t.Context(), dirs, "work", hufu.Invitation{Host: "127.0.0.1", Port: 9})
			denied("replaces", err, file)
		})
	}
	locked(folderOf, func() {
		if names, err := profile.List(dirs); err != nil || !slices.Equal(names, []string{"work"}) {
			t.Errorf("list: %v %v", names, err)
		}
	})
	locked(filepath.Dir(folderOf), func() {
		_, err := profile.List(dirs)
		denied("list", err, filepath.Dir(folderOf))
	})
	p, err := profile.Load(dirs, "work")
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(folderOf, "root.crt")
	if _, err := p.Roots(); hufu.CodeOf(err) != "profile_file_missing" {
		t.Errorf("no root: %v", err)
	}
	if err := os.WriteFile(root, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	locked(root, func() {
		_, err := p.Roots()
		denied("root", err, root)
		_, err = profile.Replaces(t.Context(), dirs, "work", hufu.Invitation{Host: "127.0.0.1", Port: 9})
		denied("replaces", err, root)
	})
}

// TestRemovingAgain: a removal that failed in the middle can be repeated.
func TestRemovingAgain(t *testing.T) {
	t.Parallel()
	dirs, ok := ofNobody(t)
	if !ok {
		return
	}
	at := dirs.Profile("work")
	if err := errors.Join(
		os.MkdirAll(filepath.Join(at, "held"), 0o700), os.WriteFile(filepath.Join(at, "held", "file"), nil, 0o600),
		os.WriteFile(filepath.Join(at, "profile.json"), []byte("{}"), 0o600), os.Chmod(filepath.Join(at, "held"), 0o500),
	); err != nil {
		t.Fatal(err)
	}
	if err := dirs.Remove("work"); hufu.CodeOf(err) != "cannot_write" {
		t.Errorf("with a file that cannot be removed: %v", err)
	}
	_ = os.Remove(filepath.Join(at, "profile.json")) // whether or not it was met first
	if err := os.Chmod(filepath.Join(at, "held"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := dirs.Remove("work"); err != nil {
		t.Errorf("again: %v", err)
	}
	if err := dirs.Remove("work"); hufu.CodeOf(err) != "profile_unknown" {
		t.Errorf("gone: %v", err)
	}
}
