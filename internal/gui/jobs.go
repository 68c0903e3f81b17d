package gui

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"hufu"
	"hufu/internal/profile"
	"hufu/internal/queue"
	"hufu/internal/text"
)

// Limits of the requests of a page.
const (
	maxSources  = 20_000
	maxHeader   = 16 << 10 // one file's line in a batch, in bytes
	eventPause  = 250 * time.Millisecond
	eventAlive  = 10 * time.Second
	maxFailShow = 100
	maxActive   = 20
)

// jsonJob is one row of the transfers.
type jsonJob struct {
	ID          string         `json:"id"`
	Op          string         `json:"op"`
	Name        string         `json:"name"`              // of the first source
	More        int            `json:"more"`              // sources besides it
	Browser     bool           `json:"browser"`           // the sources came from a browser
	FromAt      string         `json:"from_at,omitempty"` // the folder of the first source, escaped
	ToAt        string         `json:"to_at"`
	State       string         `json:"state"`
	Plain       bool           `json:"plain"`
	Profile     string         `json:"profile"`
	Created     int64          `json:"created"`
	Ended       int64          `json:"ended,omitempty"`
	Error       *problem       `json:"error"`
	Files       int64          `json:"files"`
	FilesDone   int64          `json:"files_done"`
	Bytes       int64          `json:"bytes"`
	BytesDone   int64          `json:"bytes_done"`
	Planned     bool           `json:"planned"`
	Transferred int64          `json:"transferred"`
	Resumed     int64          `json:"resumed"`
	Same        int64          `json:"same"`
	Skipped     int64          `json:"skipped"`
	Failed      int64          `json:"failed"`
	Failures    []jsonFailure  `json:"failures"`
	Rate        float64        `json:"rate"`
	Lanes       int64          `json:"lanes"`
	Active      []jsonProgress `json:"active"`
	Question    *jsonQuestion  `json:"question"`
	Again       bool           `json:"again"` // can be run again
}

type jsonFailure struct {
	Name  string   `json:"name"`
	Error *problem `json:"error"`
}

type jsonProgress struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
	Done int64  `json:"done"`
}

// jsonQuestion is a conflict: the source and the file that it would replace.
type jsonQuestion struct {
	ID         int       `json:"id"`
	LocalPath  string    `json:"local_path"` // escaped
	RemotePath string    `json:"remote_path"`
	From       jsonEntry `json:"from"`
	Into       jsonEntry `json:"into"`
}

func (s *Server) jsonJob(c *text.Catalogue, j queue.Job) jsonJob {
	v := jsonJob{
		ID: j.ID, Op: "get", State: string(j.State), Plain: j.Teach, Profile: j.Profile, ToAt: localPath(j.To), More: max(len(j.Sources)-1, 0),
		Created: j.Created.UnixMilli(), Files: j.Files, FilesDone: j.FilesDone, Bytes: j.Bytes, BytesDone: j.BytesDone, Planned: j.Planned,
		Transferred: j.Transferred, Resumed: j.Resumed, Same: j.Same, Skipped: j.Skipped, Failed: j.Failed, Rate: j.Rate, Lanes: j.Lanes,
		Failures: []jsonFailure{}, Active: []jsonProgress{}, Again: j.Again,
	}
	// What a browser has sent lies in a folder of ours until it is on the server: nobody needs to
	// know its path.
	spool := filepath.Join(s.o.Dirs.State, profile.Spools, j.ID) + string(filepath.Separator)
	hide := func(text string) string {
		return strings.NewReplacer(spool, "", hufu.Printable(spool), "").Replace(text)
	}
	failure := func(err error) *problem {
		p := problemOf(c, err)
		if p != nil {
			p.What, p.Fix = hide(p.What), hide(p.Fix)
		}
		return p
	}
	if j.Err != nil {
		v.Error = failure(j.Err)
	}
	if !j.Ended.IsZero() {
		v.Ended = j.Ended.UnixMilli()
	}
	if j.Put {
		v.Op, v.ToAt = "put", "/"
		if p, err := hufu.ParsePath(j.To); err == nil {
			v.ToAt = escape(p.Segments())
		}
	}
	if len(j.Sources) > 0 {
		base, dir := filepath.Base(j.Sources[0]), localPath(filepath.Dir(j.Sources[0]))
		if p, err := hufu.ParsePath(j.Sources[0]); !j.Put && err == nil {
			base, dir = p.Base(), escape(p.Parent().Segments())
		}
		v.Browser = j.Put && strings.HasPrefix(j.Sources[0], spool)
		v.Name = hufu.Printable(base)
		if !v.Browser {
			v.FromAt = dir
		}
	}
	for i, f := range j.Failures {
		if i == maxFailShow {
			break
		}
		name := f.Local
		if !j.Put {
			name = f.Remote
		}
		v.Failures = append(v.Failures, jsonFailure{hide(hufu.Printable(name)), failure(f.Err)})
	}
	for i, a := range j.Active {
		if i == maxActive {
			break
		}
		v.Active = append(v.Active, jsonProgress{hufu.Printable(a.Remote.Base()), a.Size, a.Done})
	}
	if q := j.Question; q != nil {
		v.Question = &jsonQuestion{
			q.ID, localPath(q.Local), escape(q.Remote.Segments()), entryOf(q.From), entryOf(q.Into),
		}
	}
	return v
}

