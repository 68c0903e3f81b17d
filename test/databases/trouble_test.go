//go:build e2e && linux

package databases

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hufu"
	"hufu/internal/account"
	"hufu/internal/meta"
	"hufu/test/built"
	dbengine "hufu/test/engine"
)

// hall is a server on a database, with alice, who is enrolled.
type hall struct {
	*built.Server
	t     *testing.T
	dir   string
	bin   string
	alice built.Person
}

func newHall(t *testing.T, url string) *hall {
	t.Helper()
	programs, err := bin()
	must(t, err)
	h := &hall{t: t, dir: t.TempDir(), bin: programs}
	h.Server, err = built.NewServerWith([]string{"--database", url}, programs, filepath.Join(h.dir, "data"))
	must(t, err, h.Start())
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(h.Log())
		}
		must(t, h.Kill())
	})
	h.alice, err = h.Enroll(filepath.Join(h.dir, "alice"), "alice", h.Address)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(h.alice.Home, "a"), []byte("content"), 0o600))
	return h
}

// ended is a command that has ended.
type ended struct {
	built.Result
	t *testing.T
}

func (h *hall) run(r built.Result, err error) ended {
	h.t.Helper()
	must(h.t, err)
	return ended{r, h.t}
}

// is checks its exit status, and that words are in what it said.
func (e ended) is(code int, words string) {
	e.t.Helper()
	if e.Code != code || !strings.Contains(e.Out+e.Err, words) {
		e.t.Errorf("want %d, %q: %s", code, words, e.Result)
	}
}

// guest is somebody with an invitation code who has not enrolled yet.
func (h *hall) guest(name string) (p built.Person, enroll []string) {
	h.t.Helper()
	code, err := h.Invite(name, h.Address)
	p = built.NewPerson(h.bin, filepath.Join(h.dir, name))
	must(h.t, err, os.Mkdir(p.Home, 0o700), os.WriteFile(filepath.Join(p.Home, "password"), []byte(built.Password+"\n"), 0o600))
	return p, []string{"enroll", code, "--password-file", "password"}
}

func (h *hall) logged(words string) {
	h.t.Helper()
	must(h.t, built.Eventually("logged: "+words, func() bool { return strings.Contains(h.Log(), words) }))
}

// TestSlow: with 300 ms for each statement all goes on as before, only slowly.
func TestSlow(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		l := e.link(t)
		h := newHall(t, e.at(l.address, e.create(t)))
		l.delay(300 * time.Millisecond)
		bob, enroll := h.guest("bob")
		h.run(bob.Run(enroll...)).is(0, "")
		h.run(bob.Run("logout")).is(0, "")
		h.run(bob.Run("login", "--password-file", "password")).is(0, "")
		h.run(h.alice.Run("put", "a", ":/")).is(0, "")
		h.run(h.alice.Run("get", ":/a", "b")).is(0, "")
		h.run(h.Admin("user", "list")).is(0, "alice")
		h.run(h.Admin("user", "lock", "bob")).is(0, "")
		h.run(bob.Run("ls", ":/")).is(6, "locked")
		must(t, h.Kill(), h.Start())
		h.run(h.alice.Run("ls", ":/")).is(0, "a")
		// On a busy computer one question may be too late, but the next one is not.
		if log := h.Log(); strings.Count(log, "accounts cannot be read") > strings.Count(log, "accounts can be read again") {
			t.Error("the accounts are not read in time")
		}
	})
}

// TestFarDatabase: a new connection takes several round trips, altogether longer than the question
// for the version may take. It is made nevertheless.
func TestFarDatabase(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		l := e.link(t)
		d := open(t, e.at(l.address, e.create(t)))
		l.sever()
		l.mend()
		l.delay(700 * time.Millisecond)
		var err error
		for range 4 { // the first ones may find connections that are broken
			if _, err = d.Version(t.Context()); err == nil {
				return
			}
		}
		t.Error(err)
	})
}

