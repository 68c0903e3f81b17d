package transfer

import (
	"sync"

	"hufu"
	"hufu/internal/digest"
)

// sums computes the digest of a file from the chaining values of its chunks, which
// come nearly in order. It keeps those that are out of order, or under way: a
// chunk that is read once more must be the same.
type sums struct {
	mu   sync.Mutex
	tree digest.Tree
	next int64 // the first that is not in tree
	kept map[int64]sum
}

type sum struct {
	cv     digest.CV
	placed bool // it is at its place
}

// read records a chunk that was read. first reports that it was never read before, same that its
// bytes equal those of an earlier read, which is true if first.
func (s *sums) read(index int64, cv digest.CV) (first, same bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, again := s.kept[index]; again {
		return false, old.cv == cv
	}
	if s.kept == nil {
		s.kept = map[int64]sum{}
	}
	s.kept[index] = sum{cv: cv}
	for k, ok := s.kept[s.next]; ok; k, ok = s.kept[s.next] {
		s.tree.Push(k.cv)
		if k.placed {
			delete(s.kept, s.next)
		}
		s.next++
	}
	return true, true
}

// placed says that a chunk is at its place and will not be read again.
func (s *sums) placed(index int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if index < s.next {
		delete(s.kept, index)
	} else if k, ok := s.kept[index]; ok {
		k.placed = true
		s.kept[index] = k
	}
}

// root is the digest, once all chunks were read.
func (s *sums) root() hufu.Digest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tree.Root()
}
