package client_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"hufu"
	"hufu/internal/client"
	"hufu/internal/profile"
	"hufu/internal/testenv"
	"hufu/internal/transfer"
)

// TestWhatIsLeftOut: a data folder of any server and the client's own folders
// are not sent, whatever is sent around them, and a word is said; nothing is
// copied into itself.
func TestWhatIsLeftOut(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	other := testenv.New(t, testenv.Options{})
	alice := env.Person("alice")
	r := alice.Remote(client.Options{})
	home := filepath.Dir(env.Data) // so that it holds the data folder
	if err := errors.Join(
		os.WriteFile(filepath.Join(home, "letter"), []byte("letter"), 0o600),
		os.CopyFS(filepath.Join(home, "deep/other"), os.DirFS(other.Data)),
		os.MkdirAll(filepath.Join(home, "looks"), 0o700),
		os.WriteFile(filepath.Join(home, "looks", hufu.DataTag), []byte("only its name"), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	send := func(sources ...string) []transfer.Report {
		t.Helper()
		c, err := r.PreparePut(t.Context(), sources, parse(t, "in"), client.How{Folder: true})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		var told []transfer.Report
		e := transfer.New(r, transfer.Options{Leave: r.Leave(), Report: func(rep transfer.Report) { told = append(told, rep) }})
		if err := e.Put(t.Context(), c.Sources); err != nil {
			t.Fatal(err)
		}
		return told
	}
	var codes []string
	for _, rep := range send(home, alice.Home) {
		if rep.Outcome == transfer.Skipped {
			codes = append(codes, hufu.CodeOf(rep.Err))
		}
	}
	slices.Sort(codes)
	if want := []string{"data_folder", "data_folder", "own_folder", "own_folder"}; !slices.Equal(codes, want) {
		t.Errorf("left out: %v", codes)
	}
	var names []string
	served := filepath.Join(env.Data, "files", "users", "alice")
	if err := filepath.WalkDir(served, func(path string, d fs.DirEntry, err error) error {
		if d.Type().IsRegular() {
			names = append(names, d.Name())
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if slices.Sort(names); !slices.Equal(names, []string{hufu.DataTag, "letter"}) {
		t.Errorf("sent: %q", names)
	}
	for _, named := range []string{filepath.Join(home, "deep/other"), filepath.Join(home, "deep/other") + "/", alice.Dirs.Config} {
		if told := send(named); len(told) != 1 || told[0].Outcome != transfer.Failed {
			t.Errorf("%s, named: %+v", named, told)
		}
	}

	// What has two names is the same thing.
	if err := errors.Join(
		os.Symlink(alice.Dirs.Config, alice.Local("a")), os.Symlink(alice.Dirs.State, alice.Local("b")),
		os.Symlink(filepath.Join(home, "deep/other"), alice.Local("c")),
	); err != nil {
		if runtime.GOOS == "windows" { // where a user may make no links
			t.Skip(err)
		}
		t.Fatal(err)
	}
	for _, link := range []string{alice.Local("a"), alice.Local("b"), alice.Local("c"), alice.Local("a") + "/", alice.Local("c") + "/"} {
		if told := send(link); len(told) != 1 || told[0].Outcome != transfer.Failed {
			t.Errorf("%s, a link: %+v", link, told)
		}
	}

	// What is in the client's own folders is not sent either. What a browser has handed
	// over is, and a link that stays one.
	profiles := filepath.Join(alice.Dirs.Config, "profiles")
	spool := filepath.Join(alice.Dirs.State, profile.Spools, "x")
	if err := errors.Join(
		os.Symlink(profiles, alice.Local("d")), os.MkdirAll(spool, 0o700),
		os.WriteFile(filepath.Join(spool, "handed"), []byte("x"), 0o600),
		os.WriteFile(filepath.Join(alice.Dirs.State, "transfers.json"), []byte("[]"), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		source string
		links  bool
		code   string
	}{
		{profiles, false, "own_folder"},
		{profiles + "/", false, "own_folder"},
		{alice.Local("d"), false, "own_folder"},
		{alice.Local("d") + "/", false, "own_folder"},
		{filepath.Join(alice.Local("a"), "profiles"), true, "own_folder"},
		{filepath.Join(alice.Dirs.State, "transfers.json"), false, "own_folder"},
		{filepath.Join(spool, "handed"), false, ""},
		{alice.Local("d"), true, ""},
	} {
		p, err := r.PreparePut(t.Context(), []string{c.source}, parse(t, "in"), client.How{Folder: true, Links: c.links})
		if err == nil {
			_ = p.Close()
		}
		if (err == nil) != (c.code == "") || err != nil && hufu.CodeOf(err) != c.code {
			t.Errorf("%s: %v", c.source, err)
		}
	}

	// The source is where the server keeps the target, or around it.
	for _, source := range []string{served, served + "/", filepath.Dir(served), filepath.Join(served, "in")} {
		for _, to := range []string{"in", "in/new"} {
			_, err := r.PreparePut(t.Context(), []string{source}, parse(t, to), client.How{Exact: true})
			if hufu.CodeOf(err) != "target_in_source" {
				t.Errorf("put %s to %s: %v", source, to, err)
			}
		}
	}
	for _, to := range []string{served, filepath.Join(served, "in"), filepath.Join(served, "new") + "/"} {
		_, err := r.PrepareGet(t.Context(), []client.Fetch{{Path: hufu.Path{}, Contents: true}}, to, client.How{})
		if hufu.CodeOf(err) != "target_in_source" {
			t.Errorf("get to %s: %v", to, err)
		}
	}
	// Beside it nothing is wrong.
	c, err := r.PreparePut(t.Context(), []string{filepath.Join(served, "in")}, parse(t, "beside"), client.How{})
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
}
