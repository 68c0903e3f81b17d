package account

import (
	"context"
	"slices"
	"time"

	"hufu"
	"hufu/internal/meta"
)

// User is a user as shown to an administrator. The zero time means "not".
type User struct {
	Name     string
	Admin    bool
	Password bool // whether one is set
	Created  time.Time
	Locked   time.Time
}

// commands cannot be the names of new users: "hufud invite list" lists.
var commands = [...]string{"list", "revoke"}

// reasonRemoved is the reason with which the certificates of a removed user are revoked. They stay
// revoked if the name is used again.
const reasonRemoved = "user removed"

// Users lists the users there are, by name.
func (s *Service) Users(ctx context.Context) ([]User, error) {
	rows, err := s.db.Users(ctx)
	if err != nil {
		return nil, err
	}
	var out []User
	for _, u := range rows {
		if u.Removed.IsZero() {
			out = append(out, User{u.Name, u.Admin, u.Password != "", u.Created, u.Locked})
		}
	}
	return out, nil
}

// AddUser adds a user without a password; the first enrollment sets it. A name that was removed may
// be given again: its folder's files belong to the new user then, its old certificates and logins
// do not.
func (s *Service) AddUser(ctx context.Context, name string, admin bool) error {
	err := s.db.Update(ctx, func(q meta.Queries) error { return s.addUser(ctx, q, name, admin, "") })
	if err == nil {
		s.changed(ctx)
	}
	return err
}

// AddUserWithPassword is AddUser for a user who has a password from the start. User and password
// are written in one transaction: a user without a password gets one from the first device that is
// enrolled.
func (s *Service) AddUserWithPassword(ctx context.Context, name string, admin bool, password string) error {
	hash, err := s.HashPassword(ctx, password)
	if err != nil {
		return err
	}
	err = s.db.Update(ctx, func(q meta.Queries) error {
		if err := s.addUser(ctx, q, name, admin, hash); err != nil {
			return err
		}
		return q.DropAttemptsBelow(ctx, attemptsOf(name)) // of guesses before there was this user
	})
	if err == nil {
		s.changed(ctx)
	}
	return err
}

// addUser adds a user with the hash of a password, "" for none.
func (s *Service) addUser(ctx context.Context, q meta.Queries, name string, admin bool, hash string) error {
	if err := hufu.CheckUserName(name); err != nil {
		return err
	}
	switch u, err := q.User(ctx, name); {
	case err == nil && u.Removed.IsZero():
		return &hufu.Error{Op: "add user", Kind: hufu.KindExists, Code: "user_exists", Args: map[string]string{"name": name}}
	case err != nil && hufu.KindOf(err) != hufu.KindNotFound:
		return err
	case slices.Contains(commands[:], name):
		return &hufu.Error{Op: "add user", Kind: hufu.KindInvalid, Code: "user_name_command", Args: map[string]string{"name": name}}
	}
	return q.PutUser(ctx, meta.User{Name: name, Admin: admin, Password: hash, Created: s.now()})
}

// change reads an existing user, lets f change the row, and writes it back.
func (s *Service) change(ctx context.Context, op, name string, f func(meta.Queries, *meta.User) error) error {
	err := s.db.Update(ctx, func(q meta.Queries) error {
		u, err := present(ctx, q, op, name)
		if err != nil {
			return err
		}
		if err := f(q, &u); err != nil {
			return err
		}
		return q.PutUser(ctx, u)
	})
	if err == nil {
		s.changed(ctx)
	}
	return err
}

// present returns the user of this name, unless they do not exist or were
// removed.
func present(ctx context.Context, q meta.Queries, op, name string) (meta.User, error) {
	u, err := q.User(ctx, name)
	if err != nil && hufu.KindOf(err) != hufu.KindNotFound {
		return u, err
	}
	if err != nil || !u.Removed.IsZero() {
		return u, &hufu.Error{Op: op, Kind: hufu.KindNotFound, Code: "user_unknown", Args: map[string]string{"name": clip(name)}}
	}
	return u, nil
}

// SetPassword sets a user's password and ends the user's logins and delays.
func (s *Service) SetPassword(ctx context.Context, name, password string) error {
	hash, err := s.HashPassword(ctx, password)
	if err != nil {
		return err
	}
	return s.change(ctx, "set password", name, func(q meta.Queries, u *meta.User) error {
		u.Password = hash
		if err := q.DropAttemptsBelow(ctx, attemptsOf(name)); err != nil {
			return err
		}
		return q.DropLogins(ctx, name)
	})
}

// LockUser refuses a user on all devices until UnlockUser, and drops the user's unused invitations.
func (s *Service) LockUser(ctx context.Context, name string) error {
	return s.change(ctx, "lock user", name, func(q meta.Queries, u *meta.User) error {
		if u.Locked.IsZero() {
			u.Locked = s.now()
		}
		return q.DropUnusedInvitations(ctx, name)
	})
}

// UnlockUser unlocks a user, and ends the delay after too many wrong passwords.
func (s *Service) UnlockUser(ctx context.Context, name string) error {
	return s.change(ctx, "unlock user", name, func(q meta.Queries, u *meta.User) error {
		u.Locked = time.Time{}
		return q.DropAttemptsBelow(ctx, attemptsOf(name))
	})
}

// LockDevice refuses one device of a user until UnlockDevice, and drops the user's unused
// invitations: somebody may have made them on that device.
func (s *Service) LockDevice(ctx context.Context, user, name string) error {
	return s.setDevice(ctx, "lock device", meta.Device{User: user, Name: name, Locked: s.now()})
}

// UnlockDevice lets a device in again, and ends its delay after too many wrong passwords.
func (s *Service) UnlockDevice(ctx context.Context, user, name string) error {
	return s.setDevice(ctx, "unlock device", meta.Device{User: user, Name: name})
}

func (s *Service) setDevice(ctx context.Context, op string, d meta.Device) error {
	err := s.db.Update(ctx, func(q meta.Queries) error {
		if _, err := present(ctx, q, op, d.User); err != nil {
			return err
		}
		certs, err := q.DeviceCertificates(ctx, d.User, d.Name)
		if err != nil {
			return err
		}
		if len(certs) == 0 {
			return &hufu.Error{Op: op, Kind: hufu.KindNotFound, Code: "device_unknown", Args: map[string]string{"user": d.User, "device": clip(d.Name)}}
		}
		if d.Locked.IsZero() {
			err = q.DropAttempts(ctx, attemptsOf(d.User)+d.Name)
		} else {
			err = q.DropUnusedInvitations(ctx, d.User)
		}
		if err != nil {
			return err
		}
		return q.PutDevice(ctx, d)
	})
	if err == nil {
		s.changed(ctx)
	}
	return err
}

// RemoveUser takes a user's certificates, logins and invitations away. The files stay where they
// are.
func (s *Service) RemoveUser(ctx context.Context, name string) error {
	return s.change(ctx, "remove user", name, func(q meta.Queries, u *meta.User) error {
		*u = meta.User{Name: name, Created: u.Created, Removed: s.now()}
		if _, err := q.RevokeUser(ctx, name, reasonRemoved, s.now()); err != nil {
			return err
		}
		for _, drop := range []func(context.Context, string) error{q.DropLogins, q.DropInvitations, q.DropDevices} {
			if err := drop(ctx, name); err != nil {
				return err
			}
		}
		return q.DropAttemptsBelow(ctx, attemptsOf(name))
	})
}

// CheckPresent returns user_unknown if there is no user of this name. q may be a transaction.
func CheckPresent(ctx context.Context, q meta.Queries, name string) error {
	_, err := present(ctx, q, "look up user", name)
	return err
}
