package gui

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestHT21ForeignRequestsAreRefused: identity alone is not enough, the request
// must also have been made for this page and by it.
func TestHT21ForeignRequestsAreRefused(t *testing.T) {
	t.Parallel()
	p := sit(t)
	host := func(h string) change { return func(r *http.Request) { r.Host = h } }
	cases := map[string]struct {
		as   change
		code string
	}{
		"a name bound to loopback":    {host("evil.example:4711"), "gui_foreign_host"},
		"a name of this machine":      {host("localhost:4711"), "gui_foreign_host"},
		"another port":                {host("127.0.0.1:4712"), "gui_foreign_host"},
		"no port":                     {host("127.0.0.1"), "gui_foreign_host"},
		"another form of the address": {host("127.1:4711"), "gui_foreign_host"},
		"no host":                     {host(""), "gui_foreign_host"},
		"a foreign origin":            {with("Origin", "http://evil.example"), "gui_foreign_origin"},
		"an origin without a name":    {with("Origin", "null"), "gui_foreign_origin"},
		"the origin of another port":  {with("Origin", "http://127.0.0.1:4712"), "gui_foreign_origin"},
		"the origin of TLS":           {with("Origin", "https://"+testHost), "gui_foreign_origin"},
		"an origin with more behind":  {with("Origin", "http://"+testHost+".evil.example"), "gui_foreign_origin"},
		"a script of another site":    {with("Sec-Fetch-Site", "cross-site"), "gui_foreign_origin"},
		"a script of another port":    {with("Sec-Fetch-Site", "same-site"), "gui_foreign_origin"},
		"a site that is no word":      {with("Sec-Fetch-Site", "same-origin, none"), "gui_foreign_origin"},
	}
	for name, c := range cases {
		for _, rt := range append(p.routes(), route{pattern: "GET /nothing"}, route{pattern: "OPTIONS /api/list"}, route{pattern: "PUT /api/state"}) {
			method, path := target(rt.pattern)
			w := p.do(method, path, "{}", c.as)
			if w.Code != http.StatusForbidden {
				t.Errorf("%s: %s: %d, want 403", name, rt.pattern, w.Code)
			} else if text := w.Body.String(); !strings.Contains(text, c.code) && !strings.Contains(text, p.cats["en"].T("error."+c.code)) {
				t.Errorf("%s: %s: %s, want %s", name, rt.pattern, text, c.code)
			}
			for k := range w.Header() {
				if strings.HasPrefix(k, "Access-Control-") {
					t.Errorf("%s: %s grants something: %s", name, rt.pattern, k)
				}
			}
		}
	}
	// A link from elsewhere may lead here, and brings nothing with it: the
	// browser sends no strict cookie along.
	navigate := []change{with("Sec-Fetch-Site", "cross-site"), with("Sec-Fetch-Mode", "navigate")}
	if w := p.do(http.MethodGet, "/", "", append(navigate, without("Cookie"))...); w.Code != http.StatusUnauthorized {
		t.Errorf("a link from elsewhere without a cookie: %d", w.Code)
	}
	if w := p.do(http.MethodPost, "/api/logout", "{}", navigate...); w.Code != http.StatusForbidden {
		t.Errorf("a form of another site: %d", w.Code)
	}
	if w := p.do(http.MethodGet, "/api/state", ""); w.Code != http.StatusOK {
		t.Errorf("after all that the page's own request: %d", w.Code)
	}
}

func TestHT21PreflightIsNeverGranted(t *testing.T) {
	t.Parallel()
	p := sit(t)
	for _, origin := range []string{"http://evil.example", "http://" + testHost} {
		w := p.do(http.MethodOptions, "/api/list", "", with("Origin", origin), with("Access-Control-Request-Method", "POST"),
			with("Access-Control-Request-Headers", "x-hufu-key"), without("Cookie"), without(keyHeader))
		if w.Code < 400 {
			t.Errorf("%s: %d", origin, w.Code)
		}
		for k := range w.Header() {
			if strings.HasPrefix(k, "Access-Control-") {
				t.Errorf("%s: %s: %s", origin, k, w.Header().Get(k))
			}
		}
	}
}

