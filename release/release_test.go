package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var when = time.Date(2026, 9, 21, 14, 13, 20, 0, time.UTC)

func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	const good = "https://example.org/hufu"
	for _, c := range []struct{ version, base, only, want string }{
		{"1.2.3", good, platforms, ""},
		{"1.2.3-rc.1", good + "/", "linux/amd64", ""},
		{"", good, platforms, "version"},
		{"v1.2.3", good, platforms, "version"},
		{"1.2", good, platforms, "version"},
		{"01.2.3", good, platforms, "version"},
		{"1.2.3-rc-1", good, platforms, "version"}, // a hyphen separates in a package's version
		{"1.2.3+build", good, platforms, "version"},
		{"1.2.3\n", good, platforms, "version"},
		{"1.2.3", "http://example.org", platforms, "base URL"},
		{"1.2.3", "https://", platforms, "base URL"},
		{"1.2.3", "https://example.org/\"#{x}", platforms, "base URL"},
		{"1.2.3", "https://example.org/a b", platforms, "base URL"},
		{"1.2.3", good, "linux/386", "platform"},
		{"1.2.3", good, "", "platform"},
	} {
		r := &release{version: c.version, base: c.base}
		err := r.check(c.only)
		if (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%q %q %q: %v, want %q", c.version, c.base, c.only, err, c.want)
		}
		if err == nil && strings.HasSuffix(r.base, "/") {
			t.Errorf("base URL %q ends with a slash", r.base)
		}
	}
}

