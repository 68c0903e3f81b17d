package client

import (
	"context"
	"time"

	"hufu"
	"hufu/internal/digest"
	"hufu/internal/frame"
	"hufu/internal/transfer"
)

var _ transfer.Far = (*Remote)(nil)

// Stat describes the entry at p. It does not follow a link.
func (r *Remote) Stat(ctx context.Context, p hufu.Path) (hufu.Entry, error) {
	a, err := call[*frame.StatAnswer](ctx, r, statRequest(p))
	if err != nil {
		return hufu.Entry{}, at(p, err)
	}
	return a.Entry.Entry(), nil
}

// at adds the path, as users write it, to an error that came without one.
func at(p hufu.Path, err error) error {
	if e, ok := err.(*hufu.Error); ok && e.Path == "" && !Transient(err) { //nolint:errorlint // only the outermost is ours to fill in
		c := *e
		c.Path = p.Remote()
		return &c
	}
	return err
}

// Mkdir makes a folder. It reports whether the folder was not there before.
func (r *Remote) Mkdir(ctx context.Context, p hufu.Path, mode uint32, parents bool) (bool, error) {
	a, err := call[*frame.MkdirAnswer](ctx, r, mkdirRequest(p, mode, parents))
	if err != nil {
		return false, at(p, err)
	}
	return a.Created, nil
}

// Link makes a symbolic link. The target is not followed.
func (r *Remote) Link(ctx context.Context, p hufu.Path, target string, mtime time.Time, c hufu.Condition) error {
	_, err := call[*frame.LinkAnswer](ctx, r, &frame.Link{
		Path: frame.WirePath(p), Target: []byte(target), MTime: frame.Nanos(mtime), Condition: frame.WireCondition(c),
	})
	return at(p, err)
}

// SetMeta sets mode and time of an entry, with a version only if it is still this version.
func (r *Remote) SetMeta(ctx context.Context, p hufu.Path, m transfer.Meta, version string) error {
	_, maybe, err := repeated[*frame.SetMetaAnswer](ctx, r, &frame.SetMeta{
		Path: frame.WirePath(p), Mode: m.Mode & 0o777, MTime: frame.Nanos(m.MTime), Version: version,
	}, func() {})
	if maybe && hufu.KindOf(err) == hufu.KindChanged {
		e, statErr := r.Stat(ctx, p)
		if statErr == nil && frame.Nanos(e.MTime) == frame.Nanos(m.MTime) && (e.Kind == hufu.Link || e.Mode == m.Mode&0o777) {
			return nil // by the try whose answer was lost
		}
	}
	return at(p, err)
}

// Remove removes an entry, a folder that is not empty only if recursive.
func (r *Remote) Remove(ctx context.Context, p hufu.Path, recursive bool) error {
	before, statErr := r.Stat(ctx, p)
	m := &frame.Remove{Path: frame.WirePath(p), Recursive: recursive}
	_, maybe, err := repeated[*frame.RemoveAnswer](ctx, r, m, func() {
		if statErr == nil {
			m.Version = before.Version // not an entry that got the name since; a folder has no version
		}
	})
	k := hufu.KindOf(err)
	if maybe && (k == hufu.KindNotFound || m.Version != "" && (k == hufu.KindChanged || k == hufu.KindWrongKind)) {
		return nil // by the try whose answer was lost
	}
	return at(p, err)
}

// RemoveOne removes the entry p, with a version only if it is still this version, and a folder
// only if it is empty.
func (r *Remote) RemoveOne(ctx context.Context, p hufu.Path, version string) error {
	_, maybe, err := repeated[*frame.RemoveAnswer](ctx, r, &frame.Remove{Path: frame.WirePath(p), Version: version}, func() {})
	if k := hufu.KindOf(err); maybe && (k == hufu.KindNotFound || version != "" && (k == hufu.KindChanged || k == hufu.KindWrongKind)) {
		return nil // by the try whose answer was lost
	}
	return at(p, err)
}

