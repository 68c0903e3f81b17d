// Package blobtest tests a store against the promises of package blob.
package blobtest

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/digest"
)

// Store is an empty tree that was just opened, and the faults that a test may
// cause.
type Store struct {
	Tree blob.Tree
	Unit int64 // of its uploads

	Records bool // digest, user and upload are kept with a file: a server's tree
	Modes   bool // modes are kept: otherwise files have 0600 and folders 0700
	Times   bool // times are kept to the nanosecond, also those before 1970
	Links   bool // there are symbolic links
	Names   bool // a name may hold every byte that a hufu.Path may
	Rounds  int  // how often users compete for a name; 0 is 200

	// Another opens the tree once more, as another process does. nil if only one may
	// have it open.
	Another func() blob.Tree
	// Reopen opens the tree as the process after a killed one. The test has closed its handles,
	// but not discarded batches. nil if nothing survives the process.
	Reopen func() blob.Tree
	// Reboot is Reopen after the computer was restarted: changes that were not
	// durable may be lost.
	Reboot func() blob.Tree
	// FailSync: counting from now, the n-th step of making something durable fails, once; 0
	// cancels that. nil if there are no such steps.
	FailSync func(n int)
	// Lose replaces the bytes of an unfinished upload by zeros, as a power cut may.
	Lose func(id string)
}

// test is one promise. It runs if the store has the needed abilities.
type test struct {
	name  string
	run   func(*suite)
	needs func(*Store) bool
}

// Run checks the promises, each in a subtest with a tree of its own. open opens
// an empty one.
func Run(t *testing.T, open func(t *testing.T) Store) {
	t.Helper()
	able := open(t)
	for _, c := range slices.Concat(nameTests(), readTests(), conditionTests(), changeTests(), guardTests(), uploadTests(), resumeTests(), unitTests(), durableTests()) {
		if c.needs != nil && !c.needs(&able) {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(&suite{T: t, Store: open(t)})
		})
	}
}

func records(s *Store) bool { return s.Records }
func modes(s *Store) bool   { return s.Modes }
func links(s *Store) bool   { return s.Links }
func times(s *Store) bool   { return s.Times }

// suite is a test with its tree.
type suite struct {
	*testing.T
	Store
	numbers atomic.Int64
}

// number returns a new number at each call.
func (s *suite) number() string { return strconv.FormatInt(s.numbers.Add(1), 10) }

func always() hufu.Condition            { return hufu.Condition{Kind: hufu.Always} }
func ifAbsent() hufu.Condition          { return hufu.Condition{Kind: hufu.IfAbsent} }
func ifVersion(v string) hufu.Condition { return hufu.Condition{Kind: hufu.IfVersion, Version: v} }

// anyone is the guard that allows everything.
var anyone blob.Guard

// meta returns the Meta of alice's entries.
func meta() blob.Meta {
	return blob.Meta{Mode: 0o640, MTime: time.Unix(1_700_000_000, 0), By: "alice"}
}

// mode returns the mode that a file has after it was given m.
func (s *suite) mode(m uint32) uint32 {
	if !s.Modes {
		return 0o600
	}
	return m
}

// of returns the Meta of a file with this content by this user.
func of(user, data string) blob.Meta {
	m := meta()
	m.By, m.Digest = user, digest.Sum([]byte(data))
	return m
}

func (s *suite) path(p string) hufu.Path {
	s.Helper()
	q, err := hufu.ParsePath(p)
	if err != nil {
		s.Fatal(err)
	}
	return q
}

// must ends a test whose preparation fails.
func (s *suite) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// wantErr ends the test unless err is of this kind, and of this code unless that
// is "".
func (s *suite) wantErr(err error, kind hufu.Kind, code string) {
	s.Helper()
	if err == nil || hufu.KindOf(err) != kind || code != "" && hufu.CodeOf(err) != code {
		s.Fatalf("the error is %v, want %v %s", err, kind, code)
	}
}

// change commits a batch of the changes that stage adds, guarded by g.
func (s *suite) change(g blob.Guard, stage func(context.Context, blob.Batch)) []blob.Result {
	b := s.Tree.Batch(g)
	stage(s.Context(), b)
	return slices.Clone(committed(s.Context(), b))
}

// one commits a single change.
func (s *suite) one(g blob.Guard, stage func(context.Context, blob.Batch)) blob.Result {
	s.Helper()
	all := s.change(g, stage)
	if len(all) != 1 {
		s.Fatalf("%d results of one change", len(all))
	}
	return all[0]
}

