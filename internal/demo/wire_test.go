package demo_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"hufu"
	"hufu/internal/capture"
	"hufu/internal/client"
	"hufu/internal/demo"
	"hufu/internal/testenv"
)

// wireOptions have no texts: their keys do.
func wireOptions(t *testing.T) demo.WireOptions {
	t.Helper()
	return demo.WireOptions{
		Disk: testenv.Disk{},
		Dir:  filepath.Join(t.TempDir(), "captures"), Lang: "en",
		T:     func(key string, _ ...any) string { return key },
		Error: func(err error) (string, string) { return hufu.CodeOf(err), "" },
	}
}

func TestWire(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{Teach: true})
	alice := env.Person("alice")
	o := wireOptions(t)
	o.MITM = true
	w, err := demo.Wire(t.Context(), alice.Profile, o)
	if err != nil {
		t.Fatal(err)
	}
	if !w.Proven() {
		var b bytes.Buffer
		_ = w.Text(&b)
		t.Errorf("not proven:\n%s", b.String())
	}
	if len(w.Password) < 8 || len(w.User) < 8 || w.User == "alice" {
		t.Errorf("made up %q, %q", w.User, w.Password)
	}
	want := []string{demo.WirePlain, demo.WireTLS, demo.WireMITM, demo.WireReport}
	if !slices.Equal(w.Files, want) {
		t.Errorf("files %q", w.Files)
	}
	secrets := []string{w.User, w.Password, "hufu-sample.txt", "whoever can read"}
	for _, name := range want {
		data, err := os.ReadFile(filepath.Join(o.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if i, err := os.Stat(filepath.Join(o.Dir, name)); err != nil || i.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, i.Mode(), err)
		}
		for _, s := range secrets {
			found := bytes.Contains(data, []byte(s))
			if name == demo.WirePlain && !found || strings.HasSuffix(name, ".pcapng") && name != demo.WirePlain && found {
				t.Errorf("%s: %q found: %v", name, s, found)
			}
		}
		if name == demo.WireTLS && bytes.Contains(data, []byte("CLIENT_TRAFFIC_SECRET")) {
			t.Error("the secrets of TLS are in the file unasked")
		}
	}
	if w.MITM.Exit != 7 || w.MITM.Reason != "server_bad_signature" || w.MITM.Findings.TLS() == nil {
		t.Errorf("man in the middle: %+v", w.MITM)
	}
	// One login, one put, one get, on each side the same connections.
	if p, s := len(w.Plain.Findings.Streams), len(w.TLS.Findings.Streams); p != s || p == 0 {
		t.Errorf("%d connections without TLS, %d with it", p, s)
	}
	h := w.TLS.Findings.TLS()
	if h == nil || h.Version != "TLS 1.3" || !h.PostQuantum {
		t.Errorf("TLS: %+v", h)
	}
	// Nothing stays, and nothing real was touched.
	taught := alice.Remote(client.Options{Teach: true})
	if err := taught.Login(t.Context(), w.User, w.Password); err != nil {
		t.Error(err)
	}
	if left := names(t, taught, "/"); left != "" {
		t.Errorf("left behind: %q", left)
	}
	if got := names(t, alice.Remote(client.Options{}), "/"); got != "" {
		t.Errorf("alice's files: %q", got)
	}
}

func TestWireWithSecretsAndAFile(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{Teach: true})
	alice := env.Person("alice")
	o := wireOptions(t)
	// Larger than a chunk, with a name so short that it is found by chance.
	o.File, o.Password, o.Secrets = filepath.Join(t.TempDir(), "h"), "shared password", true
	content := bytes.Repeat([]byte("The quick brown fox jumps over the lazy dog. "), 50_000)
	if err := os.WriteFile(o.File, content, 0o600); err != nil {
		t.Fatal(err)
	}
	err := errors.Join(os.MkdirAll(o.Dir, 0o700), capture.NewRecorder(capture.Options{}).Save(filepath.Join(o.Dir, demo.WireMITM))) // of an earlier run
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the same password again is another account
		w, err := demo.Wire(t.Context(), alice.Profile, o)
		if err != nil {
			t.Fatal(err)
		}
		if !w.Proven() || w.Password != o.Password || !w.TLS.Findings.Secrets {
			t.Errorf("proven %v, password %q, secrets %v", w.Proven(), w.Password, w.TLS.Findings.Secrets)
		}
		name := w.Plain.Findings.Result(capture.RoleFileName)
		if name == nil || string(name.Needle.Bytes) != "hufu-wire-h" {
			t.Errorf("file name: %+v", name)
		}
		if least := int64(4 * len(content)); w.Plain.Findings.Bytes+w.TLS.Findings.Bytes < least {
			t.Errorf("%d and %d bytes recorded, want %d at least", w.Plain.Findings.Bytes, w.TLS.Findings.Bytes, least)
		}
	}
	data, err := os.ReadFile(filepath.Join(o.Dir, demo.WireTLS))
	if err != nil || !bytes.Contains(data, []byte("CLIENT_TRAFFIC_SECRET")) {
		t.Errorf("no secrets in the capture: %v", err)
	}
	if _, err := os.Stat(filepath.Join(o.Dir, demo.WireMITM)); err == nil {
		t.Error("a man in the middle nobody asked for")
	}
}

