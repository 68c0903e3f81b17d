// Package account owns users: their names and passwords, the owners of certificates, locks and
// revocations, logins and their tokens, invitations, and the counting of wrong guesses. It promises
// that a certificate or a token is judged from memory, without a wait. The state in memory is
// normally at most a few hundred milliseconds older than the database, whichever process wrote
// last. If the database cannot be read, the last state is used until it is StateLimit old; after
// that every decision is "try again". AdmitOrLook and ResumeOrLook read the database again before
// they refuse a client. Making certificates is left to ca, verifying signatures to identity.
package account

import (
	"context"
	"hash/maphash"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hufu"
	"hufu/internal/meta"
)

const (
	// PollInterval is how often Run checks whether the database has changed.
	PollInterval = 200 * time.Millisecond
	// StateLimit is the greatest age of the state in memory for a decision.
	StateLimit = 10 * time.Second
	// A transfer on a shared database pauses while the state is older than pauseAfter, so that a
	// revocation by another server takes effect within a second.
	pauseAfter = 800 * time.Millisecond
	// restoreTime is how long after a restore all rows are read again before each refusal.
	restoreTime = time.Hour
)

// Options hold the dependencies of a Service.
type Options struct {
	Now func() time.Time // time.Now if nil
	Log *slog.Logger     // none if nil
	// Judges keeps the accounts in memory, for a server. Without it only administration works: no
	// method may be called that admits, logs in, resumes, or keeps the state up to date.
	Judges bool
}

// Service is the accounts of one database. It may be used by many goroutines.
type Service struct {
	db  *meta.DB
	now func() time.Time
	log *slog.Logger

	judges  bool
	state   atomic.Pointer[state]     // never nil
	checked atomic.Pointer[time.Time] // when state was last known to be the database's

	loading chan struct{} // holds one while the database is asked; guards what follows
	version meta.Version
	asked   time.Time       // when the last question for the version began that was answered or failed
	failure error           // of that question, nil if it was answered
	read    time.Time       // when the state was last read
	backAt  time.Time       // when the database was last found to have gone back to an earlier state
	revoked map[string]cert // what had been revoked until then, by serial
	away    bool            // the database did not answer the last time

	applying sync.Mutex // taken before loading is given back; guards what follows
	applied  known

	mu       sync.Mutex // guards what follows
	onChange []func()
	touched  map[[32]byte]time.Time // logins whose last use is to be written

	node presence

	hashing chan struct{}     // a place for each argon2id at work
	seed    maphash.Seed      // for choosing a place in guess
	guess   [64]chan struct{} // one guess at a time for each user and device, by hash of both
	codes   invitationLimits  // wrong invitation secrets
}

// state is the basis of decisions. It is replaced, never changed, except for
// the last use of a login.
type state struct {
	users   map[string]meta.User
	devices map[device]time.Time // locked since
	certs   map[string]cert      // by serial
	logins  map[[32]byte]*login  // by hash of the token
}

type device struct{ user, name string }

type cert struct {
	fingerprint       [32]byte
	lineage           string
	use, user, device string
	notAfter          time.Time
	revoked           time.Time
	reason            string
}

type login struct {
	lineage, user, device string
	used                  atomic.Int64 // milliseconds since 1970, as last seen by this process
	written               atomic.Int64 // the same in the database
}

// Open reads the accounts of db. The caller closes db, after Run has ended.
func Open(ctx context.Context, db *meta.DB, o Options) (*Service, error) {
	s := &Service{
		db: db, now: o.Now, log: o.Log, judges: o.Judges,
		touched: make(map[[32]byte]time.Time), revoked: make(map[string]cert),
		hashing: make(chan struct{}, hashesAtOnce),
		loading: make(chan struct{}, 1),
		seed:    maphash.MakeSeed(),
	}
	for i := range s.guess {
		s.guess[i] = make(chan struct{}, 1)
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.codes.now = s.now
	s.state.Store(&state{})
	if !s.judges {
		return s, nil
	}
	if err := s.Reload(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// OnChange registers f, which runs after each reload that changed a user, a device, a certificate
// or a login. f judges live connections again. It must decide from memory: calling Reload or Look
// in it is a deadlock.
func (s *Service) OnChange(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onChange = append(s.onChange, f)
}

// Run keeps the state up to date until ctx ends, tells other nodes so, and writes the last uses of
// logins. It ends by itself, with an error, if this node must give way to another; see Join.
func (s *Service) Run(ctx context.Context) error {
	// A write may wait long for its turn, while the state must stay fresh.
	writing, stop := context.WithCancel(ctx)
	var writer sync.WaitGroup
	writer.Go(func() { s.keepFlushing(writing) })
	defer writer.Wait()
	defer stop()
	tick := time.NewTicker(PollInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), partTime)
			defer cancel()
			s.Leave(ctx)
			return nil
		case <-tick.C:
			_ = s.look(ctx) // logged there: the state is not renewed; once it is older than StateLimit every decision says so
			if s.beat(ctx) {
				if err := s.misfit(ctx); err != nil {
					s.node.fits = nil // a second Run judges connections until they are drained, whatever other nodes do
					return err
				}
			}
		}
	}
}

