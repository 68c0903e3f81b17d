package client_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"hufu"
	"hufu/internal/client"
	"hufu/internal/testenv"
	"hufu/internal/transfer"
)

// TestSameCommandAgain: a folder on its way to a new name, interrupted when the
// name was there, goes on under that name with the same command, in both
// directions. When it has ended, the rule of cp holds again.
func TestSameCommandAgain(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	alice := env.Person("alice")
	r := alice.Remote(client.Options{})
	src := alice.Local("photos")
	if err := os.Mkdir(src, 0o700); err != nil {
		t.Fatal(err)
	}
	want := []string{}
	for n := range 3 {
		want = append(want, strconv.Itoa(n))
		if err := os.WriteFile(filepath.Join(src, strconv.Itoa(n)), []byte("photo"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	names := func(dir string) (all []string) {
		list, err := os.ReadDir(dir)
		if err != nil {
			t.Error(err)
		}
		for _, d := range list {
			all = append(all, d.Name())
		}
		return all
	}
	kept := func() int {
		list, _ := os.ReadDir(filepath.Join(alice.Dirs.State, "unfinished"))
		return len(list)
	}
	server := filepath.Join(env.Data, "files", "users", "alice")
	for _, c := range []struct {
		name, target string
		prepare      func() (*client.Copy, error)
		run          func(*transfer.Engine, context.Context, []transfer.Source) error
	}{
		{"put", filepath.Join(server, "backup"), func() (*client.Copy, error) {
			return r.PreparePut(t.Context(), []string{src}, parse(t, "backup"), client.How{})
		}, (*transfer.Engine).Put},
		{"get", alice.Local("copy"), func() (*client.Copy, error) {
			return r.PrepareGet(t.Context(), []client.Fetch{{Path: parse(t, "backup")}}, alice.Local("copy"), client.How{})
		}, (*transfer.Engine).Get},
	} {
		once := func(stop bool) error {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			copying, err := c.prepare()
			if err != nil {
				return err
			}
			e := transfer.New(r, transfer.Options{Report: func(rep transfer.Report) {
				if stop && rep.Outcome == transfer.Made {
					cancel()
				}
			}})
			err = c.run(e, ctx, copying.Sources)
			copying.Ended(&e.Stats, err)
			return errors.Join(err, copying.Close())
		}
		err := once(true)
		if _, there := os.Stat(c.target); there != nil { // interrupted before it was made: as good as made just then
			if err := os.Mkdir(c.target, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if hufu.KindOf(err) != hufu.KindCanceled || kept() != 1 {
			t.Fatalf("%s was not interrupted: %v; %d commands are remembered", c.name, err, kept())
		}
		if err := once(false); err != nil {
			t.Fatal(err)
		}
		if got := names(c.target); !slices.Equal(got, want) {
			t.Errorf("%s again: %q", c.name, got)
		}
		if kept() != 0 {
			t.Errorf("%s is remembered though it has ended", c.name)
		}
		if err := once(false); err != nil {
			t.Fatal(err)
		}
		if got := names(c.target); len(got) != len(want)+1 || kept() != 0 {
			t.Errorf("%s into a folder that is there: %q; %d commands are remembered", c.name, got, kept())
		}
		if err := os.RemoveAll(filepath.Join(c.target, map[string]string{"put": "photos", "get": "backup"}[c.name])); err != nil {
			t.Fatal(err)
		}
	}

	// With -T the name is meant, whatever stands there.
	c, err := r.PreparePut(t.Context(), []string{src}, parse(t, "backup"), client.How{Exact: true})
	if err != nil || c.Sources[0].Far != parse(t, "backup") {
		t.Errorf("put -T: %+v %v", c, err)
	}
	defer func() { _ = c.Close() }()
	d, err := r.PrepareGet(t.Context(), []client.Fetch{{Path: parse(t, "backup")}}, alice.Local("copy")+"/", client.How{Exact: true})
	if err != nil || d.Sources[0].Path != parse(t, "copy") {
		t.Errorf("get -T: %+v %v", d, err)
	}
	defer func() { _ = d.Close() }()
	if _, err := r.PreparePut(t.Context(), []string{src, src}, parse(t, "backup"), client.How{Exact: true}); hufu.CodeOf(err) != "one_source_exact" {
		t.Errorf("put -T of two: %v", err)
	}
}
