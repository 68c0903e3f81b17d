package disk

// WithoutOpenat2 makes the store resolve paths as on a system without openat2.
func (s *Store) WithoutOpenat2() { s.k.noOpenat2.Store(true) }

// WithoutTmpfile makes it stage under reserved names.
func (s *Store) WithoutTmpfile() { s.k.noTmpfile.Store(true) }

// WithFsync makes it use fsync where it would use syncfs.
func (s *Store) WithFsync() { s.has.syncfs = false }

// WithDescriptors allows it so many staged files without a name.
func (s *Store) WithDescriptors(n int64) { s.o.Descriptors = NewDescriptors(n) }

// DescriptorsLeft is how many more it may have.
func (s *Store) DescriptorsLeft() int64 { return s.o.Descriptors.left.Load() }

// Staged is how many reserved names batches use.
func (s *Store) Staged() int { return len(s.staged.names) }

// WithSyncfs makes it use syncfs wherever it can.
func (s *Store) WithSyncfs() { s.has.syncfs, s.has.memory = true, true }

// ErrSync is in every error of making something durable.
var ErrSync = errSync

// Locked says how the folder that holds the name is locked: "shared", "alone"
// or "".
func (c Change) Locked() string {
	lock, err := c.s.lockOf(c.d)
	switch {
	case err != nil:
		return err.Error()
	case lock.TryLock():
		lock.Unlock()
		return ""
	case lock.TryRLock():
		lock.RUnlock()
		return "shared"
	}
	return "alone"
}
