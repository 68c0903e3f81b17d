package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"hufu"
	"hufu/internal/cli"
	"hufu/internal/client"
)

// jsonEntry is one line of ls --json.
type jsonEntry struct {
	Path   string  `json:"path"`
	Kind   string  `json:"kind"`
	Size   int64   `json:"size"`
	MTime  string  `json:"mtime"`
	Mode   string  `json:"mode"`
	Digest *string `json:"digest"`
	Target string  `json:"target,omitempty"`
	By     string  `json:"by,omitempty"`
}

func (a *app) printEntry(p hufu.Path, e hufu.Entry) error {
	j := jsonEntry{
		Path: p.Virtual(), Kind: e.Kind.String(), Size: e.Size, MTime: jsonTime(e.MTime), Mode: fmt.Sprintf("%04o", e.Mode), Target: e.Target, By: e.By,
	}
	if !e.Digest.IsZero() {
		d := e.Digest.String()
		j.Digest = &d
	}
	return a.JSON(j)
}

// sharedPlace is where the shared folders are listed.
const sharedPlace = "@shared"

func (a *app) ls(ctx context.Context, r *client.Remote, p hufu.Path) error {
	top, err := r.Stat(ctx, p)
	if err != nil {
		return err
	}
	var table cli.Table // memory stays flat
	row := func(e hufu.Entry) error {
		name, size := e.Name, a.Cat.Size(e.Size)
		switch e.Kind {
		case hufu.Folder:
			name, size = name+"/", ""
		case hufu.Link:
			name, size = name+" -> "+e.Target, ""
		}
		mode := modeText(e)
		if p.String() == sharedPlace { // nobody uploaded it: the mode is between the server and its disk
			mode = "-"
		}
		return a.Row(&table, mode, size, a.Cat.Time(e.MTime), cmp.Or(e.By, "-"), name)
	}
	each, one := row, row
	if a.json {
		one = func(e hufu.Entry) error { return a.printEntry(p, e) }
		each = func(e hufu.Entry) error {
			q, err := p.Join(e.Name)
			if err != nil {
				return err
			}
			return a.printEntry(q, e)
		}
	}
	if top.Kind == hufu.Folder {
		err = r.List(ctx, p, each)
	} else {
		err = one(top)
	}
	if err != nil || a.json {
		return err
	}
	return a.EndTable(&table)
}

// modeText returns a mode as ls writes it.
func modeText(e hufu.Entry) string {
	kind := map[hufu.EntryKind]string{hufu.File: "-", hufu.Folder: "d", hufu.Link: "l", hufu.Other: "?"}[e.Kind]
	return kind + os.FileMode(e.Mode).Perm().String()[1:]
}

func newVerify(a *app) *cobra.Command {
	cmd := a.Command("verify [SRC] :/PATH", "hufu.verify", "hufu verify :/2026", "hufu verify photos :/2026/photos")
	cli.Between(cmd, 1, 2)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		locs, err := a.remoteOnly(args[len(args)-1:])
		if err != nil {
			return err
		}
		local := ""
		if len(args) == 2 {
			if err := noInput(args[0]); err != nil {
				return err
			}
			l, err := a.parseLocation(args[0])
			if err != nil {
				return err
			}
			if l.remote {
				return cli.Usage("put_source_remote", "source", args[0])
			}
			local = l.local
		}
		return a.with(cmd.Context(), locs[0], nil, func(r *client.Remote) error {
			locs, err := expand(cmd.Context(), r, locs)
			if err != nil {
				return err
			}
			if local != "" && len(locs) > 1 {
				return cli.Usage("verify_one")
			}
			n, bad, damaged, began := 0, 0, false, time.Now()
			for _, l := range locs {
				files, err := r.Verify(cmd.Context(), l.path, local, func(v client.Verified) {
					if v.Err != nil {
						bad++
						damaged = damaged || hufu.KindOf(v.Err) == hufu.KindIntegrity
					}
					a.verified(v, bad)
				})
				if n += files; err != nil {
					return err
				}
			}
			if !a.json {
				a.Hint(a.Cat.N("hufu.verify.summary", n, "bad", bad, "time", time.Since(began)))
			}
			switch {
			case damaged:
				return cli.Reported(hufu.KindIntegrity)
			case bad > 0:
				return cli.Reported(hufu.KindExists) // something is on one side only, or of another kind
			}
			return nil
		})
	}
	return cmd
}

// jsonVerified is one line of verify --json.
type jsonVerified struct {
	Path   string `json:"path"`
	OK     bool   `json:"ok"`
	Digest string `json:"digest,omitempty"` // bytes that the server has read
	*cli.Failure
}

func (a *app) verified(v client.Verified, bad int) {
	if a.json {
		j := jsonVerified{Path: v.Path.Virtual(), OK: v.Err == nil}
		if !v.Digest.IsZero() {
			j.Digest = v.Digest.String()
		}
		if v.Err != nil {
			j.Failure = a.Failure(v.Err)
		}
		_ = a.JSON(j)
		return
	}
	if v.Err != nil {
		what, fix := a.Cat.Error(v.Err)
		a.Hint(a.Cat.T("hufu.verify.bad", "path", v.Path.Remote(), "what", what))
		if fix != "" && bad <= fixes {
			a.Hint("  " + fix)
		}
		return
	}
	_ = a.Printf("%s  %s", v.Digest, hufu.Printable(v.Path.Remote()))
}
