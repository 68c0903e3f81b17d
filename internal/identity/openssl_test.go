//go:build e2e

package identity

import (
	"crypto/tls"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The page of openssl commands that hufu replaces still works, when the
// operator says so: keys with a passphrase and without, the root in one step,
// server and client by request and signature, taking the passphrase off again.
func TestOpensslItself(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	run := func(command string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "openssl", strings.Fields(command)...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("openssl %s: %v\n%s", command, err, out)
		}
	}
	read := func(name string) []byte {
		t.Helper()
		return must[[]byte](t)(os.ReadFile(filepath.Join(dir, name)))
	}
	const subject = "-subj /C=CN/ST=GD/L=SZ/O=COM/OU=NSP/emailAddress=a@b.cn/CN="
	run("genrsa -out ca.key 2048")
	run("req -new -x509 -days 30 -key ca.key -out ca.crt " + subject + "CA")
	for name, cn := range map[string]string{"server": "SERVER", "client": "CLIENT"} {
		run("genrsa -aes256 -passout pass:secret -out " + name + ".locked 2048")
		run("rsa -in " + name + ".locked -passin pass:secret -out " + name + ".key")
		run("req -new -key " + name + ".key -out " + name + ".csr " + subject + cn)
		run("x509 -req -days 30 -in " + name + ".csr -CA ca.crt -CAkey ca.key -CAcreateserial -out " + name + ".crt")
	}
	run("rsa -in client.key -traditional -des3 -passout pass:secret -out client.old")
	for _, name := range []string{"server.locked", "client.locked", "client.old"} {
		if _, err := ParseKey(read(name), []byte("secret")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ParseCSRPEM(read("client.csr")); err != nil {
		t.Error(err)
	}
	pair := func(name string) func() (*tls.Certificate, error) {
		p := must[*tls.Certificate](t)(ParsePair(read(name+".crt"), read(name+".key"), nil))
		return func() (*tls.Certificate, error) { return p, nil }
	}
	ca := must[[]*Certificate](t)(ParseCerts(read("ca.crt")))
	s := Server{
		Certificate: pair("server"), Trust: func() (Trust, error) { return Trust{Roots: ca}, nil },
		Admit: func(Peer) error { return nil },
	}
	if _, err := s.Config(); err == nil {
		t.Error("the server starts without the setting")
	}
	s.CommonName = true
	c := Client{Roots: ca, Certificate: pair("client"), Host: "SERVER", CommonName: true}
	if o := shake(t, config(t, s), config(t, c)); o.clientErr != nil || o.serverErr != nil {
		t.Error(o.clientErr, o.serverErr)
	}
	c.CommonName = false
	o := shake(t, config(t, s), config(t, c))
	if e := Classify(o.clientErr, true); e == nil || e.Code != "server_name_in_cn_only" {
		t.Error(e)
	}

	// Keys we lock open with openssl.
	key := must[[]byte](t)(MarshalKey(newKey(t), []byte("secret")))
	if err := os.WriteFile(filepath.Join(dir, "ours.key"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	run("pkey -in ours.key -passin pass:secret -noout")
	if d := time.Since(start); d > 30*time.Second {
		t.Errorf("opening took %v", d)
	}
}
