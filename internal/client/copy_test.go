package client_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"hufu"
	"hufu/internal/client"
	"hufu/internal/testenv"
	"hufu/internal/transfer"
)

func parse(t *testing.T, s string) hufu.Path {
	t.Helper()
	p, err := hufu.ParsePath(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// put sends sources as the command would, and returns what was told.
func put(ctx context.Context, r *client.Remote, sources []string, to hufu.Path, how client.How) ([]transfer.Report, error) {
	c, err := r.PreparePut(ctx, sources, to, how)
	if err != nil {
		return nil, err
	}
	var told []transfer.Report
	e := transfer.New(r, transfer.Options{Report: func(rep transfer.Report) { told = append(told, rep) }})
	e.Tell(c.Failures)
	return told, errors.Join(e.Put(ctx, c.Sources), c.Close())
}

// TestLinkThatIsNamed: the bytes behind a link go to the server if the link is
// named as a source, whatever it points to; a link in a folder stays a link.
func TestLinkThatIsNamed(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	alice := env.Person("alice")
	r := alice.Remote(client.Options{})
	if err := errors.Join(
		os.Mkdir(alice.Local("real"), 0o700),
		os.WriteFile(alice.Local("real/report"), []byte("report"), 0o600),
		os.Symlink("report", alice.Local("real/inner")),
		os.Symlink("real", alice.Local("folder")),
		os.Symlink("folder/inner", alice.Local("file")),
		os.Symlink("nowhere", alice.Local("broken")),
	); err != nil {
		if runtime.GOOS == "windows" { // where a user may make no links
			t.Skip(err)
		}
		t.Fatal(err)
	}
	named := []string{alice.Local("folder"), alice.Local("file")}
	if _, err := put(t.Context(), r, named, parse(t, "in"), client.How{Folder: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := put(t.Context(), r, named[1:], parse(t, "name"), client.How{}); err != nil {
		t.Fatal(err)
	}
	if _, err := put(t.Context(), r, named, parse(t, "links"), client.How{Folder: true, Links: true}); err != nil {
		t.Fatal(err)
	}
	files := filepath.Join(env.Data, "files", "users", "alice")
	for name, want := range map[string]os.FileMode{
		"in/folder": os.ModeDir, "in/folder/report": 0, "in/folder/inner": os.ModeSymlink, "in/file": 0, "name": 0,
		"links/folder": os.ModeSymlink, "links/file": os.ModeSymlink,
	} {
		i, err := os.Lstat(filepath.Join(files, name))
		if err != nil || i.Mode().Type() != want {
			t.Errorf("%s: %v %v", name, i, err)
			continue
		}
		if want == 0 && i.Size() != int64(len("report")) {
			t.Errorf("%s has %d bytes", name, i.Size())
		}
	}
	_, err := put(t.Context(), r, []string{alice.Local("broken")}, parse(t, "in"), client.How{Folder: true})
	if hufu.CodeOf(err) != "link_dangling" || hufu.KindOf(err) != hufu.KindNotFound {
		t.Errorf("a link to nowhere: %v", err)
	}
}

// TestNothingIsSentToASignpost: what the place alone makes impossible is told
// before a byte is sent, also for a small file, and with the shared folder that is
// missing.
func TestNothingIsSentToASignpost(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	alice := env.Person("alice")
	r := alice.Remote(client.Options{})
	file, folder := alice.Local("f"), alice.Local("d")
	common := alice.Local("common")
	if err := errors.Join(
		os.WriteFile(file, []byte("small"), 0o600), os.WriteFile(alice.Local("g"), []byte("small"), 0o600),
		os.Mkdir(folder, 0o700), os.WriteFile(filepath.Join(folder, "inner"), []byte("small"), 0o600),
		os.Mkdir(common, 0o700), os.WriteFile(filepath.Join(common, "inner"), []byte("small"), 0o600),
		os.MkdirAll(alice.Local("merged/common"), 0o700), os.MkdirAll(alice.Local("top/@shared/common"), 0o700),
		os.MkdirAll(alice.Local("astray/@shared"), 0o700), os.WriteFile(alice.Local("astray/@shared/inner"), []byte("small"), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	into := client.How{Folder: true}
	for _, c := range []struct {
		sources []string
		to      string
		how     client.How
		code    string
	}{
		{[]string{file}, "@shared/x", client.How{}, "shared_missing"},
		{[]string{file}, "@shared", client.How{}, "shared_missing"},
		{[]string{file}, "@shared", into, "shared_missing"},
		{[]string{file, alice.Local("g")}, "@shared", into, "shared_missing"},
		{[]string{folder}, "@shared", into, "shared_missing"},
		{[]string{folder}, "@shared/x", client.How{}, "shared_missing"},
		{[]string{file}, "@shared/nosuch", into, "shared_missing"},
		{[]string{file}, "@shared/nosuch/x", client.How{}, "shared_missing"},
		{[]string{file}, "@shared/nosuch/a", into, "shared_missing"},
		{[]string{file}, "@shared/common", client.How{Exact: true}, "not_allowed_here"},
		{[]string{file}, "@shared", client.How{Exact: true}, "not_allowed_here"},
		{[]string{common}, "@shared", into, ""}, // a folder merges with the one that is there
		{[]string{folder + "/"}, "@shared", into, "shared_missing"},
		{[]string{folder + "/"}, "@shared", client.How{}, "shared_missing"},
		{[]string{alice.Local("merged") + "/"}, "@shared", into, ""},
		{[]string{alice.Local("top") + "/"}, "", into, ""},
		{[]string{alice.Local("top/@shared")}, "", into, ""},
		{[]string{alice.Local("astray") + "/"}, "", into, "shared_missing"},
		{[]string{alice.Local("astray/@shared")}, "", into, "shared_missing"},
	} {
		p, err := r.PreparePut(t.Context(), c.sources, parse(t, c.to), c.how)
		if err == nil {
			_ = p.Close()
		}
		if (err == nil) != (c.code == "") || err != nil && hufu.CodeOf(err) != c.code {
			t.Errorf("%s to %s: %v", c.sources, c.to, err)
		}
	}
}
