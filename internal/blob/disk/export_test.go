package disk

// WithoutOpenat2 makes the store resolve paths as on a system without openat2.
func (s *Store) WithoutOpenat2() { s.k.noOpenat2.Store(true) }

// WithoutTmpfile makes it stage under reserved names.
func (s *Store) WithoutTmpfile() { s.k.noTmpfile.Store(true) }

// WithFsync makes it use fsync where it would use syncfs.
func (s *Store) WithFsync() { s.has.syncfs = false }

// Batches hold at most so many descriptors.
const MaxOpen = maxOpen
