package meta

import (
	"context"
	"slices"
	"time"

	"hufu"
)

// AddContent writes new contents.
func (q NameQueries) AddContent(ctx context.Context, list ...Content) error {
	return parts(list, func(part []Content) error {
		var args []any
		for _, c := range part {
			refs := 0
			if c.State == StateLive {
				refs = 1
			}
			args = append(args, c.ID, c.Size, c.Layout, refs, c.State, c.Bytes)
		}
		_, err := q.q.exec(ctx, "store content",
			rows("INSERT INTO contents (id, size, layout, refs, state, changed_at, voided, bytes) VALUES {(?, ?, ?, ?, ?, CLOCK(), 0, ?)}", len(part)), args...)
		return err
	})
}

// Enliven makes open contents live, each with a count of one name, and reports whether all of them
// were open. The caller writes the names.
func (q NameQueries) Enliven(ctx context.Context, ids ...ID) (bool, error) {
	n, err := q.execIDs(ctx, "give content its name", "UPDATE contents SET state = 2, refs = 1, changed_at = CLOCK() WHERE state = 1 AND id IN ({?})", ids)
	return n == int64(len(ids)), err
}

// Abandon ends contents that have got no name, and reports whether all of them were open.
func (q NameQueries) Abandon(ctx context.Context, ids ...ID) (bool, error) {
	n, err := q.execIDs(ctx, "give content up", "UPDATE contents SET state = 3, changed_at = CLOCK() WHERE state = 1 AND id IN ({?})", ids)
	return n == int64(len(ids)), err
}

// Release lowers the name count of each content by one; ids must be distinct. A content without
// names becomes dead. Today a content has at most one name. The order of the assignments matters: MySQL sees in each assignment the
// outcome of those before it.
func (q NameQueries) Release(ctx context.Context, ids ...ID) error {
	_, err := q.execIDs(ctx, "release content", `UPDATE contents SET changed_at = CASE WHEN refs = 1 THEN CLOCK() ELSE changed_at END,
		state = CASE WHEN refs = 1 THEN 3 ELSE state END, refs = refs - 1 WHERE state = 2 AND id IN ({?})`, ids)
	return err
}

// DropThrough removes the names in a folder up to last, all of them if last is "", and takes them
// from their contents. The caller must detach the folders among them.
func (q NameQueries) DropThrough(ctx context.Context, folder ID, last string) error {
	const op, page = "remove entries", 1000
	for after, more := "", true; more; {
		found, err := all(ctx, q.q, op, func(e *Entry) []any { return []any{textAt{&e.Name}, numberAt[hufu.EntryKind]{&e.Kind}, idAt{&e.Child}} },
			"SELECT name, kind, child FROM entries WHERE folder = ? AND name > ? ORDER BY name LIMIT ?", folder, []byte(after), page)
		if err != nil {
			return err
		}
		more = len(found) == page
		var files []ID
		for _, e := range found {
			if last != "" && e.Name > last {
				more = false
				break
			}
			if after = e.Name; e.Kind == hufu.File {
				files = append(files, e.Child)
			}
		}
		if err := q.releaseAll(ctx, files); err != nil {
			return err
		}
	}
	_, err := q.q.exec(ctx, op, "DELETE FROM entries WHERE folder = ? AND (name <= ? OR ? = 0)", folder, []byte(last), len(last))
	return err
}

// releaseAll is Release for ids that need not be distinct.
func (q NameQueries) releaseAll(ctx context.Context, ids []ID) error {
	slices.SortFunc(ids, ID.Compare)
	for len(ids) > 0 {
		var once, again []ID
		for i, id := range ids {
			if i > 0 && ids[i-1] == id {
				again = append(again, id)
			} else {
				once = append(once, id)
			}
		}
		if err := q.Release(ctx, once...); err != nil {
			return err
		}
		ids = again
	}
	return nil
}

// LockContent keeps others from changing a content, and returns it without its bytes. Its state is
// 0 if there is none.
func (q NameQueries) LockContent(ctx context.Context, id ID) (Content, error) {
	return q.content(ctx, "lock content", id, q.q.d.pick(spelled{
		sqlite:   "SELECT id, size, layout, state, voided, '' FROM contents WHERE id = ?",
		postgres: "SELECT id, size, layout, state, voided, '' FROM contents WHERE id = ? FOR UPDATE",
		mysql:    "SELECT id, size, layout, state, voided, '' FROM contents WHERE id = ? FOR UPDATE",
	}))
}

