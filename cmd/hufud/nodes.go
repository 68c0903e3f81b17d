package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"hufu"
	"hufu/internal/account"
	"hufu/internal/identity"
	"hufu/internal/meta"
)

// aliveFor is how long a server that does not fit is watched before it counts as one that was
// killed. A live one writes twice a second.
const aliveFor = 3 * time.Second

// confirmLimit is how long a command that takes trust away waits for the servers.
const confirmLimit = 5 * time.Second

func seconds(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }

// nodeNames names nodes by their addresses and the beginnings of their ids.
func nodeNames(nodes []meta.Node) string {
	names := make([]string, len(nodes))
	for i, n := range nodes {
		names[i] = n.Address + " (" + n.ID.String()[:8] + ")"
	}
	return strings.Join(names, ", ")
}

// join makes the server a node of its database, if that is shared, unless a live node has another
// root CA or other files.
func (a *app) join(ctx context.Context, s *site, address string, log *slog.Logger) error {
	src, err := a.database()
	if err != nil || !src.Shared() {
		return err
	}
	c, _, err := a.config()
	if err != nil {
		return err
	}
	told, err := a.advertised()
	if err != nil {
		return err
	}
	own, err := s.ca.ServerCertificate()
	if err != nil {
		return err
	}
	host, _ := os.Hostname() // many computers have the same one; the key of the server is no other's
	n := meta.Node{
		ID: meta.RandomID(), Folder: sha256.Sum256([]byte(host + "\x00" + a.data + "\x00" + string(own.Leaf.RawSubjectPublicKeyInfo))), Address: cmp.Or(told, address), Program: hufu.Version,
		Root: identity.Fingerprint(s.ca.Root()), Files: redacted(c.Store.URL),
	}
	others, err := s.acc.Join(ctx, n)
	for _, o := range others {
		misfit := fits(n, o)
		if misfit != nil && alive(ctx, s.acc, o) {
			s.acc.Leave(context.WithoutCancel(ctx))
			return misfit
		}
		if o.Program != n.Program {
			log.Warn("another server on this database runs another version", "server", o.Address, "version", o.Program, "own", n.Program)
		}
	}
	return err
}

// fits returns why the node n cannot serve beside the other, or nil.
func fits(n, other meta.Node) error {
	misfit := func(code string, args ...string) error {
		e := &hufu.Error{Op: "join nodes", Kind: hufu.KindUsage, Code: code, Args: map[string]string{"other": other.Address}}
		for i := 0; i < len(args); i += 2 {
			e.Args[args[i]] = args[i+1]
		}
		return e
	}
	switch {
	case n.Root != other.Root:
		return misfit("node_other_ca", "theirs", hexOf(other.Root), "own", hexOf(n.Root))
	case n.Files != other.Files:
		return misfit("node_other_files", "theirs", other.Files, "own", n.Files)
	case n.Files == defaultStore:
		return misfit("node_disk")
	}
	return nil
}

// alive reports whether a node still writes.
func alive(ctx context.Context, acc *account.Service, o meta.Node) bool {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(aliveFor); time.Now().Before(end); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return true
		}
		others, err := acc.Others(ctx)
		if err != nil {
			return true
		}
		there := false
		for _, now := range others {
			there = there || now.ID == o.ID
			if now.ID == o.ID && now.At != o.At {
				return true
			}
		}
		if !there {
			return false
		}
	}
	return false
}

// nodeLine is a node in the status.
type nodeLine struct {
	ID      string    `json:"id"`
	Address string    `json:"address"`
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	Age     int64     `json:"trust_age_ms"` // of what it knows of users and certificates
	Live    bool      `json:"live"`
}

// nodes returns the nodes of a shared database.
func nodes(ctx context.Context, db *meta.DB) ([]nodeLine, error) {
	all, err := db.Nodes(ctx)
	lines := make([]nodeLine, len(all))
	for i, n := range all {
		lines[i] = nodeLine{n.ID.String(), n.Address, n.Program, n.Started, n.Age.Milliseconds(), n.Age < account.NodeLife}
	}
	return lines, err
}

// nodeRows are the rows of the status about the nodes.
func (a *app) nodeRows(lines []nodeLine) [][]string {
	var rows [][]string
	title := a.Cat.T("hufud.status.nodes")
	for _, n := range lines {
		key := "hufud.status.node"
		if !n.Live {
			key = "hufud.status.node_dead"
		}
		rows = append(rows, []string{title, a.Cat.T(key, "address", n.Address, "id", n.ID[:8], "age", a.Cat.Duration(time.Duration(n.Age)*time.Millisecond), "version", n.Version)})
		title = ""
	}
	return rows
}
