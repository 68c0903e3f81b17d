package account

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"maps"
	"slices"
	"time"

	"hufu"
	"hufu/internal/meta"
)

// Limits of what a user may do with their own devices.
const (
	// OwnInvitationLife is how long an invitation lasts that a user has made.
	OwnInvitationLife = time.Hour
	// maxOwnInvitations is how many unused invitations there may be for a user before the user can
	// make another one.
	maxOwnInvitations = 4
	// maxDevices is how many devices a user can have by own invitations, the unused ones included,
	// and maxNewDaily how many certificates may be new within a day before there is another one.
	maxDevices  = 64
	maxNewDaily = 32
	day         = 24 * time.Hour
	// shownExpired is how long a device is listed after its certificate has expired. It may be
	// renewed for as long.
	shownExpired = 30 * 24 * time.Hour
)

// OwnDevice is a device as its user sees it, with its newest certificate.
type OwnDevice struct {
	Name    string
	Serial  string
	Issued  time.Time
	Expires time.Time
	Seen    time.Time // the last use of a login, or the issue of the certificate
	State   CertState // CertActive, CertLocked or CertExpired

	lineage string
}

// Devices lists the devices of a subject's user that can connect, now or after a renewal or an
// unlocking, by name.
func (s *Service) Devices(ctx context.Context, sub Subject) ([]OwnDevice, error) {
	st, _, err := s.again("list devices", sub)
	if err != nil {
		return nil, err
	}
	var out []OwnDevice
	err = s.db.View(ctx, func(q meta.Queries) error {
		if out, err = ownDevices(ctx, q, sub.User, s.now()); err != nil {
			return err
		}
		logins, err := q.Logins(ctx)
		for i := range out {
			for _, l := range logins { // what other servers have written, which does not raise the version
				if l.User == sub.User && l.Device == out[i].Name && l.Lineage == out[i].lineage && l.LastUsed.After(out[i].Seen) {
					out[i].Seen = l.LastUsed
				}
			}
		}
		return err
	})
	for i := range out {
		for _, l := range st.logins {
			if used := time.UnixMilli(l.used.Load()); l.user == sub.User && l.device == out[i].Name && l.lineage == out[i].lineage && used.After(out[i].Seen) {
				out[i].Seen = used
			}
		}
	}
	return out, err
}

// ownDevices reads the devices of a user, without the use of their logins.
func ownDevices(ctx context.Context, q meta.Queries, user string, now time.Time) ([]OwnDevice, error) {
	certs, err := q.UserCertificates(ctx, user)
	if err != nil {
		return nil, err
	}
	u, err := q.User(ctx, user)
	if err != nil {
		return nil, err
	}
	locked := map[device]time.Time{{user, ""}: u.Locked}
	found := map[string]OwnDevice{}
	for _, c := range certs {
		if _, asked := locked[device{user, c.Device}]; !asked {
			d, err := q.Device(ctx, user, c.Device)
			if err != nil {
				return nil, err
			}
			locked[device{user, c.Device}] = d.Locked
		}
		state := stateOf(c, locked, now)
		if state == CertEarly { // valid in a moment
			state = CertActive
		}
		if c.Use != meta.UseClient || state == CertRevoked || now.Sub(c.NotAfter) > shownExpired || c.NotAfter.Before(found[c.Device].Expires) {
			continue
		}
		if !locked[device{c.User, c.Device}].IsZero() { // even if it has expired, too
			state = CertLocked
		}
		found[c.Device] = OwnDevice{Name: c.Device, Serial: c.Serial, Issued: c.Issued, Expires: c.NotAfter, Seen: c.Issued, State: state, lineage: c.Lineage}
	}
	return slices.SortedFunc(maps.Values(found), func(a, b OwnDevice) int { return cmp.Compare(a.Name, b.Name) }), nil
}

// RemoveDevice revokes the certificates of a device of the subject's user, after checking the
// password again, and drops the user's unused invitations: somebody else may have made them on that
// device. If the user has no other device that can log in, it is done only with last.
func (s *Service) RemoveDevice(ctx context.Context, sub Subject, name, password string, last bool) error {
	const op = "remove device"
	return s.asOwner(ctx, op, sub, password, func(q meta.Queries, now time.Time) error {
		all, err := ownDevices(ctx, q, sub.User, now)
		if err != nil {
			return err
		}
		here := func(d OwnDevice) bool { return d.Name == name }
		if !slices.ContainsFunc(all, here) {
			return &hufu.Error{Op: op, Kind: hufu.KindNotFound, Code: "own_device_unknown", Args: map[string]string{"device": clip(name)}}
		}
		others := slices.DeleteFunc(slices.Clone(all), here)
		if !last && !slices.ContainsFunc(others, func(d OwnDevice) bool { return d.State == CertActive }) {
			return &hufu.Error{Op: op, Kind: hufu.KindPermission, Code: "device_last", Args: map[string]string{"device": name}}
		}
		if _, err := q.RevokeDevice(ctx, sub.User, name, "removed on "+sub.Device, now); err != nil {
			return err
		}
		return q.DropUnusedInvitations(ctx, sub.User)
	})
}

