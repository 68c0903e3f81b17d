//go:build e2e && linux

package built

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// field is a line of /proc/PID/status.
func field(pid int, name string) (string, bool) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return "", false
	}
	for line := range strings.Lines(string(data)) {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(v), true
		}
	}
	return "", false
}

// Gone says whether a process has ended.
func Gone(pid int) bool {
	state, ok := field(pid, "State")
	return !ok || strings.HasPrefix(state, "Z")
}

// Peak is the most memory that a process has had resident, in bytes; 0 when it
// has ended.
func Peak(pid int) int64 {
	v, _ := field(pid, "VmHWM")
	kib, _ := strconv.ParseInt(strings.TrimSuffix(v, " kB"), 10, 64)
	return kib << 10
}

// WatchPeak looks at a process until it ends; the result is its Peak. (Rusage
// would do without looking, but counts what the parent had before exec.)
func WatchPeak(pid int) (peak func() int64) {
	var most atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for !Gone(pid) {
			most.Store(max(most.Load(), Peak(pid)))
			time.Sleep(5 * time.Millisecond)
		}
	}()
	return func() int64 { <-done; return most.Load() }
}

// HasSocket says whether a process has any socket: then a hufu has set up its
// signals and is dialling or further.
func HasSocket(pid int) bool {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	list, _ := os.ReadDir(dir)
	for _, d := range list {
		if to, _ := os.Readlink(dir + "/" + d.Name()); strings.HasPrefix(to, "socket:") {
			return true
		}
	}
	return false
}

// Eventually waits until something is so.
func Eventually(what string, so func() bool) error {
	for end := time.Now().Add(patience); !so(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("waited %v in vain: %s", patience, what)
		}
	}
	return nil
}

// Slow is a stretch of network before a server that lets only so many bytes
// pass in a second.
type Slow struct {
	Address string
	ln      net.Listener
	to      string
	rate    atomic.Int64
	passed  atomic.Int64

	mu    sync.Mutex // guards what follows
	free  time.Time  // when the next byte may pass
	conns map[net.Conn]struct{}
}

// NewSlow begins one with rate bytes a second in each direction together.
func NewSlow(to string, rate int64) (*Slow, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Slow{Address: ln.Addr().String(), ln: ln, to: to, conns: map[net.Conn]struct{}{}}
	s.rate.Store(rate)
	go func() { // ends with the listener
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go s.carry(c)
		}
	}()
	return s, nil
}

// Rate changes how many bytes pass in a second.
func (s *Slow) Rate(n int64) { s.rate.Store(n) }

// Passed is how many bytes have passed.
func (s *Slow) Passed() int64 { return s.passed.Load() }

// Close ends it and all that passes through it.
func (s *Slow) Close() {
	_ = s.ln.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
	}
}

func (s *Slow) carry(c net.Conn) {
	d, err := net.Dial("tcp", s.to)
	if err != nil {
		_ = c.Close()
		return
	}
	s.mu.Lock()
	s.conns[c], s.conns[d] = struct{}{}, struct{}{}
	s.mu.Unlock()
	var wg sync.WaitGroup
	for _, way := range [][2]net.Conn{{c, d}, {d, c}} {
		wg.Go(func() {
			buf := make([]byte, 16<<10)
			for {
				n, err := way[0].Read(buf)
				s.wait(n)
				s.passed.Add(int64(n))
				if _, e := way[1].Write(buf[:n]); err == nil {
					err = e
				}
				if err != nil {
					if half, ok := way[1].(*net.TCPConn); ok && errors.Is(err, io.EOF) {
						_ = half.CloseWrite()
						return
					}
					_, _ = way[0].Close(), way[1].Close()
					return
				}
			}
		})
	}
	wg.Wait()
	_, _ = c.Close(), d.Close()
	s.mu.Lock()
	delete(s.conns, c)
	delete(s.conns, d)
	s.mu.Unlock()
}

// wait takes the turn of n bytes.
func (s *Slow) wait(n int) {
	s.mu.Lock()
	now := time.Now()
	if s.free.Before(now) {
		s.free = now
	}
	until := s.free
	s.free = s.free.Add(time.Duration(float64(n) / float64(s.rate.Load()) * float64(time.Second)))
	s.mu.Unlock()
	time.Sleep(time.Until(until))
}
