//go:build e2e && linux

package kill

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hufu/test/built"
)

// smallFiles is how many files the tree has, in folders of a hundred.
var smallFiles = map[bool]int{false: 2500, true: 5000}[os.Getenv("HUFU_LARGE") != ""]

// TestKillAmongSmallFiles: the same for a tree of small files, which travel
// many to a commit.
func TestKillAmongSmallFiles(t *testing.T) {
	w := newWorld(t, 1<<20)
	for i := range smallFiles {
		path := filepath.Join(w.alice.Home, "tree", fmt.Sprint(i/100), fmt.Sprint(i))
		if i%100 == 0 {
			w.must(os.MkdirAll(filepath.Dir(path), 0o755))
		}
		w.must(os.WriteFile(path, []byte(strings.Repeat(fmt.Sprintf("%d\n", i), 100)), 0o644))
	}
	r, err := w.alice.Run("put", "tree/", ":/origin/")
	if w.must(err); r.Code != 0 {
		t.Fatal(r)
	}
	down := filepath.Join(w.alice.Home, "down")
	w.must(os.Mkdir(down, 0o755))
	for _, v := range []way{
		{name: "put", folder: w.served, args: func(name string) []string { return []string{"put", "--json", "tree/", ":/" + name + "/"} }},
		{name: "get", folder: down, args: func(name string) []string { return []string{"get", "--json", ":/origin/", "down/" + name + "/"} }},
	} {
		t.Run(v.name, func(t *testing.T) {
			w.T = t
			began := time.Now()
			r, err := w.alice.Run(v.args("calm")...)
			if w.must(err); r.Code != 0 {
				t.Fatal(r)
			}
			usual := time.Since(began)
			for _, victim := range []string{"server", "client"} {
				w.killTree(v, victim, usual)
			}
		})
	}
}

func (w *world) killTree(v way, victim string, usual time.Duration) {
	w.Helper()
	killed, transfers := 0, 0
	began := time.Now()
	for killed < kills/2 {
		name := fmt.Sprintf("%s-%d", victim, transfers)
		r := w.reach(v.args(name))
		for ended := false; !ended; {
			moment := time.NewTimer(time.Duration(w.random.Float64() * float64(usual)))
			if killed == kills/2 {
				moment.Reset(5 * time.Minute)
			}
			select {
			case end := <-r.done:
				if end.Code != 0 {
					w.Fatalf("%s, %s killed: %s\n%s", v.name, victim, end, w.server.Log())
				}
				ended = true
			case <-moment.C:
				killed++
				if victim == "server" {
					w.must(w.server.Kill())
					w.must(w.server.Start())
					continue
				}
				w.must(r.cmd.Process.Kill())
				<-r.done
				r = w.start(v.args(name))
			}
		}
		transfers++
		out, err := exec.Command("diff", "-r", filepath.Join(w.alice.Home, "tree"), filepath.Join(v.folder, name)).CombinedOutput()
		if err != nil {
			w.Errorf("%s, %s killed: diff: %v\n%.2000s", v.name, victim, err, out)
		}
		// The server may still be finishing what a killed client had sent.
		w.must(built.Eventually("an empty folder", func() bool { return os.RemoveAll(filepath.Join(v.folder, name)) == nil }))
	}
	w.Logf("%s of %d files, %s killed %d times in %d transfers (one takes %v): all whole in %v",
		v.name, smallFiles, victim, killed, transfers, usual.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
}
