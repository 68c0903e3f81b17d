package transfer

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hufu"
	"hufu/internal/digest"
)

// inside lays a target folder between things that must stay as they are.
func inside(t *testing.T) (dst *near, outside func()) {
	t.Helper()
	dst = newNear(t)
	neighbour := dst.dir + "-neighbour"
	if err := os.Mkdir(neighbour, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(neighbour) })
	if err := os.WriteFile(filepath.Join(neighbour, "precious"), []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dst.dir, 0o710); err != nil {
		t.Fatal(err)
	}
	return dst, func() {
		t.Helper()
		if i, err := os.Stat(dst.dir); err != nil || i.Mode().Perm() != 0o710 {
			t.Errorf("the target's own mode is %v", i.Mode())
		}
		list, err := os.ReadDir(neighbour)
		data, _ := os.ReadFile(filepath.Join(neighbour, "precious"))
		if err != nil || len(list) != 1 || string(data) != "precious" {
			t.Errorf("beside the target stands %v, %q", list, data)
		}
	}
}

// TestHT32EvilNames: a server lists what nobody asked for; nothing of it is
// written, and the good names beside it arrive.
func TestHT32EvilNames(t *testing.T) {
	t.Parallel()
	dst, outside := inside(t)
	sibling := filepath.Base(dst.dir) + "-neighbour"
	evil := []string{
		"", ".", "..", "/", "../" + sibling + "/precious", "../escaped", "/tmp/escaped", "a/../../escaped", "a/b", "nul\x00", ".hufu-0123456789abcdef0123456789abcdef",
		strings.Repeat("x", 256), "..\x00", "./", "sub/",
	}
	w := newWorld()
	for _, kind := range []hufu.EntryKind{hufu.File, hufu.Folder, hufu.Link, hufu.Other, 0, 77} {
		w.list = func(p hufu.Path, fn func(hufu.Entry) error) error {
			if p.String() == "good folder" || strings.Contains(p.String(), "escaped") {
				return nil
			}
			for _, name := range evil {
				if err := fn(hufu.Entry{Name: name, Kind: kind, Size: 4, Mode: 0o7777, Target: "/etc", Version: "v"}); err != nil {
					return err
				}
			}
			if kind == hufu.File {
				return fn(hufu.Entry{Name: "good", Kind: hufu.File, Size: 4, Mode: 0o644, Version: "v"})
			}
			return nil
		}
		w.get = func(p hufu.Path) (hufu.Entry, []byte, error) {
			return hufu.Entry{Name: p.Base(), Kind: hufu.File, Size: 4, Digest: digest.Sum([]byte("evil")), Version: "v"}, []byte("evil"), nil
		}
		for _, policy := range []Policy{Refuse, Replace, Newer, Rename, Skip} {
			told, err := get(t.Context(), w, Options{Conflict: policy}, dst.all())
			if err != nil {
				t.Fatal(err)
			}
			for _, rep := range told {
				if rep.Outcome == Transferred && rep.Remote.Base() != "good" || rep.Outcome == Made {
					t.Errorf("%v: %s of %q", kind, rep.Outcome, rep.Remote)
				}
			}
		}
	}
	for _, name := range dst.names() {
		if !strings.HasPrefix(name, "good") {
			t.Errorf("%q was written", name)
		}
	}
	if string(dst.content("good")) != "evil" {
		t.Error("the good name did not arrive: the test shows nothing")
	}
	outside()
}