// Rename gives an entry another name in the same place.
func (r *Remote) Rename(ctx context.Context, from, to hufu.Path, c hufu.Condition) error {
	before, statErr := r.Stat(ctx, from)
	m := &frame.Rename{From: frame.WirePath(from), To: frame.WirePath(to), Condition: frame.WireCondition(c)}
	_, maybe, err := repeated[*frame.RenameAnswer](ctx, r, m, func() {
		if statErr == nil {
			m.Version = before.Version // not an entry that got the name since
		}
	})
	if k := hufu.KindOf(err); maybe && statErr == nil && (k == hufu.KindNotFound || k == hufu.KindChanged) {
		// By the try whose answer was lost, if the same thing stands there now.
		after, err := r.Stat(ctx, to)
		if err == nil && after.Kind == before.Kind && after.Size == before.Size && after.MTime.Equal(before.MTime) && after.Digest == before.Digest {
			return nil
		}
	}
	if k := hufu.KindOf(err); k == hufu.KindExists || k == hufu.KindWrongKind {
		return at(to, err) // what stands there is in the way
	}
	return at(from, err)
}

// Digest has the server read a file and compute its digest.
func (r *Remote) Digest(ctx context.Context, p hufu.Path) (hufu.Entry, error) {
	a, err := call[*frame.DigestAnswer](ctx, r, &frame.Digest{Path: frame.WirePath(p)})
	if err != nil {
		return hufu.Entry{}, at(p, err)
	}
	return a.Entry.Entry(), nil
}

// Space returns how many bytes can still be stored at p, and how many in all.
func (r *Remote) Space(ctx context.Context, p hufu.Path) (free, total int64, err error) {
	a, err := call[*frame.SpaceAnswer](ctx, r, &frame.Space{Path: frame.WirePath(p)})
	if err != nil {
		return 0, 0, at(p, err)
	}
	return a.Free, a.Total, nil
}

// Open begins an upload, or resumes an unfinished one of the same source.
func (r *Remote) Open(ctx context.Context, p hufu.Path, size int64, source string) (transfer.Upload, error) {
	var up transfer.Upload
	err := r.persist(ctx, func() error {
		c, err := r.loggedIn(ctx)
		if err != nil {
			return err
		}
		up = transfer.Upload{}
		return r.each(ctx, c, openRequest(p, size, source), func(m frame.Message) error {
			a, ok := m.(*frame.OpenAnswer)
			if !ok || up.ID != "" && (up.ID != a.Upload || up.Unit != int64(a.Unit) || len(a.Runs) == 0) { // a later frame repeats id and unit and holds runs
				return &hufu.Error{Op: "open", Kind: hufu.KindProtocol}
			}
			up.ID, up.Unit = a.Upload, int64(a.Unit)
			for _, run := range a.Runs {
				if !up.There.Add(run.First, run.CVs, digest.Chunks(size)) {
					return &hufu.Error{Op: "open", Kind: hufu.KindProtocol}
				}
			}
			return nil
		})
	})
	return up, at(p, err)
}

// Commit gives an upload its name. It may be called again with the same arguments.
func (r *Remote) Commit(ctx context.Context, upload string, p hufu.Path, d hufu.Digest, m transfer.Meta, c hufu.Condition) (hufu.Entry, error) {
	a, err := call[*frame.CommitAnswer](ctx, r, &frame.Commit{
		Upload: upload, Path: frame.WirePath(p), Digest: d[:], Mode: m.Mode & 0o777, MTime: frame.Nanos(m.MTime), Condition: frame.WireCondition(c),
	})
	if err != nil {
		return hufu.Entry{}, at(p, err)
	}
	return a.Entry.Entry(), nil
}

// Abandon has the server remove an unfinished upload.
func (r *Remote) Abandon(ctx context.Context, upload string) error {
	_, err := call[*frame.AbandonAnswer](ctx, r, &frame.Abandon{Upload: upload})
	return err
}
