package client

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"time"

	"hufu"
	"hufu/internal/digest"
	"hufu/internal/profile"
	"hufu/internal/transfer"
)

// When a command that copies a folder to a new name is interrupted, the folder is
// there, half copied. The same command would take it for a folder to copy into, as
// with cp, and begin a second copy inside the first. So the decision is kept from
// before the folder is made until the command has ended.

// maxUnfinished is how many commands are remembered. The oldest are forgotten.
const maxUnfinished = 256

// unfinished is a put or a get of one folder to a name that was not there.
type unfinished struct {
	Op     string `json:"op"`
	Server string `json:"server"`
	Source []byte `json:"source"` // a path may hold any byte
	Target []byte `json:"target"`

	dirs profile.Dirs
	name string // of the file, below dirs.State
}

func (r *Remote) unfinished(op, source, target string) *unfinished {
	u := &unfinished{Op: op, Server: r.p.User + "@" + r.p.Name + "/" + r.p.Host, Source: []byte(source), Target: []byte(target)}
	if r.o.Teach {
		u.Server += "/teach"
	}
	d := digest.Sum(u.content())
	u.dirs, u.name = r.p.Dirs(), filepath.Join("unfinished", hex.EncodeToString(d[:16])+".json")
	return u
}

func (u *unfinished) path() string { return filepath.Join(u.dirs.State, u.name) }

func (u *unfinished) content() []byte {
	data, _ := json.Marshal(u) // strings and bytes can always be written
	return append(data, '\n')
}

// begun reports whether the same command was interrupted before.
func (u *unfinished) begun() bool {
	data, err := os.ReadFile(u.path())
	return err == nil && bytes.Equal(data, u.content())
}

// begin keeps the decision, if there is one.
func (u *unfinished) begin() error {
	if u == nil || u.begun() {
		return nil
	}
	u.makeRoom()
	return u.dirs.Keep(u.name, u.content())
}

// makeRoom forgets the oldest commands.
func (u *unfinished) makeRoom() {
	list, err := os.ReadDir(filepath.Dir(u.path()))
	if err != nil || len(list) < maxUnfinished {
		return
	}
	age := func(d os.DirEntry) time.Time {
		if i, err := d.Info(); err == nil {
			return i.ModTime()
		}
		return time.Time{}
	}
	slices.SortFunc(list, func(a, b os.DirEntry) int { return age(a).Compare(age(b)) })
	for _, d := range list[:len(list)-maxUnfinished+1] {
		_ = os.Remove(filepath.Join(filepath.Dir(u.path()), d.Name()))
	}
}

// Unfinished is a copy of a folder within the server to a name that was not there.
type Unfinished struct{ *unfinished }

// UnfinishedCopy returns what is remembered of a copy of the folder from within the server.
func (r *Remote) UnfinishedCopy(from, to hufu.Path) Unfinished {
	return Unfinished{r.unfinished("cp", from.Virtual(), to.Virtual())}
}

// Begun reports whether the same copy was interrupted before: the folder at its target is then its
// own, half copied.
func (u Unfinished) Begun() bool { return u.begun() }

// Begin remembers the copy, before its folder is made.
func (u Unfinished) Begin() error { return u.begin() }

// Forget is called when the copy has ended.
func (u Unfinished) Forget() { _ = os.Remove(u.path()) }

// Ended must be called after the transfer, with its statistics and its error. It
// removes the record of the copy, or leaves it so that the copy continues when it is
// prepared again with the same arguments. After an error the record always stays.
// After failed names it stays only if the copy transferred or made something.
func (c *Copy) Ended(s *transfer.Stats, err error) {
	if c.unfinished == nil || err != nil || s.Failed.Load() > 0 && s.Transferred.Load()+s.Made.Load() > 0 {
		return
	}
	_ = os.Remove(c.unfinished.path()) // if this fails, the same command continues the copy the next time, which does no harm
}

// oneName returns the error of several sources that would all get one name.
func oneName(op, target string, exact bool) error {
	e := &hufu.Error{Op: op, Path: target, Kind: hufu.KindUsage, Code: "one_source", Args: map[string]string{"target": target}}
	if exact { // with --no-target-directory a slash at the end does not make it a folder
		e.Code = "one_source_exact"
	}
	return e
}
