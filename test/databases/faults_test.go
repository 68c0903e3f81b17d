//go:build e2e && linux

package databases

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hufu"
	"hufu/internal/meta"
	"hufu/internal/testenv/port"
)

var moment = time.UnixMilli(1_800_000_000_123).UTC()

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, url string) *meta.DB {
	t.Helper()
	src, err := meta.Parse(url, "")
	must(t, err)
	db, err := meta.Open(t.Context(), src)
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	return db
}

func unavailable(t *testing.T, what string, err error, codes ...string) {
	t.Helper()
	for _, code := range codes {
		if hufu.CodeOf(err) == code && hufu.KindOf(err) == hufu.KindUnavailable {
			return
		}
	}
	t.Errorf("%s: got %v (%s), want %v", what, err, hufu.CodeOf(err), codes)
}

// TestRefused: what keeps hufud from its database is named, and no error shows
// the password.
func TestRefused(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		name := e.create(t)
		ca := filepath.Join(e.dir, "ca.crt")
		const wrong = "wr0ng-p/@%ssword"
		user := func(u *url.URL) { u.User = url.UserPassword("hufu", wrong) }
		option := func(name, value string) func(*url.URL) {
			return func(u *url.URL) { u.RawQuery += "&" + url.Values{name: {value}}.Encode() }
		}
		both := func(f ...func(*url.URL)) func(*url.URL) {
			return func(u *url.URL) {
				for _, f := range f {
					f(u)
				}
			}
		}
		nobody := port.Keep(t)
		for _, c := range []struct {
			what   string
			change func(*url.URL)
			code   string
		}{
			{"as it should be", func(*url.URL) {}, ""},
			{"TLS that is proven", both(option("sslmode", "verify-full"), option("sslrootcert", ca)), ""},
			{"TLS", option("sslmode", "require"), ""},
			{"no TLS", option("sslmode", "disable"), ""},
			{"TLS of an unknown CA", option("sslmode", "verify-full"), "database_tls"},
			{"no such file", both(option("sslmode", "verify-full"), option("sslrootcert", ca+"x")), "database_url_option"},
			{"unknown sslmode", option("sslmode", "perhaps"), "database_url_option"},
			{"wrong password", user, "database_login"},
			{"unknown user", func(u *url.URL) { u.User = url.UserPassword("eve", wrong) }, "database_login"},
			{"no password", func(u *url.URL) { u.User = url.User("hufu") }, "database_login"},
			{"no such database", func(u *url.URL) { u.Path = "/elsewhere" }, "database_missing"},
			{"nobody listens", func(u *url.URL) { u.Host = nobody }, "database_unreachable"},
			{"no such host", func(u *url.URL) { u.Host = "nowhere.invalid" }, "database_unreachable"},
			{"password as an option", option("password", wrong), "database_url_option"},
		} {
			u, err := url.Parse(e.at(e.address, name))
			must(t, err)
			c.change(u)
			src, err := meta.Parse(u.String(), "")
			var db *meta.DB
			if err == nil {
				if db, err = meta.Open(t.Context(), src); err == nil {
					must(t, db.Close())
				}
			}
			if (err != nil || c.code != "") && hufu.CodeOf(err) != c.code {
				t.Errorf("%s: %v (%s), want %s", c.what, err, hufu.CodeOf(err), c.code)
			}
			shown := fmt.Sprintf("%s %v %+v %#v %v", src, err, err, err, errors.Unwrap(err))
			for _, secret := range []string{wrong, e.password, url.PathEscape(e.password), url.QueryEscape(e.password), url.UserPassword("", e.password).String()[1:], "wr0ng"} {
				if strings.Contains(shown, secret) {
					t.Errorf("%s: the password is shown: %s", c.what, shown)
				}
			}
		}
	})
}

