package server

import (
	"context"

	"hufu"
	"hufu/internal/account"
	"hufu/internal/frame"
)

// askDevices answers the requests about the devices of the connection's user, who comes from the
// certificate: no request names a user. An unknown request, and one whose feature was not named, is a
// protocol error, which ends the connection.
func (c *conn) askDevices(ctx context.Context, m frame.Message) (frame.Message, error) {
	acc := c.s.o.Account
	unknown := &hufu.Error{Op: "handle " + m.Type().String(), Kind: hufu.KindProtocol, Code: "request_unknown"}
	if !c.devices {
		return nil, unknown
	}
	switch m := m.(type) {
	case *frame.RemoveDevice:
		if err := acc.RemoveDevice(ctx, c.sub, m.Device, m.Password, m.Last); err != nil {
			return nil, err
		}
		c.log.Info("device removed", "device_removed", m.Device)
		return &frame.RemoveDeviceAnswer{}, nil
	case *frame.Invite:
		if err := c.mayInvite(); err != nil {
			return nil, err
		}
		v, err := acc.InviteDevice(ctx, c.sub, m.Password)
		if err != nil {
			return nil, err
		}
		c.log.Info("device invited", "until", v.Expires)
		return &frame.InviteAnswer{Secret: v.Secret, Expires: frame.Nanos(v.Expires)}, nil
	case *frame.Devices:
		return c.listDevices(ctx)
	}
	return nil, unknown
}

// listDevices sends all frames of the list except the last, which it returns.
func (c *conn) listDevices(ctx context.Context) (frame.Message, error) {
	all, err := c.s.o.Account.Devices(ctx, c.sub)
	if err != nil {
		return nil, err
	}
	a := &frame.DevicesAnswer{Devices: []frame.Device{}, Invites: c.mayInvite() == nil}
	for _, d := range all {
		if len(a.Devices) == frame.MaxDevices {
			if err := c.session.Answer(a, true, nil); err != nil {
				return nil, err
			}
			a.Devices = a.Devices[:0]
		}
		a.Devices = append(a.Devices, wireDevice(d, c.sub.Device))
	}
	return a, nil
}

func wireDevice(d account.OwnDevice, here string) frame.Device {
	states := map[account.CertState]string{
		account.CertActive: frame.DeviceActive, account.CertLocked: frame.DeviceLocked, account.CertExpired: frame.DeviceExpired,
	}
	return frame.Device{
		Name: d.Name, Serial: d.Serial, Issued: frame.Nanos(d.Issued), Expires: frame.Nanos(d.Expires), Seen: frame.Nanos(d.Seen),
		State: states[d.State], This: d.Name == here,
	}
}

// mayInvite returns why users of this server cannot invite their own devices, or nil.
func (c *conn) mayInvite() error {
	why := &hufu.Error{Op: "invite device", Kind: hufu.KindPermission, Code: "invite_by_administrator"}
	if c.s.o.AdminInvites {
		return why
	}
	if can, err := c.s.o.Authority.Invitable(); err != nil || !can { // by a server's certificate of another CA
		return why
	}
	return nil
}
