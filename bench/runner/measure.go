//go:build linux

package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A result is what one run has shown.
type result struct {
	bytes                      int64
	items                      int // files or connections
	wall, synced               time.Duration
	clientCPU, serverCPU       time.Duration
	clientMemory, serverMemory int64
	load                       float64 // of the computer, before
}

// columns of the CSV; bench/plot reads them.
var columns = []string{
	"workload", "unit", "peer", "run", "bytes", "items", "wall_s", "synced_s",
	"client_cpu_s", "server_cpu_s", "client_mib", "server_mib", "load", "failed",
}

func (w workload) record(who peer, run int, r result, failed error) []string {
	unit := "file"
	switch {
	case w.shape == handshake || w.shape == idle:
		unit = "connection"
	case w.shape.tree():
		unit = "tree"
	}
	text := ""
	if failed != nil {
		text = failed.Error()
	}
	sec := func(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 4, 64) }
	mib := func(n int64) string { return strconv.FormatFloat(float64(n)/(1<<20), 'f', 1, 64) }
	return []string{
		w.name, unit, who.name, strconv.Itoa(run), strconv.FormatInt(r.bytes, 10), strconv.Itoa(r.items), sec(r.wall), sec(r.synced),
		sec(r.clientCPU), sec(r.serverCPU), mib(r.clientMemory), mib(r.serverMemory), strconv.FormatFloat(r.load, 'f', 2, 64), text,
	}
}

func (s *settings) measure(ctx context.Context) (err error) {
	if err := os.MkdirAll(filepath.Dir(s.csv), 0o755); err != nil {
		return err
	}
	f, err := os.Create(s.csv)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	groups := groups()
	if groups != "" {
		defer func() { _ = os.Remove(groups) }()
	}
	for _, line := range s.describe(groups != "") {
		fmt.Fprintln(f, "# "+line)
	}
	out := csv.NewWriter(f)
	if err := out.Write(columns); err != nil {
		return err
	}
	var bad []string
	for _, w := range s.workloads {
		if w.shape == idle {
			r, words, err := s.idle(ctx, w, groups)
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			if err := out.Write(w.record(peer{name: "hufu"}, 1, r, nil)); err != nil {
				return err
			}
			out.Flush()
			fmt.Fprintln(f, "# "+words)
			fmt.Fprintln(os.Stderr, words)
			continue
		}
		peers := s.peersOf(w)
		if len(peers) == 0 {
			return fmt.Errorf("%s: none of the chosen peers can do it", w.name)
		}
		failed, err := s.interleave(ctx, w, peers, groups, func(record []string) error {
			if err := out.Write(record); err != nil {
				return err
			}
			out.Flush()
			return out.Error()
		})
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		bad = append(bad, failed...)
	}
	if len(bad) > 0 {
		return fmt.Errorf("not all went well: %s", strings.Join(bad, "; "))
	}
	return nil
}

// interleave lets every peer have its turn, as often as there are runs. A peer
// that cannot be prepared is left out, and said.
func (s *settings) interleave(ctx context.Context, w workload, all []peer, groups string, write func([]string) error) (bad []string, err error) {
	p, err := s.open(ctx, w, groups)
	if err != nil {
		return nil, err
	}
	defer p.close()
	fail := func(who peer, run int, r result, err error) error {
		fmt.Fprintf(os.Stderr, "%-15s %-14s FAILED: %v\n", w.name, who.name, err)
		bad = append(bad, w.name+" "+who.name)
		return write(w.record(who, run, r, err))
	}
	var ready []peer
	for _, who := range all {
		if err := p.prepare(ctx, who); err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err := fail(who, 0, result{}, fmt.Errorf("prepare: %w", err)); err != nil {
				return nil, err
			}
			continue
		}
		ready = append(ready, who)
	}
	for run := 1; run <= s.runs; run++ {
		for i := range ready {
			who := ready[i]
			if run%2 == 0 { // nobody always follows the same one
				who = ready[len(ready)-1-i]
			}
			r, err := p.run(ctx, who)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err != nil {
				if err := fail(who, run, r, err); err != nil {
					return nil, err
				}
				continue
			}
			fmt.Fprintf(os.Stderr, "%-15s %-14s run %d: %7.3f s, cpu %.2f + %.2f s, memory %d + %d MiB, load %.1f\n", w.name, who.name, run,
				r.wall.Seconds(), r.clientCPU.Seconds(), r.serverCPU.Seconds(), r.clientMemory>>20, r.serverMemory>>20, r.load)
			if err := write(w.record(who, run, r, nil)); err != nil {
				return nil, err
			}
			if err := p.clear(ctx, who); err != nil {
				return nil, err
			}
		}
	}
	return bad, nil
}

// describe is what one must know to read the figures: computer, versions,
// settings.
func (s *settings) describe(grouped bool) []string {
	first := func(argv ...string) string {
		out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
		if err != nil && len(out) == 0 {
			return argv[0] + " is not there"
		}
		line, _, _ := strings.Cut(string(out), "\n")
		return strings.TrimSpace(line)
	}
	text := func(name string) string {
		b, _ := os.ReadFile(name)
		return strings.TrimSpace(string(b))
	}
	model := "unknown processor"
	for line := range strings.Lines(text("/proc/cpuinfo")) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	how := "control groups"
	if !grouped {
		how = "/proc, since no control group could be made"
	}
	network := "loopback of a network namespace of its own"
	if !s.own {
		network = "loopback of this machine"
	}
	lines := []string{
		time.Now().UTC().Format("2006-01-02 15:04 UTC"),
		fmt.Sprintf("%d × %s, %d MiB, Linux %s", runtime.NumCPU(), model, kilobytes([]byte(text("/proc/meminfo")), "MemTotal:")>>10, text("/proc/sys/kernel/osrelease")),
		fmt.Sprintf("%s; %s; %s; %s; built with %s", first("hufu", "version"), first("ssh", "-V"), first("rsync", "--version"), first("curl", "--version"), runtime.Version()),
		fmt.Sprintf("%s; congestion control %s; processor time and memory by %s", network, text("/proc/sys/net/ipv4/tcp_congestion_control"), how),
		fmt.Sprintf("%d runs; file %s, tree %d × %s, tree that is there %d; far link %v, %d Mbit/s, %g %% loss, file %s, tree %d", s.runs,
			s.size.String(), s.files, s.fileSize.String(), s.again, s.rtt, s.mbit, s.loss, s.farSize.String(), s.farFiles),
	}
	if slices.ContainsFunc(s.workloads, func(w workload) bool { return w.links }) {
		lines = append(lines, fmt.Sprintf("links: %v and %d Mbit/s each, a file %s", s.linkRTT, s.linkMbit, s.linkSize.String()))
	}
	if slices.ContainsFunc(s.workloads, func(w workload) bool { return w.s3 }) {
		lines = append(lines, fmt.Sprintf("the S3 store: versitygw in memory; %s, sftpgo %s, a file %s there", first("rclone", "version"), first("sftpgo", "--version"), s.nodeSize.String()))
	}
	if _, err := exec.LookPath("nginx"); err == nil {
		lines[2] += "; " + first("nginx", "-v")
	}
	return lines
}
