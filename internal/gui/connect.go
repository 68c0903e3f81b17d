package gui

import (
	"cmp"
	"context"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"hufu"
	"hufu/internal/client"
	"hufu/internal/demo"
	"hufu/internal/profile"
)

// connectTime is how long the page waits for a server before it reports that it
// cannot be reached; a transfer waits longer.
const connectTime = 10 * time.Second

// link is the one server that the page shows, or none.
type link struct {
	remote  *client.Remote
	profile string
	plain   bool
	user    string // the user of the teaching world; else the profile's
	entered bool   // logged in
	teach   int    // port of the teaching world, 0: none
	lost    error  // why the connection is away, nil while it is there
}

func (l *link) close() error {
	if l.remote == nil {
		return nil
	}
	return l.remote.Close()
}

// jsonProfile is one server that this computer is enrolled with.
type jsonProfile struct {
	Name    string `json:"name"`
	User    string `json:"user"`
	Device  string `json:"device"`
	Address string `json:"address"`
}

// jsonLink describes the connection to the page.
type jsonLink struct {
	Profile  string      `json:"profile"`
	User     string      `json:"user"`
	Device   string      `json:"device"`
	Address  string      `json:"address"`
	Plain    bool        `json:"plain"`
	LoggedIn bool        `json:"logged_in"`
	Why      *problem    `json:"why"` // there is no login
	Server   string      `json:"server"`
	Teach    int         `json:"teach"` // port of the teaching world, 0: none
	Proof    *demo.Proof `json:"proof"`
	Turn     int         `json:"turn"` // counts changes of the link; the page ignores an event with a lower one
}

func (s *Server) state(w http.ResponseWriter, r *http.Request) error {
	names, err := profile.List(s.o.Dirs)
	if err != nil {
		return err
	}
	profiles := []jsonProfile{}
	for _, n := range names {
		p, err := profile.Load(s.o.Dirs, n)
		if err != nil {
			s.o.Log.Warn("profile", "name", n, "err", err)
			continue
		}
		profiles = append(profiles, jsonProfile{n, p.User, p.Device, p.Address})
	}
	s.mu.Lock()
	entered := s.link.entered
	l := jsonLink{Profile: s.link.profile, Plain: s.link.plain, LoggedIn: entered, Teach: s.link.teach, Turn: s.turn}
	if s.link.remote != nil {
		p := s.link.remote.Profile()
		l.User, l.Device, l.Address = cmp.Or(s.link.user, p.User), p.Device, p.Address
	}
	s.mu.Unlock()
	home := s.o.Home
	return s.ok(w, map[string]any{
		"version": hufu.Version, "lang": s.cat(r).Lang(), "profile": s.o.Profile, "profiles": profiles,
		"link": l, "home": localPath(home), "roots": localRoots(),
	})
}

// invitation returns the contents of a code, so that the user can compare them.
func (s *Server) invitation(w http.ResponseWriter, r *http.Request) error {
	req, err := read[struct {
		Code string `json:"code"`
	}](r)
	if err != nil {
		return err
	}
	inv, err := hufu.ParseInvitation(strings.TrimSpace(req.Code))
	if err != nil {
		return err
	}
	return s.ok(w, map[string]any{
		"host": inv.Host, "port": inv.Port, "fingerprint": hex.EncodeToString(inv.Fingerprint), "words": profile.FingerprintWords(inv),
	})
}

