package main

import (
	"context"
	"runtime"
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
	verbose    bool
	dry        bool
	force      bool
	rules      []rule
	filter     transfer.Filter // made of rules by options
	sync       bool            // of hufu sync
	down       bool            // from the server
	bandwidth  string
	filesFrom  string // --files-from
	from0      bool
	recursive  bool          // with filesFrom: also what is in the folders
	input      bool          // standard input has been read for filters
	drop       transfer.Drop // of --no-preserve
	again      bool          // one of many passes: the summary is left out if there was nothing to do
}

func (a *app) copyFlags(cmd *cobra.Command, f *copyFlags) {
	cmd.Flags().StringVar(&f.conflict, "conflict", "", a.Cat.T("hufu.flag.conflict"))
	cmd.Flags().BoolVarP(&f.exact, "no-target-directory", "T", false, a.Cat.T("hufu.flag.no_target_directory"))
	cmd.Flags().BoolVarP(&f.verbose, "verbose", "v", false, a.Cat.T("hufu.flag.verbose"))
	cmd.Flags().BoolVarP(&f.dry, "dry-run", "n", false, a.Cat.T("hufu.flag.dry_run"))
	cmd.Flags().BoolVarP(&f.force, "force", "f", false, a.Cat.T("hufu.flag.copy_force"))
	cmd.Flags().BoolVarP(&f.recursive, "recursive", "r", false, a.Cat.T("hufu.flag.copy_recursive"))
	a.commonFlags(cmd, f)
}

// commonFlags are the flags that sync shares with put and get.
func (a *app) commonFlags(cmd *cobra.Command, f *copyFlags) {
	cmd.Flags().StringVar(&f.bandwidth, "bwlimit", "", a.Cat.T("hufu.flag.bwlimit"))
	cmd.Flags().BoolVar(&f.checksum, "checksum", false, a.Cat.T("hufu.flag.checksum"))
	cmd.Flags().BoolVarP(&f.quiet, "quiet", "q", false, a.Cat.T("hufu.flag.quiet"))
	cmd.Flags().BoolVar(&f.nothing, "error-on-no-transfer", false, a.Cat.T("hufu.flag.error_on_no_transfer"))
	cmd.Flags().IntVar(&f.jobs, "jobs", 0, a.Cat.T("hufu.flag.jobs"))
	cmd.Flags().VarPF(dropFlag{f, false}, "preserve", "p", a.Cat.T("hufu.flag.preserve")).NoOptDefVal = allAttributes
	cmd.Flags().Var(dropFlag{f, true}, "no-preserve", a.Cat.T("hufu.flag.no_preserve"))
	cmd.Flags().StringVar(&f.filesFrom, "files-from", "", a.Cat.T("hufu.flag.files_from"))
	cmd.Flags().BoolVar(&f.from0, "from0", false, a.Cat.T("hufu.flag.from0"))
	a.filterFlags(cmd, f)
}

// filterFlags are the flags of a filter.
func (a *app) filterFlags(cmd *cobra.Command, f *copyFlags) {
	cmd.Flags().Var(ruleFlag{f, addRule(true)}, "include", a.Cat.T("hufu.flag.include"))
	cmd.Flags().Var(ruleFlag{f, addRule(false)}, "exclude", a.Cat.T("hufu.flag.exclude"))
	cmd.Flags().Var(ruleFlag{f, a.addRulesOf(f)}, "exclude-from", a.Cat.T("hufu.flag.exclude_from"))
}

// options checks the flags and reads the files that they name.
func (a *app) options(ctx context.Context, f *copyFlags) (transfer.Options, error) {
	if f.force {
		if f.conflict != "" && f.conflict != string(transfer.Replace) {
			return transfer.Options{}, cli.Usage("flags_contradict", "one", "-f", "other", "--conflict")
		}
		f.conflict = string(transfer.Replace)
	}
	if err := f.readRules(ctx); err != nil {
		return transfer.Options{}, err
	}
	only, err := a.listedNames(ctx, f)
	if err != nil {
		return transfer.Options{}, err
	}
	o := transfer.Options{Only: only, Conflict: transfer.Policy(f.conflict), Checksum: f.checksum, Lanes: f.jobs, Filter: &f.filter, DryRun: f.dry, Drop: f.drop}
	if o.Limit, err = bandwidth(f.bandwidth); err != nil {
		return o, err
	}
	switch o.Conflict {
	case "", transfer.Skip, transfer.Replace, transfer.Newer, transfer.Rename:
	default:
		return o, cli.Usage("conflict_unknown", "conflict", f.conflict)
	}
	if f.quiet && f.verbose {
		return o, cli.Usage("flags_contradict", "one", "-q", "other", "-v")
	}
	if f.jobs < 0 || f.jobs > maxLanes {
		return o, cli.FlagRange("jobs", f.jobs, 0, maxLanes, "4")
	}
	return o, nil
}

// readRules makes the filter.
func (f *copyFlags) readRules(ctx context.Context) error {
	for _, r := range f.rules {
		if err := r.add(ctx, &f.filter, r.text); err != nil {
			return err
		}
	}
	f.rules = nil
	return nil
}

// rule is one of --include, --exclude and --exclude-from as it was given.
type rule struct {
	add  func(ctx context.Context, f *transfer.Filter, text string) error
	text string
}

// ruleFlag is the value of a flag that adds a rule. All such flags of a command share one list, so
// that their order on the command line counts.
type ruleFlag struct {
	f   *copyFlags
	add func(context.Context, *transfer.Filter, string) error
}

