//go:build e2e && linux

package databases

import (
	"context"
	"sync/atomic"
	"testing"

	"hufu/internal/meta"
)

// TestOpenWhileAnotherMigrates: a process that holds the lock of migrations, frozen perhaps, keeps
// nobody from opening a database that is up to date.
func TestOpenWhileAnotherMigrates(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		name := e.create(t)
		src, err := meta.Parse(e.at(e.address, name), "")
		must(t, err)
		db, err := meta.Open(t.Context(), src)
		must(t, err, db.Close())
		conn, err := e.in(t, name).Conn(t.Context())
		must(t, err)
		defer func() { _ = conn.Close() }()
		lock := "SELECT GET_LOCK(CONCAT('hufu ', MD5(DATABASE())), 5)"
		if e.name == "postgres" {
			lock = "SELECT pg_advisory_lock(4097083626)"
		}
		_, err = conn.ExecContext(t.Context(), lock)
		must(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		db, err = meta.Open(ctx, src)
		if err != nil {
			t.Fatal(err)
		}
		must(t, db.Close())
	})
}

// TestMigrationsHaveNoLimit: a migration may take any time; the statements of a server may not.
func TestMigrationsHaveNoLimit(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		name, l := e.create(t), e.link(t)
		at := e.at(l.address, name) + "?sslmode=disable"
		var unlimited atomic.Bool
		if e.name == "postgres" {
			_, err := e.in(t, name).ExecContext(t.Context(), `CREATE FUNCTION limits() RETURNS event_trigger LANGUAGE plpgsql AS
				$$ BEGIN IF current_setting('statement_timeout') <> '0' THEN RAISE 'limited'; END IF; END $$;
				CREATE EVENT TRIGGER limits ON ddl_command_start EXECUTE FUNCTION limits()`)
			must(t, err)
			unlimited.Store(true)
		} else {
			l.before("max_statement_time = 0", func() { unlimited.Store(true) })
		}
		open(t, at)
		if !unlimited.Load() {
			t.Error("migrations have the limit of other statements")
		}
	})
}
