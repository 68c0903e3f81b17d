package gui

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"mime"
	"net/http"
	"path"
	"strings"

	"hufu"
	"hufu/internal/text"
)

// maxBody bounds a JSON request, in bytes: ten thousand chosen names fit.
const maxBody = 8 << 20

// access is the requirement of a route for a request. There is no route without
// one.
type access int

const (
	byToken    access = iota + 1 // a start token or the instance's key, judged by the handler
	bySession                    // a session's cookie: the page and its parts
	byKey                        // cookie and key, our own origin, JSON in and out
	byKeyBytes                   // the same, and a body of bytes
)

type route struct {
	pattern string // of http.ServeMux
	needs   access
	handle  func(http.ResponseWriter, *http.Request) error
}

// routes lists all routes; nothing else exists.
func (s *Server) routes() []route {
	return []route{
		{"GET /start", byToken, s.start},
		{"POST /instance", byToken, s.again},
		{"GET /{$}", bySession, s.page},
		{"GET /web/{file...}", bySession, s.file},

		{"GET /api/state", byKey, s.state},
		{"GET /api/texts", byKey, s.texts},
		{"GET /api/events", byKey, s.events},
		{"POST /api/invitation", byKey, s.invitation},
		{"POST /api/join", byKey, s.join},
		{"POST /api/connect", byKey, s.connect},
		{"POST /api/login", byKey, s.login},
		{"POST /api/logout", byKey, s.logout},
		{"POST /api/devices", byKey, s.devices},
		{"POST /api/devices/remove", byKey, s.removeDevice},
		{"POST /api/devices/invite", byKey, s.inviteDevice},
		{"POST /api/list", byKey, s.list},
		{"POST /api/mkdir", byKey, s.mkdir},
		{"POST /api/rename", byKey, s.rename},
		{"POST /api/remove", byKey, s.remove},
		{"POST /api/properties", byKey, s.properties},
		{"POST /api/preview", byKey, s.preview},
		{"POST /api/size", byKey, s.size},
		{"POST /api/search", byKey, s.search},
		{"POST /api/jobs", byKey, s.addJob},
		{"POST /api/jobs/act", byKey, s.actJob},
		{"POST /api/jobs/answer", byKey, s.answerJob},
		{"POST /api/limit", byKey, s.limit},
		{"POST /api/lanes", byKey, s.lanes},
		{"GET /api/autostart", byKey, s.autostart},
		{"POST /api/autostart", byKey, s.setAutostart},
		{"POST /api/wire", byKey, s.wire},
		{"POST /api/explain", byKey, s.explain},
		{"POST /api/spool", byKey, s.spool},
		{"POST /api/spool/{id}", byKeyBytes, s.spoolBytes},
		{"POST /api/spool/{id}/done", byKey, s.spoolDone},
	}
}

func (s *Server) router() http.Handler {
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		mux.Handle(r.pattern, s.guarded(r))
	}
	// An unknown path is refused like a route without a session, so that
	// probing reveals nothing.
	nothing := s.guarded(route{"/", byKey, func(http.ResponseWriter, *http.Request) error {
		return &hufu.Error{Op: "route", Kind: hufu.KindNotFound, Code: "gui_no_route"}
	}})
	mux.Handle("/", nothing)
	mux.Handle("/web", nothing) // else the mux leads on to /web/
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path.Clean(r.URL.Path) != r.URL.Path { // the mux would lead it elsewhere by itself
			nothing.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// guarded is the only way to a handler.
func (s *Server) guarded(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		harden(w.Header())
		if code := s.guard.foreign(r); code != "" {
			s.fail(w, r, http.StatusForbidden, &hufu.Error{Op: "guard", Kind: hufu.KindPermission, Code: code})
			return
		}
		denied := false
		switch rt.needs {
		case byToken:
		case bySession:
			denied = !s.guard.known(r, false)
		case byKey, byKeyBytes:
			denied = !s.guard.known(r, true)
		default:
			denied = true
		}
		if denied {
			s.fail(w, r, http.StatusUnauthorized, &hufu.Error{Op: "guard", Kind: hufu.KindPermission, Code: "gui_no_session"})
			return
		}
		if r.Method == http.MethodPost {
			want := "application/json"
			if rt.needs == byKeyBytes {
				want = "application/octet-stream"
			} else {
				r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			}
			if got, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || got != want {
				s.fail(w, r, http.StatusUnsupportedMediaType, &hufu.Error{Op: "guard", Kind: hufu.KindInvalid, Code: "gui_bad_request"})
				return
			}
		}
		if err := rt.handle(w, r); err != nil {
			s.fail(w, r, 0, err)
		}
	})
}

// harden sets what every answer carries.
func harden(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "+
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), clipboard-read=()")
}

// cat returns the catalogue for a request: in the language that the page names, else that of
// Options.Lang, else that of the browser.
func (s *Server) cat(r *http.Request) *text.Catalogue {
	lang := r.Header.Get("X-Hufu-Lang")
	if lang == "" {
		lang = s.o.Lang
	}
	if lang == "" {
		first, _, _ := strings.Cut(r.Header.Get("Accept-Language"), ",")
		lang = text.Lang(first, func(string) string { return "" })
	}
	if c := s.cats[lang]; c != nil {
		return c
	}
	return s.cats[text.English]
}

