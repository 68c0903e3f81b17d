package meta

import (
	"context"
	"math/bits"
	"slices"

	"hufu"
)

// Installation returns the name of the installation. If it has none, fresh becomes its name.
func (q NameQueries) Installation(ctx context.Context, fresh string) (name string, err error) {
	const op = "look up installation"
	column := func(s *string) []any { return []any{s} }
	found, err := all(ctx, q.q, op, column, "SELECT name FROM installation WHERE id = 1")
	if err != nil {
		return "", err
	}
	if len(found) == 1 { // no write then: the database may take none now
		return found[0], nil
	}
	_, err = q.q.execNew(ctx, op, "INSERT INTO installation (id, name) VALUES (1, ?)", []byte(fresh))
	if err != nil {
		return "", err
	}
	return one(ctx, q.q, op, column, "SELECT name FROM installation WHERE id = 1")
}

// Root returns the folder at the top of a tree, none if there is no such tree.
func (q NameQueries) Root(ctx context.Context, tree string) (ID, error) {
	return q.first(ctx, "look up tree", "SELECT root FROM trees WHERE name = ?", []byte(tree))
}

// first returns the ID that a question finds, or none.
func (q NameQueries) first(ctx context.Context, op, query string, args ...any) (ID, error) {
	ids, err := all(ctx, q.q, op, func(id *ID) []any { return []any{idAt{id}} }, query, args...)
	if err != nil || len(ids) == 0 {
		return ID{}, err
	}
	return ids[0], nil
}

// AddTree makes a tree, unless there is one of this name, and its root folder. The caller looks up
// which root it has got.
func (q NameQueries) AddTree(ctx context.Context, tree string, root Folder) error {
	n, err := q.q.execNew(ctx, "make tree", "INSERT INTO trees (root, name) VALUES (?, ?)", root.ID, []byte(tree))
	if err != nil || n == 0 {
		return err
	}
	return q.AddFolder(ctx, root)
}

// Trees lists the names of the trees from first on to before end.
func (q NameQueries) Trees(ctx context.Context, first, end string) ([]string, error) {
	return all(ctx, q.q, "list trees", func(s *string) []any { return []any{s} },
		"SELECT name FROM trees WHERE name >= ? AND name < ? ORDER BY name", []byte(first), []byte(end))
}

// LockTree locks a tree until the transaction ends. A transaction that moves a folder holds it.
func (q NameQueries) LockTree(ctx context.Context, root ID) error {
	_, err := q.first(ctx, "lock tree", q.q.d.pick(spelled{
		sqlite:   "SELECT root FROM trees WHERE root = ?",
		postgres: "SELECT root FROM trees WHERE root = ? FOR UPDATE",
		mysql:    "SELECT root FROM trees WHERE root = ? FOR UPDATE",
	}), root)
	return err
}

func folderColumns(f *Folder) []any {
	return []any{idAt{&f.ID}, idAt{&f.Parent}, &f.Mode, &f.MTime, &f.By, &f.Gone}
}

// LockFolder keeps others from changing names in a folder, and returns the folder. It is gone if
// there is none.
func (q NameQueries) LockFolder(ctx context.Context, id ID) (Folder, error) {
	return q.folder(ctx, "lock folder", id, q.q.d.pick(spelled{
		sqlite:   "SELECT id, parent, mode, mtime, by_user, gone_at > 0 FROM folders WHERE id = ?",
		postgres: "SELECT id, parent, mode, mtime, by_user, gone_at > 0 FROM folders WHERE id = ? FOR UPDATE",
		mysql:    "SELECT id, parent, mode, mtime, by_user, gone_at > 0 FROM folders WHERE id = ? FOR UPDATE",
	}))
}

