package files

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/digest"
)

// TestEvents: each change that was carried out is counted and logged, and no other.
func TestEvents(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var b bytes.Buffer
	v := h.s.For("alice", "pc", func() error { return nil }, slog.NewTextHandler(&b, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
	defer v.Close()
	always, absent := hufu.Condition{Kind: hufu.Always}, hufu.Condition{Kind: hufu.IfAbsent}
	batch := v.Batch()
	batch.Mkdir(t.Context(), at(t, "d"), 0o755, false)
	batch.Put(t.Context(), at(t, "d/f"), []byte("12345"), blob.Meta{Digest: digest.Sum([]byte("12345"))}, always)
	batch.Link(t.Context(), at(t, "l"), "f", blob.Meta{}, absent)
	batch.Commit(t.Context())
	batch.Mkdir(t.Context(), at(t, "d"), 0o755, false)                     // is there
	batch.Put(t.Context(), at(t, "d/f"), []byte("6"), blob.Meta{}, absent) // is there
	batch.Put(t.Context(), at(t, "@shared/none/f"), []byte("6"), blob.Meta{}, always)
	batch.SetMeta(t.Context(), at(t, "d"), blob.Meta{Mode: 0o700}, "")
	batch.Commit(t.Context())
	batch.Rename(t.Context(), at(t, "d/f"), at(t, "g"), absent, "")
	batch.Remove(t.Context(), at(t, "l"), false, "")
	batch.Commit(t.Context())
	v.LogGet(t.Context(), at(t, "g"), 5)
	data := bytes.Repeat([]byte("x"), hufu.ChunkSize+1)
	u, err := v.OpenUpload(t.Context(), at(t, "large"), int64(len(data)), "s")
	if err != nil {
		t.Fatal(err)
	}
	for i := range digest.Chunks(int64(len(data))) {
		chunk := data[i*hufu.ChunkSize:][:digest.ChunkLen(int64(len(data)), i)]
		if err := u.Write(t.Context(), i, chunk, digest.Chunk(chunk, i)); err != nil {
			t.Fatal(err)
		}
	}
	d := digest.Sum(data)
	if _, err := v.CommitUpload(t.Context(), u.Info().ID, at(t, "large"), d, blob.Meta{}, always); err != nil {
		t.Fatal(err)
	}
	_ = u.Close()
	want := strings.Join([]string{
		"op=mkdir path=/d size=0", "op=put path=/d/f size=5", "op=link path=/l size=0", "op=rename path=/d/f size=0 to=/g",
		"op=remove path=/l size=0", "op=get path=/g size=5", "op=put path=/large size=1048577 digest=" + d.String(), "",
	}, "\n")
	if got := strings.ReplaceAll(b.String(), "level=INFO msg=transfer ", ""); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if puts, gets := h.s.Transfers(); puts != 2 || gets != 1 {
		t.Errorf("%d puts, %d gets", puts, gets)
	}
}
