//go:build e2e && linux

package stories

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"hufu/test/built"
)

// page is a folder in which somebody follows a page of openssl commands.
type page struct {
	t   *testing.T
	dir string
}

func (p page) path(name string) string { return filepath.Join(p.dir, name) }

func (p page) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p page) openssl(command string) string {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), "openssl", strings.Fields(command)...)
	cmd.Dir = p.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		p.t.Fatalf("openssl %s: %v\n%s", command, err, out)
	}
	return string(out)
}

func (p page) copy(to, from string, mode os.FileMode) {
	p.t.Helper()
	data, err := os.ReadFile(p.path(from))
	p.must(err)
	p.must(os.MkdirAll(filepath.Dir(to), 0o700))
	p.must(os.RemoveAll(to))
	p.must(os.WriteFile(to, data, mode))
}

// want runs nothing: it says what was wrong with what ran.
func (p page) want(r built.Result, err error) func(code int, texts ...string) {
	p.t.Helper()
	p.must(err)
	return func(code int, texts ...string) {
		p.t.Helper()
		if r.Code != code {
			p.t.Fatalf("exit status %d, not %d: %s", r.Code, code, r)
		}
		for _, text := range texts {
			if !strings.Contains(r.Out+r.Err, text) {
				p.t.Errorf("%q is not said: %s", text, r)
			}
		}
	}
}

const subject = "-subj /C=CN/ST=GD/L=SZ/O=COM/OU=NSP/emailAddress=a@b.cn/CN="

// leaf makes a key with a passphrase, takes it off, and has a request signed:
// X.509 v1, RSA 2048, the name in CN and nowhere else.
func (p page) leaf(name, cn, ca string) {
	p.t.Helper()
	p.openssl("genrsa -aes256 -passout pass:secret -out " + name + ".locked.key 2048")
	p.openssl("rsa -in " + name + ".locked.key -passin pass:secret -out " + name + ".key")
	p.openssl("req -new -key " + name + ".key -out " + name + ".csr " + subject + cn)
	p.openssl("x509 -req -days 365 -in " + name + ".csr -CA " + ca + ".crt -CAkey " + ca + ".key -CAcreateserial -out " + name + ".crt")
	if text := p.openssl("x509 -noout -text -in " + name + ".crt"); !strings.Contains(text, "Version: 1 ") || strings.Contains(text, "X509v3") {
		p.t.Fatalf("this openssl makes no X.509 v1, so the test proves nothing\n%s", text)
	}
}

func (p page) person(name string) built.Person {
	p.t.Helper()
	p.must(os.MkdirAll(p.path(name), 0o700))
	return built.NewPerson(bin, p.path(name))
}

// exchange puts a file and gets it back.
func (p page) exchange(alice built.Person) {
	p.t.Helper()
	data := bytes.Repeat([]byte("certificates of your own\n"), 100_000)
	p.must(os.WriteFile(p.path("report"), data, 0o600))
	p.want(alice.Run("put", p.path("report"), ":/"))(0)
	back := p.path("back") + "/"
	p.must(os.RemoveAll(back))
	p.must(os.MkdirAll(back, 0o700))
	p.want(alice.Run("get", ":/report", back))(0)
	got, err := os.ReadFile(back + "report")
	p.must(err)
	if !bytes.Equal(got, data) {
		p.t.Error("what came back is something else")
	}
}

