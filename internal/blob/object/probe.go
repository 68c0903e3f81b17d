package object

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"

	"hufu"
)

// The bounds of a probe.
const (
	probeWriters = 32
	probeBytes   = 64 << 10
	probeTries   = 3
	probeClock   = time.Minute // the clocks may differ by that much; stores refuse a quarter of an hour
)

// Probed is the outcome of one check of a bucket.
type Probed struct {
	Check string
	Err   error // what does not fit; its code says what to do
	Took  time.Duration
}

// Probe tries on the bucket what a server depends on, and calls report for each check. It stores
// objects below a key of its own and removes them. It returns the first error of report.
func (b *Bucket) Probe(ctx context.Context, report func(Probed) error) error {
	return b.probe(ctx, []trial{
		{"reach", (*prober).reach},
		{"clock", (*prober).clock},
		{"checksum", (*prober).checksum},
		{"cut", (*prober).cut},
		{"read", (*prober).read},
		{"range", (*prober).ranges},
		{"overwrite", (*prober).overwrite},
		{"delete", (*prober).delete},
		{"list", (*prober).list},
		{"writers", (*prober).writers},
		{"versions", (*prober).versions},
	}, report)
}

// Fit returns nil if the bucket refuses bytes that have changed or were cut on the way. A server
// uses no other: a file could be acknowledged and be another one.
func (b *Bucket) Fit(ctx context.Context) error {
	return b.probe(ctx, []trial{{"checksum", (*prober).checksum}, {"cut", (*prober).cut}}, func(p Probed) error { return p.Err })
}

type trial struct {
	name string
	do   func(*prober, context.Context) error
}

func (b *Bucket) probe(ctx context.Context, checks []trial, report func(Probed) error) error {
	p := &prober{b: b, at: "hufu-probe/" + strings.ToLower(rand.Text()) + "/"}
	defer p.tidy(ctx)
	for _, c := range checks {
		began := time.Now()
		err := c.do(p, ctx)
		if hufu.KindOf(err) == hufu.KindCanceled {
			return err
		}
		if err := report(Probed{c.name, err, time.Since(began)}); err != nil {
			return err
		}
		if err != nil && c.name == "reach" {
			return nil // nothing else can be tried
		}
	}
	return nil
}

type prober struct {
	b  *Bucket
	at string // begins the keys

	mu   sync.Mutex // guards keys
	keys []string   // that may have objects
}

func unfit(code string, err error) error {
	return &hufu.Error{Op: "probe store", Kind: hufu.KindIntegrity, Code: code, Err: err}
}

// put stores n random bytes under a key of the probe.
func (p *prober) put(ctx context.Context, b *Bucket, name string, n int) (key string, data []byte, err error) {
	key, data = p.at+name, make([]byte, n)
	_, _ = rand.Read(data) // never fails
	p.mu.Lock()
	p.keys = append(p.keys, key)
	p.mu.Unlock()
	return key, data, b.Put(ctx, key, data)
}

// tidy removes what the probe has stored.
func (p *prober) tidy(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stallLimit)
	defer cancel()
	for _, key := range p.keys {
		_ = p.b.Delete(ctx, key)
	}
}

// same compares an object with what was stored.
func (p *prober) same(ctx context.Context, key string, off int, want []byte, code string) error {
	got := make([]byte, len(want))
	err := p.b.Get(ctx, key, int64(off), got)
	switch {
	case hufu.CodeOf(err) == "store_object_missing", errors.Is(err, errAnswer), errors.Is(err, io.ErrUnexpectedEOF):
		return unfit(code, err)
	case err != nil:
		return err
	case !bytes.Equal(got, want):
		return unfit(code, nil)
	}
	return nil
}

func (p *prober) reach(ctx context.Context) error {
	_, _, err := p.put(ctx, p.b, "reach", 1)
	return err
}

// clock compares the clock of the store with that of this computer.
func (p *prober) clock(ctx context.Context) error {
	key, _, err := p.put(ctx, p.b, "clock", 1)
	if err != nil {
		return err
	}
	ctx, w := p.b.watch(ctx)
	defer w.end()
	info, err := p.b.s3.StatObject(ctx, p.b.name, p.b.prefix+key, minio.StatObjectOptions{})
	if err != nil {
		return w.failed("look at object", err)
	}
	if d := time.Since(info.LastModified); d.Abs() > probeClock {
		return unfit("store_clock", fmt.Errorf("the store is %v behind", d.Round(time.Second))) //nolint:err113 // for the log
	}
	return nil
}

// checksum stores bytes of which one changes on the way: the store must refuse them.
func (p *prober) checksum(ctx context.Context) error {
	return p.damaged(ctx, "checksum", "store_no_checksum", func(body []byte) io.Reader {
		body[len(body)/2] ^= 1
		return bytes.NewReader(body)
	})
}

var errCut = errors.New("the body is cut")

// cut stores bytes of which half arrives, before the connection breaks.
func (p *prober) cut(ctx context.Context) error {
	return p.damaged(ctx, "cut", "store_keeps_cut", func(body []byte) io.Reader {
		return io.MultiReader(bytes.NewReader(body[:len(body)/2]), broke{errCut})
	})
}