// LockFolders is LockFolder for several folders, in the order of their ids. Those that are not there
// are left out.
func (q NameQueries) LockFolders(ctx context.Context, ids ...ID) (found []Folder, err error) {
	ids = slices.SortedFunc(slices.Values(ids), ID.Compare)
	err = partsOf(maxIDs, ids, func(part []ID) error {
		// MySQL locks the rows that it looks at, in the order of the index that it uses.
		some, err := all(ctx, q.q, "lock folders", folderColumns, rows(q.q.d.pick(spelled{
			sqlite:   "SELECT id, parent, mode, mtime, by_user, gone_at > 0 FROM folders WHERE id IN ({?})",
			postgres: "SELECT id, parent, mode, mtime, by_user, gone_at > 0 FROM folders WHERE id IN ({?}) ORDER BY id FOR UPDATE",
			mysql:    "SELECT id, parent, mode, mtime, by_user, gone_at > 0 FROM folders FORCE INDEX (PRIMARY) WHERE id IN ({?}) ORDER BY id FOR UPDATE",
		}), len(part)), anys(part)...)
		found = append(found, some...)
		return err
	})
	return found, err
}

// Folder returns a folder. It is gone if there is none.
func (q NameQueries) Folder(ctx context.Context, id ID) (Folder, error) {
	return q.folder(ctx, "look up folder", id, "SELECT id, parent, mode, mtime, by_user, gone_at > 0 FROM folders WHERE id = ?")
}

func (q NameQueries) folder(ctx context.Context, op string, id ID, query string) (Folder, error) {
	found, err := all(ctx, q.q, op, folderColumns, query, id)
	if err != nil || len(found) == 0 {
		return Folder{Gone: true}, err
	}
	return found[0], nil
}

// AddFolder writes a new folder. An entry has to lead to it.
func (q NameQueries) AddFolder(ctx context.Context, f Folder) error {
	_, err := q.q.exec(ctx, "make folder", "INSERT INTO folders (id, parent, mode, mtime, by_user, gone_at) VALUES (?, ?, ?, ?, ?, 0)",
		f.ID, f.Parent, f.Mode, f.MTime, []byte(f.By))
	return err
}

// SetFolder sets mode and time of a folder.
func (q NameQueries) SetFolder(ctx context.Context, id ID, mode uint32, mtime int64) error {
	_, err := q.q.exec(ctx, "set folder", "UPDATE folders SET mode = ?, mtime = ? WHERE id = ?", mode, mtime, id)
	return err
}

// Touch sets the time of these folders.
func (q NameQueries) Touch(ctx context.Context, mtime int64, ids ...ID) error {
	_, err := q.execIDs(ctx, "set folder", "UPDATE folders SET mtime = ? WHERE id IN ({?})", ids, mtime)
	return err
}

// MoveFolder notes the new parent of a folder.
func (q NameQueries) MoveFolder(ctx context.Context, id, parent ID) error {
	_, err := q.q.exec(ctx, "move folder", "UPDATE folders SET parent = ? WHERE id = ?", parent, id)
	return err
}

// Detach marks folders as removed. What is in them is left to the clean-up.
func (q NameQueries) Detach(ctx context.Context, ids ...ID) error {
	_, err := q.execIDs(ctx, "remove folder", "UPDATE folders SET gone_at = CLOCK() WHERE id IN ({?})", ids)
	return err
}

// Subfolders returns these folders and all folders below them.
func (q NameQueries) Subfolders(ctx context.Context, ids ...ID) (found []ID, err error) {
	err = partsOf(maxIDs, ids, func(part []ID) error {
		some, err := all(ctx, q.q, "look up folders", idColumn, rows(`WITH RECURSIVE below (id) AS (SELECT id FROM folders WHERE id IN ({?})
			UNION ALL SELECT f.id FROM below b JOIN folders f ON f.parent = b.id WHERE f.gone_at = 0) SELECT id FROM below`, len(part)), anys(part)...)
		found = append(found, some...)
		return err
	})
	return found, err
}

func entryColumns(e *Entry) []any {
	return []any{
		textAt{&e.Name},
		numberAt[hufu.EntryKind]{&e.Kind},
		idAt{&e.Child},
		numberAt[int64]{&e.Size},
		numberAt[int64]{&e.Layout},
		numberAt[uint32]{&e.Mode},
		numberAt[int64]{&e.MTime},
		digestAt{&e.Digest},
		textAt{&e.Target},
		textAt{&e.By},
		textAt{&e.Upload},
		idAt{&e.Version},
	}
}

