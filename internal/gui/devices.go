package gui

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"rsc.io/qr"

	"hufu"
	"hufu/internal/client"
	"hufu/internal/profile"
)

// jsonDevice is one of the user's devices.
type jsonDevice struct {
	Name    string `json:"name"`
	Serial  string `json:"serial"`
	Issued  int64  `json:"issued"` // milliseconds since 1970, like the times below
	Expires int64  `json:"expires"`
	Seen    int64  `json:"seen"`
	State   string `json:"state"`
	This    bool   `json:"this"`
	Renews  bool   `json:"renews"` // this program renews the certificate
}

// atServer runs f on the server that the page shows, for as long as the page waits for an answer.
// The teaching world has no devices.
func (s *Server) atServer(ctx context.Context, f func(context.Context, *client.Remote) error) error {
	remote, l, err := s.entered()
	if err != nil {
		return err
	}
	if l.plain {
		return &hufu.Error{Op: "devices", Kind: hufu.KindUnsupported, Code: "devices_teaching"}
	}
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	if err := f(ctx, remote); err != nil {
		return err
	}
	s.answered(remote)
	return nil
}

func (s *Server) devices(w http.ResponseWriter, r *http.Request) error {
	if _, err := read[struct{}](r); err != nil {
		return err
	}
	all, invites := []jsonDevice{}, false
	err := s.atServer(r.Context(), func(ctx context.Context, remote *client.Remote) error {
		found, may, err := remote.Devices(ctx)
		invites = may
		for _, d := range found {
			all = append(all, jsonDevice{
				hufu.Printable(d.Name), hufu.Printable(d.Serial), d.Issued.UnixMilli(), d.Expires.UnixMilli(), d.Seen.UnixMilli(), d.State, d.This, d.This && !remote.Profile().Own,
			})
		}
		return err
	})
	if err != nil {
		return err
	}
	return s.ok(w, map[string]any{"devices": all, "invites": invites})
}

// removeDevice revokes a device. Without this one the page is logged out.
func (s *Server) removeDevice(w http.ResponseWriter, r *http.Request) error {
	req, err := read[struct {
		Device   string `json:"device"`
		Password string `json:"password"`
		Last     bool   `json:"last"` // even if no other device can log in
	}](r)
	if err != nil {
		return err
	}
	if req.Password == "" {
		return &hufu.Error{Op: "remove device", Kind: hufu.KindInvalid, Code: "password_missing"}
	}
	this := false
	var at *client.Remote
	err = s.atServer(r.Context(), func(ctx context.Context, remote *client.Remote) error {
		at, this = remote, req.Device == remote.Profile().Device
		return remote.RemoveDevice(ctx, req.Device, req.Password, req.Last)
	})
	if err != nil {
		return err
	}
	if this {
		s.mu.Lock()
		var old link
		if s.link.remote == at { // another tab may have connected elsewhere meanwhile
			old, s.link = s.link, link{}
			s.gen++
			s.stir()
		}
		s.mu.Unlock()
		_ = old.close()
	}
	return s.ok(w, map[string]any{"this": this})
}

// inviteDevice makes an invitation, as a code and as a picture of it.
func (s *Server) inviteDevice(w http.ResponseWriter, r *http.Request) error {
	req, err := read[struct {
		Password string `json:"password"`
	}](r)
	if err != nil {
		return err
	}
	if req.Password == "" {
		return &hufu.Error{Op: "invite device", Kind: hufu.KindInvalid, Code: "password_missing"}
	}
	var v hufu.Invitation
	var until time.Time
	err = s.atServer(r.Context(), func(ctx context.Context, remote *client.Remote) (err error) {
		v, until, err = remote.InviteDevice(ctx, req.Password)
		return err
	})
	if err != nil {
		return err
	}
	size, path, err := codePicture(v.String())
	if err != nil {
		return err
	}
	return s.ok(w, map[string]any{
		"code": v.String(), "expires": until.UnixMilli(), "size": size, "path": path,
		"words": profile.FingerprintWords(v), "host": v.Host, "loopback": hufu.Loopback(v.Host),
	})
}

// codePicture returns a QR code as the path of an SVG of so many units on each side, with the quiet
// zone that the standard asks for.
func codePicture(s string) (size int, path string, err error) {
	const quiet = 4
	c, err := qr.Encode(s, qr.M)
	if err != nil {
		return 0, "", &hufu.Error{Op: "draw code", Kind: hufu.KindInternal, Err: err}
	}
	var b strings.Builder
	for y := range c.Size {
		for x := range c.Size {
			if c.Black(x, y) {
				fmt.Fprintf(&b, "M%d %dh1v1h-1z", x+quiet, y+quiet)
			}
		}
	}
	return c.Size + 2*quiet, b.String(), nil
}
