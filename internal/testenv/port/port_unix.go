//go:build unix

package port

import (
	"net"
	"os"
	"strconv"
	"syscall"
)

// Hold is Keep for programs that are not a test; release gives the port back.
//
// It binds a socket that never listens. With SO_REUSEADDR at both, a server may
// listen at the port beside it (socket(7)), but the kernel gives the port to
// nobody who asks for any.
func Hold() (address string, release func(), err error) {
	syscall.ForkLock.RLock()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return "", nil, os.NewSyscallError("socket", err)
	}
	bind := func() (int, error) {
		if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
			return 0, os.NewSyscallError("setsockopt", err)
		}
		if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
			return 0, os.NewSyscallError("bind", err)
		}
		name, err := syscall.Getsockname(fd)
		if err != nil {
			return 0, os.NewSyscallError("getsockname", err)
		}
		return name.(*syscall.SockaddrInet4).Port, nil
	}
	n, err := bind()
	if err != nil {
		_ = syscall.Close(fd)
		return "", nil, err
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(n)), func() { _ = syscall.Close(fd) }, nil
}