// Content returns a content. Its state is 0 if there is none.
func (q NameQueries) Content(ctx context.Context, id ID) (Content, error) {
	return q.content(ctx, "look up content", id, "SELECT id, size, layout, state, voided, bytes FROM contents WHERE id = ?")
}

func (q NameQueries) content(ctx context.Context, op string, id ID, query string) (Content, error) {
	found, err := all(ctx, q.q, op, func(c *Content) []any {
		return []any{idAt{&c.ID}, &c.Size, &c.Layout, &c.State, &c.Voided, &c.Bytes}
	}, query, id)
	if err != nil || len(found) == 0 {
		return Content{}, err
	}
	return found[0], nil
}

func uploadColumns(u *Upload) []any {
	return []any{idAt{&u.ID}, idAt{&u.Tree}, sum{&u.Key}, sum{&u.Place}, &u.Path, &u.Size, &u.Source, &u.Owner, idAt{&u.Into}}
}

// AddUpload writes a new upload, unless there is one of this key, and reports whether it did.
func (q NameQueries) AddUpload(ctx context.Context, u Upload) (bool, error) {
	n, err := q.q.execNew(ctx, "store upload", `INSERT INTO uploads (id, tree, key_hash, place_hash, path, size, source, owner, into_folder, opened_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, CLOCK())`, u.ID, u.Tree, u.Key[:], u.Place[:], []byte(u.Path), u.Size, []byte(u.Source), []byte(u.Owner), u.Into)
	return n == 1, err
}

// The next methods find uploads. At most one upload has a given key or id.

// UploadsByKey returns the upload of this key.
func (q NameQueries) UploadsByKey(ctx context.Context, tree ID, key [32]byte) ([]Upload, error) {
	return all(ctx, q.q, "look up upload", uploadColumns,
		"SELECT id, tree, key_hash, place_hash, path, size, source, owner, into_folder FROM uploads WHERE tree = ? AND key_hash = ?", tree, key[:])
}

// UploadsByID returns the upload of this id.
func (q NameQueries) UploadsByID(ctx context.Context, tree, id ID) ([]Upload, error) {
	return all(ctx, q.q, "look up upload", uploadColumns,
		"SELECT id, tree, key_hash, place_hash, path, size, source, owner, into_folder FROM uploads WHERE tree = ? AND id = ?", tree, id)
}

// UploadsAt returns the uploads to this place.
func (q NameQueries) UploadsAt(ctx context.Context, tree ID, place [32]byte) ([]Upload, error) {
	return all(ctx, q.q, "look up uploads", uploadColumns,
		"SELECT id, tree, key_hash, place_hash, path, size, source, owner, into_folder FROM uploads WHERE tree = ? AND place_hash = ?", tree, place[:])
}

// SetInto notes the folder of an upload, and reports whether the upload is there.
func (q NameQueries) SetInto(ctx context.Context, id, folder ID) (bool, error) {
	n, err := q.q.exec(ctx, "begin upload", "UPDATE uploads SET into_folder = ? WHERE id = ?", folder, id)
	return n == 1, err
}

// DropUpload forgets an upload, and reports whether it was there.
func (q NameQueries) DropUpload(ctx context.Context, id ID) (bool, error) {
	n, err := q.q.exec(ctx, "drop upload", "DELETE FROM uploads WHERE id = ?", id)
	return n == 1, err
}

// AddUnit writes a unit that has arrived, unless one of this number is there or the content is not
// open, and reports whether it did.
func (q NameQueries) AddUnit(ctx context.Context, content ID, u Unit) (bool, error) {
	n, err := q.q.execNew(ctx, "store unit", q.q.d.pick(spelled{
		sqlite: `INSERT INTO units (content, number, object, cvs, added_at)
			SELECT id, ?, ?, ?, CLOCK() FROM contents WHERE id = ? AND state = 1`,
		postgres: `INSERT INTO units (content, number, object, cvs, added_at)
			SELECT id, CAST(? AS BIGINT), CAST(? AS BYTEA), CAST(? AS BYTEA), CLOCK() FROM contents WHERE id = ? AND state = 1`,
		mysql: `INSERT INTO units (content, number, object, cvs, added_at)
			SELECT id, ?, ?, ?, CLOCK() FROM contents WHERE id = ? AND state = 1`,
	}), u.Number, []byte(u.Object), u.CVs, content)
	return n == 1, err
}

