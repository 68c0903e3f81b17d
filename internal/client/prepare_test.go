package client

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"hufu"
	"hufu/internal/frame"
	"hufu/internal/profile"
	"hufu/internal/session"
)

// onlyFolders is a Disk on which every path is a folder.
type onlyFolders struct{ Disk }

type anyFolder struct{ Folder }

func (onlyFolders) Open(string, string) (Folder, error) { return anyFolder{}, nil }

func (anyFolder) Close() error { return nil }

func (anyFolder) Stat(context.Context, hufu.Path) (hufu.Entry, error) {
	return hufu.Entry{Kind: hufu.Folder}, nil
}

// TestPreparePutStops: what ends every request, such as a certificate that is
// revoked meanwhile, is not told as a failure of one of several sources.
func TestPreparePutStops(t *testing.T) {
	t.Parallel()
	asked := 0
	r := visit(t, func(_ context.Context, s *session.Server, m frame.Message) error {
		if _, stat := m.(*frame.Stat); !stat {
			return s.Fail(errors.New("not this"))
		}
		if asked++; asked > 2 { // the target and the first source
			return s.Fail(&hufu.Error{Op: "stat", Kind: hufu.KindRefused, Code: "cert_revoked"})
		}
		return s.Answer(&frame.StatAnswer{Entry: frame.Entry{Kind: uint8(hufu.Folder)}}, false, nil)
	})
	dir := t.TempDir()
	var err error
	if r.p, err = profile.New(profile.Dirs{Config: t.TempDir(), State: t.TempDir()}, profile.Default, "h", 1); err != nil {
		t.Fatal(err)
	}
	r.o.Disk = onlyFolders{}
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	if err := errors.Join(os.Mkdir(a, 0o700), os.Mkdir(b, 0o700)); err != nil {
		t.Fatal(err)
	}
	c, err := r.PreparePut(t.Context(), []string{a, b}, aPath(t, hufu.SharedName), How{})
	if err == nil {
		t.Errorf("%d sources, %v", len(c.Sources), c.Failures)
		_ = c.Close()
	} else if hufu.CodeOf(err) != "cert_revoked" {
		t.Error(err)
	}
}
