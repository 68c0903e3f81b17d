//go:build e2e && linux

package databases

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"hufu/test/built"
)

// injections are texts that change the meaning of a statement into which they are pasted.
func injections() []string {
	return []string{
		"' OR '1'='1' -- ", `" OR 1=1 #`, `\' OR 1=1 -- `, "alice'; DROP TABLE users; -- ", "'; SELECT SLEEP(60); -- ", "%' AND 'a' LIKE 'a",
		"x') UNION SELECT 1,2,3 -- ",
	}
}

// TestTableOfUsersIsReplaced: what docs/cluster.md says of a service with a table of users and
// passwords. Its login gives way to an injected text; its users become users of hufu by the commands
// there; and no field of hufu gives way.
func TestTableOfUsersIsReplaced(t *testing.T) {
	t.Parallel()
	e, err := mariadb()
	must(t, err)
	old := e.create(t)
	app := e.in(t, old)
	for _, q := range []string{
		"CREATE TABLE user (id INT AUTO_INCREMENT PRIMARY KEY, username VARCHAR(64), password VARCHAR(64))",
		"INSERT INTO user (username, password) VALUES ('alice', 'secret1'), ('bob', 'secret2'), ('li lei', 'secret3')",
	} {
		_, err := app.ExecContext(t.Context(), q)
		must(t, err)
	}
	// The login of the original: the fields are pasted into the statement.
	var in int
	login := fmt.Sprintf("SELECT COUNT(*) FROM user WHERE username = '%s' AND password = '%s'", injections()[0], "")
	if must(t, app.QueryRowContext(t.Context(), login).Scan(&in)); in != 3 {
		t.Errorf("the injected text finds %d of 3 users: this test shows nothing", in)
	}

	programs, err := bin()
	must(t, err)
	s := newNodes(t, e, 1)
	server := s.all[0]
	// The commands of the document, with the programs and the data folder of this test.
	host, port, err := net.SplitHostPort(e.address)
	must(t, err)
	work := t.TempDir()
	must(t,
		os.WriteFile(filepath.Join(work, "app.cnf"), fmt.Appendf(nil, "[client]\nprotocol=tcp\nhost=%s\nport=%s\nuser=hufu\npassword=\"%s\"\n", host, port, e.password), 0o600),
		os.WriteFile(filepath.Join(work, "hufud"), fmt.Appendf(nil, "#!/bin/sh\nexec '%s/hufud' --data '%s' \"$@\"\n", programs, server.Data), 0o700))
	invite, drop := document(t, "FROM user"), document(t, "DROP TABLE user")
	run := func(command string) built.Result {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", strings.ReplaceAll(command, " app", " "+old))
		cmd.Dir, cmd.Env = work, built.Environ(work, "PATH="+work+":"+os.Getenv("PATH"))
		r, err := built.Run(cmd)
		must(t, err)
		return r
	}
	r := run(invite)
	if got := strings.Count(r.Out, "hufu1_"); got != 2 || !strings.Contains(r.Err, "li lei") {
		t.Errorf("%d invitations for alice and bob, and a word on the name that hufu does not take: %s", got, r)
	}
	codes, err := os.ReadFile(filepath.Join(work, "invitations"))
	must(t, err)
	if r := run(drop); r.Code != 0 {
		t.Error(r)
	}
	if err := app.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM user").Scan(&in); err == nil {
		t.Error("the table of passwords is still there")
	}
	alice := built.NewPerson(programs, filepath.Join(s.dir, "alice"))
	password := filepath.Join(alice.Home, "password")
	must(t, os.MkdirAll(alice.Home, 0o700), os.WriteFile(password, []byte(built.Password+"\n"), 0o600))
	s.ok(alice.Run("enroll", strings.Fields(string(codes))[1], "--password-file", password))
	mallory := s.enroll(server, "mallory", server.Address)

	before := s.ok(server.Admin("user", "list")) + s.ok(server.Admin("cert", "list"))
	for i, text := range injections() {
		guess := filepath.Join(mallory.Home, "guess")
		must(t, os.WriteFile(guess, []byte(text+"\n"), 0o600))
		refused := func(r built.Result, err error) {
			t.Helper()
			if must(t, err); r.Code == 0 || r.Code == 1 || strings.Contains(r.Err, "SQL") {
				t.Errorf("%q: %s", text, r)
			}
		}
		refused(server.Admin("user", "add", "--", text))
		refused(server.Admin("user", "lock", "--", text))
		refused(server.Admin("user", "lock", "alice", "--device", text))
		refused(server.Admin("user", "rm", "--", text))
		refused(server.Admin("invite", "--", text))
		refused(server.Admin("invite", "revoke", "--", text))
		refused(server.Admin("cert", "revoke", "--", text))
		refused(server.Admin("cert", "revoke", "--user", text))
		refused(mallory.Run("enroll", "--password-file", password, "--", text))
		s.ok(mallory.Run("logout"))
		refused(mallory.Run("login", "--password-file", guess))
		refused(mallory.Run("login", "--user", text, "--password-file", password))
		s.ok(server.Admin("user", "passwd", "mallory", "--password-file", password)) // the wrong one is forgotten
		s.ok(mallory.Run("login", "--password-file", password))

		// The names of files are rows, too.
		name := strings.TrimSpace(strings.NewReplacer(`\`, "", "/", "").Replace(text))
		local := filepath.Join(alice.Home, "names")
		must(t, os.MkdirAll(local, 0o700), os.WriteFile(filepath.Join(local, name), []byte(text), 0o600))
		to := fmt.Sprintf(":/d%d/", i)
		s.ok(alice.Run("put", "names/"+name, to))
		s.ok(alice.Run("mv", to+escaped(name), to+"sub"+escaped(name)))
		if out := s.ok(alice.Run("ls", "-1", to)); strings.TrimSpace(out) != "sub"+name {
			t.Errorf("%q became %q", name, out)
		}
		refused(mallory.Run("get", to+escaped(name), "."))
		if out := s.ok(alice.Run("cat", to+"sub"+escaped(name))); out != text {
			t.Errorf("%q has %q", name, out)
		}
		s.ok(alice.Run("rm", to+"sub"+escaped(name)))
	}
	if after := s.ok(server.Admin("user", "list")) + s.ok(server.Admin("cert", "list")); after != before {
		t.Errorf("users and certificates were\n%s\nand are\n%s", before, after)
	}

	// The reason of a revocation is any text.
	reason := strings.TrimSpace(injections()[3])
	s.ok(server.Admin("cert", "revoke", "--user", "mallory", "--reason", reason))
	if r, err := mallory.Run("ls", ":/"); err != nil || r.Code != 6 || !strings.Contains(r.Err, reason) {
		t.Errorf("mallory is told: %v %s", err, r)
	}
	if out := s.ok(alice.Run("ls", "-1", ":/")); len(strings.Fields(out)) != len(injections()) {
		t.Errorf("alice has %q", out)
	}
}

// escaped writes a name as a path on the server in which nothing is a wildcard.
func escaped(name string) string {
	return strings.NewReplacer("*", `\*`, "?", `\?`, "[", `\[`).Replace(name)
}

// document returns the block of commands of docs/cluster.md that has word, which must be the same in
// the other language.
func document(t *testing.T, word string) (commands string) {
	t.Helper()
	for i, name := range []string{"cluster.md", "cluster.zh-CN.md"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "docs", name))
		must(t, err)
		var got string
		for block := range strings.SplitSeq(string(text), "\n```") {
			if commands, ok := strings.CutPrefix(block, "sh\n"); ok && strings.Contains(commands, word) {
				got = commands
			}
		}
		if i == 0 {
			commands = got
		}
		if got == "" || got != commands {
			t.Fatalf("%s has %q, not %q", name, got, commands)
		}
	}
	return commands
}