// TestHT32EvilLinks: a link comes first and things below its name after it.
func TestHT32EvilLinks(t *testing.T) {
	t.Parallel()
	dst, outside := inside(t)
	neighbour := dst.dir + "-neighbour"
	w := newWorld()
	w.get = func(p hufu.Path) (hufu.Entry, []byte, error) {
		return hufu.Entry{Kind: hufu.File, Size: 4, Digest: digest.Sum([]byte("evil")), Version: "v"}, []byte("evil"), nil
	}
	link := hufu.Entry{Name: "x", Kind: hufu.Link, Target: neighbour, Mode: 0o777}
	folder := hufu.Entry{Name: "x", Kind: hufu.Folder, Mode: 0o777}
	file := hufu.Entry{Name: "precious", Kind: hufu.File, Size: 4, Version: "v", Mode: 0o777}
	for _, order := range [][]hufu.Entry{{link, folder}, {folder, link}, {link, link, folder}, {folder}, {link}, {folder, folder}} {
		w.list = func(p hufu.Path, fn func(hufu.Entry) error) error {
			entries := order
			if p.String() == "x" {
				entries = []hufu.Entry{file, {Name: "evil", Kind: hufu.Folder, Mode: 0o777}, {Name: "l", Kind: hufu.Link, Target: "../../.."}}
			} else if !p.IsRoot() {
				entries = nil
			}
			for _, e := range entries {
				if err := fn(e); err != nil {
					return err
				}
			}
			return nil
		}
		for range 3 {
			if _, err := get(t.Context(), w, Options{Conflict: Replace}, dst.all()); err != nil {
				t.Fatal(err)
			}
			outside()
		}
		if err := os.RemoveAll(filepath.Join(dst.dir, "x")); err != nil {
			t.Fatal(err)
		}
	}
	// What was asked for by name is a link in truth: it becomes that very link
	// under the name asked for, and is not written through.
	w.stat = func(hufu.Path) (hufu.Entry, error) {
		return hufu.Entry{Name: "../other", Kind: hufu.Link, Target: filepath.Join(neighbour, "precious")}, nil
	}
	if _, err := get(t.Context(), w, Options{}, []Source{dst.one("asked", "asked")}); err != nil {
		t.Fatal(err)
	}
	w.stat = func(hufu.Path) (hufu.Entry, error) {
		return hufu.Entry{Name: "asked", Kind: hufu.File, Size: 4, Version: "v", MTime: someTime}, nil
	}
	for _, policy := range []Policy{Refuse, Replace} {
		if _, err := get(t.Context(), w, Options{Conflict: policy}, []Source{dst.one("asked", "asked")}); err != nil {
			t.Fatal(err)
		}
		outside()
	}
	if i, err := os.Lstat(filepath.Join(dst.dir, "asked")); err != nil || !i.Mode().IsRegular() {
		t.Errorf("after a replacement the link is %v, %v", i, err)
	}
	if names := dst.names(); len(names) != 1 {
		t.Errorf("written: %v", names)
	}
}

// TestHT32EvilModes: no bit beyond 0777, a folder that was there is not opened
// to others, and the target keeps its mode.
func TestHT32EvilModes(t *testing.T) {
	t.Parallel()
	dst, outside := inside(t)
	if err := os.Mkdir(filepath.Join(dst.dir, "mine"), 0o700); err != nil {
		t.Fatal(err)
	}
	w := newWorld()
	for _, name := range []string{"mine/suid", "new/f"} {
		w.set(name, []byte("x"), someTime, "")
	}
	for _, thing := range w.things {
		thing.Mode = 0o7777
	}
	if _, err := get(t.Context(), w, Options{}, dst.all()); err != nil {
		t.Fatal(err)
	}
	outside()
	for name, want := range map[string]os.FileMode{"mine": 0o700, "mine/suid": 0o777, "new": 0o777, "new/f": 0o777} {
		i, err := os.Stat(filepath.Join(dst.dir, name))
		if err != nil || i.Mode().Perm() != want || i.Mode()&(os.ModeSetuid|os.ModeSetgid|os.ModeSticky) != 0 {
			t.Errorf("%s is %v, want %v", name, i.Mode(), want)
		}
	}
}

