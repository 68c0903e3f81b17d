package files

import (
	"bytes"
	"fmt"
	"testing"

	"hufu"
	"hufu/internal/digest"
)

// TestRoomIsCountedOnce: unfinished uploads take their room once, however often
// the stores of their users are closed and opened again.
func TestRoomIsCountedOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	data := bytes.Repeat([]byte{7}, 2*hufu.ChunkSize)
	for i := range 100 { // more than there are idle stores
		v := h.view(fmt.Sprint("user", i), "pc")
		u, err := v.OpenUpload(t.Context(), at(t, "/f"), int64(len(data)), "source")
		ok(t, err)
		ok(t, u.WriteChunk(0, data[:hufu.ChunkSize], digest.Chunk(data[:hufu.ChunkSize], 0)))
		ok(t, u.Close())
		v.Close()
	}
	most := h.s.room.Used()
	for i := range 5 {
		h.s.Expire() // as the server does by itself each hour
		if used := h.s.room.Used(); used > most {
			t.Fatalf("%d bytes after looking at all %d times, %d before", used, i+1, most)
		}
	}
}
