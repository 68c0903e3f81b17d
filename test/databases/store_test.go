//go:build e2e && linux

package databases

import (
	"bytes"
	"crypto/rand"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hufu"
	"hufu/internal/blob/object"
	"hufu/internal/meta"
	"hufu/test/built"
)

// TestServerOnObjects: servers whose files are objects, from init to files that were put at one and
// fetched at the other. The keys of the store are in the file and nowhere else.
func TestServerOnObjects(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		programs, err := bin()
		must(t, err)
		s := newNodes(t, e, 2)
		one, two, dir, ok := s.all[0], s.all[1], s.dir, s.ok
		file := filepath.Join(dir, "hufud.toml")

		alice, err := one.Enroll(filepath.Join(dir, "alice"), "alice", one.Address)
		must(t, err)
		bob, err := two.Enroll(filepath.Join(dir, "bob"), "bob", two.Address)
		must(t, err)
		content := make([]byte, 5<<20)
		_, _ = rand.Read(content)
		must(t, os.MkdirAll(filepath.Join(alice.Home, "d", "e"), 0o700))
		for name, n := range map[string]int{"empty": 0, "small": 100, "medium": 100_000, "e/large": len(content)} {
			must(t, os.WriteFile(filepath.Join(alice.Home, "d", name), content[:n], 0o600))
		}
		ok(alice.Run("put", "d", ":/"))
		ok(alice.Run("put", "d/e/large", ":/@shared/common/"))
		ok(bob.Run("get", ":/@shared/common/large", "got"))
		if got, err := os.ReadFile(filepath.Join(bob.Home, "got")); err != nil || !bytes.Equal(got, content) {
			t.Error("another file came back", err)
		}
		if r, err := bob.Run("rm", ":/@shared/common/large"); err != nil || r.Code != 4 {
			t.Error("bob may remove alice's file", r, err)
		}
		ok(bob.Run("put", "got", ":/@shared/common/bobs"))
		if out := ok(alice.Run("ls", ":/@shared/common")); !strings.Contains(out, "bobs") || !strings.Contains(out, "large") {
			t.Error(out)
		}
		must(t, one.Kill(), one.Start()) // as after a power cut
		must(t, os.Mkdir(filepath.Join(alice.Home, "back"), 0o700))
		ok(alice.Run("get", ":/d", "back/"))
		for name, n := range map[string]int{"empty": 0, "small": 100, "medium": 100_000, "e/large": len(content)} {
			if got, err := os.ReadFile(filepath.Join(alice.Home, "back", "d", name)); err != nil || !bytes.Equal(got, content[:n]) {
				t.Errorf("%s: %d bytes came back: %v", name, len(got), err)
			}
		}
		testFsck(t, one, s.bucket)
		ok(alice.Run("rm", "-r", ":/d"))
		if out := ok(one.Admin("store", "probe", "--json")); strings.Count(out, `"ok":true`) != 11 || strings.Contains(out, `"ok":false`) {
			t.Error(out)
		}

		out := ok(one.Admin("config"))
		for _, secret := range []string{e.password, s.bucket.SecretKey} {
			if strings.Contains(out, secret) || strings.Contains(one.Log()+two.Log(), secret) {
				t.Error("a secret is shown")
			}
		}
		if !strings.Contains(one.Log(), "files are objects") || !strings.Contains(one.Log(), s.bucket.URL) {
			t.Error("nothing is said about the store:\n" + one.Log())
		}
		if left, err := filepath.Glob(filepath.Join(one.Data, "files", "*", "*")); err != nil || len(left) > 0 {
			t.Error("files are in the data folder:", left, err)
		}
		// The bucket belongs to this installation, and so do the names in the database.
		other := strings.Replace(s.text, s.database, e.fresh(t), 1)
		must(t, os.WriteFile(file, []byte(other), 0o600))
		_, err = built.NewServerWith([]string{"--config", file}, programs, filepath.Join(dir, "third"))
		if err == nil || !strings.Contains(err.Error(), "belongs to another hufu installation") {
			t.Error(err)
		}
		if _, err := os.Stat(filepath.Join(dir, "third")); err == nil {
			t.Error("a folder was left")
		}
		if r, err := one.Admin("db", "copy", "--to", "sqlite:x.db"); err != nil || r.Code != 2 {
			t.Error(r, err)
		}
		must(t, one.Kill())
		if r, err := one.Admin("db", "copy", "--to", "sqlite:x.db"); err != nil || r.Code != 2 || !strings.Contains(r.Err, "copy users and certificates only") {
			t.Error(r, err)
		}
		// A store that acknowledges whatever arrives is not used.
		must(t, os.WriteFile(filepath.Join(one.Data, "hufud.toml"), []byte(strings.Replace(s.text, s.bucket.Endpoint, credulous(t, s.bucket.Endpoint), 1)), 0o600))
		r, err := one.Admin("serve", "--listen", "127.0.0.1:0")
		if must(t, err); r.Code != 8 || !strings.Contains(r.Err, "The store accepts bytes that have changed on the way.") {
			t.Error(r)
		}
	})
}

