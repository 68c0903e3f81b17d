package account

import (
	"context"

	"hufu/internal/meta"
)

// AddUserWithPassword is AddUser for a user who has a password from the start. User and password
// are written in one transaction: a user without a password gets one from the first device that is
// enrolled.
func (s *Service) AddUserWithPassword(ctx context.Context, name string, admin bool, password string) error {
	hash, err := s.HashPassword(ctx, password)
	if err != nil {
		return err
	}
	err = s.db.Update(ctx, func(q meta.Queries) error {
		if err := s.addUser(ctx, q, name, admin); err != nil {
			return err
		}
		u, err := q.User(ctx, name)
		if err != nil {
			return err
		}
		u.Password = hash
		if err := q.PutUser(ctx, u); err != nil {
			return err
		}
		return q.DropAttemptsBelow(ctx, attemptsOf(name)) // of guesses before there was this user
	})
	if err == nil {
		s.changed(ctx)
	}
	return err
}
