package client_test

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"hufu"
	"hufu/internal/client"
	"hufu/internal/testenv"
	"hufu/internal/transfer"
)

// The benchmarks move files through a whole hufu in one process, both ends on
// the same cores; b.SetBytes counts the payload once. TMPDIR chooses the disk.

const (
	bigFile    = 1 << 30
	smallFiles = 20_000
	smallSize  = 4 << 10
)

func BenchmarkPutBig(b *testing.B)   { benchmarkPut(b, makeBig) }
func BenchmarkPutSmall(b *testing.B) { benchmarkPut(b, makeSmall) }
func BenchmarkGetBig(b *testing.B)   { benchmarkGet(b, makeBig) }
func BenchmarkGetSmall(b *testing.B) { benchmarkGet(b, makeSmall) }

func makeBig(b *testing.B, dir string) int64 {
	b.Helper()
	f, err := os.Create(filepath.Join(dir, "big"))
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 1<<20)
	for range bigFile / len(buf) {
		_, _ = rand.Read(buf)
		if _, err := f.Write(buf); err != nil {
			b.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	return bigFile
}

func makeSmall(b *testing.B, dir string) int64 {
	b.Helper()
	buf := make([]byte, smallSize)
	for i := range smallFiles {
		sub := filepath.Join(dir, fmt.Sprintf("d%d", i%200))
		if err := os.MkdirAll(sub, 0o755); err != nil {
			b.Fatal(err)
		}
		_, _ = rand.Read(buf)
		if err := os.WriteFile(filepath.Join(sub, fmt.Sprint(i)), buf, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	return smallFiles * smallSize
}

func setup(b *testing.B, fill func(*testing.B, string) int64) (*client.Remote, string) {
	b.Helper()
	env := testenv.New(b, testenv.Options{})
	alice := env.Person("alice")
	src := alice.Local("src")
	if err := os.Mkdir(src, 0o755); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(fill(b, src))
	return alice.Remote(client.Options{}), src
}

func options(b *testing.B) transfer.Options {
	return transfer.Options{Owner: "bench", Report: func(r transfer.Report) {
		if r.Err != nil {
			b.Error(r.Err)
		}
	}}
}

func benchmarkPut(b *testing.B, fill func(*testing.B, string) int64) {
	r, src := setup(b, fill)
	name, err := hufu.Path{}.Join("to")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		c, err := r.PreparePut(b.Context(), []string{src}, name, client.How{Folder: true})
		if err != nil {
			b.Fatal(err)
		}
		if err := transfer.New(r, options(b)).Put(b.Context(), c.Sources); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := c.Close(); err != nil {
			b.Fatal(err)
		}
		if err := r.Remove(b.Context(), name, true); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

func benchmarkGet(b *testing.B, fill func(*testing.B, string) int64) {
	r, src := setup(b, fill)
	name, err := hufu.Path{}.Join("to")
	if err != nil {
		b.Fatal(err)
	}
	c, err := r.PreparePut(b.Context(), []string{src + "/"}, name, client.How{Folder: true})
	if err != nil {
		b.Fatal(err)
	}
	if err := transfer.New(r, options(b)).Put(b.Context(), c.Sources); err != nil {
		b.Fatal(err)
	}
	if err := c.Close(); err != nil {
		b.Fatal(err)
	}
	to := b.TempDir()
	for b.Loop() {
		c, err := r.PrepareGet(b.Context(), []client.Fetch{{Path: name}}, to+"/", client.How{})
		if err != nil {
			b.Fatal(err)
		}
		if err := transfer.New(r, options(b)).Get(b.Context(), c.Sources); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := c.Close(); err != nil {
			b.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(to, "to")); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
