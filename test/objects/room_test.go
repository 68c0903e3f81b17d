//go:build e2e && linux

package objects

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"hufu"
	"hufu/internal/blob/object"
	"hufu/internal/client"
	"hufu/internal/testenv"
	"hufu/internal/transfer"
	"hufu/test/nodes"
)

// TestClientsThatFillTheRoom: clients that put more at once than a server may keep in memory for a slow
// store wait for one another. None of their files fails, and none is sent twice.
func TestClientsThatFillTheRoom(t *testing.T) {
	t.Parallel()
	slow, err := nodes.NewFaultyStore(service.Address)
	must(t, err)
	t.Cleanup(slow.Close)
	src := source(t)
	src.Endpoint = "http://" + slow.Address
	env := testenv.New(t, testenv.Options{Trees: object.NewTrees(names(t), open(t, src), object.Options{Installation: "test", Room: 4 << 20})})
	slow.Fault(nodes.Slow)

	const files = 21
	var wg sync.WaitGroup
	for i := range 3 { // two devices of alice, one of bob
		p := env.Person([]string{"alice", "bob"}[i%2])
		dir := p.Local("d")
		must(t, os.Mkdir(dir, 0o700))
		for f := range files {
			size := []int{3 << 10, 300 << 10, 1 << 20}[f%3] // the first in the database, the others as objects
			content := make([]byte, size)
			content[0], content[1] = byte(i), byte(f)
			must(t, os.WriteFile(filepath.Join(dir, fmt.Sprint(f)), content, 0o600))
		}
		wg.Go(func() {
			to, err := hufu.ParsePath(fmt.Sprint("of", i))
			if err != nil {
				t.Error(err)
				return
			}
			r := p.Remote(client.Options{})
			c, err := r.PreparePut(t.Context(), []string{dir}, to, client.How{})
			if err != nil {
				t.Error(err)
				return
			}
			e := transfer.New(r, transfer.Options{Lanes: 4, Report: func(rep transfer.Report) {
				if rep.Err != nil {
					t.Errorf("%s: %v", rep.Local, rep.Err)
				}
			}})
			if err := errors.Join(e.Put(t.Context(), c.Sources), c.Close()); err != nil {
				t.Error(err)
			}
			if n := e.Stats.Transferred.Load(); n != files {
				t.Errorf("%d files of %d were put", n, files)
			}
		})
	}
	wg.Wait()
	if log := env.Log.String(); strings.Contains(log, "why=unavailable") {
		t.Error(log)
	}
}