// events sends a line of JSON with all jobs and the state of the connection, at once and after each
// change, at most four a second. A page that reads slowly skips states, but gets the last one.
func (s *Server) events(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := http.NewResponseController(w)
	c := s.cat(r)
	enc := json.NewEncoder(w)
	for {
		jobs, changed := s.queue.Jobs()
		all := make([]jsonJob, len(jobs))
		for i := range jobs {
			all[i] = s.jsonJob(c, jobs[i])
		}
		s.mu.Lock()
		lost, entered, turn, news := s.link.lost, s.link.entered, s.turn, s.news
		s.mu.Unlock()
		if err := errors.Join(enc.Encode(map[string]any{"jobs": all, "limit": s.queue.Limit(), "lanes": s.queue.Lanes(), "lost": problemOf(c, lost), "entered": entered, "turn": turn, "version": hufu.Version}), out.Flush()); err != nil {
			return nil //nolint:nilerr // the page is gone
		}
		alive := time.After(eventAlive)
		pause := time.After(eventPause)
		select {
		case <-pause:
		case <-s.done:
			return nil
		case <-r.Context().Done():
			return nil
		}
		select {
		case <-changed:
		case <-news:
		case <-alive:
		case <-s.done:
			return nil
		case <-r.Context().Done():
			return nil
		}
	}
}

// addJob puts a transfer between the two panes into the queue.
func (s *Server) addJob(w http.ResponseWriter, r *http.Request) error {
	req, err := read[struct {
		Op      string   `json:"op"`
		Sources []string `json:"sources"`
		To      string   `json:"to"`
	}](r)
	if err != nil {
		return err
	}
	if len(req.Sources) > maxSources || req.Op != "put" && req.Op != "get" {
		return &hufu.Error{Op: "add transfer", Kind: hufu.KindInvalid, Code: "gui_bad_request"}
	}
	_, l, err := s.entered()
	if err != nil {
		return err
	}
	spec := queue.Spec{Put: req.Op == "put", Profile: l.profile, Teach: l.plain}
	here := func(p string) (string, error) { return localName(p) }
	there := func(p string) (string, error) {
		q, err := remotePath(p)
		return q.Virtual(), err
	}
	from, to := here, there
	if !spec.Put {
		from, to = there, here
	}
	for _, p := range req.Sources {
		name, err := from(p)
		if err != nil {
			return err
		}
		spec.Sources = append(spec.Sources, name)
	}
	if spec.To, err = to(req.To); err != nil {
		return err
	}
	id, err := s.queue.Add(spec)
	if err != nil {
		return err
	}
	return s.ok(w, map[string]string{"id": id})
}

// actJob pauses, resumes, retries, cancels or dismisses a job, or puts it first. Without an id,
// "retry" means all failed jobs and "dismiss" all that are done or canceled; the other actions need
// an id.
func (s *Server) actJob(w http.ResponseWriter, r *http.Request) error {
	req, err := read[struct {
		ID  string `json:"id"`
		Act string `json:"act"`
	}](r)
	if err != nil {
		return err
	}
	switch {
	case req.Act == "dismiss":
		err = s.queue.Dismiss(req.ID)
	case req.Act == "retry" && req.ID == "":
		err = s.queue.RetryFailed("")
	case req.ID == "":
		err = &hufu.Error{Op: "act", Kind: hufu.KindInvalid, Code: "gui_bad_request"}
	case req.Act == "pause":
		err = s.queue.Pause(req.ID)
	case req.Act == "resume", req.Act == "retry":
		err = s.queue.Resume(req.ID)
	case req.Act == "first":
		err = s.queue.First(req.ID)
	case req.Act == "cancel":
		err = s.queue.Cancel(req.ID)
	default:
		err = &hufu.Error{Op: "act", Kind: hufu.KindInvalid, Code: "gui_bad_request"}
	}
	if err != nil {
		return err
	}
	return s.ok(w, map[string]any{})
}

// limit sets the limit of the speed, in bytes a second.
func (s *Server) limit(w http.ResponseWriter, r *http.Request) error {
	req, err := read[struct {
		Bytes int64 `json:"bytes"`
	}](r)
	if err != nil {
		return err
	}
	if err := s.queue.SetLimit(req.Bytes); err != nil {
		return err
	}
	return s.ok(w, map[string]any{})
}

