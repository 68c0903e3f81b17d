//go:build e2e && linux

// Package wire shows on the built programs, and with tshark, what an
// eavesdropper reads: from the captures that hufu makes of itself, and from one
// of the loopback interface that knows nothing of hufu.
package wire

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"hufu/test/built"
)

// bin is where the programs are, set once before the tests.
var bin string

func TestMain(m *testing.M) { built.Main(m, &bin) }

const shared = "shared pass phrase"

// start makes a server, with the teaching world or not, and alice.
func start(t *testing.T, teach bool) (*built.Server, built.Person) {
	t.Helper()
	var flags []string
	if teach {
		flags = []string{"--teach-plaintext"}
	}
	s, err := built.NewServer(bin, filepath.Join(t.TempDir(), "data"), flags...)
	if err == nil {
		err = s.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Kill() })
	alice, err := s.Enroll(t.TempDir(), "alice", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(alice.Home, "pw"), []byte(shared+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return s, alice
}

// want runs hufu and checks its exit status.
func want(t *testing.T, p built.Person, code int, args ...string) built.Result {
	t.Helper()
	r, err := p.Run(args...)
	if err != nil {
		t.Fatal(err)
	}
	if r.Code != code {
		t.Errorf("hufu %s: want exit status %d: %s", strings.Join(args, " "), code, r)
	}
	return r
}

// tshark prints what it sees in a capture; secrets come from the file alone.
func tshark(t *testing.T, file string, args ...string) string {
	t.Helper()
	args = append([]string{"-n", "-r", file, "-o", "tls.keylog_file:", "-o", "tcp.check_checksum:TRUE"}, args...)
	out, err := exec.Command("tshark", args...).Output()
	if err != nil {
		t.Fatalf("tshark %q: %v", args, err)
	}
	return string(out)
}

func contains(s string) string {
	hex := fmt.Sprintf("% x", s)
	return "frame contains " + strings.ReplaceAll(hex, " ", ":")
}

// HT-12, and the point of it all: without TLS everything is read, with it
// nothing.
func TestHT12WireForTshark(t *testing.T) {
	t.Parallel()
	_, alice := start(t, true)
	content := strings.Repeat("these are the words of the file, all of them\n", 400)
	if err := os.WriteFile(filepath.Join(alice.Home, "my report.txt"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	r := want(t, alice, 0, "wire", "--out", "cap", "--password-file", "pw", "--mitm", "my report.txt")
	if !strings.Contains(r.Err, "in the clear") || !strings.Contains(r.Out, "with TLS nothing can") || !strings.Contains(r.Out, "exit status 7") {
		t.Errorf("wire: %s", r)
	}
	user := regexp.MustCompile(`"(wire-[a-z0-9]+)"`).FindStringSubmatch(r.Out)
	if user == nil {
		t.Fatalf("no user name in the report: %s", r)
	}
	dir := filepath.Join(alice.Home, "cap")
	for _, what := range []string{user[1], shared, "my report.txt", "these are the words of the file"} {
		if tshark(t, filepath.Join(dir, "plain.pcapng"), "-Y", contains(what)) == "" {
			t.Errorf("plain.pcapng does not hold %q", what)
		}
		for _, sealed := range []string{"tls.pcapng", "mitm.pcapng"} {
			if out := tshark(t, filepath.Join(dir, sealed), "-Y", contains(what)); out != "" {
				t.Errorf("%s holds %q:\n%s", sealed, what, out)
			}
		}
	}
	out := tshark(t, filepath.Join(dir, "tls.pcapng"), "-Y", "tls", "-T", "fields", "-e", "tls.handshake.extensions.supported_version", "-e", "_ws.col.Info")
	for _, name := range []string{"Client Hello", "Server Hello", "Change Cipher Spec", "Application Data", "0x0304"} {
		if !strings.Contains(out, name) {
			t.Errorf("tshark does not name %q:\n%.2000s", name, out)
		}
	}
	for _, name := range []string{"plain.pcapng", "tls.pcapng", "mitm.pcapng"} {
		file := filepath.Join(dir, name)
		if out := tshark(t, file, "-2", "-R", "_ws.malformed or tcp.analysis.flags or tcp.checksum.status == Bad"); out != "" {
			t.Errorf("%s looks wrong:\n%.2000s", name, out)
		}
		if out := tshark(t, file, "-q", "-z", "conv,tcp"); strings.Count(out, "<->") == 0 {
			t.Errorf("%s has no TCP stream:\n%s", name, out)
		}
	}
	page, err := os.ReadFile(filepath.Join(dir, "report.html"))
	if err != nil || !strings.Contains(string(page), "ip.addr == 127.0.0.1 and tcp.port == ") || strings.Contains(string(page), "<script") {
		t.Errorf("report.html: %v", err)
	}
}

func TestWireSecretsDecrypt(t *testing.T) {
	t.Parallel()
	_, alice := start(t, true)
	want(t, alice, 0, "wire", "--out", "cap", "--password-file", "pw", "--secrets")
	file := filepath.Join(alice.Home, "cap", "tls.pcapng")
	if out := tshark(t, file, "-Y", contains(shared)); out != "" {
		t.Errorf("in clear:\n%s", out)
	}
	if out := tshark(t, file, "-q", "-z", "follow,tls,raw,0"); !strings.Contains(out, hex.EncodeToString([]byte(shared))) {
		t.Errorf("not decrypted:\n%.2000s", out)
	}
}

// What the interface itself sees is what the tap has recorded.
func TestHT12LoopbackCapture(t *testing.T) {
	t.Parallel()
	s, alice := start(t, true)
	file := filepath.Join(t.TempDir(), "lo.pcapng")
	_, port, _ := strings.Cut(s.Address, ":")
	_, teach, _ := strings.Cut(teachAddress(t, s), ":")
	dump := exec.Command("dumpcap", "-q", "-i", "lo", "-f", "tcp port "+port+" or tcp port "+teach, "-w", file)
	stderr, err := os.Create(file + ".log")
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	dump.Stderr = stderr
	dump.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := dump.Start(); err != nil {
		t.Fatal(err)
	}
	said := func() string { data, _ := os.ReadFile(file + ".log"); return string(data) }
	if err := built.Eventually("dumpcap records; it needs root", func() bool { return strings.Contains(said(), "File: ") || built.Gone(dump.Process.Pid) }); err != nil {
		t.Error(err)
	}
	r := want(t, alice, 0, "wire", "--out", "cap", "--password-file", "pw", "--json")
	// Whatever was sent is in the file when a last packet is.
	err = built.Eventually("the last packets are written", func() bool {
		data, _ := os.ReadFile(file)
		return strings.Count(string(data), shared) > 0 && strings.Count(string(data), "\x17\x03\x03") > 10
	})
	_ = dump.Process.Signal(syscall.SIGINT)
	_ = dump.Wait()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, said(), r)
	}
	if tshark(t, file, "-Y", "tcp.port == "+teach+" and "+contains(shared)) == "" {
		t.Error("nothing in clear on the teaching listener's port")
	}
	if out := tshark(t, file, "-Y", "tcp.port == "+port+" and "+contains(shared)); out != "" {
		t.Errorf("in clear on the TLS port:\n%s", out)
	}
}

var teachAt = regexp.MustCompile(`teaching listener without TLS" address=(\S+)`)

func teachAddress(t *testing.T, s *built.Server) string {
	t.Helper()
	m := teachAt.FindStringSubmatch(s.Log())
	if m == nil {
		t.Fatalf("no teaching listener:\n%s", s.Log())
	}
	return m[1]
}

func TestWireSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	_, alice := start(t, false)
	r := want(t, alice, 2, "wire", "--out", "cap")
	if !strings.Contains(r.Err, "--teach-plaintext") {
		t.Errorf("no advice: %s", r)
	}
	if _, err := os.Stat(filepath.Join(alice.Home, "cap")); err == nil {
		t.Error("the folder was made")
	}
	r = want(t, alice, 2, "wire", "--out", "cap", "--lang", "zh-CN")
	if !strings.Contains(r.Err, "教学") {
		t.Errorf("not Chinese: %s", r)
	}
	if r := want(t, alice, 2, "--plaintext", "ls"); !strings.Contains(r.Err, "--teach-plaintext") {
		t.Errorf("no advice: %s", r)
	}
}