// Look follows the folders of path from root on, and looks up name in the last of them. Each of the
// segments of path is followed by a slash.
func (q NameQueries) Look(ctx context.Context, root ID, path, name string) (Place, error) {
	found, err := q.look(ctx, root, path, []string{name}, 0)
	if err == nil && len(found) == 0 {
		err = &hufu.Error{Op: "look up path", Kind: hufu.KindNotFound}
	}
	if err != nil {
		return Place{}, err
	}
	return found[0], nil
}

// LookFiles is Look for several names, in their order. It also returns the bytes of files whose bytes
// are in a row; all entries and bytes are those of one moment.
func (q NameQueries) LookFiles(ctx context.Context, root ID, path string, names ...string) ([]Place, error) {
	asked := slices.Clone(names)
	for bits.OnesCount(uint(len(asked))) > 1 { // so that a database prepares few different statements
		asked = append(asked, names[0])
	}
	found, err := q.look(ctx, root, path, asked, 1)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, &hufu.Error{Op: "look up path", Kind: hufu.KindNotFound}
	}
	out := make([]Place, len(names))
	for i, name := range names {
		if at := slices.IndexFunc(found, func(p Place) bool { return p.Entry.Kind != 0 && p.Entry.Name == name }); at >= 0 {
			out[i] = found[at]
		} else {
			out[i] = Place{Depth: found[0].Depth, Kind: found[0].Kind, Folder: found[0].Folder}
		}
	}
	return out, nil
}

func (q NameQueries) look(ctx context.Context, root ID, path string, names []string, bytes int) ([]Place, error) {
	args := []any{[]byte(path), root}
	for _, name := range names {
		args = append(args, []byte(name))
	}
	return all(ctx, q.q, "look up path", func(p *Place) []any {
		return append(append([]any{&p.Depth, &p.Kind, idAt{&p.Folder}}, entryColumns(&p.Entry)...), &p.Bytes)
	}, q.q.d.pick(spelled{
		sqlite: rows(`WITH RECURSIVE given (path) AS (SELECT ?), walk (id, kind, pos, depth) AS (SELECT ?, 2, 1, 0
			UNION ALL SELECT e.child, e.kind, w.pos + length(e.name) + 1, w.depth + 1 FROM walk w CROSS JOIN given g
			JOIN entries e ON e.folder = w.id AND e.name = substr(g.path, w.pos, instr(substr(g.path, w.pos), x'2f') - 1)
			WHERE w.kind = 2 AND w.pos < length(g.path))
			SELECT w.depth, w.kind, w.id, e.name, e.kind, e.child, e.size, e.layout, COALESCE(f.mode, e.mode), COALESCE(f.mtime, e.mtime),
			e.digest, e.target, COALESCE(f.by_user, e.by_user), e.upload, e.version, c.bytes
			FROM (SELECT id, kind, depth FROM walk ORDER BY depth DESC LIMIT 1) w
			LEFT JOIN entries e ON e.folder = w.id AND e.name IN ({?}) LEFT JOIN folders f ON f.id = e.child AND e.kind = 2
			LEFT JOIN contents c ON c.id = e.child AND e.kind = 1 AND e.layout = 0 AND ? = 1`, len(names)),
		postgres: rows(`WITH RECURSIVE given (path) AS (SELECT CAST(? AS BYTEA)), walk (id, kind, pos, depth) AS (
			SELECT CAST(? AS BYTEA), CAST(2 AS SMALLINT), 1, 0
			UNION ALL SELECT e.child, e.kind, w.pos + length(e.name) + 1, w.depth + 1 FROM walk w CROSS JOIN given g
			JOIN entries e ON e.folder = w.id
			AND e.name = substring(g.path FROM w.pos FOR position(CAST('/' AS BYTEA) IN substring(g.path FROM w.pos)) - 1)
			WHERE w.kind = 2 AND w.pos < length(g.path))
			SELECT w.depth, w.kind, w.id, e.name, e.kind, e.child, e.size, e.layout, COALESCE(f.mode, e.mode), COALESCE(f.mtime, e.mtime),
			e.digest, e.target, COALESCE(f.by_user, e.by_user), e.upload, e.version, c.bytes
			FROM (SELECT id, kind, depth FROM walk ORDER BY depth DESC LIMIT 1) w
			LEFT JOIN entries e ON e.folder = w.id AND e.name IN ({?}) LEFT JOIN folders f ON f.id = e.child AND e.kind = 2
			LEFT JOIN contents c ON c.id = e.child AND e.kind = 1 AND e.layout = 0 AND CAST(? AS SMALLINT) = 1`, len(names)),
		mysql: rows(`WITH RECURSIVE given (path) AS (SELECT CAST(? AS BINARY)), walk (id, kind, pos, depth) AS (
			SELECT CAST(? AS BINARY(16)), CAST(2 AS SIGNED), CAST(1 AS SIGNED), CAST(0 AS SIGNED)
			UNION ALL SELECT e.child, e.kind, w.pos + LENGTH(e.name) + 1, w.depth + 1 FROM walk w CROSS JOIN given g
			JOIN entries e ON e.folder = w.id AND e.name = SUBSTRING(g.path, w.pos, LOCATE('/', g.path, w.pos) - w.pos)
			WHERE w.kind = 2 AND w.pos < LENGTH(g.path))
			SELECT w.depth, w.kind, w.id, e.name, e.kind, e.child, e.size, e.layout, COALESCE(f.mode, e.mode), COALESCE(f.mtime, e.mtime),
			e.digest, e.target, COALESCE(f.by_user, e.by_user), e.upload, e.version, c.bytes
			FROM (SELECT id, kind, depth FROM walk ORDER BY depth DESC LIMIT 1) w
			LEFT JOIN entries e ON e.folder = w.id AND e.name IN ({?}) LEFT JOIN folders f ON f.id = e.child AND e.kind = 2
			LEFT JOIN contents c ON c.id = e.child AND e.kind = 1 AND e.layout = 0 AND ? = 1`, len(names)),
	}), append(args, bytes)...)
}

