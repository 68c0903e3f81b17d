package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hufu"
	"hufu/internal/cli"
	"hufu/internal/client"
	"hufu/internal/transfer"
)

// maxLanes bounds --jobs: more connections than this only cost memory. The help
// names it.
const maxLanes = 64

// copyFlags are the flags of put and get.
type copyFlags struct {
	conflict   string
	checksum   bool
	nothing    bool
	jobs       int
	quiet      bool
	executable bool
	links      bool
	exact      bool
}

func (a *app) copyFlags(cmd *cobra.Command, f *copyFlags) {
	cmd.Flags().StringVar(&f.conflict, "conflict", "", a.Cat.T("hufu.flag.conflict"))
	cmd.Flags().BoolVar(&f.checksum, "checksum", false, a.Cat.T("hufu.flag.checksum"))
	cmd.Flags().BoolVar(&f.nothing, "error-on-no-transfer", false, a.Cat.T("hufu.flag.error_on_no_transfer"))
	cmd.Flags().IntVar(&f.jobs, "jobs", 0, a.Cat.T("hufu.flag.jobs"))
	cmd.Flags().BoolVarP(&f.exact, "no-target-directory", "T", false, a.Cat.T("hufu.flag.no_target_directory"))
	cmd.Flags().BoolVarP(&f.quiet, "quiet", "q", false, a.Cat.T("hufu.flag.quiet"))
}

func (f copyFlags) options() (transfer.Options, error) {
	o := transfer.Options{Conflict: transfer.Policy(f.conflict), Checksum: f.checksum, Lanes: f.jobs}
	switch o.Conflict {
	case "", transfer.Skip, transfer.Replace, transfer.Newer, transfer.Rename:
	default:
		return o, cli.Usage("conflict_unknown", "conflict", f.conflict)
	}
	if f.jobs < 0 || f.jobs > maxLanes {
		return o, cli.FlagRange("jobs", f.jobs, 0, maxLanes, "4")
	}
	return o, nil
}

func newPut(a *app) *cobra.Command {
	cmd := a.Command("put SRC… :/FOLDER/", "hufu.put",
		"hufu put report.pdf :/",
		"hufu put photos notes.txt :/2026/",
		"hufu put src/ :/backup/",
		"hufu put big.iso work:/images/ --conflict newer")
	cli.Between(cmd, 2, -1)
	var f copyFlags
	a.copyFlags(cmd, &f)
	cmd.Flags().BoolVar(&f.links, "links", false, a.Cat.T("hufu.flag.links"))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o, err := f.options()
		if err != nil {
			return err
		}
		to, err := a.parseLocation(args[len(args)-1])
		if err != nil {
			return err
		}
		if !to.remote {
			return cli.Usage("put_target_local", "target", to.text)
		}
		sources := args[:len(args)-1]
		for _, s := range sources {
			if err := noInput(s); err != nil {
				return err
			}
			if l, err := a.parseLocation(s); err != nil {
				return err
			} else if l.remote {
				return cli.Usage("put_source_remote", "source", s)
			}
		}
		how := client.How{Folder: to.slash && !f.exact, Exact: f.exact, Links: f.links}
		foresee := func(r *client.Remote) {
			r.WarmUp(client.Up, f.jobs)
			r.ForeseePut(cmd.Context(), sources, to.path, how)
		}
		return a.with(cmd.Context(), to, foresee, func(r *client.Remote) error {
			c, err := r.PreparePut(cmd.Context(), sources, to.path, how)
			if err != nil {
				return err
			}
			defer func() { _ = c.Close() }()
			return a.copy(cmd.Context(), r, c, f, o, "put", func(ctx context.Context, e *transfer.Engine) error { return e.Put(ctx, c.Sources) })
		})
	}
	return cmd
}

