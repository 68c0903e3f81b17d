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
// root CA or other files. advertise is the flag, address where the server listens.
func (a *app) join(ctx context.Context, s *site, address, advertise string, log *slog.Logger) error {
	src, err := a.database()
	if err != nil || !src.Shared() {
		return err
	}
	c, _, err := a.config()
	if err != nil {
		return err
	}
	told, err := a.advertisedAt(address, advertise)
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
		Root: identity.Fingerprint(s.ca.Root()), Files: strings.TrimSpace(redacted(c.Store.URL) + " " + redacted(c.Store.Endpoint)),
	}
	others, err := s.acc.Join(ctx, n, func(o meta.Node) error { return fits(n, o) })
	for _, o := range others {
		if o.Program != n.Program {
			log.Warn("another server on this database runs another version", "server", o.Address, "version", o.Program, "own", n.Program)
		}
		if _, own := filesOf(n); own != "" {
			if _, theirs := filesOf(o); theirs != "" && theirs != own {
				log.Warn("another server on this database reaches the store at another endpoint: make sure that it is the same store", "server", o.Address, "endpoint", theirs, "own", own)
			}
		}
	}
	return err
}

// filesOf returns where the files of a node are, and at which endpoint if it has named one.
func filesOf(n meta.Node) (store, endpoint string) {
	store, endpoint, _ = strings.Cut(n.Files, " ")
	return store, endpoint
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
	own, _ := filesOf(n)
	theirs, _ := filesOf(other)
	switch {
	case n.Root != other.Root:
		return misfit("node_other_ca", "theirs", hexOf(other.Root), "own", hexOf(n.Root))
	case own != theirs:
		return misfit("node_other_files", "theirs", theirs, "own", own)
	case own == defaultStore:
		return misfit("node_disk")
	}
	return nil
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