const banner = "NO TLS"

// The teaching world on the command line: HT-12 and HT-52.
func TestHT52PlaintextCommands(t *testing.T) {
	t.Parallel()
	s, alice := start(t, true)
	if err := os.WriteFile(filepath.Join(alice.Home, "real.txt"), []byte("real"), 0o600); err != nil {
		t.Fatal(err)
	}
	want(t, alice, 0, "put", "real.txt", ":/")
	plain := func(code int, args ...string) built.Result {
		t.Helper()
		r := want(t, alice, code, append([]string{"--plaintext"}, args...)...)
		if !strings.Contains(r.Err, banner) {
			t.Errorf("%q shows no banner: %s", args, r)
		}
		return r
	}
	plain(6, "ls")
	plain(0, "login", "--password-file", "password") // the real name and password
	if r := plain(0, "ls"); r.Out != "" {
		t.Errorf("the teaching world is not empty: %s", r)
	}
	plain(0, "mkdir", ":/lesson")
	plain(0, "put", "pw", ":/lesson/")
	plain(0, "get", ":/lesson/pw", "back")
	if data, err := os.ReadFile(filepath.Join(alice.Home, "back")); err != nil || string(data) != shared+"\n" {
		t.Errorf("back came %q, %v", data, err)
	}
	if r := plain(0, "ls"); !strings.Contains(r.Out, "lesson/") || strings.Contains(r.Out, "real.txt") {
		t.Errorf("ls: %s", r)
	}
	if r := want(t, alice, 0, "ls"); !strings.Contains(r.Out, "real.txt") || strings.Contains(r.Out, "lesson") || strings.Contains(r.Err, banner) {
		t.Errorf("ls of the real world: %s", r)
	}
	plain(0, "rm", "-r", ":/lesson")
	plain(3, "get", ":/real.txt", "stolen")
	plain(6, "login", "--password-file", "pw") // the first login has fixed it
	plain(0, "logout")
	plain(6, "ls")
	want(t, alice, 0, "whoami")
	for _, args := range [][]string{{"--plaintext", "enroll", "x"}, {"--plaintext", "wire"}, {"--plaintext", "explain"}} {
		want(t, alice, 2, args...)
	}

	// Somebody who has changed the address does not get it to another computer.
	profile := filepath.Join(alice.Home, ".config", "hufu", "profiles", "default", "profile.json")
	data, err := os.ReadFile(profile)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(profile, []byte(strings.Replace(string(data), s.Address, "192.0.2.1:9999", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := want(t, alice, 2, "--plaintext", "login", "--user", "pupil", "--password-file", "pw"); !strings.Contains(r.Err, "192.0.2.1") {
		t.Errorf("refused for another reason: %s", r)
	}
	want(t, alice, 2, "wire")
}

// step is a line of explain --json.
type step struct {
	Side string
	Step int
	OK   bool
	What string
	Why  string
	Fix  string
}

func steps(t *testing.T, r built.Result) (all, failed []step) {
	t.Helper()
	for line := range strings.Lines(r.Out) {
		var s step
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if s.What == "" || s.Why == "" || (s.Fix == "") != s.OK {
			t.Errorf("step %s", line)
		}
		all = append(all, s)
		if !s.OK {
			failed = append(failed, s)
		}
	}
	return all, failed
}

func TestExplain(t *testing.T) {
	t.Parallel()
	s, alice := start(t, false)
	all, failed := steps(t, want(t, alice, 0, "explain", "--json"))
	if len(all) != 20 || len(failed) != 0 {
		t.Errorf("%d steps, failed %+v", len(all), failed)
	}
	if r := want(t, alice, 0, "explain", "default:"); !strings.Contains(r.Out, "X25519MLKEM768") || strings.Count(r.Out, "✓") != 20 {
		t.Errorf("explain: %s", r)
	}
	if r := want(t, alice, 0, "--lang", "zh-CN", "explain"); !strings.Contains(r.Out, "吊销") {
		t.Errorf("not Chinese: %s", r)
	}

	// From files, as somebody would who has no server at hand.
	crt, root := filepath.Join(s.Data, "server.crt"), filepath.Join(s.Data, "ca", "root.crt")
	want(t, alice, 0, "explain", "--cert", crt, "--ca", root, "--name", "localhost")
	_, failed = steps(t, want(t, alice, 7, "explain", "--cert", crt, "--ca", root, "--name", "elsewhere.example", "--json"))
	if len(failed) != 1 || failed[0].Step != 8 || failed[0].Side != "server" {
		t.Errorf("wrong name: %+v", failed)
	}
	mine := filepath.Join(alice.Home, ".config", "hufu", "profiles", "default")
	want(t, alice, 0, "explain", "--cert", filepath.Join(mine, "client.crt"), "--ca", root)
	_, failed = steps(t, want(t, alice, 7, "explain", "--cert", filepath.Join(mine, "client.crt"), "--ca", root, "--name", "localhost", "--json"))
	if len(failed) != 2 || failed[0].Step != 8 || failed[1].Step != 9 {
		t.Errorf("a client's certificate as a server's: %+v", failed)
	}
	want(t, alice, 2, "explain", "--cert", crt)
	want(t, alice, 5, "explain", "127.0.0.1:1")

	// The server refuses us, and says why.
	if r, err := s.Admin("cert", "revoke", "--user", "alice", "--reason", "lost"); err != nil || r.Code != 0 {
		t.Fatalf("revoke: %v %s", err, r)
	}
	_, failed = steps(t, want(t, alice, 6, "explain", "--json"))
	if len(failed) != 1 || failed[0].Step != 10 || failed[0].Side != "client" || !strings.Contains(failed[0].Why, "lost") {
		t.Errorf("revoked: %+v", failed)
	}

	// Another server has taken its place: we refuse it.
	other, _ := start(t, false)
	_, failed = steps(t, want(t, alice, 7, "explain", other.Address, "--json"))
	if len(failed) == 0 || failed[0].Step != 3 || failed[0].Side != "server" {
		t.Errorf("another server: %+v", failed)
	}
	// And somebody who has not enrolled sees whom he would meet.
	nobody := alice
	nobody.Home = t.TempDir()
	_, failed = steps(t, want(t, nobody, 7, "explain", s.Address, "--json"))
	if len(failed) != 1 || failed[0].Step != 3 {
		t.Errorf("not enrolled: %+v", failed)
	}
	want(t, nobody, 2, "explain")
}
