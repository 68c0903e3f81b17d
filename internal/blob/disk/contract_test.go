package disk_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/blobtest"
	"hufu/internal/blob/disk"
)

// TestContract holds the store to the promises of package blob: a server's tree
// and a person's, on a disk and in memory, by all ways of staging, resolving and
// making durable.
func TestContract(t *testing.T) {
	t.Parallel()
	contract(t, true, map[string]func(*disk.Store){
		"server":   func(*disk.Store) {},
		"person":   func(*disk.Store) {},
		"fsync":    (*disk.Store).WithFsync,
		"fallback": func(s *disk.Store) { s.WithoutOpenat2(); s.WithoutTmpfile() },
	})
}

// contract tests a store in each of the ways, on a disk and in memory. attributes says
// whether the file systems have extended attributes.
func contract(t *testing.T, attributes bool, ways map[string]func(*disk.Store)) {
	t.Helper()
	folders := map[string]func(t *testing.T) string{"disk": func(t *testing.T) string { return t.TempDir() }}
	if dir, err := os.MkdirTemp("/dev/shm", "hufu-test-"); err == nil { //nolint:usetesting // not where TempDir is
		must(t, os.Remove(dir))
		folders["memory"] = func(t *testing.T) string {
			dir, err := os.MkdirTemp("/dev/shm", "hufu-test-") //nolint:usetesting // not where TempDir is
			must(t, err)
			t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
			return dir
		}
	}
	for where, folder := range folders {
		for name, adjust := range ways {
			t.Run(where+"/"+name, func(t *testing.T) {
				t.Parallel()
				blobtest.Run(t, func(t *testing.T) blobtest.Store {
					return (&underTest{t: t, dir: folder(t), server: name != "person", attributes: attributes, adjust: adjust}).begin()
				})
			})
		}
	}
}

// underTest is a folder and the store that is open on it.
type underTest struct {
	t          *testing.T
	dir        string
	server     bool
	attributes bool
	adjust     func(*disk.Store)
	boot       int
	left       atomic.Int64 // steps of making durable until one fails
	s          *disk.Store
}

func (u *underTest) begin() blobtest.Store {
	must(u.t, os.Mkdir(filepath.Join(u.dir, "root"), 0o755))
	u.t.Cleanup(func() { u.s.Close() })
	return blobtest.Store{
		Tree: u.open(), Unit: hufu.ChunkSize, Records: u.server && u.attributes, Modes: !u.server || u.attributes, Times: runtime.GOOS == "linux", Links: runtime.GOOS != "windows", Names: runtime.GOOS == "linux",
		Another: func() blob.Tree {
			first := u.s
			another := u.open()
			second := u.s
			u.s = first
			u.t.Cleanup(func() { second.Close() })
			return another
		},
		Reopen: u.reopen,
		Reboot: func() blob.Tree {
			u.boot++
			return u.reopen()
		},
		FailSync: func(n int) { u.left.Store(int64(n)) },
		Lose:     u.lose,
	}
}

func (u *underTest) open() blob.Tree {
	var err error
	u.s, err = disk.Open(filepath.Join(u.dir, "root"), disk.Options{
		Server: u.server, Uploads: filepath.Join(u.dir, "uploads"), Boot: "boot " + strconv.Itoa(u.boot),
		Hook: func(step string) error {
			if strings.HasPrefix(step, "sync-") && u.left.Add(-1) == 0 {
				return errors.New("the disk has failed")
			}
			return nil
		},
	})
	must(u.t, err)
	u.adjust(u.s)
	return u.s
}

// reopen ends the store as a kill would, keeping the folder.
func (u *underTest) reopen() blob.Tree {
	must(u.t, u.s.Close())
	return u.open()
}

// lose leaves zeros where the bytes of an upload were.
func (u *underTest) lose(id string) {
	lost := 0
	must(u.t, filepath.WalkDir(u.dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != hufu.ReservedPrefix+id {
			return err
		}
		lost++
		i, err := d.Info()
		must(u.t, err)
		return errors.Join(os.Truncate(p, 0), os.Truncate(p, i.Size()))
	}))
	if lost != 1 {
		u.t.Errorf("%d files of upload %s", lost, id)
	}
}
