package client

import (
	"io"
	"net"
	"testing"
	"time"

	"hufu"
	"hufu/internal/digest"
	"hufu/internal/frame"
	"hufu/internal/session"
)

// TestGetTakesTheAnswerItAskedFor: who named a digest is told the bytes alone,
// and who did not is told whose they are; everything else is no answer, however
// well it fits together.
func TestGetTakesTheAnswerItAskedFor(t *testing.T) {
	t.Parallel()
	data := []byte("these very bytes")
	known := hufu.Entry{Name: "f", Kind: hufu.File, Size: int64(len(data)), MTime: time.Unix(5, 6), Mode: 0o640, Digest: digest.Sum(data), Version: "v-1"}
	unknown := known
	unknown.Digest = hufu.Digest{}
	unversioned := known
	unversioned.Version = ""
	other := frame.WireEntry(known)
	other.Version, other.Mode = "v-2", 0o777
	for name, c := range map[string]struct {
		listed hufu.Entry
		answer *frame.Entry
		want   hufu.Kind // 0: the bytes, as listed or as the answer tells
	}{
		"digest known":                  {known, nil, 0},
		"digest known, told all anew":   {known, &other, hufu.KindProtocol},
		"digest unknown":                {unknown, &other, 0},
		"digest unknown, told nothing":  {unknown, nil, hufu.KindProtocol},
		"digest of no version":          {unversioned, &other, 0},
		"digest of no version, nothing": {unversioned, nil, hufu.KindProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			near, far := net.Pipe()
			codec := frame.NewCodec()
			go func() {
				defer func() { _ = far.Close() }()
				var head [frame.HeaderSize]byte
				_, _ = io.ReadFull(far, head[:])
				h, err := frame.ParseHeader(&head)
				if err != nil {
					return
				}
				body := make([]byte, h.Body)
				_, _ = io.ReadFull(far, body)
				if m, err := codec.Decode(h.Type, body); err != nil || m.Type() != frame.TypeGet {
					return
				}
				b, err := codec.Append(nil, &frame.GetAnswer{Entry: c.answer}, false, len(data))
				if err == nil {
					_, _ = far.Write(append(b, data...))
				}
				_, _ = io.Copy(io.Discard, far)
			}()
			stream := session.NewStream(near)
			l := &lane{c: session.NewClient(stream, stream, codec, nil)}
			defer func() { _ = l.Close() }()
			type answer struct {
				e    hufu.Entry
				data string
				err  error
			}
			got := make(chan answer, 1)
			p, err := hufu.ParsePath("f")
			if err != nil {
				t.Fatal(err)
			}
			err = l.Get(p, c.listed, func(e hufu.Entry, b []byte, err error) { got <- answer{e, string(b), err} })
			if err == nil {
				err = l.Flush()
			}
			if err != nil {
				t.Fatal(err)
			}
			a := <-got
			if c.want != 0 {
				if hufu.KindOf(a.err) != c.want || a.data != "" {
					t.Errorf("%q, %v", a.data, a.err)
				}
				return
			}
			want := c.listed
			if c.answer != nil {
				want = c.answer.Entry()
			}
			if a.err != nil || a.data != string(data) || a.e != want {
				t.Errorf("%+v, %q, %v", a.e, a.data, a.err)
			}
		})
	}
}
