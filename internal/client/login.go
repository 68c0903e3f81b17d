package client

import (
	"context"
	"errors"
	"time"

	"hufu"
	"hufu/internal/frame"
	"hufu/internal/profile"
	"hufu/internal/session"
)

// LoggedIn connects and returns why there is no login, nil if there is one. A
// server that accepts the connection and breaks it off is being restarted:
// LoggedIn waits for it. For a server that is away or silent it does not wait.
func (r *Remote) LoggedIn(ctx context.Context) error {
	a, err := r.Connect(ctx)
	if r.o.Patience == nil && brokenOff(err) {
		err = r.persistFor(ctx, restartTime, func() error { a, err = r.Connect(ctx); return err })
	}
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.notLoggedIn(a)
}

func (r *Remote) notLoggedIn(a *frame.HelloAnswer) error {
	switch {
	case a.LoggedIn:
		return nil
	case r.o.Teach:
		return &hufu.Error{Op: "login", Kind: hufu.KindCredentials, Code: "teach_not_logged_in"}
	case a.Why != nil:
		return a.Why.Err("login")
	}
	return &hufu.Error{Op: "login", Kind: hufu.KindCredentials, Code: "not_logged_in"}
}

// Login proves the password and keeps the login in the profile.
func (r *Remote) Login(ctx context.Context, user, password string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, err := r.connected(ctx, time.Now())
	if err != nil {
		return err
	}
	m, err := c.Do(ctx, &frame.Login{User: user, Password: password})
	if err != nil {
		return err
	}
	a, ok := m.(*frame.LoginAnswer)
	if !ok {
		return &hufu.Error{Op: "login", Kind: hufu.KindProtocol}
	}
	r.token = a.Token
	r.hello.LoggedIn, r.hello.Why = true, nil
	switch {
	case r.o.Remember:
		return r.p.SetTeachLogin(profile.TeachLogin{User: user, Token: a.Token})
	case r.o.Teach:
		return nil
	}
	return r.p.SetToken(a.Token)
}

// Logout ends the login at the server and forgets it here, even if the server
// cannot be reached.
func (r *Remote) Logout(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var err error
	if r.token != nil {
		var c *session.Client
		if c, err = r.connected(ctx, time.Now()); err == nil && r.hello.LoggedIn {
			_, err = c.Do(ctx, &frame.Logout{})
		}
	}
	r.token = nil
	if r.hello != nil {
		r.hello.LoggedIn = false
	}
	switch {
	case r.o.Remember:
		return errors.Join(err, r.p.SetTeachLogin(profile.TeachLogin{}))
	case r.o.Teach:
		return err
	}
	return errors.Join(err, r.p.SetToken(nil))
}

// TeachOff returns the error of a server without a teaching world.
func TeachOff() error { return &hufu.Error{Op: "teach", Kind: hufu.KindUsage, Code: "teach_off"} }
