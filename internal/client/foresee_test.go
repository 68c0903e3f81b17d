package client_test

import (
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"hufu"
	"hufu/internal/client"
	"hufu/internal/testenv"
	"hufu/internal/transfer"
)

// spoken counts what a client's connections have written.
type spoken struct {
	net.Conn
	n *atomic.Int64
}

func (s spoken) Write(p []byte) (int, error) {
	s.n.Add(int64(len(p)))
	return s.Conn.Write(p)
}

// foreseer is a client that counts what it says, another that looks, and a
// large file.
func foreseer(t *testing.T) (r, other *client.Remote, said *atomic.Int64, d *dials, file string) {
	t.Helper()
	alice := testenv.New(t, testenv.Options{}).Person("alice")
	said, d = new(atomic.Int64), new(dials)
	r = alice.Remote(client.Options{Tap: func(c net.Conn) net.Conn { return spoken{d.tap(c), said} }})
	file = alice.Local("big")
	if err := os.WriteFile(file, make([]byte, 3*hufu.ChunkSize), 0o644); err != nil {
		t.Fatal(err)
	}
	return r, alice.Remote(client.Options{}), said, d, file
}

// TestForesee: what a put and a get will ask first travels with hello, and is
// not asked again.
func TestForesee(t *testing.T) {
	t.Parallel()
	r, other, said, _, file := foreseer(t)
	r.ForeseePut(t.Context(), []string{file}, parse(t, "in/deep"), client.How{Folder: true})
	if err := r.LoggedIn(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := said.Load()
	c, err := r.PreparePut(t.Context(), []string{file}, parse(t, "in/deep"), client.How{Folder: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if !c.Sources[0].Fresh {
		t.Error("the folder is not new")
	}
	if _, err := r.Stat(t.Context(), c.Sources[0].Far); hufu.KindOf(err) != hufu.KindNotFound {
		t.Errorf("what is not there: %v", err)
	}
	if n := said.Load() - before; n != 0 {
		t.Errorf("%d bytes were said again", n)
	}
	from := c.Sources[0]
	e, err := from.Store.Stat(t.Context(), from.Path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Open(t.Context(), from.Far, e.Size, e.Version); err != nil {
		t.Errorf("the upload: %v", err)
	}
	if n := said.Load() - before; n != 0 {
		t.Errorf("%d bytes were said again", n)
	}
	if e, err := other.Stat(t.Context(), parse(t, "in/deep")); err != nil || e.Kind != hufu.Folder {
		t.Errorf("the folder: %+v, %v", e, err)
	}
	// Asked once more, it is asked.
	if _, err := r.Mkdir(t.Context(), parse(t, "in/deep"), 0o755, true); err != nil || said.Load() == before {
		t.Errorf("an answer was used twice, %v", err)
	}

	r.ForeseeGet([]client.Fetch{{Path: parse(t, "in/deep")}, {Path: parse(t, "none")}})
	before = said.Load()
	if e, err := r.Stat(t.Context(), parse(t, "in/deep")); err != nil || e.Kind != hufu.Folder {
		t.Errorf("%+v, %v", e, err)
	}
	if _, err := r.Stat(t.Context(), parse(t, "none")); hufu.KindOf(err) != hufu.KindNotFound {
		t.Errorf("what is not there: %v", err)
	}
	if n := said.Load() - before; n != 0 {
		t.Errorf("%d bytes were said again", n)
	}

	r.ForeseeGet([]client.Fetch{{Path: parse(t, "in"), Contents: true}})
	before = said.Load()
	names := 0
	if err := r.List(t.Context(), parse(t, "in"), func(hufu.Entry) error { names++; return nil }); err != nil || names != 1 {
		t.Errorf("%d names, %v", names, err)
	}
	if n := said.Load() - before; n != 0 {
		t.Errorf("%d bytes were said again", n)
	}

	// Once files move, things change: what was foreseen counts no more.
	r.ForeseeGet([]client.Fetch{{Path: parse(t, "late")}})
	lane, err := r.Lane(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lane.Close() }()
	if _, err := other.Mkdir(t.Context(), parse(t, "late"), 0o755, false); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Stat(t.Context(), parse(t, "late")); err != nil {
		t.Errorf("an old answer was used: %v", err)
	}
}

// TestForeseeNothing: no folder is made for a source that is not there, and a
// new name is not taken for a folder.
func TestForeseeNothing(t *testing.T) {
	t.Parallel()
	r, other, _, _, file := foreseer(t)
	r.ForeseePut(t.Context(), []string{file + ".none"}, parse(t, "in"), client.How{Folder: true})
	if err := r.LoggedIn(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Stat(t.Context(), parse(t, "in")); hufu.KindOf(err) != hufu.KindNotFound {
		t.Errorf("the folder: %v", err)
	}
	put := func(to string) {
		t.Helper()
		r.ForeseePut(t.Context(), []string{file}, parse(t, to), client.How{})
		c, err := r.PreparePut(t.Context(), []string{file}, parse(t, to), client.How{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		if err := transfer.New(r, transfer.Options{Owner: "test", Conflict: transfer.Replace}).Put(t.Context(), c.Sources); err != nil {
			t.Fatal(err)
		}
	}
	put("to/name")
	if e, err := other.Stat(t.Context(), parse(t, "to/name")); err != nil || e.Size != 3*hufu.ChunkSize {
		t.Errorf("%+v, %v", e, err)
	}
	put("to")
	if e, err := other.Stat(t.Context(), parse(t, "to/big")); err != nil || e.Size != 3*hufu.ChunkSize {
		t.Errorf("%+v, %v", e, err)
	}
}

// TestForeseeWhatIsRefused: no folder is made for a source that PreparePut refuses.
func TestForeseeWhatIsRefused(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	alice := env.Person("alice")
	if _, err := alice.Remote(client.Options{}).Mkdir(t.Context(), parse(t, "there"), 0o755, false); err != nil {
		t.Fatal(err)
	}
	for _, source := range []string{filepath.Join(env.Data, "files/users/alice"), filepath.Join(alice.Dirs.Config, "profiles")} {
		r := alice.Remote(client.Options{})
		how := client.How{Folder: true}
		r.ForeseePut(t.Context(), []string{source}, parse(t, "in/new"), how)
		if _, err := r.PreparePut(t.Context(), []string{source}, parse(t, "in/new"), how); err == nil {
			t.Errorf("%s is sent", source)
		}
		if err := r.LoggedIn(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Stat(t.Context(), parse(t, "in")); hufu.KindOf(err) != hufu.KindNotFound {
			t.Errorf("%s: the folder: %v", source, err)
		}
	}
}

// TestForeseenIsLost: what was foreseen on a connection that ended is asked on
// the next.
func TestForeseenIsLost(t *testing.T) {
	t.Parallel()
	r, _, said, d, file := foreseer(t)
	r.ForeseePut(t.Context(), []string{file}, parse(t, "in"), client.How{Folder: true})
	if err := r.LoggedIn(t.Context()); err != nil {
		t.Fatal(err)
	}
	_ = d.all()[0].Close()
	if _, err := r.Stat(t.Context(), hufu.Path{}); err != nil { // finds out
		t.Fatal(err)
	}
	before := said.Load()
	c, err := r.PreparePut(t.Context(), []string{file}, parse(t, "in"), client.How{Folder: true})
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	if n := len(d.all()); n != 2 || said.Load() == before {
		t.Errorf("%d connections; an answer of the first was used", n)
	}
}
