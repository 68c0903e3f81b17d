//go:build e2e && linux

package databases

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"hufu/internal/meta"
	"hufu/internal/meta/metatest"
	"hufu/test/built"
)

func rows(t *testing.T, url string) (r meta.Rows) {
	t.Helper()
	src, err := meta.Parse(url, "")
	must(t, err)
	db, err := meta.Open(t.Context(), src)
	must(t, err)
	must(t, db.View(t.Context(), func(q meta.Queries) (err error) { r, err = q.Rows(t.Context()); return err }), db.Close())
	return r
}

// TestRowsTravel: rows of every table, with what might be taken for SQL in every field, go from
// each kind of database to each other and come back as they were.
func TestRowsTravel(t *testing.T) {
	t.Parallel()
	p, err := postgres()
	must(t, err)
	m, err := mariadb()
	must(t, err)
	file := func(t *testing.T) string {
		t.Helper()
		return "sqlite:" + filepath.Join(t.TempDir(), "hufu.db")
	}
	want := metatest.Everything(1500)
	at := file(t)
	_, err = open(t, at).Fill(t.Context(), want, nil)
	must(t, err)
	for i, next := range []func(*testing.T) string{p.fresh, m.fresh, file, m.fresh, p.fresh, file} {
		from, to := rows(t, at), next(t)
		changed, err := open(t, to).Fill(t.Context(), from, nil)
		if must(t, err); !changed || !reflect.DeepEqual(from, want) {
			t.Errorf("step %d: changed %v, or other rows came back", i, changed)
		}
		at = to
	}
	if got := rows(t, at); !reflect.DeepEqual(got, want) {
		t.Error("other rows came back in the end")
	}
}

// TestFillSlowly: a copy may take longer than an update may.
func TestFillSlowly(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		l := e.link(t)
		d := open(t, e.at(l.address, e.create(t))+"?sslmode=disable")
		delay := 200 * time.Millisecond // all of it takes longer than an Update may
		if e.name == "mysql" {          // three requests for a statement
			delay = 100 * time.Millisecond
		}
		l.delay(delay)
		start := time.Now()
		want := metatest.Everything(0)
		changed, err := d.Fill(t.Context(), want, nil)
		if took := time.Since(start); err != nil || !changed || took < 30*time.Second {
			t.Errorf("changed %v after %v: %v", changed, took, err)
		}
		l.delay(0)
		if got, err := d.Rows(t.Context()); err != nil || !reflect.DeepEqual(got, want) {
			t.Error("other rows came back", err)
		}
	})
}

// TestFillHolds: while a copy is written, a server that uses the same database waits and is told
// so; it never sees a part of the copy.
func TestFillHolds(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		ctx, name, l := t.Context(), e.create(t), e.link(t)
		d, other := open(t, e.at(l.address, name)+"?sslmode=disable"), open(t, e.at(e.address, name))
		seen, told := make(chan meta.Rows, 1), make(chan error, 1)
		l.before("INSERT INTO attempts", func() {
			var r meta.Rows
			err := other.View(ctx, func(q meta.Queries) (err error) { r, err = q.Rows(ctx); return err })
			if err != nil {
				t.Error(err)
			}
			seen <- r
			short, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			told <- other.PutUser(short, meta.User{Name: "eve", Created: moment})
		})
		_, err := d.Fill(ctx, metatest.Everything(1), nil)
		must(t, err)
		if r := <-seen; !r.Empty() {
			t.Error("a part of it was seen")
		}
		unavailable(t, "a change meanwhile", <-told, "database_busy", "database_unreachable")
	})
}

