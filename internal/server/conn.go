package server

import (
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"hufu"
	"hufu/internal/account"
	"hufu/internal/blob"
	"hufu/internal/files"
	"hufu/internal/frame"
	"hufu/internal/identity"
	"hufu/internal/session"
)

// A group of small changes is made durable when this much is waiting, before a request that must
// see its effect, and when the client has nothing more under way. groupChanges is below session.MaxRequests, so that a client always has
// requests to send while a group is being synced.
const (
	groupChanges = 512
	groupBytes   = 8 << 20
	keptChanges  = 32 // an idle connection keeps no room for more
)

// Limits of what one connection keeps open. A file or upload that was closed to make room is opened
// again when it is needed. An upload of which no chunk has arrived is gone when it is closed.
const (
	openFiles   = 8  // for reading
	openUploads = 16 // a client has fewer, but an upload that another connection has ended stays open here
)

// judgeBusyEvery is how often a connection in use is judged again, besides every
// change of accounts: certificates and logins also expire.
const judgeBusyEvery = 100 * time.Millisecond

// conn carries out the requests of one connection.
type conn struct {
	s       *Server
	peer    identity.Peer
	sub     account.Subject
	session *session.Server
	stream  *session.Stream
	log     *Log
	opened  time.Time
	files   *files.Service
	teach   bool
	plain   bool // the teaching listener: no identity is verified

	greeted    atomic.Bool
	token      atomic.Pointer[string]
	taught     teachLogin  // in the teaching world
	view       *files.View // once logged in
	batch      *files.Batch
	group      []change
	hasOther   bool          // the group has other changes than puts, mkdirs and links
	uploads    []blob.Upload // most recent first, like readers
	readers    []*reader
	handles    int // of readers and uploads, as counted in Server.handles
	ahead      ahead
	buf        *session.Chunk // for the answers of gets and reads; kept from one to the next
	copies     bool           // both ends have named the feature
	devices    bool           // the same, of devices; never in the teaching world
	committing atomic.Bool
	judged     time.Time
	cutting    atomic.Bool
	cuts       sync.WaitGroup
}

// change is a change in the group, to be answered when it is durable.
type change struct {
	op     string
	path   hufu.Path
	answer func(blob.Result) frame.Message
}

// reader is a file that is open for reading one version of it.
type reader struct {
	path hufu.Path
	f    blob.File
}

// judge returns an error if the connection must end. It is no use of the login: a connection on which
// nothing happens does not keep it alive.
func (c *conn) judge() error {
	return c.judgeBy(c.s.o.Account.LoggedIn)
}

// judgeRequest is judge for a request, which is a use of the login.
func (c *conn) judgeRequest(ctx context.Context) error {
	return c.judgeBy(func(sub account.Subject, token string) error { return c.s.o.Account.Resume(ctx, sub, token) })
}

func (c *conn) judgeBy(loggedIn func(account.Subject, string) error) error {
	if c.plain {
		return nil
	}
	if _, err := c.s.o.Account.Admit(c.peer.Serial, c.peer.Fingerprint); err != nil {
		return err
	}
	if t := c.token.Load(); t != nil {
		return loggedIn(c.sub, *t)
	}
	return nil
}

// admit is judge by what is in the database now.
func (c *conn) admit(ctx context.Context) error {
	if err := c.s.o.Account.Look(ctx); err != nil {
		return err
	}
	return c.judge()
}

func (c *conn) from() device           { return device{c.sub.User, c.sub.Device} }
func (c *conn) isCut() bool            { return c.cutting.Load() }
func (c *conn) moved() time.Time       { return c.stream.Moved() }
func (c *conn) bytes() (in, out int64) { return c.stream.Bytes() }
func (c *conn) logger() *slog.Logger   { return c.log.Logger }

func (c *conn) pending() []any {
	return []any{"unanswered", c.session.Unanswered(), "writing", c.committing.Load()}
}

// cut says goodbye and ends the connection, once. The caller holds connections.mu and c has not
// left yet. So every cut begins before leave, and gone can wait for all of them.
func (c *conn) cut(why *hufu.Error) {
	if !c.cutting.Swap(true) {
		c.cuts.Go(func() { c.session.Part(why) })
	}
}

