// Package blob is the contract of stored files: what a store promises to the
// code above it. It holds no code that touches bytes. Package blobtest tests a
// store against the promises.
//
// A Tree is one tree of files. Its promises:
//
//   - A name shows the old file or the new one, whole, never a part.
//   - A change that Finish has acknowledged survives a power cut, the folders
//     above it included. After a failed sync nothing is acknowledged.
//   - A condition and a guard are judged at the moment of the change: no other
//     change through the same store comes between the answer and the change.
//   - Links are data. Nothing here follows one.
//   - A call ends soon after its context, and then changes nothing more. Only a Finish that has
//     begun to give names goes on, to make durable what it has changed. It may leave out later
//     changes and stop in the middle of a recursive removal.
//
// Errors are *hufu.Error. A path names an entry below the root of the tree.
package blob

import (
	"context"
	"iter"
	"strings"
	"time"

	"hufu"
	"hufu/internal/digest"
)

// Tree is one tree of stored files. Its methods may be called from several
// goroutines.
type Tree interface {
	// Stat describes the entry at p. It does not follow a link. The digest is
	// set only if the store knows it for the current size and time.
	Stat(ctx context.Context, p hufu.Path) (hufu.Entry, error)

	// List calls yield for the entries of the folder p that r asks for, and stops at the first
	// error of yield, which it returns. Entries that are removed meanwhile may be left out. next
	// is the After of the next page, "" if there is none. yield must not call the store.
	List(ctx context.Context, p hufu.Path, r Page, yield func(hufu.Entry) error) (next string, err error)

	// Lister returns a new Lister of the folder p.
	Lister(p hufu.Path) Lister

	// Digest reads the whole file p and describes it with its digest, which the
	// store may keep. If a kept digest disagrees with the bytes although size
	// and time are the same, the error is KindIntegrity.
	Digest(ctx context.Context, p hufu.Path) (hufu.Entry, error)

	// Opener returns a new Opener for files of this tree.
	Opener() Opener

	// Batch returns an empty batch. Each of its changes asks g.
	Batch(g Guard) Batch

	// OpenUpload begins the upload k, or resumes the unfinished one of the same key. Nothing is
	// created before the first chunk. The first chunk also discards an older unfinished upload of
	// the same owner to the same path with another key, unless that one is open. The returned
	// handle asks g, at Finish and when it creates a missing folder above the file.
	OpenUpload(ctx context.Context, k UploadKey, g Guard) (Upload, error)

	// FindUpload opens an unfinished upload by its id; the handle asks g. The error is
	// KindNotFound with the code upload_unknown if there is none.
	FindUpload(ctx context.Context, id string, g Guard) (Upload, error)

	// Committed reports whether the upload id has become the file at p, and
	// describes the file. A client that lost the answer to its commit asks
	// again; a reported file is durable.
	Committed(ctx context.Context, id string, p hufu.Path) (hufu.Entry, bool)

	// Space returns the number of bytes that can still be stored, and the
	// total.
	Space(ctx context.Context) (free, total int64, err error)

	// Close releases the tree. Its files, openers, batches and uploads must be
	// closed before.
	Close() error
}

// Distant is a Tree whose bytes come over a network, so that several reads at once take little
// longer than one.
type Distant interface {
	Tree
	// OpenTogether opens several files, each as Open of an Opener does, and in less time than one
	// after the other. Each has a file or an error. A file keeps nothing open; Close may be left out.
	OpenTogether(ctx context.Context, paths []hufu.Path) ([]File, []error)
}

// Page selects the entries of a folder that List yields. The zero Page selects
// all of them, in any order.
type Page struct {
	// After and Limit ask for the entries whose names follow After, in the order of the names'
	// bytes, at most Limit of them, whose names and targets of links together take at most
	// PageBytes. With a Limit of 0 After must be "", and all entries come, in any order.
	After string
	Limit int
	// Brief allows the store to leave out mode, digest, uploader and upload of entries other than
	// folders, which saves it a read for each. With Modes it may not leave out the mode.
	Brief, Modes bool
}

