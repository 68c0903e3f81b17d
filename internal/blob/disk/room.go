package disk

import (
	"strings"

	"hufu/internal/blob"
)

// userOf returns the owner to whom a Room charges the upload: all devices of one user together.
func userOf(k *blob.UploadKey) string {
	user, _, _ := strings.Cut(k.Owner, "/")
	return user
}

// costOf returns about what an unfinished upload takes besides its table.
func costOf(k *blob.UploadKey) int64 {
	return 1<<10 + 2*int64(len(k.Path.String())) + int64(len(k.Source)+len(k.Owner))
}