// InviteDevice makes an invitation for one more device of the subject's user, after checking the
// password again.
func (s *Service) InviteDevice(ctx context.Context, sub Subject, password string) (Invited, error) {
	const op = "invite device"
	var random [hufu.InvitationSecret]byte
	_, _ = rand.Read(random[:]) // never fails
	out := Invited{User: sub.User, Secret: hufu.EncodeSecret(random)}
	err := s.asOwner(ctx, op, sub, password, func(q meta.Queries, now time.Time) error {
		all, err := unused(ctx, q, sub.User)
		if err != nil {
			return err
		}
		open, first := 0, OwnInvitationLife
		for _, v := range all {
			if left := v.Expires.Sub(now); own(v) && left > 0 {
				open, first = open+1, min(first, left)
			}
		}
		if open >= maxOwnInvitations {
			return &hufu.Error{Op: op, Kind: hufu.KindRateLimit, Code: "invitations_open", Args: map[string]string{"until": stamp(now.Add(first))}}
		}
		if err := roomForDevice(ctx, q, op, sub.User, open, now); err != nil {
			return err
		}
		u, err := q.User(ctx, sub.User)
		if err != nil {
			return err
		}
		if err := q.DropInvitationsBefore(ctx, now.Add(-MaxInvitationLife)); err != nil {
			return err
		}
		out.Expires = now.Add(OwnInvitationLife)
		return q.AddInvitation(ctx, meta.Invitation{
			SecretHash: sha256.Sum256([]byte(out.Secret)), User: sub.User, Admin: u.Admin, Created: now, Expires: out.Expires,
		})
	})
	if err != nil {
		return Invited{}, err
	}
	return out, nil
}

// asOwner runs change for a subject that has proven the password again. In the transaction of the
// change the user must still have that password, and the certificate must still be good.
func (s *Service) asOwner(ctx context.Context, op string, sub Subject, password string, change func(q meta.Queries, now time.Time) error) error {
	if _, _, err := s.again(op, sub); err != nil {
		return err
	}
	proven, err := s.prove(ctx, sub.User, sub.Device, password)
	if err != nil {
		return err
	}
	err = s.db.Update(ctx, func(q meta.Queries) error {
		u, err := q.User(ctx, sub.User)
		if err != nil {
			return err
		}
		c, err := q.Certificate(ctx, sub.Serial)
		if err != nil {
			return err
		}
		d, err := q.Device(ctx, sub.User, sub.Device)
		if err != nil {
			return err
		}
		now := s.now()
		if err := judge(op, certOf(c), u, d.Locked, now); err != nil {
			return err
		}
		if u.Password != proven {
			return &hufu.Error{Op: op, Kind: hufu.KindCredentials, Code: "wrong_password"}
		}
		return change(q, now)
	})
	if err == nil {
		s.changed(ctx)
	}
	return err
}

// CheckRoom returns an error if the user of an invitation that users make has too many devices or too
// many new certificates. Administrators are not limited: theirs last longer.
func CheckRoom(ctx context.Context, q meta.Queries, v meta.Invitation, now time.Time) error {
	if !own(v) {
		return nil
	}
	return roomForDevice(ctx, q, "enroll", v.User, 0, now)
}

// own reports whether a user may have made the invitation.
func own(v meta.Invitation) bool { return v.Expires.Sub(v.Created) <= OwnInvitationLife }

// roomForDevice returns an error if a user may have no other device beside those that there are and
// open invitations.
func roomForDevice(ctx context.Context, q meta.Queries, op, user string, open int, now time.Time) error {
	all, err := ownDevices(ctx, q, user, now)
	if err != nil {
		return err
	}
	if len(all)+open >= maxDevices {
		return &hufu.Error{Op: op, Kind: hufu.KindQuota, Code: "devices_full"}
	}
	then, err := q.NewestIssued(ctx, user, maxNewDaily-1-open)
	if err != nil {
		return err
	}
	if now.Sub(then) < day {
		return &hufu.Error{Op: op, Kind: hufu.KindRateLimit, Code: "devices_new", Args: map[string]string{"until": stamp(then.Add(day))}}
	}
	return nil
}

// unused returns the invitations of a user that nobody has used.
func unused(ctx context.Context, q meta.Queries, user string) ([]meta.Invitation, error) {
	all, err := q.Invitations(ctx)
	return slices.DeleteFunc(all, func(v meta.Invitation) bool { return v.User != user || !v.Used.IsZero() }), err
}