func newGet(a *app) *cobra.Command {
	cmd := a.Command("get :/PATH… [DST]", "hufu.get",
		"hufu get :/report.pdf",
		"hufu get :/report.pdf .",
		"hufu get :/2026/photos :/notes.txt archive/",
		"hufu get ':/photos/*.jpg' pictures/",
		"hufu get work:/images/big.iso copy.iso",
		"hufu get :/list.txt - | sort")
	cli.Between(cmd, 1, -1)
	var f copyFlags
	a.copyFlags(cmd, &f)
	cmd.Flags().BoolVar(&f.executable, "executable", false, a.Cat.T("hufu.flag.executable"))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o, err := f.options()
		if err != nil {
			return err
		}
		if len(args) == 1 {
			args = append(args, ".")
		}
		dst := args[len(args)-1]
		if l, err := a.parseLocation(dst); err != nil {
			return err
		} else if l.remote {
			return cli.Usage("get_target_remote", "target", dst)
		}
		locs, err := a.remoteOnly(args[:len(args)-1])
		if err != nil {
			return err
		}
		if dst == "-" {
			return a.cat(cmd.Context(), locs, f)
		}
		fetches := func(locs []location) []client.Fetch {
			fetch := make([]client.Fetch, len(locs))
			for i, l := range locs {
				fetch[i] = client.Fetch{Path: l.path, Contents: l.slash}
			}
			return fetch
		}
		foresee := func(r *client.Remote) {
			r.WarmUp(client.Down, f.jobs)
			r.ForeseeGet(fetches(locs))
		}
		return a.with(cmd.Context(), locs[0], foresee, func(r *client.Remote) error {
			locs, err := expand(cmd.Context(), r, locs)
			if err != nil {
				return err
			}
			c, err := r.PrepareGet(cmd.Context(), fetches(locs), dst, client.How{Exact: f.exact})
			if err != nil {
				return err
			}
			defer func() { _ = c.Close() }()
			o.Strip, o.Me = !f.executable, r.Profile().User
			return a.copy(cmd.Context(), r, c, f, o, "get", func(ctx context.Context, e *transfer.Engine) error { return e.Get(ctx, c.Sources) })
		})
	}
	return cmd
}

// cat writes one file to standard output.
func (a *app) cat(ctx context.Context, locs []location, f copyFlags) error {
	if len(locs) > 1 || f.exact || a.json {
		return cli.Usage("get_output_one")
	}
	foresee := func(r *client.Remote) { r.ForeseeGet([]client.Fetch{{Path: locs[0].path}}) }
	return a.with(ctx, locs[0], foresee, func(r *client.Remote) error {
		locs, err := expand(ctx, r, locs)
		if err != nil {
			return err
		}
		if len(locs) > 1 {
			return cli.Usage("get_output_one")
		}
		return r.Cat(ctx, locs[0].path, a.Out)
	})
}

// copy runs a transfer and reports on it. Its error carries the exit status.
func (a *app) copy(ctx context.Context, r *client.Remote, c *client.Copy, f copyFlags, o transfer.Options, op string, run func(context.Context, *transfer.Engine) error) error {
	o.Leave = r.Leave()
	o.Owner = r.Profile().User + "@" + r.Profile().Name
	v := newView(a, op, f.quiet)
	if o.Conflict == "" && a.Interactive() && !a.json {
		o.Ask = v.ask
	}
	o.Report = v.report
	e := transfer.New(r, o)
	e.Tell(c.Failures)
	v.start(e)
	began := time.Now()
	err := run(ctx, e)
	if err == nil {
		r.Remember(e.Stats.Sent.Load(), time.Since(began))
	}
	c.Ended(&e.Stats, err)
	v.stop()
	v.summary(e)
	if err != nil {
		return err
	}
	if k := v.verdict(); k != 0 {
		return cli.Reported(k)
	}
	if f.nothing && e.Stats.Transferred.Load() == 0 {
		return &hufu.Error{Op: op, Kind: hufu.KindNothingToDo}
	}
	return nil
}

