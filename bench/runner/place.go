//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A place is where a workload happens: folders, servers, perhaps a far link.
//
//	root/src     what is moved
//	root/in      where what is put arrives, of all but hufu
//	root/out     where what is fetched arrives
//	root/hufud   data folder of the hufu server
//	root/work    settings, logs, and the HOME of all
type place struct {
	s            *settings
	w            workload
	root         string
	work         string
	groups       string
	address      string   // of the servers
	serverPrefix []string // in front of a server's command line
	clientPrefix []string // in front of a command that is measured
	env          []string
	link         *exec.Cmd
	client       *side
	servers      map[string]*server
	// enroll is what makes hufu known to its server, when that listens.
	enroll     string
	enrollArgs []string

	s3Key, s3Secret, dbPassword string
	uploaded                    map[string]bool // servers of hufu whose buckets have the uploaded files
}

func (p *place) hufud() string { return p.root + "/hufud" }

// name is what the moved thing is called.
func (p *place) name() string {
	if p.w.shape.tree() {
		return "tree"
	}
	return "big"
}

func (p *place) src() string { return p.root + "/src/" + p.name() }

// arrival is the folder in which it shall appear.
func (p *place) arrival(who peer) string {
	switch {
	case !p.w.shape.up():
		return p.root + "/out"
	case p.w.s3 && who.isHufu():
		return p.root + "/back/in"
	case p.w.s3:
		return p.bucket(theirBucket) + "/in"
	case who.server == "hufud":
		return p.hufud() + "/files/users/bench/in"
	}
	return p.root + "/in"
}

func (s *settings) open(ctx context.Context, w workload, groups string) (p *place, err error) {
	parent := s.tmpfs
	if w.disk {
		parent = s.disk
	}
	if parent, err = filepath.Abs(parent); err != nil {
		return nil, err
	}
	if err := s.room(w, parent); err != nil {
		return nil, err
	}
	p = &place{s: s, w: w, groups: groups, address: "127.0.0.1", servers: map[string]*server{}, uploaded: map[string]bool{}}
	if p.root, err = os.MkdirTemp(parent, "hufu-bench-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if strings.ContainsAny(p.root, " \t\n'\"") {
		return nil, fmt.Errorf("%q: not every peer can bear blanks or quotes in a path", p.root)
	}
	p.work = filepath.Join(p.root, "work")
	for _, dir := range []string{"src", "in", "out", "work/home"} {
		if err := os.MkdirAll(filepath.Join(p.root, dir), 0o700); err != nil {
			return nil, err
		}
	}
	p.env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Join(p.work, "home"), "TMPDIR=" + p.work, "LANG=C.UTF-8"}
	if p.client, err = newSide(groups, w.name+"-client"); err != nil {
		return nil, err
	}
	if w.far {
		if err := p.startFarLink(); err != nil {
			return nil, err
		}
	}
	if w.links {
		if err := p.startLinks(); err != nil {
			return nil, err
		}
	}
	if w.s3 {
		if err := p.makeStore(); err != nil {
			return nil, err
		}
	}
	return p, p.fill()
}

// room returns an error if the data do not fit: the source, the copies of the server, whole and in
// parts, the downloaded files, the pages that touch keeps, and an eighth of all that in reserve. On
// an S3 store the uploaded files are downloaded once more, and hufu and the peers have a copy each.
func (s *settings) room(w workload, dir string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	bytes, files := s.amount(w)
	need := 17 * (bytes + int64(files)*4096) / 4
	if w.s3 {
		need *= 2
	}
	free := int64(st.Bavail) * st.Bsize
	if !w.disk {
		var si unix.Sysinfo_t
		if err := unix.Sysinfo(&si); err == nil {
			free = min(free, int64(si.Freeram+si.Bufferram)*int64(si.Unit)+cached())
		}
	}
	if free < need {
		return fmt.Errorf("%s needs %d MiB in %s and %d are free: choose a smaller --size or --files", w.name, need>>20, dir, free>>20)
	}
	return nil
}

func cached() int64 {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	return kilobytes(text, "\nCached:") << 10
}

func (p *place) fill() error {
	bytes, files := p.s.amount(p.w)
	switch {
	case bytes == 0:
		return nil
	case p.w.shape.tree():
		return makeTree(p.src(), files, int64(p.s.fileSize))
	case p.w.links:
		return makeFile(p.src(), bytes)
	case p.w.s3:
		return errors.Join(makeFile(p.src(), bytes), split(p.src(), p.lanesDir(), bytes, atOnce))
	}
	return errors.Join(makeFile(p.src(), bytes), makeParts(p.src(), bytes))
}

