package main

import (
	"context"

	"github.com/spf13/cobra"

	"hufu"
	"hufu/internal/cli"
	"hufu/internal/client"
)

// mvFlags are the flags of mv.
type mvFlags struct{ force, keep, exact, verbose bool }

func newMv(a *app) *cobra.Command {
	cmd := a.Command("mv :/PATH… :/TARGET", "hufu.mv",
		"hufu mv :/draft.txt :/final.txt",
		"hufu mv ':/*.jpg' :/photos/",
		"hufu mv -f :/new.txt :/current.txt")
	cli.Between(cmd, 2, -1)
	var f mvFlags
	cmd.Flags().BoolVarP(&f.force, "force", "f", false, a.Cat.T("hufu.mv.flag.force"))
	cmd.Flags().BoolVarP(&f.keep, "no-clobber", "n", false, a.Cat.T("hufu.mv.flag.no_clobber"))
	cmd.Flags().BoolVarP(&f.exact, "no-target-directory", "T", false, a.Cat.T("hufu.flag.no_target_directory"))
	cmd.Flags().BoolVarP(&f.verbose, "verbose", "v", false, a.Cat.T("hufu.mv.flag.verbose"))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if f.force && f.keep {
			return cli.Usage("flags_contradict", "one", "-f", "other", "-n")
		}
		locs, err := a.remoteOnly(args)
		if err != nil {
			return err
		}
		return a.with(cmd.Context(), locs[0], nil, func(r *client.Remote) error {
			to := locs[len(locs)-1]
			from, err := expand(cmd.Context(), r, locs[:len(locs)-1])
			if err != nil {
				return err
			}
			m := &mover{a: a, r: r, f: f, to: to.path}
			if m.inside, err = m.intoFolder(cmd.Context(), to, len(from)); err != nil {
				return err
			}
			return a.eachOf(from, func(p hufu.Path) error { return m.move(cmd.Context(), p) }, "")
		})
	}
	return cmd
}

// mover moves entries for mv.
type mover struct {
	a      *app
	r      *client.Remote
	f      mvFlags
	to     hufu.Path
	inside bool // "to" is the folder that the entries go into, not the new name of the only one
}

// intoFolder reports whether the target is a folder that the sources go into.
func (m *mover) intoFolder(ctx context.Context, to location, sources int) (bool, error) {
	if m.f.exact {
		if sources > 1 {
			return false, cli.Usage("one_source_exact", "target", to.path.Remote())
		}
		return false, nil
	}
	there, err := m.r.Stat(ctx, to.path)
	switch kind := hufu.KindOf(err); {
	case err == nil && there.Kind == hufu.Folder:
		return true, nil
	case err != nil && kind != hufu.KindNotFound:
		return false, err
	case to.slash && err == nil:
		return false, &hufu.Error{Op: "mv", Path: to.path.Remote(), Kind: hufu.KindWrongKind, Code: "target_not_folder", Args: map[string]string{"target": to.path.Remote()}}
	case to.slash:
		return false, &hufu.Error{Op: "mv", Path: to.path.Remote(), Kind: hufu.KindNotFound, Code: "mv_folder_missing"}
	case sources > 1:
		return false, &hufu.Error{Op: "mv", Path: to.path.Remote(), Kind: hufu.KindUsage, Code: "mv_one_name"}
	}
	return false, nil
}

// jsonMoved is one line of mv --json.
type jsonMoved struct {
	Path    string `json:"path"`
	To      string `json:"to"`
	Outcome string `json:"outcome"`
}

func (m *mover) move(ctx context.Context, from hufu.Path) error {
	to := m.to
	if m.inside {
		var err error
		if from.IsRoot() {
			return &hufu.Error{Op: "mv", Path: from.Remote(), Kind: hufu.KindPermission, Code: "not_allowed_here"}
		}
		if to, err = m.to.Join(from.Base()); err != nil {
			return err
		}
	}
	cond := hufu.Condition{Kind: hufu.IfAbsent}
	if m.f.force {
		cond.Kind = hufu.Always
	}
	outcome := "moved"
	switch err := m.r.Rename(ctx, from, to, cond); {
	case err == nil:
	case hufu.KindOf(err) == hufu.KindExists && m.f.keep:
		outcome = "skipped"
	case hufu.KindOf(err) == hufu.KindExists, hufu.CodeOf(err) == "not_a_folder":
		return m.refused(ctx, from, to, err)
	case hufu.KindOf(err) == hufu.KindNotFound:
		return m.missing(ctx, from, to, err)
	default:
		return err
	}
	switch {
	case m.a.json:
		return m.a.JSON(jsonMoved{from.Virtual(), to.Virtual(), outcome})
	case m.f.verbose && outcome == "moved":
		return m.a.Printf("%s", m.a.Cat.T("hufu.mv.moved", "from", from.Remote(), "to", to.Remote()))
	case m.f.verbose:
		return m.a.Printf("%s", m.a.Cat.T("hufu.mv.kept", "from", from.Remote(), "to", to.Remote()))
	}
	return nil
}

// refused says why from was not moved to a name that is there.
func (m *mover) refused(ctx context.Context, from, to hufu.Path, err error) error {
	source, sourceErr := m.r.Stat(ctx, from)
	there, statErr := m.r.Stat(ctx, to)
	switch {
	case sourceErr == nil && statErr == nil && source.Kind == hufu.Folder && there.Kind != hufu.Folder:
		return wrongKind("mv", to, there.Kind)
	case hufu.KindOf(err) == hufu.KindExists:
		return &hufu.Error{Op: "mv", Path: to.Remote(), Kind: hufu.KindExists, Code: "mv_exists", Err: err}
	}
	return err
}

// wrongKind is the error of an entry of another kind than its source at the target.
func wrongKind(op string, target hufu.Path, kind hufu.EntryKind) error {
	return &hufu.Error{
		Op: op, Path: target.Remote(), Kind: hufu.KindWrongKind, Code: "target_wrong_kind",
		Args: map[string]string{"target": target.Remote(), "kind": kind.String()},
	}
}

// missing says which of the two names of a rename has no entry: the old one, or the folder of the
// new one.
func (m *mover) missing(ctx context.Context, from, to hufu.Path, err error) error {
	if _, statErr := m.r.Stat(ctx, from); statErr != nil {
		return err
	}
	return noFolder(ctx, m.r, to, "mv", "folder_above_missing", err)
}
