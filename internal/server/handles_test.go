package server_test

import (
	"fmt"
	"io"
	"testing"

	"hufu"
	"hufu/internal/frame"
	"hufu/internal/testenv"
)

// TestDescriptorsOfAUser: the connections of one user keep a limited number of files and uploads open. Beyond
// it each keeps the one in use, and goes on with the others as before; another user loses nothing.
func TestDescriptorsOfAUser(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	env.Server.LimitHandles(10)
	alice, bob := env.Person("alice"), env.Person("bob")
	data := bytesOf(hufu.ChunkSize + 1)
	fill := func(w *wire, name string) {
		t.Helper()
		var versions []string
		for i := range 4 {
			file := fmt.Sprint(name, i)
			id := w.open(file, data)
			w.upload(id, data, 0, 1)
			versions = append(versions, answered[*frame.CommitAnswer](w, commitOf(id, file, data, ifFree), nil).Entry.Version)
		}
		for range 2 { // each file again, though it was closed
			for i, v := range versions {
				answered[*frame.ReadAnswer](w, &frame.Read{Path: frame.Path(fmt.Sprint(name, i)), Version: v, Index: 1}, nil)
				if _, err := io.ReadFull(w.in, make([]byte, 1)); err != nil {
					t.Fatal(err)
				}
			}
		}
		var ids []string
		for i := range 4 {
			ids = append(ids, w.open(fmt.Sprint(name, "unfinished", i), data))
			w.upload(ids[i], data, 0)
		}
		for _, id := range ids {
			w.upload(id, data, 1)
		}
	}
	first := asPerson(t, env, alice)
	fill(first, "a")
	second := asPerson(t, env, alice)
	fill(second, "b")
	third := asPerson(t, env, bob)
	fill(third, "c")
	if n := env.Server.Handles("alice"); n > 10+3 {
		t.Errorf("alice keeps %d open", n)
	}
	if n := env.Server.Handles("bob"); n < 4 {
		t.Errorf("bob keeps %d open", n)
	}
	for _, w := range []*wire{first, second, third} {
		_ = w.Close()
	}
	soon(t, "all is closed", func() bool { return env.Server.Handles("alice")+env.Server.Handles("bob") == 0 })
}
