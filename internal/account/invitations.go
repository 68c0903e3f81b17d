package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"hufu"
	"hufu/internal/meta"
)

// How long an invitation lasts unless said otherwise, and at most.
const (
	InvitationLife    = 24 * time.Hour
	MaxInvitationLife = 30 * 24 * time.Hour
)

// Invited is a new invitation. Its secret is nowhere else: the database keeps a
// hash.
type Invited struct {
	User    string
	Secret  string
	Expires time.Time
	NewUser bool // whether the invitation made the user
}

// Invite creates an invitation for one device of a user, and the user if
// needed. ttl 0 is InvitationLife.
func (s *Service) Invite(ctx context.Context, user string, ttl time.Duration) (Invited, error) {
	return s.InviteAs(ctx, user, false, ttl)
}

// InviteAs is Invite with the role of a new user. An existing user keeps their
// role.
func (s *Service) InviteAs(ctx context.Context, user string, admin bool, ttl time.Duration) (Invited, error) {
	const op = "invite"
	if ttl == 0 {
		ttl = InvitationLife
	}
	if ttl < time.Second || ttl > MaxInvitationLife {
		return Invited{}, &hufu.Error{Op: op, Kind: hufu.KindInvalid, Code: "invitation_life"}
	}
	var random [hufu.InvitationSecret]byte
	_, _ = rand.Read(random[:]) // never fails
	now := s.now()
	out := Invited{User: user, Secret: hufu.EncodeSecret(random), Expires: now.Add(ttl)}
	err := s.db.Update(ctx, func(q meta.Queries) error {
		u, err := present(ctx, q, op, user)
		out.NewUser = hufu.KindOf(err) == hufu.KindNotFound
		if out.NewUser {
			u.Admin = admin
			err = s.addUser(ctx, q, user, admin, "")
		}
		switch {
		case err != nil:
			return err
		case !u.Locked.IsZero():
			return &hufu.Error{Op: op, Kind: hufu.KindPermission, Code: "invite_locked", Args: map[string]string{"name": user}}
		case admin && !u.Admin:
			return &hufu.Error{Op: op, Kind: hufu.KindExists, Code: "invite_not_admin", Args: map[string]string{"name": user}}
		}
		if err := q.DropInvitationsBefore(ctx, now.Add(-MaxInvitationLife)); err != nil {
			return err
		}
		return q.AddInvitation(ctx, meta.Invitation{
			SecretHash: sha256.Sum256([]byte(out.Secret)), User: user, Admin: u.Admin, Created: now, Expires: out.Expires,
		})
	})
	if err != nil {
		return Invited{}, err
	}
	s.changed(ctx)
	return out, nil
}

// Sent is an invitation as an administrator sees it. The zero time means "not".
type Sent struct {
	ID      string // says nothing about the secret
	User    string
	Admin   bool
	Created time.Time
	Expires time.Time
	Used    time.Time
}

// Open reports whether the invitation can still be used.
func (v Sent) Open(now time.Time) bool { return v.Used.IsZero() && now.Before(v.Expires) }

// idBytes is the length of an invitation's ID, the beginning of the hash of its
// secret.
const idBytes = 6

func sentOf(v meta.Invitation) Sent {
	return Sent{hex.EncodeToString(v.SecretHash[:idBytes]), v.User, v.Admin, v.Created, v.Expires, v.Used}
}

// Invitations lists the invitations that are remembered, the newest last.
func (s *Service) Invitations(ctx context.Context) ([]Sent, error) {
	rows, err := s.db.Invitations(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]Sent, len(rows))
	for i, v := range rows {
		out[i] = sentOf(v)
	}
	return out, nil
}

// RevokeInvitation makes the invitation with this ID worthless. One that was
// used has made a certificate already and is refused.
func (s *Service) RevokeInvitation(ctx context.Context, id string) error {
	const op = "revoke invitation"
	return s.db.Update(ctx, func(q meta.Queries) error {
		rows, err := q.Invitations(ctx)
		if err != nil {
			return err
		}
		for _, v := range rows {
			if sentOf(v).ID != id {
				continue
			}
			if !v.Used.IsZero() {
				return &hufu.Error{Op: op, Kind: hufu.KindExists, Code: "invitation_spent", Args: map[string]string{"user": v.User, "when": stamp(v.Used), "serial": v.UsedSerial}}
			}
			return q.DropInvitation(ctx, v.SecretHash)
		}
		return &hufu.Error{Op: op, Kind: hufu.KindNotFound, Code: "invitation_no_id", Args: map[string]string{"id": clip(id)}}
	})
}

