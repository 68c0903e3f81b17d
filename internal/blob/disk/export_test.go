package disk

import "time"

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

// OpenedLater makes the store believe that it was opened at another time.
func (s *Store) OpenedLater(d time.Duration) { s.opened = s.opened.Add(d) }
