package disk

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
	"sync"

	"hufu"
	"hufu/internal/blob"
)

// The memory for names of folders that are being listed, in bytes.
const (
	// leastNames is enough for a page: names of blob.PageBytes, as many again while the smallest
	// are looked for, and their indexes.
	leastNames = 3 << 20
	// mostNames is what one listing may take while there is room.
	mostNames = 6 << 20
	// ListingRoom is what is kept between the pages of all listings of a server.
	ListingRoom = 16 << 20
	// pageRoom is what the pages that are being sent may take together. When it is used up, each
	// further page takes at most leastPage.
	pageRoom  = 16 << 20
	leastPage = 16 << 10
	// mostReads is how many listings may read names at the same time, and largeReads how many of
	// them with mostNames.
	mostReads  = 16
	largeReads = 2
)

// nameList is a list of names in little memory.
type nameList struct {
	text []byte   // each name after its length
	at   []uint32 // where in text each begins
}

// lengthBytes is what a length takes in text. One byte would do for the names of
// hufu, but exFAT, NTFS and HFS+ have names of 255 UTF-16 units: 765 bytes.
const lengthBytes = 2

func (l *nameList) len() int { return len(l.at) }

func (l *nameList) bytesAt(at uint32) []byte {
	return l.text[at+lengthBytes : at+l.sizeAt(at)]
}

// sizeAt returns how many bytes the name at takes in text, with its length.
func (l *nameList) sizeAt(at uint32) uint32 {
	return lengthBytes + uint32(binary.LittleEndian.Uint16(l.text[at:]))
}

// first returns the first name.
func (l *nameList) first() string { return string(l.bytesAt(l.at[0])) }

// drop removes the first name.
func (l *nameList) drop() { l.at = l.at[1:] }

// copyOf returns a copy of the first n names in as little memory as possible.
func (l *nameList) copyOf(n, text int) nameList {
	c := nameList{text: make([]byte, 0, text), at: make([]uint32, 0, n)}
	for _, at := range l.at[:n] {
		c.at = append(c.at, uint32(len(c.text)))
		c.text = append(c.text, l.text[at:at+l.sizeAt(at)]...)
	}
	return c
}

func (l *nameList) add(name string) {
	l.at = append(l.at, uint32(len(l.text)))
	l.text = binary.LittleEndian.AppendUint16(l.text, uint16(len(name)))
	l.text = append(l.text, name...)
}

func (l *nameList) sort() {
	slices.SortFunc(l.at, func(a, b uint32) int { return bytes.Compare(l.bytesAt(a), l.bytesAt(b)) })
}

// size returns about how many bytes the list takes.
func (l *nameList) size() int { return cap(l.text) + 4*cap(l.at) }

// smallestNames finds the smallest of many names, as many as its room holds.
type smallestNames struct {
	names   nameList
	room    int    // in bytes
	bounded bool   // names that follow last are left out
	last    string // the largest name that is kept, if bounded
}

func (h *smallestNames) add(name string) {
	if h.bounded && name > h.last {
		return
	}
	if len(h.names.text)+len(name)+4*h.names.len() > h.room {
		h.halve()
		if name > h.last {
			return
		}
	}
	h.names.add(name)
}

// halve leaves out the larger half, in place.
func (h *smallestNames) halve() {
	l := &h.names
	l.sort()
	l.at = l.at[:(l.len()+1)/2]
	h.bounded, h.last = true, string(l.bytesAt(l.at[l.len()-1]))
	slices.Sort(l.at)
	end := uint32(0)
	for i, at := range l.at {
		n := copy(l.text[end:], l.text[at:at+l.sizeAt(at)])
		l.at[i] = end
		end += uint32(n)
	}
	l.text = l.text[:end]
}

func (h *smallestNames) sorted() nameList {
	h.names.sort()
	return h.names
}

// KeptNames bounds the memory for the names of all listings in the stores that share it: those that
// are being read, those of pages that are being sent, and those that Listers keep between pages. The
// Lister that was used longest ago loses its names first: it then reads its folder again.
type KeptNames struct {
	reads chan struct{} // holds one for each listing that reads names

	mu      sync.Mutex // guards the fields below, and rest of the Listers
	room    int        // for what is kept, in bytes
	used    int
	listers []*lister // those that keep names, longest unused first
	large   int       // listings that read with mostNames
	sent    int       // bytes of pages that are being sent
}

// NewKeptNames returns a bound of this many bytes for what is kept between pages.
func NewKeptNames(bytes int) *KeptNames {
	return &KeptNames{room: bytes, reads: make(chan struct{}, mostReads)}
}

// reading waits until a listing may read names and returns how many bytes of them. done must follow.
func (k *KeptNames) reading(ctx context.Context) (room int, done func(), err error) {
	select {
	case k.reads <- struct{}{}:
	case <-ctx.Done():
		return 0, nil, canceled(ctx, "list", hufu.Path{})
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	room = mostNames
	if k.large == largeReads {
		room = leastNames
	} else {
		k.large++
	}
	return room, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if room == mostNames {
			k.large--
		}
		<-k.reads
	}, nil
}

// page returns a copy of the first names of l for a page of at most limit entries. It counts their
// memory until sent is called. With little memory left the page is shorter.
func (k *KeptNames) page(l *nameList, limit int) (page nameList, sent func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	most := max(pageRoom-k.sent, leastPage)
	n, text := 0, 0
	for _, at := range l.at {
		size := int(l.sizeAt(at))
		if n == limit || n > 0 && (text+size-(n+1)*lengthBytes > blob.PageBytes || text+size+4*(n+1) > most) {
			break
		}
		n, text = n+1, text+size
	}
	page = l.copyOf(n, text)
	size := page.size()
	k.sent += size
	return page, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.sent -= size
	}
}

// keep keeps the rest for the next page, if there is room.
func (l *lister) keep(r rest) {
	k, n := l.s.o.Names, r.names.size()
	k.mu.Lock()
	defer k.mu.Unlock()
	if n > k.room {
		return
	}
	for k.used+n > k.room {
		k.forget(k.listers[0])
	}
	k.used += n
	k.listers = append(k.listers, l)
	l.rest, l.kept = r, k
}

// take returns the rest that was kept, empty if it was not.
func (l *lister) take() rest {
	k := l.s.o.Names
	k.mu.Lock()
	defer k.mu.Unlock()
	r := l.rest
	if l.kept != nil {
		k.forget(l)
	}
	return r
}

// forget takes the names from a Lister that keeps some. The caller holds mu.
func (k *KeptNames) forget(l *lister) {
	k.used -= l.rest.names.size()
	k.listers = slices.DeleteFunc(k.listers, func(x *lister) bool { return x == l })
	l.rest, l.kept = rest{}, nil
}
