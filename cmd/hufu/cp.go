package main

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hufu"
	"hufu/internal/cli"
	"hufu/internal/client"
	"hufu/internal/transfer"
)

func newCp(a *app) *cobra.Command {
	cmd := a.Command("cp SRC… TARGET", "hufu.cp",
		"hufu cp report.pdf photos :/2026/",
		"hufu cp :/2026/report.pdf .",
		"hufu cp :/draft.txt :/final.txt",
		"hufu cp ':/2026/*' :/@shared/common/")
	cli.Between(cmd, 2, -1)
	var f copyFlags
	a.copyFlags(cmd, &f)
	cmd.Flags().BoolVar(&f.links, "links", false, a.Cat.T("hufu.flag.links"))
	cmd.Flags().BoolVar(&f.executable, "executable", false, a.Cat.T("hufu.flag.executable"))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var far []bool
		for _, arg := range args {
			l, err := a.parseLocation(arg)
			if err != nil {
				return err
			}
			far = append(far, l.remote)
		}
		sources, to := far[:len(far)-1], far[len(far)-1]
		switch {
		case to && !slices.Contains(sources, true):
			return a.put(cmd, args, &f)
		case !to && !slices.Contains(sources, false):
			return a.get(cmd, args, &f)
		case !to:
			return cli.Usage("cp_local")
		case slices.Contains(sources, false):
			return cli.Usage("cp_mixed")
		}
		return a.copyFar(cmd, args, &f)
	}
	return cmd
}

// copyFar copies within the server.
func (a *app) copyFar(cmd *cobra.Command, args []string, f *copyFlags) error {
	o, err := a.options(cmd.Context(), f)
	if err != nil {
		return err
	}
	if f.executable || f.bandwidth != "" {
		return cli.Usage("cp_far_flags")
	}
	if o.Only != nil {
		source, err := oneFolder(args[:len(args)-1])
		if err != nil {
			return err
		}
		args = append(source, args[len(args)-1])
	}
	o.Drop.Umask = serverUmask
	locs, err := a.remoteOnly(args)
	if err != nil {
		return err
	}
	return a.with(cmd.Context(), locs[0], nil, func(r *client.Remote) error {
		ctx, to := cmd.Context(), locs[len(locs)-1]
		from, err := matches(ctx, r, locs[:len(locs)-1])
		if err != nil {
			return err
		}
		c := &copier{a: a, r: r, f: f, o: o, v: newView(a, "cp", f), began: time.Now(), claimed: map[hufu.Path]bool{}}
		c.v.tty = false // the server does the work: there is nothing to draw
		if c.inside, err = c.target(ctx, to, len(from)); err != nil {
			return err
		}
		whole, err := c.again(ctx, from, to)
		if err != nil {
			return err
		}
		for _, l := range from {
			if err := c.source(ctx, l, to.path); err != nil {
				return err
			}
		}
		if whole != nil && (c.v.failed == 0 || c.copied+c.made == 0) {
			whole.Forget()
		}
		c.summary()
		if k := c.v.verdict(); k != 0 {
			return cli.Reported(k)
		}
		if f.nothing && c.copied+c.made+c.v.would == 0 {
			return &hufu.Error{Op: "cp", Kind: hufu.KindNothingToDo}
		}
		return nil
	})
}

// copier copies within the server.
type copier struct {
	a      *app
	r      *client.Remote
	f      *copyFlags
	o      transfer.Options
	v      *view
	began  time.Time
	inside bool // the sources go into the target
	// resumed says that an earlier command has made the target, and was interrupted: its folders have
	// neither mode nor time yet.
	resumed bool
	copied  int
	made    int // folders
	bytes   int64
	// claimed are the targets of this command: none gets two sources.
	claimed map[hufu.Path]bool
}

// target reports whether the target is a folder that the sources go into. It makes the folder if
// it is written with a slash.
func (c *copier) target(ctx context.Context, to location, sources int) (bool, error) {
	if c.f.exact {
		if sources > 1 {
			return false, cli.Usage("one_source_exact", "target", to.path.Remote())
		}
		return false, nil
	}
	there, err := c.r.Stat(ctx, to.path)
	switch kind := hufu.KindOf(err); {
	case err == nil && there.Kind == hufu.Folder:
		return true, nil
	case err != nil && (kind != hufu.KindNotFound || hufu.CodeOf(err) == "shared_missing"):
		return false, err
	case to.slash && err == nil:
		return false, &hufu.Error{Op: "cp", Path: to.path.Remote(), Kind: hufu.KindWrongKind, Code: "target_not_folder", Args: map[string]string{"target": to.path.Remote()}}
	case to.slash && !c.f.dry:
		_, err := c.r.Mkdir(ctx, to.path, 0o755, true)
		return true, err
	case to.slash:
		return true, nil
	case sources > 1:
		return false, &hufu.Error{Op: "cp", Path: to.path.Remote(), Kind: hufu.KindUsage, Code: "mv_one_name"}
	}
	return false, nil
}

