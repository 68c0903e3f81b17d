package disk

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"hufu"
	"hufu/internal/blob/disk/sys"
	"hufu/internal/digest"
)

func testStore(tb testing.TB) *Store {
	tb.Helper()
	s, err := Open(tb.TempDir(), Options{Server: true})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.Close() })
	return s
}

// FuzzJournal: whatever stands in a journal, nothing is believed that was not
// written, and what decodes encodes to the same bytes.
func FuzzJournal(f *testing.F) {
	s := testStore(f)
	id := bytes.Repeat([]byte{7}, idSize)
	h := header{ID: id, Path: []byte("a/b"), Size: 3 * hufu.ChunkSize, Owner: []byte("alice/laptop"), Boot: "boot/1", Ino: 9}
	b, err := s.encodeHeader(&h)
	if err != nil {
		f.Fatal(err)
	}
	var r [recordSize]byte
	putRecord(&r, id, 1|holeFlag, &digest.CV{1})
	whole := append(bytes.Clone(b), r[:]...)
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	f.Add(b)
	f.Add(b[:20])
	f.Add([]byte(journalMagic))
	f.Add([]byte{})
	file := filepath.Join(f.TempDir(), "journal")
	f.Fuzz(func(t *testing.T, b []byte) {
		h, at, err := s.decodeHeader(b)
		if err != nil {
			return
		}
		again, err := s.encodeHeader(&h)
		if err != nil || !bytes.Equal(again, b[:at]) {
			t.Fatalf("%x is not the one encoding: %x %v", b[:at], again, err)
		}
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := sys.OpenRoot(filepath.Dir(file))
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		j, err := d.OpenPlain("journal")
		if err != nil {
			t.Fatal(err)
		}
		defer j.Close()
		reader := recordReader{journal: j, id: h.ID, first: at}
		end, err := readRecords(j, h.ID, at, func(record, index int64, as chunkState) error {
			cv, err := reader.cv(index, record)
			if err != nil {
				t.Fatal(err)
			}
			var r [recordSize]byte
			n := uint64(index)
			switch as {
			case chunkHole:
				n |= holeFlag
			case chunkMissing:
				n |= lostFlag
			}
			putRecord(&r, h.ID, n, &cv)
			if !bytes.Equal(b[at+record*recordSize:][:recordSize], r[:]) {
				t.Fatalf("%x was never written", r)
			}
			return nil
		})
		if err != nil || end < at || end > int64(len(b)) || (end-at)%recordSize != 0 {
			t.Fatal(end, err)
		}
	})
}

func FuzzVersion(f *testing.F) {
	f.Add(sys.Version{Dev: 1, Ino: 2, Size: 3, Mtime: sys.Stamp{Sec: -4, Nsec: 5}, Ctime: sys.Stamp{Sec: 6, Nsec: 7}}.String())
	f.Add("")
	f.Add("1.2.3.4.5.6.7")
	f.Add("01.2.3.4.5.6.7")
	f.Fuzz(func(t *testing.T, s string) {
		if v, ok := sys.ParseVersion(s); ok && v.String() != s {
			t.Fatalf("%q and %q are one version", s, v)
		}
	})
}

func FuzzRecord(f *testing.F) {
	s := testStore(f)
	r := record{Mode: 0o644, Digest: make([]byte, 32), Size: 4096, Sec: 1_700_000_000, Nsec: 999_999_999, By: "alice1234"}
	b, err := s.codec.append(nil, &r)
	if err != nil {
		f.Fatal(err)
	}
	if len(b) > 68 {
		f.Fatalf("a usual record takes %d bytes and no longer fits into the inode", len(b))
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var r record
		if s.codec.dec.Unmarshal(b, &r) != nil {
			return
		}
		n := sys.Node{Kind: hufu.File, Version: sys.Version{Size: r.Size, Mtime: sys.Stamp{Sec: r.Sec, Nsec: r.Nsec}}}
		e := n.Entry("f")
		r.apply(&e, &n)
		if e.Mode > 0o777 {
			t.Fatal("mode", e.Mode)
		}
	})
}
