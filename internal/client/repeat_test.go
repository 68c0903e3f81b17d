package client_test

import (
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"hufu"
	"hufu/internal/client"
	"hufu/internal/testenv"
)

// unheard is a connection that is lost after a write, once what it has asked for
// is done.
type unheard struct {
	net.Conn
	armed *atomic.Bool
	done  func() bool
}

func (u unheard) Write(p []byte) (int, error) {
	n, err := u.Conn.Write(p)
	if u.armed.Load() && u.done() {
		u.armed.Store(false)
		_ = u.Close()
	}
	return n, err
}

// TestRenameAgainMovesNothingNewer: a rename whose answer was lost is repeated,
// and leaves alone what has got the name since.
func TestRenameAgainMovesNothingNewer(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	alice := env.Person("alice")
	here := filepath.Join(env.Data, "files", "users", "alice")
	var armed atomic.Bool
	r := alice.Remote(client.Options{Tap: func(c net.Conn) net.Conn {
		return unheard{c, &armed, func() bool {
			// The stat that comes before does not move the file: it is not waited for long.
			for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
				if _, err := os.Stat(filepath.Join(here, "g")); err == nil {
					if err := os.WriteFile(filepath.Join(here, "f"), []byte("newer"), 0o600); err != nil {
						t.Error(err)
					}
					return true
				}
			}
			return false
		}}
	}})
	if err := r.LoggedIn(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Mkdir(t.Context(), parse(t, ":/"), 0o755, true); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(here, "f"), []byte("moved"), 0o600); err != nil {
		t.Fatal(err)
	}
	armed.Store(true)
	err := r.Rename(t.Context(), parse(t, "f"), parse(t, "g"), hufu.Condition{Kind: hufu.Always})
	if err != nil || armed.Load() {
		t.Errorf("%v; the answer was lost: %v", err, !armed.Load())
	}
	for name, want := range map[string]string{"f": "newer", "g": "moved"} {
		if got, err := os.ReadFile(filepath.Join(here, name)); string(got) != want {
			t.Errorf("%s holds %q, %v", name, got, err)
		}
	}
}

// TestRemoveAgainRemovesNothingNewer: the answer to a removal is lost, and
// somebody has put another file under the name meanwhile.
func TestRemoveAgainRemovesNothingNewer(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	alice := env.Person("alice")
	file := filepath.Join(env.Data, "files", "users", "alice", "f")
	var armed atomic.Bool
	r := alice.Remote(client.Options{Tap: func(c net.Conn) net.Conn {
		return unheard{c, &armed, func() bool {
			// The stat that comes before does not remove the file: it is not waited for long.
			for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
				if _, err := os.Stat(file); err != nil {
					if err := os.WriteFile(file, []byte("newer"), 0o600); err != nil {
						t.Error(err)
					}
					return true
				}
			}
			return false
		}}
	}})
	if err := r.LoggedIn(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Mkdir(t.Context(), parse(t, ":/"), 0o755, true); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	armed.Store(true)
	if err := r.Remove(t.Context(), parse(t, "f"), false); err != nil || armed.Load() {
		t.Errorf("%v; the answer was lost: %v", err, !armed.Load())
	}
	if got, err := os.ReadFile(file); string(got) != "newer" {
		t.Errorf("the newer file: %q, %v", got, err)
	}
}
