//go:build e2e && linux

// Package release builds packages as "make release" does, twice, and installs them.
package release

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	patience = 20 * time.Minute
	commit   = "0123456789abcdef0123456789abcdef01234567"
	platform = "linux/" + runtime.GOARCH
)

// root is the folder of the module.
const root = "../.."

// build builds a version in the source tree and returns the folder that it filled.
func build(t *testing.T, tree, version, platforms string, env ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	dist := filepath.Join(t.TempDir(), "dist")
	cmd := exec.CommandContext(ctx, "go", "run", "./release", "-version", version, "-commit", commit, "-platforms", platforms, "-dist", dist)
	cmd.Dir = tree
	cmd.Env = append(append(os.Environ(), "SOURCE_DATE_EPOCH=1790000000"), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	return dist
}

// elsewhere copies the source into another folder, without git.
func elsewhere(t *testing.T) string {
	t.Helper()
	to := t.TempDir()
	list, err := exec.CommandContext(t.Context(), "git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(list), "\x00"), "\x00") {
		data, err := os.ReadFile(filepath.Join(root, name))
		if os.IsNotExist(err) {
			continue // removed, and not yet committed
		}
		if err != nil {
			t.Fatal(err)
		}
		target := filepath.Join(to, name)
		if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(target, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// digests returns the SHA-256 of each file of a folder.
func digests(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = fmt.Sprintf("%x", sha256.Sum256(data))
	}
	return all
}

// TestSameBytes: another folder, other settings and file modes give the same bytes. With HUFU_LARGE
// for all platforms.
func TestSameBytes(t *testing.T) {
	platforms := platform
	if os.Getenv("HUFU_LARGE") != "" {
		platforms = "linux/amd64,linux/arm64,darwin/amd64,darwin/arm64,windows/amd64,windows/arm64"
	}
	one := build(t, root, "1.0.0", platforms, "LANG=C.UTF-8")
	other := build(t, elsewhere(t), "1.0.0", platforms, "GOFLAGS=-race", "GOAMD64=v3", "TZ=Asia/Shanghai", "LANG=zh_CN.UTF-8", "HOME="+t.TempDir(),
		"GOPATH="+goEnv(t, "GOPATH"), "GOCACHE="+goEnv(t, "GOCACHE"), "GOMODCACHE="+goEnv(t, "GOMODCACHE"))
	a, b := digests(t, one), digests(t, other)
	if len(a) < 6 || !maps.Equal(a, b) {
		for _, name := range slices.Sorted(maps.Keys(a)) {
			if a[name] != b[name] {
				t.Errorf("%s differs between two builds", name)
			}
		}
		t.Fatalf("%d and %d files", len(a), len(b))
	}
	t.Run("sums", func(t *testing.T) {
		cmd := exec.CommandContext(t.Context(), "sha256sum", "--check", "--strict", "SHA256SUMS")
		cmd.Dir = one
		if out, err := cmd.CombinedOutput(); err != nil || bytes.Count(out, []byte(": OK\n")) != len(a)-1 {
			t.Errorf("%v\n%s", err, out)
		}
	})
	t.Run("lists of components", func(t *testing.T) { components(t, one) })
	t.Run("rpm", func(t *testing.T) { rpm(t, one) })
	t.Run("archive", func(t *testing.T) { archive(t, one) })
	if platforms != platform {
		t.Run("manifests", func(t *testing.T) { manifests(t, one, a) })
	}
	if os.Geteuid() != 0 {
		t.Log("installing packages needs root: they were only built")
		return
	}
	t.Run("documents", func(t *testing.T) { documents(t, deb(one, "1.0.0")) })
	t.Run("installed", func(t *testing.T) {
		before := deb(one, "1.0.0")
		if platforms != platform {
			installed(t, before, deb(build(t, root, "1.0.1", platform), "1.0.1"), "1.0.1")
		} else { // a third build would take too long
			installed(t, before, renumbered(t, before), "1.0.0")
		}
	})
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func deb(dist, version string) string {
	return filepath.Join(dist, "hufu_"+version+"_linux_"+runtime.GOARCH+".deb")
}

// components: the list names the module, its version and what it is built from.
func components(t *testing.T, dist string) {
	text, err := os.ReadFile(filepath.Join(dist, "hufud_1.0.0_linux_"+runtime.GOARCH+".cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		BOMFormat string `json:"bomFormat"`
		Metadata  struct {
			Component struct{ Name, Version string }
		}
		Components []struct{ Name, Version string }
	}
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	if list.BOMFormat != "CycloneDX" || list.Metadata.Component.Name != "hufu" || list.Metadata.Component.Version != "v1.0.0" {
		t.Errorf("%s of %v", list.BOMFormat, list.Metadata)
	}
	for _, want := range []string{"std", "github.com/spf13/cobra", "golang.org/x/sys"} {
		if !slices.ContainsFunc(list.Components, func(c struct{ Name, Version string }) bool { return c.Name == want && c.Version != "" }) {
			t.Errorf("%s is missing", want)
		}
	}
}

// rpm: it can be read, its digests are right, and it holds what the deb holds.
func rpm(t *testing.T, dist string) {
	name := filepath.Join(dist, "hufu_1.0.0_linux_"+runtime.GOARCH+".rpm")
	run := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	// The database is empty, and not the one of this computer.
	base := []string{"--dbpath", t.TempDir()}
	run("rpm", append(base, "-K", "--nosignature", name)...)
	listed := strings.Fields(run("rpm", append(base, "-qpl", name)...))
	var packed []string
	for line := range strings.Lines(run("dpkg-deb", "-c", deb(dist, "1.0.0"))) {
		fields := strings.Fields(line)
		if path := strings.TrimPrefix(fields[5], "."); !strings.HasSuffix(path, "/") {
			packed = append(packed, strings.Replace(path, "/zsh/vendor-completions/", "/zsh/site-functions/", 1))
		}
	}
	slices.Sort(listed)
	slices.Sort(packed)
	if len(packed) < 20 || !slices.Equal(listed, packed) {
		t.Errorf("the rpm holds\n%s\nthe deb holds\n%s", strings.Join(listed, "\n"), strings.Join(packed, "\n"))
	}
	for _, want := range []string{
		"/etc/hufu/hufud.env", "/usr/bin/hufu", "/usr/bin/hufud", "/usr/lib/systemd/system/hufud.service",
		"/usr/share/bash-completion/completions/hufu", "/usr/share/man/man1/hufu-put.1.gz", "/usr/share/man/zh_CN/man1/hufud.1.gz",
	} {
		if !slices.Contains(packed, want) {
			t.Errorf("%s is missing", want)
		}
	}
}

// archive: the programs in it are static, without paths of the computer that built them.
func archive(t *testing.T, dist string) {
	dir := t.TempDir()
	folder := "hufu_1.0.0_linux_" + runtime.GOARCH
	if out, err := exec.CommandContext(t.Context(), "tar", "-xzf", filepath.Join(dist, folder+".tar.gz"), "-C", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	here, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"hufu", "hufud"} {
		program := filepath.Join(dir, folder, name)
		info, err := buildinfo.ReadFile(program)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range info.Settings {
			if s.Key == "CGO_ENABLED" && s.Value != "0" {
				t.Errorf("%s is linked with C", name)
			}
		}
		data, err := os.ReadFile(program)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, []byte(here)) {
			t.Errorf("%s contains %s", name, here)
		}
		out, err := exec.CommandContext(t.Context(), program, "version").Output()
		if want := regexp.MustCompile(`^` + name + ` 1\.0\.0 \(commit 0123456789ab, go1[^ ,]+, linux/` + runtime.GOARCH + `\)\n$`); err != nil || !want.Match(out) {
			t.Errorf("%s version: %v %q", name, err, out)
		}
	}
	for _, want := range []string{"LICENSE", "LICENSES.txt", "README.md", "README.zh-CN.md", "docs/operations.md", "systemd/hufud.service", "man/hufu.1", "completions/_hufu"} {
		if _, err := fs.Stat(os.DirFS(filepath.Join(dir, folder)), want); err != nil {
			t.Error(err)
		}
	}
}

// manifests: each digest in a manifest is that of a file that is published.
func manifests(t *testing.T, dist string, published map[string]string) {
	known := slices.Collect(maps.Values(published))
	for name, want := range map[string]int{"hufu.rb": 4, "hufu.json": 2, "hufu.hufu.installer.yaml": 2} {
		text, err := os.ReadFile(filepath.Join(dist, name))
		if err != nil {
			t.Error(err)
			continue
		}
		found := regexp.MustCompile(`\b[0-9A-Fa-f]{64}\b`).FindAllString(string(text), -1)
		if len(found) != want {
			t.Errorf("%s has %d digests, want %d", name, len(found), want)
		}
		for _, digest := range found {
			if !slices.Contains(known, strings.ToLower(digest)) {
				t.Errorf("%s: no file has the digest %s", name, digest)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(dist, "Containerfile")); err != nil {
		t.Error(err)
	}
}

// renumbered returns the same package as version 1.0.1.
func renumbered(t *testing.T, deb string) string {
	t.Helper()
	dir := t.TempDir()
	tree, to := filepath.Join(dir, "tree"), filepath.Join(dir, "new.deb")
	for _, args := range [][]string{
		{"dpkg-deb", "-R", deb, tree},
		{"sed", "-i", "s/^Version: 1.0.0$/Version: 1.0.1/", filepath.Join(tree, "DEBIAN", "control")},
		{"dpkg-deb", "--root-owner-group", "-Znone", "-b", tree, to},
	} {
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	return to
}

// installed runs testdata/install.sh: the packages are installed, used, upgraded, removed and purged.
// The programs of the second are of version newer.
func installed(t *testing.T, before, after, newer string) {
	out := inCopy(t, "install.sh", map[string]string{"old.deb": before, "new.deb": after}, newer)
	t.Logf("%s", out)
}

// inCopy runs a script of testdata in a copy of this computer's system, in memory, without network. The
// files, by their names in the script's folder, are copied there.
func inCopy(t *testing.T, script string, files map[string]string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	in := t.TempDir()
	files[script] = filepath.Join("testdata", script)
	for name, from := range files {
		data, err := os.ReadFile(from)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(filepath.Join(in, name)), 0o755)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(in, name), data, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(ctx, "unshare", append([]string{
		"--mount", "--pid", "--net", "--fork", "--kill-child", "--propagation", "private",
		"sh", "testdata/copy.sh", t.TempDir(), in, script,
	}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.HasSuffix(out, []byte("\nall done\n")) {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}
