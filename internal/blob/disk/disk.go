// Package disk keeps files in a plain tree on a disk: the server's served
// trees and a person's own folders.
//
// It promises that a name never shows a part of a file; that what Commit has
// acknowledged survives a power cut; that a condition on the target holds at
// the very moment of the commit; that no symbolic link below the root is ever
// followed, also not one planted while it works; and that FIFOs, sockets and
// devices are never opened. On Linux a path is resolved by openat2, elsewhere
// segment by segment without following; on systems that are neither Linux nor
// macOS it rests on os.Root and a look at each segment before, so that
// somebody with a shell on the same machine could win a race there.
//
// Who may do what, and whose tree it is, is decided by others.
package disk

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"hufu"
)

// Options say whose tree it is.
type Options struct {
	// Server marks a served tree: files are 0600 and folders 0700 on disk,
	// and the client's mode, the digest and who put a file there travel in the
	// extended attribute user.hufu. Without it modes go onto the files
	// themselves, never setuid, setgid or sticky, and no attribute is written.
	Server bool
	// Uploads is the folder of the journals of unfinished uploads. It is made
	// when the first one starts; without it there are no uploads.
	Uploads string
	// Descriptors bounds the staged files that are open; nil is a bound of this
	// store's own. Stores of one process should share one.
	Descriptors *Descriptors
	// Room bounds what unfinished uploads take of memory; nil is no bound. Stores
	// of one process should share one.
	Room *Room
	// Settled has each file system synced by the first store on it. Stores of one
	// process should share one; nil syncs none.
	Settled *Settled
	// Boot names the run of the machine in which page caches are trusted; ""
	// asks the system.
	Boot string
	Log  *slog.Logger
	// Hook is called at named steps; an error ends what was going on, as a
	// fault there would. For tests; nil normally.
	Hook func(step string) error
}

// Store is one tree of files. Its methods may be called from several
// goroutines.
type Store struct {
	root     dirHandle // kept open: syncfs reports errors since it was opened
	rootPath string
	dev      uint64
	// unsettled is why what stood here before the start may not be durable.
	unsettled error
	o         Options
	log       *slog.Logger
	k         kernel
	has       traits
	codec     *codec
	sync      *syncer
	moved     moves
	reg       registry
	staged    stagedNames
	replaced  replacedFiles
	locks     folderLocks
	records   recordLocks
	fresh     freshFolders
	chunks    sync.Pool // *[]byte of hufu.ChunkSize
	dirents   sync.Pool // *scratch
}

// traits are what a kind of file system can be trusted with.
type traits struct {
	syncfs      bool // syncfs is complete and reports errors
	fineTime    bool // two writes never leave the same times
	preallocate bool // reserving space keeps a file in one piece
	memory      bool // nothing to write back
}

// scratch is what listing needs besides the entries themselves.
type scratch struct {
	dirents []byte
	record  []byte
}

// Open opens the tree at root, which must be a folder. Uploads are looked for
// when the first one is asked for.
func Open(root string, o Options) (*Store, error) {
	abs, err := filepath.Abs(root)
	if err != nil {
		return nil, &hufu.Error{Op: "open store", Path: root, Kind: hufu.KindInvalid, Err: err}
	}
	codec, err := newCodec()
	if err != nil {
		return nil, &hufu.Error{Op: "open store", Path: root, Kind: hufu.KindInternal, Err: err}
	}
	d, err := openRoot(abs)
	if err != nil {
		kind, code := meaning(err, reading)
		return nil, &hufu.Error{Op: "open store", Path: root, Kind: kind, Code: code, Args: map[string]string{"cause": cause(err)}, Err: err}
	}
	n, err := d.self()
	if err != nil {
		d.close()
		return nil, &hufu.Error{Op: "open store", Path: root, Kind: hufu.KindUnreadable, Err: err}
	}
	s := &Store{root: d, rootPath: abs, dev: n.dev, o: o, log: o.Log, has: traitsOf(d), codec: codec}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.o.Descriptors == nil {
		s.o.Descriptors = NewDescriptors(0)
	}
	s.sync, s.fresh.dev = newSyncer(s), s.dev
	s.unsettled = o.Settled.settle(s)
	s.chunks.New = func() any { return new(make([]byte, hufu.ChunkSize)) }
	s.dirents.New = func() any { return &scratch{dirents: make([]byte, 64<<10), record: make([]byte, maxRecord)} }
	return s, nil
}