// TestCopy: an installation moves from its file to a shared database and back, with its people:
// who is enrolled and logged in stays so, and a code that was sent before is good for the other.
func TestCopy(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		programs, err := bin()
		must(t, err)
		dir, at := t.TempDir(), e.fresh(t)
		s, err := built.NewServer(programs, filepath.Join(dir, "data"))
		must(t, err, s.Start())
		defer func() { must(t, s.Kill()) }()
		ok := func(r built.Result, err error) string {
			t.Helper()
			if must(t, err); r.Code != 0 || strings.Contains(r.Out+r.Err, e.password) {
				t.Fatal(r)
			}
			return r.Out
		}
		refused := func(code int, words string, args ...string) {
			t.Helper()
			r, err := s.Admin(append([]string{"db", "copy"}, args...)...)
			if must(t, err); r.Code != code || !strings.Contains(r.Err, words) || strings.Contains(r.Out+r.Err, e.password) {
				t.Errorf("%v: want %d, %q: %s", args, code, words, r)
			}
		}
		alice, err := s.Enroll(filepath.Join(dir, "alice"), "alice", s.Address)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(alice.Home, "a"), []byte("content"), 0o600))
		ok(alice.Run("put", "a", ":/"))
		code, err := s.Invite("bob", s.Address)
		must(t, err)
		ok(s.Admin("user", "add", "dave"))
		ok(s.Admin("user", "lock", "dave"))

		url := filepath.Join(dir, "url")
		must(t, os.WriteFile(url, []byte(at+"\n"), 0o644))
		refused(2, "other users of this computer can read in the list of processes", "--to", at)
		refused(2, "Make it private: chmod go= "+url, "--to-file", url)
		must(t, os.Chmod(url, 0o600))
		refused(2, "is already running on the data folder", "--to-file", url)
		_, err = s.Stop()
		must(t, err)

		old := "sqlite:" + filepath.Join(s.Data, "hufu.db")
		before := rows(t, old)
		out := ok(s.Admin("db", "copy", "--to-file", url))
		shown := e.name + "://hufu:xxxxx@" + e.address
		if !strings.Contains(out, "Users: 3, certificates: 2, invitations: 2, logins: 1.") || !strings.Contains(out, "url = '"+shown) || !strings.Contains(out, "hufud.toml") {
			t.Error(out)
		}
		if got := rows(t, at); !reflect.DeepEqual(got, before) || !reflect.DeepEqual(rows(t, old), before) {
			t.Error("other rows came out")
		}
		if out = ok(s.Admin("db", "copy", "--to-file", url)); !strings.Contains(out, "already holds the same") {
			t.Error(out)
		}

		config := filepath.Join(s.Data, "hufud.toml")
		use := func(database string) {
			t.Helper()
			must(t, os.WriteFile(config, []byte("[database]\nurl = '"+database+"'\n"), 0o600))
			must(t, s.Start())
		}
		use(at)
		ok(alice.Run("get", ":/a", "b"))
		bob := built.NewPerson(programs, filepath.Join(dir, "bob"))
		must(t, os.Mkdir(bob.Home, 0o700), os.WriteFile(filepath.Join(bob.Home, "password"), []byte(built.Password+"\n"), 0o600))
		ok(bob.Run("enroll", code, "--password-file", "password"))
		_, err = s.Stop()
		must(t, err)

		// Back, where the old rows still are.
		refused(2, "holds other users or certificates of this installation", "--to", "sqlite:hufu.db")
		ok(s.Admin("db", "copy", "--to", "sqlite:hufu.db", "--replace"))
		if !reflect.DeepEqual(rows(t, old), rows(t, at)) {
			t.Error("other rows came back")
		}
		refused(2, "already uses the database", "--to-file", url)
		use("sqlite:hufu.db")
		ok(alice.Run("ls", ":/"))
		ok(bob.Run("ls", ":/"))
		_, err = s.Stop()
		must(t, err)

		// The database of another installation is left alone.
		other, err := built.NewServer(programs, filepath.Join(dir, "other"))
		must(t, err)
		r, err := other.Admin("db", "copy", "--to-file", url, "--replace")
		if must(t, err); r.Code != 2 || !strings.Contains(r.Err, "of another installation") {
			t.Error(r)
		}
	})
}

