//go:build !linux

package files

import (
	"errors"
	"os"
)

// exchange swaps two names, one after the other.
func exchange(a, b string) error {
	return errors.Join(os.Rename(b, b+".swap"), os.Rename(a, b), os.Rename(b+".swap", a))
}

func keepsAttributes(string) bool { return false }
