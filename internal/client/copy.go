package client

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"hufu"
	"hufu/internal/atomicfile"
	"hufu/internal/blob"
	"hufu/internal/transfer"
)

// Copy is a put or a get that is prepared: the target of each source is settled.
type Copy struct {
	Sources []transfer.Source
	// Failures are sources that cannot be found. The others are copied.
	Failures []transfer.Report
	disk     Disk
	stores   map[string]Folder
	journal  string

	unfinished *unfinished // the command that is remembered until it has ended; nil if none is
}

// Close closes the folders of this computer that the copy opened.
func (c *Copy) Close() error {
	var errs []error
	for _, s := range c.stores {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

func (r *Remote) newCopy() *Copy {
	return &Copy{disk: r.o.Disk, stores: map[string]Folder{}, journal: r.p.Dirs().Journals()}
}

// store opens a folder of this computer once.
func (c *Copy) store(dir string) (Folder, error) {
	if s := c.stores[dir]; s != nil {
		return s, nil
	}
	if err := atomicfile.MkdirAll(c.journal, 0o700); err != nil {
		return nil, &hufu.Error{Op: "journals", Path: c.journal, Kind: hufu.KindUnreadable, Code: "cannot_write", Err: err}
	}
	s, err := c.disk.Open(canonical(dir), c.journal)
	if err != nil {
		return nil, err
	}
	c.stores[dir] = s
	return s, nil
}

// side finds a path of this computer: the folder that holds it is opened, the
// path itself is never followed if it is a link.
func (c *Copy) side(path string) (transfer.Side, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return transfer.Side{}, &hufu.Error{Op: "find file", Path: path, Kind: hufu.KindUsage, Err: err}
	}
	dir, base := filepath.Split(abs)
	if base == "" { // a root
		s, err := c.store(dir)
		return transfer.Side{Store: s, Local: path}, err
	}
	s, err := c.store(filepath.Clean(dir))
	if err != nil {
		return transfer.Side{}, err
	}
	p, err := hufu.Path{}.Join(base)
	return transfer.Side{Store: s, Path: p, Local: path}, err
}

// inside opens a folder of this computer as the root of what is copied. The
// folder itself may be named through a link: the user named it.
func (c *Copy) inside(dir string) (transfer.Side, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return transfer.Side{}, &hufu.Error{Op: "find folder", Path: dir, Kind: hufu.KindUsage, Err: err}
	}
	s, err := c.store(abs)
	return transfer.Side{Store: s, Local: dir}, err
}

// How says what the arguments of a put or a get mean.
type How struct {
	Folder bool // the target is written as a folder: sources go inside, and it is made if need be
	Exact  bool // the target is the name itself, even if a folder stands there
	Links  bool // a symbolic link that is named as a source stays one, instead of what it points to
	DryRun bool // nothing is made, and nothing remembered
}

// PreparePut settles where each source goes, and makes the target folder if it is missing,
// once the sources are found. If to is written as a folder or is one, the sources go inside
// it. Otherwise to is the new name of the only source.
func (r *Remote) PreparePut(ctx context.Context, sources []string, to hufu.Path, how How) (*Copy, error) {
	if len(sources) == 0 {
		return nil, nothingChosen("put")
	}
	c := r.newCopy()
	fail := func(err error) (*Copy, error) { return nil, errors.Join(err, c.Close()) }
	if how.Exact {
		how.Folder = false
	}
	if len(sources) == 1 && how.Exact && to.IsRoot() { // the root has no name that a source could take
		sources = []string{sources[0] + "/"}
	}
	inside, exists := how.Folder, false
	if !how.Folder { // if how.Folder, Mkdir below fails when "to" is not a folder
		there, err := r.Stat(ctx, to)
		if err != nil && hufu.KindOf(err) != hufu.KindNotFound {
			return fail(err)
		}
		exists = err == nil
		inside = exists && there.Kind == hufu.Folder && !how.Exact
	}
	if !how.Folder && !how.Exact && len(sources) == 1 && !hasSlash(sources[0]) && isFolder(sources[0]) {
		abs, err := filepath.Abs(sources[0])
		if err != nil {
			return fail(&hufu.Error{Op: "find file", Path: sources[0], Kind: hufu.KindUsage, Err: err})
		}
		u := r.unfinished("put", abs, to.Virtual())
		if inside = inside && !u.begun(); !inside {
			c.unfinished = u
		}
	}
	if !inside && len(sources) > 1 {
		return fail(oneName("put", to.Remote(), how.Exact))
	}
	contents, own := false, r.ownFolders()
	for _, path := range sources {
		source, err := c.source(path, to, How{Folder: inside, Links: how.Links})
		if err == nil {
			err = own.notOwn(source, how.Links)
		}
		if err == nil {
			err = r.notInside("put", source)
		}
		if err == nil {
			err = r.mayStand(ctx, source)
		}
		switch {
		case err == nil:
			contents = contents || source.Contents
			c.Sources = append(c.Sources, source)
		case len(sources) == 1 || transfer.Stops(err):
			return fail(err)
		default:
			c.Failures = append(c.Failures, transfer.Report{Local: path, Remote: to, Kind: hufu.File, Outcome: transfer.Failed, Err: err})
		}
	}
	if len(c.Sources) == 0 {
		return fail(c.Failures[0].Err)
	}
	switch {
	case how.Folder, contents && !inside:
		fresh, err := r.targetFolder(ctx, to, how)
		if err != nil {
			return fail(err)
		}
		for i := range c.Sources {
			c.Sources[i].Fresh = fresh
		}
	case !exists:
		if _, err := r.targetFolder(ctx, to.Parent(), how); err != nil {
			return fail(err)
		}
	}
	if err := c.begin(how); err != nil {
		return fail(err)
	}
	return c, nil
}