// PageBytes is the limit for all names of a page and all targets of its links, in bytes. The first
// entry of a page may be longer. A page may be empty if its entries have vanished: only next tells
// whether more follow.
const PageBytes = 1 << 20

// Lister lists one folder page by page. It may remember the names that follow a
// page, so that the next page need not read the whole folder. Names that were
// made after the first page may be left out; entries are described as they are
// when their page is listed. It is not for concurrent use.
type Lister interface {
	// List is Tree.List for the folder of the Lister. r.Limit must not be 0.
	List(ctx context.Context, r Page, yield func(hufu.Entry) error) (next string, err error)
	// Close forgets what is remembered. The Lister may be used again.
	Close()
}

// Opener opens files of a tree one after the other. It may remember the folder
// of the last one; if that folder is renamed meanwhile, the Opener follows it to
// the new place until Close. It is not for concurrent use.
type Opener interface {
	// Open opens the regular file p. A version that Stat or List has just returned
	// for a regular file at p spares the store a look at the name before it opens
	// it. If another version is there now, Open opens that one, as it does if
	// version is "".
	Open(ctx context.Context, p hufu.Path, version string) (File, error)
	// Close releases the folder. The Opener may be used again.
	Close()
}

// File is one version of a file, open for reading. Its methods may be called
// from several goroutines.
type File interface {
	// Size returns the size in bytes of the version that was opened.
	Size() int64
	// Meta returns the mode and time of the file that was opened, as its store keeps them; on a
	// server's disk the mode is 0600, and that of the sender is in Entry.
	Meta() Meta
	// Entry describes the version that was opened. The first call may read what
	// the store has recorded, so it must come before Close.
	Entry() hufu.Entry
	// Is reports whether version names the bytes that were opened.
	Is(version string) bool

	// Whole reads a file of at most one chunk into buf, which has space for a chunk. Check must
	// follow.
	Whole(ctx context.Context, buf []byte) ([]byte, error)
	// ReadAt reads until b is full or the file ends; at the end it returns the
	// bytes read and no error. Check must follow.
	ReadAt(ctx context.Context, b []byte, off int64) (int, error)
	// ReadChunk reads chunk index into buf, which has space for a chunk, and computes its chaining
	// value. A hole has no data. The error is KindChanged if the file is no longer the version that
	// was opened.
	ReadChunk(ctx context.Context, index int64, buf []byte) (data []byte, hole bool, cv digest.CV, err error)
	// NextData returns the first offset at or after off that may hold something
	// other than zeros, or the size.
	NextData(off int64) int64
	// Check returns KindChanged if the file is no longer the version that was opened: it was
	// written, truncated, replaced or removed. It may return it, too, for a file that was renamed
	// or whose mode or time was set. A store that has to ask another computer ends with ctx.
	Check(ctx context.Context) error

	// Close releases the file. A second Close does nothing.
	Close() error
}

// Snapshot is a File of a store that may read a small file together with its name, as both were at one
// moment. If ReadWithName reports true, no Check need follow the reading of a file that has just been
// opened.
type Snapshot interface {
	File
	ReadWithName() bool
}

// CheckRead is the Check that follows the reading of a file that has just been opened, left out where
// it could find nothing.
func CheckRead(ctx context.Context, f File) error {
	if s, ok := f.(Snapshot); ok && s.ReadWithName() {
		return nil
	}
	return f.Check(ctx)
}

