package main

import (
	"context"
	"errors"
	"path/filepath"
	"strings"

	"hufu"
	"hufu/internal/cli"
	"hufu/internal/client"
	"hufu/internal/profile"
)

// location is one argument of a command: a path on this computer, or one on a
// server.
type location struct {
	text    string
	remote  bool
	profile string // of a remote one
	path    hufu.Path
	local   string
	slash   bool // written with a trailing slash: a folder, or its contents
}

// parseLocation reads an argument. ":/path" is the default profile's,
// "NAME:/path" another's; a name has two characters at least, so "C:/x" is a
// drive, and "./x:/y" is local because of its slash.
func (a *app) parseLocation(s string) (location, error) {
	l := location{text: s, slash: strings.HasSuffix(s, "/")}
	name, rest, ok := strings.Cut(s, ":")
	if !ok || strings.ContainsAny(name, `/\`) || len(name) == 1 || name != "" && !profile.Valid(name) {
		l.local = s
		return l, nil
	}
	if rest != "" && !strings.HasPrefix(rest, "/") {
		return l, cli.Usage("location_form", "location", s)
	}
	l.remote, l.profile = true, name
	if name == "" {
		l.profile = a.profileName()
	}
	if rest == "" {
		rest = "/"
	}
	for strings.Contains(rest, "//") { // as everywhere on a command line
		rest = strings.ReplaceAll(rest, "//", "/")
	}
	p, err := hufu.ParsePath(rest)
	if e, ok := errors.AsType[*hufu.Error](err); ok {
		e.Path = s // as it was written
		return l, err
	}
	l.path = p
	l.slash = l.slash || rest == "/"
	return l, nil
}

// noInput refuses "-" where a file is expected.
func noInput(source string) error {
	if source == "-" {
		return cli.Usage("input_unsupported")
	}
	return nil
}

// matchesHere replaces patterns among the sources by the names on this computer that match them, as
// shells do but those of Windows. A pattern without a match stays.
func matchesHere(system string, sources []string) (all []string) {
	for _, s := range sources {
		var names []string
		if system == "windows" && strings.ContainsAny(s, "*?") {
			names, _ = filepath.Glob(s) // a pattern with a wrong bracket is a name that is not there
		}
		if len(names) == 0 {
			names = []string{s}
		}
		all = append(all, names...)
	}
	return all
}

// matches replaces the patterns among locs by the paths that match them.
func matches(ctx context.Context, r *client.Remote, locs []location) (all []location, err error) {
	for _, l := range locs {
		paths, err := r.Glob(ctx, l.path, l.slash)
		if err != nil {
			return nil, err
		}
		for _, p := range paths {
			l.path = p
			all = append(all, l)
		}
	}
	return all, nil
}

// expand is matches for paths that are all used, or none: one that ends in a slash must not be a
// file.
func expand(ctx context.Context, r *client.Remote, locs []location) ([]location, error) {
	all, err := matches(ctx, r, locs)
	for _, l := range all {
		if !l.slash || l.path.IsRoot() {
			continue
		}
		if e, err := r.Stat(ctx, l.path); err == nil && e.Kind != hufu.Folder {
			return nil, &hufu.Error{Op: "find", Path: l.path.Remote(), Kind: hufu.KindWrongKind, Code: "far_not_folder", Args: map[string]string{"kind": e.Kind.String()}}
		}
	}
	return all, err
}

// remoteOnly reads arguments that must all name places on one server.
func (a *app) remoteOnly(args []string) ([]location, error) {
	locs := make([]location, len(args))
	for i, s := range args {
		l, err := a.parseLocation(s)
		if err != nil {
			return nil, err
		}
		if !l.remote {
			return nil, cli.Usage("location_not_remote", "location", s)
		}
		if l.profile != locs[0].profile && i > 0 {
			return nil, cli.Usage("location_two_servers", "location", s)
		}
		locs[i] = l
	}
	return locs, nil
}
