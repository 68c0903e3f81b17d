package disk

import (
	"time"

	"hufu"
	"hufu/internal/blob"
)

// WithoutOpenat2 makes the store resolve paths as on a system without openat2.
func (s *Store) WithoutOpenat2() { s.k.NoOpenat2.Store(true) }

// WithoutTmpfile makes it stage under reserved names.
func (s *Store) WithoutTmpfile() { s.k.NoTmpfile.Store(true) }

// WithFsync makes it use fsync where it would use syncfs.
func (s *Store) WithFsync() { s.has.Syncfs = false }

// WithDescriptors allows it so many staged files without a name.
func (s *Store) WithDescriptors(n int64) { s.o.Descriptors = NewDescriptors(n) }

// DescriptorsLeft is how many more it may have.
func (s *Store) DescriptorsLeft() int64 { return s.o.Descriptors.left.Load() }

// Staged is how many reserved names batches use.
func (s *Store) Staged() int { return len(s.staged.names) }

// WithSyncfs makes it use syncfs wherever it can.
func (s *Store) WithSyncfs() { s.has.Syncfs, s.has.Memory = true, true }

// ErrSync is in every error of making something durable.
var ErrSync = errSync

// Replaced is how many files it keeps that were replaced.
func (s *Store) Replaced() int { return len(s.replaced.of) }

// WithPreallocate makes it reserve space ahead of the chunks.
func (s *Store) WithPreallocate() { s.has.Preallocate = true }

// ReservedChunks is how many chunks of u have space and no bytes.
func ReservedChunks(u blob.Upload) int64 { return u.(*upload).p.reserve.chunks }

// MaxFolders is how many folders a batch holds open.
const MaxFolders = maxFolders

// WithNewNumbers makes it expect another number for a file after each mount.
func (s *Store) WithNewNumbers() { s.has.Renumbers = true }

// Fresh is how many folders it remembers as not durable.
func (s *Store) Fresh() int { return len(s.fresh.of) }

// RecordLocked says whether somebody is about to write the record of p again.
func (s *Store) RecordLocked(p hufu.Path) bool {
	d, err := s.openParent(p)
	if err != nil {
		return false
	}
	defer s.release(d)
	n, err := d.Stat(p.Base())
	if err != nil {
		return false
	}
	lock := s.records.of(&n)
	if lock.TryLock() {
		lock.Unlock()
		return false
	}
	return true
}

// Locked says how the folder that holds the name is locked: "shared", "alone"
// or "".
func Locked(c blob.Change) string {
	o := c.Owners.(*owners)
	lock, err := o.s.lockOf(o.d)
	switch {
	case err != nil:
		return err.Error()
	case lock.TryAcquire(alone):
		lock.Release(alone)
		return ""
	case lock.TryAcquire(1):
		lock.Release(1)
		return "shared"
	}
	return "alone"
}

// WithSyncfsOnly makes it sync each file, and open it again for that if it was closed.
func (s *Store) WithSyncfsOnly() {
	s.has.Syncfs, s.has.Memory = true, false
	s.sync.whole = time.Hour
}
