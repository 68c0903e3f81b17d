package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"hufu"
	"hufu/internal/cli"
	"hufu/internal/client"
	"hufu/internal/transfer"
)

// view shows a transfer: bars on a terminal, lines elsewhere, objects with
// --json. Files that failed are listed always, the others unless --quiet.
type view struct {
	a     *app
	op    string
	quiet bool
	loud  bool // also names that the filter left out
	dry   bool
	sync  bool // only changes are listed, folders as well; without it unchanged files, too
	down  bool // from the server
	again bool // without a summary if there was nothing to do
	tty   bool
	began time.Time
	nodes func() []client.Node // nil if the transfer does not leave the server

	mu       sync.Mutex // guards what follows and the output
	names    int
	failed   int
	same     int
	skipped  int
	excluded int
	updated  int       // got another mode or time, or would get it
	deleted  int       // from the target, or would be
	would    int       // be transferred, in a dry run
	bytes    int64     // of these
	first    hufu.Kind // of the first failure
	whole    hufu.Kind // of the first failure that is more than one file's
	policy   transfer.Policy
	bars     *mpb.Progress
	finished chan struct{}
	done     sync.WaitGroup
}

func newView(a *app, op string, f *copyFlags) *view {
	return &view{
		a: a, op: op, quiet: f.quiet, loud: f.verbose, dry: f.dry, down: op == "get", began: time.Now(),
		tty: a.Draws() != nil && !a.json && !f.quiet && !f.dry,
	}
}

// start shows progress until stop.
func (v *view) start(e *transfer.Engine) {
	if !v.tty {
		return
	}
	v.finished = make(chan struct{})
	v.bars = mpb.New(mpb.WithOutput(v.a.ErrTerminal()), mpb.WithWidth(40), mpb.WithRefreshRate(150*time.Millisecond))
	cat := v.a.Cat
	total := v.bars.New(1, mpb.BarStyle().Lbound("[").Rbound("]"), mpb.BarFillerClearOnComplete(),
		mpb.PrependDecorators(decor.Any(func(decor.Statistics) string {
			return cat.N("hufu.progress.files", int(e.Stats.Files.Load()), "done", e.Stats.FilesDone.Load()) + " "
		})),
		mpb.AppendDecorators(decor.Any(func(s decor.Statistics) string {
			elapsed := time.Since(v.began)
			rate := float64(e.Stats.Sent.Load()) / max(elapsed.Seconds(), 0.001)
			left := "-"
			if rest := e.Stats.Bytes.Load() - e.Stats.BytesDone.Load(); rate > 0 && e.Stats.Planned.Load() {
				left = cat.Duration(time.Duration(float64(max(rest, 0)) / rate * float64(time.Second)))
			}
			return " " + cat.T("hufu.progress.bytes", "done", cat.Size(e.Stats.BytesDone.Load()), "total", cat.Size(e.Stats.Bytes.Load()),
				"rate", cat.Rate(rate), "left", left)
		})))
	v.done.Go(func() {
		large := map[string]*mpb.Bar{}
		tick := time.NewTicker(150 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-v.finished:
				for _, b := range large {
					b.Abort(true)
				}
				total.Abort(true)
				return
			}
			total.SetTotal(max(e.Stats.Bytes.Load(), 1), false)
			total.SetCurrent(min(e.Stats.BytesDone.Load(), max(e.Stats.Bytes.Load(), 1)-1))
			seen := map[string]bool{}
			for _, p := range e.Active() {
				seen[p.Local] = true
				b := large[p.Local]
				if b == nil {
					name := hufu.Printable(p.Local)
					b = v.bars.New(p.Size, mpb.BarStyle().Lbound("[").Rbound("]"), mpb.BarRemoveOnComplete(),
						mpb.PrependDecorators(decor.Name(name, decor.WCSyncSpaceR)), mpb.AppendDecorators(decor.Percentage(decor.WCSyncSpace)))
					large[p.Local] = b
				}
				b.SetCurrent(min(p.Done, p.Size-1))
			}
			for name, b := range large {
				if !seen[name] {
					b.Abort(true)
					delete(large, name)
				}
			}
		}
	})
}

func (v *view) stop() {
	if v.bars == nil {
		return
	}
	close(v.finished)
	v.done.Wait()
	v.bars.Wait()
}

