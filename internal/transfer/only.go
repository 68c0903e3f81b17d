package transfer

import (
	"context"
	"iter"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"hufu"
)

// Only limits a transfer to names that are listed, as rsync --files-from does. A folder that is
// listed is made, with its mode and time; what is in it is transferred only if the names are listed,
// or the folder is listed with a slash at its end (then without what is in folders below), or with
// Recursive. Folders above a listed name are made as well.
type Only struct {
	Recursive bool
	top       only
}

// only is a folder on the way to listed names, or one that is listed.
type only struct {
	kids     map[string]*only
	listed   bool // as a name
	contents bool // the names in it are listed, too
	all      bool // and everything below them
	found    bool // the source has it; each is set by the planner of the folder above
}

// AddLines adds the names of a list. They end at a line feed or a carriage return, and lines that
// are empty or begin with '#' or ';' mean nothing; with null they end at a NUL character instead. Names
// are paths below the source; one that leads out of it is an error.
func (o *Only) AddLines(text string, null bool) error {
	ends := func(r rune) bool { return r == '\n' || r == '\r' }
	if null {
		ends = func(r rune) bool { return r == 0 }
	} else if i := strings.IndexByte(text, 0); i >= 0 {
		return &hufu.Error{Op: "read names", Kind: hufu.KindUsage, Code: "files_from_null", Args: map[string]string{"line": line(text[:i])}}
	} else {
		text = strings.TrimPrefix(text, "\ufeff")
	}
	at := 0
	for name := range strings.FieldsFuncSeq(text, ends) {
		at += strings.Index(text[at:], name)
		if !null && (name[0] == '#' || name[0] == ';') {
			continue
		}
		if err := o.add(name); err != nil {
			return &hufu.Error{Op: "read names", Kind: hufu.KindUsage, Code: "files_from_name", Args: map[string]string{"line": line(text[:at]), "name": name}, Err: err}
		}
	}
	return nil
}

// line returns the number of the line that follows text.
func line(text string) string { return strconv.Itoa(1 + strings.Count(text, "\n")) }

func (o *Only) add(name string) error {
	clean := path.Clean(strings.TrimLeft(name, "/"))
	if clean == ".." || strings.HasPrefix(clean, "../") {
		return &hufu.Error{Op: "read names", Kind: hufu.KindInvalidPath, Code: "path_segment"}
	}
	n := &o.top
	if clean != "." {
		p, err := hufu.ParsePath(clean)
		if err != nil {
			return err
		}
		for rest := p; !rest.IsRoot(); {
			var first string
			first, rest = rest.Cut()
			if n.kids == nil {
				n.kids = map[string]*only{}
			}
			if n.kids[first] == nil {
				n.kids[first] = &only{}
			}
			n = n.kids[first]
		}
	}
	n.listed = true
	last := name[strings.LastIndexByte(name, '/')+1:]
	n.contents = n.contents || last == "" || last == "."
	n.all = n.all || o.Recursive
	return nil
}

// Empty reports whether nothing is listed.
func (o *Only) Empty() bool { return !o.top.listed && len(o.top.kids) == 0 }

// first returns the folder that the transfer begins with, nil if there is no list.
func (o *Only) first() *only {
	if o == nil {
		return nil
	}
	return &o.top
}

// take returns what is listed below the entry called name of the folder n. ok is false if the entry
// is not listed, and is no folder above a listed name. A nil n means that there is no list.
func (n *only) take(name string, kind hufu.EntryKind) (below *only, ok bool) {
	if n == nil {
		return nil, true
	}
	kid := n.kids[name]
	if kid == nil {
		if listed := n.all || n.contents; !listed || kind != hufu.Folder {
			return nil, listed
		}
		return &only{all: n.all}, true
	}
	kid.found = true
	kid.all = kid.all || n.all
	return kid, n.all || n.contents || kid.listed || kind == hufu.Folder
}

// Take reports whether the entry p, a path below the source, is listed or is a folder above a listed
// name, and whether nothing in it is listed, if it is a folder. It is asked of each entry after the
// folder that it is in. Without a list everything is taken.
func (o *Only) Take(p hufu.Path, kind hufu.EntryKind) (listed, bare bool) {
	n, listed := o.first(), true
	for rest := p; listed && !rest.IsRoot(); {
		var name string
		name, rest = rest.Cut()
		of := hufu.Folder
		if rest.IsRoot() {
			of = kind
		}
		n, listed = n.take(name, of)
	}
	return listed, n.bare()
}

// Forget ends the search for the names below the folder p: why they are not there has been reported.
func (o *Only) Forget(p hufu.Path) {
	n := o.first()
	for rest := p; n != nil && !rest.IsRoot(); {
		var name string
		name, rest = rest.Cut()
		n = n.kids[name]
	}
	n.forget()
}

// Missing returns the names that are listed and that Take was not asked for, in their order.
func (o *Only) Missing() iter.Seq[hufu.Path] {
	return func(yield func(hufu.Path) bool) { o.first().missing(hufu.Path{}, yield) }
}

func (n *only) missing(at hufu.Path, yield func(hufu.Path) bool) bool {
	if n == nil {
		return true
	}
	for _, name := range slices.Sorted(maps.Keys(n.kids)) {
		kid := n.kids[name]
		p, err := at.Join(name)
		if err != nil {
			continue // a name of ParsePath is valid
		}
		if !kid.found && kid.listed && !yield(p) || !kid.missing(p, yield) {
			return false
		}
	}
	return true
}

// bare reports whether nothing in the folder n is listed.
func (n *only) bare() bool { return n != nil && !n.all && !n.contents && len(n.kids) == 0 }

// forget ends the search for the names below n: why they are not there has been reported.
func (n *only) forget() {
	if n == nil {
		return
	}
	for _, kid := range n.kids {
		kid.found = true
		kid.forget()
	}
}

// failMissing reports the names below n that are listed and were not found.
func (pl *planner) failMissing(ctx context.Context, n *only, p pair) {
	j := folderJob{pair: p}
	for name, kid := range n.kids {
		if ctx.Err() != nil {
			return
		}
		q, err := j.entryOf(hufu.Entry{Name: name, Kind: hufu.File})
		q.target = nil
		switch {
		case err != nil:
			pl.e.fail(p, err)
		case kid.found || !kid.listed:
			pl.failMissing(ctx, kid, q)
		default:
			pl.e.found(q.source)
			pl.e.fail(q, &hufu.Error{Op: pl.to.op(), Kind: hufu.KindNotFound, Far: p.toNear})
			pl.failMissing(ctx, kid, q)
		}
	}
}
