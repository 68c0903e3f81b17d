//go:build linux

// Command idle measures the memory of a hufu server with thousands of clients that
// are connected and logged in and ask for nothing, and how much more it takes when
// some of them get to work at once. It starts a server of its own from the programs
// in PATH, on loopback and with a data folder below /dev/shm, and removes both.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"hufu"
	"hufu/internal/client"
	"hufu/internal/profile"
)

// perUser is how many connections a user has, one device each: a device may have
// server.MaxOfOneDevice.
const perUser = 500

const password = "a password for measuring"

func main() {
	connections := flag.Int("connections", 5000, "clients that are connected and logged in")
	active := flag.Int("active", 500, "how many of them get to work at once")
	flag.Parse()
	runtime.LockOSThread() // the server ends with the thread that started it
	if err := run(context.Background(), *connections, *active); err != nil {
		fmt.Fprintln(os.Stderr, "idle:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, connections, active int) (err error) {
	dir, err := os.MkdirTemp("/dev/shm", "hufu-idle-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := start(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()

	empty, err := s.memory()
	if err != nil {
		return err
	}
	remotes, took, err := s.connect(ctx, connections)
	defer func() {
		for _, r := range remotes {
			err = errors.Join(err, r.Close())
		}
	}()
	if err != nil {
		return err
	}
	busy, err := s.processor()
	if err != nil {
		return err
	}
	idle, err := s.settled(empty)
	if err != nil {
		return err
	}
	fmt.Printf("%d connections in %.1f s (%.0f a second, both ends on this machine), %v of the server's processor time each\n",
		connections, took.Seconds(), float64(connections)/took.Seconds(), (busy / time.Duration(connections)).Round(time.Microsecond))
	fmt.Printf("the server holds %.1f MiB without and %.1f MiB with them: %.1f KiB each\n", mib(empty), mib(idle), float64(idle-empty)/1024/float64(connections))
	most, err := s.work(ctx, remotes[:min(active, len(remotes))])
	if err != nil {
		return err
	}
	fmt.Printf("%d of them at work at once, 20 links made and 20 listings each: %.1f MiB more at most\n", min(active, len(remotes)), mib(max(0, most-idle)))
	return nil
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

// server is a hufud that was started for the measurement.
type server struct {
	dir, data, address string
	cmd                *exec.Cmd
}

// start makes a server and waits until it says where it listens.
func start(ctx context.Context, dir string) (*server, error) {
	s := &server{dir: dir, data: filepath.Join(dir, "data")}
	if err := os.WriteFile(filepath.Join(dir, "password"), []byte(password+"\n"), 0o600); err != nil {
		return nil, err
	}
	if _, err := s.hufud(ctx, "init", "--name", "localhost", "--no-passphrase"); err != nil {
		return nil, err
	}
	s.cmd = exec.CommandContext(ctx, "hufud", "--lang", "en", "--data", s.data, "serve", "--listen", "127.0.0.1:0")
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} // it ends with us, whatever ends us
	out, err := s.cmd.StderrPipe()                                       // its log
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	lines, last := bufio.NewScanner(out), ""
	for lines.Scan() {
		last = lines.Text()
		for word := range strings.FieldsSeq(last) {
			if address, ok := strings.CutPrefix(word, "address="); ok {
				s.address = address
				go func() {
					for lines.Scan() { // so that the server never waits for a reader
					}
				}()
				return s, nil
			}
		}
	}
	return nil, errors.Join(fmt.Errorf("hufud does not say where it listens: %s", last), s.cmd.Wait())
}

func (s *server) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	timer := time.AfterFunc(10*time.Second, func() { _ = s.cmd.Process.Kill() })
	defer timer.Stop()
	_ = s.cmd.Wait()
	return nil
}

func (s *server) hufud(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "hufud", append([]string{"--lang", "en", "--data", s.data}, args...)...).Output()
	return strings.TrimSpace(string(out)), err
}

// connect enrolls as many users as are needed and logs their connections in.
func (s *server) connect(ctx context.Context, n int) (remotes []*client.Remote, took time.Duration, err error) {
	var profiles []*profile.Profile
	for k := 0; k*perUser < n; k++ {
		name := "user" + strconv.Itoa(k)
		code, err := s.hufud(ctx, "invite", "--address", s.address, name)
		if err != nil {
			return nil, 0, fmt.Errorf("invite %s: %w", name, err)
		}
		inv, err := hufu.ParseInvitation(code)
		if err != nil {
			return nil, 0, err
		}
		dirs := profile.Dirs{Config: filepath.Join(s.dir, name, "config"), State: filepath.Join(s.dir, name, "state")}
		p, err := profile.Enroll(ctx, dirs, "bench", inv, password)
		if err != nil {
			return nil, 0, err
		}
		profiles = append(profiles, p)
	}
	begin := time.Now()
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for i := range n {
		g.Go(func() error {
			r, err := client.New(profiles[i/perUser], client.Options{NoRenew: true})
			if err != nil {
				return err
			}
			mu.Lock()
			remotes = append(remotes, r)
			mu.Unlock()
			return r.LoggedIn(ctx)
		})
	}
	err = g.Wait()
	return remotes, time.Since(begin), err
}

// work keeps each of remotes busy, all at once, and returns the most memory that the server was seen to have meanwhile.
func (s *server) work(ctx context.Context, remotes []*client.Remote) (int64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type seen struct {
		most int64
		err  error
	}
	watched := make(chan seen, 1)
	go func() {
		var w seen
		for ctx.Err() == nil && w.err == nil {
			var now int64
			now, w.err = s.memory()
			w.most = max(w.most, now)
			time.Sleep(10 * time.Millisecond)
		}
		watched <- w
	}()
	var g errgroup.Group
	for i, r := range remotes {
		g.Go(func() error { return busy(ctx, r, "folder"+strconv.Itoa(i)) })
	}
	err := g.Wait()
	cancel()
	w := <-watched
	return w.most, errors.Join(err, w.err)
}

// busy makes a folder of some links and lists it, several times.
func busy(ctx context.Context, r *client.Remote, name string) error {
	folder, err := hufu.ParsePath(name)
	if err != nil {
		return err
	}
	if _, err := r.Mkdir(ctx, folder, 0o755, false); err != nil {
		return err
	}
	for i := range 20 {
		p, err := folder.Join("link" + strconv.Itoa(i))
		if err != nil {
			return err
		}
		if err := r.Link(ctx, p, "target", time.Now(), hufu.Condition{Kind: hufu.IfAbsent}); err != nil {
			return err
		}
		if err := r.List(ctx, folder, func(hufu.Entry) error { return nil }); err != nil {
			return err
		}
	}
	return nil
}

// settled returns the memory when it has stopped to shrink: what the connecting
// took is given back after a while.
func (s *server) settled(least int64) (int64, error) {
	last := int64(1) << 62
	for range 30 {
		time.Sleep(2 * time.Second)
		now, err := s.memory()
		if err != nil {
			return 0, err
		}
		if now < least || last-now < 1<<20 && now <= last {
			return now, nil
		}
		last = now
	}
	return last, nil
}

// tick is the unit of processor time in /proc: USER_HZ of Linux is 100 on every
// processor that Go knows.
const tick = 10 * time.Millisecond

// processor returns the processor time that the server has used, of user and system.
func (s *server) processor() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), ") ") // proc_pid_stat(5): the name is in parentheses
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, errors.New("the kernel does not tell how much processor time the server has used")
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * tick, err
}

// memory returns the resident memory of the server in bytes.
func (s *server) memory() (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("the kernel does not tell how much memory the server has")
}
