package sys

import (
	"strconv"
	"strings"
	"time"

	"hufu"
)

// Stamp is a time as file systems keep it; unlike nanoseconds in an int64 it
// holds every year that they can.
type Stamp struct {
	Sec  int64
	Nsec int32
}

// ToStamp returns t as a Stamp.
func ToStamp(t time.Time) Stamp { return Stamp{t.Unix(), int32(t.Nanosecond())} }

// Time returns t as a time.Time.
func (t Stamp) Time() time.Time { return time.Unix(t.Sec, int64(t.Nsec)) }

// Version identifies the exact bytes of a file: it changes when the file is
// replaced or written. On Windows Dev and Ino are 0, and Ctime is the time of
// creation.
type Version struct {
	Dev, Ino     uint64
	Size         int64
	Mtime, Ctime Stamp
}

// Node holds the system's information about a name.
type Node struct {
	Version
	Kind  hufu.EntryKind
	Perm  uint32
	Links uint64
}

// String returns v as seven numbers; callers treat it as opaque.
func (v Version) String() string {
	var buf [112]byte
	return string(v.append(buf[:0]))
}

// Is reports whether s is the string of v.
func (v Version) Is(s string) bool {
	var buf [112]byte
	return string(v.append(buf[:0])) == s
}

func (v Version) append(b []byte) []byte {
	b = strconv.AppendUint(b, v.Dev, 16)
	b = strconv.AppendUint(append(b, '.'), v.Ino, 16)
	for _, n := range [...]int64{v.Size, v.Mtime.Sec, int64(v.Mtime.Nsec), v.Ctime.Sec, int64(v.Ctime.Nsec)} {
		b = strconv.AppendInt(append(b, '.'), n, 16)
	}
	return b
}

// ParseVersion reads what Version.String returns.
func ParseVersion(s string) (v Version, ok bool) {
	parts := strings.Split(s, ".")
	if len(parts) != 7 {
		return Version{}, false
	}
	var err1, err2 error
	v.Dev, err1 = strconv.ParseUint(parts[0], 16, 64)
	v.Ino, err2 = strconv.ParseUint(parts[1], 16, 64)
	if err1 != nil || err2 != nil {
		return Version{}, false
	}
	var n [5]int64
	for i := range n {
		var err error
		if n[i], err = strconv.ParseInt(parts[2+i], 16, 64); err != nil {
			return Version{}, false
		}
	}
	v.Size, v.Mtime, v.Ctime = n[0], Stamp{n[1], int32(n[2])}, Stamp{n[3], int32(n[4])}
	return v, v.Is(s)
}

// SameBytes reports whether the versions are equal except for the time of the
// inode's last change, which a rename changes.
func (v Version) SameBytes(o Version) bool {
	v.Ctime, o.Ctime = Stamp{}, Stamp{}
	return v == o
}

// SameFile reports whether two nodes are the same file, in any version. On Windows it
// always returns true.
func (n *Node) SameFile(o *Node) bool { return n.Ino == o.Ino && n.Dev == o.Dev }

// Entry returns the hufu.Entry of a node.
func (n *Node) Entry(name string) hufu.Entry {
	e := hufu.Entry{Name: name, Kind: n.Kind, MTime: n.Mtime.Time(), Mode: n.Perm}
	if n.Kind == hufu.File {
		e.Size = n.Size
	}
	if n.Kind != hufu.Folder {
		e.Version = n.String()
	}
	return e
}

// Traits describe what a kind of file system guarantees.
type Traits struct {
	Syncfs      bool // syncfs is complete and reports errors
	FineTime    bool // two writes never leave the same times
	Preallocate bool // reserving space keeps a file in one piece
	Memory      bool // nothing to write back
	Renumbers   bool // a file has another number when the file system is mounted again
}

// xattrName is the extended attribute in which the server stores what a plain
// tree cannot hold.
const xattrName = "user.hufu"
