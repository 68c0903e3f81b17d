//go:build e2e && linux

package databases

import (
	"bytes"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hufu/test/built"
)

// TestServer: a server on a shared database, from init to a file that was put and
// has come back. The password is in the file and nowhere else.
func TestServer(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		programs, err := bin()
		must(t, err)
		dir, at := t.TempDir(), e.fresh(t)
		s, err := built.NewServerWith([]string{"--database", at}, programs, filepath.Join(dir, "data"))
		must(t, err, s.Start())
		defer func() { must(t, s.Kill()) }()
		p, err := s.Enroll(filepath.Join(dir, "home"), "alice", s.Address)
		must(t, err)
		content := make([]byte, 3<<20)
		_, _ = rand.Read(content)
		must(t, os.WriteFile(filepath.Join(p.Home, "a"), content, 0o600))
		ok := func(r built.Result, err error) string {
			t.Helper()
			if must(t, err); r.Code != 0 {
				t.Fatal(r)
			}
			return r.Out
		}
		ok(p.Run("put", "a", ":/"))
		ok(p.Run("get", ":/a", "b"))
		if got, err := os.ReadFile(filepath.Join(p.Home, "b")); err != nil || !bytes.Equal(got, content) {
			t.Error("another file came back", err)
		}
		if out := ok(s.Admin("user", "list")); !strings.Contains(out, "alice") {
			t.Error(out)
		}
		out := ok(s.Admin("config"))
		if strings.Contains(out, e.password) || !strings.Contains(out, e.name+"://hufu:xxxxx@"+e.address) {
			t.Error(out)
		}
		for _, args := range [][]string{{"status"}, {"status", "--json"}} {
			if out := ok(s.Admin(args...)); strings.Contains(out, e.password) || !strings.Contains(out, e.name+"://hufu:xxxxx@"+e.address) {
				t.Error(out)
			}
		}
		// What another process takes away.
		ok(s.Admin("user", "lock", "alice"))
		if r, err := p.Run("ls", ":/"); err != nil || r.Code != 6 {
			t.Error(r, err)
		}
		if _, err := os.Stat(filepath.Join(s.Data, "hufu.db")); err == nil {
			t.Error("there is a hufu.db, too")
		}
		if i, err := os.Stat(filepath.Join(s.Data, "hufud.toml")); err != nil || i.Mode().Perm() != 0o600 {
			t.Error(i, err)
		}
		if strings.Contains(s.Log(), e.password) {
			t.Error("the log has the password")
		}
		// The database belongs to this installation.
		_, err = built.NewServerWith([]string{"--database", at}, programs, filepath.Join(dir, "second"))
		if err == nil || !strings.Contains(err.Error(), "has users or certificates already") || strings.Contains(err.Error(), e.password) {
			t.Error(err)
		}
		if _, err := os.Stat(filepath.Join(dir, "second")); err == nil {
			t.Error("a folder was left")
		}
	})
}
