package main

import (
	"context"
	"errors"

	"hufu"
	"hufu/internal/cli"
	"hufu/internal/client"
)

// jsonDone is one line of rm, mkdir and touch with --json, and of a path that failed.
type jsonDone struct {
	Path    string `json:"path"`
	Outcome string `json:"outcome"`
	*cli.Failure
}

// expander replaces patterns by the paths that match them.
type expander func(context.Context, *client.Remote, []location) ([]location, error)

// each does one thing to every path; a failure is reported, and the rest
// continues.
func (a *app) each(ctx context.Context, args []string, meant expander, do func(*client.Remote, hufu.Path) error, done string) error {
	locs, err := a.remoteOnly(args)
	if err != nil {
		return err
	}
	return a.with(ctx, locs[0], nil, func(r *client.Remote) error {
		if meant != nil {
			if locs, err = meant(ctx, r, locs); err != nil {
				return err
			}
		}
		return a.eachOf(locs, func(p hufu.Path) error { return do(r, p) }, done)
	})
}

// eachOf is each for paths that are known. If done is empty, do reports its own success.
func (a *app) eachOf(locs []location, do func(hufu.Path) error, done string) error {
	failed := false
	for _, l := range locs {
		err := do(l.path)
		if err != nil {
			if len(locs) == 1 || lost(err) || hufu.KindOf(err).Exit() >= 5 {
				return err
			}
			failed = true
			if !errors.Is(err, cli.ErrReported) {
				a.told(err)
			}
		}
		if !a.json || err == nil && done == "" || errors.Is(err, cli.ErrReported) {
			continue
		}
		line := jsonDone{l.path.Virtual(), done, nil}
		if err != nil {
			line = jsonDone{l.path.Virtual(), "failed", a.Failure(err)}
		}
		if err := a.JSON(line); err != nil {
			return err
		}
	}
	if failed {
		return cli.Reported(hufu.KindExists)
	}
	return nil
}

// told shows an error that does not end the program.
func (a *app) told(err error) { a.Cat.Report(a.Err, program, err) }

// failed shows the error of a folder that cannot be listed while others can.
func (a *app) failed(p hufu.Path, err error) error {
	a.told(err)
	if a.json {
		return a.JSON(jsonDone{p.Virtual(), "failed", a.Failure(err)})
	}
	return nil
}

// lost reports whether err is that standard output cannot be written. Nothing more is then said
// there.
func lost(err error) bool { return hufu.CodeOf(err) == "output_lost" }
