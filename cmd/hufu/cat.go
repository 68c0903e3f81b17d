package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"hufu"
	"hufu/internal/cli"
	"hufu/internal/client"
	"hufu/internal/transfer"
)

func newCat(a *app) *cobra.Command {
	cmd := a.Command("cat :/FILE…", "hufu.cat", "hufu cat :/notes.txt", "hufu cat ':/logs/*.log' | grep error")
	cli.Between(cmd, 1, -1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if a.json {
			return cli.Usage("cat_json")
		}
		locs, err := a.remoteOnly(args)
		if err != nil {
			return err
		}
		foresee := func(r *client.Remote) { r.ForeseeGet([]client.Fetch{{Path: locs[0].path}}) }
		return a.with(cmd.Context(), locs[0], foresee, func(r *client.Remote) error {
			locs, err := expand(cmd.Context(), r, locs)
			if err != nil {
				return err
			}
			return a.eachOf(locs, func(p hufu.Path) error { return a.stream(cmd.Context(), r, p, nil) }, "")
		})
	}
	return cmd
}

// getOutput writes one file to standard output, for get.
func (a *app) getOutput(ctx context.Context, locs []location, f *copyFlags, limit *transfer.Limit) error {
	if len(locs) > 1 || f.exact || f.dry || !f.filter.Empty() || f.filesFrom != "" || a.json {
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
		return a.stream(ctx, r, locs[0].path, limit)
	})
}

// stream writes a file to standard output. If it fails after some bytes were written, it says that
// they are not to be used.
func (a *app) stream(ctx context.Context, r *client.Remote, p hufu.Path, limit *transfer.Limit) error {
	out := &counter{w: a.Out}
	err := r.Cat(ctx, p, out, limit)
	if err != nil && out.n > 0 && !lost(err) {
		a.Hint(a.Cat.T("hufu.cat.partial", "path", p.Remote(), "bytes", out.n))
	}
	if hufu.CodeOf(err) == "digest_differs" { // nothing can be discarded, unlike in other transfers
		return &hufu.Error{Op: "cat", Path: p.Remote(), Kind: hufu.KindIntegrity, Code: "cat_differs", Err: err}
	}
	return err
}

// counter counts the bytes that were written to w.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err //nolint:wrapcheck // an io.Writer passes on the error of another
}
