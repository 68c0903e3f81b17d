package queue

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"hufu"
	"hufu/internal/transfer"
)

// State is the state of a job.
type State string

// The states. A job leaves Spooling, Waiting, Running and Offline by itself.
const (
	Spooling State = "spooling" // files are being handed over
	Waiting  State = "waiting"  // for its turn
	Running  State = "running"
	Offline  State = "offline" // the server is away; tried again by itself
	Paused   State = "paused"
	Done     State = "done"
	Failed   State = "failed"
	Canceled State = "canceled"
)

// Over reports whether a job has ended. It may still be retried.
func (s State) Over() bool { return s == Done || s == Failed || s == Canceled }

// Spec says what to transfer.
type Spec struct {
	Put     bool // to the server; else from it
	Profile string
	Teach   bool     // in the teaching world. The job is not kept: that world ends with its server
	Sources []string // paths of this computer, or of the server
	To      string   // the folder on the other side that the sources go into
	// Conflict is empty if the user is asked about each conflict.
	Conflict transfer.Policy
	Checksum bool
}

// Failure is one name of a job that was not transferred.
type Failure struct {
	Local  string
	Remote string
	Err    *hufu.Error
}

// Question is a conflict that waits for an answer.
type Question struct {
	ID     int
	Local  string
	Remote hufu.Path
	From   hufu.Entry
	Into   hufu.Entry
}

// Job describes one job of a queue.
type Job struct {
	Spec
	ID             string
	State          State
	Created, Ended time.Time
	Err            *hufu.Error // of Failed and Offline; of Canceled if something could not be removed
	Files, Bytes   int64       // found so far
	Planned        bool        // Files and Bytes are final
	FilesDone      int64
	BytesDone      int64
	Transferred    int64 // files
	Resumed        int64 // bytes
	Same, Skipped  int64
	Failed         int64
	Failures       []Failure // the first maxFailures of them
	Rate           float64   // bytes a second
	Lanes          int64
	Active         []transfer.Progress
	Question       *Question
	Again          bool // the sources are there, so that Resume can run it again
}

// maxFailures is how many failed names a job remembers.
const maxFailures = 500

// maxOver is how many jobs that are over are kept.
const maxOver = 200

// job is the queue's own view of a Job. The queue's mutex guards it.
type job struct {
	Job

	spool    *spool
	engine   *transfer.Engine
	cancel   context.CancelCauseFunc // of the run; nil when there is none
	answer   chan transfer.Policy
	asked    int
	last     int64 // for the rate
	lastTime time.Time
}

// jobRecord is a job in the journal. Paths may hold any byte, so they are base64 in
// JSON.
type jobRecord struct {
	ID        string          `json:"id"`
	Put       bool            `json:"put"`
	Profile   string          `json:"profile"`
	Sources   [][]byte        `json:"sources"`
	To        []byte          `json:"to"`
	Conflict  transfer.Policy `json:"conflict,omitempty"`
	Checksum  bool            `json:"checksum,omitempty"`
	Spool     bool            `json:"spool,omitempty"`
	State     State           `json:"state"`
	Created   time.Time       `json:"created"`
	Ended     time.Time       `json:"ended,omitzero"`
	Err       *errorRecord    `json:"error,omitempty"`
	Files     int64           `json:"files"`
	Bytes     int64           `json:"bytes"`
	FilesDone int64           `json:"files_done"`
	BytesDone int64           `json:"bytes_done"`
	Moved     int64           `json:"transferred"`
	Same      int64           `json:"same"`
	Skipped   int64           `json:"skipped"`
	Failed    int64           `json:"failed"`
	Failures  []failureRecord `json:"failures,omitempty"`
}

type failureRecord struct {
	Local  []byte       `json:"local"`
	Remote []byte       `json:"remote"`
	Err    *errorRecord `json:"error"`
}

// errorRecord is a hufu.Error in the journal.
type errorRecord struct {
	Kind  string            `json:"kind"`
	Code  string            `json:"code,omitempty"`
	Path  []byte            `json:"path,omitempty"`
	Args  map[string]string `json:"args,omitempty"`
	Cause string            `json:"cause,omitempty"`
}