// A build from changes that no commit holds could not be repeated.
func TestUncommittedChangesAreRefused(t *testing.T) {
	t.Chdir(t.TempDir())
	git := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_COMMITTER_DATE=1790000000 +0000")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	t.Setenv("SOURCE_DATE_EPOCH", "")
	git("init", "-q")
	git("commit", "-q", "--allow-empty", "-m", "first")
	r := &release{env: os.Environ()}
	if err := r.source(t.Context()); err != nil || len(r.commit) != 12 || !r.time.Equal(time.Unix(1790000000, 0)) {
		t.Errorf("%v, commit %q, time %v", err, r.commit, r.time)
	}
	if err := os.WriteFile("new", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r = &release{env: os.Environ()}
	if err := r.source(t.Context()); err == nil || !strings.Contains(err.Error(), "new") {
		t.Errorf("with a new file: %v", err)
	}
}

func TestSettingsOfThisComputerDoNotCount(t *testing.T) {
	t.Parallel()
	got := environ([]string{"PATH=/bin", "GOFLAGS=-race", "GOAMD64=v3", "GOEXPERIMENT=x", "CGO_CFLAGS=-O3", "GOPROXY=old", "GOROOT=/go"}, map[string]string{"GOPROXY": "https://proxy.example.org", "GOAMD64": "v3"})
	for _, want := range []string{"PATH=/bin", "GOROOT=/go", "GOPROXY=https://proxy.example.org", "GOENV=off", "CGO_ENABLED=0"} {
		if !slices.Contains(got, want) {
			t.Errorf("%s is missing in %q", want, got)
		}
	}
	for _, not := range []string{"GOFLAGS=-race", "GOAMD64=v3", "GOEXPERIMENT=x", "CGO_CFLAGS=-O3", "GOPROXY=old"} {
		if slices.Contains(got, not) {
			t.Errorf("%s is left", not)
		}
	}
}

// An archive holds nothing of the computer: neither its times nor its modes nor its users.
func TestArchivesHoldNothingOfTheComputer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var once, again [2][]byte
	for i, mode := range []os.FileMode{0o600, 0o755} {
		from := filepath.Join(dir, mode.String())
		if err := os.WriteFile(from, []byte("text"), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(from, time.Time{}, when.Add(time.Duration(i)*time.Hour)); err != nil {
			t.Fatal(err)
		}
		files := []file{{"hufu", from, 0o755}, {"docs/a.md", from, 0o644}}
		for k, write := range []func(io.Writer, string, []file, time.Time) error{tarGz, zipped} {
			var out bytes.Buffer
			if err := write(&out, "top", files, when); err != nil {
				t.Fatal(err)
			}
			once[k], again[k] = again[k], out.Bytes()
		}
	}
	if !bytes.Equal(once[0], again[0]) || !bytes.Equal(once[1], again[1]) {
		t.Error("other modes and times make other archives")
	}
	zr, err := gzip.NewReader(bytes.NewReader(again[0]))
	if err != nil {
		t.Fatal(err)
	}
	h, err := tar.NewReader(zr).Next()
	if err != nil || h.Name != "top/hufu" || h.Mode != 0o755 || h.Uid != 0 || h.Uname != "" || !h.ModTime.Equal(when) {
		t.Errorf("tar: %v %+v", err, h)
	}
	z, err := zip.NewReader(bytes.NewReader(again[1]), int64(len(again[1])))
	if err != nil {
		t.Fatal(err)
	}
	if f := z.File[1]; f.Name != "top/docs/a.md" || f.Mode() != 0o644 || !f.Modified.Equal(when) {
		t.Errorf("zip: %+v", f.FileHeader)
	}
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][]place{
		"LICENSE":               {{to: "/usr/share/doc/hufu/copyright"}},
		"README.md":             {{to: "/usr/share/doc/hufu/README.md"}},
		"docs/design.md":        {{to: "/usr/share/doc/hufu/docs/design.md"}},
		"man/hufu-put.1":        {{to: "/usr/share/man/man1/hufu-put.1.gz"}},
		"man/zh_CN/hufu-exit.7": {{to: "/usr/share/man/zh_CN/man7/hufu-exit.7.gz"}},
		"completions/hufu.bash": {{to: "/usr/share/bash-completion/completions/hufu"}},
		"completions/_hufud":    {{"/usr/share/zsh/vendor-completions/_hufud", "deb"}, {"/usr/share/zsh/site-functions/_hufud", "rpm"}},
		"completions/hufu.fish": {{to: "/usr/share/fish/vendor_completions.d/hufu.fish"}},
		"completions/hufu.ps1":  nil,
		"systemd/hufud.service": {{to: "/usr/lib/systemd/system/hufud.service"}},
		"systemd/hufud.env":     nil,
		"desktop/hufu.desktop":  {{to: "/usr/share/applications/hufu.desktop"}},
		"desktop/hufu.svg":      {{to: "/usr/share/icons/hicolor/scalable/apps/hufu.svg"}},
	} {
		if got := places(name, false); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	if got := places("hufud", true); !slices.Equal(got, []place{{to: "/usr/bin/hufud"}}) {
		t.Errorf("hufud: %v", got)
	}
}

// Each manifest names the archives by their URL and digest, and is left out when one is missing.
func TestManifests(t *testing.T) {
	t.Parallel()
	r := &release{version: "1.2.3", base: "https://example.org/hufu", time: when, dist: t.TempDir(), log: io.Discard}
	if err := r.manifests(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(r.dist); err != nil || len(left) != 0 {
		t.Errorf("without archives: %v %v", left, err)
	}
	for name := range strings.SplitSeq(platforms, ",") {
		system, arch, _ := strings.Cut(name, "/")
		ext := ".tar.gz"
		if system == "windows" {
			ext = ".zip"
		}
		if err := os.WriteFile(filepath.Join(r.dist, r.file("hufu", platform{system, arch}, ext)), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.manifests(); err != nil {
		t.Fatal(err)
	}
	all, err := r.digests()
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(r.dist, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	var scoop struct {
		Version      string
		Architecture map[string]struct{ URL, Hash string }
	}
	if err := json.Unmarshal([]byte(read("hufu.json")), &scoop); err != nil {
		t.Fatal(err)
	}
	const zipFile = "hufu_1.2.3_windows_arm64.zip"
	if got := scoop.Architecture["arm64"]; scoop.Version != "1.2.3" || got.URL != r.base+"/"+zipFile || got.Hash != all[zipFile] {
		t.Errorf("scoop: %+v", scoop)
	}
	if text := read("hufu.hufu.installer.yaml"); !strings.Contains(text, strings.ToUpper(all[zipFile])) || !strings.Contains(text, "ReleaseDate: 2026-09-21") {
		t.Errorf("winget: %s", text)
	}
	for _, name := range []string{"darwin_arm64", "darwin_amd64", "linux_arm64", "linux_amd64"} {
		archive := "hufu_1.2.3_" + name + ".tar.gz"
		if want := "url \"" + r.base + "/" + archive + "\"\n      sha256 \"" + all[archive] + `"`; !strings.Contains(read("hufu.rb"), want) {
			t.Errorf("hufu.rb lacks %s", want)
		}
	}
	if text := read("Containerfile"); !strings.Contains(text, "ADD hufu_1.2.3_linux_${TARGETARCH}.tar.gz /") {
		t.Errorf("Containerfile: %s", text)
	}
	if err := r.sums(); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Split(strings.TrimSpace(read("SHA256SUMS")), "\n"); len(lines) != 13 || !slices.IsSortedFunc(lines, func(a, b string) int { return strings.Compare(a[66:], b[66:]) }) {
		t.Errorf("SHA256SUMS: %q", lines)
	}
}

func TestPartWithoutLicense(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var text bytes.Buffer
	if err := notice(&text, "example.org/m v1.0.0", dir); err == nil {
		t.Error("a module without a license was accepted")
	}
	if err := os.WriteFile(filepath.Join(dir, "LICENSE.txt"), []byte("do what you like\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := notice(&text, "example.org/m v1.0.0", dir); err != nil || !strings.Contains(text.String(), "example.org/m v1.0.0, LICENSE.txt") || !strings.Contains(text.String(), "do what you like") {
		t.Errorf("%v\n%s", err, text.String())
	}
}