// TestAway: a database that goes away is reported so, and when it is back all
// goes on.
func TestAway(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		ctx, l := t.Context(), e.link(t)
		d := open(t, e.at(l.address, e.create(t)))
		must(t, d.PutUser(ctx, meta.User{Name: "alice", Created: moment}))
		err := d.Update(ctx, func(q meta.Queries) error {
			must(t, q.PutUser(ctx, meta.User{Name: "bob", Created: moment}))
			l.sever()
			return q.PutUser(ctx, meta.User{Name: "carol", Created: moment})
		})
		unavailable(t, "in the middle", err, "database_unreachable")
		_, err = d.Users(ctx)
		unavailable(t, "later", err, "database_unreachable")
		_, err = d.Version(ctx)
		unavailable(t, "its version", err, "database_unreachable")
		l.mend()
		users, err := d.Users(ctx)
		if must(t, err); len(users) != 1 {
			t.Errorf("users %+v", users)
		}
		must(t, d.PutUser(ctx, meta.User{Name: "bob", Created: moment}))
	})
}

// TestUnsure: where the answer to COMMIT is lost, nothing is tried again and the
// caller is told that nobody knows.
func TestUnsure(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		for _, lose := range []bool{false, true} {
			ctx, l, name := t.Context(), e.link(t), e.create(t)
			d, sure := open(t, e.at(l.address, name)+"?sslmode=disable"), open(t, e.at(e.address, name))
			l.breakAt("COMMIT", lose)
			runs := 0
			err := d.Update(ctx, func(q meta.Queries) error {
				runs++
				return q.PutUser(ctx, meta.User{Name: "alice", Created: moment})
			})
			unavailable(t, "commit", err, "database_unsure")
			if runs != 1 {
				t.Errorf("it was run %d times", runs)
			}
			// The next one takes its turn after the first has ended, either way.
			must(t, sure.Update(ctx, func(q meta.Queries) error {
				_, err := q.User(ctx, "alice")
				if lose != (hufu.KindOf(err) == hufu.KindNotFound) {
					t.Errorf("lost %v: %v", lose, err)
				}
				return nil
			}))
		}
	})
}

// TestHungCommit: a COMMIT that the database never answers ends by itself, and with
// it what the next Update waits for.
func TestHungCommit(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		ctx, l, name := t.Context(), e.link(t), e.create(t)
		d, sure := open(t, e.at(l.address, name)+"?sslmode=disable"), open(t, e.at(e.address, name))
		mend := make(chan struct{})
		defer close(mend)
		l.hangAt("COMMIT", mend)
		start, over := time.Now(), make(chan error, 1)
		go func() {
			over <- d.Update(ctx, func(q meta.Queries) error { return q.PutUser(ctx, meta.User{Name: "alice", Created: moment}) })
		}()
		select {
		case err := <-over:
			unavailable(t, "commit", err, "database_unsure")
			t.Logf("it was given up after %v", time.Since(start))
		case <-time.After(5 * 30 * time.Second):
			t.Fatal("it waits for ever")
		}
		must(t, sure.PutUser(ctx, meta.User{Name: "bob", Created: moment}))
	})
}

// TestRunAgain: what another transaction has crossed is run again, whole.
func TestRunAgain(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		ctx, name := t.Context(), e.create(t)
		d, raw := open(t, e.at(e.address, name)), e.in(t, name)
		for i := range 20 {
			must(t, d.PutAttempts(ctx, meta.Attempts{Key: fmt.Sprint("k", i)}))
		}
		exec := func(q interface {
			ExecContext(context.Context, string, ...any) (sql.Result, error)
		}, statement string,
		) {
			if _, err := q.ExecContext(ctx, statement); err != nil {
				t.Error(err)
			}
		}
		runs, done := 0, make(chan struct{})
		cross := func() {
			defer close(done)
			exec(raw, "UPDATE attempts SET failures = 10") // with a value read before, ours cannot be in order
		}
		if e.name == "mysql" { // reading locks: the other one must have something that we want
			tx, err := raw.BeginTx(ctx, nil)
			must(t, err)
			for i := 1; i < 20; i++ { // more than we change: we are the one to yield
				exec(tx, fmt.Sprintf("UPDATE attempts SET failures = 10 WHERE `key` = 'k%d'", i))
			}
			cross = func() {
				go func() {
					defer close(done)
					exec(tx, "UPDATE attempts SET failures = 10 WHERE `key` = 'k0'")
					if err := tx.Commit(); err != nil {
						t.Error(err)
					}
				}()
			}
		}
		must(t, d.Update(ctx, func(q meta.Queries) error {
			runs++
			a, err := q.Attempts(ctx, "k0")
			if err != nil {
				return err
			}
			if runs == 1 {
				cross()
			}
			if _, err := q.Attempts(ctx, "k1"); err != nil {
				return err
			}
			a.Failures++
			return q.PutAttempts(ctx, a)
		}))
		<-done
		a, err := d.Attempts(ctx, "k0")
		if err != nil || a.Failures != 11 || runs < 2 {
			t.Errorf("%+v, %v, after %d runs", a, err, runs)
		}
	})
}

