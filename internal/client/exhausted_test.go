package client

import (
	"os"
	"syscall"
	"testing"

	"hufu"
)

// TestOwnLimitIsNotWaitedFor: too many open files here are no server that is
// away; the same told by the server may go away by itself.
func TestOwnLimitIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE} {
		err := &hufu.Error{Op: "connect", Kind: hufu.KindUnavailable, Code: "too_many_open_files", Err: os.NewSyscallError("socket", errno)}
		if Transient(err) {
			t.Errorf("%v is tried again", err)
		}
		err.Err = nil
		if !Transient(err) {
			t.Errorf("%v is final", err)
		}
	}
}
