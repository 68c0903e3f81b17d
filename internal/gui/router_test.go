package gui

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hufu"
)

// TestHT22EveryRouteRefusesWithoutIdentity walks over all routes, and over what
// is none, and finds one answer for all of them.
func TestHT22EveryRouteRefusesWithoutIdentity(t *testing.T) {
	t.Parallel()
	p := sit(t)
	other := sit(t)
	identities := map[string]struct {
		as   []change
		page bool // enough for the page itself
	}{
		"nothing":              {[]change{without("Cookie"), without(keyHeader)}, false},
		"the key alone":        {[]change{without("Cookie")}, false},
		"the cookie alone":     {[]change{without(keyHeader)}, true},
		"a wrong key":          {[]change{with(keyHeader, strings.Repeat("A", 26))}, true},
		"an empty key":         {[]change{with(keyHeader, "")}, true},
		"the cookie as key":    {[]change{with(keyHeader, p.cookie)}, true},
		"a made-up cookie":     {[]change{with("Cookie", p.guard.cookieName()+"="+strings.Repeat("A", 26))}, false},
		"another start's":      {[]change{with("Cookie", p.guard.cookieName()+"="+other.cookie), with(keyHeader, other.key)}, false},
		"another name":         {[]change{with("Cookie", "hufu="+p.cookie)}, false},
		"a start token as one": {[]change{with("Cookie", p.guard.cookieName()+"="+strings.SplitAfter(p.Start(), "token=")[1])}, false},
		"headers of a proxy": {[]change{
			without("Cookie"), without(keyHeader), with("X-Forwarded-For", "127.0.0.1"), with("X-Forwarded-User", "alice"), with("Authorization", "Bearer "+p.key),
		}, false},
	}
	all := p.routes()
	if len(all) < 20 {
		t.Fatalf("%d routes: the walk is broken", len(all))
	}
	for _, pattern := range []string{
		"GET /nothing", "POST /nothing", "GET /api/", "POST /api/settings", "PUT /api/list", "DELETE /api/jobs", "HEAD /api/state", "OPTIONS /api/list", "TRACE /",
		"GET /api/list", "GET //api/state", "GET /./api/state", "GET /api//state", "POST /instance/", "GET /debug/pprof/", "GET /web", "CONNECT /",
	} {
		all = append(all, route{pattern: pattern, needs: byKey})
	}
	for who, i := range identities {
		for _, rt := range all {
			method, path := target(rt.pattern)
			w := p.do(method, path, "{}", i.as...)
			switch {
			case rt.needs == byToken:
				if w.Code != http.StatusForbidden && w.Code != http.StatusUnauthorized {
					t.Errorf("%s without a token (%s): %d", rt.pattern, who, w.Code)
				}
			case rt.needs == bySession && i.page:
				if w.Code != http.StatusOK {
					t.Errorf("%s with %s: %d, want the page", rt.pattern, who, w.Code)
				}
			case w.Code != http.StatusUnauthorized:
				t.Errorf("%s with %s: %d, want 401", rt.pattern, who, w.Code)
			case !strings.Contains(w.Body.String(), "gui_no_session") && !strings.Contains(w.Body.String(), p.cats["en"].T("error.gui_no_session")):
				t.Errorf("%s with %s: %s", rt.pattern, who, w.Body)
			}
		}
	}
	// With identity, what is none is told as such.
	for _, rt := range all[len(p.routes()):] {
		if method, path := target(rt.pattern); path != "/" {
			if w := p.do(method, path, "{}"); w.Code != http.StatusNotFound && rt.pattern != "HEAD /api/state" {
				t.Errorf("%s: %d, want 404", rt.pattern, w.Code)
			}
		}
	}
}

