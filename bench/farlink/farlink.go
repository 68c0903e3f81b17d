//go:build linux

// Command farlink is a far link in user space, for kernels without netem: a
// TUN device in this network namespace, another in a new one, and between them
// a delay, a rate with a bounded queue, and loss at random.
//
// It prints "ready" and the path of the new namespace, for nsenter --net, and
// ends by SIGTERM with a line of counters for each direction.
//
// The devices take segments that the kernel has not cut yet (TSO), up to
// 64 KiB in one read: at 1 Gbit/s, cutting them here would cost more than the
// programs that are measured. Rate, queue and loss are reckoned for each
// segment nonetheless.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	rtt := flag.Duration("rtt", 100*time.Millisecond, "round trip time, half of it each way")
	mbit := flag.Float64("mbit", 1000, "rate each way, Mbit/s of IP packets")
	loss := flag.Float64("loss", 0, "per cent of segments lost each way, acknowledgements too")
	queue := flag.Duration("queue", 100*time.Millisecond, "longest wait before the rate limit; what would wait longer is dropped")
	seed := flag.Uint64("seed", 1, "seed of the loss")
	near := flag.String("near", "10.99.0.1", "address here")
	far := flag.String("far", "10.99.0.2", "address in the new namespace")
	flag.Parse()
	if err := run(*near, *far, line{rate: *mbit * 1e6 / 8, delay: *rtt / 2, queue: *queue, loss: *loss / 100}, *seed); err != nil {
		fmt.Fprintln(os.Stderr, "farlink:", err)
		os.Exit(1)
	}
}

func run(near, far string, l line, seed uint64) error {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, unix.SIGTERM)
	a, err := device("far0", near, far)
	if err != nil {
		return err
	}
	b, namespace, err := deviceInNewNamespace("far0", far, near)
	if err != nil {
		return err
	}
	there, back := newDirection(a, b, l, seed), newDirection(b, a, l, seed+1)
	failed := make(chan error, 4)
	for _, d := range []*direction{there, back} {
		go func() { failed <- d.read() }()
		go func() { failed <- d.write() }()
	}
	fmt.Printf("ready %s\n", namespace)
	select {
	case err = <-failed:
	case <-stop:
	}
	fmt.Fprintf(os.Stderr, "there: %v\nback: %v\n", there, back)
	return err
}

// device makes a TUN device in the namespace of the calling thread.
func device(name, address, peer string) (int, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("open the TUN device: %w", err)
	}
	req, err := unix.NewIfreq(name)
	if err != nil {
		return 0, err
	}
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		return 0, fmt.Errorf("make the TUN device: %w", err)
	}
	if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, unix.TUN_F_CSUM|unix.TUN_F_TSO4); err != nil {
		return 0, fmt.Errorf("ask for uncut segments: %w", err)
	}
	for _, args := range [][]string{
		{"address", "add", address, "peer", peer, "dev", name},
		{"link", "set", name, "txqueuelen", "10000", "up"},
		{"link", "set", "lo", "up"},
	} {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			return 0, fmt.Errorf("ip %v: %w: %s", args, err, out)
		}
	}
	return fd, nil
}

// deviceInNewNamespace does so on a thread that has left for a new namespace.
// The thread ends with its goroutine; a descriptor keeps the namespace.
func deviceInNewNamespace(name, address, peer string) (fd int, path string, err error) {
	type made struct {
		fd   int
		path string
		err  error
	}
	done := make(chan made)
	go func() {
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			done <- made{err: fmt.Errorf("make a network namespace: %w", err)}
			return
		}
		ns, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			done <- made{err: err}
			return
		}
		fd, err := device(name, address, peer)
		done <- made{fd, fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), ns), err}
	}()
	m := <-done
	return m.fd, m.path, m.err
}

// sleepUntil is more exact than a timer of the runtime, which may be a
// millisecond late.
func sleepUntil(due time.Time) {
	for {
		wait := time.Until(due)
		if wait <= 0 {
			return
		}
		t := unix.NsecToTimespec(wait.Nanoseconds())
		if err := unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &t, nil); err != nil && !errors.Is(err, unix.EINTR) {
			time.Sleep(wait)
		}
	}
}
