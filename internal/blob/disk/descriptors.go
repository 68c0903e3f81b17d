package disk

import (
	"sync/atomic"

	"hufu/internal/blob/disk/sys"
)

// Descriptors bounds the number of staged files that are open at a time, in all stores that share
// it. Files beyond the bound are staged under reserved names, which a crash leaves behind, and
// are closed after they were written.
type Descriptors struct{ left atomic.Int64 }

// mostDescriptors is a bound that no useful load reaches.
const mostDescriptors = 1 << 16

// NewDescriptors allows n of them; 0 is half of what this process may open.
func NewDescriptors(n int64) *Descriptors {
	if n == 0 {
		n = min(sys.OpenLimit()/2, mostDescriptors)
	}
	d := &Descriptors{}
	d.left.Store(n)
	return d
}

func (d *Descriptors) take() bool {
	if d.left.Add(-1) >= 0 {
		return true
	}
	d.left.Add(1)
	return false
}

func (d *Descriptors) give() { d.left.Add(1) }
