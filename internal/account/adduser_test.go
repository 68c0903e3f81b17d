package account

import (
	"context"
	"testing"

	"hufu"
)

// A user who is to have a password is there with it or not at all.
func TestAddUserWithPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.must(w.AddUserWithPassword(ctx, "carol", true, password))
	carol := w.cert("carol", "tablet", "carol1")
	s, err := w.Admit("carol1", carol)
	w.must(err)
	if !s.Admin {
		t.Error("she is no administrator")
	}
	_, err = w.Login(ctx, s, password)
	w.must(err)
	w.code(w.AddUserWithPassword(ctx, "carol", false, password), "user_exists")
	w.code(w.AddUserWithPassword(ctx, "dave", false, ""), "password_missing")

	for range cap(w.hashing) {
		w.hashing <- struct{}{}
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if err := w.AddUserWithPassword(gone, "dave", false, password); hufu.KindOf(err) != hufu.KindCanceled {
		t.Errorf("canceled: %v", err)
	}
	users, err := w.Users(ctx)
	w.must(err)
	for _, u := range users {
		if u.Name == "dave" {
			t.Errorf("there is %+v", u)
		}
	}
}
