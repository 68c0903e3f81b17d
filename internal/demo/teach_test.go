package demo_test

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hufu"
	"hufu/internal/client"
	"hufu/internal/demo"
	"hufu/internal/profile"
	"hufu/internal/testenv"
	"hufu/internal/transfer"
)

func parse(t *testing.T, s string) hufu.Path {
	t.Helper()
	p, err := hufu.ParsePath(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// send puts one file of the given content to :/name.
func send(t *testing.T, r *client.Remote, name, content string) {
	t.Helper()
	local := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(local, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := r.PreparePut(t.Context(), []string{local}, hufu.Path{}, client.How{Folder: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	failed := func(rep transfer.Report) {
		if rep.Err != nil {
			t.Errorf("put %s: %v", rep.Local, rep.Err)
		}
	}
	if err := transfer.New(r, transfer.Options{Owner: t.Name(), Report: failed}).Put(t.Context(), c.Sources); err != nil {
		t.Fatal(err)
	}
}

func names(t *testing.T, r *client.Remote, folder string) string {
	t.Helper()
	var all []string
	if err := r.List(t.Context(), parse(t, folder), func(e hufu.Entry) error { all = append(all, e.Name); return nil }); err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

// pupil is the teaching world of a person's server, without TLS.
func pupil(t *testing.T, p *testenv.Person) *client.Remote {
	t.Helper()
	q, o, err := demo.Plaintext(t.Context(), p.Dirs, profile.Default)
	if err != nil {
		t.Fatal(err)
	}
	o.Disk = testenv.Disk{}
	r, err := client.New(q, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// HT-52: who gives a real name and the real password to the teaching listener
// is in an empty world, and nothing of it counts in the real one.
func TestHT52RealAccountReachesNothingReal(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{Teach: true})
	alice := env.Person("alice")
	own := alice.Remote(client.Options{})
	send(t, own, "secret.txt", "for alice alone")
	if _, err := own.Mkdir(t.Context(), parse(t, "/@shared/common/folder"), 0o755, false); err != nil {
		t.Fatal(err)
	}

	taught := pupil(t, alice)
	if err := taught.Login(t.Context(), "alice", alice.Password); err != nil {
		t.Fatal(err)
	}
	if got := names(t, taught, "/"); got != "" {
		t.Errorf("the teaching world shows %q", got)
	}
	for _, p := range []string{"/secret.txt", "/@shared/common/folder"} {
		if _, err := taught.Stat(t.Context(), parse(t, p)); hufu.KindOf(err) != hufu.KindNotFound {
			t.Errorf("%s: %v", p, err)
		}
	}
	send(t, taught, "lesson.txt", "for everybody")
	if got := names(t, taught, "/"); got != "lesson.txt" {
		t.Errorf("the teaching world shows %q", got)
	}
	if got := names(t, own, "/"); got != "secret.txt" {
		t.Errorf("the real world shows %q", got)
	}
	err := filepath.WalkDir(filepath.Join(env.Data, "files"), func(path string, d os.DirEntry, err error) error {
		if strings.Contains(path, "lesson") {
			t.Errorf("%s was made", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}

	// A token of one world is worth nothing in the other.
	var kept struct{ Token []byte }
	data, err := os.ReadFile(filepath.Join(alice.Dirs.State, "profiles", profile.Default, "teach.json"))
	if err != nil || json.Unmarshal(data, &kept) != nil || kept.Token == nil {
		t.Fatalf("no teaching login was kept: %v", err)
	}
	good := alice.Profile.Token()
	if err := alice.Profile.SetToken(kept.Token); err != nil {
		t.Fatal(err)
	}
	if err := alice.Remote(client.Options{}).LoggedIn(t.Context()); hufu.KindOf(err) != hufu.KindCredentials {
		t.Errorf("the teaching token opens the real world: %v", err)
	}
	swapped, err := json.Marshal(map[string]any{"user": "alice", "token": good})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(alice.Dirs.State, "profiles", profile.Default, "teach.json"), swapped, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := pupil(t, alice).LoggedIn(t.Context()); hufu.CodeOf(err) != "teach_not_logged_in" {
		t.Errorf("the real token opens the teaching world: %v", err)
	}

	// Wrong guesses there neither lock the real account nor tell anything of it.
	guess := pupil(t, alice)
	for range 15 {
		if err := guess.Login(t.Context(), "alice", "a guess"); hufu.CodeOf(err) != "teach_wrong_password" {
			t.Fatalf("guess: %v", err)
		}
	}
	if err := alice.Remote(client.Options{}).Login(t.Context(), "alice", alice.Password); err != nil {
		t.Errorf("the real login: %v", err)
	}
}

// The teaching world over TLS is the same one, and as far from the real one.
func TestHT52TeachingOverTLS(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{Teach: true})
	alice := env.Person("alice")
	send(t, alice.Remote(client.Options{}), "secret.txt", "for alice alone")
	taught := alice.Remote(client.Options{Teach: true})
	if err := taught.Login(t.Context(), "alice", "not even the password"); err != nil {
		t.Fatal(err)
	}
	if got := names(t, taught, "/"); got != "" {
		t.Errorf("the teaching world shows %q", got)
	}
	if token := alice.Profile.Token(); alice.Remote(client.Options{}).LoggedIn(t.Context()) != nil || token == nil {
		t.Error("the real login is gone")
	}
}

// A client that wants the teaching world sends nothing to a real one.
func TestTeachingIsNotReplacedByTheRealWorld(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	alice := env.Person("alice")
	err := alice.Remote(client.Options{Teach: true}).Login(t.Context(), "alice", alice.Password)
	if hufu.CodeOf(err) != "teach_off" || hufu.KindOf(err).Exit() != 2 {
		t.Errorf("login: %v", err)
	}
	if _, _, err := demo.Plaintext(t.Context(), alice.Dirs, profile.Default); hufu.CodeOf(err) != "teach_off" {
		t.Errorf("plaintext: %v", err)
	}
}

func TestHT12PlaintextOnlyToThisMachine(t *testing.T) {
	t.Parallel()
	dirs := profile.Dirs{Config: t.TempDir(), State: t.TempDir()}
	for _, host := range []string{"192.0.2.1", "2001:db8::1", "0.0.0.0", "::"} {
		p, err := profile.New(dirs, "work", host, 9998)
		if err != nil {
			t.Fatal(err)
		}
		o := client.Options{Plaintext: true, Tap: func(net.Conn) net.Conn { t.Error("a connection was made"); return nil }}
		if _, err := client.New(p, o); hufu.CodeOf(err) != "plaintext_not_loopback" || hufu.KindOf(err).Exit() != 2 {
			t.Errorf("%s: %v", host, err)
		}
		if _, _, err := demo.TeachPort(t.Context(), p); hufu.CodeOf(err) != "plaintext_not_loopback" {
			t.Errorf("%s: teach port: %v", host, err)
		}
		if _, err := demo.Wire(t.Context(), p, demo.WireOptions{Dir: t.TempDir()}); hufu.CodeOf(err) != "plaintext_not_loopback" {
			t.Errorf("%s: wire: %v", host, err)
		}
	}
}
