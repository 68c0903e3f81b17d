package main

import (
	"os"
	"runtime"
	"runtime/debug"
)

// ballast is memory that is never touched and so takes no room, in bytes. The
// garbage collector works whenever the heap has grown by a part; without ballast the
// small heap of a server does that a hundred times a second under load. What a large
// heap holds is mostly buffers, which cost nothing to look through: so it works when
// the heap has grown by collectAt percent, where Go would wait for it to double. Go
// has no setting for a smallest heap. Decision 0020 has the figures, and what
// debug.SetMemoryLimit does instead.
const (
	ballast   = 40 << 20
	collectAt = 30
)

// tuneHeap sets the garbage collector as suits a server, unless GOGC is set, and returns the
// function that undoes it. Every command calls it, because it costs nothing there.
func tuneHeap() (undo func()) {
	room := make([]byte, ballast)
	if os.Getenv("GOGC") != "" {
		return func() { runtime.KeepAlive(room) }
	}
	before := debug.SetGCPercent(collectAt)
	return func() {
		debug.SetGCPercent(before)
		runtime.KeepAlive(room)
	}
}