func (ruleFlag) String() string { return "" }

// Type names the kind of value for the error of a wrong one.
func (ruleFlag) Type() string { return "pattern" }

// Set adds the rule, or the file, that s names. It is read by options.
func (r ruleFlag) Set(s string) error {
	r.f.rules = append(r.f.rules, rule{r.add, s})
	return nil
}

func addRule(include bool) func(context.Context, *transfer.Filter, string) error {
	return func(_ context.Context, f *transfer.Filter, pattern string) error { return f.AddRule(include, pattern) }
}

// maxRules bounds a file with patterns, in bytes.
const maxRules = 1 << 20

// addRulesOf returns the function that adds the rules of a file.
func (a *app) addRulesOf(f *copyFlags) func(context.Context, *transfer.Filter, string) error {
	return func(ctx context.Context, filter *transfer.Filter, file string) error {
		f.input = f.input || file == "-"
		text, err := a.ReadFile(ctx, file, maxRules)
		if err != nil {
			return err
		}
		return cli.InFile(file, filter.AddLines(string(text)))
	}
}

func newPut(a *app) *cobra.Command {
	cmd := a.Command("put SRC… :/FOLDER/", "hufu.put",
		"hufu put report.pdf :/",
		"hufu put photos notes.txt :/2026/",
		"hufu put src/ :/backup/",
		"hufu put big.iso work:/images/ --conflict newer",
		"tar c src | hufu put - :/backup/src.tar")
	cli.Between(cmd, 2, -1)
	var f copyFlags
	a.copyFlags(cmd, &f)
	cmd.Flags().BoolVar(&f.links, "links", false, a.Cat.T("hufu.flag.links"))
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return a.put(cmd, args, &f) }
	return cmd
}

func (a *app) put(cmd *cobra.Command, args []string, f *copyFlags) error {
	f.drop.Umask = serverUmask
	o, err := a.options(cmd.Context(), f)
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
	sources := matchesHere(runtime.GOOS, args[:len(args)-1])
	if o.Only != nil {
		if sources, err = oneFolder(sources); err != nil {
			return err
		}
	}
	if hasInput(sources) {
		return a.putInput(cmd.Context(), sources, to, f, o)
	}
	for _, s := range sources {
		if l, err := a.parseLocation(s); err != nil {
			return err
		} else if l.remote {
			return cli.Usage("put_source_remote", "source", s)
		}
	}
	how := client.How{Folder: to.slash && !f.exact, Exact: f.exact, Links: f.links, DryRun: f.dry}
	foresee := func(r *client.Remote) {
		if f.dry { // what is foreseen includes the making of a folder
			return
		}
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
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return a.get(cmd, args, &f) }
	return cmd
}

func (a *app) get(cmd *cobra.Command, args []string, f *copyFlags) error {
	f.drop.Umask = umask()
	o, err := a.options(cmd.Context(), f)
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
	sources := args[:len(args)-1]
	if o.Only != nil {
		if sources, err = oneFolder(sources); err != nil {
			return err
		}
	}
	locs, err := a.remoteOnly(sources)
	if err != nil {
		return err
	}
	if dst == "-" {
		return a.getOutput(cmd.Context(), locs, f, o.Limit)
	}
	fetches := func(locs []location) []client.Fetch {
		fetch := make([]client.Fetch, len(locs))
		for i, l := range locs {
			fetch[i] = client.Fetch{Path: l.path, Contents: l.slash}
		}
		return fetch
	}
	foresee := func(r *client.Remote) {
		if !f.dry {
			r.WarmUp(client.Down, f.jobs)
		}
		r.ForeseeGet(fetches(locs))
	}
	return a.with(cmd.Context(), locs[0], foresee, func(r *client.Remote) error {
		locs, err := matches(cmd.Context(), r, locs)
		if err != nil {
			return err
		}
		c, err := r.PrepareGet(cmd.Context(), fetches(locs), dst, client.How{Exact: f.exact, DryRun: f.dry})
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		o.Strip, o.Me = !f.executable, r.Profile().User
		return a.copy(cmd.Context(), r, c, f, o, "get", func(ctx context.Context, e *transfer.Engine) error { return e.Get(ctx, c.Sources) })
	})
}

// copy runs a transfer and reports on it. Its error carries the exit status.
func (a *app) copy(ctx context.Context, r *client.Remote, c *client.Copy, f *copyFlags, o transfer.Options, op string, run func(context.Context, *transfer.Engine) error) error {
	o.Leave = r.Leave()
	o.Owner = r.Profile().User + "@" + r.Profile().Name
	v := newView(a, op, f)
	v.nodes = r.Nodes
	if v.sync = f.sync; f.sync {
		v.down, v.again = f.down, f.again
	}
	if o.Conflict == "" && a.Interactive() && !a.json && !f.dry {
		o.Ask = v.ask
	}
	o.Report, o.Warn = v.report, v.warn
	e := transfer.New(r, o)
	e.Tell(c.Failures)
	v.start(e)
	began := time.Now()
	err := run(ctx, e)
	if err == nil && !f.dry {
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
	if e.Kept().Over > 0 {
		return cli.Reported(hufu.KindExists)
	}
	if f.nothing && !e.Stats.Changed() {
		return &hufu.Error{Op: op, Kind: hufu.KindNothingToDo}
	}
	return nil
}