// Entry returns the entry of this name in a folder, without a kind if there is none.
func (q NameQueries) Entry(ctx context.Context, folder ID, name string) (Entry, error) {
	found, err := all(ctx, q.q, "look up entry", entryColumns,
		`SELECT e.name, e.kind, e.child, e.size, e.layout, COALESCE(f.mode, e.mode), COALESCE(f.mtime, e.mtime),
		e.digest, e.target, COALESCE(f.by_user, e.by_user), e.upload, e.version
		FROM entries e LEFT JOIN folders f ON f.id = e.child AND e.kind = 2 WHERE e.folder = ? AND e.name = ?`, folder, []byte(name))
	if err != nil || len(found) == 0 {
		return Entry{}, err
	}
	return found[0], nil
}

// Named returns the entries of these names in a folder, in no special order. A name that the folder
// does not have is left out.
func (q NameQueries) Named(ctx context.Context, folder ID, names []string) (found []Entry, err error) {
	err = parts(names, func(part []string) error {
		args := []any{folder}
		for _, name := range part {
			args = append(args, []byte(name))
		}
		some, err := all(ctx, q.q, "look up entries", entryColumns,
			rows(`SELECT e.name, e.kind, e.child, e.size, e.layout, COALESCE(f.mode, e.mode), COALESCE(f.mtime, e.mtime),
			e.digest, e.target, COALESCE(f.by_user, e.by_user), e.upload, e.version
			FROM entries e LEFT JOIN folders f ON f.id = e.child AND e.kind = 2 WHERE e.folder = ? AND e.name IN ({?})`, len(part)), args...)
		found = append(found, some...)
		return err
	})
	return found, err
}

