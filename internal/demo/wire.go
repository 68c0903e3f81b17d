package demo

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"hufu"
	"hufu/internal/capture"
	"hufu/internal/client"
	"hufu/internal/profile"
	"hufu/internal/report"
	"hufu/internal/transfer"
)

// The files that Wire makes.
const (
	WirePlain  = "plain.pcapng"
	WireTLS    = "tls.pcapng"
	WireMITM   = "mitm.pcapng"
	WireReport = "report.html"
)

const (
	// maxWireFile bounds the file that is shown: both directions of it, twice,
	// stay below what a recorder holds.
	maxWireFile = 32 << 20
	// leastNeedle is the shortest password that is looked for, and leastFile
	// the smallest file: less turns up everywhere by chance.
	leastNeedle = 4
	leastFile   = 16
	// longName is the length from which a name is not found by chance.
	longName = 8
)

// WireOptions say what is recorded and where it is saved.
type WireOptions struct {
	Dir      string // gets the captures and the report; made if need be
	Disk     client.Disk
	File     string // what is sent; empty: a sample
	Password string // empty: one is made up. The captures contain it
	Secrets  bool   // embed the secrets of TLS, so that Wireshark decrypts
	MITM     bool   // have a man in the middle try too
	Lang     string // of T and Error, which a text.Catalogue has
	T        report.Translate
	Error    func(error) (what, fix string)
}

// Wired is the outcome of Wire.
type Wired struct {
	report.Report

	Dir            string
	Files          []string // in Dir
	User, Password string   // of the teaching world, made for this
}

// Wire shows what an eavesdropper reads. It records one login, one put and one get
// without TLS and then the same with TLS, both in the server's teaching world, so
// that TLS is the only difference. No real account and no real file is touched.
// A complete recording is no proof yet: see Report.Proven.
func Wire(ctx context.Context, p *profile.Profile, o WireOptions) (*Wired, error) {
	w := &wiring{p: p, o: o, user: "wire-" + randomName(8), password: o.Password}
	if w.password == "" {
		w.password = randomName(16)
	}
	if err := w.prepare(); err != nil {
		return nil, err
	}
	if err := w.room(); err != nil {
		return nil, err
	}
	port, instance, err := TeachPort(ctx, p)
	if err != nil {
		return nil, err
	}
	w.plain, w.instance = loopback(port), instance
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, &hufu.Error{Op: "wire", Path: o.Dir, Kind: hufu.KindUnreadable, Code: "cannot_write", Err: err}
	}
	for _, name := range []string{WireMITM, WireReport} { // those of an earlier run would look as if they belonged to this one
		path := filepath.Join(o.Dir, name)
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, &hufu.Error{Op: "wire", Path: path, Kind: hufu.KindUnreadable, Code: "cannot_write", Err: err}
		}
	}
	return w.run(ctx)
}

// wiring is one run of Wire.
type wiring struct {
	p              *profile.Profile
	o              WireOptions
	user, password string
	name           string // of the file, on the server
	content        []byte
	plain          string // address of the listener without TLS
	instance       []byte // of the server that told it
}

// prepare reads the file. It refuses a password or a file that would also turn up
// in a recording by chance.
func (w *wiring) prepare() error {
	open := func(s string) bool { // what every connection shows in clear anyway
		return strings.Contains(w.p.Host, s) || strings.Contains("hufu/1", s)
	}
	if len(w.password) < leastNeedle || open(w.password) {
		return &hufu.Error{Op: "wire", Kind: hufu.KindUsage, Code: "wire_password_unfit", Args: map[string]string{"n": strconv.Itoa(leastNeedle)}}
	}
	if w.o.File == "" {
		w.name, w.content = "hufu-sample.txt", sample()
		return nil
	}
	w.name = filepath.Base(w.o.File)
	if len(w.name) < longName || open(w.name) || strings.HasPrefix(w.name, "@") {
		w.name = "hufu-wire-" + w.name
	}
	i, err := os.Stat(w.o.File)
	switch {
	case err != nil:
		return client.Missing("wire", w.o.File, err, "")
	case i.IsDir():
		return &hufu.Error{Op: "wire", Path: w.o.File, Kind: hufu.KindWrongKind, Code: "is_a_folder"}
	case !i.Mode().IsRegular():
		return client.Unsendable("wire", w.o.File, i.Mode())
	case i.Size() > maxWireFile:
		return &hufu.Error{
			Op: "wire", Path: w.o.File, Kind: hufu.KindUsage, Code: "wire_file_large",
			Args: map[string]string{"limit": strconv.Itoa(maxWireFile>>20) + " MiB"},
		}
	}
	f, err := client.OpenRegular(w.o.File)
	if err != nil {
		return client.Missing("wire", w.o.File, err, "")
	}
	defer func() { _ = f.Close() }()
	if w.content, err = io.ReadAll(io.LimitReader(f, maxWireFile)); err != nil {
		return client.Missing("wire", w.o.File, err, "")
	}
	if len(capture.FileNeedle(w.content).Bytes) < leastFile || uniform(w.content) {
		return &hufu.Error{Op: "wire", Path: w.o.File, Kind: hufu.KindUsage, Code: "wire_file_unfit", Args: map[string]string{"n": strconv.Itoa(leastFile)}}
	}
	return nil
}

