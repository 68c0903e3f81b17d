// Package report tells people what an eavesdropper would have read. It sets a capture
// without TLS beside one with TLS: as text for a terminal, as an HTML page that needs
// nothing else, and in words for a page that draws it by itself. Package capture finds
// what stands in the captures.
package report

import (
	"slices"
	"strconv"
	"strings"

	"hufu"
	"hufu/internal/capture"
)

// Translate is the text under a key, its placeholders filled from pairs of a
// name and a value; text.Catalogue's T is one.
type Translate func(key string, args ...any) string

// Capture is one of the captures a Report compares.
type Capture struct {
	File     string // its name, as the reader finds it
	Findings *capture.Findings
}

// Attempt is the outcome of a man in the middle who has a CA of their own.
type Attempt struct {
	Capture

	Exit   int    // the client's exit status; it refuses with 7
	Reason string // what the client said, in the reader's language
}

// Report sets a capture without TLS beside one with it.
type Report struct {
	Plain, TLS Capture
	MITM       *Attempt // nil: not tried
	Lang       string   // of T: "en", "zh-CN"
	T          Translate
}

// Proven reports whether the captures show what they should: without TLS every needle is
// found, with TLS none is, each connection with TLS is TLS 1.3 from the first byte to the
// last, and the man in the middle was refused.
func (r *Report) Proven() bool {
	missing := slices.ContainsFunc(r.Plain.Findings.Results, func(x capture.Result) bool { return x.Count == 0 })
	refused := r.MITM == nil || !r.MITM.Findings.Found() && r.MITM.Exit == hufu.KindUnproven.Exit()
	return !missing && len(r.Plain.Findings.Results) > 0 && sealed(r.TLS.Findings) && refused
}

// sealed reports whether f is TLS 1.3 and nothing else.
func sealed(f *capture.Findings) bool {
	open := func(s capture.Stream) bool {
		if s.BytesUp+s.BytesDown == 0 {
			return false // nobody said anything
		}
		return s.TLS == nil || s.TLS.Broken || s.TLS.Version != "TLS 1.3"
	}
	return len(f.Streams) > 0 && !f.Found() && !slices.ContainsFunc(f.Streams, open)
}

// line is a row of the comparison.
type line struct {
	Label      string
	Plain, TLS cell
}

// cell is one side of it; Tone is "bad" for what is read, "good" for what is
// not, and "" for numbers. The words alone say it too.
type cell struct{ Text, Tone string }

// flight is a row of the handshake's table: the records of one packet, or of
// several that hold only Application Data.
type flight struct{ Packets, Way, What string }

// scene is an excerpt under its heading.
type scene struct {
	Heading string
	Excerpt *capture.Excerpt
}

// filter is something to type into Wireshark.
type filter struct{ What, Expr string }

// view is the report in words, without a layout.
type view struct {
	Lang, Title, Intro string
	Verdict            cell
	Heads              [3]string // of the comparison's columns
	Lines              []line
	Plain, Sealed      []scene
	Facts              []filter // of the handshake
	Flights            []flight
	More               string
	Filters            []filter
	Notes              []string
	Attempt            []cell
	AttemptScene       []scene
	T                  Translate
	CSS                any
	Policy             string
}

func (r *Report) view() view {
	t := r.T
	v := view{
		Lang: r.Lang, Title: t("wire.title"), Intro: t("wire.intro"), Verdict: r.verdict(), T: t,
		Heads: [3]string{t("wire.column.what"), t("wire.column.plain"), t("wire.column.tls")},
	}
	plain, sealed := r.Plain.Findings, r.TLS.Findings
	for _, p := range plain.Results {
		l := line{Label: roleName(t, p.Needle), Plain: r.found(&p)}
		if s := sealed.Result(p.Needle.Role); s != nil {
			l.TLS = r.found(s)
		}
		v.Lines = append(v.Lines, l)
	}
	number := func(label string, a, b string) {
		v.Lines = append(v.Lines, line{label, cell{Text: a}, cell{Text: b}})
	}
	number(t("wire.row.packets"), strconv.Itoa(plain.Packets), strconv.Itoa(sealed.Packets))
	number(t("wire.row.bytes"), strconv.FormatInt(plain.Bytes, 10), strconv.FormatInt(sealed.Bytes, 10))
	number(t("wire.row.secrets"), r.secrets(plain), r.secrets(sealed))
	number(t("wire.row.file"), hufu.Printable(r.Plain.File), hufu.Printable(r.TLS.File))

	v.Plain, v.Sealed = r.scenes(plain), r.scenes(sealed)
	if h := sealed.TLS(); h != nil {
		if h.Sample != nil {
			v.Sealed = append(v.Sealed, scene{t("wire.scene.tls", "packet", h.SamplePacket), h.Sample})
		}
		v.Facts, v.Flights = r.facts(h), r.flights(h)
		if n := len(sealed.Streams) - 1; n > 0 {
			v.More = t("wire.more_streams", "n", n)
		}
	}
	r.filters(&v)
	r.attempt(&v)
	return v
}

