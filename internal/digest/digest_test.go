package digest

import (
	"math/rand/v2"
	"strconv"
	"testing"

	"lukechampine.com/blake3"
	"lukechampine.com/blake3/guts"
	"pgregory.net/rapid"

	"hufu"
)

func sample(n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(1, uint64(n)))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// TestSizesAgreeWithBLAKE3 walks the edges at which the tree's shape changes.
func TestSizesAgreeWithBLAKE3(t *testing.T) {
	t.Parallel()
	const mib = hufu.ChunkSize
	for _, n := range []int{
		0, 1, 63, 64, 65, 1023, 1024, 1025, 2048, 2049, 4095, 4096, 4097, 5000, 8191, 8192, 8193, 9000, 16383, 16384, 16385, 32768, 32769, 65536, 100_000,
		mib - 1, mib, mib + 1, mib + 1024, 2*mib - 1, 2 * mib, 2*mib + 1, 3 * mib, 3*mib + 17, 4 * mib, 5*mib + 16385, 7*mib - 1, 8*mib + 1,
	} {
		data := sample(n)
		want := hufu.Digest(blake3.Sum256(data))
		if got := Sum(data); got != want {
			t.Errorf("Sum of %d bytes = %s, want %s", n, got, want)
		}
	}
}

// TestRows walks all sizes of files that are compressed in rows.
func TestRows(t *testing.T) {
	t.Parallel()
	if !hasRows() {
		t.Log("this processor has no AVX2: nothing of it is used")
		return
	}
	data := sample(rows * guts.ChunkSize)
	for n := guts.ChunkSize + 1; n <= len(data); n++ {
		if got, want := sumRows(data[:n]), hufu.Digest(blake3.Sum256(data[:n])); got != want {
			t.Fatalf("%d bytes: %s, want %s", n, got, want)
		}
	}
}

// TestChunksInAnyOrder hashes chunks backwards and combines them.
func TestChunksInAnyOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(hufu.ChunkSize+1, 6*hufu.ChunkSize).Draw(t, "size")
		data := sample(int(size))
		cvs := make([]CV, Chunks(size))
		for i := int64(len(cvs)) - 1; i >= 0; i-- {
			off := i * hufu.ChunkSize
			cvs[i] = Chunk(data[off:off+int64(ChunkLen(size, i))], i)
		}
		if got, want := Root(cvs), hufu.Digest(blake3.Sum256(data)); got != want {
			t.Fatalf("Root of %d bytes = %s, want %s", size, got, want)
		}
	})
}

// TestFilling: however a buffer fills, the value is that of the chunk.
func TestFilling(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		data := sample(rapid.IntRange(1, hufu.ChunkSize).Draw(t, "size"))
		index := rapid.Int64Range(0, 1<<40).Draw(t, "index")
		var f Filling
		f.Start(index + 1) // of an earlier chunk
		f.To(data)
		f.Start(index)
		for have := 0; have < len(data); {
			have = min(len(data), have+rapid.IntRange(1, 100_000).Draw(t, "piece"))
			f.To(data[:have])
		}
		if got, want := f.Chunk(data), Chunk(data, index); got != want {
			t.Fatalf("%d bytes of chunk %d: %x, want %x", len(data), index, got, want)
		}
	})
}

// TestWithAndWithoutLanes: a processor without lanes gets the same values.
func TestWithAndWithoutLanes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		groups := rapid.IntRange(0, groupSize-1).Draw(t, "groups") % 65
		size := min(hufu.ChunkSize, groups*groupSize+rapid.SampledFrom([]int{0, 0, 1, 1024, 5000}).Draw(t, "rest"))
		data := sample(max(1, size))
		want := hufu.Digest(blake3.Sum256(data))
		for _, half := range []int{1, lanes} {
			if half == lanes && !wide() {
				continue
			}
			var f Filling
			f.Start(0)
			f.half = half
			if got := rootDigest(f.node(data)); got != want {
				t.Fatalf("%d bytes, %d at a time: %s, want %s", len(data), half, got, want)
			}
			index := rapid.Int64Range(0, 1<<40).Draw(t, "index")
			f.Start(index)
			f.half = half
			for have := 0; have < len(data); have += 50_000 {
				f.To(data[:have])
			}
			if got, want := f.Chunk(data), Chunk(data, index); got != want {
				t.Fatalf("%d bytes of chunk %d, %d at a time: %x, want %x", len(data), index, half, got, want)
			}
		}
	})
}

// TestLanes compares each lane with the library's portable code, where the
// processor has any.
func TestLanes(t *testing.T) {
	t.Parallel()
	if !wide() {
		t.Log("this processor has no AVX-512: nothing of it is used")
		return
	}
	rapid.Check(t, func(t *rapid.T) {
		group := (*[groupSize]byte)(sample(groupSize))
		counter := rapid.Uint64Range(0, 1<<54).Draw(t, "counter") * lanes
		var pairs [2 * lanes][8]uint32
		for half := range 2 {
			cvs, counter := (*[lanes][8]uint32)(pairs[half*lanes:]), counter+uint64(half*lanes)
			chunks16(cvs, group, counter)
			for i, cv := range cvs {
				n := guts.CompressChunk(group[i*guts.ChunkSize:][:guts.ChunkSize], &guts.IV, counter+uint64(i), 0)
				if want := guts.ChainingValue(n); cv != want {
					t.Fatalf("chunk %d: %x, want %x", counter+uint64(i), cv, want)
				}
			}
		}
		children := pairs
		parents16((*[lanes][8]uint32)(pairs[:]), &pairs)
		for i, cv := range pairs[:lanes] {
			if want := guts.ChainingValue(guts.ParentNode(children[2*i], children[2*i+1], &guts.IV, 0)); cv != want {
				t.Fatalf("parent %d: %x, want %x", i, cv, want)
			}
		}
	})
}

func TestChunkAllocatesNothing(t *testing.T) {
	data := sample(hufu.ChunkSize)
	if n := testing.AllocsPerRun(10, func() { Chunk(data, 3) }); n != 0 {
		t.Errorf("Chunk allocates %v times", n)
	}
}

func BenchmarkChunk(b *testing.B) {
	data := sample(hufu.ChunkSize)
	b.SetBytes(hufu.ChunkSize)
	b.ReportAllocs()
	for b.Loop() {
		Chunk(data, 1)
	}
}

func BenchmarkSum(b *testing.B) {
	for _, n := range []int{100, 1024, 4096, 5000, 16 << 10} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			data := sample(n)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				Sum(data)
			}
		})
	}
}