// TestCopyUnsure: where the connection breaks at COMMIT, the command says how to find out, and
// does it.
func TestCopyUnsure(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		programs, err := bin()
		must(t, err)
		for _, lose := range []bool{false, true} {
			dir, name, l := t.TempDir(), e.create(t), e.link(t)
			s, err := built.NewServer(programs, filepath.Join(dir, "data"))
			must(t, err)
			url := filepath.Join(dir, "url")
			must(t, os.WriteFile(url, []byte(e.at(l.address, name)+"?sslmode=disable"), 0o600))
			_ = rows(t, e.at(e.address, name)) // makes its tables
			l.before("INSERT INTO certificates", func() { l.breakAt("COMMIT", lose) })
			r, err := s.Admin("db", "copy", "--to-file", url)
			if must(t, err); r.Code != 5 || !strings.Contains(r.Err, "may have been saved or not") || strings.Contains(r.Err, e.password) {
				t.Errorf("lost %v: %s", lose, r)
			}
			l.breakAt("", false)
			want := "already holds the same"
			if lose {
				want = "was read back and compared"
			}
			if r, err = s.Admin("db", "copy", "--to-file", url); err != nil || r.Code != 0 || !strings.Contains(r.Out, want) {
				t.Errorf("lost %v: again: %s, %v", lose, r, err)
			}
			if !reflect.DeepEqual(rows(t, e.at(e.address, name)), rows(t, "sqlite:"+filepath.Join(s.Data, "hufu.db"))) {
				t.Error("other rows came out")
			}
		}
	})
}

// TestCopyBroken: a copy that fails names the database and leaves it as it was.
func TestCopyBroken(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		programs, err := bin()
		must(t, err)
		dir, name, l := t.TempDir(), e.create(t), e.link(t)
		s, err := built.NewServer(programs, filepath.Join(dir, "data"))
		must(t, err)
		url := filepath.Join(dir, "url")
		must(t, os.WriteFile(url, []byte(e.at(l.address, name)+"?sslmode=disable"), 0o600))
		l.before("INSERT INTO certificates", l.sever)
		r, err := s.Admin("db", "copy", "--to-file", url)
		want := e.name + "://hufu:xxxxx@" + l.address + "/" + name + "?sslmode=disable does not answer, or cannot be read or written."
		if must(t, err); r.Code != 5 || !strings.Contains(r.Err, want) || strings.Contains(r.Err, e.password) {
			t.Error(r)
		}
		if got := rows(t, e.at(e.address, name)); !got.Empty() {
			t.Errorf("there is %+v", got)
		}
		// In Chinese, too.
		must(t, os.WriteFile(url, []byte(strings.Replace(e.at(e.address, name), "/"+name, "/nowhere", 1)), 0o600))
		r, err = s.Admin("db", "copy", "--to-file", url, "--lang", "zh-CN")
		if must(t, err); !strings.Contains(r.Err, "/nowhere：数据库服务器上没有这个名称的数据库。") {
			t.Error(r)
		}
	})
}

// TestManyCertificates tells what a copy of many certificates takes.
func TestManyCertificates(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		n := 2500
		if os.Getenv("HUFU_LARGE") != "" {
			n = 50_000
		}
		many := metatest.Everything(n)
		der := make([]byte, 700) // about the size of a real one
		for i := range many.Certificates {
			many.Certificates[i].DER = der
		}
		d := open(t, e.fresh(t))
		start := time.Now()
		_, err := d.Fill(t.Context(), many, nil)
		must(t, err)
		filled := time.Since(start)
		start = time.Now()
		back, err := d.Rows(t.Context())
		must(t, err)
		if len(back.Certificates) != len(many.Certificates) {
			t.Error(len(back.Certificates))
		}
		t.Logf("%d certificates: filled in %v, read in %v", n, filled, time.Since(start))
	})
}
