package server_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"hufu"
	"hufu/internal/client"
	"hufu/internal/testenv"
)

// TestDigestEndsWithItsClient: a server does not read on for somebody who has
// left, neither the file it is at nor those that were to come.
func TestDigestEndsWithItsClient(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	r := env.Person("alice").Remote(client.Options{})
	const n = 20
	for i := range n {
		file := filepath.Join(env.Data, "files/users/alice", fmt.Sprint(i))
		write(t, file, nil)
		if err := os.Truncate(file, 1<<40); err != nil { // a hole, which takes minutes to read
			t.Fatal(err)
		}
	}
	if err := r.LoggedIn(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var asked sync.WaitGroup
	for i := range n {
		asked.Go(func() {
			if _, err := r.Digest(ctx, path(t, fmt.Sprint("/", i))); hufu.KindOf(err) != hufu.KindCanceled {
				t.Error(err)
			}
		})
	}
	time.Sleep(50 * time.Millisecond) // the first is being read by now, or a slow computer tests less
	cancel()
	asked.Wait()
	_ = r.Close()
	for range 1000 {
		if log := env.Log.String(); strings.Count(log, "msg=gone") == strings.Count(log, "msg=connected") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("the server is still at it after ten seconds")
}