func newLs(a *app) *cobra.Command {
	cmd := a.Command("ls [:/PATH…]", "hufu.ls", "hufu ls", "hufu ls --json :/2026", "hufu ls :/@shared/common")
	cli.Between(cmd, 0, -1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			args = []string{":/"}
		}
		locs, err := a.remoteOnly(args)
		if err != nil {
			return err
		}
		paths := make([]hufu.Path, len(locs))
		for i, l := range locs {
			paths[i] = l.path
		}
		foresee := func(r *client.Remote) { r.ForeseeList(paths) }
		return a.with(cmd.Context(), locs[0], foresee, func(r *client.Remote) error {
			locs, err := expand(cmd.Context(), r, locs)
			if err != nil {
				return err
			}
			return a.eachOf(locs, func(p hufu.Path) error { return a.ls(cmd.Context(), r, p) }, "")
		})
	}
	return cmd
}

func newRm(a *app) *cobra.Command {
	cmd := a.Command("rm :/PATH…", "hufu.rm", "hufu rm :/old.txt", "hufu rm -r :/2019")
	cli.Between(cmd, 1, -1)
	var recursive, force bool
	cmd.Flags().BoolVarP(&recursive, "recursive", "r", false, a.Cat.T("hufu.flag.recursive"))
	cmd.Flags().BoolVarP(&force, "force", "f", false, a.Cat.T("hufu.flag.force"))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.each(cmd.Context(), args, expand, func(r *client.Remote, p hufu.Path) error {
			err := r.Remove(cmd.Context(), p, recursive)
			if force && hufu.KindOf(err) == hufu.KindNotFound {
				return nil
			}
			return err
		}, "removed")
	}
	return cmd
}

// notMade reports the first missing folder above one that could not be created.
func notMade(ctx context.Context, r *client.Remote, p hufu.Path, err error) error {
	if hufu.CodeOf(err) == "shared_missing" {
		return err
	}
	way := p.Segments()
	for n := 1; n < len(way); n++ {
		above, parseErr := hufu.ParsePath(strings.Join(way[:n], "/"))
		if _, statErr := r.Stat(ctx, above); parseErr != nil || hufu.KindOf(statErr) != hufu.KindNotFound {
			continue
		}
		args := map[string]string{"folder": above.Remote()}
		return &hufu.Error{Op: "mkdir", Path: p.Remote(), Kind: hufu.KindNotFound, Code: "parent_missing", Args: args, Err: err}
	}
	return err
}

func newMkdir(a *app) *cobra.Command {
	cmd := a.Command("mkdir :/FOLDER…", "hufu.mkdir", "hufu mkdir :/2026", "hufu mkdir -p :/2026/10/31")
	cli.Between(cmd, 1, -1)
	var parents bool
	cmd.Flags().BoolVarP(&parents, "parents", "p", false, a.Cat.T("hufu.flag.parents"))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.each(cmd.Context(), args, nil, func(r *client.Remote, p hufu.Path) error {
			made, err := r.Mkdir(cmd.Context(), p, 0o755, parents)
			switch {
			case err == nil && !made && !parents:
				return &hufu.Error{Op: "mkdir", Path: p.Remote(), Kind: hufu.KindExists, Code: "mkdir_exists"}
			case hufu.KindOf(err) == hufu.KindExists:
				return &hufu.Error{Op: "mkdir", Path: p.Remote(), Kind: hufu.KindExists, Code: "mkdir_taken", Err: err}
			case hufu.KindOf(err) == hufu.KindNotFound:
				return notMade(cmd.Context(), r, p, err)
			}
			return err
		}, "made")
	}
	return cmd
}

// jsonDone is one line of rm --json and mkdir --json.
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
			if lost := hufu.CodeOf(err) == "output_lost"; len(locs) == 1 || lost || hufu.KindOf(err).Exit() >= 5 {
				return err
			}
			failed = true
			a.told(err)
		}
		if !a.json || err == nil && done == "" {
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