func (r *Report) verdict() cell {
	switch {
	case r.TLS.Findings.Found() || r.MITM != nil && r.MITM.Findings.Found():
		return cell{r.T("wire.verdict.leak"), "bad"}
	case r.Proven():
		return cell{r.T("wire.verdict.proven"), "good"}
	}
	return cell{r.T("wire.verdict.unclear"), "bad"}
}

func (r *Report) found(x *capture.Result) cell {
	switch {
	case x.Count == 0 && x.Chance > 0:
		return cell{r.T("wire.by_chance", "n", x.Chance), "good"}
	case x.Count == 0:
		return cell{r.T("wire.not_found"), "good"}
	}
	hit := x.Hits[0]
	switch {
	case x.Count > 1:
		return cell{r.T("wire.in_clear_times", "packet", hit.Packet, "n", x.Count), "bad"}
	case hit.LastPacket != hit.Packet:
		return cell{r.T("wire.in_clear_across", "first", hit.Packet, "last", hit.LastPacket), "bad"}
	}
	return cell{r.T("wire.in_clear", "packet", hit.Packet), "bad"}
}

func (r *Report) secrets(f *capture.Findings) string {
	switch {
	case f.TLS() == nil:
		return r.T("wire.secrets.none")
	case f.Secrets:
		return r.T("wire.secrets.yes")
	}
	return r.T("wire.secrets.no")
}

func (r *Report) facts(h *capture.Handshake) []filter {
	t := r.T
	all := []filter{{t("wire.fact.version"), h.Version}, {t("wire.fact.cipher"), h.Cipher}}
	group := h.Group
	if h.PostQuantum {
		group = t("wire.fact.post_quantum", "group", h.Group)
	}
	all = append(all, filter{t("wire.fact.group"), group},
		filter{t("wire.fact.sni"), hufu.Printable(h.SNI)}, filter{t("wire.fact.alpn"), hufu.Printable(r.list(h.ALPN))})
	for i := range all {
		if all[i].Expr == "" {
			all[i].Expr = t("wire.fact.none")
		}
	}
	return all
}

// flights is the handshake packet by packet, and what follows it in a few
// rows.
func (r *Report) flights(h *capture.Handshake) []flight {
	type group struct {
		first, last int
		up, down    bool
		data        bool // nothing but Application Data
		names       []string
	}
	var all []group
	for _, rec := range h.Records {
		data := rec.Names[0] == "Application Data"
		g := group{
			first: rec.Packet, last: rec.LastPacket, up: rec.FromClient, down: !rec.FromClient,
			data: data, names: rec.Names,
		}
		if n := len(all); n > 0 {
			p := &all[n-1]
			if p.first == g.first && p.up == g.up || p.data && g.data {
				p.last = max(p.last, g.last)
				p.up, p.down, p.data = p.up || g.up, p.down || g.down, p.data && g.data
				p.names = append(p.names[:len(p.names):len(p.names)], g.names...)
				continue
			}
		}
		all = append(all, g)
	}
	var out []flight
	for _, g := range all {
		f := flight{Packets: strconv.Itoa(g.first), Way: r.T("wire.way.both"), What: r.list(counted(g.names))}
		if g.last != g.first {
			f.Packets += "–" + strconv.Itoa(g.last)
		}
		switch {
		case !g.down:
			f.Way = r.T("wire.way.up")
		case !g.up:
			f.Way = r.T("wire.way.down")
		}
		out = append(out, f)
	}
	return out
}