// Entries lists limit entries of a folder at most, whose names are greater than after, in the order of names.
func (q NameQueries) Entries(ctx context.Context, folder ID, after string, limit int) ([]Entry, error) {
	return all(ctx, q.q, "list entries", entryColumns,
		`SELECT e.name, e.kind, e.child, e.size, e.layout, COALESCE(f.mode, e.mode), COALESCE(f.mtime, e.mtime),
		e.digest, e.target, COALESCE(f.by_user, e.by_user), e.upload, e.version
		FROM entries e LEFT JOIN folders f ON f.id = e.child AND e.kind = 2 WHERE e.folder = ? AND e.name > ? ORDER BY e.name LIMIT ?`,
		folder, []byte(after), limit)
}

// Inside is an entry with the folder that holds it.
type Inside struct {
	Folder ID
	Entry
}

// EntriesOf lists limit entries of these folders at most, in the order of the folders' ids and the
// entries' names.
func (q NameQueries) EntriesOf(ctx context.Context, folders []ID, limit int) ([]Inside, error) {
	return all(ctx, q.q, "list entries", func(e *Inside) []any { return append([]any{idAt{&e.Folder}}, entryColumns(&e.Entry)...) },
		rows(`SELECT e.folder, e.name, e.kind, e.child, e.size, e.layout, COALESCE(f.mode, e.mode), COALESCE(f.mtime, e.mtime),
		e.digest, e.target, COALESCE(f.by_user, e.by_user), e.upload, e.version
		FROM entries e LEFT JOIN folders f ON f.id = e.child AND e.kind = 2 WHERE e.folder IN ({?}) ORDER BY e.folder, e.name LIMIT ?`,
			len(folders)), append(anys(folders), limit)...)
}

// PutEntry writes whole entries, new or not. They must have different names.
func (q NameQueries) PutEntry(ctx context.Context, folder ID, list ...Entry) error {
	return parts(list, func(part []Entry) error {
		var args []any
		for _, e := range part {
			args = append(args, folder, []byte(e.Name), e.Kind, e.Child, e.Size, e.Layout, e.Mode, e.MTime,
				digestValue(e.Digest), []byte(e.Target), []byte(e.By), []byte(e.Upload), e.Version)
		}
		_, err := q.q.exec(ctx, "store entry", rows(q.q.d.upsert(upsert{
			standard: `INSERT INTO entries (folder, name, kind, child, size, layout, mode, mtime, digest, target, by_user, upload, version)
					VALUES {(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)} ON CONFLICT (folder, name) DO UPDATE SET kind = excluded.kind, child = excluded.child,
					size = excluded.size, layout = excluded.layout, mode = excluded.mode, mtime = excluded.mtime, digest = excluded.digest,
					target = excluded.target, by_user = excluded.by_user, upload = excluded.upload, version = excluded.version`,
			mysql: `INSERT INTO entries (folder, name, kind, child, size, layout, mode, mtime, digest, target, by_user, upload, version)
					VALUES {(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)} ON DUPLICATE KEY UPDATE kind = VALUES(kind), child = VALUES(child),
					size = VALUES(size), layout = VALUES(layout), mode = VALUES(mode), mtime = VALUES(mtime), digest = VALUES(digest),
					target = VALUES(target), by_user = VALUES(by_user), upload = VALUES(upload), version = VALUES(version)`,
		}), len(part)), args...)
		return err
	})
}

// DropEntry removes a name. What it led to is for the caller to release.
func (q NameQueries) DropEntry(ctx context.Context, folder ID, name string) error {
	_, err := q.q.exec(ctx, "remove entry", "DELETE FROM entries WHERE folder = ? AND name = ?", folder, []byte(name))
	return err
}

// Current reports whether a file that is in its tree has this version.
func (q NameQueries) Current(ctx context.Context, version ID) (bool, error) {
	id, err := q.first(ctx, "look up version",
		"SELECT e.version FROM entries e JOIN folders f ON f.id = e.folder WHERE e.version = ? AND f.gone_at = 0", version)
	return !id.IsZero(), err
}

// SetDigest notes the digest of a version, and reports whether the file still has it.
func (q NameQueries) SetDigest(ctx context.Context, version ID, d hufu.Digest) (bool, error) {
	n, err := q.q.exec(ctx, "store digest", "UPDATE entries SET digest = ? WHERE version = ?", d[:], version)
	return n > 0, err
}
