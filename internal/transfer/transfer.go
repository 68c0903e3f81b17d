// Package transfer copies files and folders between this computer and a server: it plans, spreads
// the work over lanes, resumes, verifies and reports. It promises that a file appears under its
// final name only whole and with the digest its sender computed, that what is there already is
// not sent again, and that memory hardly grows with the number and size of files. What grows: a
// record for each folder whose mode or time is to be set, one for each name of the target that is
// to be removed, one for each folder that was reported as failed, one for each folder that is still to be compared, a hash for each name if there are
// several sources, and 12 bytes for each chunk that the far side has of an unfinished upload. It
// speaks to the far side through Far and Lane, which the caller supplies, and to this side
// through a blob.Tree.
package transfer

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/digest"
)

// Far is the server as a transfer needs it. Calls try again by themselves when
// the connection is lost; what they return is final. All are safe for
// concurrent use.
type Far interface {
	Stat(ctx context.Context, p hufu.Path) (hufu.Entry, error)
	// Lister returns a new Lister of the folder p. It yields the names in order.
	Lister(p hufu.Path) blob.Lister
	Mkdir(ctx context.Context, p hufu.Path, mode uint32, parents bool) (created bool, err error)
	Link(ctx context.Context, p hufu.Path, target string, mtime time.Time, c hufu.Condition) error
	// SetMeta sets mode and time of the entry p, with a version only if it is still this version.
	SetMeta(ctx context.Context, p hufu.Path, m Meta, version string) error
	Digest(ctx context.Context, p hufu.Path) (hufu.Entry, error)
	Open(ctx context.Context, p hufu.Path, size int64, source string) (Upload, error)
	Commit(ctx context.Context, upload string, p hufu.Path, d hufu.Digest, m Meta, c hufu.Condition) (hufu.Entry, error)
	Abandon(ctx context.Context, upload string) error
	// RemoveOne removes the entry p, with a version only if it is still this version, and a folder
	// only if it is empty.
	RemoveOne(ctx context.Context, p hufu.Path, version string) error
	// Rename gives the entry at from the name to, if c holds there.
	Rename(ctx context.Context, from, to hufu.Path, c hufu.Condition) error
	Lane(ctx context.Context) (Lane, error)
	// Lanes returns how many lanes to open with Lane: as many as pay off on the network path to the
	// server or, if jobs is not 0, the share of the server in that many.
	Lanes(ctx context.Context, jobs int) int
	// Spread opens lanes to the other servers of an installation until ctx ends, and calls use with
	// each of them, for all at once. A lane that is lost is opened again. first says that the lane is
	// the first one to its server. jobs is that of Lanes.
	Spread(ctx context.Context, jobs int, use func(l Lane, first bool))
}

// Upload is an unfinished upload at the far side, and what is there of it.
type Upload struct {
	ID string
	// Unit is how many bytes the far side takes at once, a power of two of at
	// least hufu.ChunkSize. The chunks of a unit go over one lane, in order.
	Unit  int64
	There There
}

// Meta is what travels with a file besides its bytes.
type Meta struct {
	Mode  uint32
	MTime time.Time
}

// Lane is one connection that carries bytes. One goroutine sends on a lane. If a method returns
// nil, its done callback runs exactly once: after the answer or after the loss of the lane
// (ErrLost in the error's chain). If it returns an error, done is not called. Callbacks run in
// order on one goroutine. A callback must not use the lane. Data given to a callback is valid
// only during it. Data given to Put and Range may be reused when they return.
type Lane interface {
	Put(p hufu.Path, m Meta, data []byte, d hufu.Digest, c hufu.Condition, done func(error)) error
	Range(upload string, index int64, data []byte, hole bool, cv digest.CV, done func(error)) error
	Get(p hufu.Path, listed hufu.Entry, done func(e hufu.Entry, data []byte, err error)) error
	Read(p hufu.Path, version string, index int64, size int, done func(Chunk, error)) error
	Flush() error
	Close() error
	// Node returns the address of the server that the lane goes to.
	Node() string
}

