package server_test

import (
	"fmt"
	"testing"

	"hufu"
	"hufu/internal/digest"
	"hufu/internal/frame"
	"hufu/internal/testenv"
)

// bytes are those of a request.
func (w *wire) bytes(m frame.Message, raw string) []byte {
	w.Helper()
	b, err := w.codec.Append(nil, m, false, len(raw))
	if err != nil {
		w.Fatal(err)
	}
	return append(b, raw...)
}

// TestHT56TwoConnections: alice asks for a change of her file in a shared folder
// behind something that takes a while. On a second connection she removes the
// file, and bob puts his under the name before her change is made. He keeps it.
func TestHT56TwoConnections(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	alice, bob := env.Person("alice"), env.Person("bob")
	first, second, bobs := asPerson(t, env, alice), asPerson(t, env, alice), asPerson(t, env, bob)
	putOf := func(p frame.Path, content string, c frame.Condition) *frame.Put {
		d := digest.Sum([]byte(content))
		return &frame.Put{Path: p, Mode: 0o640, Digest: d[:], Condition: c}
	}
	f, g, h := frame.Path("@shared/common/f"), frame.Path("@shared/common/g"), frame.Path("@shared/common/h")
	for name, c := range map[string]struct {
		m   frame.Message
		raw string
	}{
		"remove":    {&frame.Remove{Path: f}, ""},
		"recursive": {&frame.Remove{Path: f, Recursive: true}, ""},
		"rename":    {&frame.Rename{From: f, To: g, Condition: ifFree}, ""},
		"over":      {&frame.Rename{From: h, To: f, Condition: always}, ""},
		"setmeta":   {&frame.SetMeta{Path: f, Mode: 0o777, MTime: 1}, ""},
		"put":       {putOf(f, "stolen", always), "stolen"},
	} {
		refused := 0
		for round := 0; round < 10 && refused == 0; round++ {
			for _, p := range []frame.Path{f, g, h} {
				second.ask(&frame.Remove{Path: p}, nil)
			}
			for _, p := range []frame.Path{f, h} {
				if a, ok := second.ask(putOf(p, "alice's", ifFree), []byte("alice's")).(*frame.PutAnswer); !ok {
					t.Fatalf("%s: %+v", name, a)
				}
			}
			// The group has files that are made durable first.
			const more = 20
			var say []byte
			content := string(make([]byte, 256<<10))
			for i := range more {
				say = append(say, first.bytes(putOf(frame.Path(fmt.Sprintf("more%d", i)), content, always), content)...)
			}
			say = append(say, first.bytes(c.m, c.raw)...)
			sent := make(chan error, 1)
			go func() {
				_, err := first.Write(say)
				sent <- err
			}()
			second.ask(&frame.Remove{Path: f}, nil)
			_, has := bobs.ask(putOf(f, "bob's", ifFree), []byte("bob's")).(*frame.PutAnswer)
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
			for range more {
				first.hear()
			}
			answer := first.hear()
			if !has {
				continue // a file of alice's stands there
			}
			if e, ok := answer.(*frame.Error); ok && e.Code == "not_yours" {
				refused++
			}
			a, ok := bobs.ask(&frame.Stat{Path: f}, nil).(*frame.StatAnswer)
			if want := digest.Sum([]byte("bob's")); !ok || a.Entry.By != "bob" || a.Entry.Mode != 0o640 || hufu.Digest(a.Entry.Digest) != want {
				t.Fatalf("%s: bob's file is %+v after alice heard %+v", name, a, answer)
			}
			if r, ok := bobs.ask(&frame.Remove{Path: f}, nil).(*frame.RemoveAnswer); !ok {
				t.Fatalf("%s: bob cannot remove what is his: %+v", name, r)
			}
		}
		t.Logf("%s: %d attacks refused", name, refused)
	}
}