// damaged stores bytes that damage changes on the way. The store must refuse them. A failure without
// an answer may only mean that the store is away. So whole bytes are stored after each try: if these
// arrive and the damaged ones fail probeTries times, the store refuses damage.
func (p *prober) damaged(ctx context.Context, name, code string, damage func([]byte) io.Reader) error {
	o := p.b.o
	o.Transport = damaging{p.b.http, damage}
	core, err := minio.NewCore(p.b.host, &o)
	if err != nil {
		return &hufu.Error{Op: "probe store", Kind: hufu.KindInternal, Err: err}
	}
	b := &Bucket{s3: core, http: p.b.http, name: p.b.name, prefix: p.b.prefix, stall: p.b.stall}
	for i := range probeTries {
		key, _, err := p.put(ctx, b, fmt.Sprintf("%s/%d", name, i), probeBytes)
		if hufu.KindOf(err) == hufu.KindCanceled {
			return err
		}
		if err == nil {
			return unfit(code, nil)
		}
		if _, _, err := p.put(ctx, p.b, fmt.Sprintf("%s/%d/whole", name, i), probeBytes); err != nil {
			return err
		}
		switch _, err := p.b.Size(ctx, key); {
		case err == nil:
			return unfit(code, nil)
		case hufu.CodeOf(err) != "store_object_missing":
			return err
		}
		if refuses(err) || errors.Is(err, errCut) {
			return nil
		}
	}
	return nil
}

// refuses reports whether err is an answer to what was asked, and not one that says to ask again.
func refuses(err error) bool {
	r, _ := errors.AsType[minio.ErrorResponse](err)
	switch r.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return false
	case http.StatusNotImplemented:
		return true
	}
	return r.StatusCode >= 400 && r.StatusCode < 500
}

// damaging changes the body of each PUT that passes through it.
type damaging struct {
	way    http.RoundTripper
	damage func([]byte) io.Reader
}

func (d damaging) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodPut || r.Body == nil {
		return d.way.RoundTrip(r) //nolint:wrapcheck // it is one of these
	}
	body, err := io.ReadAll(r.Body)
	if err := errors.Join(err, r.Body.Close()); err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(d.damage(body)) // the length that is announced stays
	return d.way.RoundTrip(r)             //nolint:wrapcheck // it is one of these
}

// broke is a body that breaks.
type broke struct{ err error }

func (b broke) Read([]byte) (int, error) { return 0, b.err }

// read reads what was stored a moment before.
func (p *prober) read(ctx context.Context) error {
	key, data, err := p.put(ctx, p.b, "read", probeBytes)
	if err != nil {
		return err
	}
	n, err := p.b.Size(ctx, key)
	switch {
	case hufu.CodeOf(err) == "store_object_missing", err == nil && n != int64(len(data)):
		return unfit("store_reads_other", err)
	case err != nil:
		return err
	}
	return p.same(ctx, key, 0, data, "store_reads_other")
}

func (p *prober) ranges(ctx context.Context) error {
	key, data, err := p.put(ctx, p.b, "range", probeBytes)
	for _, r := range [][2]int{{0, 1}, {1, 100}, {probeBytes / 2, probeBytes / 4}, {probeBytes - 1, 1}} {
		if err == nil {
			err = p.same(ctx, key, r[0], data[r[0]:r[0]+r[1]], "store_ranges")
		}
	}
	if err != nil {
		return err
	}
	err = p.b.Get(ctx, key, probeBytes/2, make([]byte, probeBytes)) // there are not as many
	switch {
	case err == nil:
		return unfit("store_ranges", nil)
	case errors.Is(err, errAnswer), errors.Is(err, io.ErrUnexpectedEOF), refuses(err):
		return nil
	}
	return err
}

func (p *prober) overwrite(ctx context.Context) error {
	_, _, err := p.put(ctx, p.b, "overwrite", probeBytes)
	if err != nil {
		return err
	}
	key, data, err := p.put(ctx, p.b, "overwrite", probeBytes/2)
	if err != nil {
		return err
	}
	return p.same(ctx, key, 0, data, "store_reads_other")
}

func (p *prober) delete(ctx context.Context) error {
	key, _, err := p.put(ctx, p.b, "delete", 1)
	for range 2 { // the second time nothing is there
		if err == nil {
			err = p.b.Delete(ctx, key)
		}
	}
	if err != nil {
		return err
	}
	if _, err = p.b.Size(ctx, key); err == nil {
		return unfit("store_deletes", nil)
	}
	if hufu.CodeOf(err) != "store_object_missing" {
		return err
	}
	return nil
}

// list lists what was stored a moment before, and not what was deleted or is elsewhere.
func (p *prober) list(ctx context.Context) error {
	want := map[string]int64{}
	for i := range 4 {
		key, data, err := p.put(ctx, p.b, fmt.Sprintf("list/%d", i), 10+i)
		if err == nil && i == 0 {
			err = p.b.Delete(ctx, key)
		} else {
			want[key] = int64(len(data))
		}
		if err != nil {
			return err
		}
	}
	err := p.b.Keys(ctx, p.at+"list/", func(key string, size int64) error {
		if n, ok := want[key]; !ok || n != size {
			return unfit("store_lists", nil)
		}
		delete(want, key)
		return nil
	})
	if err == nil && len(want) > 0 {
		err = unfit("store_lists", nil)
	}
	return err
}

// writers stores many objects at once.
func (p *prober) writers(ctx context.Context) error {
	errs := make([]error, probeWriters)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			key, data, err := p.put(ctx, p.b, fmt.Sprintf("writers/%d", i), probeBytes)
			if err == nil {
				err = p.same(ctx, key, 0, data, "store_reads_other")
			}
			errs[i] = err
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// versions looks whether the bucket keeps what is deleted. A store that does not know the question
// keeps nothing.
func (p *prober) versions(ctx context.Context) error {
	ctx, w := p.b.watch(ctx)
	defer w.end()
	v, err := p.b.s3.GetBucketVersioning(ctx, p.b.name)
	if err == nil && v.Enabled() {
		return unfit("store_versions", nil)
	}
	unknown := refuses(err)
	if err = w.failed("look at bucket", err); unknown && hufu.CodeOf(err) != "store_denied" {
		return nil
	}
	return err
}
