package object

import (
	"cmp"
	"context"
	"errors"
	"time"

	"hufu"
	"hufu/internal/meta"
)

// The times of the clean-up.
const (
	stagedFor = 24 * time.Hour // a batch is over by then
	latePut   = 24 * time.Hour // no request is on its way for longer
	stampFor  = time.Hour      // no transaction is open for longer
	cleanPage = 100            // rows of one question

	cleanLease   = "clean-up" // its name in the database
	defaultLease = 5 * time.Minute
)

// Expire gives up the unfinished uploads that have received nothing for olderThan and that no process
// has open, and returns how many.
func (s *Trees) Expire(ctx context.Context, olderThan time.Duration) (n int, err error) {
	for after, more := (meta.ID{}), true; more; {
		all, err := s.names.IdleUploads(ctx, s.grip, olderThan, after, cleanPage)
		if err != nil {
			return n, broken(ctx, "expire uploads", hufu.Path{}, err)
		}
		more = len(all) == cleanPage
		for _, u := range all {
			after = u.ID
			if s.held(u.ID) {
				continue
			}
			idle := false // it may go on by now, elsewhere
			err := s.names.Change(ctx, func(q meta.NameQueries) (err error) {
				if idle, err = q.DropIdle(ctx, u.ID, s.grip, olderThan); err == nil && idle {
					_, err = q.Abandon(ctx, u.ID)
				}
				return err //nolint:wrapcheck // below
			})
			if err != nil {
				return n, broken(ctx, "expire uploads", hufu.Path{}, err)
			}
			if idle {
				n++
			}
		}
	}
	return n, nil
}

// Clean deletes what has no name any more: the entries of removed folders, contents that were
// staged and forgotten, and the objects of contents that have been dead for the time grace. Their
// keys are deleted once more a day later, because a store may carry out a request late. It returns
// how many objects it has deleted.
//
// Only one process does it at a time, and Clean does nothing while another has the lease. One that
// was frozen may go on after it has lost that, and does no harm: states go one way, no key is used
// twice, and each step is one for rows in a state that they cannot leave for a better one.
//
// Grace must be longer than the age of the oldest backup of the database that one may restore. All
// ages are by the clock of the database.
//
// What cannot be deleted is left for the next time, and keeps nothing else from being deleted. The
// error is that of the first of them.
func (s *Trees) Clean(ctx context.Context, grace time.Duration) (objects int, err error) {
	c := &cleaning{s: s}
	for _, step := range []func() error{
		func() error { return c.keep(ctx) },
		func() error { return c.folders(ctx) },
		func() error { return c.staged(ctx, max(grace, stagedFor)) },
		func() error { return c.contents(ctx, meta.StateDead, grace) },
		func() error { return c.contents(ctx, meta.StateRemoved, latePut) },
		func() error { return s.names.ForgetStamps(ctx, stampFor) },
		func() error { return cmp.Or(s.names.Yield(ctx, cleanLease, s.grip), c.failed) },
	} {
		if err := step(); errors.Is(err, errNotOurs) {
			return c.objects, nil
		} else if err != nil {
			return c.objects, broken(ctx, "clean up", hufu.Path{}, err)
		}
	}
	return c.objects, nil
}

// cleaning is one clean-up.
type cleaning struct {
	s       *Trees
	asked   time.Time // when the lease was extended
	objects int       // deleted
	failed  error     // of the first object that could not be deleted
}

var errNotOurs = errors.New("another process cleans up")

// keep extends the lease, if that was not done just now. It fails if another process has it.
func (c *cleaning) keep(ctx context.Context) error {
	if now := time.Now(); now.Sub(c.asked) > c.s.o.Lease/10 {
		ours, err := c.s.names.Lease(ctx, cleanLease, c.s.grip, c.s.o.Lease)
		if err != nil {
			return err //nolint:wrapcheck // Clean does
		}
		if !ours {
			return errNotOurs
		}
		c.asked = now
	}
	return nil
}

// folders removes what is in removed folders.
func (c *cleaning) folders(ctx context.Context) error {
	for {
		gone, err := c.s.names.GoneFolders(ctx, cleanPage)
		if err != nil || len(gone) == 0 {
			return err //nolint:wrapcheck // Clean does
		}
		for _, id := range gone {
			for more := true; more; {
				if err := c.keep(ctx); err != nil {
					return err
				}
				if more, err = c.s.cleanFolder(ctx, id); err != nil {
					return err
				}
			}
		}
	}
}

