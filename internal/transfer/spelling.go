package transfer

import (
	"context"
	"hash/maphash"
	"strings"

	"golang.org/x/text/unicode/norm"

	"hufu"
	"hufu/internal/blob"
)

// Some file systems take two names for one if they differ only in the case of letters or in their
// form in Unicode. They list the spelling with which a name was made.

var foldSeed = maphash.MakeSeed()

// fold returns what all spellings of a name have in common.
func fold(name string) string { return norm.NFC.String(strings.ToLower(strings.ToUpper(name))) }

// folded stands for all spellings of a name in the folder j.
func folded(j *folderJob, name string) uint64 {
	return maphash.String(foldSeed, j.far.String()+"/"+fold(name))
}

// otherSpelling returns the name that the folder of s lists in place of that of s: another spelling.
// It returns "" if the folder lists the name itself, or neither.
func otherSpelling(ctx context.Context, s Side) string {
	names := s.Store.Lister(s.Path.Parent())
	defer names.Close()
	want, other := fold(s.Path.Base()), ""
	for after := ""; ; {
		itself := false
		next, err := names.List(ctx, blob.Page{After: after, Limit: PageNames, Brief: true}, func(t hufu.Entry) error {
			itself = itself || t.Name == s.Path.Base()
			if fold(t.Name) == want {
				other = t.Name
			}
			return nil
		})
		switch {
		case itself || err != nil:
			return ""
		case next == "":
			return other
		}
		after = next
	}
}

// otherwise returns what this computer has under another spelling of the name of p, which its folder
// does not list; nil if there is nothing. It is an error if the source has that spelling, too: the two
// cannot both be there.
func (e *Engine) otherwise(ctx context.Context, p pair) (*hufu.Entry, error) {
	x, err := nearStat(ctx, p.near)
	if err != nil || x == nil {
		return nil, nil //nolint:nilerr // writing there meets the same error
	}
	other := otherSpelling(ctx, p.near)
	if other == "" {
		return nil, nil
	}
	if _, both := e.farTaken(ctx, p, other); both {
		return nil, oneName(p.near.Local)
	}
	return x, nil
}

// oneName is the error of a source whose target another source of the command has taken.
func oneName(target string) error {
	return &hufu.Error{Op: "get", Kind: hufu.KindExists, Code: "collision", Args: map[string]string{"target": target}}
}

// isFresh notes a name of the source that the target did not list. there says that the target has it
// under another spelling.
func (pl *planner) isFresh(j *folderJob, name string, there bool) {
	pl.mu.Lock()
	defer pl.mu.Unlock()
	if pl.fresh == nil {
		pl.fresh = map[uint64]bool{}
	}
	pl.fresh[folded(j, name)] = there
}

// isNew reports whether x may be what this transfer has just written under another spelling: a source
// had a name that differs from that of x in case or form only, and the target does not list both.
// merged says that x was found in place of that name, and was compared with it.
func (pl *planner) isNew(ctx context.Context, x extra) (is, merged bool) {
	want := folded(x.in, x.entry.Name)
	there, ok := pl.fresh[want]
	if !ok || pl.e.o.DryRun && !there {
		return false, false
	}
	names := pl.to.lister(x.in.pair)
	defer names.Close()
	for after, both := "", false; ; {
		next, err := names.List(ctx, blob.Page{After: after, Limit: PageNames, Brief: true}, func(t hufu.Entry) error {
			both = both || t.Name != x.entry.Name && folded(x.in, t.Name) == want
			return nil
		})
		if both || err != nil || next == "" {
			return !both, !both && there
		}
		after = next
	}
}
