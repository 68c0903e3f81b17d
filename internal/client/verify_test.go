package client_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"hufu"
	"hufu/internal/client"
	"hufu/internal/testenv"
	"hufu/internal/transfer"
)

// distant is a connection over which each answer takes its time.
type distant struct {
	net.Conn
	reads *atomic.Int64
}

func (d distant) Read(p []byte) (int, error) {
	d.reads.Add(1)
	time.Sleep(5 * time.Millisecond)
	return d.Conn.Read(p)
}

// TestVerifyDoesNotWait: files and folders are asked for ahead of the answers,
// and told in the order of their names; who stops it hears no more.
func TestVerifyDoesNotWait(t *testing.T) {
	t.Parallel()
	alice := testenv.New(t, testenv.Options{}).Person("alice")
	var reads atomic.Int64
	r := alice.Remote(client.Options{Tap: func(c net.Conn) net.Conn { return distant{c, &reads} }})
	tree := alice.Local("tree")
	var want []string
	for folder := range 40 {
		dir := filepath.Join(tree, fmt.Sprintf("%02d", folder))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for file := range 10 {
			name := filepath.Join(dir, fmt.Sprintf("%d", file))
			if err := os.WriteFile(name, []byte(name), 0o600); err != nil {
				t.Fatal(err)
			}
			want = append(want, fmt.Sprintf("/tree/%02d/%d", folder, file))
		}
	}
	c, err := r.PreparePut(t.Context(), []string{tree}, hufu.Path{}, client.How{Folder: true})
	if err != nil {
		t.Fatal(err)
	}
	err = transfer.New(r, transfer.Options{}).Put(t.Context(), c.Sources)
	if _ = c.Close(); err != nil {
		t.Fatal(err)
	}

	before := reads.Load()
	var got []string
	n, err := r.Verify(t.Context(), parse(t, "tree"), tree, nil, func(v client.Verified) {
		if v.Err != nil || v.Digest.IsZero() {
			t.Error(v)
		}
		got = append(got, v.Path.Virtual())
	})
	if err != nil || n != len(want) || !slices.Equal(got, want) {
		t.Errorf("%d verified, %v: %q", n, err, got)
	}
	if took := reads.Load() - before; took > int64(len(want))/2 {
		t.Errorf("%d reads from the network for %d files", took, len(want))
	}

	ctx, cancel := context.WithCancel(t.Context())
	told := 0
	_, err = r.Verify(ctx, parse(t, "tree"), "", nil, func(client.Verified) { told++; cancel() })
	if told != 1 || hufu.KindOf(err) != hufu.KindCanceled {
		t.Errorf("told of %d after it was stopped, %v", told-1, err)
	}
}