// lanes sets how many connections a transfer uses; 0 leaves it to the distance of the server.
func (s *Server) lanes(w http.ResponseWriter, r *http.Request) error {
	req, err := read[struct {
		Lanes int `json:"lanes"`
	}](r)
	if err != nil {
		return err
	}
	if err := s.queue.SetLanes(req.Lanes); err != nil {
		return err
	}
	return s.ok(w, map[string]any{})
}

func (s *Server) answerJob(w http.ResponseWriter, r *http.Request) error {
	req, err := read[struct {
		ID       string `json:"id"`
		Question int    `json:"question"`
		Policy   string `json:"policy"`
		All      bool   `json:"all"`
	}](r)
	if err != nil {
		return err
	}
	if err := s.queue.Answer(req.ID, req.Question, queue.Policy(req.Policy), req.All); err != nil {
		return err
	}
	return s.ok(w, map[string]any{})
}

// spool begins an upload of files that the browser sends.
func (s *Server) spool(w http.ResponseWriter, r *http.Request) error {
	req, err := read[struct {
		To    string `json:"to"`
		Files int64  `json:"files"`
		Bytes int64  `json:"bytes"`
	}](r)
	if err != nil {
		return err
	}
	_, l, err := s.entered()
	if err != nil {
		return err
	}
	to, err := remotePath(req.To)
	if err != nil {
		return err
	}
	id, err := s.queue.Spool(r.Context(), queue.Spec{Profile: l.profile, Teach: l.plain, To: to.Virtual()}, req.Files, req.Bytes)
	if err != nil {
		return err
	}
	return s.ok(w, map[string]string{"id": id})
}

// folder is the size of a folder in a batch.
const folder = -1

// spoolBytes takes a batch of files: for each a line of JSON, then as many
// bytes as it says. Ten thousand small files are a few dozen requests.
func (s *Server) spoolBytes(w http.ResponseWriter, r *http.Request) error {
	in := bufio.NewReaderSize(r.Body, 256<<10)
	refused := []*problem{}
	err := readBatch(in, func(f batchFile, in io.Reader) error {
		return s.queue.SpoolFile(r.PathValue("id"), f.path, f.size, f.mtime, in)
	}, func(err error) { refused = append(refused, problemOf(s.cat(r), err)) })
	if err != nil {
		_, _ = io.Copy(io.Discard, in) // a browser reads the answer only when it has sent all
		return err
	}
	return s.ok(w, map[string]any{"refused": refused})
}

// batchFile describes a file of a batch, before its bytes.
type batchFile struct {
	path  hufu.Path
	size  int64     // folder: -1
	mtime time.Time // zero: not said
}

// readBatch calls take for each file of a batch, with its bytes. An error of one file is passed
// to refuse, and the others continue; an error that concerns all of them ends the batch.
func readBatch(in *bufio.Reader, take func(batchFile, io.Reader) error, refuse func(error)) error {
	for {
		line, err := in.ReadSlice('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return nil
		}
		var h struct {
			Path  string `json:"path"`
			Size  int64  `json:"size"`
			MTime *int64 `json:"mtime"` // milliseconds since 1970, before it below zero
		}
		if err == nil && len(line) > maxHeader {
			err = errors.New("line too long")
		}
		if err == nil {
			err = strictly(bytes.NewReader(line), &h)
		}
		if err == nil && h.Size < folder {
			err = errors.New("negative size")
		}
		if err != nil {
			return &hufu.Error{Op: "spool", Kind: hufu.KindInvalid, Code: "spool_cut", Err: err}
		}
		f := batchFile{size: h.Size}
		if h.MTime != nil {
			f.mtime = time.UnixMilli(*h.MTime)
		}
		bytes := &io.LimitedReader{R: in, N: max(f.size, 0)}
		if f.path, err = hufu.ParsePath(h.Path); err == nil {
			if err = take(f, bytes); err == nil {
				continue
			}
		}
		switch hufu.KindOf(err) {
		case hufu.KindInvalidPath, hufu.KindUnreadable, hufu.KindExists:
		default:
			return err
		}
		refuse(err)
		if _, err := io.CopyN(io.Discard, in, bytes.N); err != nil {
			return &hufu.Error{Op: "spool", Kind: hufu.KindNetwork, Code: "spool_cut", Err: err}
		}
	}
}

func (s *Server) spoolDone(w http.ResponseWriter, r *http.Request) error {
	if _, err := read[struct{}](r); err != nil {
		return err
	}
	if err := s.queue.SpoolDone(r.PathValue("id")); err != nil {
		return err
	}
	return s.ok(w, map[string]any{})
}
