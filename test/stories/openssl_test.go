//go:build e2e && linux

package stories

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"hufu/test/built"
)

// knock is what openssl s_client met when it came to the server and spoke.
type knock struct {
	data     string   // of the application: what a stranger was told
	after    []string // messages of the server after the client's last of the handshake
	messages string
}

var message = regexp.MustCompile(`(?m)^(<<<|>>>) .*?, (Handshake|Alert|ChangeCipherSpec)(?: \[length \w+\])?(?:, (.*))?$`)

// sClient connects as flags say, sends a request of each protocol that the
// server might speak, and listens until the server closes.
func sClient(t *testing.T, address string, flags ...string) knock {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	dump := filepath.Join(t.TempDir(), "messages")
	args := append([]string{"s_client", "-connect", address, "-quiet", "-msg", "-msgfile", dump}, flags...)
	cmd := exec.CommandContext(ctx, "openssl", args...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = in.Write([]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))
	_ = cmd.Wait() // its status says little
	if ctx.Err() != nil {
		t.Fatalf("the server did not close\n%s", errs.String())
	}
	data, err := os.ReadFile(dump)
	if err != nil {
		t.Fatal(err)
	}
	k := knock{data: out.String(), messages: string(data) + errs.String()}
	for _, m := range message.FindAllStringSubmatch(string(data), -1) {
		switch {
		case m[1] == "<<<":
			k.after = append(k.after, m[2]+" "+m[3])
		case m[2] == "Handshake":
			k.after = nil
		}
	}
	return k
}

// TestOpenSSLIsRefused knocks with a foreign tool. Whoever has not proven who
// they are gets the alert of TLS, and not one byte of ours (HT-01, HT-02).
func TestOpenSSLIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	run := func(name string, args ...string) {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	start := func(name string) *built.Server {
		t.Helper()
		s, err := built.NewServer(bin, filepath.Join(dir, name))
		check(err)
		t.Cleanup(func() { _ = s.Kill() })
		return s
	}
	admin := func(s *built.Server, args ...string) string {
		t.Helper()
		r, err := s.Admin(args...)
		if check(err); r.Code != 0 {
			t.Fatalf("hufud %v: %s", args, r)
		}
		return r.Out
	}
	s, other := start("hall"), start("other")
	check(s.Start())
	// Three certificates for one name: good, to be revoked, of another CA.
	for name, by := range map[string]*built.Server{"good": s, "revoked": s, "foreign": other} {
		run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x", "-keyout", name+".key", "-out", name+".csr")
		admin(by, "invite", "alice")
		admin(by, "cert", "sign", filepath.Join(dir, name+".csr"), "--user", "alice", "--device", name, "--out", filepath.Join(dir, name+".crt"))
	}
	run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=alice", "-keyout", "self.key", "-out", "self.crt")
	admin(s, "cert", "revoke", "--user", "alice", "--device", "revoked")

	with := func(crt, key string) []string {
		return []string{"-cert", crt, "-key", key, "-cert_chain", crt}
	}
	mine := func(name string) []string {
		return with(filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key"))
	}
	data := func(crt, key string) []string { return with(filepath.Join(s.Data, crt), filepath.Join(s.Data, key)) }
	native := []string{"-tls1_3", "-alpn", "hufu/1"}

	// Who is let in hears nothing either before having said hello, but no
	// alert of a handshake.
	k := sClient(t, s.Address, append(native, mine("good")...)...)
	if !strings.Contains(s.Log(), "msg=connected") || strings.Contains(k.messages, "bad certificate") {
		t.Fatalf("the good certificate was refused: the rest of this test proves nothing\n%s%s", k.messages, s.Log())
	}

	cases := []struct {
		name  string
		flags []string
		alert string // what openssl calls it
	}{
		{"no certificate", native, "certificate_required"},
		{"of another CA", append(native, mine("foreign")...), "unknown_ca|bad_certificate"},
		{"self-signed", append(native, mine("self")...), "unknown_ca|bad_certificate"},
		{"revoked", append(native, mine("revoked")...), "certificate_revoked|bad_certificate"},
		{"the server's as client", append(native, data("server.crt", "server.key")...), "unsupported_certificate|bad_certificate"},
		{"the CA's own", append(native, data("ca/root.crt", "ca/root.key")...), "bad_certificate|unsupported_certificate"},
		{"the issuing CA's own", append(native, data("ca/issuing.crt", "ca/issuing.key")...), "bad_certificate|unsupported_certificate"},
		{"TLS 1.2", append([]string{"-tls1_2", "-alpn", "hufu/1"}, mine("good")...), "protocol_version"},
		{"TLS 1.2 without certificate", []string{"-tls1_2"}, "protocol_version"},
		{"no protocol, no certificate", []string{"-tls1_3"}, "certificate_required"},
		{"h2, no certificate", []string{"-tls1_3", "-alpn", "h2"}, "certificate_required"},
		{"enrollment among others, no certificate", []string{"-tls1_3", "-alpn", "hufu/1,hufu-enroll/1"}, "certificate_required"},
		{"unknown protocol", append([]string{"-tls1_3", "-alpn", "gopher"}, mine("good")...), `no_application_protocol|\?\?\?`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			k := sClient(t, s.Address, c.flags...)
			if k.data != "" {
				t.Errorf("the server said %q", k.data)
			}
			if len(k.after) != 1 || !regexp.MustCompile(`^Alert fatal (`+c.alert+`)$`).MatchString(k.after[0]) {
				t.Errorf("the server answered %q, want one alert %s\n%s", k.after, c.alert, k.messages)
			}
		})
	}
	// What is not served yet is closed after the handshake, without a word.
	for _, alpn := range []string{"h2", "http/1.1", ""} {
		t.Run("closed "+alpn, func(t *testing.T) {
			t.Parallel()
			flags := append([]string{"-tls1_3"}, mine("good")...)
			if alpn != "" {
				flags = append(flags, "-alpn", alpn)
			}
			k := sClient(t, s.Address, flags...)
			if k.data != "" || len(k.after) != 1 || k.after[0] != "Alert warning close_notify" {
				t.Errorf("the server said %q and sent %q\n%s", k.data, k.after, k.messages)
			}
		})
	}
}
