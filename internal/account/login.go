package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"time"

	"hufu"
	"hufu/internal/meta"
)

const (
	// LoginLife is the time after its last use at which a login expires.
	LoginLife = 30 * 24 * time.Hour
	// touchEvery is how often the last use of a login is written.
	touchEvery = time.Hour
	// maxLogins is how many logins a device has at most. One more ends the one that was not used
	// for the longest time.
	maxLogins = 64
	tokenSize = 32 // bytes
	// flushLimit is the time that writing the last uses of logins may take, and the pause after it
	// has failed.
	flushLimit = 10 * time.Second
)

// Login checks the password of an admitted subject and returns a login token
// for this device: it is valid with this certificate and its renewals, nowhere
// else.
func (s *Service) Login(ctx context.Context, sub Subject, password string) (string, error) {
	const op = "log in"
	_, c, err := s.again(op, sub)
	if err != nil {
		return "", err
	}
	proven, err := s.prove(ctx, sub.User, sub.Device, password)
	if err != nil {
		return "", err
	}
	random := make([]byte, tokenSize)
	_, _ = rand.Read(random) // never fails
	token := base64.RawURLEncoding.EncodeToString(random)
	now := s.now()
	err = s.db.Update(ctx, func(q meta.Queries) error {
		// Since the password was checked, the user may have been locked, or their password changed.
		u, err := q.User(ctx, sub.User)
		if err != nil {
			return err
		}
		if err := checkUser(op, u); err != nil {
			return err
		}
		if u.Password != proven {
			return &hufu.Error{Op: op, Kind: hufu.KindCredentials, Code: "wrong_password"}
		}
		for hash, l := range s.state.Load().logins { // the rows are up to touchEvery behind
			if used := l.used.Load(); l.user == sub.User && l.device == sub.Device && used > l.written.Load() {
				if err := q.TouchLogin(ctx, hash, time.UnixMilli(used)); err != nil {
					return err
				}
			}
		}
		if err := q.KeepLogins(ctx, sub.User, sub.Device, maxLogins-1); err != nil {
			return err
		}
		return q.AddLogin(ctx, meta.Login{
			TokenHash: sha256.Sum256([]byte(token)), Lineage: c.lineage, User: sub.User, Device: sub.Device,
			Created: now, LastUsed: now,
		})
	})
	if err != nil {
		return "", err
	}
	s.changed(ctx)
	return token, nil
}

// LoggedIn returns an error unless token is of an earlier Login of this subject. It decides from
// memory and is no use of the login: for connections on which nothing happens.
func (s *Service) LoggedIn(sub Subject, token string) error {
	_, err := s.loggedIn(sub, sha256.Sum256([]byte(token)), s.now())
	return err
}

func (s *Service) loggedIn(sub Subject, hash [32]byte, now time.Time) (*login, error) {
	const op = "resume login"
	st, c, err := s.again(op, sub)
	if err != nil {
		return nil, err
	}
	l := st.logins[hash]
	if l == nil || l.user != sub.User || l.device != sub.Device || l.lineage != c.lineage ||
		now.Sub(time.UnixMilli(l.used.Load())) > LoginLife {
		return nil, &hufu.Error{Op: op, Kind: hufu.KindCredentials, Code: "login_ended"}
	}
	return l, nil
}

// Resume is LoggedIn for a client that arrives or sends requests: it uses the login. Every lane of a
// client calls it.
func (s *Service) Resume(_ context.Context, sub Subject, token string) error {
	hash, now := sha256.Sum256([]byte(token)), s.now()
	l, err := s.loggedIn(sub, hash, now)
	if err != nil {
		return err
	}
	l.used.Store(max(now.UnixMilli(), l.used.Load()))
	if now.Sub(time.UnixMilli(l.written.Load())) >= touchEvery {
		s.mu.Lock()
		s.touched[hash] = now
		s.mu.Unlock()
	}
	return nil
}

// ResumeOrLook is Resume for a client that has just arrived. As AdmitOrLook, it
// looks in the database before it refuses.
func (s *Service) ResumeOrLook(ctx context.Context, sub Subject, token string) error {
	const op = "resume login"
	err := s.Resume(ctx, sub, token)
	if !worthLook(err) {
		return err
	}
	if err := s.lookAgain(ctx); err != nil {
		return unsure(op, err)
	}
	err = s.Resume(ctx, sub, token)
	old := s.state.Load().logins[sha256.Sum256([]byte(token))]
	if hufu.CodeOf(err) != "login_ended" || old == nil || old.user != sub.User || old.device != sub.Device {
		return err
	}
	// The login may have been used at another server. Writing the last use does not raise the
	// version, so read the rows again.
	if err := s.Reload(ctx); err != nil {
		return unsure(op, err)
	}
	return s.Resume(ctx, sub, token)
}

// Logout ends the login of the token, if it belongs to this subject.
func (s *Service) Logout(ctx context.Context, sub Subject, token string) error {
	if err := s.ResumeOrLook(ctx, sub, token); err != nil {
		return err
	}
	if err := s.db.DropLogin(ctx, sha256.Sum256([]byte(token))); err != nil {
		return err
	}
	s.changed(ctx)
	return nil
}

// keepFlushing writes the last uses of logins until ctx ends, and then once more.
func (s *Service) keepFlushing(ctx context.Context) {
	const message = "last use of logins was not written"
	failing := false
	for wait := PollInterval; ; {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			if err := s.flush(context.WithoutCancel(ctx), partTime); err != nil {
				s.log.Warn(message, "error", err)
			}
			return
		}
		err := s.flush(ctx, flushLimit)
		if err != nil && ctx.Err() == nil && !failing {
			s.log.Warn(message, "error", err)
		}
		wait, failing = PollInterval, err != nil
		if failing {
			wait = flushLimit
		}
	}
}

// flush writes the last uses of logins that Resume has noted. What is not written within limit stays
// noted.
func (s *Service) flush(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	s.mu.Lock()
	if len(s.touched) == 0 {
		s.mu.Unlock()
		return nil
	}
	touched := s.touched
	s.touched = make(map[[32]byte]time.Time)
	s.mu.Unlock()
	err := s.db.Update(ctx, func(q meta.Queries) error {
		for hash, when := range touched {
			if err := q.TouchLogin(ctx, hash, when); err != nil {
				return err
			}
		}
		return q.DropLoginsBefore(ctx, s.now().Add(-LoginLife))
	})
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		for hash, when := range touched {
			if s.touched[hash].Before(when) {
				s.touched[hash] = when
			}
		}
		return err
	}
	// Writing last uses to a shared database does not raise its version, so nothing is read again.
	// The state in memory notes them itself.
	logins := s.state.Load().logins
	for hash, when := range touched {
		if l := logins[hash]; l != nil {
			l.written.Store(max(when.UnixMilli(), l.written.Load()))
		}
	}
	return nil
}