// TestFrozen: one who stops in the middle of a transaction holds up the others
// for some seconds, and commits nothing after it wakes.
func TestFrozen(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		ctx, name := t.Context(), e.create(t)
		frozen, other := open(t, e.at(e.address, name)), open(t, e.at(e.address, name))
		busy := 0
		err := frozen.Update(ctx, func(q meta.Queries) error {
			if busy == 0 {
				must(t, q.PutUser(ctx, meta.User{Name: "frozen", Created: moment}))
				for {
					err := other.PutUser(ctx, meta.User{Name: "other", Created: moment})
					if err == nil {
						break
					}
					unavailable(t, "waiting", err, "database_busy")
					if busy++; busy > 3 { // each for 5 s, less than an update may take by itself
						t.Fatal("held up for ever")
					}
				}
			}
			return q.PutUser(ctx, meta.User{Name: "late", Created: moment})
		})
		unavailable(t, "awake", err, "database_unreachable", "database_busy")
		users, err := other.Users(ctx)
		if err != nil || len(users) != 1 || users[0].Name != "other" {
			t.Errorf("users %+v, %v", users, err)
		}
	})
}

// TestNewer: a database of a newer hufud is refused.
func TestNewer(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		name := e.create(t)
		src, err := meta.Parse(e.at(e.address, name), "")
		must(t, err)
		db, err := meta.Open(t.Context(), src)
		must(t, err, db.Close())
		_, err = e.in(t, name).ExecContext(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)")
		must(t, err)
		if _, err := meta.Open(t.Context(), src); hufu.CodeOf(err) != "database_newer" {
			t.Error(err)
		}
	})
}

// TestReadOnly: a database that takes no changes can be read, and a change is
// refused with "try again".
func TestReadOnly(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		ctx, name := t.Context(), e.create(t)
		d := open(t, e.at(e.address, name))
		names, err := d.Names()
		must(t, err)
		_, err = names.Installation(ctx, "one")
		must(t, err, names.Close(), d.PutUser(ctx, meta.User{Name: "alice", Created: moment}))
		role := "reader_" + name
		exec := func(db *sql.DB, statements ...string) {
			for _, s := range statements {
				if _, err := db.ExecContext(ctx, s); err != nil {
					t.Fatalf("%s: %v", s, err)
				}
			}
		}
		want := "database_denied"
		if e.name == "postgres" {
			exec(e.in(t, name), "CREATE ROLE "+role+" LOGIN PASSWORD 'r'", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO "+role)
		} else {
			exec(e.raw, "CREATE USER "+role+"@'%' IDENTIFIED BY 'r'", "GRANT SELECT ON "+name+".* TO "+role+"@'%'")
		}
		look := func(u string, want string) {
			t.Helper()
			d := open(t, u)
			users, err := d.Users(ctx)
			if err != nil || len(users) != 1 {
				t.Errorf("users %+v, %v", users, err)
			}
			names, err := d.Names()
			must(t, err)
			if id, err := names.Installation(ctx, "two"); err != nil || id != "one" {
				t.Errorf("the installation is %q, %v", id, err)
			}
			must(t, names.Close())
			unavailable(t, "change", d.PutAttempts(ctx, meta.Attempts{Key: "k"}), want)
			unavailable(t, "change in a transaction", d.PutUser(ctx, meta.User{Name: "bob"}), want)
		}
		look(e.name+"://"+role+":r@"+e.address+"/"+name, want)
		if e.name == "postgres" {
			exec(e.raw, "ALTER DATABASE "+name+" SET default_transaction_read_only = on")
			look(e.at(e.address, name), "database_unreachable")
		}
	})
}
