// Command release builds what is published of a version: programs for six platforms in archives, deb
// and rpm packages, manifests for package managers, checksums and lists of components. The same
// commit, version and version of Go give the same bytes, on every computer and in every folder.
package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// platforms are those for which a version is published.
const platforms = "linux/amd64,linux/arm64,darwin/amd64,darwin/arm64,windows/amd64,windows/arm64"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1) //nolint:gocritic // stop only gives the signal back
	}
}

// A platform is an operating system and a processor, in the words of Go.
type platform struct{ OS, Arch string }

func (p platform) String() string { return p.OS + "_" + p.Arch }

// A release is a version that is being built.
type release struct {
	version string
	commit  string
	time    time.Time // of the commit; the time of every file
	base    string    // URL of the folder from which users download
	all     []platform
	work    string   // temporary folder
	dist    string   // what is published, below work until it is whole
	env     []string // of the programs that are started
	log     io.Writer
}

func run(ctx context.Context, args []string, log io.Writer) error {
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	version := flags.String("version", "", "`x.y.z` that is published")
	base := flags.String("base-url", "https://example.org/hufu", "`URL` of the folder from which users download the files")
	dist := flags.String("dist", "dist", "`folder` to fill; it is replaced")
	only := flags.String("platforms", platforms, "`list` of the platforms to build for")
	commit := flags.String("commit", "", "`hash` of the commit, where there is no git; then SOURCE_DATE_EPOCH is its time")
	if err := flags.Parse(args); err != nil {
		return err
	}
	r := &release{version: *version, base: *base, commit: *commit, log: log}
	if err := r.check(*only); err != nil {
		return err
	}
	if err := r.settle(ctx); err != nil {
		return err
	}
	if err := r.source(ctx); err != nil {
		return err
	}
	target, err := filepath.Abs(*dist)
	if err != nil {
		return err
	}
	// Beside the target, so that one rename completes it.
	if r.work, err = os.MkdirTemp(filepath.Dir(target), ".release-"); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(r.work) }()
	r.dist = filepath.Join(r.work, "dist")
	if err := errors.Join(os.Mkdir(r.dist, 0o755), r.build(ctx)); err != nil {
		return err
	}
	if err := os.RemoveAll(target); err != nil {
		return err
	}
	return os.Rename(r.dist, target)
}