// startFarLink puts the far link between us and the servers.
func (p *place) startFarLink() error {
	namespace, err := p.startLink("-rtt", p.s.rtt.String(), "-mbit", strconv.Itoa(p.s.mbit), "-loss", strconv.FormatFloat(p.s.loss, 'g', -1, 64), "-far", "10.99.0.2")
	p.address, p.serverPrefix = "10.99.0.2", []string{"nsenter", "--net=" + namespace}
	return err
}

// startLink runs farlink and returns the namespace at the other end.
func (p *place) startLink(args ...string) (namespace string, err error) {
	if !p.s.own {
		return "", errors.New("a link needs a network namespace of its own: run it as root")
	}
	p.link = exec.Command("farlink", args...)
	p.link.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	log, err := os.Create(p.work + "/farlink.log")
	if err != nil {
		return "", err
	}
	defer log.Close()
	p.link.Stderr = log
	out, err := p.link.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := p.link.Start(); err != nil {
		p.link = nil
		return "", err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	namespace, ok := strings.CutPrefix(strings.TrimSpace(line), "ready ")
	if err != nil || !ok {
		text, _ := os.ReadFile(log.Name())
		return "", fmt.Errorf("the link does not start: %s", lastLine(text))
	}
	return namespace, nil
}

func (p *place) close() {
	for _, s := range p.servers {
		s.stop()
	}
	if p.link != nil {
		_ = p.link.Process.Signal(syscall.SIGTERM)
		_ = p.link.Wait()
	}
	if p.client != nil {
		p.client.close()
	}
	_ = os.RemoveAll(p.root)
}

// do runs something that is not measured.
func (p *place) do(ctx context.Context, argv ...string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env, cmd.Dir = p.env, p.work
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", argv[0], err, lastLine(out))
	}
	return nil
}

// hufu runs a command of hufu with the profile of a peer, which is not measured.
func (p *place) hufu(ctx context.Context, who peer, args ...string) error {
	return p.do(ctx, append([]string{"env", "HOME=" + p.home(who.server), "hufu"}, args...)...)
}

// prepare brings a peer to the point from which it is measured.
func (p *place) prepare(ctx context.Context, who peer) error {
	if p.w.s3 {
		if err := p.startStorage(ctx, who); err != nil {
			return err
		}
	}
	if p.servers[who.server] == nil {
		s, err := p.start(ctx, who.server)
		if err != nil {
			return err
		}
		p.servers[who.server] = s
		if p.w.links {
			if err := p.completeService(ctx, who, s); err != nil {
				return err
			}
		} else if who.server == "hufud" {
			if err := p.do(ctx, append([]string{"sh", "-c", p.enroll, "enroll"}, p.enrollArgs...)...); err != nil {
				return err
			}
			if !p.w.shape.up() && p.w.shape != handshake && !p.w.s3 {
				if err := p.do(ctx, "hufu", "put", "-q", p.src(), ":/src/"); err != nil {
					return err
				}
			}
		}
		if who.server == "nginx" && p.w.shape.tree() {
			https := strings.TrimPrefix(s.env[0], "HTTPS=")
			if err := curlLists(p.src(), p.work, https, "in", p.root+"/out"); err != nil {
				return err
			}
		}
	}
	if p.w.s3 && !p.w.shape.up() {
		return p.provide(ctx, who)
	}
	if p.w.again {
		return p.do(ctx, append([]string{"env"}, append(p.variables(who), "sh", "-c", who.commands[p.w.shape])...)...)
	}
	return nil
}

func (p *place) variables(who peer) []string {
	bytes, _ := p.s.amount(p.w)
	list := []string{
		"SRC=" + p.src(), "NAME=" + p.name(), "DST=" + p.arrival(who), "WORK=" + p.work,
		"RANGES=" + strings.Join(quarters(bytes), " "), "LENGTH=" + strconv.Itoa(p.s.seconds),
	}
	if p.w.s3 && !p.w.links {
		list = append(list, "S3="+p.remote(), "LANES="+p.lanesDir(), "ATONCE="+strconv.Itoa(atOnce))
	}
	return append(list, p.servers[who.server].env...)
}

// clear removes what has arrived.
func (p *place) clear(ctx context.Context, who peer) error {
	switch {
	case p.w.shape == handshake || p.w.again:
		return nil
	case p.w.s3 && p.w.shape.up():
		return p.clearStore(ctx, who)
	case p.w.shape.up() && who.server == "hufud":
		if _, err := os.Stat(p.arrival(who)); err != nil {
			return nil
		}
		return p.do(ctx, "hufu", "rm", "-r", ":/in")
	}
	return empty(p.arrival(who))
}