func (c *conn) active() bool { return c.session.Unanswered() > 0 || c.committing.Load() }

// keep waits while the accounts in memory are too old to tell whether the user may still act.
func (c *conn) keep(ctx context.Context) error {
	if c.plain {
		return nil
	}
	return c.s.o.Account.Keep(ctx)
}

func (c *conn) close() {
	switch {
	case c.batch == nil || c.batch.Len() == 0:
	case c.judge() == nil:
		c.batch.Commit(context.Background()) // what came before the connection broke
	default:
		c.batch.Discard()
	}
	c.letGo()
}

// letGo closes everything that is open for the login: before a new login, at logout, and at the
// end of the connection.
func (c *conn) letGo() {
	c.endAhead()
	for _, u := range c.uploads {
		_ = u.Close()
	}
	for _, r := range c.readers {
		_ = r.f.Close()
	}
	c.giveBack()
	if c.view != nil {
		c.view.Close()
	}
	c.uploads, c.readers, c.view, c.batch = nil, nil, nil, nil
	c.count()
}

// letGoOfFolder closes the folder that the view keeps open from one get to the next.
func (c *conn) letGoOfFolder() {
	if c.view != nil {
		c.view.LetGo()
	}
}

// Idle finishes the pending group and then writes the kept lines of the log. Both happen
// before the answers that are still in buffers are sent.
func (c *conn) Idle(ctx context.Context) error {
	c.letGoOfFolder()
	c.giveBack()
	err := c.commit(ctx)
	c.log.flush()
	if err != nil {
		return err
	}
	if cap(c.group) > keptChanges {
		c.group = nil
		c.batch.Release()
	}
	if c.s.draining.Load() {
		return stopping()
	}
	return nil
}

// Handle carries out one request. An error ends the connection; an error of the
// request alone is sent as its answer.
func (c *conn) Handle(ctx context.Context, r *session.Request) error {
	defer c.session.Release(r)
	defer c.forget(r)
	if watch := c.s.watch.Load(); watch != nil {
		ctx = (*watch)(ctx)
	}
	switch r.Message.(type) {
	case *frame.Get:
	case *frame.Read:
		c.letGoOfFolder()
	default: // may take long, and needs neither the open folder nor the chunk for answers
		c.letGoOfFolder()
		c.giveBack()
	}
	if hello, ok := r.Message.(*frame.Hello); ok {
		return c.hello(ctx, hello)
	}
	if !c.greeted.Load() {
		return &hufu.Error{Op: "handle", Kind: hufu.KindProtocol, Code: "hello_missing"}
	}
	if now := time.Now(); now.Sub(c.judged) >= judgeBusyEvery {
		c.judged = now
		c.letGoOfFolder() // no folder is held for long, however many gets come
		if err := c.keep(ctx); err != nil {
			if err = canceledOr(ctx, err); errors.Is(err, session.ErrCanceled) {
				return c.refuse(ctx, err) // only this request has ended
			}
			return err
		}
		if err := c.judgeRequest(ctx); err != nil {
			return err
		}
	}
	if r.Canceled {
		return c.refuse(ctx, session.ErrCanceled)
	}
	if c.hasOther && createsName(r.Message) || changesLogin(r.Message) {
		if err := c.commit(ctx); err != nil {
			return err
		}
	}
	switch m := r.Message.(type) {
	case *frame.Login:
		return c.login(ctx, m)
	case *frame.Logout:
		return c.logout(ctx)
	}
	if c.view == nil {
		return c.session.Fail(&hufu.Error{Op: "handle", Kind: hufu.KindCredentials, Code: "not_logged_in"})
	}
	if c.teach {
		if err := c.s.o.Teach.reserve(weight(r)); err != nil {
			return c.refuse(ctx, err)
		}
	}
	if m, ok := r.Message.(*frame.Remove); ok && m.Recursive {
		// A group of its own: it may take long, and the client may cancel it.
		if err := c.commit(ctx); err != nil {
			return err
		}
		c.stage(ctx, r)
		return c.finish(ctx)
	}
	if err := c.reserve(ctx, r); err != nil {
		return err
	}
	if c.stage(context.WithoutCancel(ctx), r) {
		c.session.Stage(r)
		if c.batch.Len() >= groupChanges || c.batch.Bytes() >= groupBytes {
			return c.commit(ctx)
		}
		return nil
	}
	// Requests about files see the effect of all earlier requests.
	if err := c.commit(ctx); err != nil {
		return err
	}
	return c.ask(ctx, r)
}