// source copies one source of the command. The error ends the command.
func (c *copier) source(ctx context.Context, l location, to hufu.Path) error {
	e, err := c.r.Stat(ctx, l.path)
	contents := l.slash && !l.path.IsRoot() || l.path.IsRoot()
	switch {
	case err != nil:
	case l.slash && e.Kind != hufu.Folder:
		err = &hufu.Error{Op: "cp", Path: l.path.Remote(), Kind: hufu.KindWrongKind, Code: "far_not_folder", Args: map[string]string{"kind": e.Kind.String()}}
	case c.inside && !contents:
		to, err = to.Join(l.path.Base())
	}
	if err == nil && (to == l.path || e.Kind == hufu.Folder && within(to, l.path)) {
		err = &hufu.Error{Op: "cp", Path: l.path.Remote(), Kind: hufu.KindInvalid, Code: "cp_into_itself", Args: map[string]string{"target": to.Remote()}}
	}
	if err != nil {
		return c.failed(l.path, to, e, err)
	}
	prefix := "" // of paths for the filter
	if !contents {
		prefix = l.path.Base()
		if c.excludes(l.path, to, e, prefix) {
			return nil
		}
		prefix += "/"
	}
	if e.Kind != hufu.Folder {
		return c.entry(ctx, l.path, to, e, false)
	}
	return c.tree(ctx, l.path, to, prefix)
}

// excludes reports whether the filter leaves out the entry e, whose path for the filter is path.
func (c *copier) excludes(from, to hufu.Path, e hufu.Entry, path string) bool {
	if !c.o.Filter.Excludes(path, e.Kind == hufu.Folder) {
		return false
	}
	c.report(transfer.Excluded, from, to, e, nil)
	return true
}

// within reports whether p is folder or below it.
func within(p, folder hufu.Path) bool {
	return p == folder || folder.IsRoot() || strings.HasPrefix(p.String(), folder.String()+"/")
}

// failed reports the failure of one entry. It returns err if that ends the command.
func (c *copier) failed(from, to hufu.Path, e hufu.Entry, err error) error {
	if transfer.Stops(err) {
		return err
	}
	c.report(transfer.Failed, from, to, e, err)
	return nil
}

func (c *copier) report(outcome transfer.Outcome, from, to hufu.Path, e hufu.Entry, err error) {
	c.v.report(transfer.Report{Local: from.Remote(), Remote: to, Kind: e.Kind, Size: e.Size, Digest: e.Digest, Outcome: outcome, Err: err})
}

// tree copies a folder with everything in it that the filter includes. Modes and times of folders
// come last, the deepest first. prefix comes before the paths below top for the filter.
func (c *copier) tree(ctx context.Context, top, to hufu.Path, prefix string) error {
	type made struct {
		path  hufu.Path
		entry hufu.Entry
	}
	var folders []made
	fresh := map[hufu.Path]bool{} // made by this command, or would be, so empty
	err := c.r.Walk(ctx, top, client.WalkOptions{}, func(f client.Found) error {
		path := below(f.Path, top)
		p, err := to.Append(path)
		if err == nil {
			err = f.Err
		}
		listed, bare := c.o.Only.Take(path, f.Entry.Kind)
		switch {
		case !listed:
			return client.ErrSkip
		case err != nil:
			c.o.Only.Forget(path)
			return c.failed(f.Path, p, f.Entry, err)
		case !path.IsRoot() && c.excludes(f.Path, p, f.Entry, prefix+path.String()):
			c.o.Only.Forget(path)
			return client.ErrSkip
		case f.Entry.Kind != hufu.Folder:
			return c.entry(ctx, f.Path, p, f.Entry, fresh[p.Parent()])
		case p.IsRoot():
			return nil
		}
		if by := f.Entry.By; by != "" && by != c.r.Profile().User { // as for a get
			f.Entry.Mode &^= 0o022
		}
		if c.o.Drop.Mode {
			f.Entry.Mode = c.o.Drop.NewMode(hufu.Folder)
		}
		created, err := c.folder(ctx, p, f.Entry.Mode|0o700, fresh[p.Parent()])
		if err != nil {
			c.o.Only.Forget(path)
			return cmp.Or(c.failed(f.Path, p, f.Entry, err), client.ErrSkip)
		}
		if fresh[p] = created; created && !c.f.dry {
			c.made++
		}
		if (created || c.resumed) && !c.f.dry {
			folders = append(folders, made{p, f.Entry})
		}
		if bare {
			return client.ErrSkip
		}
		return nil
	})
	if err != nil {
		return err
	}
	for missing := range c.o.Only.Missing() {
		from, err := top.Append(missing)
		if err == nil {
			err = c.failed(from, from, hufu.Entry{}, &hufu.Error{Op: "cp", Path: from.Remote(), Kind: hufu.KindNotFound})
		}
		if err != nil {
			return err
		}
	}
	for _, m := range slices.Backward(folders) {
		if c.o.Drop.Times {
			m.entry.MTime = c.began
		}
		if err := c.r.SetMeta(ctx, m.path, transfer.Meta{Mode: m.entry.Mode, MTime: m.entry.MTime}, ""); err != nil {
			if err := c.failed(m.path, m.path, m.entry, err); err != nil {
				return err
			}
		}
	}
	return nil
}