// Chunk is the answer to Read: one chunk of a large file.
type Chunk struct {
	Data []byte
	Hole bool      // all zeros, and no data
	Want digest.CV // as the far side has it
	Got  digest.CV // of Data, as it came
}

// Outcome says what became of one name.
type Outcome string

// The outcomes.
const (
	Transferred Outcome = "transferred"
	Same        Outcome = "same"    // it was there already
	Skipped     Outcome = "skipped" // not transferred, and no failure: Err says why
	Failed      Outcome = "failed"
	Made        Outcome = "made"           // a folder
	Would       Outcome = "would_transfer" // with Options.DryRun, instead of Transferred
	Excluded    Outcome = "excluded"       // by Options.Filter; a folder with everything in it
	Updated     Outcome = "updated"        // it was there already, but for its mode or time
	WouldUpdate Outcome = "would_update"   // with Options.DryRun, instead of Updated
	Deleted     Outcome = "deleted"        // from the target, by Options.Mirror
	WouldDelete Outcome = "would_delete"   // with Options.DryRun, instead of Deleted
	WouldMake   Outcome = "would_make"     // with Options.DryRun and Options.Mirror, instead of Made
)

// Report tells what became of one name.
type Report struct {
	Local   string // path on this computer
	Remote  hufu.Path
	Kind    hufu.EntryKind
	Size    int64
	Digest  hufu.Digest // zero when it was not computed
	Outcome Outcome
	Err     error // of Failed; of Skipped it says why
	Resumed int64 // bytes that were there from an earlier try
	Renamed bool  // it has another name at the target than at the source, because of Rename
}

// Policy says what to do with a name at the target that holds something else.
type Policy string

// The policies of --conflict. Refuse lists the file as failed.
const (
	Refuse  Policy = "refuse"
	Skip    Policy = "skip"
	Replace Policy = "replace"
	Newer   Policy = "newer"
	Rename  Policy = "rename"
)

// Conflict is a target that exists and differs.
type Conflict struct {
	Local      string
	Remote     hufu.Path
	From, Into hufu.Entry
}

// Options say how to transfer.
type Options struct {
	Conflict Policy
	Checksum bool // compare digests even where size and time agree
	Lanes    int  // connections that carry bytes; 0 chooses
	Owner    string
	// Strip takes off what other people's files and folders may not have on
	// this computer: the permission to be executed, and to be written by
	// anybody but their owner (HT-33).
	Strip bool
	Me    string // the user's name, for Strip
	Limit *Limit // of the bytes of files; nil is none
	// Drop says which attributes of the source are not kept.
	Drop Drop
	// Filter leaves out names that it excludes.
	Filter *Filter
	// Only, if not nil, names what is transferred. There is one source then, the contents of a folder.
	Only *Only
	// Mirror makes the target equal to the source. Conflict must be Replace.
	Mirror *Mirror
	// DryRun only finds out what would be transferred. No name, file or folder of either side is
	// changed.
	DryRun bool
	// Leave returns an error that says why a folder of this computer is left out of a
	// put, nil if it is copied. Without Leave all are copied.
	Leave func(context.Context, Side) error
	// Ask decides a conflict instead of Conflict; nil when there is nobody to
	// ask. Called on one goroutine at a time.
	Ask func(context.Context, Conflict) (Policy, error)
	// Warn, if not nil, is told of a server of several that has sent wrong bytes, once for each. What it has
	// sent is asked for again.
	Warn func(error)
	// Report gets one report for each file and link, and one for each folder that was made or has
	// failed, on one goroutine at a time.
	Report func(Report)
}

