package gui

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	"hufu"
	"hufu/internal/client"
	"hufu/internal/picture"
)

// maxText is the limit of a text that is shown, in bytes.
const maxText = 256 << 10

// pictureTime is how long an image may take to be decoded.
const pictureTime = 20 * time.Second

// An image may take previewTime to arrive, and maxArriving of them are read at a time: one on a slow
// way keeps neither memory nor the others for long. An image that is not wanted any more is not read on.
const (
	previewTime = 5 * time.Minute
	maxArriving = 3
)

// previewSide is how many pixels fit on each side if the page does not say.
const previewSide = 1024

// Kinds of previews.
const (
	shownText  = "text"
	shownImage = "image"
	shownNot   = "none"
)

// Reasons why a file is not shown; the page has a sentence for each.
const (
	otherType = "type"    // neither plain text nor an image of a known format
	tooLarge  = "large"   // more bytes than the limit
	tooWide   = "pixels"  // more pixels than the limit
	damaged   = "damaged" // cut off, or not what it claims to be
	tooSlow   = "slow"    // not decoded within pictureTime
)

// errEnough ends the reading of a file that is not shown.
var errEnough = errors.New("not shown")

// jsonPreview is what is shown of a file.
type jsonPreview struct {
	Kind   string `json:"kind"`
	Why    string `json:"why,omitempty"`
	Text   string `json:"text,omitempty"`
	PNG    []byte `json:"png,omitempty"`
	Width  int    `json:"width,omitempty"` // of the whole image
	Height int    `json:"height,omitempty"`
	Size   int64  `json:"size"`
}

// preview shows a text, or an image that was decoded here and encoded again. The bytes of a file
// never reach the browser in any other form: no document, no script, no SVG, no metadata.
func (s *Server) preview(w http.ResponseWriter, r *http.Request) error {
	req, err := read[struct {
		where
		Width  int `json:"width"` // pixels that fit on the screen
		Height int `json:"height"`
	}](r)
	if err != nil {
		return err
	}
	if req.Width <= 0 || req.Height <= 0 {
		req.Width, req.Height = previewSide, previewSide
	}
	segments, err := unescape(req.Path)
	if err != nil {
		return err
	}
	if len(segments) == 0 {
		return &hufu.Error{Op: "preview", Kind: hufu.KindWrongKind, Code: "is_a_folder"}
	}
	p := peek{slot: s.arriving, name: segments[len(segments)-1]}
	defer p.release()
	err = s.browseFor(r.Context(), previewTime, req.where, func(name string) error {
		return p.take(r.Context(), func() (hufu.Entry, error) { return client.LocalEntry(r.Context(), s.o.Disk, name, false) },
			func(ctx context.Context, w io.Writer) error { return client.LocalCat(ctx, s.o.Disk, name, w) })
	}, func(ctx context.Context, remote *client.Remote, at hufu.Path) error {
		return p.take(ctx, func() (hufu.Entry, error) { return remote.Stat(ctx, at) },
			func(ctx context.Context, w io.Writer) error { return remote.Cat(ctx, at, w, nil) })
	})
	if err != nil {
		return err
	}
	if p.held {
		select {
		case s.pictures <- struct{}{}:
			defer func() { <-s.pictures }()
		case <-r.Context().Done():
			return &hufu.Error{Op: "preview", Kind: hufu.KindCanceled, Err: context.Cause(r.Context())}
		}
	}
	return s.ok(w, p.shown(r.Context(), req.Width, req.Height))
}

// peek reads a file for as long as it may be one that is shown.
type peek struct {
	ctx   context.Context
	slot  chan struct{} // has room for the images that may be read at a time
	held  bool
	name  string
	size  int64
	data  []byte
	image bool
	why   string // not shown, and why
}

