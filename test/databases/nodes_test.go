//go:build e2e && linux

package databases

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"hufu/internal/blob/object"
	"hufu/test/built"
	shared "hufu/test/nodes"
)

// nodes are servers on one database and one bucket.
type nodes struct {
	t        *testing.T
	dir      string
	database string // its URL
	bucket   object.Source
	text     string // of hufud.toml
	all      []*built.Server
}

// newNodes makes and starts n servers as docs/operations.md says: all but the first get the
// configuration and the CA without its root key.
func newNodes(t *testing.T, e *engine, n int) *nodes {
	t.Helper()
	return newNodesOn(t, e.fresh(t), n, "")
}

// newNodesOn makes them on a database, which the last one reaches by another URL if it is not "".
func newNodesOn(t *testing.T, database string, n int, last string) *nodes {
	t.Helper()
	programs, err := bin()
	must(t, err)
	store, err := service()
	must(t, err)
	s := &nodes{t: t, dir: t.TempDir(), database: database}
	s.bucket, err = store.Bucket()
	must(t, err)
	s.text = shared.Text(s.database, s.bucket)
	file := filepath.Join(s.dir, "hufud.toml")
	must(t, os.WriteFile(file, []byte(s.text), 0o600))
	first, err := built.NewServerWith([]string{"--config", file}, programs, filepath.Join(s.dir, "node0"))
	must(t, err)
	s.all = append(s.all, first)
	for i := 1; i < n; i++ {
		s.all = append(s.all, s.further(fmt.Sprintf("node%d", i)))
	}
	if last != "" {
		file := filepath.Join(s.all[n-1].Data, "hufud.toml")
		toml, err := os.ReadFile(file)
		must(t, err, os.WriteFile(file, bytes.Replace(toml, fmt.Appendf(nil, "%q", database), fmt.Appendf(nil, "%q", last), 1), 0o600))
	}
	t.Cleanup(func() {
		for _, n := range s.all {
			if t.Failed() {
				t.Log(n.Data + "\n" + n.Log())
			}
			must(t, n.Kill())
		}
	})
	for _, n := range s.all {
		must(t, n.Start())
	}
	return s
}

// further is another server with the configuration and the CA of the first.
func (s *nodes) further(name string) *built.Server {
	s.t.Helper()
	n, err := s.all[0].Join(filepath.Join(s.dir, name))
	must(s.t, err)
	return n
}

// ok returns what a command prints, which must succeed.
func (s *nodes) ok(r built.Result, err error) string {
	s.t.Helper()
	if must(s.t, err); r.Code != 0 {
		s.t.Fatal(r)
	}
	return r.Out
}

// enroll makes a user at a node.
func (s *nodes) enroll(n *built.Server, user, address string) built.Person {
	s.t.Helper()
	p, err := n.Enroll(filepath.Join(s.dir, user), user, address)
	must(s.t, err)
	return p
}

// listed are the nodes as one of them lists them.
func (s *nodes) listed(by *built.Server) (all []listedNode) {
	s.t.Helper()
	var status struct {
		Nodes []listedNode `json:"nodes"`
	}
	must(s.t, json.Unmarshal([]byte(s.ok(by.Admin("status", "--json"))), &status))
	return status.Nodes
}

type listedNode struct {
	ID      string `json:"id"`
	Address string `json:"address"`
	Age     *int64 `json:"trust_age_ms"`
	Live    bool   `json:"live"`
}

// told is the address that clients are told.
func (s *nodes) told(n *built.Server) string {
	return "localhost" + n.Address[strings.LastIndex(n.Address, ":"):]
}

// moved makes a person speak to another address.
func (s *nodes) moved(p built.Person, from, to string) {
	s.t.Helper()
	found := 0
	must(s.t, filepath.WalkDir(p.Home, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || filepath.Base(path) != "profile.json" {
			return err
		}
		found++
		text, err := os.ReadFile(path)
		return errors.Join(err, os.WriteFile(path, bytes.ReplaceAll(text, []byte(from), []byte(to)), 0o600))
	}))
	if found != 1 {
		s.t.Fatal(found, "profiles")
	}
}

