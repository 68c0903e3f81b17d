package gui

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"hufu"
	"hufu/internal/demo"
	"hufu/internal/profile"
	"hufu/internal/text"
)

// wireFolder, in the home folder, gets the captures: a person opens them with
// Wireshark.
const wireFolder = "hufu-wire"

// wireTime is how long the two recordings may take.
const wireTime = 2 * time.Minute

// wire records what an eavesdropper can read without TLS and with it.
func (s *Server) wire(w http.ResponseWriter, r *http.Request) error {
	req, err := read[struct {
		Profile string `json:"profile"`
		File    string `json:"file"`
		Secrets bool   `json:"secrets"`
		MITM    bool   `json:"mitm"`
	}](r)
	if err != nil {
		return err
	}
	p, err := profile.Load(s.o.Dirs, req.Profile)
	if err != nil {
		return err
	}
	if req.File != "" && !filepath.IsAbs(req.File) {
		req.File = filepath.Join(s.o.Home, req.File)
	}
	home := s.o.Home
	if home == "" {
		home = os.TempDir()
	}
	c := s.cat(r)
	ctx, cancel := context.WithTimeout(r.Context(), wireTime)
	defer cancel()
	d, err := demo.Wire(ctx, p, demo.WireOptions{
		Disk: s.o.Disk,
		Dir:  filepath.Join(home, wireFolder), File: req.File, Secrets: req.Secrets, MITM: req.MITM, Lang: c.Lang(), T: c.T, Error: c.Error,
	})
	if err != nil {
		return err
	}
	return s.ok(w, map[string]any{
		"words": d.Words(), "dir": hufu.Printable(d.Dir), "path": localPath(d.Dir), "files": d.Files, "user": d.User, "password": d.Password,
	})
}

// jsonStep is one step of a verification, in words.
type jsonStep struct {
	Side string `json:"side"`
	Step int    `json:"step"`
	OK   bool   `json:"ok"`
	What string `json:"what"`
	Why  string `json:"why"`
	Fix  string `json:"fix"`
}

// explain explains how each side was verified, also if one was refused.
func (s *Server) explain(w http.ResponseWriter, r *http.Request) error {
	req, err := read[struct {
		Profile string `json:"profile"`
	}](r)
	if err != nil {
		return err
	}
	p, err := profile.Load(s.o.Dirs, req.Profile)
	if err != nil {
		return err
	}
	e, err := demo.Explain(r.Context(), s.o.Dirs, p, "")
	if err != nil {
		return err
	}
	c := s.cat(r)
	steps := []jsonStep{}
	for _, x := range e.Steps {
		steps = append(steps, jsonStep{x.Side, x.Step, x.OK, stepText(c, x.What, x.Args), stepText(c, x.Why, x.Args), stepText(c, x.Fix, x.Args)})
	}
	return s.ok(w, map[string]any{
		"address": e.Address, "verdict": e.Verdict().String(), "steps": steps, "session": e.Session,
		"server": e.Server, "client": e.Client, "trusted": e.Trusted,
	})
}

// stepText returns a text of a step, "" if there is none.
func stepText(c *text.Catalogue, key string, values map[string]string) string {
	if !c.Has(key) {
		return ""
	}
	args := make([]any, 0, 2*len(values))
	for name, value := range values {
		args = append(args, name, value)
	}
	return c.T(key, args...)
}