// folder makes the folder p unless there is one, and reports whether it was missing. It is if fresh
// is set.
func (c *copier) folder(ctx context.Context, p hufu.Path, mode uint32, fresh bool) (missing bool, err error) {
	if !fresh {
		there, err := c.r.Stat(ctx, p)
		switch {
		case err == nil && there.Kind != hufu.Folder:
			return false, wrongKind("cp", p, there.Kind)
		case err == nil:
			return false, nil
		case hufu.KindOf(err) != hufu.KindNotFound || hufu.CodeOf(err) == "shared_missing":
			return false, err
		}
	}
	if c.f.dry {
		return true, nil
	}
	return c.r.Mkdir(ctx, p, mode, true)
}

// below returns p as seen from the folder top.
func below(p, top hufu.Path) hufu.Path {
	for range top.Segments() {
		_, p = p.Cut()
	}
	return p
}

// entry copies a file or a link to the name to. There is nothing yet if fresh is set.
func (c *copier) entry(ctx context.Context, from, to hufu.Path, e hufu.Entry, fresh bool) error {
	if e.Kind != hufu.File && e.Kind != hufu.Link {
		c.report(transfer.Skipped, from, to, e, &hufu.Error{Op: "cp", Path: from.Remote(), Kind: hufu.KindUnsupported, Code: "special_file"})
		return nil
	}
	if c.claimed[to] {
		return c.failed(from, to, e, &hufu.Error{Op: "cp", Path: from.Remote(), Kind: hufu.KindExists, Code: "collision", Args: map[string]string{"target": to.Remote()}})
	}
	c.claimed[to] = true
	cond := hufu.Condition{Kind: hufu.IfAbsent}
	var there hufu.Entry
	var replaced *hufu.Entry
	renamed := false
	err := error(&hufu.Error{Op: "cp", Kind: hufu.KindNotFound})
	if !fresh {
		there, err = c.r.Stat(ctx, to)
	}
	if err != nil && hufu.KindOf(err) != hufu.KindNotFound {
		return c.failed(from, to, e, err)
	}
	if err == nil {
		policy, outcome, err := c.conflict(ctx, from, to, e, there)
		if err == nil && policy == transfer.Rename {
			to, outcome, err = c.beside(ctx, from, to, e)
		}
		switch {
		case err != nil:
			return c.failed(from, to, e, err)
		case outcome != "":
			c.report(outcome, from, to, e, nil)
			return nil
		case policy == transfer.Rename:
			c.claimed[to], renamed = true, true
		default:
			cond, replaced = hufu.Condition{Kind: hufu.IfVersion, Version: there.Version}, &there
		}
	}
	if c.f.dry {
		c.report(transfer.Would, from, to, e, nil)
		return nil
	}
	if c.o.Drop.Times {
		e.MTime = time.Now()
	}
	if e.Kind == hufu.Link {
		err = c.r.Link(ctx, to, e.Target, e.MTime, cond)
	} else {
		var copied hufu.Entry
		if copied, err = c.r.CopyFar(ctx, from, e, to, cond, c.attributes(e, replaced)); err == nil {
			e.Digest = copied.Digest
		}
	}
	if err != nil {
		return c.failed(from, to, e, err)
	}
	c.copied++
	c.bytes += e.Size
	c.v.report(transfer.Report{Local: from.Remote(), Remote: to, Kind: e.Kind, Size: e.Size, Digest: e.Digest, Outcome: transfer.Transferred, Renamed: renamed})
	return nil
}