// made commits changes that must succeed.
func (s *suite) made(stage func(context.Context, blob.Batch)) {
	s.Helper()
	for i, r := range s.change(anyone, stage) {
		if r.Err != nil {
			s.Fatalf("change %d: %v", i, r.Err)
		}
	}
}

func (s *suite) put(p, data string, c hufu.Condition) blob.Result {
	s.Helper()
	return s.one(anyone, func(ctx context.Context, b blob.Batch) { b.Put(ctx, s.path(p), []byte(data), of("alice", data), c) })
}

// mustPut puts a file, under any condition, and describes it.
func (s *suite) mustPut(p, data string) hufu.Entry {
	s.Helper()
	s.must(s.put(p, data, always()).Err)
	return s.stat(p)
}

func (s *suite) mkdir(p string) {
	s.Helper()
	s.made(func(ctx context.Context, b blob.Batch) { b.Mkdir(ctx, s.path(p), meta(), true) })
}

func (s *suite) stat(p string) hufu.Entry {
	s.Helper()
	e, err := s.Tree.Stat(s.Context(), s.path(p))
	s.must(err)
	return e
}

// absent ends the test if there is an entry at p.
func (s *suite) absent(p string) {
	s.Helper()
	if e, err := s.Tree.Stat(s.Context(), s.path(p)); hufu.KindOf(err) != hufu.KindNotFound {
		s.Fatalf("%s: %+v %v, want nothing", p, e, err)
	}
}

func (s *suite) open(p string) (blob.File, error) {
	o := s.Tree.Opener()
	defer o.Close()
	return o.Open(s.Context(), s.path(p), "")
}

// read reads a file whole and checks that it has not changed meanwhile.
func (s *suite) read(p string) (string, error) {
	f, err := s.open(p)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	data := bytes.Repeat([]byte{0xff}, int(f.Size())) // holes are read as well
	n, err := f.ReadAt(s.Context(), data, 0)
	if err == nil && int64(n) != f.Size() {
		err = fmt.Errorf("%d bytes of %d", n, f.Size())
	}
	if err == nil {
		err = f.Check(s.Context())
	}
	return string(data[:n]), err
}

// holds ends the test unless the file p has this content.
func (s *suite) holds(p, want string) {
	s.Helper()
	got, err := s.read(p)
	if err != nil || got != want {
		s.Fatalf("%s holds %d bytes %.20q (%v), want %d bytes %.20q", p, len(got), got, err, len(want), want)
	}
}

// entries lists a folder, sorted by name.
func (s *suite) entries(p string) (all []hufu.Entry) {
	s.Helper()
	next, err := s.Tree.List(s.Context(), s.path(p), blob.Page{}, func(e hufu.Entry) error {
		all = append(all, e)
		return nil
	})
	if err != nil || next != "" {
		s.Fatalf("%s: next %q, %v", p, next, err)
	}
	slices.SortFunc(all, func(a, b hufu.Entry) int { return strings.Compare(a.Name, b.Name) })
	return all
}

func (s *suite) names(p string) (all []string) {
	s.Helper()
	for _, e := range s.entries(p) {
		all = append(all, e.Name)
	}
	return all
}

// everything describes the whole tree: a line for each entry.
func (s *suite) everything() []string {
	s.Helper()
	return s.below("")
}

func (s *suite) below(p string) (all []string) {
	s.Helper()
	for _, e := range s.entries(p) {
		q := strings.TrimPrefix(p+"/"+e.Name, "/")
		line := fmt.Sprintf("%s %v %o %s %q", q, e.Kind, e.Mode, e.By, e.Target)
		if e.Kind != hufu.Folder { // a folder's changes with the names in it
			line += e.MTime.UTC().Format(time.RFC3339Nano)
		}
		if e.Kind == hufu.File {
			data, err := s.read(q)
			s.must(err)
			sum := digest.Sum([]byte(data))
			if s.Records && e.Digest != sum {
				s.Fatalf("%s: digest %v is recorded, %v is that of its bytes", q, e.Digest, sum)
			}
			line += " " + sum.String()
		}
		all = append(all, line)
		if e.Kind == hufu.Folder {
			all = append(all, s.below(q)...)
		}
	}
	return all
}

