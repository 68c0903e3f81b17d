package digest

import "golang.org/x/sys/cpu"

// wide reports whether chunks16 and parents16 can be used.
func wide() bool { return cpu.X86.HasAVX512F }

// chunks16 makes the chaining values of the group's sixteen BLAKE3 chunks; the
// number of the first, a multiple of 16, is counter. It takes half of the time
// of the library's code, which gathers the words of a message one by one.
//
//go:noescape
func chunks16(cvs *[lanes][8]uint32, group *[groupSize]byte, counter uint64)

// parents16 makes the chaining values of the parents of sixteen pairs. Both may
// begin at the same place.
//
//go:noescape
func parents16(parents *[lanes][8]uint32, children *[2 * lanes][8]uint32)
