package server

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"hufu"
	"hufu/internal/files"
	"hufu/internal/session"
)

// MaxTaught is the limit in bytes for the teaching world, which is for samples. Each file, chunk,
// folder and link that was sent since the start of the server counts, even one that was refused or
// has been removed. The memory of the stores may be a little more than that.
const MaxTaught = 32 << 20

// The teaching world forgets the oldest beyond these bounds: nothing in it is
// meant to stay.
const (
	maxPupils      = 256 // accounts
	maxPupilLogins = 16  // logins of one account
)

// taughtIntake is the limit in bytes for the requests to the listener without TLS that
// were not carried out yet; see session.Intake.
const taughtIntake = 16 << 20

// Teach is the throw-away world of the teaching mode: accounts that the first
// login makes, and files in memory. It knows nothing of the real accounts and
// files.
type Teach struct {
	files *files.Service
	ln    net.Listener

	intake *session.Intake // of the listener without TLS

	mu     sync.Mutex // guards what follows
	pupils []*pupil   // oldest first
	taken  int64      // bytes of MaxTaught that are taken
}

// reserve takes so many bytes of the teaching world's limit, or refuses.
func (t *Teach) reserve(bytes int64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if bytes > MaxTaught-t.taken {
		return &hufu.Error{Op: "teach", Kind: hufu.KindQuota, Code: "teach_full"}
	}
	t.taken += bytes
	return nil
}

// pupil is an account of the teaching world.
type pupil struct {
	user, password string
	tokens         []string // oldest first
}

// OpenTeach makes a teaching world of empty stores, and listens for plain connections on
// the given loopback address, or on a port that the system chooses if that one is taken.
// Close closes the stores, and so does OpenTeach if it fails.
func OpenTeach(stores files.Stores, address string, log *slog.Logger) (t *Teach, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, stores.Close())
		}
	}()
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, &hufu.Error{Op: "teach", Path: address, Kind: hufu.KindUsage, Code: "bad_address", Err: err}
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, &hufu.Error{Op: "teach", Path: address, Kind: hufu.KindUsage, Code: "teach_not_loopback"}
	}
	ln, err := net.Listen("tcp", address)
	if err != nil {
		ln, err = net.Listen("tcp", net.JoinHostPort(host, "0"))
	}
	if err != nil {
		return nil, &hufu.Error{Op: "teach", Path: address, Kind: hufu.KindUsage, Code: "cannot_listen", Err: err}
	}
	return &Teach{files: files.New(stores, log), ln: ln, intake: session.NewIntake(taughtIntake)}, nil
}

// Port is where the listener without TLS is.
func (t *Teach) Port() int {
	if a, ok := t.ln.Addr().(*net.TCPAddr); ok {
		return a.Port
	}
	return 0
}

// Address is where the listener without TLS is.
func (t *Teach) Address() string { return t.ln.Addr().String() }

// Close forgets everything.
func (t *Teach) Close() error {
	return errors.Join(t.ln.Close(), t.files.Close())
}

// ServeTeach serves the listener without TLS until ctx ends.
func (s *Server) ServeTeach(ctx context.Context, drain time.Duration) error {
	return s.serve(ctx, s.o.Teach.ln, drain, func(ctx context.Context, raw net.Conn) func() {
		remote := raw.RemoteAddr().String()
		// Bound to loopback; any other peer is refused all the same.
		if a, ok := raw.RemoteAddr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() {
			s.o.Log.Warn("refused", "remote", remote, "why", "not loopback")
			_ = raw.Close()
			return nil
		}
		stream := session.NewStream(raw)
		h := &conn{
			s: s, session: session.NewServer(stream, stream, s.codec), stream: stream, plain: true,
			log: s.o.Log.about(slog.String("remote", remote), slog.Bool("teach", true)), opened: s.o.Now(),
		}
		h.session.UseIntake(s.o.Teach.intake, "")
		s.run(ctx, h, s.o.Teach.files, "plaintext")
		return nil
	})
}

func (t *Teach) login(user, password string) (string, error) {
	if err := hufu.CheckUserName(user); err != nil {
		return "", err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.IndexFunc(t.pupils, func(p *pupil) bool { return p.user == user })
	if i < 0 {
		if len(t.pupils) == maxPupils {
			t.pupils = slices.Delete(t.pupils, 0, 1)
		}
		i = len(t.pupils)
		t.pupils = append(t.pupils, &pupil{user: user, password: password})
	}
	p := t.pupils[i]
	if subtle.ConstantTimeCompare([]byte(p.password), []byte(password)) != 1 {
		return "", &hufu.Error{Op: "teach login", Kind: hufu.KindCredentials, Code: "teach_wrong_password"}
	}
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails
	token := base64.RawURLEncoding.EncodeToString(random)
	if len(p.tokens) == maxPupilLogins {
		p.tokens = slices.Delete(p.tokens, 0, 1)
	}
	p.tokens = append(p.tokens, token)
	return token, nil
}

func (t *Teach) resume(token string) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.pupils {
		if slices.Contains(p.tokens, token) {
			return p.user, nil
		}
	}
	return "", &hufu.Error{Op: "teach", Kind: hufu.KindCredentials, Code: "login_ended"}
}

func (t *Teach) logout(token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.pupils {
		p.tokens = slices.DeleteFunc(p.tokens, func(s string) bool { return s == token })
	}
}
