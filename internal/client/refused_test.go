package client_test

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"hufu"
	"hufu/internal/client"
	"hufu/internal/testenv"
)

// TestRefusedForAMoment: a server refuses a certificate with an alert that does not say why, for
// example because its database is away. If the reason has passed when it is asked for, the
// client is told to try again, not that it is shut out.
func TestRefusedForAMoment(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	alice := env.Person("alice")
	change := func(f func() error) {
		if err := errors.Join(f(), env.Account.Reload(t.Context())); err != nil {
			t.Error(err)
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer func() { _ = ln.Close() }()
	wg.Go(func() {
		for n := 1; ; n++ {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			if n == 2 { // it asks for the reason
				change(func() error { return env.Account.UnlockUser(t.Context(), "alice") })
			}
			s, err := net.Dial("tcp", env.Address)
			if err != nil {
				t.Error(err)
				_ = c.Close()
				continue
			}
			wg.Go(func() { _, _ = io.Copy(c, s); _ = c.Close() })
			wg.Go(func() { _, _ = io.Copy(s, c); _ = s.Close() })
		}
	})
	r := alice.Remote(client.Options{Address: ln.Addr().String()})
	change(func() error { return env.Account.LockUser(t.Context(), "alice") })
	if _, err := r.Connect(t.Context()); hufu.KindOf(err) != hufu.KindUnavailable || !client.Transient(err) {
		t.Errorf("refused for a moment: %v (%v)", err, hufu.KindOf(err))
	}
	if _, err := r.Connect(t.Context()); err != nil {
		t.Errorf("let in again: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	change(func() error { return env.Account.LockUser(t.Context(), "alice") })
	if _, err := alice.Remote(client.Options{}).Connect(t.Context()); hufu.CodeOf(err) != "user_locked" {
		t.Errorf("locked: %v", err)
	}
}
