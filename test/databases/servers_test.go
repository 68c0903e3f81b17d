//go:build e2e && linux

// Package databases runs the meaning of package meta, and its faults, on real
// servers of PostgreSQL and MariaDB. The tests start them, as a user without
// rights, on a port and in a folder of their own.
package databases

import (
	"bytes"
	"database/sql"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hufu/internal/meta/metatest"
	"hufu/test/built"
	dbengine "hufu/test/engine"
)

const patience = 2 * time.Minute

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "4"); err != nil { // most of them wait, some for half a minute
		panic(err)
	}
	code := metatest.Main(m)
	for _, s := range started {
		s.Stop()
	}
	if stopService != nil {
		stopService()
	}
	if remove != nil {
		remove()
	}
	os.Exit(code)
}

// bin is the folder of the programs, built once.
var (
	remove func()
	bin    = sync.OnceValues(func() (dir string, err error) {
		dir, remove, err = built.Build()
		return dir, err
	})
)

// engine is one server of databases.
type engine struct {
	*dbengine.Server
	name     string // the scheme of its URLs
	dir      string
	password string
	address  string
	raw      *sql.DB // of the administrator
}

var (
	starting sync.Mutex // guards started
	started  []*engine
	count    atomic.Int64

	postgres = sync.OnceValues(func() (*engine, error) { return start(dbengine.PostgreSQL) })
	mariadb  = sync.OnceValues(func() (*engine, error) { return start(dbengine.MariaDB) })
)

func start(run func() (*dbengine.Server, error)) (*engine, error) {
	s, err := run()
	if err != nil {
		return nil, err
	}
	e := &engine{s, s.Scheme, s.Dir, s.Password, s.Address, s.Raw}
	starting.Lock()
	defer starting.Unlock()
	started = append(started, e)
	return e, nil
}

// each runs a test on both engines.
func each(t *testing.T, test func(t *testing.T, e *engine)) {
	t.Parallel()
	for name, get := range map[string]func() (*engine, error){"postgres": postgres, "mariadb": mariadb} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, err := get()
			if err != nil {
				t.Fatal(err)
			}
			test(t, e)
		})
	}
}

// fresh makes a database and returns its URL.
func (e *engine) fresh(t *testing.T) string {
	t.Helper()
	return e.at(e.address, e.create(t))
}

func (e *engine) create(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("hufu_%d", count.Add(1))
	if err := e.Create(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	return name
}

func (e *engine) at(address, name string) string { return e.URL(address, name) }

// in opens one database as it is, without meta.
func (e *engine) in(t *testing.T, name string) *sql.DB {
	t.Helper()
	db, err := e.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// link is a way to an engine that can be cut.
type link struct {
	address string

	mu    sync.Mutex // guards what follows
	cut   bool
	conns []net.Conn
	at    string // cut here
	lose  bool
	when  string // call before at the first request with this word
	call  func()
	over  <-chan struct{} // the connection hangs until it is closed
	slow  time.Duration   // of each request
}

func (e *engine) link(t *testing.T) *link {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{address: ln.Addr().String()}
	var wg sync.WaitGroup
	t.Cleanup(func() {
		_ = ln.Close()
		l.sever()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s, err := net.Dial("tcp", e.address)
			l.mu.Lock()
			if err != nil || l.cut {
				_ = c.Close()
				l.mu.Unlock()
				continue
			}
			l.conns = append(l.conns, c, s)
			l.mu.Unlock()
			wg.Go(func() { _, _ = io.Copy(c, s); l.await(); _ = c.Close() })
			wg.Go(func() { l.pass(s, c); _ = s.Close() })
		}
	})
	return l
}

// pass hands on what the client says. Where it was asked to, it cuts the client
// off, before that has reached the server or after.
func (l *link) pass(to, from net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		l.mu.Lock()
		cut := l.at != "" && bytes.Contains(bytes.ToUpper(buf[:n]), []byte(l.at))
		lose := cut && l.lose
		var call func()
		if l.when != "" && bytes.Contains(bytes.ToUpper(buf[:n]), []byte(strings.ToUpper(l.when))) {
			call, l.when = l.call, ""
		}
		slow := l.slow
		l.mu.Unlock()
		if call != nil {
			call()
		}
		time.Sleep(slow)
		if cut {
			_ = from.Close()
		}
		if lose {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// breakAt cuts each connection at the first request with this word; the request
// is lost, or does reach the server.
func (l *link) breakAt(word string, lose bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at, l.lose = word, lose
}

// hangAt makes nothing arrive any more, in either direction, from a word of the client on,
// until over is closed. Neither end hears that the connection is gone.
func (l *link) hangAt(word string, over <-chan struct{}) {
	l.before(word, func() {
		l.mu.Lock()
		l.over = over
		l.mu.Unlock()
		<-over
	})
}

// delay makes each request take this much longer.
func (l *link) delay(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slow = d
}

func (l *link) await() {
	l.mu.Lock()
	over := l.over
	l.mu.Unlock()
	if over != nil {
		<-over
	}
}

// before calls f once, before a request with this word reaches the server.
func (l *link) before(word string, f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.when, l.call = word, f
}

func (l *link) sever() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = true
	for _, c := range l.conns {
		_ = c.Close()
	}
	l.conns = nil
}

func (l *link) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = false
}
