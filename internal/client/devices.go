package client

import (
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"time"

	"hufu"
	"hufu/internal/frame"
	"hufu/internal/identity"
)

// Device is a device of the user, with its newest certificate.
type Device struct {
	Name    string
	Serial  string
	Issued  time.Time
	Expires time.Time
	Seen    time.Time // when it was last in use, as far as the server remembers
	State   string    // frame.DeviceActive, DeviceLocked or DeviceExpired
	This    bool      // it is this one
}

// Devices lists the user's devices by name, and reports whether the user may invite another one.
func (r *Remote) Devices(ctx context.Context) (all []Device, invites bool, err error) {
	if err := r.hasDevices(ctx); err != nil {
		return nil, false, err
	}
	err = r.persist(ctx, func() error {
		c, err := r.loggedIn(ctx)
		if err != nil {
			return err
		}
		all, invites = nil, false
		frames := 0
		return r.each(ctx, c, &frame.Devices{}, func(m frame.Message) error {
			a, ok := m.(*frame.DevicesAnswer)
			if frames++; !ok || frames > 1 && len(a.Devices) == 0 || len(all)+len(a.Devices) > maxDevices {
				return &hufu.Error{Op: "list devices", Kind: hufu.KindProtocol}
			}
			invites = a.Invites
			for _, d := range a.Devices {
				all = append(all, Device{
					d.Name, d.Serial, frame.Time(d.Issued), frame.Time(d.Expires), frame.Time(d.Seen), d.State, d.This,
				})
			}
			return nil
		})
	})
	return all, invites, err
}

// maxDevices is how many devices a server may list.
const maxDevices = 1 << 16

// RemoveDevice has the certificates of one of the user's devices revoked. If no other device could
// log in afterwards, that takes last.
func (r *Remote) RemoveDevice(ctx context.Context, name, password string, last bool) error {
	if err := r.hasDevices(ctx); err != nil {
		return err
	}
	_, maybe, err := repeated[*frame.RemoveDeviceAnswer](ctx, r, &frame.RemoveDevice{Device: name, Password: password, Last: last}, func() {})
	switch {
	case maybe && hufu.KindOf(err) == hufu.KindNotFound:
		return nil // by the try whose answer was lost
	case name == r.p.Device && revoked(err):
		return nil // this one: the server has cut the connection before the answer could come
	}
	return err
}

func revoked(err error) bool {
	e, ok := errors.AsType[*hufu.Error](err)
	return ok && e.Kind == hufu.KindRefused && slices.Contains([]string{"cert_revoked", "cert_revoked_reason"}, e.Code)
}

// InviteDevice makes an invitation for one more device of the user. Where the server is and how to
// know it comes from the profile, not from the server.
func (r *Remote) InviteDevice(ctx context.Context, password string) (v hufu.Invitation, until time.Time, err error) {
	const op = "invite device"
	if err := r.hasDevices(ctx); err != nil {
		return v, until, err
	}
	host, digits, err := net.SplitHostPort(r.p.Address)
	port, bad := strconv.ParseUint(digits, 10, 16)
	if err != nil || bad != nil || host != r.p.Host || r.p.Own { // an invitation names one host, to dial and to be proven
		return v, until, &hufu.Error{Op: op, Kind: hufu.KindUnsupported, Code: "profile_invites_nobody"}
	}
	roots, err := r.p.Roots()
	if err != nil {
		return v, until, err
	}
	sum := identity.Fingerprint(roots[0])
	a, err := call[*frame.InviteAnswer](ctx, r, &frame.Invite{Password: password})
	if err != nil {
		return v, until, err
	}
	v = hufu.Invitation{Host: host, Port: int(port), Fingerprint: sum[:hufu.InvitationFingerprint], Secret: a.Secret}
	if err := v.Check(); err != nil {
		return v, until, &hufu.Error{Op: op, Kind: hufu.KindProtocol, Err: err}
	}
	return v, frame.Time(a.Expires), nil
}

// hasDevices connects, and returns an error if the server does not know the requests of this file.
func (r *Remote) hasDevices(ctx context.Context) error {
	a, err := r.Connect(ctx)
	if err == nil && !slices.Contains(a.Features, frame.FeatureDevices) {
		return &hufu.Error{Op: "devices", Kind: hufu.KindUnsupported, Code: "devices_unknown"}
	}
	return err
}