// traffic returns how many bytes have come to a node and gone from it.
func (s *nodes) traffic(n *built.Server) (in, out int64) {
	s.t.Helper()
	var status struct {
		Server struct {
			In  int64 `json:"bytes_in"`
			Out int64 `json:"bytes_out"`
		} `json:"server"`
	}
	must(s.t, json.Unmarshal([]byte(s.ok(n.Admin("status", "--json"))), &status))
	return status.Server.In, status.Server.Out
}

// TestNodes: servers know of one another; one that ended, or is run again, leaves no trace.
func TestNodes(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		s := newNodes(t, e, 2)
		one, two := s.all[0], s.all[1]
		all := s.listed(one)
		ids := map[string]bool{}
		for i, n := range all {
			ids[n.ID] = true
			if i > 1 || n.Address != s.told(s.all[i]) || !n.Live || n.Age == nil || *n.Age > 10_000 {
				t.Errorf("node %d: %+v", i, n)
			}
		}
		if len(ids) != 2 {
			t.Error(all)
		}
		if out := s.ok(two.Admin("status")); !strings.Contains(out, s.told(one)+" (") || !strings.Contains(out, s.told(two)+" (") {
			t.Error(out)
		}
		must(t, two.Kill(), two.Start())
		if again := s.listed(one); len(again) != 2 || again[0].ID != all[0].ID || ids[again[1].ID] {
			t.Error("after a crash:", again)
		}

		// Another CA, and files elsewhere: refused, while the others go on.
		programs, err := bin()
		must(t, err)
		foreign, err := built.NewServer(programs, filepath.Join(s.dir, "foreign"))
		must(t, err, os.WriteFile(filepath.Join(foreign.Data, "hufud.toml"), []byte(s.text), 0o600))
		if err := foreign.Start(); err == nil || !strings.Contains(err.Error(), "has another root CA") {
			t.Error(err)
		}
		disk := s.further("disk")
		toml, err := os.ReadFile(filepath.Join(disk.Data, "hufud.toml"))
		must(t, err, os.WriteFile(filepath.Join(disk.Data, "hufud.toml"), bytes.Replace(toml, []byte("[store]\nurl = "), []byte("[store]\nurl = \"disk:files\"\nregion = "), 1), 0o600))
		if err := disk.Start(); err == nil || !strings.Contains(err.Error(), "keeps its files in s3://") {
			t.Error(err)
		}
		if now := s.listed(one); len(now) != 2 {
			t.Error("one that was refused is listed:", now)
		}
		if code, err := two.Stop(); err != nil || code != 0 {
			t.Error(code, err)
		}
		if left := s.listed(one); len(left) != 1 {
			t.Error("after its end:", left)
		}
	})
}

// TestNodesOnDisks: two servers whose files are on their own disks do not share a database, unless
// one of them was killed.
func TestNodesOnDisks(t *testing.T) {
	t.Parallel()
	e, err := postgres()
	must(t, err)
	programs, err := bin()
	must(t, err)
	s := &nodes{t: t, dir: t.TempDir()}
	one, err := built.NewServerWith([]string{"--database", e.fresh(t)}, programs, filepath.Join(s.dir, "one"))
	must(t, err, one.Start())
	s.all = append(s.all, one)
	two := s.further("two")
	defer func() { must(t, one.Kill(), two.Kill()) }()
	if err := two.Start(); err == nil || !strings.Contains(err.Error(), "keeps its files on its own disk") {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(two.Data, "listen")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a server that was refused has noted its address for invitations: %v", err)
	}
	must(t, one.Kill(), two.Start())
}

// TestRevokedThoughOthersCannotBeCounted: a certificate that was revoked is reported as revoked, even
// if it cannot be found out afterwards whether its device has another one.
func TestRevokedThoughOthersCannotBeCounted(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		programs, err := bin()
		must(t, err)
		name := e.create(t)
		s, err := built.NewServerWith([]string{"--database", e.at(e.address, name)}, programs, filepath.Join(t.TempDir(), "data"))
		must(t, err)
		r, err := s.Admin("cert", "list", "--json")
		must(t, err)
		var own struct {
			Serial string `json:"serial"`
		}
		must(t, json.Unmarshal([]byte(r.Out), &own))
		_, err = e.in(t, name).ExecContext(t.Context(), "ALTER TABLE devices RENAME TO elsewhere")
		must(t, err)
		if r, err = s.Admin("cert", "revoke", own.Serial); err != nil || r.Code == 0 || !strings.Contains(r.Out, "Revoked 1 certificate") {
			t.Error(r, err)
		}
	})
}