var (
	// Of semantic versioning without build metadata, which packages do not have.
	versionForm = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z]+(\.[0-9A-Za-z]+)*)?$`)
	// The URL is written into Ruby, JSON and YAML: it holds nothing that they would interpret.
	baseForm = regexp.MustCompile(`^[A-Za-z0-9._~:/@%+-]+$`)
)

// check refuses a version, URL or platform that cannot be published.
func (r *release) check(only string) error {
	if !versionForm.MatchString(r.version) {
		return fmt.Errorf("version %q: want x.y.z or x.y.z-rc.1, as in: make release VERSION=1.0.0", r.version)
	}
	r.base = strings.TrimSuffix(r.base, "/")
	if u, err := url.Parse(r.base); err != nil || u.Scheme != "https" || u.Host == "" || !baseForm.MatchString(r.base) {
		return fmt.Errorf("base URL %q: want https://HOST/FOLDER", r.base)
	}
	for name := range strings.SplitSeq(only, ",") {
		system, arch, _ := strings.Cut(name, "/")
		if !slices.Contains(strings.Split(platforms, ","), name) {
			return fmt.Errorf("platform %q: want some of %s", name, platforms)
		}
		r.all = append(r.all, platform{system, arch})
	}
	return nil
}

// source finds out commit and time of the source. It refuses a tree with changes that no commit
// holds: nobody could build the same again.
func (r *release) source(ctx context.Context) error {
	epoch := os.Getenv("SOURCE_DATE_EPOCH")
	if r.commit == "" {
		changes, err := r.output(ctx, nil, "git", "status", "--porcelain")
		if err != nil {
			return err
		}
		if len(changes) > 0 {
			return fmt.Errorf("commit these changes first, or nobody can build the same again:\n%s", changes)
		}
		head, err := r.output(ctx, nil, "git", "log", "-1", "--format=%H %ct")
		if err != nil {
			return err
		}
		hash, when, _ := strings.Cut(strings.TrimSpace(string(head)), " ")
		r.commit, epoch = hash, cmp.Or(epoch, when)
	}
	if !regexp.MustCompile(`^[0-9a-f]{12,}$`).MatchString(r.commit) {
		return fmt.Errorf("commit %q: want at least 12 hexadecimal digits", r.commit)
	}
	r.commit = r.commit[:12]
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH %q: want seconds since 1970", epoch)
	}
	r.time = time.Unix(seconds, 0).UTC()
	return nil
}

func (r *release) build(ctx context.Context) error {
	for _, p := range r.all {
		r.say("building for %s/%s", p.OS, p.Arch)
		if err := r.compile(ctx, p); err != nil {
			return err
		}
	}
	pages, err := r.pages(ctx)
	if err != nil {
		return err
	}
	for _, p := range r.all {
		r.say("packing for %s/%s", p.OS, p.Arch)
		files, err := r.contents(ctx, p, pages)
		if err != nil {
			return err
		}
		steps := []func() error{
			func() error { return r.archive(p, files) },
			func() error { return r.components(ctx, p) },
		}
		if p.OS == "linux" {
			steps = append(steps, func() error { return r.packages(ctx, p, files) })
		}
		if err := together(steps...); err != nil {
			return err
		}
	}
	if err := r.manifests(); err != nil {
		return err
	}
	return r.sums()
}

// together carries out steps at the same time and returns their errors.
func together(steps ...func() error) error {
	failed := make([]error, len(steps))
	var running sync.WaitGroup
	for i, step := range steps {
		running.Go(func() { failed[i] = step() })
	}
	running.Wait()
	return errors.Join(failed...)
}

func (r *release) say(format string, args ...any) { _, _ = fmt.Fprintf(r.log, format+"\n", args...) }

// programs are what a release is about.
var programs = []string{"hufu", "hufud"}

// program returns the file of a program of a platform.
func (r *release) program(p platform, name string) string {
	if p.OS == "windows" {
		name += ".exe"
	}
	return filepath.Join(r.work, p.String(), name)
}

// compile builds both programs for p. They depend on nothing but source, version, commit and the
// version of Go: no path, no C library, no setting of this computer.
func (r *release) compile(ctx context.Context, p platform) error {
	_, err := r.output(ctx, []string{"GOOS=" + p.OS, "GOARCH=" + p.Arch}, "go", "build", "-trimpath",
		"-ldflags", "-s -w -buildid= -X hufu.Version="+r.version+" -X hufu.Commit="+r.commit,
		"-o", filepath.Join(r.work, p.String())+string(filepath.Separator), "./cmd/hufu", "./cmd/hufud")
	return err
}

// components writes the list of the modules in each program of p: a CycloneDX SBOM.
func (r *release) components(ctx context.Context, p platform) error {
	for _, name := range programs {
		file := filepath.Join(r.dist, r.file(name, p, ".cdx.json"))
		err := r.tool(ctx, nil, "cyclonedx-gomod", "bin", "-json", "-noserial", "-notimestamp", "-std",
			"-version", "v"+r.version, "-output", file, r.program(p, name))
		if err != nil {
			return err
		}
	}
	return nil
}

// file returns the name of a published file: hufu_1.0.0_linux_amd64.tar.gz.
func (r *release) file(name string, p platform, ext string) string {
	return name + "_" + r.version + "_" + p.String() + ext
}

// sums writes SHA256SUMS, which sha256sum -c reads.
func (r *release) sums() error {
	all, err := r.digests()
	if err != nil {
		return err
	}
	var text bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&text, "%s  %s\n", all[name], name)
	}
	return os.WriteFile(filepath.Join(r.dist, "SHA256SUMS"), text.Bytes(), 0o644)
}

// digests returns the SHA-256 of each file that is published so far, by its name.
func (r *release) digests() (map[string]string, error) {
	entries, err := os.ReadDir(r.dist)
	if err != nil {
		return nil, err
	}
	all := make(map[string]string)
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(r.dist, e.Name()))
		if err != nil {
			return nil, err
		}
		all[e.Name()] = fmt.Sprintf("%x", sha256.Sum256(data))
	}
	return all, nil
}

// output runs a program and returns its standard output. env comes after the environment of all.
func (r *release) output(ctx context.Context, env []string, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // go, git and the tools that are pinned
	cmd.Env = slices.Concat(r.env, env)
	var out, problem bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problem
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, bytes.TrimSpace(problem.Bytes()))
	}
	return out.Bytes(), nil
}

// kept are the settings of Go that say where modules come from and where caches are. All others
// could change what is built.
var kept = []string{"GOPATH", "GOCACHE", "GOMODCACHE", "GOPROXY", "GONOPROXY", "GOSUMDB", "GONOSUMDB", "GOPRIVATE", "GOTOOLCHAIN"}

// environ returns the environment of the programs that are started: all, but of Go's settings only
// those in kept, with the values that "go env" has told.
func environ(all []string, told map[string]string) []string {
	env := slices.DeleteFunc(slices.Clone(all), func(s string) bool {
		name, _, _ := strings.Cut(s, "=")
		return strings.HasPrefix(name, "CGO_") || strings.HasPrefix(name, "GO") && name != "GOROOT" && name != "GOMAXPROCS"
	})
	for _, name := range kept {
		if told[name] != "" {
			env = append(env, name+"="+told[name])
		}
	}
	return append(env, "GOENV=off", "GOWORK=off", "GOFLAGS=-buildvcs=false -trimpath", "CGO_ENABLED=0", "TZ=UTC", "LC_ALL=C")
}

// settle finds out in which environment programs are started.
func (r *release) settle(ctx context.Context) error {
	r.env = os.Environ()
	text, err := r.output(ctx, nil, "go", append([]string{"env", "-json"}, kept...)...)
	if err != nil {
		return err
	}
	told := make(map[string]string)
	if err := json.Unmarshal(text, &told); err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	r.env = environ(os.Environ(), told)
	return nil
}

// tool runs one of the programs that tools/release.mod pins. It is built for this computer, whatever
// the release is for.
func (r *release) tool(ctx context.Context, env []string, name string, args ...string) error {
	path, err := r.output(ctx, []string{"GOOS=" + runtime.GOOS, "GOARCH=" + runtime.GOARCH}, "go", "tool", "-n", "-modfile=tools/release.mod", name)
	if err != nil {
		return err
	}
	_, err = r.output(ctx, env, strings.TrimSpace(string(path)), args...)
	return err
}