// Engine runs one transfer.
type Engine struct {
	far  Far
	o    Options
	gets bool // the target is on this computer

	queue         *queue
	reportMu      sync.Mutex
	askMu         sync.Mutex
	bigFolder     chan struct{} // taken while a folder of more than one page is compared
	fatal         context.CancelCauseFunc
	claimed       *nameSet      // targets that are planned, so that no source replaces another (HT-54)
	failedFolders *nameSet      // folders reported as failed
	planned       chan struct{} // closed when all that is to be done is known
	unchanged     atomic.Int64  // see needsAll
	answered      atomic.Int64  // tasks of lanes that have ended without a lost lane
	spares        spares        // lanes to other servers
	distrusted    *nameSet      // addresses of servers that have sent wrong bytes
	carried       sync.Map      // address of a server: bytes of files that its lanes have carried, *atomic.Int64
	longest       atomic.Int64  // nanoseconds that a lane has waited for an answer that came
	// asking counts goroutines that ask the far side whether a small file whose name
	// was taken is already there with the same bytes.
	asking sync.WaitGroup

	removals removals
	asides   asides

	timesMu   sync.Mutex
	times     int64  // names whose time was not kept
	firstTime string // one of them

	activeMu sync.Mutex // guards active, and the source of the items in it
	active   map[*item]struct{}

	Stats Stats
}

// Stats are counters that may be read at any time.
type Stats struct {
	Files, Bytes        atomic.Int64 // found so far
	FilesDone           atomic.Int64 // files with a report of any outcome but Excluded
	BytesDone           atomic.Int64 // bytes that need no more work: arrived, the same, or skipped
	Sent                atomic.Int64 // bytes of files that crossed the network in either direction, and arrived: of a put, those the server has answered
	Resumed             atomic.Int64 // bytes that did not cross it because an earlier try had brought them
	Failed, Transferred atomic.Int64
	Made                atomic.Int64 // folders
	Deleted             atomic.Int64 // from the target
	Updated             atomic.Int64 // got another mode or time
	would               atomic.Int64 // all of this, in a dry run
	Planned             atomic.Bool  // Files and Bytes are final
	Lanes               atomic.Int64
}

// Progress is where one file stands.
type Progress struct {
	Local      string
	Remote     hufu.Path
	Size, Done int64
}

// New prepares a transfer with far.
func New(far Far, o Options) *Engine {
	if o.Conflict == "" {
		o.Conflict = Refuse
	}
	if o.Leave == nil {
		o.Leave = func(context.Context, Side) error { return nil }
	}
	if o.Report == nil {
		o.Report = func(Report) {}
	}
	return &Engine{far: far, o: o, queue: newQueue(), planned: make(chan struct{}), active: map[*item]struct{}{}, failedFolders: newNameSet(), bigFolder: make(chan struct{}, 1), distrusted: newNameSet()}
}

// Active lists the large files under way.
func (e *Engine) Active() []Progress {
	e.activeMu.Lock()
	defer e.activeMu.Unlock()
	all := make([]Progress, 0, len(e.active))
	for it := range e.active {
		all = append(all, Progress{it.local, it.remote, it.from.Size, it.done.Load()})
	}
	return all
}

func (e *Engine) setActive(it *item, on bool) {
	e.activeMu.Lock()
	defer e.activeMu.Unlock()
	if on {
		e.active[it] = struct{}{}
	} else {
		delete(e.active, it)
	}
}

// setSource sets the source of an item that is under way to its entry as it was opened.
func (e *Engine) setSource(it *item, source hufu.Entry) {
	e.activeMu.Lock()
	defer e.activeMu.Unlock()
	e.Stats.Bytes.Add(source.Size - it.from.Size)
	it.from = source
}

// Tell adds reports of sources that failed before the transfer began. They count in Stats
// and go to Options.Report like all others.
func (e *Engine) Tell(reports []Report) {
	for _, r := range reports {
		if r.Kind == hufu.File {
			e.Stats.Files.Add(1)
		}
		e.report(r)
	}
}

// found counts an entry of a source if it is a file. Every file that is counted here gets exactly
// one report later.
func (e *Engine) found(s hufu.Entry) {
	if s.Kind == hufu.File {
		e.Stats.Files.Add(1)
		e.Stats.Bytes.Add(s.Size)
	}
}