// TestHT32EvilBytes: sizes, digests and chaining values that are not those of
// the bytes, and bytes nobody asked for. No final name shows any of it.
func TestHT32EvilBytes(t *testing.T) {
	t.Parallel()
	data := noise(2*hufu.ChunkSize+3, 1)
	small := hufu.Entry{Name: "f", Kind: hufu.File, Size: 4, Version: "v"}
	large := hufu.Entry{Name: "f", Kind: hufu.File, Size: int64(len(data)), Version: "v"}
	sum := digest.Sum([]byte("evil"))
	whole := func(p hufu.Path, index int64, size int) ([]byte, bool, digest.CV, error) {
		piece := data[index*hufu.ChunkSize:][:size]
		return piece, false, digest.Chunk(piece, index), nil
	}
	for name, c := range map[string]struct {
		listed hufu.Entry
		get    func(hufu.Path) (hufu.Entry, []byte, error)
		read   func(hufu.Path, int64, int) ([]byte, bool, digest.CV, error)
		code   string
	}{
		"longer than it says": {listed: small, code: "chunk_length", get: func(hufu.Path) (hufu.Entry, []byte, error) {
			return hufu.Entry{Size: 4, Digest: sum}, []byte("evil and more"), nil
		}},
		"shorter than it says": {listed: small, code: "chunk_length", get: func(hufu.Path) (hufu.Entry, []byte, error) {
			return hufu.Entry{Size: 4, Digest: sum}, []byte("ev"), nil
		}},
		"another digest": {listed: small, code: "digest_differs", get: func(hufu.Path) (hufu.Entry, []byte, error) {
			return hufu.Entry{Size: 4, Digest: digest.Sum(nil)}, []byte("evil"), nil
		}},
		"not the listed digest": {listed: func() hufu.Entry { e := small; e.Digest = digest.Sum(nil); return e }(), code: "digest_differs", get: func(hufu.Path) (hufu.Entry, []byte, error) {
			return hufu.Entry{Size: 4, Digest: sum, Version: "v"}, []byte("evil"), nil
		}},
		"a chunk too long": {listed: large, code: "chunk_length", read: func(p hufu.Path, i int64, n int) ([]byte, bool, digest.CV, error) {
			b, _, cv, _ := whole(p, i, n)
			return append(bytes.Clone(b), 0), false, cv, nil
		}},
		"a chunk too short": {listed: large, code: "chunk_length", read: func(p hufu.Path, i int64, n int) ([]byte, bool, digest.CV, error) {
			b, _, cv, _ := whole(p, i, n)
			return b[:n-1], false, cv, nil
		}},
		"another value": {listed: large, code: "chunk_differs", read: func(p hufu.Path, i int64, n int) ([]byte, bool, digest.CV, error) {
			b, _, _, _ := whole(p, i, n)
			return b, false, digest.CV{1}, nil
		}},
		"a hole that is none": {listed: large, code: "chunk_differs", read: func(p hufu.Path, i int64, n int) ([]byte, bool, digest.CV, error) {
			_, _, cv, _ := whole(p, i, n)
			return nil, true, cv, nil
		}},
		"chunks of another file": {listed: func() hufu.Entry { e := large; e.Digest = digest.Sum(data[1:]); return e }(), code: "digest_differs", read: whole},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dst, outside := inside(t)
			w := newWorld()
			w.get, w.read = c.get, c.read
			w.list = func(_ hufu.Path, fn func(hufu.Entry) error) error { return fn(c.listed) }
			told, err := get(t.Context(), w, Options{}, dst.all())
			if hufu.CodeOf(err) != c.code && told.codes() != c.code {
				t.Errorf("ended with %v, %s", err, told.codes())
			}
			for _, name := range dst.names() {
				if !strings.HasPrefix(name, hufu.ReservedPrefix) {
					t.Errorf("%q was written", name)
				}
			}
			outside()
		})
	}
}

// TestHT33NothingIsOverwritten walks through the policies in both directions.
func TestHT33NothingIsOverwritten(t *testing.T) {
	t.Parallel()
	older, newer := someTime.Add(-time.Hour), someTime.Add(time.Hour)
	for _, c := range []struct {
		policy Policy
		target time.Time
		want   Outcome
		bytes  string // at the name afterwards
		beside string // at "name (2).txt"
	}{
		{"", older, Failed, "old", ""},
		{Refuse, newer, Failed, "old", ""},
		{Skip, older, Skipped, "old", ""},
		{Replace, newer, Transferred, "new", ""},
		{Newer, older, Transferred, "new", ""},
		{Newer, newer, Skipped, "old", ""},
		{Newer, someTime, Updated, "old", ""}, // same size and time, another mode
		{Rename, older, Transferred, "old", "new"},
	} {
		w, src, dst := newWorld(), newNear(t), newNear(t)
		src.write("name.txt", []byte("new"))
		if err := os.Chtimes(filepath.Join(src.dir, "name.txt"), someTime, someTime); err != nil {
			t.Fatal(err)
		}
		w.set("name.txt", []byte("old"), c.target, "")
		told, err := put(t.Context(), w, Options{Conflict: c.policy}, src.all())
		got, _ := w.content("name.txt")
		beside, _ := w.content("name (2).txt")
		if err != nil || len(told) != 1 || told[0].Outcome != c.want || string(got) != c.bytes || string(beside) != c.beside {
			t.Errorf("put %q: %v, %v, %q, %q", c.policy, err, told, got, beside)
		}
		w = newWorld()
		w.set("name.txt", []byte("new"), someTime, "")
		dst.write("name.txt", []byte("old"))
		if err := os.Chtimes(filepath.Join(dst.dir, "name.txt"), c.target, c.target); err != nil {
			t.Fatal(err)
		}
		told, err = get(t.Context(), w, Options{Conflict: c.policy}, dst.all())
		if err != nil || len(told) != 1 || told[0].Outcome != c.want || string(dst.content("name.txt")) != c.bytes ||
			string(dst.content("name (2).txt")) != c.beside {
			t.Errorf("get %q: %v, %v, %q, %q", c.policy, err, told, dst.content("name.txt"), dst.content("name (2).txt"))
		}
	}
}

