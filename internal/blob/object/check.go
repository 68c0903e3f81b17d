package object

import (
	"context"
	"strconv"
	"strings"
	"time"

	"hufu"
	"hufu/internal/meta"
)

// The problems that Check finds. The first ones are damage: something was lost, or will be. The
// others are only in the way.
const (
	ObjectMissing   = "object_missing" // of a file: its bytes are lost
	ObjectLength    = "object_length"  // of a file: it has another length
	UnitsMissing    = "units_missing"  // of a file: it is not known which objects it has
	NameWithoutFile = "name_without_file"
	FolderMissing   = "folder_missing"   // an entry leads to a folder that is not there
	FolderLost      = "folder_lost"      // no entry leads to a folder, or several do
	WrongReferences = "wrong_references" // a content counts other names than it has
	UploadLost      = "upload_lost"      // an upload that can never end
	Overdue         = "overdue"          // the clean-up should have been there
	ObjectUnused    = "object_unused"    // no file has it
	ObjectForeign   = "object_foreign"   // its key is none that a server makes
)

// damage are the problems of files that are lost, or will be.
var damage = map[string]bool{
	ObjectMissing: true, ObjectLength: true, UnitsMissing: true, NameWithoutFile: true, FolderMissing: true, FolderLost: true,
	WrongReferences: true, UploadLost: true,
}

// The bounds of a check.
const (
	checkPage  = 1000
	maxPaths   = 100            // that are named of one content
	checkSlack = 48 * time.Hour // a clean-up may be late
	settled    = time.Hour      // what is younger may be about to be deleted by who has made it
)

// A Finding is one problem.
type Finding struct {
	Problem string
	Damage  bool     // files are lost, or will be
	Paths   []string // of the files: the name of a tree, then the path in it
	Content string   // its id
	Object  string   // the key below the prefix of the bucket
	Want    int64    // a length, or a number of names or units
	Have    int64
	State   int // of the content
	Since   time.Time
	Removed bool
}

// CheckOptions are the settings of a check.
type CheckOptions struct {
	Grace  time.Duration // that of Clean
	Repair bool          // delete objects that no file has, if they are older than Grace
}

// CheckedStore says what Check has looked at and what it has found.
type CheckedStore struct {
	Files, Folders, Objects, Bytes int64
	Damaged, Unused, Removed       int64
}

// Check compares names and contents with one another and with the objects in the bucket, both ways.
// It calls report for each problem. Servers may work meanwhile: what looks like a problem is looked
// at again before it is reported. The memory that it needs does not depend on the number of files.
//
// With Repair it deletes objects that no content can ever claim again. The row of a content comes
// before its first object, and the units of a file never change.
func (s *Trees) Check(ctx context.Context, o CheckOptions, report func(Finding) error) (CheckedStore, error) {
	c := &check{s: s, o: o, tell: report}
	var err error
	if c.now, err = s.names.Clock(ctx); err != nil {
		return c.sum, broken(ctx, "check store", hufu.Path{}, err)
	}
	for _, step := range []func(context.Context) error{c.objects, c.names, c.folders, c.uploads} {
		if err := step(ctx); err != nil {
			return c.sum, broken(ctx, "check store", hufu.Path{}, err)
		}
	}
	return c.sum, nil
}

type check struct {
	s    *Trees
	o    CheckOptions
	tell func(Finding) error
	now  time.Time // by the clock of the database
	sum  CheckedStore

	// Contents and objects are merged by the ids of contents.
	rows  []meta.Checked
	after meta.ID // the last id of the pages that were read
	end   bool
	found int64 // objects of the first row

	id    meta.ID // of the content of group
	group []Stored
}

func (c *check) report(f Finding) error {
	f.Damage = damage[f.Problem]
	switch {
	case f.Damage:
		c.sum.Damaged++
	case f.Problem == ObjectUnused:
		c.sum.Unused++
	}
	if f.Removed {
		c.sum.Removed++
	}
	return c.tell(f)
}