// attributes are those of a copy that --no-preserve asks for. It replaces an entry, if replaced is not
// nil.
func (c *copier) attributes(e hufu.Entry, replaced *hufu.Entry) client.Attributes {
	var a client.Attributes
	if c.o.Drop.Times {
		a.MTime = &e.MTime
	}
	if c.o.Drop.Mode {
		mode := c.o.Drop.NewMode(hufu.File)
		if replaced != nil {
			mode = replaced.Mode
		}
		a.Mode = &mode
	}
	return a
}

// conflict decides what becomes of an entry at the target: Replace, Rename, or how it is reported
// that the source is not copied.
func (c *copier) conflict(ctx context.Context, from, to hufu.Path, e, there hufu.Entry) (policy transfer.Policy, outcome transfer.Outcome, err error) {
	switch {
	case there.Kind != e.Kind:
		return "", "", wrongKind("cp", to, there.Kind)
	case c.same(e, there):
		return "", transfer.Same, nil
	}
	policy = c.o.Conflict
	if policy == "" && c.a.Interactive() && !c.a.json && !c.f.dry {
		if policy, err = c.v.ask(ctx, transfer.Conflict{Local: from.Remote(), Remote: to, From: e, Into: there}); err != nil {
			return "", "", err
		}
	}
	switch {
	case policy == transfer.Replace, policy == transfer.Rename:
		return policy, "", nil
	case policy == transfer.Newer && e.MTime.After(there.MTime):
		return transfer.Replace, "", nil
	case policy == transfer.Skip, policy == transfer.Newer:
		return "", transfer.Skipped, nil
	}
	return "", "", &hufu.Error{Op: "cp", Path: to.Remote(), Kind: hufu.KindExists, Code: "target_differs", Args: map[string]string{"target": to.Remote()}}
}

// beside finds a free name beside to for a copy of e. The outcome is Same if an earlier command has
// copied it there. A name that the source has beside from counts as taken.
func (c *copier) beside(ctx context.Context, from, to hufu.Path, e hufu.Entry) (free hufu.Path, outcome transfer.Outcome, err error) {
	transfer.FreeName(to.Base(), func(name string) (taken bool) {
		var there hufu.Entry
		if free, err = to.Parent().Join(name); err != nil {
			return false
		}
		there, err = c.r.Stat(ctx, free)
		switch {
		case err == nil && there.Kind == e.Kind && c.same(e, there):
			outcome = transfer.Same
			return false
		case err == nil:
			return true
		case hufu.KindOf(err) != hufu.KindNotFound:
			return false
		}
		var sibling hufu.Path
		if sibling, err = from.Parent().Join(name); err != nil {
			return false
		}
		if _, err = c.r.Stat(ctx, sibling); hufu.KindOf(err) == hufu.KindNotFound {
			err = nil
			return c.claimed[free]
		}
		return err == nil
	})
	return free, outcome, err
}

// same reports whether two files, or two links, count as the same.
func (c *copier) same(x, y hufu.Entry) bool {
	switch {
	case x.Kind == hufu.Link:
		return x.Target == y.Target
	case x.Size != y.Size:
		return false
	case !x.Digest.IsZero() && !y.Digest.IsZero():
		return x.Digest == y.Digest
	}
	return !c.f.checksum && x.MTime.Equal(y.MTime)
}

// summary is the last line.
func (c *copier) summary() {
	cat, took := c.a.Cat, time.Since(c.began)
	if c.a.json {
		sum := map[string]any{
			"summary": "cp", "transferred": c.copied, "same": c.v.same, "skipped": c.v.skipped, "failed": c.v.failed,
			"bytes_copied": c.bytes, "seconds": took.Seconds(),
		}
		if c.f.dry {
			sum["dry_run"], sum["would_transfer"], sum["bytes"] = true, c.v.would, c.v.bytes
		}
		_ = c.a.JSON(sum)
		return
	}
	switch {
	case c.f.quiet:
	case c.f.dry:
		c.a.Hint(cat.T("hufu.summary.dry", "would", c.v.would, "bytes", cat.Size(c.v.bytes), "same", c.v.same, "skipped", c.v.skipped, "failed", c.v.failed))
	default:
		c.a.Hint(cat.T("hufu.cp.summary", "copied", c.copied, "bytes", cat.Size(c.bytes), "time", took, "same", c.v.same, "skipped", c.v.skipped, "failed", c.v.failed))
	}
}