// Close gives the root back. Files, uploads, batches and openers must be closed
// before.
func (s *Store) Close() error {
	s.reg.mu.Lock()
	defer s.reg.mu.Unlock()
	if s.reg.loaded {
		for _, p := range s.reg.byID { // whoever opens the tree again counts them anew
			s.o.Room.give(userOf(&p.key), p.charge)
			p.charge = 0
		}
		s.reg.byID = nil
		s.reg.dir.close()
		s.reg.loaded = false
	}
	s.root.close()
	s.root = noDir
	return nil
}

// Root is the path at which the tree was opened.
func (s *Store) Root() string { return s.rootPath }

// Space returns how many bytes can still be written, and of how many.
func (s *Store) Space(ctx context.Context) (free, total int64, err error) {
	if err := canceled(ctx, "ask for free space", hufu.Path{}); err != nil {
		return 0, 0, err
	}
	free, total, err = s.root.freeSpace()
	return free, total, fail("ask for free space", hufu.Path{}, reading, err)
}

func (s *Store) hook(step string) error {
	if s.o.Hook == nil {
		return nil
	}
	return s.o.Hook(step)
}

// check refuses names that are hufu's own, or impossible here.
func check(op string, p hufu.Path) error { return here.check(op, p) }

// checkTarget refuses the root as well, which is nobody's to replace.
func checkTarget(op string, p hufu.Path) error {
	if p.IsRoot() {
		return &hufu.Error{Op: op, Path: p.Virtual(), Kind: hufu.KindInvalidPath, Code: "root_folder"}
	}
	return check(op, p)
}

// parent opens the folder in which p stands. For p in the root it lends the
// root itself; release knows.
func (s *Store) parent(p hufu.Path) (dirHandle, error) {
	up := p.Parent()
	if up.IsRoot() {
		return s.root, nil
	}
	return s.k.openDir(s.root, up.String(), passFlags)
}

func (s *Store) release(d dirHandle) {
	if d != s.root {
		d.close()
	}
}

// folderMode is the mode that a new folder gets. A person's folder gives its
// owner all rights until its final mode is set at the end.
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

// settle waits, where two writes within one tick of the clock would leave the
// same times, until the tick in which the file was last touched is over. After
// that no writing goes unnoticed.
func (s *Store) settle(n *node) bool {
	if s.has.fineTime {
		return false
	}
	const tick = 12 * time.Millisecond
	age := time.Since(n.ctime.time())
	if age < 0 || age >= tick {
		return false
	}
	time.Sleep(tick - age)
	return true
}

// moves remembers which version our own writing of an extended attribute made
// of another: the bytes are the same, only the inode's time moved. What falls
// out of its bound is met as a change, which is safe.
type moves struct {
	mu   sync.Mutex
	next map[version]version
	ring [256]version
	at   int
}

func (m *moves) note(from, to version) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.next == nil {
		m.next = make(map[version]version)
	}
	delete(m.next, m.ring[m.at])
	m.ring[m.at] = from
	m.at = (m.at + 1) % len(m.ring)
	m.next[from] = to
}

// same says whether now is old, or what we ourselves made of it.
func (m *moves) same(old, now version) bool {
	if old == now {
		return true
	}
	if !old.sameBytes(now) {
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

// canceled is the error of an ended context, nil while it goes on.
func canceled(ctx context.Context, op string, p hufu.Path) error {
	if ctx.Err() == nil {
		return nil
	}
	return &hufu.Error{Op: op, Path: p.String(), Kind: hufu.KindCanceled, Err: context.Cause(ctx)}
}
