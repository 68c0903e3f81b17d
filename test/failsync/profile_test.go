//go:build e2e && linux

package failsync

import (
	"crypto/tls"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hufu/test/built"
	"hufu/test/built/aged"
)

// never is a call that no thread gets to: strace only looks on.
const never = 1<<16 - 1

// user is somebody whose profile is written.
type user struct {
	built.Person
	*testing.T
	server *built.Server
}

func newUser(t *testing.T, s *built.Server) *user {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	u := &user{built.NewPerson(bin, dir), t, s}
	must(t, os.WriteFile(u.path("password"), []byte(built.Password+"\n"), 0o600))
	return u
}

func (u *user) path(name string) string { return filepath.Join(u.Home, filepath.FromSlash(name)) }

func (u *user) config(name string) string { return u.path(".config/hufu/profiles/default/" + name) }

func (u *user) invite() string {
	u.Helper()
	code, err := u.server.Invite("alice", "")
	must(u.T, err)
	return code
}

func (u *user) run(args ...string) {
	u.Helper()
	r, err := u.Person.Run(args...)
	must(u.T, err)
	if r.Code != 0 {
		u.Fatal(r)
	}
}

func (u *user) enroll() []string {
	u.Helper()
	return []string{"enroll", u.invite(), "--password-file", "password"}
}

func (u *user) read(name string) string {
	u.Helper()
	data, err := os.ReadFile(u.config(name))
	must(u.T, err)
	return string(data)
}

// whole looks at what a failure has left: no temporary file, and if there is a
// profile, the key of its certificate.
func (u *user) whole() {
	u.Helper()
	must(u.T, filepath.WalkDir(u.Home, func(p string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(d.Name(), ".hufu-") {
			u.Errorf("left: %s", p)
		}
		return err
	}))
	if _, err := os.Stat(u.config("profile.json")); err == nil {
		if _, err := tls.LoadX509KeyPair(u.config("client.crt"), u.config("client.key")); err != nil {
			u.Errorf("the profile is half: %v", err)
		}
	}
}

// old puts a certificate into the profile that is to be renewed; a device has a
// few at most.
func (u *user) old(device string) {
	u.Helper()
	must(u.T, aged.Certificate(u.Context(), u.server, u.Person, "alice", device))
}

// TestFailedSyncOfAProfile: what could not be kept of a profile, a login or a
// choice is a failure of the command, which can be given again; the profile is
// the old one or the new one.
func TestFailedSyncOfAProfile(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	server, err := built.NewServer(bin, filepath.Join(dir, "data"))
	must(t, err)
	t.Cleanup(func() { _ = server.Kill() })
	must(t, server.Start())
	for _, c := range []struct {
		name string
		// prepare makes what is there before the command that it returns.
		prepare func(*user) []string
	}{
		{"enroll", (*user).enroll},
		{"enroll again", func(u *user) []string {
			u.run(u.enroll()...)
			r, err := server.Admin("cert", "revoke", "--user", "alice")
			must(u.T, err)
			if r.Code != 0 {
				u.Fatal(r)
			}
			return u.enroll()
		}},
		{"own certificate", func(u *user) []string { return u.own() }},
		{"another own certificate", func(u *user) []string {
			u.run(u.own()...)
			return u.own()
		}},
		{"log in", func(u *user) []string {
			u.run(u.enroll()...)
			u.run("logout")
			return []string{"login", "--password-file", "password"}
		}},
		{"log out", func(u *user) []string {
			u.run(u.enroll()...)
			return []string{"logout"}
		}},
		{"default", func(u *user) []string {
			u.run(u.enroll()...)
			return []string{"profile", "default", "default"}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			failures := 0
			for n := 1; ; n++ {
				if n > 30 {
					t.Fatal("it fails for ever")
				}
				u := newUser(t, server)
				args := c.prepare(u)
				log := filepath.Join(t.TempDir(), "log")
				r := inject(t, u.Person, log, n, args...)
				bad := failed(t, log, u.Home)
				if len(bad) == 0 {
					if r.Code != 0 {
						t.Fatal("nothing failed: ", r)
					}
					break
				}
				failures++
				if r.Code == 0 {
					t.Errorf("acknowledged, although this failed: %q\n%s", bad, r)
				}
				u.whole()
				again := filepath.Join(t.TempDir(), "again")
				if r := inject(t, u.Person, again, never, args...); r.Code != 0 {
					t.Fatalf("after failure %d of %q: %s", n, bad, r)
				}
				u.durable(bad, again)
				u.whole()
				if c.name != "log out" {
					u.run("ls")
				}
			}
			if failures == 0 {
				t.Error("nothing was made durable")
			}
		})
	}
}