// room returns an error if a file would be replaced that Wire has not made.
func (w *wiring) room() error {
	for _, name := range []string{WirePlain, WireTLS, WireMITM, WireReport} {
		path := filepath.Join(w.o.Dir, name)
		if _, err := os.Lstat(path); err != nil {
			continue // nothing is there, or what cannot be written either: then that is told
		}
		if head := headOf(path); !capture.Made(head) && !report.Made(head) {
			return &hufu.Error{Op: "wire", Path: path, Kind: hufu.KindExists, Code: "wire_file_foreign"}
		}
	}
	return nil
}

// headOf returns the first 4 KiB of the regular file at path. It returns nothing for
// another kind of file, a link included, and for a file that cannot be read.
func headOf(path string) []byte {
	if i, err := os.Lstat(path); err != nil || !i.Mode().IsRegular() {
		return nil
	}
	f, err := client.OpenRegular(path)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	head, err := io.ReadAll(io.LimitReader(f, 4<<10))
	if err != nil {
		return nil
	}
	return head
}

// uniform reports whether the bytes that would be looked for are all the same.
func uniform(content []byte) bool {
	piece := capture.FileNeedle(content).Bytes
	return bytes.Count(piece, piece[:1]) == len(piece)
}

func (w *wiring) needles() []capture.Needle {
	return []capture.Needle{
		{Role: capture.RoleUser, Bytes: []byte(w.user)},
		{Role: capture.RolePassword, Bytes: []byte(w.password)},
		{Role: capture.RoleFileName, Bytes: []byte(w.name)},
		capture.FileNeedle(w.content),
	}
}

func (w *wiring) run(ctx context.Context) (_ *Wired, err error) {
	tmp, err := os.MkdirTemp("", "hufu-wire-")
	if err != nil {
		return nil, &hufu.Error{Op: "wire", Path: os.TempDir(), Kind: hufu.KindUnreadable, Code: "cannot_write", Err: err}
	}
	defer func() { _ = os.RemoveAll(tmp) }() // it holds a copy of what the user has anyway
	local := filepath.Join(tmp, w.name)
	if err := os.WriteFile(local, w.content, 0o600); err != nil {
		return nil, &hufu.Error{Op: "wire", Path: local, Kind: hufu.KindUnreadable, Code: "cannot_write", Err: err}
	}

	plain := capture.NewRecorder(capture.Options{})
	if err := w.story(ctx, local, plain, client.Options{Plaintext: true, Address: w.plain}); err != nil {
		return nil, err
	}
	// The second story begins where the first began: without the file.
	if err := w.forget(ctx); err != nil {
		return nil, err
	}
	var secrets *capture.Secrets
	o := client.Options{Teach: true}
	if w.o.Secrets {
		secrets = &capture.Secrets{}
		o.KeyLog = secrets
	}
	sealed := capture.NewRecorder(capture.Options{Secrets: secrets})
	if err := w.story(ctx, local, sealed, o); err != nil {
		return nil, err
	}
	if err := w.forget(ctx); err != nil {
		return nil, err
	}

	d := &Wired{Dir: w.o.Dir, User: w.user, Password: w.password}
	d.Lang, d.T = w.o.Lang, w.o.T
	if d.Plain, err = w.keep(d, plain, WirePlain); err != nil {
		return nil, err
	}
	if d.TLS, err = w.keep(d, sealed, WireTLS); err != nil {
		return nil, err
	}
	if w.o.MITM {
		tried := capture.NewRecorder(capture.Options{})
		if d.MITM, err = w.attempt(ctx, tried); err != nil {
			return nil, err
		}
		if d.MITM.Capture, err = w.keep(d, tried, WireMITM); err != nil {
			return nil, err
		}
	}
	d.Files = append(d.Files, WireReport)
	return d, d.SaveHTML(filepath.Join(w.o.Dir, WireReport))
}