// Units returns limit units of a content at most, from a number on.
func (q NameQueries) Units(ctx context.Context, content ID, from int64, limit int) ([]Unit, error) {
	return all(ctx, q.q, "look up units", func(u *Unit) []any { return []any{&u.Number, &u.Object, &u.CVs} },
		"SELECT number, object, cvs FROM units WHERE content = ? AND number >= ? ORDER BY number LIMIT ?", content, from, limit)
}

// Objects is Units without the chaining values.
func (q NameQueries) Objects(ctx context.Context, content ID, from int64, limit int) ([]Unit, error) {
	return all(ctx, q.q, "look up units", func(u *Unit) []any { return []any{&u.Number, &u.Object} },
		"SELECT number, object FROM units WHERE content = ? AND number >= ? ORDER BY number LIMIT ?", content, from, limit)
}

// CountUnits returns how many units of a content have arrived.
func (q NameQueries) CountUnits(ctx context.Context, content ID) (int64, error) {
	return one(ctx, q.q, "count units", func(n *int64) []any { return []any{n} }, "SELECT COUNT(*) FROM units WHERE content = ?", content)
}

// NextUnit returns the number of the first unit, from a number on, that has an object, or -1.
func (q NameQueries) NextUnit(ctx context.Context, content ID, from int64) (int64, error) {
	return one(ctx, q.q, "look up unit", func(n *int64) []any { return []any{n} },
		"SELECT COALESCE(MIN(number), -1) FROM units WHERE content = ? AND number >= ? AND object <> ?", content, from, []byte{})
}

// VoidUnit gives up a unit of a locked content.
func (q NameQueries) VoidUnit(ctx context.Context, content ID, number int64) error {
	_, err := q.q.exec(ctx, "give unit up", "DELETE FROM units WHERE content = ? AND number = ?", content, number)
	if err == nil {
		_, err = q.q.exec(ctx, "give unit up", "UPDATE contents SET voided = voided + 1 WHERE id = ?", content)
	}
	return err
}

// The rest of the file is for the clean-up. A query with a limit returns at most that many rows.

func idColumn(id *ID) []any { return []any{idAt{id}} }

// GoneFolders returns removed folders.
func (q NameQueries) GoneFolders(ctx context.Context, limit int) ([]ID, error) {
	return all(ctx, q.q, "look up removed folders", idColumn, "SELECT id FROM folders WHERE gone_at > 0 ORDER BY gone_at LIMIT ?", limit)
}

// ForgetFolder removes a folder that is gone. Its entries must have been removed before.
func (q NameQueries) ForgetFolder(ctx context.Context, id ID) error {
	_, err := q.q.exec(ctx, "forget folder", "DELETE FROM folders WHERE id = ? AND gone_at > 0", id)
	return err
}

// UploadsInto returns some uploads into a folder.
func (q NameQueries) UploadsInto(ctx context.Context, folder ID, limit int) ([]Upload, error) {
	return all(ctx, q.q, "look up uploads", uploadColumns,
		"SELECT id, tree, key_hash, place_hash, path, size, source, owner, into_folder FROM uploads WHERE into_folder = ? ORDER BY id LIMIT ?", folder, limit)
}

// IdleUploads returns the uploads with ids above after to which nothing was added for the time idle, and
// which no process but that of grip has open, by id.
func (q NameQueries) IdleUploads(ctx context.Context, grip string, idle time.Duration, after ID, limit int) ([]Upload, error) {
	return all(ctx, q.q, "look up uploads", uploadColumns,
		`SELECT id, tree, key_hash, place_hash, path, size, source, owner, into_folder FROM uploads u WHERE id > ? AND opened_at < CLOCK() - ?
		AND NOT EXISTS (SELECT 1 FROM units t WHERE t.content = u.id AND t.added_at >= CLOCK() - ?)
		AND NOT EXISTS (SELECT 1 FROM holders h WHERE h.upload = u.id AND h.grip <> ? AND h.ends > CLOCK()) ORDER BY id LIMIT ?`,
		after, idle.Milliseconds(), idle.Milliseconds(), []byte(grip), limit)
}