func TestHT21StartTokenWorksOnceAndForAWhile(t *testing.T) {
	t.Parallel()
	c := &clock{now: time.Unix(1_800_000_000, 0)}
	p := open(t, c.Now)
	open := func(start string, as ...change) int {
		return p.do(http.MethodGet, strings.TrimPrefix(start, "http://"+testHost), "", as...).Code
	}
	start := p.Start()
	if !strings.HasPrefix(start, "http://"+testHost+"/start?token=") {
		t.Fatalf("start address %s", start)
	}
	if code := open(start, func(r *http.Request) { r.Host = "evil.example:4711" }); code != http.StatusForbidden {
		t.Errorf("under another name: %d", code)
	}
	if code := open(start); code != http.StatusOK {
		t.Errorf("the first time: %d; a refused request must not use it up", code)
	}
	if code := open(start); code != http.StatusForbidden {
		t.Errorf("the second time: %d", code)
	}
	young, old := p.Start(), p.Start()
	c.pass(tokenLife)
	if code := open(young); code != http.StatusOK {
		t.Errorf("on its last second: %d", code)
	}
	c.pass(1)
	if code := open(old); code != http.StatusForbidden {
		t.Errorf("after its time: %d", code)
	}
	for _, bad := range []string{"/start", "/start?token=", "/start?token=" + strings.Repeat("A", 26), "/start?Token=" + strings.TrimPrefix(p.Start(), "http://"+testHost+"/start?token=")} {
		w := p.do(http.MethodGet, bad, "", with("Accept-Language", "zh-CN"))
		if w.Code != http.StatusForbidden || len(w.Result().Cookies()) > 0 {
			t.Errorf("%s: %d %v", bad, w.Code, w.Result().Cookies())
		}
		if w.Header().Get("Content-Type") != "text/plain; charset=utf-8" || !strings.Contains(w.Body.String(), p.cats["zh-CN"].T("error.gui_start_expired.fix")) {
			t.Errorf("%s: what to do next is not told: %s", bad, w.Body)
		}
	}
	// Tokens that nobody uses do not pile up.
	for range 3 * maxTokens {
		p.Start()
	}
	if n := len(p.guard.tokens); n > maxTokens {
		t.Errorf("%d tokens are kept", n)
	}
	// The newest ones are kept.
	c.pass(1)
	newest := p.Start()
	c.pass(1)
	for range maxTokens - 1 {
		p.Start()
	}
	if code := open(newest); code != http.StatusOK {
		t.Errorf("one of the newest tokens: %d", code)
	}
}

// TestPort80: browsers leave the default port out.
func TestPort80(t *testing.T) {
	t.Parallel()
	g := newGuard(time.Now)
	g.bind("127.0.0.1:80")
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/state", nil)
	r.Host = "127.0.0.1"
	r.Header.Set("Origin", "http://127.0.0.1")
	if code := g.foreign(r); code != "" || g.origin() != "http://127.0.0.1" || g.cookieName() != "hufu_80" {
		t.Errorf("%q at %s with the cookie %s", code, g.origin(), g.cookieName())
	}
	g.bind("[::1]:8080")
	if g.origin() != "http://[::1]:8080" || g.cookieName() != "hufu_8080" {
		t.Errorf("%s with the cookie %s", g.origin(), g.cookieName())
	}
}