// begin keeps the decision of a copy, before its folder appears under its new name. In a dry run
// it forgets it.
func (c *Copy) begin(how How) error {
	if how.DryRun {
		c.unfinished = nil
	}
	return c.unfinished.begin()
}

// nothingChosen is the error of a put or a get without a source.
func nothingChosen(op string) error {
	return &hufu.Error{Op: op, Kind: hufu.KindInvalid, Code: "nothing_chosen"}
}

// Before any byte is sent, mayStand returns an error if the server would refuse s because of its
// place. In /@shared nothing can be created: a folder may only be merged into a shared folder
// that exists. So the entries of a source that goes to /@shared are checked too, and the entry
// @shared of one that goes to /; if one is refused, the whole source is.
func (r *Remote) mayStand(ctx context.Context, s transfer.Source) error {
	if !s.Contents {
		if !s.Far.Signpost() {
			return nil
		}
		if _, err := r.Stat(ctx, s.Far); err != nil {
			return err
		}
		switch e, err := s.Store.Stat(ctx, s.Path); {
		case err != nil:
			return nil // what is wrong with the source is told when it is sent
		case e.Kind != hufu.Folder:
			return &hufu.Error{Op: "put", Path: s.Far.Remote(), Kind: hufu.KindPermission, Code: "not_allowed_here"}
		}
	}
	var refused error
	judge := func(e hufu.Entry) error {
		inner := transfer.Source{}
		var err error
		if inner.Far, err = s.Far.Join(e.Name); err == nil {
			inner.Side, err = s.Join(e.Name)
		}
		if err == nil && e.Kind != hufu.Other { // which is not sent
			refused = r.mayStand(ctx, inner)
		}
		return refused
	}
	switch s.Far.String() {
	case "": // of the names in /, only @shared needs a further look
		if side, err := s.Join(hufu.SharedName); err == nil {
			if e, err := s.Store.Stat(ctx, side.Path); err == nil {
				return judge(e)
			}
		}
	case hufu.SharedName:
		_, _ = s.Store.List(ctx, s.Path, blob.Page{}, judge) // a folder that cannot be read is told when it is sent
	}
	return refused
}

// targetFolder makes a folder with its parents. made reports whether it was missing. In a dry run
// it is not made.
func (r *Remote) targetFolder(ctx context.Context, p hufu.Path, how How) (made bool, err error) {
	if p.IsRoot() {
		return false, nil
	}
	if how.DryRun {
		e, err := r.Stat(ctx, p)
		switch {
		case hufu.CodeOf(err) == "shared_missing": // which no put creates
		case hufu.KindOf(err) == hufu.KindNotFound:
			return true, nil
		case err == nil && e.Kind != hufu.Folder:
			err = &hufu.Error{Op: "put", Path: p.Remote(), Kind: hufu.KindWrongKind, Code: "target_not_folder", Args: map[string]string{"target": p.Remote()}}
		}
		return false, err
	}
	made, err = r.Mkdir(ctx, p, 0o755, true)
	if hufu.KindOf(err) == hufu.KindExists {
		err = &hufu.Error{Op: "put", Path: p.Remote(), Kind: hufu.KindWrongKind, Code: "target_not_folder", Args: map[string]string{"target": p.Remote()}, Err: err}
	}
	return made, err
}

// Fetch is one source of a get.
type Fetch struct {
	Path     hufu.Path
	Contents bool // what is in the folder, not the folder itself
}