// cleanFolder removes some entries of a removed folder, then some uploads into it, and the folder with the
// last of them. A transaction holds at most pageSize entries or cleanPage uploads.
func (s *Trees) cleanFolder(ctx context.Context, id meta.ID) (more bool, err error) {
	err = s.names.Change(ctx, func(q meta.NameQueries) error {
		if _, err := q.LockFolder(ctx, id); err != nil {
			return err //nolint:wrapcheck // Clean does
		}
		page, err := q.Entries(ctx, id, "", pageSize)
		if err != nil {
			return err //nolint:wrapcheck // Clean does
		}
		if more = len(page) == pageSize; more {
			return q.DropThrough(ctx, id, page[len(page)-1].Name) //nolint:wrapcheck // Clean does
		}
		uploads, err := q.UploadsInto(ctx, id, cleanPage)
		for _, u := range uploads {
			if err == nil {
				_, err = q.DropUpload(ctx, u.ID)
			}
			if err == nil {
				_, err = q.Abandon(ctx, u.ID)
			}
		}
		if more = len(uploads) == cleanPage; more {
			return err //nolint:wrapcheck // Clean does
		}
		if err == nil {
			err = q.DropThrough(ctx, id, "")
		}
		if err == nil {
			err = q.ForgetFolder(ctx, id)
		}
		return err //nolint:wrapcheck // Clean does
	})
	return more, err
}

// staged gives up contents that have been open for a time and belong to no upload.
func (c *cleaning) staged(ctx context.Context, age time.Duration) error {
	for {
		ids, err := c.s.names.Staged(ctx, age, cleanPage)
		if err != nil || len(ids) == 0 {
			return err //nolint:wrapcheck // Clean does
		}
		for _, id := range ids {
			if _, err := c.s.names.Abandon(ctx, id); err != nil {
				return err //nolint:wrapcheck // Clean does
			}
		}
	}
}

// contents deletes the objects of contents that have been in a state for a time, and takes them to
// the next.
func (c *cleaning) contents(ctx context.Context, state int, age time.Duration) error {
	for after, more := (meta.Content{}), true; more; {
		all, err := c.s.names.Contents(ctx, state, age, after, cleanPage)
		if err != nil {
			return err //nolint:wrapcheck // Clean does
		}
		more = len(all) == cleanPage
		for _, dead := range all {
			after = dead
			if err := c.keep(ctx); err != nil {
				return err
			}
			if dead.Layout != meta.LayoutInline {
				deleted, err := c.delete(ctx, dead.ID)
				if err != nil {
					return err
				}
				if !deleted {
					continue
				}
			}
			if state == meta.StateDead && dead.Layout != meta.LayoutInline {
				err = c.s.names.Remove(ctx, dead.ID)
			} else {
				err = c.s.names.ForgetContent(ctx, dead.ID)
			}
			if err != nil {
				return err //nolint:wrapcheck // Clean does
			}
		}
	}
	return nil
}

// delete deletes all objects of a content, those of units without a row as well, and reports whether
// none is left. The error is that of a store that is away.
func (c *cleaning) delete(ctx context.Context, id meta.ID) (all bool, err error) {
	var keys []string
	err = c.s.bucket.Keys(ctx, c.s.key(id, ""), func(key string, _ int64) error {
		keys = append(keys, key)
		return nil
	})
	if err != nil {
		return false, c.refused(ctx, err)
	}
	all = true
	for _, key := range keys {
		if err := c.keep(ctx); err != nil {
			return false, err
		}
		if err := c.s.bucket.Delete(ctx, key); err != nil {
			if err := c.refused(ctx, err); err != nil {
				return false, err
			}
			all = false
			continue
		}
		c.objects++
	}
	return all, nil
}

// refused notes that something could not be deleted. It returns the error if the store answers
// nothing else either.
func (c *cleaning) refused(ctx context.Context, err error) error {
	if _, away := c.s.bucket.Size(ctx, mark); away != nil && hufu.CodeOf(away) != "store_object_missing" {
		return err
	}
	c.failed = cmp.Or(c.failed, err)
	return nil
}