// TestAwayServer: without its database a server lets its clients wait, and after ten seconds asks
// them to. They do, and go on by themselves when the database is back.
func TestAwayServer(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		l, name := e.link(t), e.create(t)
		h := newHall(t, e.at(l.address, name))
		far, err := built.NewSlow(h.Address, 512<<10)
		must(t, err)
		defer far.Close()
		carol, err := h.Enroll(filepath.Join(h.dir, "carol"), "carol", far.Address)
		must(t, err)
		content := make([]byte, 32<<20)
		_, _ = rand.Read(content)
		must(t, os.WriteFile(filepath.Join(carol.Home, "big"), content, 0o600))
		cmd := carol.Command(t.Context(), "put", "big", ":/")
		var said bytes.Buffer
		cmd.Stderr = &said
		must(t, cmd.Start())
		l.sever()
		h.logged("accounts cannot be read")
		h.logged("state_stale")
		r, err := h.Admin("status")
		must(t, err)
		if r.Code != 5 || !strings.Contains(r.Out, e.name+"://hufu:xxxxx@"+l.address+"/"+name) || !strings.Contains(r.Out, "running on "+h.Address) ||
			!strings.Contains(r.Err, "cannot read its database at the moment and asks its clients to try again") {
			t.Errorf("the status does not say where it is: %s", r)
		}
		h.run(h.alice.Run("ls", ":/")).is(5, "")
		l.mend()
		far.Rate(1 << 30)
		h.run(h.alice.Run("put", "a", ":/")).is(0, "")
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %s", err, said.String())
		}
		h.run(h.alice.Run("ls", ":/")).is(0, "a")
		if got, err := os.ReadFile(filepath.Join(h.Data, "files", "users", "carol", "big")); err != nil || !bytes.Equal(got, content) {
			t.Errorf("another file has come: %v", err)
		}
		h.logged("accounts can be read again")
		h.run(h.Admin("status")).is(0, "running on")
	})
}

// backup writes the database to a file with the tools of its engine, or reads it back from there,
// while it is in use.
func (e *engine) backup(t *testing.T, name, file string, restore bool) {
	t.Helper()
	host, port, _ := strings.Cut(e.address, ":")
	var args []string
	switch {
	case e.name == "postgres" && restore:
		args = []string{"psql", "-q", "-v", "ON_ERROR_STOP=1", "--single-transaction", "-f", file}
	case e.name == "postgres":
		args = []string{"pg_dump", "--clean", "--if-exists", "-f", file}
	case restore:
		args = []string{"mariadb", "--no-defaults", "-h", host, "-P", port, "-u", "hufu", "-e", "source " + file, name}
	default:
		args = []string{"mariadb-dump", "--no-defaults", "-h", host, "-P", port, "-u", "hufu", "--single-transaction", "-r", file, name}
	}
	cmd := e.Command(t.Context(), args[0], args[1:]...)
	cmd.Env = append(cmd.Env, "PGHOST="+host, "PGPORT="+port, "PGUSER=hufu", "PGPASSWORD="+e.password, "PGDATABASE="+name, "MYSQL_PWD="+e.password)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", args[0], err, out)
	}
}

// TestRestored: a database that is restored from yesterday's backup under a running server lets
// those in again whose certificates were revoked since. The server says so, with their names.
func TestRestored(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		name := e.create(t)
		h := newHall(t, e.at(e.address, name))
		eve, enroll := h.guest("eve")
		h.run(eve.Run(enroll...)).is(0, "")
		file := filepath.Join(e.dir, name+".sql") // where the tools may write
		e.backup(t, name, file, false)
		h.run(h.Admin("cert", "revoke", "--user", "eve")).is(0, "")
		bob, enroll := h.guest("bob")
		h.run(bob.Run(enroll...)).is(0, "")
		h.run(eve.Run("ls", ":/")).is(6, "revoked")
		h.run(h.Admin("cert", "list", "--user", "eve")).is(0, "revoked")

		e.backup(t, name, file, true)
		h.logged("the database has gone back to an earlier state: if a backup was restored, revoke the listed certificates again")
		h.logged("valid_again=1 certificates=")
		h.logged("(eve ")
		h.run(eve.Run("ls", ":/")).is(0, "")
		h.run(bob.Run("ls", ":/")).is(6, "") // enrolled since
		h.run(h.alice.Run("put", "a", ":/")).is(0, "")
		h.run(h.Admin("cert", "revoke", "--user", "eve")).is(0, "")
		h.run(eve.Run("ls", ":/")).is(6, "revoked")

		// A restore that is read in the middle: the version is back already, logins and
		// certificates follow.
		raw := e.in(t, name)
		exec := func(statements ...string) {
			t.Helper()
			for _, s := range statements {
				if _, err := raw.ExecContext(t.Context(), s); err != nil {
					t.Fatalf("%s: %v", s, err)
				}
			}
		}
		exec("CREATE TABLE follow AS SELECT * FROM logins", "CREATE TABLE back AS SELECT * FROM certificates WHERE user_name = 'eve'",
			"DELETE FROM logins", "DELETE FROM certificates WHERE user_name = 'eve'", "UPDATE epoch SET counter = counter - 1, random = '0123456789abcdef'")
		h.logged("earlier state: if a backup was restored, revoke the listed certificates again\" valid_again=0")
		h.run(h.alice.Run("ls", ":/")).is(6, "login has ended")
		exec("INSERT INTO logins SELECT * FROM follow")
		h.run(h.alice.Run("ls", ":/")).is(0, "a")
		exec("UPDATE back SET revoked_at = (SELECT MIN(revoked_at) FROM certificates WHERE user_name = 'alice')", "INSERT INTO certificates SELECT * FROM back")
		h.run(eve.Run("ls", ":/")).is(0, "")
		must(t, built.Eventually("eve's certificate is logged again", func() bool { return strings.Count(h.Log(), "valid_again=1 certificates=") == 2 }))
	})
}

