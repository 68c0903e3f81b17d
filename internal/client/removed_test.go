package client_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"hufu"
	"hufu/internal/client"
	"hufu/internal/testenv"
	"hufu/internal/transfer"
)

// counted is a connection that calls then once it and others have sent so much.
type counted struct {
	net.Conn
	left *atomic.Int64
	then func()
}

func (c counted) Write(p []byte) (int, error) {
	if c.left.Add(-int64(len(p))) <= 0 {
		c.then()
	}
	return c.Conn.Write(p)
}

// TestFolderRemovedUnderAPut: the folder that a file is on its way to is removed
// in the middle. The transfer ends, and the file is there, whole, in a folder of
// the user's.
func TestFolderRemovedUnderAPut(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	alice := env.Person("alice")
	data := bytes.Repeat([]byte("twelve bytes"), 10<<20/12)
	if err := os.WriteFile(alice.Local("large"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	other := alice.Remote(client.Options{})
	for i, after := range []int64{1 << 10, 256 << 10, 3 << 20, 9 << 20} {
		for _, place := range []string{"", "@shared/common/"} {
			folder := fmt.Sprint(place, "d", i)
			if _, err := other.Mkdir(t.Context(), parse(t, folder), 0o700, true); err != nil {
				t.Fatal(err)
			}
			var left atomic.Int64
			left.Store(1 << 60)
			remove := sync.OnceFunc(func() {
				err := other.Remove(t.Context(), parse(t, folder), true)
				for hufu.KindOf(err) == hufu.KindNotEmpty { // the first chunk of another lane came meanwhile
					err = other.Remove(t.Context(), parse(t, folder), true)
				}
				if err != nil {
					t.Error(err)
				}
			})
			r := alice.Remote(client.Options{Tap: func(c net.Conn) net.Conn { return counted{c, &left, remove} }})
			if err := r.LoggedIn(t.Context()); err != nil {
				t.Fatal(err)
			}
			left.Store(after)
			told, err := put(t.Context(), r, []string{alice.Local("large")}, parse(t, folder+"/sub/large"), client.How{})
			if err != nil {
				t.Fatal(err)
			}
			if left.Load() > 0 {
				t.Fatal("the folder was not removed")
			}
			for _, rep := range told {
				if rep.Outcome != transfer.Transferred {
					t.Errorf("%+v", rep)
				}
			}
			e, err := other.Stat(t.Context(), parse(t, folder))
			if err != nil || e.By != "alice" || e.Kind != hufu.Folder {
				t.Errorf("%+v %v", e, err)
			}
			where := filepath.Join("users/alice", folder)
			if place != "" {
				where = filepath.Join("shared/common", fmt.Sprint("d", i))
			}
			got, err := os.ReadFile(filepath.Join(env.Data, "files", where, "sub/large"))
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%s: %d bytes, %v", where, len(got), err)
			}
		}
	}
}