// TestHT33AppearedMeanwhile: the name is free when it is looked at and taken
// when it is written.
func TestHT33AppearedMeanwhile(t *testing.T) {
	t.Parallel()
	for _, size := range []int{3, 2 * hufu.ChunkSize} {
		for _, policy := range []Policy{Refuse, Skip, Replace, Newer, Rename} {
			w, src, dst := newWorld(), newNear(t), newNear(t)
			data := noise(size, 1)
			src.write("f", data)
			w.fault = func(op string, _ hufu.Path, after bool) error {
				if op == "lane" && !after {
					w.set("f", []byte("other"), someTime, "")
				}
				return nil
			}
			told, err := put(t.Context(), w, Options{Conflict: policy}, src.all())
			if got, _ := w.content("f"); err != nil || told.codes() != "target_exists" || string(got) != "other" {
				t.Errorf("put of %d, %s: %v %s %q", size, policy, err, told.codes(), got)
			}
			w = newWorld()
			w.set("f", data, someTime, "")
			w.fault = func(op string, _ hufu.Path, after bool) error {
				if op == "lane" && !after {
					dst.write("f", []byte("other"))
				}
				return nil
			}
			told, err = get(t.Context(), w, Options{Conflict: policy}, dst.all())
			if err != nil || told.codes() != "target_exists" || string(dst.content("f")) != "other" {
				t.Errorf("get of %d, %s: %v %s %q", size, policy, err, told.codes(), dst.content("f"))
			}
		}
	}
}

// TestHT33Strip: what other people put there comes without the permission to
// be executed, or to be written by others.
func TestHT33Strip(t *testing.T) {
	t.Parallel()
	w := newWorld()
	for name, by := range map[string]string{
		"mine": "alice", "bobs": "bob", "nobodys": "", "large": "bob", "@shared/common/mine": "alice", "@shared/common/bobs": "bob",
		"@shared/common/nobodys": "", "@shared/common/folder/bobs": "bob",
	} {
		data := []byte("x")
		if name == "large" {
			data = noise(2*hufu.ChunkSize, 1)
		}
		w.set(name, data, someTime, by)
	}
	for _, x := range w.things {
		x.Mode = 0o777
	}
	for _, strip := range []bool{true, false} {
		dst := newNear(t)
		if _, err := get(t.Context(), w, Options{Strip: strip, Me: "alice"}, dst.all()); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]os.FileMode{
			"mine": 0o777, "bobs": 0o644, "nobodys": 0o777, "large": 0o644, "@shared/common/mine": 0o777, "@shared/common/bobs": 0o644,
			"@shared/common/nobodys": 0o644, "@shared/common/folder": 0o755,
		} {
			if !strip {
				want = 0o777
			}
			if i, err := os.Stat(filepath.Join(dst.dir, name)); err != nil || i.Mode().Perm() != want {
				t.Errorf("strip %v: %s is %v, want %v", strip, name, i.Mode(), want)
			}
		}
	}
}