// TestSameCounter: after a restore the counter of changes reaches a value that it had before. Its
// random value differs, so the change is noticed.
func TestSameCounter(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		ctx, name := t.Context(), e.create(t)
		d := open(t, e.at(e.address, name))
		must(t, d.PutUser(ctx, meta.User{Name: "alice", Created: moment}))
		file := filepath.Join(e.dir, name+".sql")
		e.backup(t, name, file, false)
		must(t, d.PutUser(ctx, meta.User{Name: "alice", Created: moment, Locked: moment}))
		before, err := d.Version(ctx)
		must(t, err)
		e.backup(t, name, file, true)
		back, err := d.Version(ctx)
		if err != nil || back == before || !back.Before(before) || before.Before(back) {
			t.Errorf("restored: %v after %v, %v", back, before, err)
		}
		must(t, d.PutUser(ctx, meta.User{Name: "alice", Created: moment, Removed: moment}))
		after, err := d.Version(ctx)
		if err != nil || after == before || !after.Before(before) {
			t.Errorf("changed: %v after %v, %v", after, before, err)
		}
	})
}

// TestReadOnlyServer: a database server that has become read-only. Who is known goes on, a change
// is refused with the reason, and all goes on once it can be written again.
func TestReadOnlyServer(t *testing.T) {
	eachOwn(t, func(t *testing.T, e *engine) {
		name, user := e.create(t), "limited"
		exec := func(statements ...string) {
			t.Helper()
			for _, s := range statements {
				if _, err := e.raw.ExecContext(t.Context(), s); err != nil {
					t.Fatalf("%s: %v", s, err)
				}
			}
		}
		on, off := []string{"SET GLOBAL read_only = 1"}, []string{"SET GLOBAL read_only = 0"}
		if e.name == "postgres" {
			on = []string{"ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()"}
			off = []string{"SET default_transaction_read_only = off", "ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()"}
			exec("CREATE ROLE "+user+" LOGIN PASSWORD 'r'", "ALTER DATABASE "+name+" OWNER TO "+user)
		} else { // an administrator may write in any case
			exec("CREATE USER "+user+"@'%' IDENTIFIED BY 'r'", "GRANT ALL ON "+name+".* TO "+user+"@'%'")
		}
		h := newHall(t, e.name+"://"+user+":r@"+e.address+"/"+name)
		bob, enroll := h.guest("bob")
		exec(on...)
		must(t, built.Eventually("read-only", func() bool {
			r, err := h.Admin("user", "add", "carol")
			return err == nil && r.Code == 5
		}))
		h.run(h.Admin("user", "add", "dora")).is(5, "cannot be read or written at the moment")
		h.run(h.alice.Run("put", "a", ":/")).is(0, "")
		h.run(h.alice.Run("get", ":/a", "b")).is(0, "")
		h.run(bob.Run(enroll...)).is(5, "ask the administrator to check the server's database")
		h.run(h.Admin("user", "list")).is(0, "alice")
		must(t, h.Kill(), h.Start()) // it can be read
		h.run(h.alice.Run("ls", ":/")).is(0, "a")
		exec(off...)
		must(t, built.Eventually("to be written again", func() bool {
			r, err := h.Admin("user", "add", "erin")
			return err == nil && r.Code == 0
		}))
		h.run(bob.Run(enroll...)).is(0, "")
	})
}

// eachOwn runs a test on both engines, each with a server of its own.
func eachOwn(t *testing.T, test func(t *testing.T, e *engine)) {
	t.Parallel()
	for scheme, run := range map[string]func() (*dbengine.Server, error){"postgres": dbengine.PostgreSQL, "mysql": dbengine.MariaDB} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			e, err := start(run)
			must(t, err)
			t.Cleanup(e.Stop)
			test(t, e)
		})
	}
}