// credulous is a way to an S3 service that acknowledges what a probe stores, whatever has arrived.
func credulous(t *testing.T, endpoint string) string {
	t.Helper()
	at, err := url.Parse(endpoint)
	must(t, err)
	way := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(at)
		r.Out.Host = r.In.Host // it is signed
	}}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.URL.Path, "/hufu-probe/") {
			way.ServeHTTP(w, r)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Etag", `"x"`)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// testFsck: while servers run, what is lost is named and what nobody needs is removed. One of two
// large files in the shared folder is damaged afterwards.
func testFsck(t *testing.T, s *built.Server, where object.Source) {
	t.Helper()
	fsck := func(want int, args ...string) string {
		t.Helper()
		r, err := s.Admin(append([]string{"fsck"}, args...)...)
		if must(t, err); r.Code != want {
			t.Fatal(r)
		}
		return r.Out
	}
	if out := fsck(0); out != "" {
		t.Error(out)
	}
	bucket, err := object.Open(where)
	must(t, err)
	defer bucket.Close()
	var keys []string
	must(t, bucket.Keys(t.Context(), "", func(key string, size int64) error {
		if size == 1<<20 {
			keys = append(keys, key)
		}
		return nil
	}))
	installation, _, _ := strings.Cut(keys[0], "/")
	unused := installation + "/" + meta.NewID().String() + "/0/0.0"
	must(t, bucket.Put(t.Context(), unused, []byte("left over")))
	if out := fsck(0, "--repair"); out != "" { // not for an hour
		t.Error(out)
	}
	file := filepath.Join(s.Data, "hufud.toml")
	text, err := os.ReadFile(file)
	must(t, err, os.WriteFile(file, append(text, "grace = \"0s\"\n"...), 0o600))
	if out := fsck(0, "--json"); !strings.Contains(out, `"problem":"object_unused"`) || !strings.Contains(out, `"unused":1,"removed":0`) {
		t.Error(out)
	}
	if out := fsck(0, "--repair"); !strings.Contains(out, unused+": removed; no file had this object of 9 bytes.") {
		t.Error(out)
	}
	must(t, os.WriteFile(file, text, 0o600))
	_, err = bucket.Size(t.Context(), unused)
	if hufu.CodeOf(err) != "store_object_missing" {
		t.Error(err)
	}
	if out := fsck(0); out != "" {
		t.Error(out)
	}
	lost := keys[0]
	must(t, bucket.Delete(t.Context(), lost))
	if out := fsck(8, "--repair"); !strings.Contains(out, lost+" is missing.") {
		t.Error(out)
	}
	if out := fsck(8, "--json"); !strings.Contains(out, `"object":"`+lost+`"`) || !strings.Contains(out, `"damaged":1`) {
		t.Error(out)
	}
}
