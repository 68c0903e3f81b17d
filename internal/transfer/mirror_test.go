//go:build unix

package transfer

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"hufu"
	"hufu/internal/blob"
)

func mirror(remove bool, most int64) Options {
	return Options{Conflict: Replace, Mirror: &Mirror{Delete: remove, Most: most}}
}

// whole is the folder of n as one that is made equal to the far folder, or the other way round.
func (n *near) whole(far string) []Source {
	return []Source{{Side: Side{Store: n.store, Local: n.dir}, Far: must(hufu.ParsePath(far)), Contents: true, Itself: true}}
}

func told(r reports) string {
	var all []string
	for _, rep := range r {
		if rep.Outcome != Same {
			all = append(all, string(rep.Outcome)+" "+rep.Remote.String())
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// mixed makes a source and a target that differ in every way.
func mixed(t *testing.T) (w *world, src *near) {
	w, src = newWorld(), newNear(t)
	for name, data := range map[string]string{"new": "1", "changed": "22", "sub/new": "3", "file": "4", "folder/in": "5"} {
		src.write(name, []byte(data))
	}
	if err := os.Symlink("to", filepath.Join(src.dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"changed", "extra", "old/a", "old/b/c", "sub/extra", "file/was/folder", "folder", "link"} {
		w.set("t/"+name, []byte("x"), someTime, "")
	}
	return w, src
}

// TestMirror: the target has what the source has, of the same kind, and nothing else.
func TestMirror(t *testing.T) {
	t.Parallel()
	w, src := mixed(t)
	dry := mirror(true, -1)
	dry.DryRun = true
	before := len(w.things)
	r, err := put(t.Context(), w, dry, src.whole("t"))
	would := told(r)
	if err != nil || r.codes() != "" || len(w.things) != before {
		t.Fatal(err, r.codes(), len(w.things))
	}
	if r, err = put(t.Context(), w, mirror(true, -1), src.whole("t")); err != nil || r.codes() != "" {
		t.Fatal(err, r.codes())
	}
	did := told(r)
	for _, o := range [][2]string{{"would_transfer", "transferred"}, {"would_delete", "deleted"}, {"would_make", "made"}, {"would_update", "updated"}} {
		would = strings.ReplaceAll(would, o[0], o[1])
	}
	sorted := func(s string) string { all := strings.Split(s, ", "); slices.Sort(all); return strings.Join(all, ", ") }
	if sorted(would) != sorted(did) {
		t.Errorf("a dry run says\n%s\nand then\n%s", would, did)
	}
	var names []string
	for name := range w.things {
		names = append(names, strings.TrimPrefix(name, "t/"))
	}
	slices.Sort(names)
	want := append(src.names(), "t")
	if slices.Sort(want); !slices.Equal(names, want) {
		t.Errorf("%q, not %q", names, want)
	}
	if w.things["t/link"].Kind != hufu.Link || w.things["t/file"].Kind != hufu.File || w.things["t/folder"].Kind != hufu.Folder {
		t.Error("not all kinds are those of the source")
	}
	if r, err = put(t.Context(), w, mirror(true, -1), src.whole("t")); err != nil || told(r) != "" {
		t.Errorf("again: %v %s", err, told(r))
	}

	dst := newNear(t)
	for _, name := range []string{"extra", "new/was/folder", "folder", "old/x"} {
		dst.write(name, []byte("y"))
	}
	if r, err = get(t.Context(), w, mirror(true, -1), dst.whole("t")); err != nil || r.codes() != "" || !slices.Equal(dst.names(), src.names()) {
		t.Errorf("get: %v %s %q", err, r.codes(), dst.names())
	}
}

// TestMirrorDeletesNothing: without Delete nothing is removed, and with it nothing while a part of
// the source cannot be read, or over the bound, or what belongs to the client.
func TestMirrorDeletesNothing(t *testing.T) {
	t.Parallel()
	w, src := mixed(t)
	r, err := put(t.Context(), w, mirror(false, -1), src.whole("t"))
	if err != nil || r.codes() != "sync_folder_in_the_way" || w.things["t/extra"] == nil || w.things["t/file/was/folder"] == nil {
		t.Errorf("without: %v %s", err, r.codes())
	}

	w, src = mixed(t)
	e := New(w, mirror(true, 2))
	if err := e.Put(t.Context(), src.whole("t")); err != nil || e.Kept().Over == 0 || e.Stats.Deleted.Load() != 2 {
		t.Errorf("over the bound: %v %+v, %d deleted", err, e.Kept(), e.Stats.Deleted.Load())
	}

	w, src = mixed(t) // a file system that is unmounted meanwhile
	o := mirror(true, -1)
	o.Mirror.There = func() error { return errors.New("gone") }
	e = New(w, o)
	if err := e.Put(t.Context(), src.whole("t")); err != nil || !e.Kept().Unread || w.things["t/extra"] == nil || w.things["t/old/b/c"] == nil {
		t.Errorf("gone: %v %+v", err, e.Kept())
	}

	w, src = mixed(t) // a file that vanishes, or may not be read
	vanish := sync.OnceFunc(func() { _ = os.Remove(filepath.Join(src.dir, "new")) })
	w.fault = func(op string, _ hufu.Path, after bool) error {
		if op == "lane" && !after {
			vanish()
		}
		return nil
	}
	o = mirror(true, -1)
	e = New(w, o)
	if err := e.Put(t.Context(), src.whole("t")); err != nil || !e.Kept().Unread || w.things["t/extra"] == nil || w.things["t/old/b/c"] == nil {
		t.Errorf("unread: %v %+v", err, e.Kept())
	}

	w, dst := newWorld(), newNear(t)
	w.set("t/a", []byte("a"), someTime, "")
	w.set("t/sub/b", []byte("b"), someTime, "")
	dst.write("extra", []byte("x"))
	w.fault = func(op string, p hufu.Path, after bool) error {
		if op == "list" && p.String() == "t/sub" && !after {
			return failed(hufu.KindPermission, "not_yours")
		}
		return nil
	}
	e = New(w, mirror(true, -1))
	if err := e.Get(t.Context(), dst.whole("t")); err != nil || !e.Kept().Unread || dst.content("extra") == nil {
		t.Errorf("unlisted: %v %+v", err, e.Kept())
	}
	w.fault = func(op string, p hufu.Path, after bool) error { // the source is not there at all
		if p.String() == "t" && !after {
			return failed(hufu.KindNotFound, "")
		}
		return nil
	}
	e = New(w, mirror(true, -1))
	if _ = e.Get(t.Context(), dst.whole("t")); dst.content("extra") == nil {
		t.Error("a source that is missing has emptied the target")
	}
	w.fault = nil
	dst.write("mine/keys", []byte("x"))
	o = mirror(true, -1)
	o.Leave = func(_ context.Context, s Side) error {
		if filepath.Base(s.Local) == "mine" {
			return &hufu.Error{Op: "put", Kind: hufu.KindUnsupported, Code: "own_folder"}
		}
		return nil
	}
	r, err = get(t.Context(), w, o, dst.whole("t"))
	if err != nil || r.codes() != "" || dst.content("mine/keys") == nil || dst.content("extra") != nil {
		t.Errorf("own: %v %s %q", err, told(r), dst.names())
	}
}

// TestMirrorLeavesOthersNewFile: what somebody puts at the target after it was listed stays.
func TestMirrorLeavesOthersNewFile(t *testing.T) {
	t.Parallel()
	w, src := newWorld(), newNear(t)
	w.set("t/extra", []byte("x"), someTime, "")
	w.set("t/old/a", []byte("x"), someTime, "")
	w.fault = func(op string, p hufu.Path, after bool) error {
		if op == "remove" && !after && p.Base() == "extra" {
			w.set("t/extra", []byte("new"), someTime, "bob")
			w.set("t/old/b", []byte("new"), someTime, "bob")
		}
		return nil
	}
	r, err := put(t.Context(), w, mirror(true, -1), src.whole("t"))
	extra, _ := w.content("t/extra")
	if err = errors.Join(err); err != nil || string(extra) != "new" || !strings.Contains(r.codes(), "target_changed") {
		t.Error(err, r.codes(), string(extra))
	}
}

// TestNamesThatDifferInCaseOnly: on a target that keeps both, the old one is removed. One that takes
// them for the same name lists one of them, and nothing is removed: it may be what was just written.
func TestNamesThatDifferInCaseOnly(t *testing.T) {
	t.Parallel()
	for _, blind := range []bool{false, true} {
		w, src := newWorld(), newNear(t)
		src.write("docs/a", []byte("1"))
		src.write("x.txt", []byte("2"))
		src.write("caf\u00e9", []byte("3"))
		for _, name := range []string{"Docs/a", "X.TXT", "cafe\u0301", "extra"} {
			w.set("t/"+name, []byte("x"), someTime, "")
		}
		if blind {
			hidden := []string{"docs", "x.txt", "caf\u00e9"}
			w.page = func(p hufu.Path, r blob.Page, yield func(hufu.Entry) error) (string, error) {
				return farLister{w, p}.plain(context.Background(), r, func(e hufu.Entry) error {
					if slices.Contains(hidden, e.Name) {
						return nil
					}
					return yield(e)
				})
			}
		}
		r, err := put(t.Context(), w, mirror(true, -1), src.whole("t"))
		if err != nil || w.things["t/extra"] != nil {
			t.Fatal(err, r.codes())
		}
		for _, name := range []string{"t/Docs/a", "t/X.TXT", "t/cafe\u0301"} {
			if there := w.things[name] != nil; there != blind {
				t.Errorf("blind: %v, but %s is there: %v; %s", blind, name, there, r.codes())
			}
		}
		if told := strings.Contains(r.codes(), "sync_same_name"); told != blind {
			t.Errorf("blind: %v, but told: %s", blind, r.codes())
		}
	}
}

// TestMakingWayUnderFaults: a connection that is lost meanwhile ends the transfer, and is no failure
// of the name.
func TestMakingWayUnderFaults(t *testing.T) {
	t.Parallel()
	w, src := newWorld(), newNear(t)
	src.write("f", []byte("a file here"))
	w.set("t/f/x", []byte("x"), someTime, "")
	delete(w.things, "t/f/x")
	w.fault = func(op string, _ hufu.Path, after bool) error {
		if op == "remove" && !after {
			return failed(hufu.KindUnavailable, "store_away")
		}
		return nil
	}
	if r, err := put(t.Context(), w, mirror(false, -1), src.whole("t")); hufu.CodeOf(err) != "store_away" || r.codes() != "" {
		t.Errorf("%v %s", err, told(r))
	}
}

// TestNoFolderMakesWay that a filter protects, or that is more than may be deleted.
func TestNoFolderMakesWay(t *testing.T) {
	t.Parallel()
	filtered := mirror(true, -1)
	filtered.Filter = &Filter{}
	if err := filtered.Filter.Add(false, "folder/"); err != nil {
		t.Fatal(err)
	}
	for what, o := range map[string]Options{"filter": filtered, "bound": mirror(true, 0)} {
		w, src := newWorld(), newNear(t)
		src.write("folder", []byte("a file here"))
		w.set("t/folder/was/full", []byte("x"), someTime, "")
		if r, err := put(t.Context(), w, o, src.whole("t")); err != nil || w.things["t/folder/was/full"] == nil || len(r.codes()) == 0 {
			t.Errorf("%s: %v %s", what, err, r.codes())
		}
	}
}