func (w *wiring) keep(d *Wired, r *capture.Recorder, name string) (report.Capture, error) {
	d.Files = append(d.Files, name)
	return report.Capture{File: name, Findings: r.Analyse(w.needles())}, r.Save(filepath.Join(w.o.Dir, name))
}

// story records a login, a put and a get.
func (w *wiring) story(ctx context.Context, local string, rec *capture.Recorder, o client.Options) (err error) {
	o.Disk, o.Tap, o.NoRenew = w.o.Disk, tap(rec), true
	r, err := client.New(w.p, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	hello, err := r.Connect(ctx)
	if err != nil {
		return err
	}
	if !bytes.Equal(hello.Instance, w.instance) {
		address := cmp.Or(o.Address, w.p.Address)
		return &hufu.Error{Op: "wire", Path: address, Kind: hufu.KindUnproven, Code: "teach_other_server", Args: map[string]string{"address": address}}
	}
	rec.Note("log in")
	if err := r.Login(ctx, w.user, w.password); err != nil {
		return err
	}
	path, err := hufu.Path{}.Join(w.name)
	if err != nil {
		return err
	}
	rec.Note("put")
	put, err := r.PreparePut(ctx, []string{local}, path, client.How{})
	if err != nil {
		return err
	}
	err = w.move(ctx, r, func(e *transfer.Engine) error { return e.Put(ctx, put.Sources) })
	if err := errors.Join(err, put.Close()); err != nil {
		return err
	}
	rec.Note("get")
	back := local + ".back"
	get, err := r.PrepareGet(ctx, []client.Fetch{{Path: path}}, back, client.How{})
	if err != nil {
		return err
	}
	err = w.move(ctx, r, func(e *transfer.Engine) error { return e.Get(ctx, get.Sources) })
	if err := errors.Join(err, get.Close()); err != nil {
		return err
	}
	got, err := os.ReadFile(back)
	if err == nil && !bytes.Equal(got, w.content) {
		err = errors.New("other bytes came back")
	}
	if err = errors.Join(err, os.Remove(back)); err != nil {
		return &hufu.Error{Op: "compare what came back", Path: back, Kind: hufu.KindIntegrity, Err: err}
	}
	return nil
}

// move runs one transfer on a single lane, so that there is little to read.
func (w *wiring) move(_ context.Context, r *client.Remote, run func(*transfer.Engine) error) error {
	var failed error
	e := transfer.New(r, transfer.Options{
		Conflict: transfer.Replace, Lanes: 1, Owner: w.user + "@wire", Me: w.user,
		Report: func(rep transfer.Report) { failed = errors.Join(failed, rep.Err) },
	})
	return errors.Join(run(e), failed)
}

// forget removes the file without recording it.
func (w *wiring) forget(ctx context.Context) (err error) {
	r, err := client.New(w.p, client.Options{Teach: true, NoRenew: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if err := r.Login(ctx, w.user, w.password); err != nil {
		return err
	}
	path, err := hufu.Path{}.Join(w.name)
	if err != nil {
		return err
	}
	return r.Remove(ctx, path, false)
}

// randomName returns n small letters and digits, five random bits each.
func randomName(n int) string {
	return strings.ToLower(rand.Text())[:n]
}

// sample returns a file that people recognize in a capture. Its first 32 bytes are
// the least repetitive ones, so they are looked for.
func sample() []byte {
	var b bytes.Buffer
	b.WriteString("hufu SAMPLE file 0123456789: XYZ\n")
	for i := range 40 {
		_, _ = fmt.Fprintf(&b, "line %02d: whoever can read this line has read the file.\n", i+1)
	}
	return b.Bytes()
}
