package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hufu"
	"hufu/internal/cli"
	"hufu/internal/client"
	"hufu/internal/profile"
)

// completionTime is how long the shell waits for names of the server, and mostCompleted how many
// are offered. Whatever goes wrong, nothing is offered and nothing said.
const (
	completionTime = 2 * time.Second
	mostCompleted  = 1000
)

// completes tells the shell what may follow on the command line. Paths on the server are completed
// by asking it.
func (a *app) completes(root *cobra.Command) {
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "cat", "df", "du", "find", "ls", "mkdir", "mv", "rm", "stat", "touch", "tree":
			cmd.ValidArgsFunction = a.completeFar
		case "cp", "put", "get", "sync", "verify":
			cmd.ValidArgsFunction = a.completeBoth
		case "explain":
			cmd.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
				return profiles(":"), cobra.ShellCompDirectiveNoFileComp
			}
		case "wire":
			cmd.ValidArgsFunction = cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault)
		case "profile":
			for _, sub := range cmd.Commands() {
				if sub.Name() != "list" {
					sub.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
						return profiles(""), cobra.ShellCompDirectiveNoFileComp
					}
				}
			}
		}
		for flag, values := range map[string][]string{
			"conflict":    {"newer", "rename", "replace", "skip"},
			"sort":        {"name", "size", "time"},
			"type":        {"file", "folder", "link", "other"},
			"preserve":    {"all", "mode", "times"},
			"no-preserve": {"all", "mode", "times"},
		} {
			if cmd.Flags().Lookup(flag) != nil {
				cli.Values(cmd, flag, values...)
			}
		}
	}
	cli.Values(root, "lang", "en", "zh-CN")
	names := func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return profiles(""), cobra.ShellCompDirectiveNoFileComp
	}
	if err := root.RegisterFlagCompletionFunc("profile", names); err != nil {
		panic(err) // there is such a flag
	}
}

// profiles returns the names of the profiles of this computer, with an ending.
func profiles(ending string) []string {
	dirs, err := profile.UserDirs()
	if err != nil {
		return nil
	}
	names, _ := profile.List(dirs)
	for i := range names {
		names[i] += ending
	}
	return names
}

// completeBoth completes a path on the server, or has the shell complete one of this computer.
func (a *app) completeBoth(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if !strings.Contains(begun, ":") && (begun != "" || slices.Contains([]string{"cp", "put", "sync"}, cmd.Name())) {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return a.completeFar(cmd, args, begun)
}

// completeFar completes a path on the server.
func (a *app) completeFar(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	none := cobra.ShellCompDirectiveNoFileComp
	colon := strings.IndexByte(begun, ':')
	if colon < 0 {
		var all []string
		for _, p := range append([]string{""}, profiles("")...) {
			if strings.HasPrefix(p, begun) {
				all = append(all, p+":/")
			}
		}
		return all, none | cobra.ShellCompDirectiveNoSpace
	}
	slash := strings.LastIndexByte(begun, '/')
	if slash < colon { // "work:"
		return []string{begun[:colon] + ":/"}, none | cobra.ShellCompDirectiveNoSpace
	}
	l, err := a.parseLocation(begun[:slash+1])
	if err != nil || !l.remote || a.plaintext {
		return nil, none
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
	defer cancel()
	found, err := a.names(ctx, l, begun[slash+1:], cmd.Name() == "mkdir")
	if err != nil {
		return nil, none
	}
	for i := range found {
		found[i] = begun[:slash+1] + found[i]
	}
	if len(found) == 1 && strings.HasSuffix(found[0], "/") {
		none |= cobra.ShellCompDirectiveNoSpace
	}
	return found, none
}

// names returns the names in the folder l that begin with begun, folders with a slash at their
// end. A name that a shell could not take over is left out.
func (a *app) names(ctx context.Context, l location, begun string, folders bool) (found []string, err error) {
	dirs, err := a.dirs()
	if err != nil {
		return nil, err
	}
	p, err := profile.Load(dirs, l.profile)
	if err != nil {
		return nil, err
	}
	r, err := client.New(p, client.Options{NoRenew: true})
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	if l.path.IsRoot() && strings.HasPrefix(begun, "@") && strings.HasPrefix(hufu.SharedName, begun) { // no listing shows it
		return []string{hufu.SharedName + "/"}, nil
	}
	err = r.List(ctx, l.path, func(e hufu.Entry) error {
		switch {
		case !strings.HasPrefix(e.Name, begun), hufu.Printable(e.Name) != e.Name, folders && e.Kind != hufu.Folder:
			return nil
		case e.Kind == hufu.Folder:
			found = append(found, e.Name+"/")
		default:
			found = append(found, e.Name)
		}
		if len(found) == mostCompleted {
			return errFull
		}
		return nil
	})
	if err != nil && !errors.Is(err, errFull) {
		return nil, err
	}
	return slices.Clip(found), nil
}

// errFull ends a listing that has offered enough.
var errFull = errors.New("enough names")