// TestFailedSyncOfARemoval: a profile is removed when its folders are gone for good.
// After a failure the same command removes the rest, or the error has said that
// nothing is left.
func TestFailedSyncOfARemoval(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	server, err := built.NewServer(bin, filepath.Join(dir, "data"))
	must(t, err)
	t.Cleanup(func() { _ = server.Kill() })
	must(t, server.Start())
	told := map[string]bool{}
	all := func() bool {
		for _, path := range []string{"/.config/hufu/profiles/default", "/.config/hufu/profiles"} {
			if !told[path] {
				return false
			}
		}
		return true
	}
	for try := 0; !all(); try++ { // strace counts the calls of each thread, and the program chooses its threads
		if try > 60 {
			t.Fatal("not every removal is durable: ", told)
		}
		u := newUser(t, server)
		u.run(u.enroll()...)
		log := filepath.Join(t.TempDir(), "log")
		r := inject(t, u.Person, log, 1+try%4, "profile", "rm", "default")
		bad := failed(t, log, u.Home)
		if len(bad) == 0 {
			if r.Code != 0 {
				t.Fatal("nothing failed: ", r)
			}
			continue
		}
		if r.Code == 0 {
			t.Errorf("acknowledged, although this failed: %q\n%s", bad, r)
		}
		gone := strings.Contains(r.Err, `Removed the profile "default", but the disk did not confirm it`)
		again, err := u.Person.Run("profile", "rm", "default")
		must(t, err)
		if want := map[bool]int{true: 3, false: 0}[gone]; again.Code != want {
			t.Errorf("after %s\nthe second time: %s", r, again)
		}
		for _, path := range bad {
			told[strings.TrimPrefix(path, u.Home)] = true
		}
	}
}

// durable says whether the next command has made the folders durable that could
// not be: a name that is there must not be taken for one that stays.
func (u *user) durable(bad []string, again string) {
	u.Helper()
	for _, path := range bad {
		if i, err := os.Stat(path); err != nil || !i.IsDir() {
			continue
		}
		good := false
		for _, s := range syncs(u.T, again, path) {
			good = good || s.path == path && !s.failed
		}
		if !good {
			u.Errorf("not durable after the second time: %s", path)
		}
	}
}

// own gives the command for a new certificate that was made elsewhere.
func (u *user) own() []string {
	u.Helper()
	from := newUser(u.T, u.server)
	from.run(from.enroll()...)
	return []string{
		"enroll", "--certificate", from.config("client.crt"), "--key-file", from.config("client.key"), "--ca", from.config("root.crt"),
		"--server", u.server.Address, "--password-file", "password",
	}
}

// TestFailedSyncOfARenewal: the certificate is the old one or the new one, and
// the next connection renews it.
func TestFailedSyncOfARenewal(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	server, err := built.NewServer(bin, filepath.Join(dir, "data"))
	must(t, err)
	t.Cleanup(func() { _ = server.Kill() })
	must(t, server.Start())
	u := newUser(t, server)
	u.run(u.enroll()...)
	failures := 0
	for n := 1; ; n++ {
		if n > 30 {
			t.Fatal("it fails for ever")
		}
		u.old(fmt.Sprint("desk", n))
		old := u.read("client.crt")
		log := filepath.Join(t.TempDir(), "log")
		r := inject(t, u.Person, log, n, "whoami")
		if r.Code != 0 { // the certificate is good for a while
			t.Fatal(r)
		}
		bad := failed(t, log, u.Home)
		u.whole()
		if len(bad) == 0 {
			if u.read("client.crt") == old {
				t.Fatal("nothing failed, and nothing was renewed")
			}
			break
		}
		failures++
		u.run("whoami")
		u.whole()
		if u.read("client.crt") == old {
			t.Errorf("after failure %d of %q: not renewed", n, bad)
		}
	}
	if failures == 0 {
		t.Error("nothing was made durable")
	}
}