// PrepareGet settles where each source goes, and makes the folder that they go to if it is
// missing, once a source is found. It is PreparePut in the other direction.
func (r *Remote) PrepareGet(ctx context.Context, sources []Fetch, to string, how How) (*Copy, error) {
	if len(sources) == 0 {
		return nil, nothingChosen("get")
	}
	c := r.newCopy()
	fail := func(err error) (*Copy, error) { return nil, errors.Join(err, c.Close()) }
	there, errs := make([]hufu.Entry, len(sources)), make([]error, len(sources))
	transfer.Together(len(sources), func(i int) { there[i], errs[i] = r.Stat(ctx, sources[i].Path) })
	found := make([]transfer.Source, 0, len(sources))
	contents := false
	for i, f := range sources {
		err := errs[i]
		if err == nil && f.Contents && there[i].Kind != hufu.Folder {
			err = &hufu.Error{
				Op: "get", Path: f.Path.Remote(), Kind: hufu.KindWrongKind, Code: "far_not_folder",
				Args: map[string]string{"kind": there[i].Kind.String()},
			}
		}
		switch {
		case err == nil:
			contents = contents || f.Contents
			found = append(found, transfer.Source{Far: f.Path, Contents: f.Contents, Entry: &there[i]})
		case len(sources) == 1 || transfer.Stops(err):
			return fail(err)
		default:
			c.Failures = append(c.Failures, transfer.Report{Local: to, Remote: f.Path, Kind: hufu.File, Outcome: transfer.Failed, Err: err})
		}
	}
	if len(found) == 0 {
		return fail(c.Failures[0].Err)
	}
	i, err := os.Stat(to)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		code := "not_a_folder" // a parent in the path is not a folder
		if _, taken := os.Lstat(filepath.Clean(to)); taken == nil {
			code = "target_not_folder"
		}
		return fail(Missing("get", to, err, code))
	}
	exists := err == nil
	inside := (how.Folder || hasSlash(to) || exists && i.IsDir()) && !how.Exact
	abs, err := filepath.Abs(to)
	if err != nil {
		return fail(&hufu.Error{Op: "find folder", Path: to, Kind: hufu.KindUsage, Err: err})
	}
	if how.Exact {
		to = filepath.Clean(abs)
	}
	if !how.Folder && !how.Exact && !hasSlash(to) && len(sources) == 1 && !contents && there[0].Kind == hufu.Folder {
		u := r.unfinished("get", sources[0].Path.Virtual(), abs)
		if inside = inside && !u.begun(); !inside {
			c.unfinished = u
		}
	}
	if exists && (inside || contents) && !i.IsDir() {
		return fail(&hufu.Error{Op: "get", Path: to, Kind: hufu.KindWrongKind, Code: "target_not_folder", Args: map[string]string{"target": to}})
	}
	if !inside && len(sources) > 1 {
		return fail(oneName("get", to, how.Exact))
	}
	dir := to
	if !inside && !contents {
		dir = filepath.Dir(to)
	}
	root, fresh, err := c.localFolder(dir, how)
	if err != nil {
		return fail(err)
	}
	for _, s := range found {
		s.Side = root
		s.Fresh = fresh
		if !s.Contents {
			name := s.Far.Base()
			if !inside {
				name = filepath.Base(to)
			}
			if name == "" {
				return fail(&hufu.Error{Op: "get", Kind: hufu.KindUsage, Code: "root_needs_folder"})
			}
			if s.Side, err = root.Join(name); err != nil {
				return fail(err)
			}
		}
		if err := r.notInside("get", s); err != nil {
			return fail(err)
		}
		c.Sources = append(c.Sources, s)
	}
	if err := c.begin(how); err != nil {
		return fail(err)
	}
	return c, nil
}

// localFolder makes the folder of this computer that sources go to, with its parents, and opens
// it. In a dry run it is not made; fresh says that it is missing.
func (c *Copy) localFolder(dir string, how How) (root transfer.Side, fresh bool, err error) {
	if how.DryRun {
		return c.localFolderAbove(dir)
	}
	if err := atomicfile.MkdirAll(dir, 0o777); err != nil {
		return root, false, &hufu.Error{Op: "get", Path: dir, Kind: hufu.KindUnreadable, Code: "cannot_write", Err: err}
	}
	root, err = c.inside(dir)
	for _, s := range c.stores {
		_ = s.Recover() // a download that needs the journals reports the error
	}
	return root, false, err
}

// localFolderAbove opens dir, or the next folder above it that is there, and returns the place of
// dir in it.
func (c *Copy) localFolderAbove(dir string) (root transfer.Side, missing bool, err error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return root, false, &hufu.Error{Op: "find folder", Path: dir, Kind: hufu.KindUsage, Err: err}
	}
	at, names := abs, []string(nil)
	for !isFolder(at) && at != filepath.Dir(at) {
		names = append([]string{filepath.Base(at)}, names...)
		at = filepath.Dir(at)
	}
	if root, err = c.inside(at); err != nil {
		return root, false, err
	}
	root.Local = dir
	for _, name := range names {
		if root.Path, err = root.Path.Join(name); err != nil {
			return root, true, err
		}
	}
	return root, len(names) > 0, nil
}
