package gui_test

import (
	"bytes"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"hufu/internal/testenv"
)

// TestPreviewOfAFileOfTheServer: it is verified like a get, and a file whose bytes are not those of
// its digest is not shown.
func TestPreviewOfAFileOfTheServer(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	v := visit(t, env.Person("alice"))
	if _, code := v.ask("preview", m{"side": "remote", "path": "/a"}); code != "not_logged_in" {
		t.Errorf("before the login: %q", code)
	}
	v.must("login", m{"profile": "default", "user": "alice", "password": v.Password, "plain": false})
	var small bytes.Buffer
	if err := png.Encode(&small, image.NewGray(image.Rect(0, 0, 30, 20))); err != nil {
		t.Fatal(err)
	}
	large := append(bytes.Clone(small.Bytes()), make([]byte, 3<<20)...)
	served := func(name string) string { return filepath.Join(env.Data, "files", "users", "alice", name) }
	var sources []string
	for name, content := range map[string]string{"small.png": small.String(), "large.png": string(large), "notes.txt": "one\x1b[2J\n<b>two</b>", "large.bin": string(make([]byte, 3<<20))} {
		sources = append(sources, v.write(name, content))
	}
	v.until(v.must("jobs", m{"op": "put", "sources": sources, "to": "/"})["id"].(string), "done")
	preview := func(name string) (m, string) {
		return v.ask("preview", m{"side": "remote", "path": "/" + name, "width": 600, "height": 400})
	}
	for name, want := range map[string]m{
		"small.png": {"kind": "image", "width": 30.0, "height": 20.0}, "large.png": {"kind": "image", "width": 30.0, "height": 20.0},
		"notes.txt": {"kind": "text", "text": "one\\x1b[2J\n<b>two</b>"}, "large.bin": {"kind": "none", "why": "type"},
	} {
		got, code := preview(name)
		if code != "" {
			t.Errorf("%s: %s", name, code)
		}
		for k := range want {
			if got[k] != want[k] {
				t.Errorf("%s: %s is %v, want %v", name, k, got[k], want[k])
			}
		}
	}
	if _, code := preview("none"); code != "not_found" && code != "no_such_file" {
		t.Errorf("a file that is not there: %q", code)
	}
	// A bit of the disk turns over.
	for name, at := range map[string]int64{"notes.txt": 2, "large.png": 2<<20 + 5} {
		i, err := os.Stat(served(name))
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(served(name), os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte{7}, at); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(served(name), i.ModTime(), i.ModTime()); err != nil {
			t.Fatal(err)
		}
		if got, code := preview(name); code == "" || got["error"].(m)["kind"] != "integrity" {
			t.Errorf("%s with other bytes than its digest: %v %q", name, got["kind"], code)
		}
	}
}
