package server_test

import (
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"hufu"
	"hufu/internal/client"
	"hufu/internal/frame"
	"hufu/internal/testenv"
)

// page hears all frames of the answer to a list.
func (w *wire) page(m *frame.List) (names []string, next string) {
	w.Helper()
	w.say(m)
	for {
		var head [frame.HeaderSize]byte
		if _, err := io.ReadFull(w.in, head[:]); err != nil {
			w.Fatal(err)
		}
		h, err := frame.ParseHeader(&head)
		if err != nil {
			w.Fatal(err)
		}
		body := make([]byte, h.Body)
		if _, err := io.ReadFull(w.in, body); err != nil {
			w.Fatal(err)
		}
		a, err := w.codec.Decode(h.Type, body)
		l, ok := a.(*frame.ListAnswer)
		if !ok || err != nil {
			w.Fatalf("%+v, %v", a, err)
		}
		for _, e := range l.Entries {
			names = append(names, string(e.Name))
		}
		if !h.More {
			return names, string(l.Next)
		}
		if len(l.Next) > 0 {
			w.Error("the next page before the end of this one")
		}
	}
}

func TestListPageByPage(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	p := env.Person("alice")
	w := asPerson(t, env, p)
	var want []string
	for i := range 2500 {
		want = append(want, fmt.Sprintf("%d name", i))
		w.say(putOf("d/"+want[i], nil, ifFree))
		if i%500 == 499 {
			for range 500 {
				w.hear()
			}
		}
	}
	slices.Sort(want)
	for _, limit := range []uint32{1000, 2000, 2500, frame.MaxPage} {
		var got []string
		for after, more := "", true; more; {
			names, next := w.page(&frame.List{Path: frame.Path("d"), Limit: limit, After: []byte(after)})
			if len(names) > int(limit) || next != "" && len(names) < int(limit) {
				t.Errorf("a page of %d has %d, and there is more: %q", limit, len(names), next)
			}
			got = append(got, names...)
			after, more = next, next != ""
		}
		if !slices.Equal(got, want) {
			t.Errorf("pages of %d: %d names, or in another order", limit, len(got))
		}
	}
	// The whole folder at once, in any order.
	got, next := w.page(&frame.List{Path: frame.Path("d")})
	slices.Sort(got)
	if next != "" || !slices.Equal(got, want) {
		t.Errorf("%d names at once, then %q", len(got), next)
	}
	// Folders that are no folder of a store.
	for path, want := range map[string][]string{"@shared": {"common"}, "": {"d"}} {
		if got, next := w.page(&frame.List{Path: frame.Path(path), Limit: 1}); !slices.Equal(got, want) || next != "" {
			t.Errorf("%q: %q, %q", path, got, next)
		}
	}
	w.fails(&frame.List{Path: frame.Path("nowhere"), Limit: 1}, nil, hufu.KindNotFound, "")

	var sorted []string
	r := p.Remote(client.Options{})
	err := r.List(t.Context(), path(t, "/d"), func(e hufu.Entry) error { sorted = append(sorted, e.Name); return nil })
	if err != nil || !slices.Equal(sorted, want) {
		t.Errorf("the client lists %d names, %v", len(sorted), err)
	}
	// A page over the limit, and a place to go on without one.
	for _, m := range []*frame.List{{Limit: frame.MaxPage + 1}, {After: []byte("x")}} {
		w := asPerson(t, env, p)
		w.say(m)
		if code := w.farewell(); code != "message_value" {
			t.Error(code)
		}
	}
}

// TestHelloOfALaterClient: a server leaves out the keys that it does not know in
// hello where a later client may have them, and tells another version from a
// broken message.
func TestHelloOfALaterClient(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	p := env.Person("alice")
	hello := func(m map[uint64]any) []byte {
		mode, err := cbor.CoreDetEncOptions().EncMode()
		if err != nil {
			t.Fatal(err)
		}
		body, err := mode.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return rawFrame(frame.TypeHello, body)
	}
	w := connect(t, env, p)
	w.send(hello(map[uint64]any{1: 1, 2: []string{"core", "later"}, 3: p.Profile.Token(), 64: []any{"x"}, 127: 1}))
	if a, ok := w.hear().(*frame.HelloAnswer); !ok || !a.LoggedIn || !slices.Equal(a.Features, []string{"core"}) {
		t.Errorf("%+v", a)
	}
	w.page(&frame.List{})
	for code, m := range map[string]map[uint64]any{
		"message_form":     {1: 1, 2: []string{"core"}, 63: 1},
		"protocol_version": {1: 2, 2: 7, 63: nil},
	} {
		w := connect(t, env, p)
		w.send(hello(m))
		g, ok := w.hear().(*frame.Goodbye)
		if !ok || g.Reason.Code != code || code == "protocol_version" && g.Reason.Args["version"] != "1" {
			t.Errorf("wanted %s: %+v", code, g)
		}
	}
}
