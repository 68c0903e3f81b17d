package report

import "hufu/internal/capture"

// Words are a report in words, for a page that draws it by itself.
type Words struct {
	Proven    bool     `json:"proven"`
	Verdict   string   `json:"verdict"`
	Intro     string   `json:"intro"`
	Heads     []string `json:"heads"`
	Lines     []Line   `json:"lines"`
	Plain     []Scene  `json:"plain"`  // what stands in clear
	Sealed    []Scene  `json:"sealed"` // what stands there with TLS
	Handshake string   `json:"handshake"`
	Facts     []Fact   `json:"facts"`
	Flights   []Fact   `json:"flights"`
	Filters   []Fact   `json:"filters"`
	Notes     []string `json:"notes"`
	Attempt   []string `json:"attempt"` // of the man in the middle
}

// Line is a row of the comparison. Bad marks what can be read, Good what
// cannot.
type Line struct {
	What  string `json:"what"`
	Plain string `json:"plain"`
	TLS   string `json:"tls"`
	Bad   bool   `json:"bad"`
	Good  bool   `json:"good"`
}

// Scene is bytes of a capture under a heading.
type Scene struct {
	Heading string        `json:"heading"`
	Rows    []capture.Row `json:"rows"`
}

// Fact is a row of two or three cells.
type Fact struct {
	What  string `json:"what"`
	Value string `json:"value"`
	Way   string `json:"way,omitempty"`
}

// Words is the report as Text and SaveHTML tell it.
func (r *Report) Words() Words {
	v := r.view()
	w := Words{
		Proven: r.Proven(), Verdict: v.Verdict.Text, Intro: v.Intro, Heads: v.Heads[:], Handshake: r.T("wire.handshake.intro"),
		Plain: scenesOf(v.Plain), Sealed: scenesOf(v.Sealed), Notes: v.Notes,
	}
	for _, l := range v.Lines {
		w.Lines = append(w.Lines, Line{l.Label, l.Plain.Text, l.TLS.Text, l.Plain.Tone == "bad", l.TLS.Tone == "good"})
	}
	for _, f := range v.Facts {
		w.Facts = append(w.Facts, Fact{What: f.What, Value: f.Expr})
	}
	for _, f := range v.Flights {
		w.Flights = append(w.Flights, Fact{What: f.Packets, Value: f.What, Way: f.Way})
	}
	for _, f := range v.Filters {
		w.Filters = append(w.Filters, Fact{What: f.What, Value: f.Expr})
	}
	for _, c := range v.Attempt {
		w.Attempt = append(w.Attempt, c.Text)
	}
	return w
}

func scenesOf(some []scene) []Scene {
	var all []Scene
	for _, s := range some {
		if s.Excerpt != nil {
			all = append(all, Scene{s.Heading, s.Excerpt.Rows})
		}
	}
	return all
}
