package gui

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Limits of the guard.
const (
	tokenLife  = 10 * time.Minute // of an unused start token
	maxTokens  = 32
	maxSession = 64
)

// secret is the stored form of a token or key: hashed, so that leaked memory
// opens nothing and comparing reveals nothing.
type secret [32]byte

func hashed(s string) secret { return sha256.Sum256([]byte(s)) }

// guard knows the valid sessions. A session is two secrets: a cookie, which a
// browser sends by itself, also to other ports of the same computer; and a key
// in the page's own storage, which no other origin can read and which every
// call of the interface must carry.
type guard struct {
	now func() time.Time

	mu       sync.Mutex
	host     string // the only Host there is
	tokens   map[secret]time.Time
	sessions map[secret]session // by cookie
}

type session struct {
	key  secret
	made time.Time
}

func newGuard(now func() time.Time) *guard {
	return &guard{now: now, tokens: map[secret]time.Time{}, sessions: map[secret]session{}}
}

func (g *guard) bind(address string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.host = strings.TrimSuffix(address, ":80") // as browsers write it
}

func (g *guard) origin() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return "http://" + g.host
}

// cookieName carries the port: cookies of one computer's ports share one jar.
func (g *guard) cookieName() string {
	_, port, err := net.SplitHostPort(strings.TrimPrefix(g.origin(), "http://"))
	if err != nil {
		port = "80"
	}
	return "hufu_" + port
}

// newToken makes a start token.
func (g *guard) newToken() string {
	t := rand.Text()
	g.mu.Lock()
	defer g.mu.Unlock()
	maps.DeleteFunc(g.tokens, func(_ secret, made time.Time) bool { return g.now().Sub(made) > tokenLife })
	if len(g.tokens) >= maxTokens {
		delete(g.tokens, oldest(g.tokens, func(made time.Time) time.Time { return made }))
	}
	g.tokens[hashed(t)] = g.now()
	return t
}

// redeem trades a start token, once, for a session's cookie and key.
func (g *guard) redeem(token string) (cookie, key string, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	h := hashed(token)
	made, ok := g.tokens[h]
	delete(g.tokens, h)
	if !ok || g.now().Sub(made) > tokenLife {
		return "", "", false
	}
	if len(g.sessions) >= maxSession {
		delete(g.sessions, oldest(g.sessions, func(s session) time.Time { return s.made }))
	}
	cookie, key = rand.Text(), rand.Text()
	g.sessions[hashed(cookie)] = session{hashed(key), g.now()}
	return cookie, key, true
}

// oldest returns the secret of the entry that was made first.
func oldest[T any](all map[secret]T, made func(T) time.Time) (first secret) {
	var when time.Time
	for k, v := range all {
		if m := made(v); when.IsZero() || m.Before(when) {
			first, when = k, m
		}
	}
	return first
}

// known reports whether a request carries the cookie of a session and, with key,
// its key as well.
func (g *guard) known(r *http.Request, key bool) bool {
	c, err := r.Cookie(g.cookieName())
	if err != nil {
		return false
	}
	g.mu.Lock()
	s, ok := g.sessions[hashed(c.Value)]
	g.mu.Unlock()
	if !ok || !key {
		return ok
	}
	h := hashed(r.Header.Get(keyHeader))
	return subtle.ConstantTimeCompare(h[:], s.key[:]) == 1
}

// keyHeader carries the session's key. A page of another origin cannot set it
// without a preflight, which is never granted.
const keyHeader = "X-Hufu-Key"

// foreign returns the reason why a request cannot come from our own page, "" if
// it can. The Host check stops a name that is bound again to loopback (HT-21).
func (g *guard) foreign(r *http.Request) string {
	origin := g.origin()
	if "http://"+r.Host != origin {
		return "gui_foreign_host"
	}
	if o := r.Header.Get("Origin"); o != "" && o != origin {
		return "gui_foreign_origin"
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
		return ""
	}
	// Opening the page from elsewhere is harmless: it needs a token or a cookie.
	if r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate" {
		return ""
	}
	return "gui_foreign_origin"
}
