package session

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"hufu/internal/frame"
)

var update = flag.Bool("update", false, "write the seeds again")

// scripted is a connection that says what it was given, once go is closed, and
// takes everything.
type scripted struct {
	net.Conn
	in   io.Reader
	open chan struct{}
	once sync.Once
}

func script(data []byte) *scripted {
	return &scripted{in: bytes.NewReader(data), open: make(chan struct{})}
}

func (s *scripted) start() { s.once.Do(func() { close(s.open) }) }

func (s *scripted) Read(p []byte) (int, error) {
	<-s.open
	return s.in.Read(p)
}
func (*scripted) Write(p []byte) (int, error)      { return len(p), nil }
func (s *scripted) Close() error                   { s.start(); return nil }
func (*scripted) SetReadDeadline(time.Time) error  { return nil }
func (*scripted) SetWriteDeadline(time.Time) error { return nil }

// FuzzHT42Server lets a server read what a client may not have written.
func FuzzHT42Server(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		conn := script(data)
		conn.start()
		s := serverOn(conn)
		err := s.Serve(t.Context(), handler{handle: func(_ context.Context, r *Request) error {
			defer s.Release(r)
			if len(r.Raw) > frame.MaxRaw {
				t.Error("too much")
			}
			return s.Answer(reply(r), false, nil)
		}})
		if s.queued != 0 && err == nil {
			t.Errorf("%d bytes are still counted", s.queued)
		}
	})
}

// FuzzHT42Client lets a client read what a server may not have written. Each
// of its requests is answered to the end exactly once, come what may.
func FuzzHT42Client(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		conn := script(data)
		c := dial(conn)
		var ends [3]int
		for i, m := range []frame.Message{&frame.Stat{}, &frame.List{}, &frame.Read{Version: "v"}} {
			bytes := 0
			if i == 2 {
				bytes = frame.MaxRaw
			}
			err := c.Send(m, nil, bytes, func(a Answer) {
				if ends[i] != 0 {
					t.Error("an answer after the last")
				}
				if len(a.Raw) > bytes || a.Err == nil && a.Message == nil {
					t.Errorf("%+v", a)
				}
				if !a.More {
					ends[i]++
				}
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		conn.start()
		<-c.Done()
		if ends != [3]int{1, 1, 1} || c.Err() == nil {
			t.Error(ends, c.Err())
		}
	})
}

// TestHT42SeedsAreThere: conversations made of the vectors, whole and spoilt.
func TestHT42SeedsAreThere(t *testing.T) {
	t.Parallel()
	var vectors []struct{ Name, Frame string }
	data, err := os.ReadFile(filepath.Join("..", "frame", "testdata", "vectors.json"))
	if err == nil {
		err = json.Unmarshal(data, &vectors)
	}
	if err != nil || len(vectors) == 0 {
		t.Fatal(err)
	}
	seeds := map[string][][]byte{}
	var client, server []byte
	for _, v := range vectors {
		b, err := hex.DecodeString(v.Frame)
		if err != nil {
			t.Fatal(err)
		}
		if b[0]&0x80 == 0 {
			seeds["FuzzHT42Server"] = append(seeds["FuzzHT42Server"], b)
			client = append(client, b...)
		} else {
			seeds["FuzzHT42Client"] = append(seeds["FuzzHT42Client"], b)
			server = append(server, b...)
		}
	}
	p := byHand(t, nil)
	good := bytes.Join([][]byte{
		p.bytes(&frame.Changed{}, false, nil),
		p.bytes(&frame.StatAnswer{Entry: frame.Entry{Kind: 2}}, false, nil),
		p.bytes(&frame.ListAnswer{Entries: []frame.Entry{}}, true, nil),
		p.bytes(&frame.Working{}, false, nil),
		p.bytes(&frame.ListAnswer{Entries: []frame.Entry{}}, false, nil),
		p.bytes(&frame.ReadAnswer{CV: make([]byte, 32)}, false, make([]byte, 40_000)),
	}, nil)
	seeds["FuzzHT42Server"] = append(seeds["FuzzHT42Server"], nil, client, client[:len(client)-1], server)
	seeds["FuzzHT42Client"] = append(seeds["FuzzHT42Client"], nil, server, client, good, good[:len(good)-1], append(good, good...))
	for target, all := range seeds {
		dir := filepath.Join("testdata", "fuzz", target)
		for i, seed := range all {
			name := filepath.Join(dir, fmt.Sprintf("talk-%03d", i))
			if *update {
				text := fmt.Sprintf("go test fuzz v1\n[]byte(%q)\n", seed)
				if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(name, []byte(text), 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			kept, err := os.ReadFile(name)
			if err != nil || !strings.HasPrefix(string(kept), "go test fuzz v1\n[]byte(") {
				t.Errorf("%s: no seed %d, %v", target, i, err)
			}
		}
	}
}