// fixes is for how many names of a batch it is said what to do.
const fixes = 3

// line writes above the bars.
func (v *view) line(w io.Writer, s string) {
	if v.bars != nil && (w == v.a.Err || v.a.OutTerminal()) {
		_, _ = v.bars.Write([]byte(s + "\n"))
		return
	}
	_, _ = fmt.Fprintln(w, s)
}

// jsonReport is one line of --json.
type jsonReport struct {
	Op      string `json:"op"`
	Local   string `json:"local"`
	Remote  string `json:"remote"`
	Kind    string `json:"kind"`
	Size    int64  `json:"size"`
	Digest  string `json:"digest,omitempty"`
	Outcome string `json:"outcome"`
	Resumed int64  `json:"resumed,omitempty"`
	*cli.Failure
}

// report is transfer.Options.Report.
func (v *view) report(r transfer.Report) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if r.Outcome == transfer.Excluded {
		if v.excluded++; !v.loud {
			return
		}
	} else {
		v.names++
	}
	switch r.Outcome {
	case transfer.Would:
		v.would++
		v.bytes += r.Size
	case transfer.Failed:
		v.fails(r.Err)
	case transfer.Same:
		v.same++
	case transfer.Updated, transfer.WouldUpdate:
		if r.Kind != hufu.Folder {
			v.updated++
		}
	case transfer.Deleted, transfer.WouldDelete:
		v.deleted++
	case transfer.Skipped:
		v.skipped++
	}
	cat := v.a.Cat
	if v.a.json {
		j := jsonReport{
			Op: v.op, Local: r.Local, Remote: r.Remote.Virtual(), Kind: r.Kind.String(), Size: r.Size, Outcome: string(r.Outcome), Resumed: r.Resumed,
		}
		if !r.Digest.IsZero() {
			j.Digest = r.Digest.String()
		}
		if r.Err != nil {
			j.Failure = v.a.Failure(r.Err)
		}
		_ = v.a.JSON(j) // a closed pipe ends the program by its signal
		return
	}
	name, as := r.Local, r.Remote.Remote()
	if v.down {
		name, as = as, name
	}
	switch {
	case r.Outcome == transfer.Failed, r.Outcome == transfer.Skipped && r.Err != nil && !v.quiet:
		what, fix := cat.Error(r.Err)
		v.line(v.a.Err, cat.T("hufu.report."+string(r.Outcome), "name", name, "what", what))
		if fix != "" && v.failed <= fixes && r.Outcome == transfer.Failed {
			v.line(v.a.Err, "  "+fix)
		}
	case r.Outcome == transfer.Excluded:
		v.line(v.a.Out, cat.T("hufu.report.excluded", "name", name))
	case r.Outcome == transfer.Deleted || r.Outcome == transfer.WouldDelete:
		if !v.quiet && (!v.tty || !v.a.OutTerminal()) {
			v.line(v.a.Out, cat.T("hufu.report."+string(r.Outcome), "name", as))
		}
	case v.quiet, v.sync && !v.loud && r.Outcome == transfer.Same, r.Kind == hufu.Folder && (!v.sync || !v.loud && !v.dry):
	case r.Outcome == transfer.Transferred && r.Renamed:
		v.line(v.a.Out, cat.T("hufu.report.renamed", "name", name, "size", cat.Size(r.Size), "as", as))
	case v.tty && v.a.OutTerminal(): // the bars show it
	default:
		v.line(v.a.Out, cat.T("hufu.report."+string(r.Outcome), "name", name, "size", cat.Size(r.Size)))
	}
}

// warn is transfer.Options.Warn.
func (v *view) warn(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	what, fix := v.a.Cat.Error(err)
	v.line(v.a.Err, what)
	v.line(v.a.Err, "  "+fix)
}

func (v *view) fails(err error) {
	v.failed++
	k := hufu.KindOf(err)
	if v.failed == 1 {
		v.first = k
	}
	if v.whole == 0 && k.Exit() >= 5 && k.Exit() <= 8 {
		v.whole = k
	}
}

// verdict returns the kind of error that a batch ends with, 0 for none: what
// concerns more than one file wins; a single file's failure is its own.
func (v *view) verdict() hufu.Kind {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.failed == 0:
		return 0
	case v.whole != 0:
		return v.whole
	case v.names == 1:
		return v.first
	}
	return hufu.KindExists // some files failed: 1
}

