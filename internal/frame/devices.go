package frame

import (
	"errors"
	"slices"
)

// The states of a device in an answer to Devices.
const (
	DeviceActive  = "active"
	DeviceLocked  = "locked"
	DeviceExpired = "expired" // its certificate has expired, and may still be renewed
)

type (
	// Devices asks for the devices of the user. It is of FeatureDevices, as RemoveDevice and Invite are.
	Devices struct{}
	// DevicesAnswer holds some of them, in the order of their names; frames with more follow.
	DevicesAnswer struct {
		Devices []Device `cbor:"1,keyasint"`
		Invites bool     `cbor:"2,keyasint,omitempty"` // users may invite further devices of theirs
	}
	// Device is one device of the user, with its newest certificate.
	Device struct {
		Name    string `cbor:"1,keyasint"`
		Serial  string `cbor:"2,keyasint"`
		Issued  int64  `cbor:"3,keyasint"` // nanoseconds since 1970 UTC, like the times below
		Expires int64  `cbor:"4,keyasint"`
		Seen    int64  `cbor:"5,keyasint"` // the last use of a login, or the issue of the certificate
		State   string `cbor:"6,keyasint"`
		This    bool   `cbor:"7,keyasint,omitempty"` // the device of this connection
	}
	// RemoveDevice revokes the certificates of a device of the user.
	RemoveDevice struct {
		Device   string `cbor:"1,keyasint"`
		Password string `cbor:"2,keyasint"`
		Last     bool   `cbor:"3,keyasint,omitempty"` // even if no other device can log in
	}
	// RemoveDeviceAnswer says that they are revoked.
	RemoveDeviceAnswer struct{}
	// Invite makes an invitation for one more device of the user.
	Invite struct {
		Password string `cbor:"1,keyasint"`
	}
	// InviteAnswer holds its secret.
	InviteAnswer struct {
		Secret  string `cbor:"1,keyasint"`
		Expires int64  `cbor:"2,keyasint"`
	}
)

func (*Devices) Type() Type            { return TypeDevices }
func (*DevicesAnswer) Type() Type      { return TypeDevices.Answer() }
func (*RemoveDevice) Type() Type       { return TypeRemoveDevice }
func (*RemoveDeviceAnswer) Type() Type { return TypeRemoveDevice.Answer() }
func (*Invite) Type() Type             { return TypeInvite }
func (*InviteAnswer) Type() Type       { return TypeInvite.Answer() }

func (m *Devices) check() error            { return nil }
func (m *RemoveDeviceAnswer) check() error { return nil }

func (m *DevicesAnswer) check() error {
	if len(m.Devices) > MaxDevices {
		return errors.New("number of devices")
	}
	states := []string{DeviceActive, DeviceLocked, DeviceExpired}
	for _, d := range m.Devices {
		if !isSecret(d.Name, MaxName) || !isSecret(d.Serial, MaxName) || !slices.Contains(states, d.State) {
			return errors.New("device")
		}
	}
	return nil
}

func (m *RemoveDevice) check() error {
	return checkIf(isSecret(m.Device, MaxName) && isSecret(m.Password, MaxPassword), "device or password")
}

func (m *Invite) check() error { return checkIf(isSecret(m.Password, MaxPassword), "password") }

func (m *InviteAnswer) check() error { return checkIf(isSecret(m.Secret, MaxName), "secret") }