// same ends the test if the tree has changed.
func (s *suite) same(before []string) {
	s.Helper()
	if after := s.everything(); !slices.Equal(after, before) {
		s.Fatalf("it has changed from\n%s\nto\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
}

// random returns bytes that are the same for the same seed.
func random(n int64, seed byte) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

// large returns the content of a file of two whole units and a part of a third.
func (s *suite) large(seed byte) []byte { return random(2*s.Unit+5, seed) }

func chunk(data []byte, i int64) []byte {
	off := i * hufu.ChunkSize
	return data[off : off+int64(digest.ChunkLen(int64(len(data)), i))]
}

func (s *suite) key(p string, data []byte) blob.UploadKey {
	s.Helper()
	return blob.UploadKey{Path: s.path(p), Size: int64(len(data)), Source: "v1", Owner: "alice/laptop"}
}

// upload opens an upload, which is closed at the end of the test.
func (s *suite) upload(k blob.UploadKey) blob.Upload {
	s.Helper()
	u, err := s.Tree.OpenUpload(s.Context(), k, anyone)
	s.must(err)
	s.Cleanup(func() { _ = u.Close() })
	return u
}

// send writes chunk i of data.
func (s *suite) send(u blob.Upload, data []byte, i int64) error {
	c := chunk(data, i)
	return u.Write(s.Context(), i, c, digest.Chunk(c, i))
}

// sendUnits writes units of data, each in order.
func (s *suite) sendUnits(u blob.Upload, data []byte, units ...int64) {
	s.Helper()
	for _, k := range units {
		for _, i := range s.unit(k, data) {
			s.must(s.send(u, data, i))
		}
	}
}

// unit returns the indexes of the chunks of unit k.
func (s *suite) unit(k int64, data []byte) (all []int64) {
	per := s.Unit / hufu.ChunkSize
	for i := k * per; i < min((k+1)*per, digest.Chunks(int64(len(data)))); i++ {
		all = append(all, i)
	}
	return all
}

// missing returns the indexes of all missing chunks.
func missing(u blob.Upload) (all []int64) {
	n := digest.Chunks(u.Info().Key.Size)
	for i := u.Missing(0); i < n; i = u.Missing(i + 1) {
		all = append(all, i)
	}
	return all
}

// missingAre ends the test unless exactly the chunks of these units of data are missing, and the
// others have arrived with their values.
func (s *suite) missingAre(u blob.Upload, data []byte, units ...int64) {
	s.Helper()
	var want []int64
	for _, k := range units {
		want = append(want, s.unit(k, data)...)
	}
	if got := missing(u); !slices.Equal(got, want) {
		s.Fatalf("missing are %v, want %v", got, want)
	}
	have, last := int64(0), int64(-1)
	for i, cv := range u.There() {
		if i <= last || slices.Contains(want, i) {
			s.Fatalf("chunk %d comes after %d", i, last)
		}
		if cv != digest.Chunk(chunk(data, i), i) {
			s.Fatalf("chunk %d has another value", i)
		}
		have, last = have+1, i
	}
	if n := digest.Chunks(int64(len(data))) - int64(len(want)); have != n || u.Info().Have != n {
		s.Fatalf("%d chunks are there, %d of them listed, want %d", u.Info().Have, have, n)
	}
}

// committed takes both steps of a batch.
func committed(ctx context.Context, b blob.Batch) []blob.Result {
	b.Prepare(ctx)
	return b.Finish(ctx)
}

// commit gives an upload of data its name.
func (s *suite) commit(u blob.Upload, data []byte, c hufu.Condition) (hufu.Entry, error) {
	return blob.CommitUpload(s.Context(), u, digest.Sum(data), meta(), c)
}

// uploaded uploads a whole file.
func (s *suite) uploaded(p string, data []byte, c hufu.Condition, g blob.Guard) (hufu.Entry, error) {
	return s.uploadedAs("v1", p, data, c, g)
}

// uploadedAs is uploaded from another source.
func (s *suite) uploadedAs(source, p string, data []byte, c hufu.Condition, g blob.Guard) (hufu.Entry, error) {
	k := s.key(p, data)
	k.Source = source
	u, err := s.Tree.OpenUpload(s.Context(), k, g)
	if err != nil {
		return hufu.Entry{}, err
	}
	defer func() { _ = u.Close() }()
	for i := range digest.Chunks(int64(len(data))) {
		if err := s.send(u, data, i); err != nil {
			return hufu.Entry{}, err
		}
	}
	return s.commit(u, data, c)
}

// mixed reports whether b is not all of one byte.
func mixed(b string) bool { return len(b) > 0 && len(bytes.Trim([]byte(b), b[:1])) > 0 }