// Batch collects small changes and makes them durable together. It is not for
// concurrent use. Each change takes the next slot, whose number is returned.
// Data given to a method may be reused when it returns.
//
// Finish makes files and links first, in the order of the calls, then the other changes. Folders are
// created immediately.
type Batch interface {
	// Put stages a whole file of at most one chunk. It becomes visible in
	// Finish. Missing folders above it are created.
	Put(ctx context.Context, p hufu.Path, data []byte, m Meta, c hufu.Condition) int
	// Symlink stages a symbolic link. Missing folders above it are created.
	Symlink(ctx context.Context, p hufu.Path, target string, m Meta, c hufu.Condition) int
	// Mkdir creates a folder; with parents, also the missing folders above it.
	// An existing folder is not changed.
	Mkdir(ctx context.Context, p hufu.Path, m Meta, parents bool) int
	// SetMeta sets the mode and time of the entry at p to those of m. With a
	// version it changes only that version.
	SetMeta(ctx context.Context, p hufu.Path, m Meta, version string) int
	// Remove removes the entry at p, a folder with everything in it only if
	// recursive. If the guard refuses something below the folder, that entry
	// and the folder stay; entries before it may be gone. With a version it
	// removes only that version.
	Remove(ctx context.Context, p hufu.Path, recursive bool, version string) int
	// Rename moves the entry at from to the name to. With a version it moves
	// only that version.
	Rename(ctx context.Context, from, to hufu.Path, c hufu.Condition, version string) int

	// Prepare makes the bytes of staged files durable. Errors are in the
	// results of Finish.
	Prepare(ctx context.Context)
	// Finish makes the changes, makes them durable, and returns a result for
	// each slot. It calls Prepare if it was not called. The batch is empty
	// afterwards and may be used again; the results are valid until then.
	Finish(ctx context.Context) []Result
	// Discard drops everything that is staged. Created folders stay.
	Discard()
}

// Reserver is a Batch of a store that keeps the bytes of staged files in memory until Finish. All
// batches of the store together take a limited amount.
type Reserver interface {
	Batch
	// Reserve takes memory for a file of n bytes that owner puts next, and reports whether there was
	// some. With wait it waits for it, up to a limit of the store; then nothing may be staged in any
	// batch of the caller, or batches would wait for one another. The next Put uses the memory or
	// gives it back.
	Reserve(ctx context.Context, owner string, n int64, wait bool) bool
	// Unreserve gives back what no Put has used.
	Unreserve()
}

// Upload is one holder's handle of an unfinished file. All holders of the same
// upload share its chunks. Its methods may be called from several goroutines.
type Upload interface {
	// Info describes the current state of the upload.
	Info() UploadInfo
	// Missing returns the index of the first chunk from index on that has not
	// arrived, or the number of chunks.
	Missing(index int64) int64
	// There yields the chunks that have arrived, in order, with their chaining
	// values.
	There() iter.Seq2[int64, digest.CV]
	// Write stores chunk index; cv is its chaining value, which the caller has computed over
	// these same bytes. A chunk without data is all zeros and takes no space. A chunk that has
	// arrived is left unchanged if it has this value and replaced otherwise. The chunks of one
	// unit (see UploadInfo.Unit) must come in order from one holder; until the last of them has
	// come, none of them counts as arrived.
	Write(ctx context.Context, index int64, data []byte, cv digest.CV) error
	// Root returns the digest of the whole file, once all chunks have arrived.
	Root() (hufu.Digest, error)
	// Await returns when all chunks have arrived, the upload is gone, or ctx
	// ends.
	Await(ctx context.Context)

	// Prepare makes the bytes durable if all chunks have arrived and their digest is want. After
	// that no chunk can change. Only when Finish fails and the file certainly did not get its
	// name, as when c does not hold, can chunks change again.
	Prepare(ctx context.Context, want hufu.Digest, m Meta) error
	// Finish gives the file its name if c and the guard allow it, and returns when that is
	// durable. Prepare must have come before. After success both may be repeated: Finish returns
	// the same entry again.
	Finish(ctx context.Context, c hufu.Condition) (hufu.Entry, error)

	// Abort removes all chunks, for all holders, and closes the handle.
	Abort() error
	// Close releases the handle. The chunks stay for the next holder. A second
	// Close does nothing.
	Close() error
}

