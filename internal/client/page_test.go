package client

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"hufu"
	"hufu/internal/frame"
	"hufu/internal/profile"
	"hufu/internal/session"
)

// pager is a server that answers every list with the next of its pages.
type pager struct {
	s     *session.Server
	pages []frame.ListAnswer
	asked []string    // what the pages were to follow
	heard chan string // gets the same, if it is not nil
}

func (p *pager) Handle(_ context.Context, r *session.Request) error {
	m, ok := r.Message.(*frame.List)
	if !ok {
		return p.s.Fail(&hufu.Error{Kind: hufu.KindInvalid})
	}
	p.asked = append(p.asked, string(m.After))
	if p.heard != nil {
		p.heard <- string(m.After)
	}
	a := p.pages[0]
	if len(p.pages) > 1 { // the last one for ever
		p.pages = p.pages[1:]
	}
	return p.s.Answer(&a, false, nil)
}

func (p *pager) Idle(context.Context) error { return nil }

// TestSortedListingIsBelievedInOrderOnly: a server that tells names twice, or not
// in order, or says that there is more without getting on, is found out at once;
// so nothing is collected for ever.
func TestSortedListingIsBelievedInOrderOnly(t *testing.T) {
	t.Parallel()
	page := func(next string, names ...string) frame.ListAnswer {
		a := frame.ListAnswer{Entries: []frame.Entry{}, Next: []byte(next)}
		for _, n := range names {
			a.Entries = append(a.Entries, frame.Entry{Name: []byte(n), Kind: uint8(hufu.File)})
		}
		return a
	}
	for name, c := range map[string]struct {
		pages []frame.ListAnswer
		got   string
		code  string
	}{
		"one page":         {[]frame.ListAnswer{page("", "a", "b")}, "ab", ""},
		"pages":            {[]frame.ListAnswer{page("b", "a", "b"), page("d"), page("", "e")}, "abe", ""},
		"empty":            {[]frame.ListAnswer{page("")}, "", ""},
		"not in order":     {[]frame.ListAnswer{page("", "b", "a")}, "b", "answer_out_of_order"},
		"twice":            {[]frame.ListAnswer{page("", "a", "a")}, "a", "answer_out_of_order"},
		"twice, two pages": {[]frame.ListAnswer{page("b", "a", "b"), page("", "b")}, "ab", "answer_out_of_order"},
		"back":             {[]frame.ListAnswer{page("a", "a", "b")}, "ab", "answer_out_of_order"},
		"on the spot":      {[]frame.ListAnswer{page("b", "a"), page("b")}, "a", "answer_out_of_order"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := pagesFrom(t, &pager{pages: c.pages})
			var got strings.Builder
			err := r.List(t.Context(), hufu.Path{}, func(e hufu.Entry) error { got.WriteString(e.Name); return nil })
			if got.String() != c.got || (err != nil) != (c.code != "") || err != nil && hufu.CodeOf(err) != c.code {
				t.Errorf("%q, %v", got.String(), err)
			}
		})
	}
}

// pagesFrom connects to the pager.
func pagesFrom(t *testing.T, p *pager) *Remote {
	t.Helper()
	near, far := net.Pipe()
	codec := frame.NewCodec()
	below, above := session.NewStream(far), session.NewStream(near)
	p.s = session.NewServer(below, below, codec)
	over := make(chan error, 1)
	go func() { over <- p.s.Serve(context.Background(), p) }()
	r := &Remote{p: &profile.Profile{}, control: session.NewClient(above, above, codec, nil), hello: &frame.HelloAnswer{LoggedIn: true}}
	t.Cleanup(func() {
		_ = r.control.Close()
		<-over
	})
	return r
}

// TestNextPageIsRequestedAhead: over a far link each page would take a round trip, so one is
// requested while the one before is used.
func TestNextPageIsRequestedAhead(t *testing.T) {
	t.Parallel()
	file := func(name string) []frame.Entry { return []frame.Entry{{Name: []byte(name), Kind: uint8(hufu.File)}} }
	p := &pager{heard: make(chan string, 3), pages: []frame.ListAnswer{
		{Entries: file("a"), Next: []byte("a")}, {Entries: file("b"), Next: []byte("b")}, {Entries: file("c")},
	}}
	r := pagesFrom(t, p)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	want := map[string]string{"a": "a", "b": "b"} // the request that is under way while this entry is used
	first := true
	err := r.List(ctx, hufu.Path{}, func(e hufu.Entry) error {
		if first {
			<-p.heard
			first = false
		}
		after, more := want[e.Name]
		if !more {
			return nil
		}
		select {
		case got := <-p.heard:
			if got != after {
				t.Errorf("at %s the page after %q is requested", e.Name, got)
			}
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	if err != nil {
		t.Error(err)
	}
}