// TestOwnCertificates follows docs/operations.md: everything made by openssl,
// in the two ways in which a root is made, and both sides say so explicitly.
// Without that they refuse each other.
func TestOwnCertificates(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		root    []string
		refused string // what a server without the setting says
	}{
		{"root in one step", []string{
			"genrsa -out ca.key 2048",
			"req -new -x509 -days 3650 -key ca.key -out ca.crt " + subject + "CA",
		}, "--accept-common-name"},
		{"root step by step", []string{
			"genrsa -out ca.key 2048",
			"req -new -key ca.key -out ca.csr " + subject + "CA",
			"x509 -req -days 3650 -in ca.csr -signkey ca.key -out ca.crt",
		}, "needs the setting for common names"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := page{t, t.TempDir()}
			for _, command := range c.root {
				p.openssl(command)
			}
			p.leaf("server", "SERVER", "ca")
			p.leaf("client", "CLIENT", "ca")
			p.leaf("posing", "server", "ca")
			p.must(os.WriteFile(p.path("password"), []byte(built.Password+"\n"), 0o600))
			p.must(os.WriteFile(p.path("wrong"), []byte("wrong guess\n"), 0o600))

			s, err := built.NewServer(bin, p.path("hall"))
			p.must(err)
			t.Cleanup(func() { _ = s.Kill() })
			p.want(s.Admin("user", "add", "alice", "--password-file", p.path("password")))(0)
			mine := []string{"cert", "add", p.path("client.crt"), "--user", "alice", "--device", "laptop"}
			p.want(s.Admin(mine...))(2, "not registered", "ca/trusted")
			p.copy(filepath.Join(s.Data, "ca", "trusted", "own.crt"), "ca.crt", 0o644)
			p.copy(filepath.Join(s.Data, "server.crt"), "server.crt", 0o644)
			p.copy(filepath.Join(s.Data, "server.key"), "server.locked.key", 0o600)
			p.want(s.Admin(mine...))(2, "passphrase", "openssl pkey -in")
			p.copy(filepath.Join(s.Data, "server.key"), "server.key", 0o600)

			p.want(s.Admin(mine...))(0, "Registered", " serve --accept-common-name")
			p.want(s.Admin(mine...))(2, "already registered")
			p.want(s.Admin("cert", "add", p.path("server.crt"), "--user", "alice", "--device", "x"))(2, "the server's own")
			p.want(s.Admin("cert", "add", p.path("ca.crt"), "--user", "alice", "--device", "x"))(2, "not registered")
			p.want(s.Admin("cert", "add", p.path("posing.crt"), "--user", "alice", "--device", "x"))(0, "Careful")
			p.want(s.Admin("invite", "alice"))(2, "cannot prove it")

			p.want(s.Admin("serve", "--listen", "127.0.0.1:0"))(2, c.refused)
			s.Serve("--accept-common-name")
			p.must(s.Start())

			alice := p.person("alice")
			enroll := func(key, password string, more ...string) func(int, ...string) {
				t.Helper()
				return p.want(alice.Run(append([]string{
					"enroll", "--certificate", p.path("client.crt"), "--key-file", p.path(key), "--ca", p.path("ca.crt"),
					"--server", s.Address, "--password-file", p.path(password),
				}, more...)...))
			}
			named := []string{"--server-name", "SERVER", "--accept-common-name"}
			enroll("client.locked.key", "password", named...)(2, "openssl pkey -in")
			enroll("server.key", "password", named...)(2)
			if c.name == "root in one step" {
				enroll("client.key", "password", named[:2]...)(7, "only in its common name", "--accept-common-name")
			} else {
				enroll("client.key", "password", named[:2]...)(2, "needs the setting for common names")
			}
			enroll("client.key", "password", named[2])(7, "SERVER")
			enroll("client.key", "wrong", named...)(6, "The password in")
			p.want(alice.Run("ls"))(2) // none of these has left a profile
			enroll("client.key", "password", named...)(0, "alice", "laptop")
			p.exchange(alice)
			p.want(alice.Run("explain"))(0)
			enroll("client.key", "password", named...)(0) // replaced
			p.exchange(alice)

			// From here on it is like any other certificate (HT-02).
			serial := strings.ToLower(strings.TrimPrefix(strings.TrimSpace(p.openssl("x509 -noout -serial -in client.crt")), "serial="))
			p.want(s.Admin("cert", "list"))(0, strings.TrimLeft(serial, "0"))
			p.want(s.Admin("user", "lock", "alice"))(0)
			p.want(alice.Run("ls"))(6, "locked")
			p.want(s.Admin("user", "unlock", "alice"))(0)
			p.want(alice.Run("ls"))(0)
			p.want(s.Admin("cert", "revoke", "0"+strings.ToUpper(serial), "--reason", "lost"))(0)
			p.want(alice.Run("ls"))(6, "revoked", "lost")
			enroll("client.key", "password", named...)(6, "revoked")
		})
	}
}

// TestOwnClientCertificate has a client of openssl's at a server of hufu's
// making: only the server has to be told, and one that was never registered
// opens nothing.
func TestOwnClientCertificate(t *testing.T) {
	t.Parallel()
	p := page{t, t.TempDir()}
	p.openssl("genrsa -out ca.key 2048")
	p.openssl("req -new -x509 -days 3650 -key ca.key -out ca.crt " + subject + "CA")
	p.leaf("client", "CLIENT", "ca")
	p.leaf("unknown", "CLIENT", "ca")
	p.must(os.WriteFile(p.path("password"), []byte(built.Password+"\n"), 0o600))
	s, err := built.NewServer(bin, p.path("hall"))
	p.must(err)
	t.Cleanup(func() { _ = s.Kill() })
	trusted := filepath.Join(s.Data, "ca", "trusted", "own.crt")
	p.copy(trusted, "client.crt", 0o644)
	p.want(s.Admin("serve", "--listen", "127.0.0.1:0"))(2, "not a CA's", trusted)
	p.copy(trusted, "ca.crt", 0o644)
	p.want(s.Admin("user", "add", "alice", "--password-file", p.path("password")))(0)
	p.want(s.Admin("cert", "add", p.path("client.crt"), "--user", "alice", "--device", "laptop"))(0)
	p.openssl("req -new -newkey rsa:1024 -nodes -keyout weak.key -out weak.csr -subj /CN=WEAK")
	p.openssl("x509 -req -days 365 -in weak.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out weak.crt")
	p.want(s.Admin("cert", "add", p.path("weak.crt"), "--user", "alice", "--device", "weak"))(2, "RSA 1024")
	p.must(s.Start())

	alice := p.person("alice")
	enroll := func(name string) func(int, ...string) {
		t.Helper()
		return p.want(alice.Run("enroll", "--certificate", p.path(name+".crt"), "--key-file", p.path(name+".key"),
			"--ca", filepath.Join(s.Data, "ca", "root.crt"), "--server", s.Address, "--password-file", p.path("password")))
	}
	enroll("client")(6, "not meant for a client", "--accept-common-name")
	code, err := s.Stop()
	if p.must(err); code != 0 {
		t.Fatal(code)
	}
	s.Serve("--accept-common-name")
	p.must(s.Start())
	enroll("unknown")(6)
	enroll("client")(0, "alice", "laptop")
	p.exchange(alice)
}
