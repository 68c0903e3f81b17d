package gui

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"hufu"
)

//go:embed web/index.html web/*.css web/*.js web/*.svg web/vendor/*.js web/vendor/*.svg
var web embed.FS

// startPage sends the browser to the page. It is an answer with a refresh, not a redirect: a
// browser sends a SameSite=Strict cookie only if the navigation began on the same site. The key is
// in the fragment (#), which browsers do not send; the page removes it from the address at once.
var startPage = template.Must(template.New("start").Parse(
	`<!doctype html><html lang="{{.Lang}}"><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=/#{{.Key}}"><title>hufu</title>` +
		`<a href="/#{{.Key}}">hufu</a></html>`))

// againPage leads on to the page without a key.
const againPage = `<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=/"><title>hufu</title><a href="/">hufu</a>`

// static holds the files of the front end with the headers they need.
type static struct {
	files map[string][]byte
	tags  map[string]string
	index []byte
}

func loadStatic() (*static, error) {
	st := &static{files: map[string][]byte{}, tags: map[string]string{}}
	err := fs.WalkDir(web, "web", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := web.ReadFile(name)
		name = strings.TrimPrefix(name, "web/")
		sum := sha256.Sum256(data)
		st.files[name], st.tags[name] = data, `"`+hex.EncodeToString(sum[:12])+`"`
		return err
	})
	if err != nil {
		return nil, &hufu.Error{Op: "load page", Kind: hufu.KindInternal, Err: err}
	}
	st.index = st.files["index.html"]
	return st, nil
}

var contentTypes = map[string]string{
	".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".html": "text/html; charset=utf-8",
}

// start trades a start token for a session.
func (s *Server) start(w http.ResponseWriter, r *http.Request) error {
	cookie, key, ok := s.guard.redeem(r.URL.Query().Get("token"))
	if !ok && s.guard.known(r, false) { // the browser that has the session, which keeps its key
		w.Header().Set("Content-Type", contentTypes[".html"])
		w.WriteHeader(http.StatusForbidden) // nothing was given for the token
		_, _ = w.Write([]byte(againPage))
		return nil
	}
	if !ok {
		s.fail(w, r, http.StatusForbidden, &hufu.Error{Op: "start", Kind: hufu.KindPermission, Code: "gui_start_expired"})
		return nil
	}
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // not Secure: it never leaves this computer, and there is no TLS on loopback
		Name: s.guard.cookieName(), Value: cookie, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
	var page bytes.Buffer
	if err := startPage.Execute(&page, map[string]string{"Key": key, "Lang": s.cat(r).Lang()}); err != nil {
		return &hufu.Error{Op: "start", Kind: hufu.KindInternal, Err: err}
	}
	w.Header().Set("Content-Type", contentTypes[".html"])
	_, _ = w.Write(page.Bytes())
	return nil
}

func (s *Server) page(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", contentTypes[".html"])
	_, _ = w.Write(s.static.index)
	return nil
}

func (s *Server) file(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("file")
	data, ok := s.static.files[name]
	if !ok || name == "index.html" {
		return &hufu.Error{Op: "page", Path: name, Kind: hufu.KindNotFound, Code: "gui_no_route"}
	}
	w.Header().Set("Content-Type", contentTypes[path.Ext(name)])
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("ETag", s.static.tags[name])
	if r.Header.Get("If-None-Match") == s.static.tags[name] {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	_, _ = w.Write(data)
	return nil
}

func (s *Server) texts(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(s.cat(r).JSON())
	return nil
}
