package account

import (
	"context"
	"strings"
	"time"

	"hufu"
	"hufu/internal/meta"
)

// CertState is the current state of a certificate.
type CertState string

// The states of a certificate. Where several apply, its state is the first of them.
const (
	CertRevoked CertState = "revoked"
	CertExpired CertState = "expired"
	CertEarly   CertState = "not_yet_valid" // the clock was ahead when it was made, or is behind
	CertLocked  CertState = "locked"        // its user or device is
	CertActive  CertState = "active"
)

// Certificate is a certificate as shown to an administrator.
type Certificate struct {
	meta.Certificate
	State CertState
}

// Certificates lists all certificates, oldest first.
func (s *Service) Certificates(ctx context.Context) ([]Certificate, error) {
	var out []Certificate
	err := s.db.View(ctx, func(q meta.Queries) error {
		rows, err := q.Certificates(ctx)
		if err != nil {
			return err
		}
		locked, err := locks(ctx, q)
		if err != nil {
			return err
		}
		for _, c := range rows {
			out = append(out, Certificate{c, stateOf(c, locked, s.now())})
		}
		return nil
	})
	return out, err
}

// Certificate is one certificate with its bytes.
func (s *Service) Certificate(ctx context.Context, serial string) (Certificate, error) {
	var out Certificate
	serial = NormalSerial(serial)
	err := s.db.View(ctx, func(q meta.Queries) error {
		c, err := q.Certificate(ctx, serial)
		if hufu.KindOf(err) == hufu.KindNotFound {
			return unknownSerial("look up certificate", serial)
		} else if err != nil {
			return err
		}
		if c.DER, err = q.CertificateDER(ctx, serial); err != nil {
			return err
		}
		locked, err := locks(ctx, q)
		out = Certificate{c, stateOf(c, locked, s.now())}
		return err
	})
	return out, err
}

// locks returns the time since which each user and device is locked. The key of a user is a device
// without a name.
func locks(ctx context.Context, q meta.Queries) (map[device]time.Time, error) {
	users, err := q.Users(ctx)
	if err != nil {
		return nil, err
	}
	devices, err := q.Devices(ctx)
	if err != nil {
		return nil, err
	}
	m := make(map[device]time.Time)
	for _, u := range users {
		m[device{u.Name, ""}] = u.Locked
	}
	for _, d := range devices {
		m[device{d.User, d.Name}] = d.Locked
	}
	return m, nil
}

func stateOf(c meta.Certificate, locked map[device]time.Time, now time.Time) CertState {
	switch {
	case !c.Revoked.IsZero():
		return CertRevoked
	case now.After(c.NotAfter):
		return CertExpired
	case now.Before(c.NotBefore):
		return CertEarly
	case c.Use == meta.UseClient && (!locked[device{c.User, ""}].IsZero() || !locked[device{c.User, c.Device}].IsZero()):
		return CertLocked
	}
	return CertActive
}

// NormalSerial returns a serial as it is stored, from one as people copy it: with
// colons, in capitals, or with a zero in front, as openssl writes it.
func NormalSerial(serial string) string {
	serial = strings.ToLower(strings.ReplaceAll(strings.TrimSpace(serial), ":", ""))
	if short := strings.TrimLeft(serial, "0"); short != "" {
		return short
	}
	return serial
}

func unknownSerial(op, serial string) error {
	return &hufu.Error{Op: op, Kind: hufu.KindNotFound, Code: "serial_unknown", Args: map[string]string{"serial": clip(serial)}}
}

// Revoke refuses one certificate for ever, and drops the unused invitations of its user: somebody may
// have made them with it. A certificate that is revoked already stays as it is.
func (s *Service) Revoke(ctx context.Context, serial, reason string) error {
	const op = "revoke certificate"
	if err := checkReason(reason); err != nil {
		return err
	}
	serial = NormalSerial(serial)
	err := s.db.Update(ctx, func(q meta.Queries) error {
		c, err := q.Certificate(ctx, serial)
		if hufu.KindOf(err) == hufu.KindNotFound {
			return unknownSerial(op, serial)
		} else if err != nil {
			return err
		}
		if _, err := q.Revoke(ctx, serial, reason, s.now()); err != nil {
			return err
		}
		return q.DropUnusedInvitations(ctx, c.User)
	})
	if err == nil {
		s.changed(ctx)
	}
	return err
}

// RevokeUser revokes all certificates that a user has, drops the user's unused invitations, and
// returns how many certificates were not revoked before.
func (s *Service) RevokeUser(ctx context.Context, user, reason string) (int, error) {
	return s.revokeMany(ctx, user, reason, func(q meta.Queries) (int64, error) {
		return q.RevokeUser(ctx, user, reason, s.now())
	})
}

// RevokeDevice revokes all certificates that a device has, drops the unused invitations of its user,
// and returns how many certificates were not revoked before.
func (s *Service) RevokeDevice(ctx context.Context, user, name, reason string) (int, error) {
	return s.revokeMany(ctx, user, reason, func(q meta.Queries) (int64, error) {
		certs, err := q.DeviceCertificates(ctx, user, name)
		if err != nil {
			return 0, err
		}
		if len(certs) == 0 {
			return 0, &hufu.Error{Op: "revoke device", Kind: hufu.KindNotFound, Code: "device_unknown", Args: map[string]string{"user": user, "device": clip(name)}}
		}
		return q.RevokeDevice(ctx, user, name, reason, s.now())
	})
}

func (s *Service) revokeMany(ctx context.Context, user, reason string, f func(meta.Queries) (int64, error)) (int, error) {
	if err := checkReason(reason); err != nil {
		return 0, err
	}
	var n int64
	err := s.db.Update(ctx, func(q meta.Queries) error {
		if _, err := present(ctx, q, "revoke certificates", user); err != nil {
			return err
		}
		var err error
		if n, err = f(q); err != nil {
			return err
		}
		return q.DropUnusedInvitations(ctx, user)
	})
	if err == nil {
		s.changed(ctx)
	}
	return int(n), err
}
