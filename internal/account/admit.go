package account

import (
	"context"
	"time"

	"hufu"
	"hufu/internal/meta"
)

// Subject is a user on a device, proven by a certificate that this package has
// admitted.
type Subject struct {
	User   string
	Device string
	Serial string
	Admin  bool
}

// Admit looks up exactly the certificate that TLS has verified and returns its
// owner, or the reason why it is refused. A known serial with another
// fingerprint is reported like an unknown one.
func (s *Service) Admit(serial string, fingerprint [32]byte) (Subject, error) {
	const op = "admit certificate"
	if err := s.fresh(op); err != nil {
		return Subject{}, err
	}
	st := s.state.Load()
	c, ok := st.certs[serial]
	if !ok || c.fingerprint != fingerprint || c.use != meta.UseClient {
		return Subject{}, &hufu.Error{Op: op, Kind: hufu.KindRefused, Code: "cert_unknown"}
	}
	if err := st.judge(op, c, s.now()); err != nil {
		return Subject{}, err
	}
	return Subject{User: c.user, Device: c.device, Serial: serial, Admin: st.users[c.user].Admin}, nil
}

// AdmitOrLook is Admit for a client that has just arrived. Another process may have just changed
// its rows, so the state is brought up to date before a refusal. If that is impossible the answer
// is "try again".
func (s *Service) AdmitOrLook(ctx context.Context, serial string, fingerprint [32]byte) (Subject, error) {
	sub, err := s.Admit(serial, fingerprint)
	if !worthLook(err) {
		return sub, err
	}
	if err := s.lookAgain(ctx); err != nil {
		return Subject{}, unsure("admit certificate", err)
	}
	return s.Admit(serial, fingerprint)
}

// worthLook reports whether a newer state may decide otherwise.
func worthLook(err error) bool {
	k := hufu.KindOf(err)
	return err != nil && (k == hufu.KindRefused || k == hufu.KindCredentials || hufu.CodeOf(err) == "state_stale")
}

// unsure is the error for a decision that needed the database while it could not be read.
func unsure(op string, err error) error {
	return &hufu.Error{Op: op, Kind: hufu.KindUnavailable, Code: "state_stale", Err: err}
}

// again judges a subject that was admitted some time ago.
func (s *Service) again(op string, sub Subject) (*state, cert, error) {
	if err := s.fresh(op); err != nil {
		return nil, cert{}, err
	}
	st := s.state.Load()
	c, ok := st.certs[sub.Serial]
	if !ok || c.user != sub.User || c.device != sub.Device || c.use != meta.UseClient {
		return nil, cert{}, &hufu.Error{Op: op, Kind: hufu.KindRefused, Code: "cert_unknown"}
	}
	return st, c, st.judge(op, c, s.now())
}

func (st *state) judge(op string, c cert, now time.Time) error {
	return judge(op, c, st.users[c.user], st.devices[device{c.user, c.device}], now)
}

// Judge decides like Admit, but from the rows that q reads and for the time at. It runs in the
// transaction that renews the certificate. With an error it returns the certificate as well, if it
// was found and has this fingerprint.
func Judge(ctx context.Context, q meta.Queries, serial string, fingerprint [32]byte, at time.Time) (meta.Certificate, error) {
	const op = "judge certificate"
	c, err := q.Certificate(ctx, serial)
	if err != nil && hufu.KindOf(err) != hufu.KindNotFound {
		return c, err
	}
	if err != nil || c.Fingerprint != fingerprint || c.Use != meta.UseClient {
		return meta.Certificate{}, refused(op, "cert_unknown")
	}
	u, err := q.User(ctx, c.User)
	if err != nil && hufu.KindOf(err) != hufu.KindNotFound {
		return c, err
	}
	d, err := q.Device(ctx, c.User, c.Device)
	if err != nil {
		return c, err
	}
	return c, judge(op, certOf(c), u, d.Locked, at)
}

// judge is the one place that decides whether a known certificate still admits
// its owner. The order of the checks is the order in which the owner should
// learn of them.
func judge(op string, c cert, u meta.User, deviceLocked, now time.Time) error {
	if err := checkUser(op, u); err != nil {
		return err
	}
	switch {
	case !deviceLocked.IsZero():
		return refused(op, "device_locked", "device", c.device, "when", stamp(deviceLocked))
	case !c.revoked.IsZero() && c.reason != "":
		return refused(op, "cert_revoked_reason", "when", stamp(c.revoked), "reason", c.reason)
	case !c.revoked.IsZero():
		return refused(op, "cert_revoked", "when", stamp(c.revoked))
	case now.After(c.notAfter):
		return refused(op, "cert_expired", "when", stamp(c.notAfter))
	}
	return nil
}

// checkUser returns an error if the user may not act at all; the zero User is one that does not
// exist.
func checkUser(op string, u meta.User) error {
	switch {
	case u.Name == "" || !u.Removed.IsZero():
		return refused(op, "user_removed")
	case !u.Locked.IsZero():
		return refused(op, "user_locked", "when", stamp(u.Locked))
	}
	return nil
}

func refused(op, code string, args ...string) error {
	return &hufu.Error{Op: op, Kind: hufu.KindRefused, Code: code, Args: pairs(args)}
}

func pairs(args []string) map[string]string {
	if len(args) == 0 {
		return nil
	}
	m := make(map[string]string, len(args)/2)
	for i := 0; i+1 < len(args); i += 2 {
		m[args[i]] = args[i+1]
	}
	return m
}

// stamp returns a time as written in the arguments of an error.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
