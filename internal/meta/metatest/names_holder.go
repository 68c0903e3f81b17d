package metatest

import (
	"testing"
	"time"

	"hufu/internal/meta"
)

// testHolders: an upload that another process has open is not dropped, until that lets it go or its
// time is over.
func testHolders(t *testing.T, n *meta.Names) {
	ctx, top := t.Context(), root(t, n, "users/alice")
	fresh := func() meta.ID {
		t.Helper()
		u := meta.Upload{ID: meta.RandomID(), Tree: top}
		u.Key = [32]byte(append(u.ID[:], u.ID[:]...))
		_, err := n.AddUpload(ctx, u)
		must(t, err, n.AddContent(ctx, meta.Content{ID: u.ID, State: meta.StateOpen}))
		return u.ID
	}
	hold := func(id meta.ID, grip string, length time.Duration, want bool) {
		t.Helper()
		if there, err := n.Hold(ctx, id, grip, length); err != nil || there != want {
			t.Errorf("%v %v, want %v", there, err, want)
		}
	}
	into := meta.NewID()
	for i, drop := range []func(id meta.ID, grip string) (bool, error){
		func(id meta.ID, grip string) (bool, error) { return n.DropUnheld(ctx, id, grip) },
		func(id meta.ID, grip string) (bool, error) { return n.DropUnbegun(ctx, id, grip) },
		func(id meta.ID, grip string) (bool, error) { return n.DropIdle(ctx, id, grip, -time.Hour) },
	} {
		try := func(id meta.ID, grip string, want bool) {
			t.Helper()
			idle, err := n.IdleUploads(ctx, grip, -time.Hour, meta.ID{}, 9)
			if err != nil || (len(idle) == 1) != want {
				t.Errorf("%d: idle are %v %v, want %v", i, idle, err, want)
			}
			if dropped, err := drop(id, grip); err != nil || dropped != want {
				t.Errorf("%d: %v %v, want %v", i, dropped, err, want)
			}
		}
		id := fresh()
		hold(id, "a", time.Hour, true)
		hold(id, "a", time.Hour, true)
		try(id, "b", false)
		try(id, "a", true)
		hold(id, "a", time.Hour, false) // it is gone, and its holders with it

		id = fresh()
		hold(id, "a", time.Hour, true)
		hold(id, "b", time.Hour, true)
		must(t, n.LetGo(ctx, id, "a"))
		try(id, "a", false)
		try(id, "b", true)

		id = fresh()
		hold(id, "a", -time.Second, true)
		must(t, n.Extend(ctx, "b", time.Hour, id), n.Extend(ctx, "a", time.Hour, meta.RandomID()))
		try(id, "b", true)

		id = fresh()
		hold(id, "a", -time.Second, true)
		must(t, n.Extend(ctx, "a", time.Hour, meta.RandomID(), id))
		try(id, "b", false)
		hold(id, "a", -time.Second, true)
		try(id, "b", true)
	}

	id := fresh()
	_, err := n.SetInto(ctx, id, into)
	must(t, err)
	hold(id, "a", time.Hour, true)
	busy := func(folder meta.ID, grip string, want bool) {
		t.Helper()
		if got, err := n.HeldInto(ctx, folder, grip); err != nil || got != want {
			t.Errorf("%v %v, want %v", got, err, want)
		}
	}
	busy(into, "b", true)
	busy(into, "a", false)
	busy(meta.NewID(), "b", false)
	hold(id, "a", -time.Second, true)
	busy(into, "b", false)

	progress := func(state int, units int64) {
		t.Helper()
		if s, u, err := n.Progress(ctx, id); err != nil || s != state || u != units {
			t.Errorf("%d %d %v, want %d %d", s, u, err, state, units)
		}
	}
	progress(meta.StateOpen, 0)
	for i := range int64(3) {
		_, err := n.AddUnit(ctx, id, meta.Unit{Number: i, CVs: make([]byte, 32)})
		must(t, err)
	}
	progress(meta.StateOpen, 3)
	_, err = n.Abandon(ctx, id)
	must(t, err)
	progress(meta.StateDead, 3)
	id = meta.RandomID()
	progress(0, 0)
}

// testHandover: if a process opens an upload at the moment at which another one drops it, either the
// first finds nothing or the second leaves it alone.
func testHandover(t *testing.T, n *meta.Names) {
	ctx, top := t.Context(), root(t, n, "users/alice")
	for i := range byte(20) {
		id := meta.RandomID()
		_, err := n.AddUpload(ctx, meta.Upload{ID: id, Tree: top, Key: [32]byte{i}})
		must(t, err)
		type outcome struct {
			held bool
			err  error
		}
		came := make(chan outcome, 1)
		go func() {
			held, err := n.Hold(ctx, id, "a", time.Hour)
			came <- outcome{held, err}
		}()
		dropped := false
		must(t, n.Change(ctx, func(q meta.NameQueries) (err error) {
			dropped, err = q.DropUnheld(ctx, id, "b")
			return err
		}))
		if got := <-came; got.err != nil || got.held == dropped {
			t.Errorf("held %v, dropped %v: %v", got.held, dropped, got.err)
		}
	}
}
