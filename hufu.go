// Package hufu is the vocabulary of all other packages: names of files, the
// description of an entry, its digest, and an error that says what happened. It
// does no input or output and imports the standard library only.
package hufu

// Version and Commit are printed by both programs; the build sets them with -ldflags -X.
var (
	Version = "dev"
	Commit  = "" // of the source, if it is known
)

// Sizes that both ends and the storage agree on.
const (
	// ChunkSize is the fixed piece of a file, in bytes: an aligned subtree of
	// the BLAKE3 tree, so that chunks hashed in any order combine to the
	// digest of the whole.
	ChunkSize = 1 << 20
	// MaxFileSize is the largest file hufu handles, in bytes (1 PiB).
	MaxFileSize = 1 << 50
)