// counted joins names, neighbours that are the same as one with its number.
func counted(names []string) []string {
	var all []string
	for i := 0; i < len(names); {
		n := 1
		for i+n < len(names) && names[i+n] == names[i] {
			n++
		}
		one := names[i]
		if n > 1 {
			one += " × " + strconv.Itoa(n)
		}
		all = append(all, one)
		i += n
	}
	return all
}

// list joins words as the language of the report does.
func (r *Report) list(words []string) string {
	if r.Lang == "zh-CN" {
		return strings.Join(words, "、")
	}
	return strings.Join(words, ", ")
}

func (r *Report) filters(v *view) {
	t := r.T
	for _, c := range []Capture{r.Plain, r.TLS} {
		if f := c.Findings.Filter(); f != "" {
			v.Filters = append(v.Filters, filter{t("wire.filter.stream", "file", c.File), f})
		}
	}
	for _, p := range r.Plain.Findings.Results {
		v.Filters = append(v.Filters, filter{t("wire.filter.needle", "what", roleName(t, p.Needle)), p.Needle.Filter()})
	}
	v.Notes = append(v.Notes, t("wire.note.tap"))
	if r.TLS.Findings.Secrets {
		v.Notes = append(v.Notes, t("wire.note.secrets", "file", r.TLS.File))
	}
	v.Notes = append(v.Notes, t("wire.note.private", "file", r.Plain.File))
}

func (r *Report) attempt(v *view) {
	m := r.MITM
	if m == nil {
		return
	}
	t := r.T
	v.Attempt = append(v.Attempt, cell{Text: t("wire.mitm.intro")})
	if m.Exit == hufu.KindUnproven.Exit() {
		v.Attempt = append(v.Attempt, cell{t("wire.mitm.refused", "exit", m.Exit), "good"})
	} else {
		v.Attempt = append(v.Attempt, cell{t("wire.mitm.not_refused", "exit", m.Exit), "bad"})
	}
	if m.Reason != "" {
		v.Attempt = append(v.Attempt, cell{Text: t("wire.mitm.reason", "reason", m.Reason)})
	}
	if m.Findings.Found() {
		v.Attempt = append(v.Attempt, cell{t("wire.mitm.leak", "file", m.File), "bad"})
	} else {
		v.Attempt = append(v.Attempt, cell{t("wire.mitm.nothing", "file", m.File, "packets", m.Findings.Packets), "good"})
	}
	if f := m.Findings.Filter(); f != "" {
		v.Filters = append(v.Filters, filter{t("wire.filter.stream", "file", m.File), f})
	}
	v.AttemptScene = r.scenes(m.Findings)
}

// scenes shows the first hit of each needle; needles that stand close
// together share a dump.
func (r *Report) scenes(f *capture.Findings) []scene {
	type shot struct {
		hit   capture.Hit
		names []string
	}
	var all []*shot
	for _, res := range f.Results {
		if len(res.Hits) == 0 {
			continue
		}
		hit, name := res.Hits[0], roleName(r.T, res.Needle)
		near := func(s *shot) bool {
			return s.hit.Stream == hit.Stream && s.hit.FromClient == hit.FromClient && s.hit.Packet == hit.Packet &&
				s.hit.Excerpt.Mark(hit.Offset, len(res.Needle.Bytes))
		}
		if i := slices.IndexFunc(all, near); i >= 0 {
			all[i].names = append(all[i].names, name)
			continue
		}
		hit.Excerpt = hit.Excerpt.Clone() // marks of others go into it
		all = append(all, &shot{hit, []string{name}})
	}
	var out []scene
	for _, s := range all {
		heading := r.T("wire.scene.plain", "packet", s.hit.Packet, "what", strings.Join(s.names, " · "))
		out = append(out, scene{heading, &s.hit.Excerpt})
	}
	return out
}

func roleName(t Translate, n capture.Needle) string { return t("wire.role." + string(n.Role)) }
