package client

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"strconv"

	"hufu"
)

// defaultTeachPort is where a server's listener without TLS is unless told
// otherwise.
const defaultTeachPort = 9998

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// TeachPort asks a server, over TLS, where on this machine its listener
// without TLS is, and which start of the server it is that says so. The
// listener is bound to loopback, so the server must be reached there too.
func TeachPort(ctx context.Context, p *Profile) (port int, instance []byte, err error) {
	if err := checkLoopback(p.Address); err != nil {
		return 0, nil, err
	}
	r, err := New(p, Options{NoRenew: true})
	if err != nil {
		return 0, nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	a, err := r.Connect(ctx)
	if err != nil {
		return 0, nil, err
	}
	if a.Teach == 0 {
		return 0, nil, teachOff()
	}
	return int(a.Teach), a.Instance, nil
}

func teachOff() error { return &hufu.Error{Op: "teach", Kind: hufu.KindUsage, Code: "teach_off"} }

// Plaintext prepares the teaching world without TLS as one profile's server
// has it: the server is asked over TLS where it is. Without any profile the
// default address is tried. The profile returned has the name of the teaching
// login that was kept, and goes with the options returned.
func Plaintext(ctx context.Context, dirs Dirs, name string) (*Profile, Options, error) {
	port := defaultTeachPort
	p, err := LoadProfile(dirs, name)
	switch {
	case err == nil:
		if port, _, err = TeachPort(ctx, p); err != nil {
			return nil, Options{}, err
		}
	case hufu.CodeOf(err) == "not_enrolled" && name == DefaultProfile:
		if p, err = NewProfile(dirs, name, "127.0.0.1", port); err != nil {
			return nil, Options{}, err
		}
	default:
		return nil, Options{}, err
	}
	pupil := *p
	pupil.Address = loopback(port)
	pupil.User, pupil.Device = p.teachLogin().User, ""
	if pupil.User == "" {
		pupil.User = p.User
	}
	return &pupil, Options{Plaintext: true, Remember: true}, nil
}

// teachLogin is a login to the teaching world, kept apart from the real one.
type teachLogin struct {
	User  string `json:"user"`
	Token []byte `json:"token"`
}

func (p *Profile) teachFile() string { return p.stateFile("teach.json") }

// teachLogin is the zero value if there is none, or none that can be read.
func (p *Profile) teachLogin() teachLogin {
	var l teachLogin
	if data, err := os.ReadFile(p.teachFile()); err != nil || json.Unmarshal(data, &l) != nil {
		return teachLogin{}
	}
	return l
}

// setTeachLogin keeps a login, or forgets it when it has no token.
func (p *Profile) setTeachLogin(l teachLogin) error {
	if l.Token == nil {
		return removeFile("forget login", p.teachFile())
	}
	data, err := json.Marshal(l)
	if err != nil {
		return &hufu.Error{Op: "keep login", Kind: hufu.KindInternal, Err: err}
	}
	return writeFile(p.teachFile(), data)
}
