package meta

import (
	"context"
	"time"
)

// Node is a server that shares a database with others.
type Node struct {
	ID      ID       // of this run of it
	Folder  [32]byte // a digest of where its data folder is
	Address string   // where clients reach it
	Program string   // the version of its program
	Root    [32]byte // SHA-256 of its root CA
	Files   string   // where its files are, without secrets
	Known   Version  // the last one that it acts on
	At      int64    // when it knew that Known is the current one, by the clock of the database, in milliseconds
	Started time.Time
	Age     time.Duration // the time from At until now
}

// Covers reports whether a server that acts on v knows every change up to other.
func (v Version) Covers(other Version) bool { return v == other || v.counter > other.counter }

// Beat writes the version that a node acts on. It writes the whole row of a node that has none.
func (q Queries) Beat(ctx context.Context, n Node) error {
	_, err := q.exec(ctx, "store node", q.d.upsert(upsert{
		standard: `INSERT INTO nodes (id, folder, address, program, root, files, counter, random, beat_at, started_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET counter = excluded.counter, random = excluded.random, beat_at = excluded.beat_at, started_at = excluded.started_at`,
		mysql: `INSERT INTO nodes (id, folder, address, program, root, files, counter, random, beat_at, started_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE counter = VALUES(counter), random = VALUES(random), beat_at = VALUES(beat_at), started_at = VALUES(started_at)`,
	}), n.ID, n.Folder[:], n.Address, n.Program, n.Root[:], n.Files, n.Known.counter, n.Known.random[:], n.At, millis(n.Started))
	return err
}

// Nodes lists the servers of a shared database, the first to start first. Those that have ended
// without a word are among them for some time. A database that is not shared has none.
func (q Queries) Nodes(ctx context.Context) ([]Node, error) {
	if !q.d.shared {
		return nil, nil
	}
	nodes, err := all(ctx, q, "list nodes", func(n *Node) []any {
		return []any{
			idAt{&n.ID},
			sum{&n.Folder},
			&n.Address, &n.Program,
			sum{&n.Root},
			&n.Files,
			&n.Known.counter,
			random{&n.Known.random},
			&n.At,
			at{&n.Started},
			&n.Age,
		}
	}, "SELECT id, folder, address, program, root, files, counter, random, beat_at, started_at, CLOCK() FROM nodes ORDER BY started_at, id")
	for i, n := range nodes { // Age holds the clock of the database until here
		nodes[i].Age = max(0, time.Duration(int64(n.Age)-n.At)*time.Millisecond)
	}
	return nodes, err
}

// DropNode removes the row of a node that ends.
func (q Queries) DropNode(ctx context.Context, id ID) error {
	_, err := q.exec(ctx, "drop node", "DELETE FROM nodes WHERE id = ?", id)
	return err
}

// DropNodes removes the rows of the earlier runs on a data folder, and of nodes that have not written
// since before, a time by the clock of the database in milliseconds.
func (q Queries) DropNodes(ctx context.Context, folder [32]byte, before int64) error {
	_, err := q.exec(ctx, "drop nodes", "DELETE FROM nodes WHERE folder = ? OR beat_at < ?", folder[:], before)
	return err
}