// TestFull: the disk of the database is full. Who is known goes on, what needs room says what is
// missing, and all goes on once there is room, without a restart.
func TestFull(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("mounting a small disk needs root; run this test as root")
	}
	eachOwn(t, func(t *testing.T, e *engine) {
		name := fmt.Sprintf("hufu_%d", count.Add(1))
		disk := filepath.Join(e.dir, name)
		if e.name == "mysql" {
			disk = filepath.Join(e.dir, "data", name) // a folder of the server is a database
		}
		must(t, os.Mkdir(disk, 0o700))
		nobody := dbengine.Unprivileged()
		mount := func(options string) {
			t.Helper()
			if out, err := exec.Command("mount", "-t", "tmpfs", "-o", options, "tmpfs", disk).CombinedOutput(); err != nil {
				t.Fatalf("a small disk cannot be mounted, so a full one was not tried: %v %s", err, out)
			}
		}
		size := "12m"
		if e.name == "mysql" {
			size = "6m"
		}
		mount(fmt.Sprintf("size=%s,mode=700,uid=%d,gid=%d", size, nobody.Uid, nobody.Gid))
		t.Cleanup(func() {
			e.Halt()
			if out, err := exec.Command("umount", "-l", disk).CombinedOutput(); err != nil {
				t.Errorf("umount: %v %s", err, out)
			}
		})
		exec := func(statement string) {
			t.Helper()
			if _, err := e.raw.ExecContext(t.Context(), statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
		if e.name == "postgres" {
			// Vacuuming catalogs has the next connection write a file in the database, and end without room
			// for it.
			exec("ALTER SYSTEM SET autovacuum = off")
			exec("SELECT pg_reload_conf()")
			exec("CREATE TABLESPACE " + name + " LOCATION '" + disk + "'")
			exec("CREATE DATABASE " + name + " TABLESPACE " + name)
		}
		at := e.at(e.address, name)
		h := newHall(t, at)
		bob, enroll := h.guest("bob")

		// The rest of the disk is filled, and what each table has already.
		// MariaDB aborts when there is no room to undo half a row: here keys grow, and a row is
		// less than a page.
		d, long := open(t, at), strings.Repeat("x", 700)
		key := func() string { return fmt.Sprintf("~%08d", count.Add(1)) }
		hash := func() (h [32]byte) {
			copy(h[:], "\xff"+key())
			return h
		}
		filler := func(size int) []byte { // not to be compressed
			b := make([]byte, size)
			_, _ = rand.Read(b)
			return b
		}
		must(t, d.PutUser(t.Context(), meta.User{Name: long, Created: moment}))
		for size := 3000; size > 10; {
			err := d.AddCertificate(t.Context(), meta.Certificate{Serial: key(), Use: meta.UseClient, DER: filler(size)})
			if err != nil && hufu.CodeOf(err) != "database_full" {
				t.Fatalf("with %d bytes: %v\n%s", size, err, e.Log())
			}
			if err != nil {
				size /= 2
			}
		}
		for what, fill := range map[string]func() error{
			"users": func() error {
				return d.PutUser(t.Context(), meta.User{Name: key(), Password: string(filler(1000)), Created: moment})
			},
			"invitations": func() error {
				return d.AddInvitation(t.Context(), meta.Invitation{SecretHash: hash(), User: long, Created: moment, Expires: time.Now().Add(time.Hour)})
			},
			"logins": func() error {
				return d.AddLogin(t.Context(), meta.Login{TokenHash: hash(), Lineage: long, User: long, Device: long, Created: moment, LastUsed: time.Now()})
			},
			"attempts": func() error { return d.PutAttempts(t.Context(), meta.Attempts{Key: key() + long + long}) },
		} {
			var err error
			for err == nil {
				err = fill()
			}
			if hufu.CodeOf(err) != "database_full" || hufu.KindOf(err) != hufu.KindQuota {
				t.Fatalf("%s: %v", what, err)
			}
		}
		// A server that starts meanwhile cannot write that it is there, and starts nevertheless.
		if e.name == "postgres" { // on MariaDB the table of nodes has room left
			n := meta.Node{ID: meta.RandomID(), Files: string(filler(16 << 10))}
			if err := d.Beat(t.Context(), n); hufu.CodeOf(err) != "database_full" {
				t.Fatal(err)
			}
			s, err := account.Open(t.Context(), d, account.Options{Judges: true})
			must(t, err)
			_, err = s.Join(t.Context(), n, nil)
			must(t, err)
			s.Leave(t.Context())
		}
		full := func() (r built.Result, err error) {
			for i := range 500 { // less room than for a row of the filling
				if r, err = h.Admin("user", "add", fmt.Sprintf("u%d", i)); err != nil || r.Code != 0 {
					break
				}
			}
			return r, err
		}
		h.run(full()).is(4, "There is no room left on the disk that holds the server's database.")
		h.run(h.alice.Run("put", "a", ":/")).is(0, "")
		h.run(h.alice.Run("get", ":/a", "b")).is(0, "")
		enrolled := h.run(bob.Run(enroll...))
		if enrolled.Code != 0 { // its rows may fit in what a table has left
			enrolled.is(4, "Ask the administrator to make room on that disk, then try again.")
		}

		mount("remount,size=100m")
		h.run(h.Admin("user", "add", "later")).is(0, "")
		if enrolled.Code != 0 {
			h.run(bob.Run(enroll...)).is(0, "")
		}
		h.run(bob.Run("ls", ":/")).is(0, "")
		h.run(h.alice.Run("ls", ":/")).is(0, "a")
	})
}