// TestHT22NoHandlerRunsUnasked: the refusal comes before the handler, and a
// route that demands nothing does not exist.
func TestHT22NoHandlerRunsUnasked(t *testing.T) {
	t.Parallel()
	p := sit(t)
	for _, needs := range []access{0, byKeyBytes + 1, -1, bySession, byKey, byKeyBytes} {
		ran := 0
		h := p.guarded(route{"GET /x", needs, func(w http.ResponseWriter, _ *http.Request) error {
			ran++
			return p.ok(w, nil)
		}})
		do := func(as ...change) int {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/x", nil)
			r.Host = testHost
			for _, c := range as {
				c(r)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w.Code
		}
		cookie := with("Cookie", p.guard.cookieName()+"="+p.cookie)
		if code := do(); code != http.StatusUnauthorized || ran > 0 {
			t.Errorf("access %d without identity: %d, ran %d times", needs, code, ran)
		}
		if code := do(cookie); (code == http.StatusOK) != (needs == bySession) || ran > 1 || ran == 1 && needs != bySession {
			t.Errorf("access %d with a cookie: %d, ran %d times", needs, code, ran)
		}
		ran = 0
		known := needs >= bySession && needs <= byKeyBytes
		if code := do(cookie, with(keyHeader, p.key)); (code == http.StatusOK) != known || (ran == 1) != known {
			t.Errorf("access %d with identity: %d, ran %d times", needs, code, ran)
		}
	}
	for _, rt := range p.routes() {
		if rt.needs < byToken || rt.needs > byKeyBytes || rt.handle == nil {
			t.Errorf("%s demands nothing", rt.pattern)
		}
		if method, path, _ := strings.Cut(rt.pattern, " "); rt.needs < byKey && (strings.HasPrefix(path, "/api/") || method == http.MethodPost && path != "/instance") {
			t.Errorf("%s is to be had without a key", rt.pattern)
		}
	}
}

// TestHT23TheListenerIsLoopback: this listener's rule is that it can be reached
// from this computer only, whatever it is told.
func TestHT23TheListenerIsLoopback(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"0.0.0.0:0", "[::]:0", ":0", "192.0.2.1:0", "localhost:0", "example.org:0", "127.0.0.1", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:65536", "127.0.0.1:-1",
		"[::1%lo]:0", "[::ffff:192.0.2.1]:0", "127.0.0.1:0:0", "/tmp/socket", "", "126.255.255.255:0", "[fe80::1]:0", "0:0", "2130706433:0", "10.0.0.1:4711",
	} {
		ln, err := Listen(t.Context(), address)
		if err == nil {
			t.Errorf("%q listens on %s", address, ln.Addr())
			_ = ln.Close()
		} else if hufu.CodeOf(err) != "gui_not_loopback" {
			t.Errorf("%q: %v", address, err)
		}
	}
	ln, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	if a, ok := ln.Addr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() {
		t.Errorf("listens on %v", ln.Addr())
	}
	if _, err := Listen(t.Context(), ln.Addr().String()); hufu.CodeOf(err) != "gui_port_taken" {
		t.Errorf("a port that is taken: %v", err)
	}
	// An address of version 6 has brackets in its Host, too.
	p := open(t, nil)
	p.guard.bind("[::1]:4711")
	if w := p.do(http.MethodGet, "/", "", func(r *http.Request) { r.Host = "[::1]:4711" }); w.Code != http.StatusUnauthorized {
		t.Errorf("version 6: %d", w.Code)
	}
}

// served runs a page on a real port until the test ends.
func served(t *testing.T, p *person) (start string, stop func()) {
	t.Helper()
	ln, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan string, 1), make(chan error, 1)
	go func() { done <- p.Serve(ctx, ln, func(s string) { ready <- s }) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	select {
	case start = <-ready:
	case err := <-done:
		cancel()
		t.Fatal(err)
	}
	return start, stop
}

// TestHT23TheListenerHasItsOwnRules: over a real socket, as in the handler.
func TestHT23TheListenerHasItsOwnRules(t *testing.T) {
	t.Parallel()
	p := open(t, nil)
	start, stop := served(t, p)
	defer stop()
	address, _, _ := strings.Cut(strings.TrimPrefix(start, "http://"), "/")
	c := http.Client{Transport: &http.Transport{}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer c.CloseIdleConnections()
	get := func(path string, as ...change) int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range as {
			f(r)
		}
		res, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	if code := get("/api/state"); code != http.StatusUnauthorized {
		t.Errorf("without identity: %d", code)
	}
	if code := get("/", func(r *http.Request) { r.Host = "localhost" }); code != http.StatusForbidden {
		t.Errorf("under another name: %d", code)
	}
	if code := get("/", with("Origin", "http://evil.example")); code != http.StatusForbidden {
		t.Errorf("with a foreign origin: %d", code)
	}
	if code := get(strings.SplitAfter(start, address)[1]); code != http.StatusOK {
		t.Errorf("with the start token: %d", code)
	}
	if code := get("/", with("X-Long", strings.Repeat("x", 64<<10))); code != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("with a header without end: %d", code)
	}
}

