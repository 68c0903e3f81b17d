//go:build linux

// Command runner measures hufu beside other tools: it makes data, starts the
// servers, lets each peer move the same bytes in turn (A B C, C B A, …, so that
// whatever else the computer does hits all alike), looks whether everything has
// arrived, and writes a line of CSV for each run. bench/run.sh starts it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"
)

// settings are the values of the command line.
type settings struct {
	workloads []workload
	peers     []string // empty: those that are usual for the workload
	runs      int
	size      size // of the big file
	nodeSize  size // of the file for the S3 store
	farSize   size // of the file for the far link
	linkSize  size // of the file for one, two and three links
	files     int  // in the tree of small files
	farFiles  int
	again     int // files in the tree that is there already
	fileSize  size
	seconds   int // of shaking hands, of iperf3
	clients   int // that are connected at once
	active    int // of them at work at once
	rtt       time.Duration
	mbit      int
	loss      float64
	linkRTT   time.Duration // of each link of the workload links
	linkMbit  int
	timeout   time.Duration
	tmpfs     string
	disk      string
	own       bool // the network namespace is ours
	csv       string
}

func main() {
	// Servers get a signal when the thread that started them ends: it must be
	// this one, which lives as long as the program.
	runtime.LockOSThread()
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	s := settings{size: 512 << 20, farSize: 200 << 20, nodeSize: 1 << 30, linkSize: 512 << 20, fileSize: 4 << 10}
	f := pflag.NewFlagSet("bench", pflag.ContinueOnError)
	f.Usage = func() {
		fmt.Fprintf(os.Stderr, "Usage: make bench ARGS=\"[WORKLOAD…] [--flag…]\"\n\nWORKLOAD: as --list shows, or its first part, or all (default: big small)\n\n%s", f.FlagUsages())
	}
	list := f.Bool("list", false, "show workloads and peers")
	needs := f.Bool("needs", false, "print the Debian packages that are missing")
	full := f.Bool("full", false, "2 GiB, 20,000 small files, 100,000 for again, 5 runs; other flags override these")
	f.StringSliceVar(&s.peers, "peers", nil, "`NAMES` with commas, or all (default: those marked in --list)")
	f.IntVar(&s.runs, "runs", 3, "runs of each peer")
	f.Var(&s.size, "size", "`SIZE` of the big file, as 64M or 2G")
	f.Var(&s.nodeSize, "node-size", "`SIZE` of the file for the S3 store")
	f.IntVar(&s.files, "files", 5000, "small files")
	f.Var(&s.fileSize, "file-size", "`SIZE` of a small file")
	f.IntVar(&s.again, "again-files", 10000, "files of the tree that is there already")
	f.Var(&s.farSize, "far-size", "`SIZE` of the file for the far link")
	f.IntVar(&s.farFiles, "far-files", 2000, "small files for the far link")
	f.DurationVar(&s.rtt, "rtt", 100*time.Millisecond, "round trip time of the far link")
	f.IntVar(&s.mbit, "mbit", 1000, "rate of the far link")
	f.Float64Var(&s.loss, "loss", 0, "per cent of segments that the far link loses")
	f.Var(&s.linkSize, "link-size", "`SIZE` of the file for links")
	f.DurationVar(&s.linkRTT, "link-rtt", 10*time.Millisecond, "round trip time of each link of links")
	f.IntVar(&s.linkMbit, "link-mbit", 200, "rate of each link of links")
	f.IntVar(&s.seconds, "seconds", 10, "length of a run of handshake and of iperf3")
	f.IntVar(&s.clients, "connections", 5000, "clients of idle")
	f.IntVar(&s.active, "active", 500, "clients of idle that get to work at once")
	f.DurationVar(&s.timeout, "timeout", 5*time.Minute, "a longer run is stopped")
	f.StringVar(&s.tmpfs, "tmpfs", "/dev/shm", "`FOLDER` in memory")
	f.StringVar(&s.disk, "disk", "bench/out", "`FOLDER` on the disk to measure")
	f.StringVar(&s.csv, "csv", "bench/out/"+time.Now().UTC().Format("20060102T150405")+".csv", "`FILE` for the figures; the table and the plot go beside it")
	f.BoolVar(&s.own, "own-network", false, "set by run.sh: this network namespace is ours")
	_ = f.MarkHidden("own-network")
	_ = f.MarkHidden("needs")
	_ = f.MarkHidden("csv") // run.sh says where, and makes table and plot of it
	if err := f.Parse(args); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			return nil
		}
		return err
	}
	if *full {
		for name, value := range map[string]string{"size": "2G", "files": "20000", "again-files": "100000", "runs": "5"} {
			if f.Changed(name) {
				continue
			}
			if err := f.Set(name, value); err != nil {
				return err
			}
		}
	}
	if *list {
		printList()
		return nil
	}
	if err := s.choose(f.Args()); err != nil {
		return err
	}
	if *needs {
		fmt.Println(strings.Join(s.missing(), " "))
		return nil
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return s.measure(ctx)
}

// choose finds the workloads that are named and checks the names of peers.
func (s *settings) choose(names []string) error {
	if len(names) == 0 {
		names = []string{"big", "small"}
	}
	for _, name := range names {
		found := false
		for _, w := range workloads() {
			if name != "all" && name != w.name && !strings.HasPrefix(w.name, name+"-") {
				continue
			}
			found = true
			if !slices.ContainsFunc(s.workloads, func(o workload) bool { return o.name == w.name }) {
				s.workloads = append(s.workloads, w)
			}
		}
		if !found {
			return fmt.Errorf("no workload is named %q: see --list", name)
		}
	}
	for _, name := range s.peers {
		if name != "all" && !slices.ContainsFunc(peers(), func(p peer) bool { return p.name == name }) {
			return fmt.Errorf("no peer is named %q: see --list", name)
		}
	}
	return nil
}

// peersOf are those of the chosen peers that can do the workload.
func (s *settings) peersOf(w workload) []peer {
	var list []peer
	for _, p := range peers() {
		if !p.takesPart(w) {
			continue
		}
		wanted := slices.Contains(s.peers, p.name) || slices.Contains(s.peers, "all") || len(s.peers) == 0 && slices.Contains(w.usual, p.name)
		if wanted {
			list = append(list, p)
		}
	}
	return list
}

func printList() {
	fmt.Println("workloads:")
	for _, w := range workloads() {
		fmt.Printf("  %-16s %s\n", w.name, w.about)
	}
	fmt.Println("\npeers, and the workloads that they can do (* by default):")
	for _, p := range peers() {
		var can []string
		for _, w := range workloads() {
			if !p.takesPart(w) {
				continue
			}
			name := w.name
			if slices.Contains(w.usual, p.name) {
				name += "*"
			}
			can = append(can, name)
		}
		fmt.Printf("  %-16s %s\n  %-16s   %s\n", p.name, p.about, "", strings.Join(can, " "))
	}
}
