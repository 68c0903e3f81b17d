package client_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"hufu"
	"hufu/internal/client"
	"hufu/internal/testenv"
)

// TestCopyFar: a copy on the server has the bytes, digest, mode and time of its source. It replaces
// only what its condition allows, copies only the version that was seen, and never bytes that do not
// match their digest.
func TestCopyFar(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	alice := env.Person("alice")
	r := alice.Remote(client.Options{})
	served := filepath.Join(env.Data, "files", "users", "alice")
	noise := make([]byte, 3<<20+5)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(noise)
	absent := hufu.Condition{Kind: hufu.IfAbsent}
	stat := func(name string) hufu.Entry {
		t.Helper()
		e, err := r.Stat(t.Context(), parse(t, name))
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	for name, data := range map[string][]byte{
		"empty": nil, "one": noise[:1], "chunk": noise[:hufu.ChunkSize], "more": noise[:hufu.ChunkSize+1], "large": noise,
		"hole": append(make([]byte, 4<<20), 'x'),
	} {
		local := alice.Local(name)
		if err := os.WriteFile(local, data, 0o600); err != nil {
			t.Fatal(err)
		}
		old := time.Date(2020, 1, 2, 3, 4, 5, 6000, time.UTC)
		if err := os.Chtimes(local, old, old); err != nil {
			t.Fatal(err)
		}
		if _, err := put(t.Context(), r, []string{local}, hufu.Path{}, client.How{Folder: true}); err != nil {
			t.Fatal(err)
		}
		source := stat(name)
		made, err := r.CopyFar(t.Context(), parse(t, name), source, parse(t, "copies/of/"+name), absent, client.Attributes{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		there := stat("copies/of/" + name)
		if there.Digest != source.Digest || there.Size != source.Size || there.Mode != source.Mode || !there.MTime.Equal(old) || there.Version != made.Version || made.Digest != source.Digest {
			t.Errorf("%s: %+v, answered %+v, source %+v", name, there, made, source)
		}
		mode, at := uint32(0o751), old.Add(time.Hour)
		if _, err := r.CopyFar(t.Context(), parse(t, name), source, parse(t, "others/"+name), absent, client.Attributes{Mode: &mode, MTime: &at}); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if there := stat("others/" + name); there.Digest != source.Digest || there.Mode != mode || !there.MTime.Equal(at) {
			t.Errorf("%s with another mode and time: %+v", name, there)
		}
		var b bytes.Buffer
		if err := r.Cat(t.Context(), parse(t, "copies/of/"+name), &b, nil); err != nil || !bytes.Equal(b.Bytes(), data) {
			t.Errorf("%s: %v, %d bytes", name, err, b.Len())
		}
	}
	one, large := stat("one"), stat("large")
	for _, c := range []struct {
		name, from, to string
		e              hufu.Entry
		cond           hufu.Condition
		code           string
	}{
		{"a name that is taken", "large", "copies/of/one", large, absent, "target_exists"},
		{"another version at the target", "large", "copies/of/one", large, hufu.Condition{Kind: hufu.IfVersion, Version: one.Version}, "target_changed"},
		{"another version, small", "one", "copies/of/large", one, hufu.Condition{Kind: hufu.IfVersion, Version: one.Version}, "target_changed"},
		{"a folder", "one", "copies", one, hufu.Condition{Kind: hufu.Always}, "folder_in_the_way"},
		{"another version of the source", "one", "new", large, absent, "file_changed"},
		{"a folder as the source", "copies", "new", hufu.Entry{}, absent, "is_a_folder"},
		{"nothing", "none", "new", hufu.Entry{}, absent, "not_found"},
		{"a shared folder that is not there", "one", "@shared/none/x", one, absent, "shared_missing"},
		{"no place of its own", "one", "@shared/x", one, absent, "shared_missing"},
	} {
		before, beforeErr := r.Stat(t.Context(), parse(t, c.to))
		_, err := r.CopyFar(t.Context(), parse(t, c.from), c.e, parse(t, c.to), c.cond, client.Attributes{})
		if code := hufu.CodeOf(err); code != c.code && (code != "" || hufu.KindOf(err).String() != c.code) {
			t.Errorf("%s: %v, not %s", c.name, err, c.code)
		}
		if after, afterErr := r.Stat(t.Context(), parse(t, c.to)); after.Version != before.Version || hufu.KindOf(afterErr) != hufu.KindOf(beforeErr) {
			t.Errorf("%s: the target was changed", c.name)
		}
	}
	there := stat("copies/of/one")
	if _, err := r.CopyFar(t.Context(), parse(t, "large"), large, parse(t, "copies/of/one"), hufu.Condition{Kind: hufu.IfVersion, Version: there.Version}, client.Attributes{}); err != nil || stat("copies/of/one").Digest != large.Digest {
		t.Errorf("the version that was seen is not replaced: %v", err)
	}
	for _, name := range []string{"chunk", "large"} { // changed in silence, by the disk or by somebody
		path := filepath.Join(served, name)
		i, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = f.WriteAt([]byte{^noise[0]}, 0); err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		if err := os.Chtimes(path, i.ModTime(), i.ModTime()); err != nil {
			t.Fatal(err)
		}
		if _, err := r.CopyFar(t.Context(), parse(t, name), hufu.Entry{}, parse(t, "rotten"), absent, client.Attributes{}); hufu.KindOf(err) != hufu.KindIntegrity {
			t.Errorf("%s, changed in silence: %v", name, err)
		}
		if _, err := r.Stat(t.Context(), parse(t, "rotten")); hufu.KindOf(err) != hufu.KindNotFound {
			t.Errorf("%s: damaged bytes have a name: %v", name, err)
		}
	}
	left, err := filepath.Glob(filepath.Join(served, ".hufu-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