// UploadKey identifies the bytes of an upload and their owner. A client that
// opens an upload with the same key resumes it.
type UploadKey struct {
	Path   hufu.Path
	Size   int64  // in bytes, more than a chunk
	Source string // the version of the source, as the sender names it
	Owner  string // "user/device"; the user is what precedes the first slash
}

// User returns the user who owns the upload. A Room charges all devices of a user together, and the
// folders that the upload makes are theirs.
func (k UploadKey) User() string {
	user, _, _ := strings.Cut(k.Owner, "/")
	return user
}

// Cost returns about how many bytes an unfinished upload takes besides its chunks.
func (k UploadKey) Cost() int64 {
	return 1<<10 + 2*int64(len(k.Path.String())) + int64(len(k.Source)+len(k.Owner))
}

// UploadInfo describes an unfinished upload.
type UploadInfo struct {
	ID  string // 128 random bits, in hex
	Key UploadKey
	// Unit is the number of bytes that the store takes at once: hufu.ChunkSize,
	// or a larger power of two. The chunks of a unit come in order from one
	// holder.
	Unit int64
	Have int64 // number of chunks that have arrived
}

// Meta holds the attributes of a file, folder or link.
type Meta struct {
	Mode   uint32      // & 0777 counts
	MTime  time.Time   // zero keeps the time of writing
	Digest hufu.Digest // recorded with the file on a server
	By     string      // user who made the change, "" if that is not recorded
	Upload string      // id of the upload
}

// Result is the outcome of one change of a batch.
type Result struct {
	Created bool   // there was no entry before
	Version string // set by a server's tree only: the new version of a file that was put, changed or moved, or of a link that was moved
	Err     error
}

// Guard decides whether a change may be made. The zero Guard allows everything.
type Guard struct {
	// May is called at the moment of the change: no other change through the
	// same store comes between its answer and the change. An error refuses the
	// change. It must not call the store.
	May func(ctx context.Context, c Change) error
	// Deep asks about everything in a folder before any of it is moved or
	// removed, so that a refusal leaves the folder whole. A recursive removal
	// asks about each entry once more when it is removed.
	Deep bool
	// Last, if it is not nil, is called by a store that several servers change, right before it
	// makes changes durable. May has allowed each of them from what the process knew; it may
	// have been frozen since. An error refuses all of them. It must not call the store.
	Last func(ctx context.Context) error
}

// Ask asks the guard about c.
func (g *Guard) Ask(ctx context.Context, c Change) error {
	if g.May == nil {
		return nil
	}
	return g.May(ctx, c)
}

// Change is one name that is about to change.
type Change struct {
	// Path is the name, below the root of the tree. For an entry too deep for a
	// Path it is the path of the nearest folder that is not.
	Path hufu.Path
	Old  hufu.EntryKind // of the existing entry; 0 for none, and where a store asks before it looks, as for Mkdir
	New  hufu.EntryKind // of the entry after the change, 0 for none; equal to Old if only mode and time change
	// Owners looks up the users who created the entry and its folder. It may
	// cost a read, so it is called only where it matters.
	Owners Owners
}

// Owners looks up the users who created entries; "" means unknown.
type Owners interface {
	// Owner returns the user who created the existing entry. A link has the
	// owner of its folder.
	Owner() string
	// FolderOwner returns the user who created the folder that holds the name. It is unknown when
	// only mode and time of a file or folder change.
	FolderOwner() string
}

// CommitUpload calls Prepare and Finish of u.
func CommitUpload(ctx context.Context, u Upload, want hufu.Digest, m Meta, c hufu.Condition) (hufu.Entry, error) {
	if err := u.Prepare(ctx, want, m); err != nil {
		return hufu.Entry{}, err
	}
	return u.Finish(ctx, c)
}
