// Package disk keeps files in a plain tree on a disk: the server's served trees
// and a user's own folders.
//
// It promises that a name never shows a part of a file; that what Finish has acknowledged
// survives a power cut; that a condition on the target is judged at the moment of the commit;
// that no symbolic link below the root is ever followed, not even one created during the call;
// and that FIFOs, sockets and devices are never read. Such an entry is opened, without being
// read, only if it has taken the place of a file between the check and the open. On Linux a path
// is resolved by openat2; on macOS, and where openat2 is missing, segment by segment without
// following links. On other systems each segment is checked and then opened through os.Root; a
// local user could win that race.
//
// Rights and the choice of the tree are the caller's business.
package disk

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/disk/sys"
)

// Options describe the tree.
type Options struct {
	// Server marks a served tree: files are 0600 and folders 0700 on disk, and
	// the client's mode, the digest and the name of the uploader are stored in
	// the extended attribute user.hufu. Without it modes are set on the files
	// themselves, never setuid, setgid or sticky, and no attribute is written.
	Server bool
	// Uploads is the folder for the journals of unfinished uploads, and for trails. It is created
	// when it is first used. If it is "", there are no uploads.
	Uploads string
	// Descriptors bounds the staged files that are open; nil means a bound for
	// this store alone. Stores of one process should share one.
	Descriptors *Descriptors
	// Room bounds the memory of unfinished uploads; nil means no bound. Stores
	// of one process should share one.
	Room *blob.Room
	// Names bounds the memory of listings; nil means a bound for this store alone.
	// Stores of one process should share one.
	Names *KeptNames
	// With Settled, the first store that is opened on a file system syncs that file system.
	// Stores of one process should share one; nil syncs none.
	Settled *Settled
	// Boot identifies the boot for which page caches are trusted; "" asks the
	// system.
	Boot string
	Log  *slog.Logger
	// Hook is called at named steps; an error that it returns ends the operation as a fault at
	// that step would. It is for tests and normally nil.
	Hook func(step string) error
}

// Store is one tree of files. Its methods may be called from several
// goroutines.
type Store struct {
	root     sys.Dir // kept open: syncfs reports errors since it was opened
	rootPath string
	dev      uint64
	// unsettled is the reason why entries from before the start may not be
	// durable.
	unsettled error
	o         Options
	log       *slog.Logger
	k         sys.Kernel
	has       sys.Traits
	codec     *codec
	sync      *syncer
	ownWrites ownWrites
	reg       registry
	staged    stagedNames
	replaced  replacedFiles
	locks     folderLocks
	records   recordLocks
	fresh     freshFolders
	chunks    sync.Pool // *[]byte of hufu.ChunkSize
	dirents   sync.Pool // *scratch
}

// scratch holds the buffers of a listing.
type scratch struct {
	dirents []byte
	record  []byte
}

// Open opens the tree at root, which must be a folder. The folder of uploads is read when it is first
// used.
func Open(root string, o Options) (*Store, error) {
	abs, err := filepath.Abs(root)
	if err != nil {
		return nil, &hufu.Error{Op: "open store", Path: root, Kind: hufu.KindInvalid, Err: err}
	}
	codec, err := newCodec()
	if err != nil {
		return nil, &hufu.Error{Op: "open store", Path: root, Kind: hufu.KindInternal, Err: err}
	}
	d, err := sys.OpenRoot(abs)
	if err != nil {
		kind, code := meaning(err, reading)
		return nil, &hufu.Error{Op: "open store", Path: root, Kind: kind, Code: code, Args: map[string]string{"cause": cause(err)}, Err: err}
	}
	n, err := d.Self()
	if err != nil {
		d.Close()
		return nil, &hufu.Error{Op: "open store", Path: root, Kind: hufu.KindUnreadable, Err: err}
	}
	s := &Store{root: d, rootPath: abs, dev: n.Dev, o: o, log: o.Log, has: sys.TraitsOf(d), codec: codec}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.o.Descriptors == nil {
		s.o.Descriptors = NewDescriptors(0)
	}
	if s.o.Names == nil {
		s.o.Names = NewKeptNames(mostNames + mostNames/2)
	}
	s.locks.init()
	s.sync, s.fresh.dev = newSyncer(s), s.dev
	s.unsettled = o.Settled.syncOnce(s)
	s.chunks.New = func() any { return new(make([]byte, hufu.ChunkSize)) }
	s.dirents.New = func() any { return &scratch{dirents: make([]byte, 64<<10), record: make([]byte, maxRecord)} }
	return s, nil
}

