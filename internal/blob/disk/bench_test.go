package disk_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/disk"
	"hufu/internal/digest"
)

// memory is a folder in memory where there is one: the budgets are CPU time.
func memory(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "disk-bench-") //nolint:usetesting // TempDir is on a disk
	if err != nil {
		return tb.TempDir()
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func benchStore(b *testing.B, server bool) *disk.Store {
	b.Helper()
	dir := memory(b)
	for _, sub := range []string{"tree", "uploads"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			b.Fatal(err)
		}
	}
	s, err := disk.Open(filepath.Join(dir, "tree"), disk.Options{Server: server, Uploads: filepath.Join(dir, "uploads")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s
}

func BenchmarkBatchPut4K(b *testing.B) {
	for _, server := range []bool{true, false} {
		b.Run(fmt.Sprintf("server=%v", server), func(b *testing.B) {
			s := benchStore(b, server)
			data := make([]byte, 4096)
			m := blob.Meta{Mode: 0o644, MTime: time.Unix(1700000000, 123456789), Digest: digest.Sum(data), By: "alice"}
			batch := s.Batch(blob.Guard{})
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; b.Loop(); i++ {
				p, _ := hufu.ParsePath(fmt.Sprintf("folder%d/file%08d.txt", i/100%200, i))
				batch.Put(b.Context(), p, data, m, hufu.Condition{Kind: hufu.IfAbsent})
				if i%256 == 255 {
					for _, r := range batch.Finish(b.Context()) {
						if r.Err != nil {
							b.Fatal(r.Err)
						}
					}
				}
			}
			batch.Finish(b.Context())
		})
	}
}

func BenchmarkWriteChunk1M(b *testing.B) {
	s := benchStore(b, true)
	const chunks = 256
	p, _ := hufu.ParsePath("big")
	data := make([]byte, hufu.ChunkSize)
	for i := range data {
		data[i] = byte(rand.Uint32())
	}
	cv := digest.Chunk(data, 0)
	b.SetBytes(hufu.ChunkSize)
	b.ReportAllocs()
	var u blob.Upload
	i := int64(0)
	for b.Loop() {
		if i%chunks == 0 {
			b.StopTimer()
			if u != nil {
				if err := u.Abort(); err != nil {
					b.Fatal(err)
				}
			}
			var err error
			if u, err = s.OpenUpload(b.Context(), blob.UploadKey{Path: p, Size: chunks << 20, Owner: "a"}, blob.Guard{}); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
		if err := u.Write(b.Context(), i%chunks, data, cv); err != nil {
			b.Fatal(err)
		}
		i++
	}
	_ = u.Abort()
}

func fill(b *testing.B, s *disk.Store, n int) {
	b.Helper()
	batch := s.Batch(blob.Guard{})
	data := make([]byte, 4096)
	m := blob.Meta{Mode: 0o644, MTime: time.Unix(1700000000, 0), Digest: digest.Sum(data), By: "alice"}
	for i := range n {
		p, _ := hufu.ParsePath(fmt.Sprintf("folder/file%08d.txt", i))
		batch.Put(b.Context(), p, data, m, hufu.Condition{Kind: hufu.IfAbsent})
		if n == 256 || i == n-1 {
			for _, r := range batch.Finish(b.Context()) {
				if r.Err != nil {
					b.Fatal(r.Err)
				}
			}
		}
	}
}

func BenchmarkList10000(b *testing.B) {
	for _, server := range []bool{false, true} {
		b.Run(fmt.Sprintf("server=%v", server), func(b *testing.B) {
			s := benchStore(b, server)
			fill(b, s, 10000)
			p, _ := hufu.ParsePath("folder")
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				if err := listAll(b.Context(), s, p, func(hufu.Entry) error { n++; return nil }); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/entry")
		})
	}
}

func BenchmarkRead4K(b *testing.B) {
	for _, server := range []bool{false, true} {
		b.Run(fmt.Sprintf("server=%v", server), func(b *testing.B) {
			s := benchStore(b, server)
			fill(b, s, 1000)
			paths := make([]hufu.Path, 1000)
			for i := range paths {
				paths[i], _ = hufu.ParsePath(fmt.Sprintf("folder/file%08d.txt", i))
			}
			buf := make([]byte, 4096)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				f, err := openFile(b, s, paths[i%1000])
				if err != nil {
					b.Fatal(err)
				}
				if _, err := f.ReadAt(b.Context(), buf, 0); err != nil {
					b.Fatal(err)
				}
				if err := f.Check(b.Context()); err != nil {
					b.Fatal(err)
				}
				f.Close()
				i++
			}
		})
	}
}