// problem is an error as the page gets it.
type problem struct {
	Kind string `json:"kind"`
	Code string `json:"code"`
	What string `json:"what"`
	Fix  string `json:"fix,omitempty"`
}

func problemOf(c *text.Catalogue, err error) *problem {
	if e, ok := err.(*hufu.Error); err == nil || ok && e == nil { //nolint:errorlint // a nil pointer in the interface
		return nil
	}
	what, fix := c.Error(inWords(c, err))
	// There is no command to run again: of some errors the page has a fix of its own.
	if own := "error." + hufu.CodeOf(err) + ".fix.page"; c.Has(own) {
		fix = c.T(own)
	}
	return &problem{hufu.KindOf(err).String(), hufu.CodeOf(err), what, fix}
}

// inWords is err with the paths of the server as the page shows them: "My files › a", not ":/a".
func inWords(c *text.Catalogue, err error) error {
	e, ok := errors.AsType[*hufu.Error](err)
	if !ok {
		return err
	}
	d := *e
	d.Path, d.Args = placeOf(c, e.Path), maps.Clone(e.Args)
	if dir, name := path.Split(e.Args["target"]); e.Code == "target_wrong_kind" && dir != "" && name != "" {
		if dir != "/" && dir != ":/" {
			dir = strings.TrimSuffix(dir, "/")
		}
		d.Code, d.Args["folder"], d.Args["name"] = "gui_wrong_kind", placeOf(c, dir), name
	}
	for k, v := range d.Args {
		d.Args[k] = placeOf(c, v)
	}
	return &d
}

// placeOf is a path of the server in the words of the page. Anything else stays as it is.
func placeOf(c *text.Catalogue, s string) string {
	rest, far := strings.CutPrefix(s, ":/")
	if !far {
		return s
	}
	place := c.T("gui.files.mine")
	if below, shared := strings.CutPrefix(rest+"/", "@shared/"); shared {
		place, rest = c.T("gui.files.shared"), strings.TrimSuffix(below, "/")
	}
	if rest != "" {
		place += " › " + strings.ReplaceAll(rest, "/", " › ")
	}
	return place
}

// fail answers with an error: as JSON to the page, as plain text to a user who
// has opened an address by hand.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, status int, err error) {
	c := s.cat(r)
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		status, err = http.StatusRequestEntityTooLarge, &hufu.Error{Op: "read request", Kind: hufu.KindInvalid, Code: "gui_bad_request", Err: tooLarge}
	}
	if status == 0 {
		status = statusOf(hufu.KindOf(err))
	}
	p := problemOf(c, err)
	if strings.HasPrefix(r.URL.Path, "/api/") || r.Method != http.MethodGet {
		s.send(w, status, map[string]any{"error": p})
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, p.What+"\n"+p.Fix+"\n")
}

// statusOf returns the HTTP status of a kind of error. The page reads the body; the
// status is for people with a network panel, and must never be 401, which
// means that the page's own session is over.
func statusOf(k hufu.Kind) int {
	switch k {
	case hufu.KindUsage, hufu.KindInvalid, hufu.KindInvalidPath, hufu.KindUnsupported, hufu.KindWrongKind:
		return http.StatusUnprocessableEntity
	case hufu.KindNotFound:
		return http.StatusNotFound
	case hufu.KindPermission, hufu.KindRefused, hufu.KindCredentials, hufu.KindUnproven:
		return http.StatusForbidden
	case hufu.KindExists, hufu.KindNotEmpty, hufu.KindChanged, hufu.KindIntegrity, hufu.KindNothingToDo, hufu.KindCanceled:
		return http.StatusConflict
	case hufu.KindQuota:
		return http.StatusInsufficientStorage
	case hufu.KindRateLimit:
		return http.StatusTooManyRequests
	case hufu.KindNetwork, hufu.KindUnavailable, hufu.KindProtocol:
		return http.StatusBadGateway
	default:
		return http.StatusInternalServerError
	}
}

func (s *Server) send(w http.ResponseWriter, status int, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		s.o.Log.Error("encode answer", "err", err)
		status, data = http.StatusInternalServerError, []byte(`{}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(data) // the browser has gone: nothing to act on
}

func (s *Server) ok(w http.ResponseWriter, v any) error {
	s.send(w, http.StatusOK, v)
	return nil
}

// read decodes a request strictly: one object, no unknown key, nothing behind.
func read[T any](r *http.Request) (T, error) {
	var v T
	err := strictly(r.Body, &v)
	if err != nil {
		if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return v, tooLarge
		}
		return v, &hufu.Error{Op: "read request", Kind: hufu.KindInvalid, Code: "gui_bad_request", Err: err}
	}
	return v, nil
}

// strictly decodes one JSON value that is all there is.
func strictly(from io.Reader, v any) error {
	d := json.NewDecoder(from)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	switch _, err := d.Token(); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return err
	}
	return errors.New("something behind the value")
}