// RevokeInvitations invalidates all unused invitations of a user, and returns
// how many of them were still valid.
func (s *Service) RevokeInvitations(ctx context.Context, user string) (int, error) {
	var n int
	err := s.db.Update(ctx, func(q meta.Queries) error {
		n = 0 // this may be run again
		if _, err := present(ctx, q, "revoke invitations", user); err != nil {
			return err
		}
		rows, err := q.Invitations(ctx)
		if err != nil {
			return err
		}
		for _, v := range rows {
			if v.User != user || !v.Used.IsZero() {
				continue
			}
			if err := q.DropInvitation(ctx, v.SecretHash); err != nil {
				return err
			}
			if sentOf(v).Open(s.now()) {
				n++
			}
		}
		return nil
	})
	return n, err
}

// Invitation returns the invitation of secret. It returns an error if the invitation has expired or
// its user is locked or removed. It does not check Used: the same key may use an invitation again.
// remote is the address of the client. The secret is looked up first, so a right one is always
// judged; an address that sends too many wrong ones is told to wait.
func (s *Service) Invitation(ctx context.Context, secret, remote string) (meta.Invitation, error) {
	v, err := s.db.Invitation(ctx, sha256.Sum256([]byte(secret)))
	if hufu.KindOf(err) == hufu.KindNotFound {
		return meta.Invitation{}, s.codes.wrong("look up invitation", remote)
	}
	if err != nil {
		return meta.Invitation{}, err
	}
	return v, CheckInvitation(ctx, s.db.Queries, v, s.now())
}

// CheckInvitation returns an error if the invitation has expired, its user may not act, or their
// role is another one. It ignores Used. q may be a transaction.
func CheckInvitation(ctx context.Context, q meta.Queries, v meta.Invitation, now time.Time) error {
	const op = "check invitation"
	if !now.Before(v.Expires) {
		return refused(op, "invitation_expired", "when", stamp(v.Expires))
	}
	u, err := q.User(ctx, v.User)
	if err != nil {
		return err
	}
	if err := checkUser(op, u); err != nil {
		return err
	}
	if u.Admin != v.Admin {
		return refused(op, "invitation_unknown") // meant for another role than the user has now
	}
	return nil
}

// Limits of wrong secrets. A secret is 160 random bits, so this protects the
// log, not the secret: there is no limit for all addresses together, which
// would let an attacker keep everybody from enrolling.
const (
	wrongAtOnce = 10              // of one address
	wrongEvery  = 6 * time.Second // one more of it
	maxRemotes  = 4096            // addresses that are remembered
)

// invitationLimits slows down wrong secrets, by remote address.
type invitationLimits struct {
	now func() time.Time

	mu      sync.Mutex // guards remotes
	remotes map[string]*rate.Limiter
}

// wrong counts a wrong secret and returns the error that answers it.
func (l *invitationLimits) wrong(op, remote string) error {
	now := l.now()
	r := l.of(remoteKey(remote), now).ReserveN(now, 1)
	if wait := r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
		return &hufu.Error{Op: op, Kind: hufu.KindRateLimit, Code: "invitation_wait", Args: map[string]string{"seconds": seconds(wait)}}
	}
	return &hufu.Error{Op: op, Kind: hufu.KindRefused, Code: "invitation_unknown"}
}

// of returns the limiter of an address. When maxRemotes addresses are remembered, of forgets those
// without recent wrong secrets. If none can be forgotten, the new address is not limited.
func (l *invitationLimits) of(key string, now time.Time) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if known := l.remotes[key]; known != nil {
		return known
	}
	if len(l.remotes) >= maxRemotes {
		maps.DeleteFunc(l.remotes, func(_ string, r *rate.Limiter) bool { return r.TokensAt(now) >= wrongAtOnce })
	}
	r := rate.NewLimiter(rate.Every(wrongEvery), wrongAtOnce)
	if len(l.remotes) < maxRemotes {
		if l.remotes == nil {
			l.remotes = map[string]*rate.Limiter{}
		}
		l.remotes[key] = r
	}
	return r
}

// remoteKey returns what is limited as one sender: an IPv4 address, or the /64 network of an IPv6
// address.
func remoteKey(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return "?"
	}
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}