// look reloads the state if the database has changed. Concurrent callers share one query, and its
// failure.
func (s *Service) look(ctx context.Context) error {
	return s.lookFor(ctx, false)
}

// lookAgain is look before a refusal: within restoreTime after a restore it reads all rows, because
// a restore brings tables back one by one.
func (s *Service) lookAgain(ctx context.Context) error {
	return s.lookFor(ctx, true)
}

func (s *Service) lookFor(ctx context.Context, refusal bool) error {
	began := time.Now()
	if err := s.enter(ctx); err != nil {
		return err
	}
	now, at := time.Now(), s.now()
	all := refusal && !s.backAt.IsZero() && now.Sub(s.backAt) < restoreTime && !s.read.After(began)
	if s.asked.After(began) && !all {
		defer s.exit()
		return s.failure
	}
	v, clock, err := s.db.VersionAt(ctx)
	k := known{v, clock}
	// After a restore all rows are read again, at growing intervals.
	due := !s.backAt.IsZero() && now.Sub(s.read) >= max(PollInterval, s.read.Sub(s.backAt))
	if err == nil && (v != s.version || all || due) {
		return s.reloadAndExit(ctx, now, at, k)
	}
	defer s.exit()
	s.mark(ctx, now, at, err)
	if err == nil {
		s.stillApplied(k)
	}
	return err
}

// Reload reads the state from the database now.
func (s *Service) Reload(ctx context.Context) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	now, at := time.Now(), s.now()
	v, clock, err := s.db.VersionAt(ctx)
	if err != nil {
		s.mark(ctx, now, at, err)
		s.exit()
		return err
	}
	return s.reloadAndExit(ctx, now, at, known{v, clock})
}

// enter waits until nobody else asks the database, or until ctx ends. exit must follow.
func (s *Service) enter(ctx context.Context) error {
	select {
	case s.loading <- struct{}{}:
		return nil
	case <-ctx.Done():
		return &hufu.Error{Op: "look at accounts", Kind: hufu.KindCanceled, Err: context.Cause(ctx)}
	}
}

func (s *Service) exit() { <-s.loading }

// reloadAndExit replaces the state and has the connections judged again. The caller has entered, and
// then asked for k.
func (s *Service) reloadAndExit(ctx context.Context, now, at time.Time, k known) error {
	changed, err := s.reload(ctx, now, at, k)
	if err != nil {
		s.exit()
		return err
	}
	s.applying.Lock() // before another reload finds nothing new while this one still cuts connections
	defer s.applying.Unlock()
	s.exit()
	if changed {
		s.mu.Lock()
		call := slices.Clone(s.onChange)
		s.mu.Unlock()
		for _, f := range call {
			f()
		}
	}
	s.applied = k
	return nil
}

// reload replaces the state. The version was read before the rows are: a change between the two is read
// twice, never missed. The caller has entered.
func (s *Service) reload(ctx context.Context, now, at time.Time, k known) (changed bool, err error) {
	old := s.state.Load()
	next, err := s.load(ctx, old)
	if err != nil {
		s.mark(ctx, now, at, err)
		return false, err
	}
	s.restored(now, k.version, old, next)
	s.version, s.read = k.version, now
	s.state.Store(next)
	s.mark(ctx, now, at, nil)
	return !next.equal(old), nil
}

// restored looks whether the database has gone back to an earlier state, and logs it with the
// certificates that are valid again. No command but "hufud db copy --replace" makes a revoked
// certificate valid again, so it normally comes from a backup. A restore brings back one table after
// another. A certificate can therefore become valid again after the version has gone back. For
// restoreTime, the certificates that were revoked before are looked for in the rows of each reload.
func (s *Service) restored(now time.Time, v meta.Version, old, next *state) {
	const most = 20 // names in one line
	if !s.backAt.IsZero() && now.Sub(s.backAt) >= restoreTime {
		clear(s.revoked)
	}
	var valid []string
	again := func(serial string, c cert) bool {
		n, ok := next.certs[serial]
		if ok = ok && n.revoked.IsZero(); ok {
			valid = append(valid, serial+" ("+c.user+" "+c.device+")")
		}
		return ok
	}
	maps.DeleteFunc(s.revoked, again)
	back := v.Before(s.version)
	for serial, c := range old.certs {
		if _, known := s.revoked[serial]; !c.revoked.IsZero() && !known && !again(serial, c) && back {
			s.revoked[serial] = c
		}
	}
	if len(valid) > 0 || back {
		s.backAt = now
		slices.Sort(valid)
		valid = slices.Compact(valid) // a certificate may be both in s.revoked and in old
		s.log.Warn("the database has gone back to an earlier state: if a backup was restored, revoke the listed certificates again",
			"valid_again", len(valid), "certificates", strings.Join(valid[:min(most, len(valid))], ", "))
	}
}

