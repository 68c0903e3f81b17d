//go:build linux

// Command farlink is a far link in user space, for kernels without netem: a
// TUN device in this network namespace, another in a new one, and between them
// a delay, a rate with a bounded queue, and loss at random.
//
// With -links there are several such links between the two namespaces, each
// with devices, addresses and a rate of its own: 10.99.0.1, 10.99.1.1 and so on.
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
	"net/netip"
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
	links := flag.Int("links", 1, "how many links; the third number of the addresses counts them")
	flag.Parse()
	ends, err := pairs(*near, *far, *links)
	if err == nil {
		err = run(ends, line{rate: *mbit * 1e6 / 8, delay: *rtt / 2, queue: *queue, loss: *loss / 100}, *seed)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "farlink:", err)
		os.Exit(1)
	}
}

// A pair is the addresses of both ends of a link.
type pair struct{ near, far string }

// pairs returns the ends of n links. The third number of the addresses grows by one with each.
func pairs(near, far string, n int) (all []pair, err error) {
	for i := range n {
		ends := pair{near, far}
		for _, at := range []*string{&ends.near, &ends.far} {
			a, err := netip.ParseAddr(*at)
			if err != nil || !a.Is4() {
				return nil, fmt.Errorf("%q is no IPv4 address", *at)
			}
			b := a.As4()
			if int(b[2])+i > 255 {
				return nil, fmt.Errorf("%d links are too many from %s on", n, *at)
			}
			b[2] += byte(i)
			*at = netip.AddrFrom4(b).String()
		}
		all = append(all, ends)
	}
	return all, nil
}

func run(ends []pair, l line, seed uint64) error {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, unix.SIGTERM)
	var here []int
	for i, p := range ends {
		fd, err := device(fmt.Sprint("far", i), p.near, p.far)
		if err != nil {
			return err
		}
		here = append(here, fd)
	}
	there, namespace, err := devicesInNewNamespace(ends)
	if err != nil {
		return err
	}
	var all []*direction
	for i := range ends {
		all = append(all, newDirection(here[i], there[i], l, seed), newDirection(there[i], here[i], l, seed+1))
		seed += 2
	}
	failed := make(chan error, 2*len(all))
	for _, d := range all {
		go func() { failed <- d.read() }()
		go func() { failed <- d.write() }()
	}
	fmt.Printf("ready %s\n", namespace)
	select {
	case err = <-failed:
	case <-stop:
	}
	for i, d := range all {
		fmt.Fprintf(os.Stderr, "%s, %s: %v\n", ends[i/2].far, []string{"there", "back"}[i%2], d)
	}
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

// devicesInNewNamespace makes the far ends on a thread that has left for a new namespace.
// The thread ends with its goroutine; a descriptor keeps the namespace.
func devicesInNewNamespace(ends []pair) ([]int, string, error) {
	type made struct {
		fds  []int
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
		m := made{path: fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), ns)}
		for i, p := range ends {
			fd, err := device(fmt.Sprint("far", i), p.far, p.near)
			if m.err = err; err != nil {
				break
			}
			m.fds = append(m.fds, fd)
		}
		done <- m
	}()
	m := <-done
	return m.fds, m.path, m.err
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