// TestHT48SourceChanges changes the source of a put between any two of its
// steps, in every way: what arrives is one version, or nothing and the reason.
func TestHT48SourceChanges(t *testing.T) {
	t.Parallel()
	const size = 4 * hufu.ChunkSize
	changes := map[string]func(path string, other []byte) error{
		"replaced": func(path string, other []byte) error {
			if err := os.WriteFile(path+".new", other, 0o644); err != nil {
				return err
			}
			return os.Rename(path+".new", path)
		},
		"truncated": func(path string, _ []byte) error { return os.Truncate(path, size-hufu.ChunkSize/2) },
		"grown": func(path string, other []byte) error {
			f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			defer func() { _ = f.Close() }()
			_, err = f.Write(other[:100])
			return err
		},
		"edited": func(path string, other []byte) error {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			defer func() { _ = f.Close() }()
			_, err = f.WriteAt(other[:size], 0)
			return err
		},
		"removed": func(path string, _ []byte) error { return os.Remove(path) },
	}
	for name, change := range changes {
		for step := range int64(6) {
			t.Run(fmt.Sprint(name, step), func(t *testing.T) {
				t.Parallel()
				w, src := newWorld(), newNear(t)
				old, other := noise(size, 1), noise(size, 2)
				src.write("f", old)
				var seen atomic.Int64
				w.fault = func(op string, _ hufu.Path, after bool) error {
					if (op == "open" || op == "range" || op == "commit") && !after && seen.Add(1)-1 == step {
						return change(filepath.Join(src.dir, "f"), other)
					}
					return nil
				}
				told, err := put(t.Context(), w, Options{Lanes: 1}, []Source{src.one("f", "f")})
				if err != nil || len(told) != 1 {
					t.Fatal(err, told)
				}
				got, there := w.content("f")
				switch {
				case told[0].Outcome == Transferred:
					if !bytes.Equal(got, old) {
						t.Error("a mixture arrived")
					}
				case there:
					t.Error("failed, and yet something stands there")
				case told.codes() != "file_changed":
					t.Errorf("the reason is %s", told.codes())
				case len(w.uploads) > 0:
					t.Error("the rest of a version that is gone was left on the server")
				}
			})
		}
	}
}

// TestHT48FarChanges replaces what is got ten times while it comes.
func TestHT48FarChanges(t *testing.T) {
	t.Parallel()
	w, dst := newWorld(), newNear(t)
	versions := make([][]byte, 11)
	for i := range versions {
		versions[i] = noise(3*hufu.ChunkSize+i, byte(i))
	}
	w.set("f", versions[0], someTime, "")
	n := 0
	w.fault = func(op string, _ hufu.Path, after bool) error {
		if op == "read" && !after && n < 10 {
			n++
			w.set("f", versions[n], someTime, "")
		}
		return nil
	}
	for range 30 {
		told, err := get(t.Context(), w, Options{Lanes: 1}, []Source{dst.one("f", "f")})
		if err != nil || len(told) != 1 {
			t.Fatal(err, told)
		}
		got := dst.content("f")
		switch {
		case told[0].Outcome == Transferred:
			if !bytes.Equal(got, versions[10]) {
				t.Error("a mixture arrived")
			}
			if names := dst.names(); !slices.Equal(names, []string{"f"}) {
				t.Errorf("left over: %v", names)
			}
			return
		case told.codes() != "file_changed" || got != nil:
			t.Fatalf("%s, and %d bytes stand there", told.codes(), len(got))
		}
	}
	t.Error("it never arrived")
}

// TestHT54OneCommandOneName: two sources of one command never replace each
// other, whatever the policy.
func TestHT54OneCommandOneName(t *testing.T) {
	t.Parallel()
	for _, policy := range []Policy{Refuse, Skip, Replace, Newer, Rename} {
		w, src, dst := newWorld(), newNear(t), newNear(t)
		src.write("a/x", []byte("of a"))
		src.write("b/x", []byte("of b"))
		src.write("a/d/y", []byte("of a"))
		src.write("b/d/y", []byte("of b"))
		told, err := put(t.Context(), w, Options{Conflict: policy}, []Source{
			src.one("a/x", "F/x"), src.one("b/x", "F/x"), src.one("a/d", "F/d"), src.one("b/d", "F/d"),
		})
		x, _ := w.content("F/x")
		if err != nil || told.codes() != "collision" || len(told.of(Failed)) != 2 || string(x) != "of a" {
			t.Errorf("put %s: %v %s %v %q", policy, err, told.codes(), told.of(Failed), x)
		}
		for _, name := range []string{"a/x", "b/x"} {
			w.set(name, []byte("of "+name[:1]), someTime, "")
		}
		told, err = get(t.Context(), w, Options{Conflict: policy}, []Source{dst.one("x", "a/x"), dst.one("x", "b/x")})
		if err != nil || told.codes() != "collision" || len(told.of(Failed)) != 1 || string(dst.content("x")) != "of a" {
			t.Errorf("get %s: %v %s %v %q", policy, err, told.codes(), told.of(Failed), dst.content("x"))
		}
	}
}
