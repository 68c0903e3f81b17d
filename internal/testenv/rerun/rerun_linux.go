// Package rerun runs a test once more, in a process that may do less.
package rerun

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	variable = "HUFU_TEST_CHILD" // the folder of a child
	nobody   = 65534
)

// AsNobody reports whether the test runs as a user who may not read everything, and
// gives them a folder. As root it runs the test once more as nobody, and reports
// false.
func AsNobody(t *testing.T) (folder string, ok bool) {
	t.Helper()
	if folder = os.Getenv(variable); folder != "" {
		return folder, true
	}
	folder = t.TempDir()
	if os.Geteuid() != 0 {
		return folder, true
	}
	for _, dir := range []string{filepath.Dir(folder), folder} {
		if err := os.Chown(dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	again(t, folder, &syscall.Credential{Uid: nobody, Gid: nobody})
	return "", false
}

// WithoutAttributes reports whether the test runs where no file system has extended
// attributes. Elsewhere it runs the test once more in such a process, and reports
// false.
func WithoutAttributes(t *testing.T) bool {
	t.Helper()
	if os.Getenv(variable) == "" {
		again(t, t.TempDir(), nil)
		return false
	}
	if err := denyAttributes(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setxattr(file, "user.hufu", []byte("x"), 0); err != unix.EOPNOTSUPP {
		t.Fatalf("extended attributes are not denied: %v", err)
	}
	return true
}

func again(t *testing.T, folder string, as *syscall.Credential) {
	t.Helper()
	c := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	c.Dir = folder
	c.Env = append(os.Environ(), variable+"="+folder, "TMPDIR="+folder)
	c.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("in a process that may do less: %v\n%s", err, out)
	}
}

// denyAttributes lets the kernel answer EOPNOTSUPP to this process where it asks for an
// extended attribute, as a file system that has none (seccomp(2)).
func denyAttributes() error {
	runtime.LockOSThread() // the first call is for the thread alone, the second for all
	defer runtime.UnlockOSThread()
	denied := []uint32{
		unix.SYS_SETXATTR, unix.SYS_LSETXATTR, unix.SYS_FSETXATTR, unix.SYS_SETXATTRAT,
		unix.SYS_GETXATTR, unix.SYS_LGETXATTR, unix.SYS_FGETXATTR, unix.SYS_GETXATTRAT,
	}
	// Load the number of the system call, compare it with each, and allow it, or else deny it.
	program := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}}
	for i, number := range denied {
		program = append(program, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: uint8(len(denied) - i), K: number})
	}
	program = append(program,
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EOPNOTSUPP)})
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&filter)))
	if errno != 0 {
		return errno
	}
	return nil
}