func recordError(e *hufu.Error) *errorRecord {
	if e == nil {
		return nil
	}
	k := &errorRecord{Kind: e.Kind.String(), Code: e.Code, Path: []byte(e.Path), Args: e.Args}
	if e.Err != nil {
		k.Cause = e.Err.Error()
	}
	return k
}

func (k *errorRecord) error() *hufu.Error {
	if k == nil {
		return nil
	}
	e := &hufu.Error{Op: "transfer", Kind: hufu.ParseKind(k.Kind), Code: k.Code, Path: string(k.Path), Args: k.Args}
	if k.Cause != "" {
		e.Err = errors.New(k.Cause)
	}
	return e
}

// asError returns err as an error that can be kept and shown.
func asError(err error) *hufu.Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*hufu.Error](err); ok {
		return e
	}
	return &hufu.Error{Op: "transfer", Kind: hufu.KindInternal, Err: err}
}

func byteStrings(s []string) [][]byte {
	all := make([][]byte, len(s))
	for i := range s {
		all[i] = []byte(s[i])
	}
	return all
}

func (j *job) record() jobRecord {
	k := jobRecord{
		ID: j.ID, Put: j.Put, Profile: j.Profile, Sources: byteStrings(j.Sources), To: []byte(j.To), Conflict: j.Conflict, Checksum: j.Checksum,
		Spool: j.spool != nil, State: j.State, Created: j.Created, Ended: j.Ended, Err: recordError(j.Err),
		Files: j.Files, Bytes: j.Bytes, FilesDone: j.FilesDone, BytesDone: j.BytesDone, Moved: j.Transferred,
		Same: j.Same, Skipped: j.Skipped, Failed: j.Failed,
	}
	for _, f := range j.Failures {
		k.Failures = append(k.Failures, failureRecord{[]byte(f.Local), []byte(f.Remote), recordError(f.Err)})
	}
	return k
}

func (k jobRecord) job() *job {
	j := &job{Job: Job{
		Spec: Spec{Put: k.Put, Profile: k.Profile, To: string(k.To), Conflict: k.Conflict, Checksum: k.Checksum},
		ID:   k.ID, State: k.State, Created: k.Created, Ended: k.Ended, Err: k.Err.error(),
		Files: k.Files, Bytes: k.Bytes, FilesDone: k.FilesDone, BytesDone: k.BytesDone, Transferred: k.Moved,
		Same: k.Same, Skipped: k.Skipped, Failed: k.Failed, Planned: k.State == Done,
	}}
	for _, s := range k.Sources {
		j.Sources = append(j.Sources, string(s))
	}
	for _, f := range k.Failures {
		j.Failures = append(j.Failures, Failure{string(f.Local), string(f.Remote), f.Err.error()})
	}
	return j
}

// loadJobs reads the journal. A journal that cannot be parsed is put aside, and with it the whole
// folder of the spools.
func (q *Queue) loadJobs() ([]jobRecord, error) {
	path := filepath.Join(q.o.Dirs.State, journal)
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &hufu.Error{Op: "read transfers", Path: path, Kind: hufu.KindUnreadable, Code: "cannot_read", Err: err}
	}
	var all []jobRecord
	if err := json.Unmarshal(data, &all); err != nil {
		if err := putAside(path, q.spoolDir("")); err != nil {
			return nil, &hufu.Error{Op: "read transfers", Path: path, Kind: hufu.KindUnreadable, Code: "cannot_write", Err: err}
		}
		return nil, nil
	}
	return slices.DeleteFunc(all, func(k jobRecord) bool { return !validJobID(k.ID) }), nil
}

// putAside renames the journal and the folder of the spools: both get the same ending, the
// first that is free for both. The journal comes last, so that an interruption leaves it
// in its place and the next start goes on.
func putAside(path, spools string) error {
	for n := 1; ; n++ {
		ending := ".broken"
		if n > 1 {
			ending += strconv.Itoa(n)
		}
		free := func(name string) bool {
			_, err := os.Lstat(name + ending)
			return err != nil
		}
		if !free(path) || !free(spools) {
			continue
		}
		if err := os.Rename(spools, spools+ending); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return os.Rename(path, path+ending)
	}
}

func validJobID(id string) bool {
	return id != "" && len(id) <= 64 && filepath.IsLocal(id) && filepath.Base(id) == id
}

// Policy is transfer.Policy, for callers that import the queue only.
type Policy = transfer.Policy
