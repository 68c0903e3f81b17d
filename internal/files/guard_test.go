package files

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/digest"
)

// TestJudgedAtTheCommit: alice stages a change of what is hers. Until she
// commits it, it has gone and bob's stands there. It stays, whatever she asked.
func TestJudgedAtTheCommit(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	always, absent := hufu.Condition{Kind: hufu.Always}, hufu.Condition{Kind: hufu.IfAbsent}
	large := bytes.Repeat([]byte("alice"), hufu.ChunkSize)
	p := func(s string) hufu.Path { return at(t, "/@shared/common/"+s) }
	isFile := func(t *testing.T, v *View, name string) { // what alice has, and then bob
		ok(t, put(t, v, name, v.sub.User, hufu.IfAbsent))
	}
	isFolder := func(t *testing.T, v *View, name string) {
		ok(t, mkdir(t, v, name), put(t, v, name+"/in", v.sub.User, hufu.IfAbsent))
	}
	isEmpty := func(t *testing.T, v *View, name string) { ok(t, mkdir(t, v, name)) }
	isLink := func(t *testing.T, v *View, name string) { // a folder with a link
		ok(t, mkdir(t, v, name), do(v, func(b *Batch) { b.Link(ctx, at(t, name+"/l"), v.sub.User, blob.Meta{}, absent) }).Err)
	}
	for name, c := range map[string]struct {
		make  func(*testing.T, *View, string)
		stage func(*Batch)
	}{
		"remove":               {isFile, func(b *Batch) { b.Remove(ctx, p("x"), false, "") }},
		"remove recursive":     {isFile, func(b *Batch) { b.Remove(ctx, p("x"), true, "") }},
		"remove folder":        {isEmpty, func(b *Batch) { b.Remove(ctx, p("x"), false, "") }},
		"remove tree":          {isFolder, func(b *Batch) { b.Remove(ctx, p("x"), true, "") }},
		"remove inside":        {isFolder, func(b *Batch) { b.Remove(ctx, p("x/in"), false, "") }},
		"remove link":          {isLink, func(b *Batch) { b.Remove(ctx, p("x/l"), false, "") }},
		"rename":               {isFile, func(b *Batch) { b.Rename(ctx, p("x"), p("y"), absent, "") }},
		"rename folder":        {isFolder, func(b *Batch) { b.Rename(ctx, p("x"), p("y"), absent, "") }},
		"rename link":          {isLink, func(b *Batch) { b.Rename(ctx, p("x/l"), p("alices/l"), absent, "") }},
		"rename over":          {isFile, func(b *Batch) { b.Rename(ctx, p("other"), p("x"), always, "") }},
		"rename link into":     {isEmpty, func(b *Batch) { b.Rename(ctx, p("alices/k"), p("x/l"), absent, "") }},
		"setmeta":              {isFile, func(b *Batch) { b.SetMeta(ctx, p("x"), blob.Meta{Mode: 0o777}, "") }},
		"setmeta of a folder":  {isFolder, func(b *Batch) { b.SetMeta(ctx, p("x"), blob.Meta{Mode: 0o777}, "") }},
		"setmeta of a link":    {isLink, func(b *Batch) { b.SetMeta(ctx, p("x/l"), blob.Meta{MTime: time.Unix(1, 0)}, "") }},
		"put":                  {isFile, func(b *Batch) { b.Put(ctx, p("x"), []byte("stolen"), blob.Meta{}, always) }},
		"put inside":           {isFolder, func(b *Batch) { b.Put(ctx, p("x/in"), []byte("stolen"), blob.Meta{}, always) }},
		"link":                 {isFile, func(b *Batch) { b.Link(ctx, p("x"), "stolen", blob.Meta{}, always) }},
		"link in a folder":     {isEmpty, func(b *Batch) { b.Link(ctx, p("x/l"), "stolen", blob.Meta{}, absent) }},
		"link over, in folder": {isFolder, func(b *Batch) { b.Link(ctx, p("x/in"), "stolen", blob.Meta{}, always) }},
		"commit":               {isFile, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			alice, again, bob := h.view("alice", "pc"), h.view("alice", "phone"), h.view("bob", "pc")
			const x = "/@shared/common/x"
			c.make(t, alice, x)
			ok(t, put(t, alice, "/@shared/common/other", "other", hufu.IfAbsent), mkdir(t, alice, "/@shared/common/alices"))
			ok(t, do(alice, func(b *Batch) { b.Link(ctx, p("alices/k"), "k", blob.Meta{}, absent) }).Err)
			var commit func() error
			if c.stage != nil {
				b := alice.Batch()
				c.stage(b)
				commit = func() error { return b.Commit(ctx)[0].Err }
			} else {
				u, err := alice.OpenUpload(ctx, at(t, x), int64(len(large)), "v")
				ok(t, err)
				defer func() { _ = u.Close() }()
				fill(t, u, large)
				commit = func() error {
					_, err := alice.CommitUpload(ctx, u.Info().ID, at(t, x), digest.Sum(large), blob.Meta{}, always)
					return err
				}
			}
			ok(t, remove(t, again, x))
			c.make(t, bob, x)
			common := filepath.Join(h.data, "files", "shared", "common")
			before := readTree(t, common)
			if err := commit(); err == nil {
				t.Error("alice has changed what is bob's")
			} else if k := hufu.KindOf(err); k != hufu.KindPermission && k != hufu.KindNotFound {
				t.Error(err)
			}
			if e, err := bob.Stat(ctx, at(t, x)); err != nil || e.By != "bob" || e.Mode != 0o755 {
				t.Errorf("bob's is %+v, %v", e, err)
			}
			if after := readTree(t, common); after != before {
				t.Errorf("it was\n%.2000s\nand is\n%.2000s", before, after)
			}
		})
	}
}