// reserve waits until the store has memory for the bytes of a put, if it keeps them until the group is
// committed. While it waits, the connection is not read and holds no such memory itself.
func (c *conn) reserve(ctx context.Context, r *session.Request) error {
	m, ok := r.Message.(*frame.Put)
	if !ok || c.batch.Reserve(ctx, m.Path.Path(), int64(len(r.Raw))) {
		return nil
	}
	if err := c.commit(ctx); err != nil {
		return err
	}
	c.batch.Reserve(ctx, m.Path.Path(), int64(len(r.Raw)))
	return nil
}

// refuse answers a request with an error, behind the answers of the group. Without these the
// client would take it for the answer of the group's first request.
func (c *conn) refuse(ctx context.Context, why error) error {
	if err := c.commit(ctx); err != nil {
		return err
	}
	return c.session.Fail(why)
}

// createsName reports whether m is a put, mkdir or link. The store carries these out before the
// other changes of a group, even those sent earlier.
func createsName(m frame.Message) bool {
	switch m.(type) {
	case *frame.Put, *frame.Mkdir, *frame.Link:
		return true
	}
	return false
}

// weight returns what a request counts against MaxTaught: the bytes that it sends, and the cost of a
// name.
func weight(r *session.Request) int64 {
	counts := createsName(r.Message)
	switch r.Message.(type) {
	case *frame.Range, *frame.Copy:
		counts = true
	}
	if counts {
		return int64(len(r.Raw)) + 1<<10
	}
	return 0
}

// changesLogin reports whether m is a login or logout. The group is committed before it.
func changesLogin(m frame.Message) bool {
	switch m.(type) {
	case *frame.Login, *frame.Logout:
		return true
	}
	return false
}

func (c *conn) hello(ctx context.Context, m *frame.Hello) error {
	switch {
	case c.greeted.Load():
		return &hufu.Error{Op: "hello", Kind: hufu.KindProtocol, Code: "hello_twice"}
	case m.Version != frame.Version || !slices.Contains(m.Features, frame.FeatureCore):
		return &hufu.Error{Op: "hello", Kind: hufu.KindProtocol, Code: "protocol_version"}
	}
	c.greeted.Store(true) // before resume: a slow database must not count as time in which the client is silent
	a := &frame.HelloAnswer{
		Version: frame.Version, Features: []string{frame.FeatureCore}, Requests: session.MaxRequests, Bytes: session.MaxAsked,
		Program: "hufud " + hufu.Version, Time: c.s.o.Now().UnixNano(), Instance: c.s.instance, User: c.sub.User, Device: c.sub.Device,
	}
	if c.copies = slices.Contains(m.Features, frame.FeatureCopy); c.copies {
		a.Features = append(a.Features, frame.FeatureCopy)
	}
	if slices.Contains(m.Features, frame.FeatureNodes) && !slices.Contains(m.Features, frame.FeatureTeach) {
		if at, node := c.s.o.Account.Nodes(); node {
			a.Features = append(a.Features, frame.FeatureNodes)
			a.Nodes = reachable(at)
		}
	}
	if t := c.s.o.Teach; t != nil {
		a.Teach = uint16(t.Port())
		if slices.Contains(m.Features, frame.FeatureTeach) {
			a.Features = append(a.Features, frame.FeatureTeach)
			c.teach, c.files = true, t.files
		}
	}
	if c.devices = !c.teach && !c.plain && slices.Contains(m.Features, frame.FeatureDevices); c.devices {
		a.Features = append(a.Features, frame.FeatureDevices)
	}
	if c.plain && !c.teach {
		return &hufu.Error{Op: "hello", Kind: hufu.KindProtocol, Code: "teach_missing"}
	}
	if len(m.Token) > 0 {
		token := base64.RawURLEncoding.EncodeToString(m.Token)
		if err := c.resume(ctx, token); err != nil {
			a.Why = frame.WireError(err)
		} else {
			a.LoggedIn = true
			if c.teach {
				a.User, a.Device = c.taught.user, teachDevice
			}
		}
	}
	if m.Pad > 0 {
		a.Padding = make([]byte, m.Pad)
	}
	return c.session.Answer(a, false, nil)
}

