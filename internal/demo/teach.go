package demo

import (
	"context"
	"errors"
	"net"
	"strconv"

	"hufu"
	"hufu/internal/client"
	"hufu/internal/profile"
)

// defaultTeachPort is the default port of a server's listener without TLS.
const defaultTeachPort = 9998

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// TeachPort asks a server over TLS at which port of this computer its listener
// without TLS is. instance identifies this start of the server. The listener is
// bound to loopback, so the server must be reached there too.
func TeachPort(ctx context.Context, p *profile.Profile) (port int, instance []byte, err error) {
	if err := client.CheckLoopback(p.Address); err != nil {
		return 0, nil, err
	}
	r, err := client.New(p, client.Options{NoRenew: true})
	if err != nil {
		return 0, nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	a, err := r.Connect(ctx)
	if err != nil {
		return 0, nil, err
	}
	if a.Teach == 0 {
		return 0, nil, client.TeachOff()
	}
	return int(a.Teach), a.Instance, nil
}

// Plaintext returns a profile and options that reach the teaching world without
// TLS. The server of the profile name is asked over TLS for the address. If there
// is no profile, the default address is taken. The profile returned has the user
// of the teaching login that was kept.
func Plaintext(ctx context.Context, dirs profile.Dirs, name string) (*profile.Profile, client.Options, error) {
	port := defaultTeachPort
	p, err := profile.Load(dirs, name)
	switch {
	case err == nil:
		if port, _, err = TeachPort(ctx, p); err != nil {
			return nil, client.Options{}, err
		}
	case hufu.CodeOf(err) == "not_enrolled" && name == profile.Default:
		if p, err = profile.New(dirs, name, "127.0.0.1", port); err != nil {
			return nil, client.Options{}, err
		}
	default:
		return nil, client.Options{}, err
	}
	pupil := *p
	pupil.Address = loopback(port)
	pupil.User, pupil.Device = p.TeachLogin().User, ""
	if pupil.User == "" {
		pupil.User = p.User
	}
	return &pupil, client.Options{Plaintext: true, Remember: true}, nil
}
