package server_test

import (
	"io"
	"sync/atomic"
	"testing"
	"time"

	"hufu/internal/account"
	"hufu/internal/frame"
	"hufu/internal/testenv"
)

// TestAnIdleConnectionDoesNotKeepALoginAlive: a login ends LoginLife after the last request, though
// its connection is open and judged all the time. One that is used does not.
func TestAnIdleConnectionDoesNotKeepALoginAlive(t *testing.T) {
	t.Parallel()
	var later atomic.Int64
	env := testenv.New(t, testenv.Options{Now: func() time.Time { return time.Now().Add(time.Duration(later.Load())) }})
	idle, active := asPerson(t, env, env.Person("alice")), asPerson(t, env, env.Person("bob"))
	request := &frame.Stat{Path: frame.Path("@shared")}
	pass := func(d time.Duration, name string) {
		later.Add(int64(d))
		if err := env.Account.AddUser(t.Context(), name, false); err != nil { // after each change all connections are judged
			t.Fatal(err)
		}
	}
	pass(account.LoginLife-time.Hour, "carol")
	if a, ok := active.ask(request, nil).(*frame.StatAnswer); !ok {
		t.Errorf("a connection in use is answered %+v", a)
	}
	pass(2*time.Hour, "dave")
	if said, err := io.ReadAll(idle.in); err != nil || len(said) == 0 {
		t.Errorf("an idle connection stays open: %v", err)
	}
	if a, ok := active.ask(request, nil).(*frame.StatAnswer); !ok {
		t.Errorf("a connection that was in use is answered %+v", a)
	}
}
