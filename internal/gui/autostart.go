package gui

import (
	"net/http"

	"hufu"
)

// autostart answers whether this program is started when the user logs in to the desktop.
func (s *Server) autostart(w http.ResponseWriter, _ *http.Request) error {
	if s.o.Autostart == nil {
		return s.ok(w, map[string]bool{"possible": false, "on": false})
	}
	on, err := s.o.Autostart.On()
	if err != nil {
		return err
	}
	return s.ok(w, map[string]bool{"possible": true, "on": on})
}

func (s *Server) setAutostart(w http.ResponseWriter, r *http.Request) error {
	req, err := read[struct {
		On bool `json:"on"`
	}](r)
	if err != nil {
		return err
	}
	if s.o.Autostart == nil {
		return &hufu.Error{Op: "set autostart", Kind: hufu.KindUnsupported, Code: "gui_bad_request"}
	}
	if err := s.o.Autostart.Set(req.On); err != nil {
		return err
	}
	return s.autostart(w, r)
}