// TestRequestsAreReadStrictly: one object, no key that nobody knows, nothing
// behind it, of the right type and not without end.
func TestRequestsAreReadStrictly(t *testing.T) {
	t.Parallel()
	p := sit(t)
	n := 0
	for _, rt := range p.routes() {
		method, path := target(rt.pattern)
		if method != http.MethodPost || rt.needs == byKeyBytes {
			continue
		}
		n++
		for what, body := range map[string]string{
			"an unknown key": `{"unknown":1}`, "something behind": `{}{}`, "a brace behind": `{}}`, "nothing": ``, "a list": `[]`, "half": `{"side":`, "a number": `1`,
		} {
			w := p.do(method, path, body)
			if w.Code != http.StatusUnprocessableEntity || told(t, w).Code != "gui_bad_request" {
				t.Errorf("%s, %s: %d %s", rt.pattern, what, w.Code, w.Body)
			}
		}
		for _, typ := range []string{"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonx", "application/octet-stream", "a/b/c"} {
			if w := p.do(method, path, "{}", with("Content-Type", typ)); w.Code != http.StatusUnsupportedMediaType || told(t, w).Code != "gui_bad_request" {
				t.Errorf("%s as %q: %d", rt.pattern, typ, w.Code)
			}
		}
	}
	if n < 10 {
		t.Errorf("%d routes read something", n)
	}
	long := func(size int) string { return `{"side":"local","path":"/"}` + strings.Repeat(" ", size-27) }
	if w := p.do(http.MethodPost, "/api/list", long(maxBody)); w.Code != http.StatusOK {
		t.Errorf("at the limit: %d %s", w.Code, w.Body)
	}
	if w := p.do(http.MethodPost, "/api/list", long(maxBody+1)); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("one above the limit: %d", w.Code)
	}
	if w := p.do(http.MethodPost, "/api/spool/abc", "x", with("Content-Type", "application/json")); w.Code != http.StatusUnsupportedMediaType {
		t.Errorf("bytes as JSON: %d", w.Code)
	}
}

// TestEveryKindHasAStatus, and none that the page takes for the end of its
// session.
func TestEveryKindHasAStatus(t *testing.T) {
	t.Parallel()
	for _, k := range hufu.Kinds() {
		if got := statusOf(k); got < 400 || got == http.StatusUnauthorized {
			t.Errorf("%v: %d", k, got)
		}
	}
	p := sit(t)
	if problemOf(p.cats["en"], nil) != nil || problemOf(p.cats["en"], (*hufu.Error)(nil)) != nil {
		t.Error("no error has become one")
	}
	if e := problemOf(p.cats["en"], errors.New("not foreseen")); e.Kind != "internal" || e.Fix == "" {
		t.Errorf("a foreign error: %+v", e)
	}
}

// TestWhatRunsIsFinished: the page ends when the requests that run have been answered.
func TestWhatRunsIsFinished(t *testing.T) {
	t.Parallel()
	p := open(t, nil)
	began := make(chan struct{})
	var finished atomic.Bool
	p.handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(began)
		<-p.done                          // the page is about to end
		time.Sleep(50 * time.Millisecond) // the rest of the work
		finished.Store(true)
	})
	start, stop := served(t, p)
	defer stop()
	answered := make(chan error, 1)
	go func() {
		res, err := http.Get(start) //nolint:noctx // short
		if err == nil {
			err = res.Body.Close()
		}
		answered <- err
	}()
	<-began
	stop()
	if !finished.Load() {
		t.Error("the page ended before the request did")
	}
	if err := <-answered; err != nil {
		t.Error(err)
	}
}