func TestHT21CookieAndKey(t *testing.T) {
	t.Parallel()
	p := sit(t)
	first := *p
	w := p.do(http.MethodGet, strings.TrimPrefix(p.Start(), "http://"+testHost), "")
	c := w.Result().Cookies()[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" || !strings.HasSuffix(c.Name, "4711") {
		t.Errorf("the cookie: %s", w.Header().Get("Set-Cookie"))
	}
	key := keyBehind.FindStringSubmatch(w.Body.String())[1]
	for k, v := range w.Header() {
		if strings.Contains(strings.Join(v, " "), key) {
			t.Errorf("the key stands in %s", k)
		}
	}
	// HT-19: 26 letters of 32 are 130 random bits.
	for _, s := range []string{c.Value, key, first.cookie, first.key} {
		if len(s) != 26 {
			t.Errorf("a secret of %d letters", len(s))
		}
	}
	if all := []string{c.Value, key, first.cookie, first.key}; len(slices.Compact(slices.Sorted(slices.Values(all)))) != 4 {
		t.Error("two secrets are the same")
	}
	mixed := first
	mixed.key = key
	if w := mixed.do(http.MethodGet, "/api/state", ""); w.Code != http.StatusUnauthorized {
		t.Errorf("the cookie of one window with the key of another: %d", w.Code)
	}
	if w := first.do(http.MethodGet, "/api/state", ""); w.Code != http.StatusOK {
		t.Errorf("the first window after a second was opened: %d", w.Code)
	}
	// What another start gave is nothing here.
	again := sit(t)
	again.cookie, again.key = first.cookie, first.key
	if w := again.do(http.MethodGet, "/api/state", ""); w.Code != http.StatusUnauthorized {
		t.Errorf("the session of another start: %d", w.Code)
	}
	for range maxSession {
		p.enter(p.Start())
	}
	if n := len(p.guard.sessions); n > maxSession {
		t.Errorf("%d sessions are kept", n)
	}
	if w := p.do(http.MethodGet, "/api/state", ""); w.Code != http.StatusOK {
		t.Errorf("the newest of many windows: %d", w.Code)
	}
}

// TestTheStartAddressLeadsBack: used once, it leads the browser that has the
// session back to the page, hands out no key again, and is refused elsewhere.
func TestTheStartAddressLeadsBack(t *testing.T) {
	t.Parallel()
	p := open(t, nil)
	start := p.Start()
	p.enter(start)
	used := strings.TrimPrefix(start, "http://"+testHost)
	if w := p.do(http.MethodGet, used, ""); w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), `url=/"`) || strings.Contains(w.Body.String(), "#") || len(w.Result().Cookies()) > 0 {
		t.Errorf("in the browser that has the session: %d %s", w.Code, w.Body)
	}
	p.cookie = ""
	if w := p.do(http.MethodGet, used, ""); w.Code != http.StatusForbidden || strings.Contains(w.Body.String(), "url=") {
		t.Errorf("in another browser: %d %s", w.Code, w.Body)
	}
}

// TestHT21HT41EveryAnswerIsHardened: whatever is asked, by whom ever.
func TestHT21HT41EveryAnswerIsHardened(t *testing.T) {
	t.Parallel()
	p, stranger := sit(t), open(t, nil)
	paths := []route{{pattern: "GET /nothing"}, {pattern: "GET //api/list"}, {pattern: "GET /web/../api/state"}, {pattern: "GET /web/none.js"}, {pattern: "HEAD /"}, {pattern: "TRACE /"}}
	for _, rt := range append(p.routes(), paths...) {
		if rt.pattern == "GET /api/events" {
			continue // a stream; TestEvents looks at its head
		}
		method, path := target(rt.pattern)
		for _, who := range []*person{p, stranger} {
			w := who.do(method, path, "{}")
			h := w.Header()
			csp := map[string]string{}
			for part := range strings.SplitSeq(h.Get("Content-Security-Policy"), ";") {
				name, value, _ := strings.Cut(strings.TrimSpace(part), " ")
				if _, twice := csp[name]; twice {
					t.Errorf("%s: %s stands twice", rt.pattern, name)
				}
				csp[name] = value
				for _, weak := range []string{"unsafe", "*", "data:", "blob:", "http", "nonce", "sha256"} {
					if strings.Contains(value, weak) {
						t.Errorf("%s: %s %s", rt.pattern, name, value)
					}
				}
			}
			for name, want := range map[string]string{
				"default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "connect-src": "'self'", "img-src": "'self'",
				"base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'", "require-trusted-types-for": "'script'", "trusted-types": "'none'",
			} {
				if csp[name] != want {
					t.Errorf("%s: %s is %q", rt.pattern, name, csp[name])
				}
			}
			for name, want := range map[string]string{
				"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
				"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "Access-Control-Allow-Origin": "",
			} {
				if h.Get(name) != want {
					t.Errorf("%s: %s is %q", rt.pattern, name, h.Get(name))
				}
			}
			if w.Code != http.StatusNotModified && h.Get("Content-Type") == "" && w.Body.Len() > 0 {
				t.Errorf("%s: %d without a type", rt.pattern, w.Code)
			}
			if h.Get("Location") != "" {
				t.Errorf("%s leads to %s", rt.pattern, h.Get("Location"))
			}
		}
	}
}