// TestAdmittedAtTheCommit: who has lost the right to be here between asking and
// the commit changes nothing, not even what is their own.
func TestAdmittedAtTheCommit(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var revoked error
	alice := h.s.For("alice", "pc", func() error { return revoked }, slog.DiscardHandler)
	ctx := t.Context()
	large := bytes.Repeat([]byte("alice"), hufu.ChunkSize)
	for _, place := range []string{"/", "/@shared/common/"} {
		revoked = nil
		p := func(s string) hufu.Path { return at(t, place+s) }
		ok(t, put(t, alice, place+"x", "x", hufu.IfAbsent), put(t, alice, place+"d/x", "x", hufu.IfAbsent), put(t, alice, place+"m", "m", hufu.IfAbsent))
		b := alice.Batch()
		b.Put(ctx, p("new"), []byte("n"), blob.Meta{}, hufu.Condition{Kind: hufu.IfAbsent})
		b.Put(ctx, p("x"), []byte("n"), blob.Meta{}, hufu.Condition{Kind: hufu.Always})
		b.Link(ctx, p("d/l"), "l", blob.Meta{}, hufu.Condition{Kind: hufu.IfAbsent})
		b.SetMeta(ctx, p("m"), blob.Meta{Mode: 0o777}, "")
		b.Rename(ctx, p("m"), p("n"), hufu.Condition{Kind: hufu.IfAbsent}, "")
		b.Remove(ctx, p("x"), false, "")
		b.Remove(ctx, p("d"), true, "")
		u, err := alice.OpenUpload(ctx, p("large"), int64(len(large)), "v")
		ok(t, err)
		fill(t, u, large)
		before := h.tree()
		revoked = &hufu.Error{Op: "admit", Kind: hufu.KindRefused, Code: "cert_revoked"}
		b.Mkdir(ctx, p("new folder"), 0o755, false)
		for _, r := range b.Commit(ctx) {
			code(t, r.Err, "cert_revoked")
		}
		_, err = alice.CommitUpload(ctx, u.Info().ID, p("large"), digest.Sum(large), blob.Meta{}, hufu.Condition{Kind: hufu.IfAbsent})
		code(t, err, "cert_revoked")
		if after := h.tree(); len(after) != len(before) {
			t.Errorf("there was %q and is %q", before, after)
		}
		revoked = nil
		if e, err := alice.Stat(ctx, p("m")); err != nil || e.Mode != 0o755 {
			t.Errorf("m is %+v, %v", e, err)
		}
		_, err = alice.CommitUpload(ctx, u.Info().ID, p("large"), digest.Sum(large), blob.Meta{}, hufu.Condition{Kind: hufu.IfAbsent})
		ok(t, err, u.Close())
	}
}