func (s *Server) join(w http.ResponseWriter, r *http.Request) error {
	req, err := read[struct {
		Code     string `json:"code"`
		Password string `json:"password"`
		Profile  string `json:"profile"`
	}](r)
	if err != nil {
		return err
	}
	inv, err := hufu.ParseInvitation(strings.TrimSpace(req.Code))
	if err != nil {
		return err
	}
	if req.Password == "" {
		return &hufu.Error{Op: "join", Kind: hufu.KindInvalid, Code: "password_missing"}
	}
	ctx, cancel := context.WithTimeout(r.Context(), 2*connectTime)
	defer cancel()
	p, err := profile.Enroll(ctx, s.o.Dirs, req.Profile, inv, req.Password)
	if p == nil {
		return err
	}
	s.mu.Lock()
	old := s.link
	if old.profile == p.Name { // it was replaced: the connection belongs to the old one
		s.link = link{}
		s.stir()
	}
	s.mu.Unlock()
	if old.profile == p.Name {
		_ = old.close()
	}
	// Enrolled; if the login that follows it failed, the login window is next.
	return s.ok(w, map[string]any{"profile": jsonProfile{p.Name, p.User, p.Device, p.Address}, "error": problemOf(s.cat(r), err)})
}

// open makes a link to a profile's server and connects, without a login.
func (s *Server) open(ctx context.Context, name string, plain bool) (*client.Remote, client.Who, error) {
	if err := s.afterLogout(ctx); err != nil {
		return nil, client.Who{}, err
	}
	p, err := profile.Load(s.o.Dirs, name)
	if err != nil {
		return nil, client.Who{}, err
	}
	s.mu.Lock()
	s.gen++
	gen := s.gen
	if s.link.remote != nil && s.link.profile == name && s.link.plain == plain {
		remote := s.link.remote
		s.mu.Unlock()
		who, err := remote.Whoami(ctx)
		return remote, who, err
	}
	s.mu.Unlock()
	o := client.Options{}
	if plain {
		if p, o, err = demo.Plaintext(ctx, s.o.Dirs, name); err != nil {
			return nil, client.Who{}, err
		}
	}
	o.Disk = s.o.Disk
	o.Notify = func(err error) { s.lost(gen, err) }
	remote, err := client.New(p, o)
	if err != nil {
		return nil, client.Who{}, err
	}
	who, err := remote.Whoami(ctx)
	if err != nil {
		_ = remote.Close()
		return nil, who, err
	}
	if !s.take(link{remote: remote, profile: name, plain: plain, teach: who.Teach}, gen) {
		_ = remote.Close()
		return nil, who, &hufu.Error{Op: "connect", Kind: hufu.KindCanceled}
	}
	return remote, who, nil
}

// take shows l instead of the current link, unless another server was chosen
// since the request gen. The old link is closed without the mutex: a connection
// that is being made calls lost.
func (s *Server) take(l link, gen int) bool {
	s.mu.Lock()
	if gen != s.gen {
		s.mu.Unlock()
		return false
	}
	old := s.link
	s.link, s.linked = l, gen
	s.stir()
	s.mu.Unlock()
	_ = old.close()
	return true
}

// lost is called when the shown connection is lost and when it is back.
func (s *Server) lost(gen int, err error) {
	s.mu.Lock()
	if gen == s.linked {
		s.link.lost = err
		s.stir()
	}
	s.mu.Unlock()
}

// answered is called when the shown server has answered: the call that reported
// the loss may have given up before it could report the recovery.
func (s *Server) answered(r *client.Remote) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link.remote == r && s.link.lost != nil {
		s.link.lost = nil
		s.stir()
	}
}

// describe returns the link as the page shows it.
func (s *Server) describe(r *http.Request, remote *client.Remote, who client.Who, plain bool) (jsonLink, error) {
	p := remote.Profile()
	l := jsonLink{
		Profile: p.Name, User: p.User, Device: p.Device, Address: p.Address, Plain: plain, LoggedIn: who.LoggedIn == nil,
		Why: problemOf(s.cat(r), who.LoggedIn), Server: hufu.Printable(who.Server), Teach: who.Teach,
	}
	var err error
	l.Proof, err = demo.ProofOf(remote)
	return l, err
}

// connect shows what both sides prove, before anybody types a password.
func (s *Server) connect(w http.ResponseWriter, r *http.Request) error {
	req, err := read[struct {
		Profile string `json:"profile"`
		Plain   bool   `json:"plain"`
	}](r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), connectTime)
	defer cancel()
	remote, who, err := s.open(ctx, req.Profile, req.Plain)
	if err != nil {
		return err
	}
	l, err := s.describe(r, remote, who, req.Plain)
	if err != nil {
		return err
	}
	return s.ok(w, map[string]any{"link": l})
}