// In the following tests a command has one lane, so that it uses one node.

// TestRevokedAtAnotherNode: what is revoked at one node ends the transfers at the other, and the
// command says that all nodes have confirmed it.
func TestRevokedAtAnotherNode(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		const promise, rate = time.Second, 16 << 20 // fast enough that what lies in its buffers is soon through
		runs := 3
		if os.Getenv("HUFU_LARGE") != "" {
			runs = 20
		}
		s := newNodes(t, e, 2)
		one, two := s.all[0], s.all[1]
		slow, err := built.NewSlow(two.Address, rate)
		must(t, err)
		defer slow.Close()
		content := make([]byte, 64<<20)
		_, _ = rand.Read(content)
		keeper := s.enroll(one, "keeper", one.Address)
		must(t, os.WriteFile(filepath.Join(keeper.Home, "large"), content, 0o600))
		s.ok(keeper.Run("put", "large", ":/@shared/common/"))
		var slowest, answered, onLink time.Duration
		for i := range runs {
			user := fmt.Sprintf("user%d", i)
			// Enrolled at one node, and known at once to the other.
			p := s.enroll(one, user, one.Address)
			s.moved(p, one.Address, slow.Address)
			s.ok(p.Run("ls", ":/"))
			in0, out0 := s.traffic(two)
			ctx, cancel := context.WithCancel(t.Context())
			var ended [2]chan built.Result
			for i, args := range [][]string{{"put", "--jobs", "1", filepath.Join(keeper.Home, "large"), ":/"}, {"get", "--jobs", "1", ":/@shared/common/large", "got"}} {
				ended[i] = make(chan built.Result, 1)
				cmd := p.Command(ctx, args...)
				go func() {
					r, err := built.Run(cmd)
					if err != nil {
						r.Err += err.Error()
					}
					ended[i] <- r
				}()
			}
			must(t, built.Eventually("a put and a get", func() bool {
				in, out := s.traffic(two)
				return in-in0 > 2<<20 && out-out0 > 2<<20
			}))
			begun := time.Now()
			if out := s.ok(one.Admin("cert", "revoke", "--user", user)); !strings.Contains(out, "Revoked 1 certificate") {
				t.Error(out)
			}
			took, passed := time.Since(begun), slow.Passed()
			answered = max(answered, took)
			for i, c := range ended {
				if r := <-c; r.Code != 6 || !strings.Contains(r.Err, "revoked") {
					t.Errorf("%d: %s", i, r)
				}
			}
			if took := time.Since(begun); took > slowest {
				// All nodes had confirmed by then: this was in the buffers of the link.
				slowest, onLink = took, time.Duration(slow.Passed()-passed)*time.Second/rate
			}
			cancel()
		}
		t.Logf("%d runs: the slowest client ended %v after the command had begun, the slowest command took %v; what was on the way then took the link %v", runs, slowest, answered, onLink)
		if slowest > 5*promise {
			t.Errorf("%v until the end of a transfer", slowest)
		}

		// A node that does not confirm is named.
		must(t, syscall.Kill(two.Pid(), syscall.SIGSTOP))
		r, err := one.Admin("user", "lock", "keeper")
		must(t, err, syscall.Kill(two.Pid(), syscall.SIGCONT))
		if r.Code != 5 || !strings.Contains(r.Out, "Locked the user keeper") || !strings.Contains(r.Err, s.told(two)) || strings.Contains(r.Err, s.told(one)) {
			t.Error(r)
		}
		s.ok(one.Admin("user", "unlock", "keeper"))
	})
}

