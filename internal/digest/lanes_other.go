//go:build !amd64

package digest

import "hufu"

func wide() bool { return false }

func hasRows() bool { return false }

func chunks16(*[lanes][8]uint32, *[groupSize]byte, uint64) { panic("digest: no lanes") }

func parents16(*[lanes][8]uint32, *[2 * lanes][8]uint32) { panic("digest: no lanes") }

func sumRows([]byte) hufu.Digest { panic("digest: no lanes") }
