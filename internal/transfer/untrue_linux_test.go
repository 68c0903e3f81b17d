package transfer

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"hufu"
	"hufu/internal/blob/disk"
)

// TestSizeThatIsNotTrue: a file whose size says 0 and that holds bytes arrives
// whole, and is the same when it is sent again; one that holds more than fits
// into memory, or less than its size says, is refused by name.
func TestSizeThatIsNotTrue(t *testing.T) {
	t.Parallel()
	source := func(path string) Source {
		s, err := disk.Open(filepath.Dir(path), disk.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		far, err := hufu.ParsePath("/got")
		if err != nil {
			t.Fatal(err)
		}
		near, err := hufu.ParsePath("/" + filepath.Base(path))
		if err != nil {
			t.Fatal(err)
		}
		return Source{Side: Side{s, near, path}, Far: far}
	}
	want, err := os.ReadFile("/proc/version")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld()
	for _, outcome := range []Outcome{Transferred, Same} {
		told, err := put(t.Context(), w, Options{}, []Source{source("/proc/version")})
		if err != nil || len(told.of(outcome)) != 1 {
			t.Fatalf("%v, %+v", err, told)
		}
		if !bytes.Equal(w.things["got"].data, want) {
			t.Fatalf("%d bytes arrived, not %d", len(w.things["got"].data), len(want))
		}
	}
	for _, path := range []string{
		"/proc/kallsyms",            // larger than a chunk
		"/sys/kernel/uevent_seqnum", // a few bytes, and its size says 4096
	} {
		if i, err := os.Stat(path); err != nil {
			continue
		} else if data, err := os.ReadFile(path); err != nil || int64(len(data)) == i.Size() || i.Size() == 0 && len(data) <= largeAbove {
			continue // another kind of kernel
		}
		w := newWorld()
		told, err := put(t.Context(), w, Options{}, []Source{source(path)})
		if err != nil || told.codes() != "size_untrue" || w.things["got"] != nil {
			t.Errorf("%s: %v, %+v", path, err, told)
		}
	}
}