// TestFrozenNode: a node that is frozen in the middle of a change, or of an answer, while its client
// is revoked elsewhere, makes no change and gives nothing more than was on its way when it wakes.
func TestFrozenNode(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		l, name := e.link(t), e.create(t)
		through := e.at(l.address, name) + "?sslmode=disable"
		if e.name == "postgres" {
			through += "&default_query_exec_mode=describe_exec" // each statement is spelled out
		}
		s := newNodesOn(t, e.at(e.address, name), 2, through)
		one, two := s.all[0], s.all[1]
		keeper := s.enroll(one, "keeper", one.Address)
		large := make([]byte, 32<<20)
		must(t, os.WriteFile(filepath.Join(keeper.Home, "small"), []byte("small"), 0o600), os.WriteFile(filepath.Join(keeper.Home, "large"), large, 0o600))
		_, _ = rand.Read(large)
		must(t, os.WriteFile(filepath.Join(keeper.Home, "random"), large, 0o600))
		s.ok(keeper.Run("put", "random", ":/@shared/common/"))
		// freeze runs while the node is frozen, and ends when the user has been revoked.
		freeze := func(user string, confirmed chan<- built.Result) {
			must(t, syscall.Kill(two.Pid(), syscall.SIGSTOP))
			go func() {
				r, err := one.Admin("cert", "revoke", "--user", user)
				if err != nil {
					r.Err += err.Error()
				}
				confirmed <- r
			}()
			must(t, built.Eventually("revoked", func() bool {
				r, err := one.Admin("cert", "list", "--user", user)
				return err == nil && strings.Contains(r.Out, "revoked")
			}), syscall.Kill(two.Pid(), syscall.SIGCONT))
		}
		const entries, stamps = "INSERT INTO entries", "INTO stamps"
		moments := [][2]string{{"small", entries}, {"large", stamps}}
		if os.Getenv("HUFU_LARGE") != "" {
			moments = append(moments, [][2]string{{"small", stamps}, {"large", entries}, {"small", "INSERT INTO contents"}, {"large", "UPDATE contents SET state = 2"}}...)
		}
		for i, m := range moments {
			file, word := m[0], m[1]
			user := fmt.Sprintf("%s%d", file, i)
			p := s.enroll(two, user, two.Address)
			confirmed, came := make(chan built.Result, 1), false
			arm := func() { l.before(word, func() { came = true; freeze(user, confirmed) }) }
			if first := "SELECT id, size, layout, state, voided"; file == "large" { // the last transaction of several
				l.before(first, arm)
			} else {
				arm()
			}
			r, err := p.Run("put", filepath.Join(keeper.Home, file), ":/@shared/common/"+user)
			must(t, err)
			if !came {
				t.Fatal(word, "has not come")
			}
			// On a slow computer the database ends the transaction before the node wakes: try again.
			if r.Code != 6 && r.Code != 5 {
				t.Error(word, r)
			}
			if r := <-confirmed; r.Code != 0 && r.Code != 5 {
				t.Error(r)
			}
			if out := s.ok(keeper.Run("ls", ":/@shared/common")); strings.Contains(out, user) {
				t.Errorf("%s: a revoked client has made a change:\n%s", word, out)
			}
		}

		slow, err := built.NewSlow(two.Address, 4<<20)
		must(t, err)
		defer slow.Close()
		p := s.enroll(one, "reader", one.Address)
		s.moved(p, one.Address, slow.Address)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		over := make(chan built.Result, 1)
		cmd := p.Command(ctx, "get", "--jobs", "1", ":/@shared/common/random", "got")
		go func() {
			r, _ := built.Run(cmd)
			over <- r
		}()
		must(t, built.Eventually("a get", func() bool { return slow.Passed() > 4<<20 }))
		confirmed := make(chan built.Result, 1)
		freeze("reader", confirmed)
		before := slow.Passed()
		if r := <-over; r.Code != 6 || !strings.Contains(r.Err, "revoked") {
			t.Error(r)
		}
		if more := slow.Passed() - before; more > 16<<20 {
			t.Errorf("%d MiB went to a reader who had been revoked", more>>20)
		}
		if r := <-confirmed; r.Code != 0 && r.Code != 5 {
			t.Error(r)
		}
	})
}
