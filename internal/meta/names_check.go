package meta

import (
	"context"

	"hufu"
)

// This file is for hufud fsck. Each query, except UnitsOf, is one statement, so that all
// it compares is from one moment. Lists are in the order of their keys and, with a limit, have at
// most that many rows.

// Checked is a content with what refers to it.
type Checked struct {
	Content
	Refs    int64 // names that it counts
	Names   int64 // names that there are
	Uploads int64 // 1 if it is that of an unfinished upload
}

func checkedColumns(c *Checked) []any {
	return []any{idAt{&c.ID}, &c.Size, &c.Layout, &c.State, &c.Refs, &c.Changed, &c.Names, &c.Uploads}
}

// CheckContents returns the contents whose ids are greater than after, without their bytes.
func (q NameQueries) CheckContents(ctx context.Context, after ID, limit int) ([]Checked, error) {
	return all(ctx, q.q, "check contents", checkedColumns,
		`SELECT c.id, c.size, c.layout, c.state, c.refs, c.changed_at, (SELECT COUNT(*) FROM entries e WHERE e.child = c.id AND e.kind = 1),
		(SELECT COUNT(*) FROM uploads u WHERE u.id = c.id) FROM contents c WHERE c.id > ? ORDER BY c.id LIMIT ?`, after, limit)
}

// CheckContent is CheckContents for one content. Its state is 0 if there is none.
func (q NameQueries) CheckContent(ctx context.Context, id ID) (Checked, error) {
	found, err := all(ctx, q.q, "check content", checkedColumns,
		`SELECT c.id, c.size, c.layout, c.state, c.refs, c.changed_at, (SELECT COUNT(*) FROM entries e WHERE e.child = c.id AND e.kind = 1),
		(SELECT COUNT(*) FROM uploads u WHERE u.id = c.id) FROM contents c WHERE c.id = ?`, id)
	if err != nil || len(found) == 0 {
		return Checked{}, err
	}
	return found[0], nil
}

// CheckedName is an entry with what it leads to.
type CheckedName struct {
	Folder ID   // that holds it
	In     bool // the folder has a row
	Gone   bool // the folder is removed
	Name   string
	Kind   hufu.EntryKind
	Child  ID

	Size, Layout               int64 // as the entry has them
	State                      int   // of the content of a file, 0 if there is none
	ContentSize, ContentLayout int64
	Parent                     ID   // of the folder that a folder's entry leads to
	Leads                      bool // the folder that the entry leads to has a row, and is not removed
}

// CheckNames returns the entries of all folders that are greater than the entry after in folder, by
// folder and name.
func (q NameQueries) CheckNames(ctx context.Context, folder ID, after string, limit int) ([]CheckedName, error) {
	args := []any{folder, []byte(after), limit}
	if q.q.d.mysql { // it finds no range of its index in a comparison of two pairs
		args = []any{folder, folder, []byte(after), limit}
	}
	return all(ctx, q.q, "check names", func(n *CheckedName) []any {
		return []any{
			idAt{&n.Folder},
			&n.In, &n.Gone,
			textAt{&n.Name},
			numberAt[hufu.EntryKind]{&n.Kind},
			idAt{&n.Child},
			&n.Size, &n.Layout, &n.State, &n.ContentSize, &n.ContentLayout,
			idAt{&n.Parent},
			&n.Leads,
		}
	}, q.q.d.pick(spelled{
		sqlite: `SELECT e.folder, d.id IS NOT NULL, COALESCE(d.gone_at, 0) > 0, e.name, e.kind, e.child, e.size, e.layout,
			COALESCE(c.state, 0), COALESCE(c.size, 0), COALESCE(c.layout, 0), f.parent, f.id IS NOT NULL AND f.gone_at = 0
			FROM entries e LEFT JOIN folders d ON d.id = e.folder LEFT JOIN contents c ON c.id = e.child AND e.kind = 1
			LEFT JOIN folders f ON f.id = e.child AND e.kind = 2
			WHERE (e.folder, e.name) > (?, ?) ORDER BY e.folder, e.name LIMIT ?`,
		postgres: `SELECT e.folder, d.id IS NOT NULL, COALESCE(d.gone_at, 0) > 0, e.name, e.kind, e.child, e.size, e.layout,
			COALESCE(c.state, 0), COALESCE(c.size, 0), COALESCE(c.layout, 0), f.parent, f.id IS NOT NULL AND f.gone_at = 0
			FROM entries e LEFT JOIN folders d ON d.id = e.folder LEFT JOIN contents c ON c.id = e.child AND e.kind = 1
			LEFT JOIN folders f ON f.id = e.child AND e.kind = 2
			WHERE (e.folder, e.name) > (?, ?) ORDER BY e.folder, e.name LIMIT ?`,
		mysql: `SELECT e.folder, d.id IS NOT NULL, COALESCE(d.gone_at, 0) > 0, e.name, e.kind, e.child, e.size, e.layout,
			COALESCE(c.state, 0), COALESCE(c.size, 0), COALESCE(c.layout, 0), f.parent, f.id IS NOT NULL AND f.gone_at = 0
			FROM entries e LEFT JOIN folders d ON d.id = e.folder LEFT JOIN contents c ON c.id = e.child AND e.kind = 1
			LEFT JOIN folders f ON f.id = e.child AND e.kind = 2
			WHERE e.folder > ? OR e.folder = ? AND e.name > ? ORDER BY e.folder, e.name LIMIT ?`,
	}), args...)
}