func TestWireRefusesWhatProvesNothing(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{Teach: true})
	alice := env.Person("alice")
	file := func(content string) string {
		name := filepath.Join(t.TempDir(), "file.txt")
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	large := file("")
	if err := os.Truncate(large, 33<<20); err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		code, file, password string
	}{
		"short password":    {code: "wire_password_unfit", password: "abc"},
		"password in TLS":   {code: "wire_password_unfit", password: "hufu/1"},
		"password is host":  {code: "wire_password_unfit", password: "127.0.0.1"},
		"empty file":        {code: "wire_file_unfit", file: file("")},
		"tiny file":         {code: "wire_file_unfit", file: file("tiny")},
		"one byte repeated": {code: "wire_file_unfit", file: file(strings.Repeat("a", 5000))},
		"huge file":         {code: "wire_file_large", file: large},
		"missing file":      {code: "no_such_file", file: filepath.Join(t.TempDir(), "none")},
		"folder":            {code: "is_a_folder", file: t.TempDir()},
	}
	for name, c := range cases {
		o := wireOptions(t)
		o.File, o.Password = c.file, c.password
		if _, err := demo.Wire(t.Context(), alice.Profile, o); hufu.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(o.Dir); err == nil {
			t.Errorf("%s: the folder was made all the same", name)
		}
	}
}

func TestWireWithoutTeachingListener(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	alice := env.Person("alice")
	o := wireOptions(t)
	_, err := demo.Wire(t.Context(), alice.Profile, o)
	if hufu.CodeOf(err) != "teach_off" || hufu.KindOf(err).Exit() != 2 {
		t.Errorf("wire: %v", err)
	}
	if _, err := os.Stat(o.Dir); err == nil {
		t.Error("the folder was made all the same")
	}
}

func TestWireIntoAFile(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{Teach: true})
	alice := env.Person("alice")
	o := wireOptions(t)
	if err := os.WriteFile(o.Dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := demo.Wire(t.Context(), alice.Profile, o); hufu.CodeOf(err) != "cannot_write" {
		t.Errorf("wire: %v", err)
	}
}

// TestWireReplacesItsOwnFilesAlone: somebody else's file with one of its names is
// left alone, and nothing is recorded beside it.
func TestWireReplacesItsOwnFilesAlone(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{Teach: true})
	alice := env.Person("alice")
	mine := wireOptions(t)
	if _, err := demo.Wire(t.Context(), alice.Profile, mine); err != nil {
		t.Fatal(err)
	}
	foreign := []byte("<!DOCTYPE html>\n<p>the report of the quarter, and what hufu wire has to do with it\n")
	for _, name := range []string{demo.WirePlain, demo.WireTLS, demo.WireMITM, demo.WireReport} {
		o := wireOptions(t)
		path := filepath.Join(o.Dir, name)
		if err := errors.Join(os.MkdirAll(o.Dir, 0o700), os.WriteFile(path, foreign, 0o600)); err != nil {
			t.Fatal(err)
		}
		_, err := demo.Wire(t.Context(), alice.Profile, o)
		if e, ok := errors.AsType[*hufu.Error](err); !ok || e.Code != "wire_file_foreign" || e.Path != path {
			t.Errorf("%s: %v", name, err)
		}
		if data, err := os.ReadFile(path); err != nil || !bytes.Equal(data, foreign) {
			t.Errorf("%s is another: %q %v", name, data, err)
		}
		if all, err := os.ReadDir(o.Dir); err != nil || len(all) != 1 {
			t.Errorf("%s: %v %v", name, all, err)
		}
	}
	// A link to a report is not a report.
	o := wireOptions(t)
	report := filepath.Join(mine.Dir, demo.WireReport)
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(report, filepath.Join(o.Dir, demo.WireReport)); err != nil {
		if runtime.GOOS == "windows" { // where a user may make no links
			t.Skip(err)
		}
		t.Fatal(err)
	}
	if _, err := demo.Wire(t.Context(), alice.Profile, o); hufu.CodeOf(err) != "wire_file_foreign" {
		t.Error(err)
	}
}