// row returns the first content that is not done, nil after the last.
func (c *check) row(ctx context.Context) (*meta.Checked, error) {
	if len(c.rows) == 0 && !c.end {
		rows, err := c.s.names.CheckContents(ctx, c.after, checkPage)
		if err != nil {
			return nil, err //nolint:wrapcheck // Check does
		}
		c.rows, c.end = rows, len(rows) < checkPage
		if len(rows) > 0 {
			c.after = rows[len(rows)-1].ID
		}
	}
	if len(c.rows) == 0 {
		return nil, nil //nolint:nilnil // there is none
	}
	return &c.rows[0], nil
}

// objects compares objects with contents. A listing that is not in the order of keys costs time,
// and nothing else.
func (c *check) objects(ctx context.Context) error {
	prefix := c.s.o.Installation + "/"
	err := c.s.bucket.List(ctx, prefix, func(o Stored) error {
		c.sum.Objects++
		c.sum.Bytes += o.Size
		name, object, _ := strings.Cut(strings.TrimPrefix(o.Key, prefix), "/")
		id, ok := meta.ParseID(name)
		if _, made := unitOf(object); !ok || !made || id.String() != name {
			return c.report(Finding{Problem: ObjectForeign, Object: o.Key, Have: o.Size, Since: o.Modified})
		}
		if id != c.id || len(c.group) == checkPage {
			if err := c.match(ctx); err != nil {
				return err
			}
			c.id = id
		}
		c.group = append(c.group, o)
		return nil
	})
	if err != nil {
		return err
	}
	if err := c.match(ctx); err != nil {
		return err
	}
	for {
		r, err := c.row(ctx)
		if err != nil || r == nil {
			return err
		}
		if err := c.done(ctx, r); err != nil {
			return err
		}
	}
}

// unitOf returns the number of the unit in the end of a key.
func unitOf(object string) (int64, bool) {
	_, unit, ok := strings.Cut(object, "/")
	number, attempt, dot := strings.Cut(unit, ".")
	n, err := strconv.ParseInt(number, 10, 64)
	return n, ok && dot && err == nil && n >= 0 && attempt != "" && !strings.Contains(attempt, "/")
}

// match compares the objects of the group with their content, after all contents before it.
func (c *check) match(ctx context.Context) error {
	if len(c.group) == 0 {
		return nil
	}
	for {
		r, err := c.row(ctx)
		if err != nil {
			return err
		}
		if r != nil && string(r.ID[:]) < string(c.id[:]) {
			if err := c.done(ctx, r); err != nil {
				return err
			}
			continue
		}
		counts := r != nil && r.ID == c.id
		if !counts { // it is newer than its page, or there is none
			fresh, err := c.s.names.CheckContent(ctx, c.id)
			if err != nil {
				return err //nolint:wrapcheck // Check does
			}
			r = &fresh
		}
		n, err := c.matched(ctx, *r, c.group)
		if counts {
			c.found += n
		}
		c.group = c.group[:0]
		return err
	}
}

// matched counts the objects that belong to the content and have the right length.
func (c *check) matched(ctx context.Context, r meta.Checked, group []Stored) (n int64, err error) {
	if r.State != meta.StateLive && r.State != 0 {
		return 0, nil // an upload may claim them, or the clean-up deletes them
	}
	whose := map[int64]string{}
	switch {
	case r.State == 0 || r.Layout == meta.LayoutInline:
	case r.Layout == meta.LayoutSingle:
		whose[0] = single
	default:
		var numbers []int64
		for _, o := range group {
			number, _ := unitOf(c.object(o))
			numbers = append(numbers, number)
		}
		units, err := c.s.names.UnitsOf(ctx, r.ID, numbers)
		if err != nil {
			return 0, err //nolint:wrapcheck // Check does
		}
		for _, u := range units {
			whose[u.Number] = u.Object
		}
	}
	for _, o := range group {
		object := c.object(o)
		number, _ := unitOf(object)
		if whose[number] != object {
			if err := c.unused(ctx, o); err != nil {
				return n, err
			}
			continue
		}
		if o.Size == length(r, number) {
			n++ // of those that are not counted each is looked at
		}
	}
	return n, nil
}
