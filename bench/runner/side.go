//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A side is all processes of a client or of a server with their children. A
// control group counts them; where none can be made, /proc does, for those
// that descend from root.
type side struct {
	group string // folder of the control group, empty if there is none
	fd    *os.File
	root  int
}

// groups is the folder below which a control group for each side is made,
// empty if that is not possible.
func groups() string {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return ""
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		if len(f) < 3 || f[2] != "cgroup2" {
			continue
		}
		for line := range strings.Lines(string(own)) {
			if at, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
				dir := filepath.Join(f[1], at, "hufu-bench-"+strconv.Itoa(os.Getpid()))
				if os.Mkdir(dir, 0o755) == nil {
					return dir
				}
			}
		}
	}
	return ""
}

func newSide(groups, name string) (*side, error) {
	if groups == "" {
		return &side{}, nil
	}
	s := &side{group: filepath.Join(groups, name)}
	if err := os.Mkdir(s.group, 0o755); err != nil {
		return nil, err
	}
	var err error
	s.fd, err = os.Open(s.group)
	return s, err
}

// attributes make a process part of the side. It gets a process group, so
// that it can be ended with its children, and ends when we do.
func (s *side) attributes() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if s.fd != nil {
		a.UseCgroupFD, a.CgroupFD = true, int(s.fd.Fd())
	}
	return a
}

func (s *side) close() {
	if s.fd == nil {
		return
	}
	_ = s.fd.Close()
	// A process that is ending is still a member for a moment.
	for range 100 {
		if err := os.Remove(s.group); !errors.Is(err, syscall.EBUSY) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (s *side) pids() []int {
	if s.group == "" {
		return descendants(s.root)
	}
	text, err := os.ReadFile(filepath.Join(s.group, "cgroup.procs"))
	if err != nil {
		return nil
	}
	return numbers(text)
}

func numbers(text []byte) []int {
	var list []int
	for f := range bytes.FieldsSeq(text) {
		if n, err := strconv.Atoi(string(f)); err == nil {
			list = append(list, n)
		}
	}
	return list
}

func descendants(pid int) []int {
	if pid == 0 {
		return nil
	}
	all := []int{pid}
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return all
	}
	for _, name := range lists {
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		for _, child := range numbers(text) {
			all = append(all, descendants(child)...)
		}
	}
	return all
}

// cpu is what the side has used since it began, user and system.
func (s *side) cpu() time.Duration {
	if s.group == "" {
		var ticks int64
		for _, pid := range s.pids() {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			if err != nil {
				continue
			}
			// After the name, which may hold anything: user, system, and the
			// same of children that have ended.
			f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
			for _, n := range f[11:15] {
				t, _ := strconv.ParseInt(n, 10, 64)
				ticks += t
			}
		}
		return time.Duration(ticks) * 10 * time.Millisecond
	}
	text, err := os.ReadFile(filepath.Join(s.group, "cpu.stat"))
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(text), "usage_usec ")
	line, _, _ := strings.Cut(after, "\n")
	n, _ := strconv.ParseInt(line, 10, 64)
	return time.Duration(n) * time.Microsecond
}

// memory is the resident memory of the side now and the highest that one of
// its processes ever had, in bytes.
func (s *side) memory() (now, highest int64) {
	for _, pid := range s.pids() {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			continue
		}
		now += kilobytes(text, "VmRSS:") << 10
		highest = max(highest, kilobytes(text, "VmHWM:")<<10)
	}
	return now, highest
}

func kilobytes(text []byte, field string) int64 {
	_, after, _ := bytes.Cut(text, []byte(field))
	line, _, _ := bytes.Cut(after, []byte("kB"))
	n, _ := strconv.ParseInt(string(bytes.TrimSpace(line)), 10, 64)
	return n
}

// forget sets the highest memory of each process back to what it has now.
func (s *side) forget() {
	for _, pid := range s.pids() {
		_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
	}
}

// A watch looks at the memory of both sides 40 times a second.
type watch struct {
	sides []*side
	peak  []int64
	stop  chan struct{}
	done  sync.WaitGroup
}

func newWatch(sides ...*side) *watch {
	w := &watch{sides: sides, peak: make([]int64, len(sides)), stop: make(chan struct{})}
	w.done.Go(func() {
		tick := time.NewTicker(25 * time.Millisecond)
		defer tick.Stop()
		for {
			w.look()
			select {
			case <-tick.C:
			case <-w.stop:
				w.look()
				return
			}
		}
	})
	return w
}

func (w *watch) look() {
	for i, s := range w.sides {
		now, highest := s.memory()
		w.peak[i] = max(w.peak[i], now, highest)
	}
}

// end returns the peaks, in the order of the sides.
func (w *watch) end() []int64 {
	close(w.stop)
	w.done.Wait()
	return w.peak
}
