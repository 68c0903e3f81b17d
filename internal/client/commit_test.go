package client_test

import (
	"testing"
	"time"

	"hufu"
	"hufu/internal/client"
	"hufu/internal/digest"
	"hufu/internal/testenv"
	"hufu/internal/transfer"
)

// TestCommitWaits: a commit that overtakes the last chunk, on another
// connection, is carried out when that has come; one that nothing follows is
// refused after a while, and the upload goes on.
func TestCommitWaits(t *testing.T) {
	t.Parallel()
	alice := testenv.New(t, testenv.Options{}).Person("alice")
	r := alice.Remote(client.Options{})
	p, data := parse(t, "big"), make([]byte, 2*hufu.ChunkSize)
	data[0], data[hufu.ChunkSize] = 1, 2
	cvs := []digest.CV{digest.Chunk(data[:hufu.ChunkSize], 0), digest.Chunk(data[hufu.ChunkSize:], 1)}
	up, err := r.Open(t.Context(), p, int64(len(data)), "v1")
	if err != nil {
		t.Fatal(err)
	}
	lane, err := r.Lane(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lane.Close() }()
	send := func(i int64) {
		t.Helper()
		done := make(chan error, 1)
		err := lane.Range(up.ID, i, data[i*hufu.ChunkSize:(i+1)*hufu.ChunkSize], false, cvs[i], func(err error) { done <- err })
		if err == nil {
			err = lane.Flush()
		}
		if err == nil {
			err = <-done
		}
		if err != nil {
			t.Error(err)
		}
	}
	commit := func() (hufu.Entry, error) {
		return r.Commit(t.Context(), up.ID, p, digest.Root(cvs), transfer.Meta{Mode: 0o644, MTime: time.Unix(1, 0)}, hufu.Condition{Kind: hufu.IfAbsent})
	}
	send(0)
	if _, err := commit(); hufu.CodeOf(err) != "upload_incomplete" {
		t.Errorf("a commit without the last chunk: %v", err)
	}
	answered := make(chan error, 1)
	go func() {
		e, err := commit()
		if err == nil && e.Digest != digest.Sum(data) {
			t.Errorf("committed with %s", e.Digest)
		}
		answered <- err
	}()
	select {
	case err := <-answered:
		t.Errorf("the commit did not wait: %v", err)
	case <-time.After(100 * time.Millisecond): // it is at the server by now, or a slow computer tests less
	}
	send(1)
	if err := <-answered; err != nil {
		t.Error(err)
	}
}
