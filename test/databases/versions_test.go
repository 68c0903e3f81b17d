//go:build e2e && linux

package databases

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hufu/test/built"
)

// TestNodesOfTwoVersions: nodes are upgraded one after the other. Until the last one is, both versions
// serve the same files and users, and what is changed at one holds at the other; a transfer lives
// through the upgrade of its node.
func TestNodesOfTwoVersions(t *testing.T) {
	newer := t.TempDir()
	must(t, built.BuildVersion(newer, "99.1.0"))
	each(t, func(t *testing.T, e *engine) {
		s := newNodes(t, e, 2)
		one, two := s.all[0], s.all[1]
		content := make([]byte, 24<<20)
		_, _ = rand.Read(content)
		slow, err := built.NewSlow(one.Address, 1<<40)
		must(t, err)
		defer slow.Close()
		alice := s.enroll(one, "alice", slow.Address)
		bob := s.enroll(two, "bob", two.Address)
		must(t, os.WriteFile(filepath.Join(alice.Home, "large"), content, 0o600))
		upgrade := func(n *built.Server) {
			t.Helper()
			code, err := n.Stop()
			if must(t, err); code != 0 {
				t.Errorf("the server ended with %d", code)
			}
			n.Upgrade(newer)
			must(t, n.Start())
			if !strings.Contains(n.Log(), "version=99.1.0") {
				t.Error(n.Log())
			}
		}
		share := func(from, to built.Person, name string) {
			t.Helper()
			must(t, os.WriteFile(filepath.Join(from.Home, name), []byte(name), 0o600))
			s.ok(from.Run("put", name, ":/@shared/common/"))
			if out := s.ok(to.Run("cat", ":/@shared/common/"+name)); out != name {
				t.Errorf("%q came back", out)
			}
		}

		upgrade(two)
		share(alice, bob, "at the older")
		share(bob, alice, "at the newer")
		for _, n := range s.all {
			if all := s.listed(n); len(all) != 2 {
				t.Errorf("%+v", all)
			}
		}
		s.ok(one.Admin("user", "lock", "bob"))
		if r, err := bob.Run("ls", ":/"); err != nil || r.Code != 6 {
			t.Error(r, err)
		}
		s.ok(two.Admin("user", "unlock", "bob"))

		slow.Rate(4 << 20)
		passed, ended := slow.Passed(), make(chan built.Result, 1)
		go func() {
			r, err := alice.Run("put", "large", ":/")
			if err != nil {
				r.Err += err.Error()
			}
			ended <- r
		}()
		must(t, built.Eventually("a put", func() bool { return slow.Passed()-passed > 4<<20 }))
		upgrade(one)
		slow.Rate(1 << 40)
		if r := <-ended; r.Code != 0 {
			t.Error(r)
		}
		s.ok(alice.Run("verify", "large", ":/large"))
		share(alice, bob, "at the newer ones")
	})
}