// reachable returns the addresses that mean something to a client, as many as an answer holds. Which
// ones is left to chance if there are more.
func reachable(at []string) []string {
	at = slices.DeleteFunc(slices.Clone(at), func(address string) bool {
		host, _, err := net.SplitHostPort(address)
		ip := net.ParseIP(host)
		return err != nil || len(address) > frame.MaxAddress || !utf8.ValidString(address) || host == "" || ip != nil && ip.IsUnspecified()
	})
	rand.Shuffle(len(at), func(i, j int) { at[i], at[j] = at[j], at[i] }) //nolint:gosec // no secret
	return at[:min(len(at), frame.MaxNodes)]
}

func (c *conn) resume(ctx context.Context, token string) error {
	if c.teach {
		user, err := c.s.o.Teach.resume(token)
		if err == nil {
			c.enterTeach(user, token)
		}
		return err
	}
	if err := c.s.o.Account.ResumeOrLook(ctx, c.sub, token); err != nil {
		return err
	}
	c.enter(token)
	return nil
}

func (c *conn) enter(token string) {
	c.letGo()
	c.token.Store(&token)
	c.view = c.files.For(c.sub.User, c.sub.Device, c.judge, c.log.transfers)
	c.view.Fence(c.admit)
	c.batch = c.view.Batch()
}

// teachLogin is a login in the teaching world.
type teachLogin struct{ user, token string }

// teachDevice is the device of every user of the teaching world.
const teachDevice = "teach"

func (c *conn) enterTeach(user, token string) {
	c.letGo()
	c.taught = teachLogin{user, token}
	c.view = c.files.For(user, teachDevice, c.judge, c.log.transfers)
	c.batch = c.view.Batch()
}

func (c *conn) login(ctx context.Context, m *frame.Login) error {
	var token string
	var err error
	switch {
	case c.teach:
		if token, err = c.s.o.Teach.login(m.User, m.Password); err == nil {
			c.enterTeach(m.User, token)
		}
	case m.User != c.sub.User:
		err = &hufu.Error{Op: "login", Kind: hufu.KindCredentials, Code: "wrong_user", Args: map[string]string{"user": c.sub.User}}
	default:
		if token, err = c.s.o.Account.Login(ctx, c.sub, m.Password); err == nil {
			c.enter(token)
		}
	}
	if err != nil {
		if attrs := []any{"ok", false, "why", hufu.CodeOf(err)}; hufu.KindOf(err) == hufu.KindInternal {
			c.log.Error("login", append(attrs, "err", err)...)
		} else {
			c.log.bounded("login "+c.sub.User, slog.LevelWarn, "login", attrs...)
		}
		return c.session.Fail(err)
	}
	c.log.Info("login", "ok", true)
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return &hufu.Error{Op: "login", Kind: hufu.KindInternal, Err: err}
	}
	return c.session.Answer(&frame.LoginAnswer{Token: raw}, false, nil)
}

func (c *conn) logout(ctx context.Context) error {
	// The connection drops its token first. Otherwise the end of the token would cut it.
	if t := c.token.Swap(nil); t != nil {
		if err := c.s.o.Account.Logout(ctx, c.sub, *t); err != nil {
			c.token.Store(t)
			return c.session.Fail(err)
		}
	}
	if c.teach {
		c.s.o.Teach.logout(c.taught.token)
	}
	c.letGo()
	c.log.Info("logout")
	return c.session.Answer(&frame.LogoutAnswer{}, false, nil)
}