// login enters: with the password, or without one if there is a login.
func (s *Server) login(w http.ResponseWriter, r *http.Request) error {
	req, err := read[struct {
		Profile  string `json:"profile"`
		User     string `json:"user"`
		Password string `json:"password"`
		Plain    bool   `json:"plain"`
	}](r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), 2*connectTime)
	defer cancel()
	remote, who, err := s.open(ctx, req.Profile, req.Plain)
	if err != nil {
		return err
	}
	if req.Password != "" || who.LoggedIn != nil {
		if req.Password == "" {
			return &hufu.Error{Op: "login", Kind: hufu.KindInvalid, Code: "password_missing"}
		}
		if err := remote.Login(ctx, req.User, req.Password); err != nil {
			return err
		}
		if who, err = remote.Whoami(ctx); err != nil {
			return err
		}
	}
	l, err := s.describe(r, remote, who, req.Plain)
	if err != nil {
		return err
	}
	s.mu.Lock()
	if s.link.remote == remote {
		s.link.entered = who.LoggedIn == nil
		if req.Plain {
			s.link.user = req.User
		}
		l.User = cmp.Or(s.link.user, l.User)
		s.stir()
	}
	l.Turn = s.turn
	s.mu.Unlock()
	if !req.Plain {
		if err := s.queue.RetryFailed(req.Profile); err != nil {
			return err
		}
	}
	return s.ok(w, map[string]any{"link": l})
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request) error {
	if _, err := read[struct{}](r); err != nil {
		return err
	}
	s.leaving <- struct{}{} // before the page hears of it and connects again
	defer func() { <-s.leaving }()
	s.mu.Lock()
	old := s.link
	s.link = link{}
	s.gen++
	s.stir()
	s.mu.Unlock()
	if old.remote == nil {
		return s.ok(w, map[string]any{})
	}
	ctx, cancel := context.WithTimeout(r.Context(), connectTime)
	defer cancel()
	err := old.remote.Logout(ctx)
	_ = old.remote.Close()
	if err != nil && hufu.KindOf(err) != hufu.KindNetwork && hufu.KindOf(err) != hufu.KindUnavailable {
		return err
	}
	return s.ok(w, map[string]any{}) // forgotten here, as requested
}

// afterLogout waits until no logout is under way: that would end the login of a new connection.
func (s *Server) afterLogout(ctx context.Context) error {
	select {
	case s.leaving <- struct{}{}:
		<-s.leaving
		return nil
	case <-ctx.Done():
		return &hufu.Error{Op: "connect", Kind: hufu.KindCanceled, Err: context.Cause(ctx)}
	}
}

// entered returns the connection that the page shows. The error is not_logged_in if there is none.
func (s *Server) entered() (*client.Remote, link, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link.remote == nil {
		return nil, link{}, &hufu.Error{Op: "find server", Kind: hufu.KindCredentials, Code: "not_logged_in"}
	}
	return s.link.remote, s.link, nil
}

// jobRemote gives a job its own connection, so that closing the page's does
// not end it. The teaching world knows a login by its connection's token,
// which is not kept: there a job shares the page's.
func (s *Server) jobRemote(name string, teach bool, notify func(error)) (*client.Remote, func(), error) {
	if teach {
		remote, l, err := s.entered()
		if err == nil && !l.plain {
			err = &hufu.Error{Op: "find server", Kind: hufu.KindCanceled, Code: "gui_teaching_left"}
		}
		return remote, func() {}, err
	}
	p, err := profile.Load(s.o.Dirs, name)
	if err != nil {
		return nil, nil, err
	}
	r, err := client.New(p, client.Options{Disk: s.o.Disk, Notify: notify})
	if err != nil {
		return nil, nil, err
	}
	return r, func() { _ = r.Close() }, nil
}