// Close releases the root. Files, uploads, batches and openers must be closed
// before.
func (s *Store) Close() error {
	s.reg.mu.Lock()
	defer s.reg.mu.Unlock()
	if s.reg.loaded {
		for _, p := range s.reg.byID { // another Open of the tree counts them again
			s.o.Room.Give(p.key.User(), p.charge)
			p.charge = 0
		}
		s.reg.byID = nil
		s.reg.dir.Close()
		s.reg.loaded = false
	}
	s.root.Close()
	s.root = sys.NoDir
	return nil
}

// Space returns the number of bytes that can still be written, and the total.
func (s *Store) Space(ctx context.Context) (free, total int64, err error) {
	if err := canceled(ctx, "ask for free space", hufu.Path{}); err != nil {
		return 0, 0, err
	}
	free, total, err = s.root.FreeSpace()
	return free, total, fail("ask for free space", hufu.Path{}, reading, err)
}

func (s *Store) hook(step string) error {
	if s.o.Hook == nil {
		return nil
	}
	return s.o.Hook(step)
}

// check refuses names that are reserved for hufu, or impossible on this system.
func check(op string, p hufu.Path) error { return sys.Here.Check(op, p) }

// checkTarget also refuses the root, which cannot be replaced.
func checkTarget(op string, p hufu.Path) error {
	if p.IsRoot() {
		return &hufu.Error{Op: op, Path: p.Virtual(), Kind: hufu.KindInvalidPath, Code: "root_folder"}
	}
	return check(op, p)
}

// openParent opens the folder that contains p. If that is the root it returns the
// store's own handle, which release does not close.
func (s *Store) openParent(p hufu.Path) (sys.Dir, error) {
	up := p.Parent()
	if up.IsRoot() {
		return s.root, nil
	}
	return s.k.OpenDir(s.root, up.String(), sys.PassFlags)
}

func (s *Store) release(d sys.Dir) {
	if d != s.root {
		d.Close()
	}
}

// folderMode returns the mode of a new folder. A folder in a user's own tree
// gives its owner all rights until its final mode is set at the end.
func (s *Store) folderMode(mode uint32) uint32 {
	switch {
	case s.o.Server:
		return 0o700
	case mode == 0:
		return 0o755
	}
	return mode&0o777 | 0o700
}

func (s *Store) fileMode(mode uint32) uint32 {
	if s.o.Server {
		return 0o600
	}
	return mode & 0o777
}

// waitForTick waits until 12 ms have passed since the last change of the file, on file systems
// where two writes within one tick of the kernel's clock leave the same times. After that every
// write changes the version, unless the file system has coarser times: FAT has 2 s, for one. It
// reports whether it waited; then the caller must call Stat again.
func (s *Store) waitForTick(n *sys.Node) bool {
	if s.has.FineTime {
		return false
	}
	const tick = 12 * time.Millisecond
	age := time.Since(n.Ctime.Time())
	if age < 0 || age >= tick {
		return false
	}
	time.Sleep(tick - age)
	return true
}

// ownWrites maps an old version to the version after our own attribute write. The bytes are the
// same; only the inode's time changed. A forgotten version counts as changed, which is safe.
type ownWrites struct {
	mu   sync.Mutex
	next map[sys.Version]sys.Version
	ring [256]sys.Version
	at   int
}

func (m *ownWrites) note(from, to sys.Version) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.next == nil {
		m.next = make(map[sys.Version]sys.Version)
	}
	delete(m.next, m.ring[m.at])
	m.ring[m.at] = from
	m.at = (m.at + 1) % len(m.ring)
	m.next[from] = to
}

// same reports whether now is old, or a version that we ourselves made of it.
func (m *ownWrites) same(old, now sys.Version) bool {
	if old == now {
		return true
	}
	if !old.SameBytes(now) {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for range 16 {
		next, ok := m.next[old]
		if !ok {
			return false
		}
		if old = next; old == now {
			return true
		}
	}
	return false
}

// canceled returns the error of an ended context, or nil.
func canceled(ctx context.Context, op string, p hufu.Path) error {
	if ctx.Err() == nil {
		return nil
	}
	return &hufu.Error{Op: op, Path: p.String(), Kind: hufu.KindCanceled, Err: context.Cause(ctx)}
}
