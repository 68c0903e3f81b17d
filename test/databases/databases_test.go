//go:build e2e && linux

package databases

import (
	"testing"

	"hufu/internal/meta/metatest"
)

func TestMeaning(t *testing.T) {
	each(t, func(t *testing.T, e *engine) { metatest.Run(t, e.fresh) })
}