// CheckedFolder is a folder with what leads to it.
type CheckedFolder struct {
	ID     ID
	GoneAt int64 // when it was removed, in milliseconds since 1970; 0 means not
	Names  int64 // entries that lead to it, and trees whose top it is
}

// CheckFolders returns the folders whose ids are greater than after.
func (q NameQueries) CheckFolders(ctx context.Context, after ID, limit int) ([]CheckedFolder, error) {
	return all(ctx, q.q, "check folders", func(f *CheckedFolder) []any { return []any{idAt{&f.ID}, &f.GoneAt, &f.Names} },
		`SELECT f.id, f.gone_at, (SELECT COUNT(*) FROM entries e WHERE e.child = f.id AND e.kind = 2) + (SELECT COUNT(*) FROM trees t WHERE t.root = f.id)
		FROM folders f WHERE f.id > ? ORDER BY f.id LIMIT ?`, after, limit)
}

// CheckedUpload is an unfinished upload with the state of its content, 0 if there is none.
type CheckedUpload struct {
	ID    ID
	Path  string
	State int
}

// CheckUploads returns the uploads whose ids are greater than after.
func (q NameQueries) CheckUploads(ctx context.Context, after ID, limit int) ([]CheckedUpload, error) {
	return all(ctx, q.q, "check uploads", func(u *CheckedUpload) []any { return []any{idAt{&u.ID}, &u.Path, &u.State} },
		"SELECT u.id, u.path, COALESCE(c.state, 0) FROM uploads u LEFT JOIN contents c ON c.id = u.id WHERE u.id > ? ORDER BY u.id LIMIT ?", after, limit)
}

// CheckUnits counts the units of a content, and those of them that have an object.
func (q NameQueries) CheckUnits(ctx context.Context, content ID) (units, objects int64, err error) {
	type counts struct{ units, objects int64 }
	n, err := one(ctx, q.q, "check units", func(n *counts) []any { return []any{&n.units, &n.objects} },
		"SELECT COUNT(*), COUNT(CASE WHEN object <> ? THEN 1 END) FROM units WHERE content = ?", []byte{}, content)
	return n.units, n.objects, err
}

// unitsAtOnce is how many units UnitsOf looks up at once.
const unitsAtOnce = 32

// UnitsOf returns the units of these numbers, without chaining values.
func (q NameQueries) UnitsOf(ctx context.Context, content ID, numbers []int64) (out []Unit, err error) {
	for len(numbers) > 0 && err == nil {
		args := []any{content}
		for i := range unitsAtOnce {
			args = append(args, numbers[min(i, len(numbers)-1)])
		}
		var some []Unit
		some, err = all(ctx, q.q, "check units", func(u *Unit) []any { return []any{&u.Number, &u.Object} },
			`SELECT number, object FROM units WHERE content = ? AND number IN
			(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, args...)
		out = append(out, some...)
		numbers = numbers[min(unitsAtOnce, len(numbers)):]
	}
	return out, err
}

// NameIn is a name in a folder.
type NameIn struct {
	Folder ID
	Name   string
}

// NamesOf returns the names of a content.
func (q NameQueries) NamesOf(ctx context.Context, content ID, limit int) ([]NameIn, error) {
	return all(ctx, q.q, "look up names", func(n *NameIn) []any { return []any{idAt{&n.Folder}, &n.Name} },
		"SELECT folder, name FROM entries WHERE child = ? AND kind = 1 ORDER BY folder, name LIMIT ?", content, limit)
}

// Location is where a folder is.
type Location struct {
	Tree   string // of which it is the top, "" if of none
	Parent ID
	Name   string // in Parent, "" if it has none
	Gone   bool   // it is removed, or not there
}

// Above returns where a folder is.
func (q NameQueries) Above(ctx context.Context, folder ID) (Location, error) {
	found, err := all(ctx, q.q, "look up folder", func(a *Location) []any { return []any{textAt{&a.Tree}, idAt{&a.Parent}, textAt{&a.Name}, &a.Gone} },
		`SELECT t.name, f.parent, e.name, f.gone_at > 0 FROM folders f LEFT JOIN trees t ON t.root = f.id
		LEFT JOIN entries e ON e.child = f.id AND e.kind = 2 AND e.folder = f.parent WHERE f.id = ?`, folder)
	if err != nil || len(found) == 0 {
		return Location{Gone: true}, err
	}
	return found[0], nil
}