// take reads the file that stat describes by cat, which verifies it.
func (p *peek) take(ctx context.Context, stat func() (hufu.Entry, error), cat func(context.Context, io.Writer) error) error {
	e, err := stat()
	if err != nil {
		return err
	}
	p.ctx, p.size = ctx, e.Size
	switch {
	case e.Kind != hufu.File:
		p.why = otherType
		return nil
	case e.Size > picture.MaxBytes:
		p.why = tooLarge
		return nil
	}
	if err = cat(ctx, p); errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// Write keeps b. The first call gets at least picture.HeadSize bytes, or the whole file.
func (p *peek) Write(b []byte) (int, error) {
	if p.data == nil {
		if p.image = picture.Known(b); p.image {
			select {
			case p.slot <- struct{}{}:
				p.held = true
			case <-p.ctx.Done():
				return 0, p.ctx.Err()
			}
		} else if p.why = notText(p.name, b[:min(len(b), maxText)]); p.why != "" {
			return 0, errEnough
		}
		p.data = make([]byte, 0, len(b))
	}
	limit := maxText
	if p.image {
		limit = picture.MaxBytes
	}
	if len(p.data)+len(b) > limit || p.size > int64(limit) { // or it has grown
		p.why = tooLarge
		return 0, errEnough
	}
	p.data = append(p.data, b...)
	return len(b), nil
}

func (p *peek) release() {
	if p.held {
		<-p.slot
		p.held = false
	}
}

// shown returns what the page shows of the file that was read.
func (p *peek) shown(ctx context.Context, width, height int) jsonPreview {
	v := jsonPreview{Kind: shownNot, Why: p.why, Size: p.size}
	switch {
	case p.why != "":
	case !p.image:
		if v.Why = otherType; utf8.Valid(p.data) && bytes.IndexByte(p.data, 0) < 0 {
			v = jsonPreview{Kind: shownText, Text: harmless(string(p.data)), Size: p.size}
		}
	default:
		ctx, cancel := context.WithTimeout(ctx, pictureTime)
		defer cancel()
		pic, err := picture.Decode(ctx, p.data, width, height)
		switch {
		case err == nil:
			v.Kind, v.PNG, v.Width, v.Height = shownImage, pic.PNG, pic.Width, pic.Height
		case errors.Is(err, picture.ErrTooLarge):
			v.Why = tooWide
		case errors.Is(err, context.DeadlineExceeded):
			v.Why = tooSlow
		default:
			v.Why = damaged
		}
	}
	return v
}

// Files that other programs show as something else than their text, and files that are text even
// if they begin like a page.
const (
	documents = " htm html xhtml shtml mht mhtml svg svgz pdf eml "
	plainText = " txt text md markdown rst adoc log "
)

// notText returns the reason why a file that begins with head is not shown as text, "" if it may be.
func notText(name string, head []byte) string {
	ext := " " + strings.ToLower(strings.TrimPrefix(path.Ext(name), ".")) + " "
	typ, _, _ := strings.Cut(http.DetectContentType(head), ";")
	switch {
	case strings.Contains(documents, ext), bytes.IndexByte(head, 0) >= 0:
		return otherType
	case typ == "application/pdf", typ == "application/postscript":
		return otherType
	case strings.Contains(plainText, ext):
		return ""
	case typ == "text/html", beginsSVG(head):
		return otherType
	}
	return ""
}

// beginsSVG reports whether the first element of an XML document is that of an SVG image. Before it
// there may be a prolog, comments and a document type.
func beginsSVG(head []byte) bool {
	is := func(prefix string) bool {
		return len(head) >= len(prefix) && bytes.EqualFold(head[:len(prefix)], []byte(prefix))
	}
	head = bytes.TrimPrefix(head, []byte("\ufeff"))
	for {
		head = bytes.TrimSpace(head)
		end := ">"
		switch {
		case is("<svg"), is("<!doctype svg"):
			return true
		case is("<!--"):
			end = "-->"
		case is("<?"):
			end = "?>"
		case !is("<!"):
			return false
		}
		_, head, _ = bytes.Cut(head, []byte(end))
	}
}

// harmless returns a text in which only what can be seen is left. Lines and tabs stay, and so do the
// joiners that Persian, Indic and emoji need; every other control or format character becomes an
// escape, as in names.
func harmless(text string) string {
	text = strings.ReplaceAll(strings.TrimPrefix(text, "\ufeff"), "\r\n", "\n")
	var b strings.Builder
	done := 0
	for i, r := range text {
		switch r {
		case '\n', '\t', '\u200c', '\u200d':
			b.WriteString(hufu.Printable(text[done:i]))
			b.WriteRune(r)
			done = i + utf8.RuneLen(r)
		}
	}
	b.WriteString(hufu.Printable(text[done:]))
	return b.String()
}