// TestOrderInAGroup: what one group puts and then removes is there to be
// removed, in a shared folder too.
func TestOrderInAGroup(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.view("alice", "pc")
	for _, place := range []string{"/", "/@shared/common/"} {
		b := alice.Batch()
		b.Put(t.Context(), at(t, place+"x"), []byte("x"), blob.Meta{}, hufu.Condition{Kind: hufu.IfAbsent})
		b.Rename(t.Context(), at(t, place+"x"), at(t, place+"y"), hufu.Condition{Kind: hufu.IfAbsent}, "")
		b.Remove(t.Context(), at(t, place+"y"), false, "")
		for _, r := range b.Commit(t.Context()) {
			ok(t, r.Err)
		}
	}
}

// TestUploadIntoARemovedFolder: the folder above an upload is removed before its
// first chunk comes. It is made again as the user's own, if the user may still do
// that; when it is removed later, the upload is gone with it.
func TestUploadIntoARemovedFolder(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var revoked error
	alice := h.s.For("alice", "pc", func() error { return revoked }, slog.DiscardHandler)
	ctx := t.Context()
	large := bytes.Repeat([]byte("alice"), hufu.ChunkSize)
	first := large[:hufu.ChunkSize]
	for _, place := range []string{"/", "/@shared/common/"} {
		for _, found := range []bool{false, true} {
			revoked = nil
			name := at(t, place+"d/e/large")
			u, err := alice.OpenUpload(ctx, name, int64(len(large)), "v")
			ok(t, err)
			if found { // over another connection
				id := u.Info().ID
				defer func() { _ = u.Close() }()
				u, err = alice.FindUpload(ctx, id)
				ok(t, err)
			}
			ok(t, remove(t, alice, place+"d"))
			revoked = &hufu.Error{Op: "admit", Kind: hufu.KindRefused, Code: "cert_revoked"}
			code(t, u.Write(ctx, 0, first, digest.Chunk(first, 0)), "cert_revoked")
			if all := h.tree(); slices.ContainsFunc(all, func(s string) bool { return strings.HasSuffix(s, "/d") }) {
				t.Errorf("there is %q", all)
			}
			revoked = nil
			fill(t, u, large)
			for _, folder := range []string{"d", "d/e"} {
				if e, err := alice.Stat(ctx, at(t, place+folder)); err != nil || e.By != "alice" || e.Mode != 0o755 {
					t.Errorf("%s is %+v, %v", place+folder, e, err)
				}
			}
			ok(t, remove(t, alice, place+"d"))
			_, err = alice.CommitUpload(ctx, u.Info().ID, name, digest.Sum(large), blob.Meta{}, hufu.Condition{Kind: hufu.IfAbsent})
			code(t, err, "upload_gone")
			ok(t, u.Close())
			again, err := alice.OpenUpload(ctx, name, int64(len(large)), "v")
			ok(t, err)
			if again.Info().Have != 0 {
				t.Error("it goes on with bytes that are gone")
			}
			fill(t, again, large)
			_, err = alice.CommitUpload(ctx, again.Info().ID, name, digest.Sum(large), blob.Meta{}, hufu.Condition{Kind: hufu.IfAbsent})
			ok(t, err, again.Close(), remove(t, alice, place+"d"))
		}
	}
}
