//go:build !unix

package port

import "net"

// Hold is Keep for programs that are not a test. On this system a port cannot be
// kept from others while nobody listens there: it is only one that was free.
func Hold() (address string, release func(), err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	return ln.Addr().String(), func() {}, ln.Close()
}
