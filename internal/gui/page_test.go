package gui

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"hufu/internal/profile"
)

// testHost is where the page of a test says that it is.
const testHost = "127.0.0.1:4711"

// person is a page with somebody before it, without a network between them.
type person struct {
	*Server
	t           *testing.T
	home        string
	cookie, key string
}

// clock is a time that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func testDirs(home string) profile.Dirs {
	return profile.Dirs{Config: filepath.Join(home, "config"), State: filepath.Join(home, "state")}
}

// open returns a page that nobody has looked at yet.
func open(t *testing.T, now func() time.Time) *person {
	t.Helper()
	home := t.TempDir()
	s, err := Open(Options{Dirs: testDirs(home), Disk: TestDisk, Home: home, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	s.guard.bind(testHost)
	return &person{Server: s, t: t, home: home}
}

// sit opens a page and goes in by a start address, as a browser does.
func sit(t *testing.T) *person {
	t.Helper()
	p := open(t, nil)
	p.enter(p.Start())
	return p
}

var keyBehind = regexp.MustCompile(`url=/#([A-Z2-7]+)"`)

func (p *person) enter(start string) {
	p.t.Helper()
	w := p.do(http.MethodGet, strings.TrimPrefix(start, "http://"+testHost), "")
	cookies := w.Result().Cookies()
	key := keyBehind.FindStringSubmatch(w.Body.String())
	if w.Code != http.StatusOK || len(cookies) != 1 || key == nil {
		p.t.Fatalf("%s: %d %v %s", start, w.Code, cookies, w.Body)
	}
	p.cookie, p.key = cookies[0].Value, key[1]
}

type change func(*http.Request)

func with(header, value string) change { return func(r *http.Request) { r.Header.Set(header, value) } }

func without(header string) change { return func(r *http.Request) { r.Header.Del(header) } }

// do asks with the person's identity, if there is one, as the page does it.
func (p *person) do(method, target, body string, changes ...change) *httptest.ResponseRecorder {
	p.t.Helper()
	r := httptest.NewRequestWithContext(p.t.Context(), method, target, strings.NewReader(body))
	r.Host = testHost
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if method == http.MethodPost {
		r.Header.Set("Origin", "http://"+testHost)
		r.Header.Set("Content-Type", "application/json")
	}
	if p.cookie != "" {
		r.AddCookie(&http.Cookie{Name: p.guard.cookieName(), Value: p.cookie})
		r.Header.Set(keyHeader, p.key)
	}
	for _, c := range changes {
		c(r)
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	return w
}

// ask posts to the interface and reads the answer.
func (p *person) ask(path string, body, answer any) *problem {
	p.t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		p.t.Fatal(err)
	}
	w := p.do(http.MethodPost, "/api/"+path, string(data))
	if w.Code != http.StatusOK {
		return told(p.t, w)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(w.Body.Bytes(), answer); err != nil {
		p.t.Fatalf("%s: %v: %s", path, err, w.Body)
	}
	return nil
}

// told returns the error of an answer.
func told(t *testing.T, w *httptest.ResponseRecorder) *problem {
	t.Helper()
	var a struct {
		Error *problem `json:"error"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || a.Error == nil || a.Error.What == "" {
		t.Fatalf("%d and no error: %s", w.Code, w.Body)
	}
	return a.Error
}

// target returns an address that a route's pattern fits.
func target(pattern string) (method, path string) {
	method, path, _ = strings.Cut(pattern, " ")
	return method, strings.NewReplacer("{$}", "", "{file...}", "app.js", "{id}", "abc").Replace(path)
}
