package client_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hufu"
	"hufu/internal/client"
	"hufu/internal/testenv"
)

// ownFolder makes the folder of a user on the server and returns it.
func ownFolder(t *testing.T, env *testenv.Env, r *client.Remote, user string) string {
	t.Helper()
	if _, err := r.Mkdir(t.Context(), hufu.Path{}, 0o755, true); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(env.Data, "files", "users", user)
}

func plant(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(path, 0o755); err != nil {
				t.Fatal(err)
			}
		} else if err := os.WriteFile(path, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWalkVisitsEverythingInOrder: a walk of a folder of several pages, and of a deep one, finds
// what a walk of the server's disk finds, and knows the last entry of each folder.
func TestWalkVisitsEverythingInOrder(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	r := env.Person("alice").Remote(client.Options{})
	dir := ownFolder(t, env, r, "alice")
	names := []string{"a", "b/", "c/x", "z/y/x/w"}
	for i := range 2048 { // exactly two pages, which end in a folder
		names = append(names, fmt.Sprintf("large/%04d%s", i, map[bool]string{true: "/in"}[i%97 == 0 || i == 1023 || i == 2047]))
	}
	deep := "deep" + strings.Repeat("/d", 40)
	for i := range 130 {
		names = append(names, fmt.Sprintf("%s/%03d", deep, i))
	}
	plant(t, dir, names...)
	for _, c := range []struct {
		name string
		o    client.WalkOptions
	}{
		{"everything", client.WalkOptions{}},
		{"brief", client.WalkOptions{Brief: true}},
		{"folders", client.WalkOptions{Folders: true}},
		{"one level", client.WalkOptions{Limit: true, Depth: 1}},
		{"twenty levels", client.WalkOptions{Limit: true, Depth: 20}},
		{"itself", client.WalkOptions{Limit: true}},
	} {
		var want, got []string
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			rel, relErr := filepath.Rel(dir, path)
			if err = errors.Join(err, relErr); err != nil || rel == "." {
				rel = ""
			}
			depth := strings.Count(rel, "/") + min(len(rel), 1)
			if (!c.o.Limit || depth <= c.o.Depth) && (!c.o.Folders || d.IsDir()) {
				want = append(want, fmt.Sprint("/", rel, " ", depth))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		last := map[string]bool{}
		err = r.Walk(t.Context(), hufu.Path{}, c.o, func(f client.Found) error {
			got = append(got, fmt.Sprint(f.Path.Virtual(), " ", f.Depth))
			folder := f.Path.Parent().String()
			if f.Err != nil || f.Depth > 0 && last[folder] {
				t.Errorf("%s: %s comes after the last entry, %v", c.name, f.Path, f.Err)
			}
			if f.Depth > 0 {
				last[folder] = f.Last
			}
			return nil
		})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %d entries instead of %d", c.name, err, len(got), len(want))
		}
		for folder, told := range last {
			if !told {
				t.Errorf("%s: the last entry of %q is not known as such", c.name, folder)
			}
		}
	}
}

// TestWalkGoesOnBesideAFolder: a folder that vanishes is told, and the others are visited. An
// error of visit ends the walk.
func TestWalkGoesOnBesideAFolder(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	r := env.Person("alice").Remote(client.Options{})
	dir := ownFolder(t, env, r, "alice")
	for i := range 30 {
		plant(t, dir, fmt.Sprintf("%02d/file", i))
	}
	failed, files := "", 0
	err := r.Walk(t.Context(), hufu.Path{}, client.WalkOptions{}, func(f client.Found) error {
		switch {
		case f.Path.String() == "00": // 20 is listed later
			if err := os.RemoveAll(filepath.Join(dir, "20")); err != nil {
				t.Error(err)
			}
		case f.Err != nil:
			failed += f.Path.String() + " " + hufu.KindOf(f.Err).String()
		case f.Entry.Kind == hufu.File:
			files++
		}
		return nil
	})
	if err != nil || failed != "20 not_found" || files != 29 {
		t.Errorf("%v; failed: %q; %d files", err, failed, files)
	}
	enough := errors.New("enough")
	visited := 0
	err = r.Walk(t.Context(), hufu.Path{}, client.WalkOptions{}, func(f client.Found) error {
		if visited++; f.Path.String() == "03/file" {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || visited != 9 {
		t.Errorf("%v after %d entries", err, visited)
	}
	if err = r.Walk(t.Context(), parse(t, "none"), client.WalkOptions{}, nil); hufu.KindOf(err) != hufu.KindNotFound {
		t.Error(err)
	}
}

// TestTouchAgain: the answer to a touch is lost. It is repeated, and tells what it has done.
func TestTouchAgain(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	alice := env.Person("alice")
	file := filepath.Join(env.Data, "files", "users", "alice", "f")
	when := time.Date(2026, 10, 31, 12, 0, 0, 123456789, time.UTC)
	touched := func() bool {
		i, err := os.Stat(file)
		return err == nil && i.ModTime().Equal(when)
	}
	for _, c := range []struct {
		name         string
		create, made bool
	}{{"created", true, true}, {"there", true, false}, {"kept", false, false}} {
		var armed atomic.Bool
		r := alice.Remote(client.Options{Tap: func(conn net.Conn) net.Conn {
			return unheard{conn, &armed, func() bool {
				// The stats that come before change nothing: they are not waited for long.
				for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
					if touched() {
						return true
					}
				}
				return false
			}}
		}})
		if err := r.LoggedIn(t.Context()); err != nil {
			t.Fatal(err)
		}
		if c.name == "created" {
			ownFolder(t, env, r, "alice")
		} else if err := os.Chmod(file, 0o640); err != nil {
			t.Fatal(err)
		}
		armed.Store(true)
		made, err := r.Touch(t.Context(), parse(t, "f"), when, c.create)
		if err != nil || made != c.made || armed.Load() || !touched() {
			t.Errorf("%s: made %v, %v; the answer was lost: %v; touched: %v", c.name, made, err, !armed.Load(), touched())
		}
		if i, err := os.Stat(file); err != nil || !c.made && i.Mode().Perm() != 0o640 {
			t.Errorf("%s: %v %v", c.name, i.Mode(), err)
		}
		when = when.Add(time.Hour)
	}
	r := alice.Remote(client.Options{})
	for _, c := range []struct {
		path   string
		create bool
		kind   hufu.Kind
	}{{"none", false, hufu.KindNotFound}, {"none/f", true, hufu.KindNotFound}, {"", true, hufu.KindPermission}} {
		if _, err := r.Touch(t.Context(), parse(t, c.path), when, c.create); hufu.KindOf(err) != c.kind {
			t.Errorf("%q: %v", c.path, err)
		}
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(file), "none")); err == nil {
		t.Error("a folder was created")
	}
}