// mark records the outcome of a check that began at the given time, by the clock of this computer
// and by that of the Service, and logs it if it differs from the last one. It ignores an error
// after the end of ctx, which says nothing about the database.
func (s *Service) mark(ctx context.Context, begun, at time.Time, err error) {
	if err != nil && ctx.Err() != nil {
		return
	}
	s.asked, s.failure = begun, err
	if err != nil {
		if !s.away {
			s.log.Warn("accounts cannot be read", "error", err)
		}
		s.away = true
		return
	}
	if s.away {
		s.log.Info("accounts can be read again")
	}
	s.away = false
	s.checked.Store(&at)
}

// Fresh reports whether the state in memory is young enough to decide on.
func (s *Service) Fresh() bool { return s.younger(StateLimit) }

// younger reports whether the state is younger than limit by both clocks: the monotonic one stops
// while a virtual machine is suspended, and the other one may be set.
func (s *Service) younger(limit time.Duration) bool {
	t, now := s.checked.Load(), s.now()
	return t != nil && now.Sub(*t) < limit && now.Round(0).Sub(t.Round(0)) < limit
}

// Keep pauses a running transfer while the state of a shared database is older than pauseAfter. It
// returns an error once the state is older than StateLimit. On SQLite it returns at once.
func (s *Service) Keep(ctx context.Context) error {
	const op = "go on"
	if !s.db.Shared() {
		return nil
	}
	for !s.younger(pauseAfter) {
		if s.look(ctx) == nil {
			return nil
		}
		if err := s.fresh(op); err != nil {
			return err
		}
		select {
		case <-time.After(PollInterval):
		case <-ctx.Done():
			return &hufu.Error{Op: op, Kind: hufu.KindCanceled, Err: context.Cause(ctx)}
		}
	}
	return nil
}

// Look brings the state up to date now. It is called right before a commit, so that nobody commits
// a change after losing the right to.
func (s *Service) Look(ctx context.Context) error {
	if err := s.look(ctx); err != nil {
		return unsure("look at accounts", err)
	}
	return nil
}

func (s *Service) fresh(op string) error {
	if s.Fresh() {
		return nil
	}
	return &hufu.Error{Op: op, Kind: hufu.KindUnavailable, Code: "state_stale"}
}

func (s *Service) load(ctx context.Context, old *state) (*state, error) {
	next := &state{
		users: make(map[string]meta.User), devices: make(map[device]time.Time),
		certs: make(map[string]cert), logins: make(map[[32]byte]*login),
	}
	err := s.db.View(ctx, func(q meta.Queries) error {
		users, err := q.Users(ctx)
		if err != nil {
			return err
		}
		devices, err := q.Devices(ctx)
		if err != nil {
			return err
		}
		certs, err := q.Certificates(ctx)
		if err != nil {
			return err
		}
		logins, err := q.Logins(ctx)
		if err != nil {
			return err
		}
		for _, u := range users {
			next.users[u.Name] = u
		}
		for _, d := range devices {
			if !d.Locked.IsZero() {
				next.devices[device{d.User, d.Name}] = d.Locked
			}
		}
		for _, c := range certs {
			next.certs[c.Serial] = certOf(c)
		}
		for _, l := range logins {
			next.logins[l.TokenHash] = newLogin(l, old.logins[l.TokenHash])
		}
		return nil
	})
	return next, err
}

func certOf(c meta.Certificate) cert {
	return cert{
		fingerprint: c.Fingerprint, lineage: c.Lineage, use: c.Use, user: c.User, device: c.Device,
		notAfter: c.NotAfter, revoked: c.Revoked, reason: c.Reason,
	}
}

// newLogin keeps the last use that this process has seen, and the one that it has
// written since the rows were read.
func newLogin(l meta.Login, old *login) *login {
	n := &login{lineage: l.Lineage, user: l.User, device: l.Device}
	used := l.LastUsed.UnixMilli()
	written := used
	if old != nil {
		used, written = max(used, old.used.Load()), max(written, old.written.Load())
	}
	n.used.Store(used)
	n.written.Store(written)
	return n
}

func (a *state) equal(b *state) bool {
	return maps.Equal(a.users, b.users) && maps.Equal(a.devices, b.devices) && maps.Equal(a.certs, b.certs) &&
		maps.EqualFunc(a.logins, b.logins, func(x, y *login) bool {
			return x.lineage == y.lineage && x.user == y.user && x.device == y.device
		})
}

// changed makes a change of our own visible at once, unless ctx ends. The change itself is
// already durable, so an error here is left to the next poll.
func (s *Service) changed(ctx context.Context) {
	if !s.judges {
		return
	}
	_ = s.Reload(ctx) // logged and remembered by mark
}
