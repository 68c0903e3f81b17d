package object

import (
	"context"
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
)

// Expire gives up the unfinished uploads that have received nothing for olderThan, and returns how
// many.
func (s *Trees) Expire(ctx context.Context, olderThan time.Duration) (n int, err error) {
	for {
		all, err := s.names.IdleUploads(ctx, time.Now().Add(-olderThan), cleanPage)
		if err != nil {
			return n, broken(ctx, "expire uploads", hufu.Path{}, err)
		}
		before := n
		for _, u := range all {
			if s.held(u.ID) {
				continue
			}
			if err := s.discard(ctx, u.ID); err != nil {
				return n, broken(ctx, "expire uploads", hufu.Path{}, err)
			}
			n++
		}
		if n == before {
			return n, nil
		}
	}
}

// Clean deletes what has no name any more: the entries of removed folders, contents that were
// staged and forgotten, and the objects of contents that have been dead for the time grace. Their
// keys are deleted once more a day later, because a store may carry out a request late. It returns
// how many objects it has deleted. Only one process should do it at a time; several do no harm.
//
// Grace must be longer than the age of the oldest backup of the database that one may restore.
func (s *Trees) Clean(ctx context.Context, grace time.Duration) (objects int, err error) {
	now := time.Now()
	for _, step := range []func() error{
		func() error { return s.cleanFolders(ctx) },
		func() error { return s.cleanStaged(ctx, now.Add(-max(grace, stagedFor))) },
		func() error { return s.cleanContents(ctx, meta.StateDead, now.Add(-grace), &objects) },
		func() error { return s.cleanContents(ctx, meta.StateRemoved, now.Add(-latePut), &objects) },
		func() error { return s.names.ForgetStamps(ctx, now.Add(-stampFor)) },
	} {
		if err := step(); err != nil {
			return objects, broken(ctx, "clean up", hufu.Path{}, err)
		}
	}
	return objects, nil
}

// cleanFolders removes what is in removed folders.
func (s *Trees) cleanFolders(ctx context.Context) error {
	for {
		gone, err := s.names.GoneFolders(ctx, cleanPage)
		if err != nil || len(gone) == 0 {
			return err //nolint:wrapcheck // Clean does
		}
		for _, id := range gone {
			for more := true; more; {
				if more, err = s.cleanFolder(ctx, id); err != nil {
					return err
				}
			}
		}
	}
}

// cleanFolder removes some entries of a removed folder, and the folder with the last of them.
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
		uploads, err := q.UploadsInto(ctx, id)
		for _, u := range uploads {
			if err == nil {
				_, err = q.DropUpload(ctx, u.ID)
			}
			if err == nil {
				_, err = q.Abandon(ctx, u.ID)
			}
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

// cleanStaged gives up contents that have been open since before and belong to no upload.
func (s *Trees) cleanStaged(ctx context.Context, before time.Time) error {
	for {
		ids, err := s.names.Staged(ctx, before, cleanPage)
		if err != nil || len(ids) == 0 {
			return err //nolint:wrapcheck // Clean does
		}
		for _, id := range ids {
			if _, err := s.names.Abandon(ctx, id); err != nil {
				return err //nolint:wrapcheck // Clean does
			}
		}
	}
}

// cleanContents deletes the objects of contents that have been in a state since before, and takes
// them to the next.
func (s *Trees) cleanContents(ctx context.Context, state int, before time.Time, objects *int) error {
	for {
		all, err := s.names.Contents(ctx, state, before, cleanPage)
		if err != nil || len(all) == 0 {
			return err //nolint:wrapcheck // Clean does
		}
		for _, c := range all {
			if c.Layout != meta.LayoutInline {
				if err := s.cleanObjects(ctx, c.ID, objects); err != nil {
					return err
				}
			}
			if state == meta.StateDead && c.Layout != meta.LayoutInline {
				err = s.names.Remove(ctx, c.ID)
			} else {
				err = s.names.ForgetContent(ctx, c.ID)
			}
			if err != nil {
				return err //nolint:wrapcheck // Clean does
			}
		}
	}
}

// cleanObjects deletes all objects of a content, those of units without a row as well.
func (s *Trees) cleanObjects(ctx context.Context, id meta.ID, objects *int) error {
	var keys []string
	err := s.bucket.Keys(ctx, s.key(id, ""), func(key string, _ int64) error {
		keys = append(keys, key)
		return nil
	})
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := s.bucket.Delete(ctx, key); err != nil {
			return err
		}
		*objects++
	}
	return nil
}