// summary is the last line of a batch.
func (v *view) summary(e *transfer.Engine) {
	v.mu.Lock()
	defer v.mu.Unlock()
	elapsed := time.Since(v.began)
	sent := e.Stats.Sent.Load()
	note, times := e.Times()
	if note != nil {
		v.a.told(note)
	}
	if v.again && e.Stats.Transferred.Load() == 0 && v.failed+v.deleted+v.updated == 0 && e.Kept() == (transfer.Kept{}) {
		return
	}
	if v.a.json {
		sum := map[string]any{
			"summary": v.op, "transferred": e.Stats.Transferred.Load(), "same": v.same, "skipped": v.skipped, "failed": v.failed,
			"bytes_sent": sent, "bytes_resumed": e.Stats.Resumed.Load(), "seconds": elapsed.Seconds(),
		}
		if v.updated > 0 {
			sum["updated"] = v.updated
		}
		v.kept(e, sum)
		if v.excluded > 0 {
			sum["excluded"] = v.excluded
		}
		if v.dry {
			sum["dry_run"], sum["would_transfer"], sum["bytes"] = true, v.would, v.bytes
		}
		if times > 0 {
			sum["times_changed"] = times
		}
		if nodes := v.usedNodes(e); len(nodes) > 0 {
			sum["nodes"] = nodes
		}
		_ = v.a.JSON(sum)
		return
	}
	v.kept(e, nil)
	if v.quiet {
		return
	}
	if v.loud {
		v.tellNodes(e)
	}
	cat := v.a.Cat
	if v.excluded > 0 && v.names == 0 {
		v.a.Hint(cat.N("hufu.excluded.all", v.excluded))
	}
	if v.deleted > 0 {
		key := "hufu.deleted"
		if v.dry {
			key = "hufu.would_delete"
		}
		v.a.Hint(cat.N(key, v.deleted))
	}
	if v.updated > 0 {
		key := "hufu.updated"
		if v.dry {
			key = "hufu.would_update"
		}
		v.a.Hint(cat.N(key, v.updated))
	}
	if v.dry {
		v.a.Hint(cat.T("hufu.summary.dry", "would", v.would, "bytes", cat.Size(v.bytes), "same", v.same, "skipped", v.skipped, "failed", v.failed))
		return
	}
	v.a.Hint(cat.T("hufu.summary", "transferred", e.Stats.Transferred.Load(), "same", v.same, "skipped", v.skipped, "failed", v.failed,
		"bytes", cat.Size(sent), "time", elapsed, "rate", cat.Rate(float64(sent)/max(elapsed.Seconds(), 0.001))))
}

// ask is transfer.Options.Ask: one question for each conflict, with an answer
// for all that follow.
func (v *view) ask(ctx context.Context, c transfer.Conflict) (transfer.Policy, error) {
	if v.policy != "" {
		return v.policy, nil
	}
	cat := v.a.Cat
	from, into := c.Local, c.Remote.Remote()
	if v.down {
		from, into = into, from
	}
	describe := func(name string, e hufu.Entry) string {
		return cat.T("hufu.conflict.side", "name", name, "size", cat.Size(e.Size), "time", e.MTime)
	}
	v.line(v.a.Err, cat.T("hufu.conflict.title", "name", into))
	v.line(v.a.Err, "  "+describe(from, c.From))
	v.line(v.a.Err, "  "+describe(into, c.Into))
	for {
		v.line(v.a.Err, cat.T("hufu.conflict.ask")) // a line of its own: the bars come and go below it
		answer, err := v.a.Line(ctx)
		if hufu.CodeOf(err) == "input_ended" { // the input has ended
			v.policy = transfer.Refuse
			return v.policy, nil
		}
		if err != nil {
			return "", err
		}
		if answer = strings.TrimSpace(answer); answer == "" {
			continue
		}
		policies := map[string]transfer.Policy{"r": transfer.Replace, "n": transfer.Newer, "k": transfer.Rename, "s": transfer.Skip}
		p, ok := policies[strings.ToLower(answer)]
		if !ok {
			continue
		}
		if answer == strings.ToUpper(answer) { // a capital letter answers for all
			v.policy = p
		}
		return p, nil
	}
}
