package client_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hufu"
	"hufu/internal/client"
	"hufu/internal/digest"
	"hufu/internal/testenv"
	"hufu/internal/transfer"
)

// TestCat: the very bytes of a file of any size come out, holes included, and
// nothing else is a file. A full disk or bytes that are not what the digest says
// are no success.
func TestCat(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	alice := env.Person("alice")
	r := alice.Remote(client.Options{})
	served := filepath.Join(env.Data, "files", "users", "alice")
	noise := make([]byte, 10<<20+5)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(noise)
	files := map[string][]byte{
		"empty": nil, "one": noise[:1], "chunk": noise[:hufu.ChunkSize], "more": noise[:hufu.ChunkSize+1], "large": noise,
		"hole": append(make([]byte, 3<<20), 'x'),
	}
	for name, data := range files {
		if err := os.WriteFile(alice.Local(name), data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := put(t.Context(), r, []string{alice.Local(name)}, hufu.Path{}, client.How{Folder: true}); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		waits := int64(0)
		limit := transfer.NewLimit(func(time.Time) int64 { waits++; return 1 << 40 })
		if err := r.Cat(t.Context(), parse(t, name), &b, limit); err != nil || !bytes.Equal(b.Bytes(), data) {
			t.Errorf("%s: %v, %d bytes", name, err, b.Len())
		}
		if want := digest.Chunks(int64(len(data))); len(data) > 0 && waits != want {
			t.Errorf("%s: %d chunks waited for the limit, not %d", name, waits, want)
		}
	}
	if err := errors.Join(os.Mkdir(filepath.Join(served, "folder"), 0o700), os.Symlink("one", filepath.Join(served, "link"))); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]hufu.Kind{"folder": hufu.KindWrongKind, "link": hufu.KindWrongKind, "none": hufu.KindNotFound} {
		if err := r.Cat(t.Context(), parse(t, name), &bytes.Buffer{}, nil); hufu.KindOf(err) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := r.Cat(t.Context(), parse(t, "large"), broken{}, nil); hufu.CodeOf(err) != "output_lost" {
		t.Errorf("to a full disk: %v", err)
	}
	for _, name := range []string{"one", "large"} { // changed in silence, by the disk or by somebody
		path := filepath.Join(served, name)
		i, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteAt([]byte{^noise[0]}, 0)
		if err := errors.Join(err, f.Close(), os.Chtimes(path, i.ModTime(), i.ModTime())); err != nil {
			t.Fatal(err)
		}
		if err := r.Cat(t.Context(), parse(t, name), &bytes.Buffer{}, nil); hufu.KindOf(err) != hufu.KindIntegrity {
			t.Errorf("%s, changed in silence: %v", name, err)
		}
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestGlob(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	alice := env.Person("alice")
	r := alice.Remote(client.Options{})
	served := filepath.Join(env.Data, "files", "users", "alice")
	for _, name := range []string{"a/x.jpg", "a/y.jpg", "b/x.jpg", "b/z.txt", ".hidden/x.jpg", "lone*.jpg", "lonely.jpg", "[x", "é1"} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(served, name)), 0o700), os.WriteFile(filepath.Join(served, name), nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for pattern, want := range map[string][]string{
		"a":              {"a"},
		"*":              {"[x", "a", "b", "lone*.jpg", "lonely.jpg", "é1"},
		"*/*.jpg":        {"a/x.jpg", "a/y.jpg", "b/x.jpg"},
		"*/x.jpg":        {"a/x.jpg", "b/x.jpg"},
		"[ab]/?.jpg":     {"a/x.jpg", "a/y.jpg", "b/x.jpg"},
		".h*/*":          {".hidden/x.jpg"},
		"lone*.jpg":      {"lone*.jpg"}, // is there
		"lon*.jpg":       {"lone*.jpg", "lonely.jpg"},
		"?1":             {"é1"},
		"[x":             {"[x"}, // no pattern
		"none*":          {"none*"},
		"a/x.jpg/*":      {"a/x.jpg/*"},
		"nothing/*/*x":   {"nothing/*/*x"},
		"[!a]/x.jpg":     {"b/x.jpg"},
		"[^a]/x.jpg":     {"b/x.jpg"},
		"[[:lower:]]/y*": {"a/y.jpg"},
		"lone*/":         {"lone*"},
		"[ab]*/":         {"a", "b"},
	} {
		got, err := r.Glob(t.Context(), parse(t, strings.TrimSuffix(pattern, "/")), strings.HasSuffix(pattern, "/"))
		var names []string
		for _, p := range got {
			names = append(names, p.String())
		}
		if err != nil || !slices.Equal(names, want) {
			t.Errorf("%s: %q %v", pattern, names, err)
		}
	}
}

// TestLocalCat: the same of a file of this computer, and its folder need not be the current one.
func TestLocalCat(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	noise := make([]byte, 2<<20+5)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(noise)
	cat := func(name string, w io.Writer) error {
		return client.LocalCat(t.Context(), testenv.Disk{}, filepath.Join(dir, name), w)
	}
	for name, data := range map[string][]byte{"empty": nil, "one": noise[:1], "chunk": noise[:hufu.ChunkSize], "large": noise} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := cat(name, &b); err != nil || !bytes.Equal(b.Bytes(), data) {
			t.Errorf("%s: %v, %d bytes", name, err, b.Len())
		}
	}
	if err := os.Truncate(filepath.Join(dir, "large"), 5<<20+3); err != nil { // a hole behind it
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := cat("large", &b); err != nil || !bytes.Equal(b.Bytes(), append(noise, make([]byte, 5<<20+3-len(noise))...)) {
		t.Errorf("with a hole: %v, %d bytes", err, b.Len())
	}
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "folder"), 0o700), os.Symlink("one", filepath.Join(dir, "link"))); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]hufu.Kind{"folder": hufu.KindWrongKind, "link": hufu.KindWrongKind, "none": hufu.KindNotFound} {
		if err := cat(name, &b); hufu.KindOf(err) != want {
			t.Errorf("%s: %v %v", name, hufu.KindOf(err), err)
		}
	}
	if err := cat("large", broken{}); hufu.CodeOf(err) != "output_lost" {
		t.Errorf("to a full disk: %v", err)
	}
}
