package server

import "sync"

// maxHandlesOfUser is how many descriptors all connections of a user together keep open from one request
// to the next. A connection that opens a file or an upload beyond that closes its others first.
const maxHandlesOfUser = 2048

// handles counts the descriptors of the files and uploads that the connections of each user keep open.
type handles struct {
	limit int

	mu sync.Mutex
	of map[string]int
}

// add adds n descriptors of a user, and reports whether that is more than the limit.
func (h *handles) add(user string, n int) (over bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.of[user] += n
	over = h.of[user] > h.limit
	if h.of[user] == 0 {
		delete(h.of, user)
	}
	return over
}

// count takes note of what the connection has open, and reports whether its user has too much.
func (c *conn) count() (over bool) {
	n := len(c.readers) + 2*len(c.uploads) // a disk keeps a journal beside the file of an upload
	over = c.s.handles.add(c.sub.User, n-c.handles)
	c.handles = n
	return over
}

// hasOpened is called when a file or an upload was opened, which is the first of its kind. If the user has too
// much open, the connection closes everything behind the first ones; it is opened again when it is needed.
func (c *conn) hasOpened() {
	if !c.count() {
		return
	}
	for len(c.readers) > 1 {
		c.closeLastFile()
	}
	for len(c.uploads) > 1 {
		c.closeLastUpload()
	}
	c.count()
}

func (c *conn) closeLastFile() {
	last := len(c.readers) - 1
	_ = c.readers[last].f.Close()
	c.readers = c.readers[:last]
}

func (c *conn) closeLastUpload() {
	last := len(c.uploads) - 1
	_ = c.uploads[last].Close()
	c.uploads = c.uploads[:last]
}