func (e *Engine) report(r Report) {
	if r.Outcome == Failed {
		if e.unread(r.Err) {
			e.removals.unread.Store(true)
		}
		e.asides.failed(r.Remote)
	}
	if r.Outcome == Failed && r.Kind == hufu.Folder && !e.failedFolders.claim(r.Local+"\x00"+r.Remote.String()) {
		return // reported already: if making it failed, setting its mode and time fails too
	}
	if r.Kind == hufu.File && r.Outcome != Excluded && r.Outcome != Deleted && r.Outcome != WouldDelete {
		e.Stats.FilesDone.Add(1)
	}
	switch r.Outcome {
	case Failed:
		e.Stats.Failed.Add(1)
	case Transferred:
		e.Stats.Transferred.Add(1)
	case Made:
		e.Stats.Made.Add(1)
	case Deleted:
		e.Stats.Deleted.Add(1)
	case Updated:
		e.Stats.Updated.Add(1)
	case Would, WouldDelete, WouldMake, WouldUpdate:
		e.Stats.would.Add(1)
	}
	e.reportMu.Lock()
	defer e.reportMu.Unlock()
	e.o.Report(r)
}

// Stops reports whether an error ends the whole transfer instead of one file: the
// connection or the login is gone, not the file.
func Stops(err error) bool {
	switch hufu.KindOf(err) {
	case hufu.KindNetwork, hufu.KindUnavailable, hufu.KindProtocol, hufu.KindRefused, hufu.KindCredentials, hufu.KindUnproven,
		hufu.KindRateLimit, hufu.KindCanceled:
		return true
	}
	return false
}

// item is one file on its way.
type item struct {
	local  string // for people
	store  blob.Tree
	path   hufu.Path // in store
	remote hufu.Path
	from   hufu.Entry     // the source
	cond   hufu.Condition // for the target
	lost   bool           // a lane was lost after it was sent: it may be there already
	mode   uint32         // that it gets at the target
	done   atomic.Int64   // bytes at their place
	own    atomic.Bool    // it goes over lanes to the own server only
	large  *large
	// renamed: the target (remote for a put, path for a get) got a free name instead of its own.
	renamed bool
	// swap, if not nil, says that the file is brought to a name beside its own.
	swap *swap
}

func (it *item) rep(o Outcome, err error) Report {
	remote := it.remote
	if it.swap != nil {
		remote = it.swap.p.far
	}
	return Report{Local: it.local, Remote: remote, Kind: it.from.Kind, Size: it.from.Size, Outcome: o, Err: err, Renamed: it.renamed}
}

// nameSet is a set of names, kept as hashes. A nil set is always empty.
type nameSet struct {
	mu    sync.Mutex
	names map[[16]byte]struct{}
}

func newNameSet() *nameSet { return &nameSet{names: map[[16]byte]struct{}{}} }

// has reports whether the name is in the set.
func (s *nameSet) has(target string) bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, used := s.names[nameKey(target)]
	return used
}

func nameKey(target string) [16]byte {
	d := digest.Sum([]byte(target))
	return [16]byte(d[:16])
}

// claim adds the name, and reports whether it was not in the set before.
func (s *nameSet) claim(target string) bool {
	if s == nil {
		return true
	}
	k := nameKey(target)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, used := s.names[k]; used {
		return false
	}
	s.names[k] = struct{}{}
	return true
}

// within sets the path of an error: the remote path for a server error, otherwise
// the local path. It also makes some kinds and codes of local errors more exact.
func (e *Engine) within(op, local string, remote hufu.Path, err error) error {
	if err == nil {
		return nil
	}
	met, ok := errors.AsType[*hufu.Error](err)
	if !ok {
		return &hufu.Error{Op: op, Path: local, Kind: hufu.KindInternal, Err: err}
	}
	c := *met
	if c.Far {
		c.Path = remote.Remote()
		return &c
	}
	c.Path = local
	missing := c.Kind == hufu.KindNotFound && c.Code == ""
	switch {
	case missing && e.gets: // the local folder for the target is missing, not the requested file
		c.Kind, c.Code = hufu.KindUnreadable, "target_unwritable"
	case missing:
		c.Code = "no_such_file"
	case e.gets && c.Kind == hufu.KindPermission: // refused by this computer, not by the server
		c.Kind = hufu.KindUnreadable
	}
	return &c
}