// Staged returns contents that have been open for a time and belong to no upload.
func (q NameQueries) Staged(ctx context.Context, age time.Duration, limit int) ([]ID, error) {
	return all(ctx, q.q, "look up contents", idColumn,
		"SELECT c.id FROM contents c LEFT JOIN uploads u ON u.id = c.id WHERE c.state = 1 AND c.changed_at < CLOCK() - ? AND u.id IS NULL LIMIT ?", age.Milliseconds(), limit)
}

// Contents returns contents that have been in a state for at least age, without their bytes: those after
// the given one, by Changed and id.
func (q NameQueries) Contents(ctx context.Context, state int, age time.Duration, after Content, limit int) ([]Content, error) {
	return all(ctx, q.q, "look up contents", func(c *Content) []any { return []any{idAt{&c.ID}, &c.Size, &c.Layout, &c.State, &c.Changed} },
		`SELECT id, size, layout, state, changed_at FROM contents WHERE state = ? AND changed_at < CLOCK() - ?
		AND changed_at >= ? AND (changed_at > ? OR id > ?) ORDER BY changed_at, id LIMIT ?`,
		state, age.Milliseconds(), after.Changed, after.Changed, after.ID, limit)
}

// Remove notes that the objects of a dead content were deleted.
func (q NameQueries) Remove(ctx context.Context, id ID) error {
	_, err := q.q.exec(ctx, "remove content", "UPDATE contents SET state = 4, changed_at = CLOCK() WHERE id = ? AND state = 3", id)
	return err
}

// forgetPage is the most rows that one statement of ForgetContent and ForgetStamps deletes, so that
// it ends long before statementLimit, however many there are.
const forgetPage = 2000

// ForgetContent removes the units of a content, in pieces, and then the row of the content itself if
// it is removed, or is dead and has its bytes in the row.
func (q NameQueries) ForgetContent(ctx context.Context, id ID) error {
	const op = "forget content"
	err := pieces(func() (int64, error) {
		return q.q.exec(ctx, op, q.q.d.pick(spelled{
			sqlite:   "DELETE FROM units WHERE (content, number) IN (SELECT content, number FROM units WHERE content = ? ORDER BY number LIMIT ?)",
			postgres: "DELETE FROM units WHERE (content, number) IN (SELECT content, number FROM units WHERE content = ? ORDER BY number LIMIT ?)",
			mysql:    "DELETE FROM units WHERE content = ? ORDER BY number LIMIT ?",
		}), id, forgetPage)
	})
	if err == nil {
		_, err = q.q.exec(ctx, op, "DELETE FROM contents WHERE id = ? AND (state = 4 OR state = 3 AND layout = 0)", id)
	}
	return err
}

// ForgetStamps removes the stamps of transactions that were made so long ago, in pieces.
func (q NameQueries) ForgetStamps(ctx context.Context, age time.Duration) error {
	return pieces(func() (int64, error) {
		return q.q.exec(ctx, "forget stamps", q.q.d.pick(spelled{
			sqlite:   "DELETE FROM stamps WHERE id IN (SELECT id FROM stamps WHERE made_at < CLOCK() - ? ORDER BY made_at LIMIT ?)",
			postgres: "DELETE FROM stamps WHERE id IN (SELECT id FROM stamps WHERE made_at < CLOCK() - ? ORDER BY made_at LIMIT ?)",
			mysql:    "DELETE FROM stamps WHERE made_at < CLOCK() - ? ORDER BY made_at LIMIT ?",
		}), age.Milliseconds(), forgetPage)
	})
}

// pieces calls remove, which deletes at most forgetPage rows and returns how many, until none is left.
func pieces(remove func() (int64, error)) error {
	for {
		if n, err := remove(); err != nil || n < forgetPage {
			return err
		}
	}
}
