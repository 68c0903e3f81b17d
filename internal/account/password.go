package account

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/maphash"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"

	"hufu"
	"hufu/internal/meta"
)

// argon2id as OWASP recommends it for servers: 19 MiB, two passes, one lane.
// Two at a time limit the memory that guessing can take to 38 MiB.
const (
	hashMemory   = 19 * 1024 // KiB
	hashTime     = 2
	hashLanes    = 1
	hashSalt     = 16
	hashSize     = 32
	hashesAtOnce = 2
)

// Guessing: the first freeGuesses wrong passwords in a row cost nothing, each
// further one a delay that doubles up to longestDelay, and from lockAfter on
// nothing is judged for lockTime. A count is forgotten after a day.
const (
	freeGuesses  = 2
	longestDelay = 8 * time.Second
	lockAfter    = 10
	lockTime     = 15 * time.Minute
	forgetAfter  = 24 * time.Hour
)

var errPHC = errors.New("stored password is not argon2id in PHC form")

// nobody stands in for the missing hash of a user without a password, so that the answer takes as
// long as for others. No password has this hash.
var nobody = phc(make([]byte, hashSalt), make([]byte, hashSize))

func phc(salt, key []byte) string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, hashMemory, hashTime, hashLanes,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(key))
}

// idKey computes argon2id and returns its 19 MiB to the system at once; the collector would keep
// them for as long as little else is allocated.
func idKey(password string, salt []byte, passes, memory, lanes, size int) []byte {
	defer debug.FreeOSMemory()
	return argon2.IDKey([]byte(password), salt, uint32(passes), uint32(memory), uint8(lanes), uint32(size))
}

// HashPassword returns the hash of a new password, to be stored. It waits for
// its turn.
func (s *Service) HashPassword(ctx context.Context, password string) (string, error) {
	if err := CheckNewPassword(password); err != nil {
		return "", err
	}
	release, err := s.hashSlot(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	salt := make([]byte, hashSalt)
	_, _ = rand.Read(salt) // never fails
	return phc(salt, idKey(password, salt, hashTime, hashMemory, hashLanes, hashSize)), nil
}

func (s *Service) hashSlot(ctx context.Context) (release func(), err error) {
	select {
	case s.hashing <- struct{}{}:
		return func() { <-s.hashing }, nil
	case <-ctx.Done():
		return nil, &hufu.Error{Op: "wait to check password", Kind: hufu.KindCanceled, Err: ctx.Err()}
	}
}

// matches compares a password with a stored hash. It uses the cost parameters in the hash and
// refuses extreme ones.
func matches(stored, password string) (bool, error) {
	var version, memory, passes, lanes int
	f := strings.Split(stored, "$")
	if len(f) != 6 || f[0] != "" || f[1] != "argon2id" {
		return false, errPHC
	}
	if _, err := fmt.Sscanf(f[2], "v=%d", &version); err != nil || version != argon2.Version {
		return false, errPHC
	}
	if _, err := fmt.Sscanf(f[3], "m=%d,t=%d,p=%d", &memory, &passes, &lanes); err != nil ||
		memory < 8 || memory > 1<<18 || passes < 1 || passes > 16 || lanes < 1 || lanes > 16 {
		return false, errPHC
	}
	salt, err := base64.RawStdEncoding.Strict().DecodeString(f[4])
	if err != nil {
		return false, errPHC
	}
	want, err := base64.RawStdEncoding.Strict().DecodeString(f[5])
	if err != nil || len(want) < 16 || len(want) > 64 {
		return false, errPHC
	}
	got := idKey(password, salt, passes, memory, lanes, len(want))
	return subtle.ConstantTimeCompare(got, want) == 1, nil
}

// Prove checks a user's password. It refuses to while the delay lasts that
// earlier wrong guesses have caused. Guesses are counted for each device, so that guessing on one
// does not lock out the others. Each guess is counted before it is checked:
// guessing in parallel gains nothing.
func (s *Service) Prove(ctx context.Context, user, deviceName, password string) error {
	_, err := s.prove(ctx, user, deviceName, password)
	return err
}

// prove is Prove. It returns the stored hash that the password was compared with.
func (s *Service) prove(ctx context.Context, user, deviceName, password string) (stored string, err error) {
	const op = "check password"
	if len(password) > MaxPassword {
		return "", CheckPassword(password)
	}
	key := attemptsOf(user) + deviceName
	turn := s.guess[maphash.String(s.seed, key)%uint64(len(s.guess))]
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-ctx.Done():
		return "", &hufu.Error{Op: op, Kind: hufu.KindCanceled, Err: context.Cause(ctx)}
	}
	release, err := s.hashSlot(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	// From here on the guess counts, so it is judged even if its sender goes
	// away: else a lost connection would look like a wrong password.
	ctx = context.WithoutCancel(ctx)

	err = s.db.Update(ctx, func(q meta.Queries) error {
		u, err := q.User(ctx, user)
		if err != nil && hufu.KindOf(err) != hufu.KindNotFound {
			return err
		}
		stored = u.Password
		a, err := q.Attempts(ctx, key)
		if err != nil {
			return err
		}
		if a, err = guessed(op, a, s.now()); err != nil {
			return err
		}
		return q.PutAttempts(ctx, a)
	})
	if err != nil {
		return "", err
	}
	known := stored != ""
	if !known {
		stored = nobody
	}
	ok, err := matches(stored, password)
	if err != nil {
		return "", &hufu.Error{Op: op, Kind: hufu.KindInternal, Err: err}
	}
	if !ok || !known {
		return "", &hufu.Error{Op: op, Kind: hufu.KindCredentials, Code: "wrong_password"}
	}
	// Tried again while the database is busy: otherwise a right password would be refused and counted.
	return stored, s.db.Update(ctx, func(q meta.Queries) error { return q.DropAttempts(ctx, key) })
}

// attemptsOf returns the beginning of the keys under which a user's guesses are
// counted. No user's name holds a slash.
func attemptsOf(user string) string { return "login/" + user + "/" }

// guessed counts one more guess as a wrong one, or says how long to wait.
func guessed(op string, a meta.Attempts, now time.Time) (meta.Attempts, error) {
	// A clock that was set back must not make the wait longer than any may be.
	if wait := a.Until.Sub(now); wait > 0 && wait <= lockTime {
		code, args := "login_wait", map[string]string{"seconds": seconds(wait)}
		if a.Failures >= lockAfter {
			code, args["until"] = "login_locked_out", stamp(a.Until)
		}
		return a, &hufu.Error{Op: op, Kind: hufu.KindRateLimit, Code: code, Args: args}
	}
	if now.Sub(a.Last) > forgetAfter {
		a.Failures = 0
	}
	a.Failures++
	a.Last, a.Until = now, time.Time{}
	switch {
	case a.Failures >= lockAfter:
		a.Until = now.Add(lockTime)
	case a.Failures > freeGuesses:
		a.Until = now.Add(min(time.Second<<(a.Failures-freeGuesses-1), longestDelay))
	}
	return a, nil
}

// seconds rounds up, so that a client that waits as told is not told to wait
// again.
func seconds(d time.Duration) string {
	return fmt.Sprint(int64((d + time.Second - 1) / time.Second))
}
