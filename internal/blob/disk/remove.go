package disk

import (
	"context"
	"errors"
	"syscall"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/disk/sys"
)

// removeTree removes a folder with everything in it. It works by handles, so
// that a link created meanwhile is not followed.
func (s *Store) removeTree(ctx context.Context, d sys.Dir, lock folderLock, p hufu.Path, name string, g *blob.Guard, depth int) error {
	if depth > 2*hufu.MaxDepth {
		return tooDeep(p)
	}
	sub, err := d.OpenSub(name)
	if err != nil {
		return err
	}
	defer sub.Close()
	inside, err := s.lockOf(sub)
	if err != nil {
		return err
	}
	for more := true; more; {
		var names []string
		if names, more, err = s.someNames(ctx, sub, p, depth); err != nil {
			return err
		}
		gone := false
		for _, name := range names {
			q := under(p, name)
			folder, err := false, first(s.hook("removing"), canceled(ctx, "remove", p))
			if err == nil {
				folder, err = s.removeName(ctx, sub, inside, q, name, "", g)
			}
			if folder {
				err = s.removeTree(ctx, sub, inside, q, name, g, depth+1)
			}
			if err != nil && !errors.Is(err, syscall.ENOENT) {
				return err
			}
			gone = gone || err == nil
		}
		// A broken file system lists names that it then does not find, and would do so
		// for ever.
		if !gone && more {
			break
		}
	}
	if err := canceled(ctx, "remove", p); err != nil {
		return err
	}
	return s.removeFolder(ctx, d, lock, p, name, g, func() error { return d.Rmdir(name) })
}

// manyNames is how many names of a folder are removed before it is read again, which finds the
// rest. At each level below, half as many are held in memory, but at least leastBatch: all levels
// hold their names at the same time, and a removal goes down 2*hufu.MaxDepth levels.
const (
	manyNames  = 1 << 16
	leastBatch = 1 << 9
)

// someNames returns names of a folder that is depth levels below the first, and
// whether there may be more. A folder is read from its beginning.
func (s *Store) someNames(ctx context.Context, d sys.Dir, p hufu.Path, depth int) (names []string, more bool, err error) {
	most := max(manyNames>>depth, leastBatch)
	again, err := s.k.OpenDir(d, "", sys.ReadFlags)
	if err != nil {
		return nil, false, err
	}
	defer again.Close()
	err = s.eachName(again, func(name string) error {
		if len(names) == most {
			more = true
			return errEnough
		}
		names = append(names, name)
		return canceled(ctx, "remove", p)
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return names, more, err
}

var errEnough = errors.New("enough names")

func (s *Store) eachName(d sys.Dir, yield func(string) error) error {
	sc := s.dirents.Get().(*scratch)
	defer s.dirents.Put(sc)
	return d.Names(sc.dirents, yield)
}