func (p *place) verify(ctx context.Context, who peer) error {
	got := filepath.Join(p.arrival(who), p.name())
	if p.w.s3 && p.w.shape.up() && who.isHufu() {
		p.uploaded[who.server] = true
		if err := p.fetch(ctx, who); err != nil {
			return err
		}
	}
	var parts []string
	for i := range who.parts {
		if p.w.s3 && p.w.shape.up() {
			parts = append(parts, filepath.Join(p.arrival(who), strconv.Itoa(i)))
		} else {
			parts = append(parts, got+"."+strconv.Itoa(i))
		}
	}
	switch {
	case p.w.shape == handshake || who.server == "iperf3":
		return nil
	case p.w.shape.tree():
		return verifyTree(p.src(), got)
	case len(parts) > 0:
		return verifyFile(p.src(), parts...)
	}
	return verifyFile(p.src(), got)
}

// touch writes and removes a file an eighth larger than what is about to arrive. In a virtual
// machine that gives free memory back to its host, the first write to a page is many times slower
// than the second; without touch the first peer after a pause would be measured with it. The host
// takes back pieces of 2 MiB or more that were free for two seconds. So in tmpfs one page of each
// 256 KiB stays in use until the returned file is closed.
func (p *place) touch(bytes int64) (held *os.File, err error) {
	free, err := os.Create(filepath.Join(p.root, "touch"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, free.Close(), os.Remove(free.Name())) }()
	held, err = os.Create(filepath.Join(p.root, "held"))
	if err != nil {
		return nil, err
	}
	err = os.Remove(held.Name())
	piece := make([]byte, 256<<10)
	for n := bytes + bytes/8; n > 0 && err == nil; n -= int64(len(piece)) {
		if _, err = free.Write(piece); err == nil {
			_, err = held.Write(piece[:4<<10])
		}
	}
	return held, err
}

// sync waits until all that was written is on the disk.
func (p *place) sync() error {
	f, err := os.Open(p.root)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}

// run is one run of one peer: the figures of it, verified.
func (p *place) run(ctx context.Context, who peer) (r result, err error) {
	server := p.servers[who.server]
	if err := p.clear(ctx, who); err != nil {
		return r, err
	}
	r.bytes, r.items = p.s.amount(p.w)
	held, err := p.touch(r.bytes)
	if held != nil {
		defer func() { _ = held.Close() }()
	}
	if err != nil {
		return r, err
	}
	if err := p.sync(); err != nil {
		return r, err
	}
	r.load = load()

	timed, cancel := context.WithTimeout(ctx, p.s.timeout)
	defer cancel()
	var stdout, stderr bytes.Buffer
	argv := append(slices.Clone(p.clientPrefix), "sh", "-c", who.commands[p.w.shape])
	cmd := exec.CommandContext(timed, argv[0], argv[1:]...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = append(p.env, p.variables(who)...), p.work, &stdout, &stderr, p.client.attributes()
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second

	server.side.forget()
	clientBefore, serverBefore := p.client.cpu(), server.side.cpu()
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return r, err
	}
	p.client.root = cmd.Process.Pid
	watch := newWatch(p.client, server.side)
	err = cmd.Wait()
	r.wall = time.Since(begin)
	if p.w.disk && err == nil {
		err = p.sync()
		r.synced = time.Since(begin)
	}
	time.Sleep(50 * time.Millisecond) // what a server does after its last answer
	peaks := watch.end()
	r.clientMemory, r.serverMemory = peaks[0], peaks[1]
	r.serverCPU = server.side.cpu() - serverBefore
	r.clientCPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if p.client.group != "" {
		r.clientCPU = p.client.cpu() - clientBefore
	}
	switch {
	case ctx.Err() != nil:
		return r, ctx.Err()
	case timed.Err() != nil:
		return r, fmt.Errorf("stopped after %v", p.s.timeout)
	case err != nil:
		return r, fmt.Errorf("%w: %s", err, lastLine(stderr.Bytes()))
	}
	if who.read != nil {
		bytes, items, wall, err := who.read(stdout.Bytes())
		if err != nil {
			return r, err
		}
		if wall > 0 {
			r.bytes, r.items, r.wall = bytes, items, wall
		}
	}
	return r, p.verify(ctx, who)
}

func load() float64 {
	text, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(text), " ")
	n, _ := strconv.ParseFloat(first, 64)
	return n
}

func lastLine(text []byte) string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[len(lines)-1]
}
