package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"hufu"
	"hufu/internal/cli"
	"hufu/internal/client"
)

// maxMeant is how many names of a folder are compared with one that is not there.
const maxMeant = 1000

// meantPath adds to the error of a path that is not there the one that was probably meant.
func (a *app) meantPath(ctx context.Context, r *client.Remote, err error) error {
	if hufu.KindOf(err) != hufu.KindNotFound {
		return err
	}
	e, ok := errors.AsType[*hufu.Error](err)
	if !ok || e.Path == "" {
		return err
	}
	if e.Code == "no_such_file" {
		return withArg(err, "meant", meantHere(e.Path))
	}
	l, locErr := a.parseLocation(e.Path)
	if e.Code != "" || locErr != nil || !l.remote {
		return err
	}
	enough := errors.New("enough")
	for p := l.path; !p.IsRoot(); p = p.Parent() {
		var names []string
		listErr := r.List(ctx, p.Parent(), func(e hufu.Entry) error {
			if names = append(names, e.Name); len(names) == maxMeant {
				return enough
			}
			return nil
		})
		if hufu.KindOf(listErr) == hufu.KindNotFound { // the slip is above
			continue
		}
		if meant, joinErr := p.Parent().Join(cli.Meant(p.Base(), names)); joinErr == nil {
			return withArg(err, "meant", meant.Remote())
		}
		break
	}
	return err
}

// meantHere returns the path on this computer that one that is not there was probably meant to be.
func meantHere(path string) string {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return ""
	}
	defer func() { _ = dir.Close() }()
	names, _ := dir.Readdirnames(maxMeant) // what cannot be read is not suggested
	meant := cli.Meant(filepath.Base(path), names)
	if meant == "" {
		return ""
	}
	return filepath.Join(filepath.Dir(path), meant)
}
