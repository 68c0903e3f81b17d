package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// languages are those of the manual: where man looks for a page, and --lang.
var languages = []struct{ folder, lang string }{{"man", "en"}, {"man/zh_CN", "zh-CN"}}

// pages writes the manual and the completions of the shells, as the programs themselves print them,
// and returns the files. A page has a compressed copy beside it, for packages.
func (r *release) pages(ctx context.Context) ([]file, error) {
	host := platform{runtime.GOOS, runtime.GOARCH}
	if !slices.Contains(r.all, host) {
		if err := r.compile(ctx, host); err != nil {
			return nil, err
		}
	}
	// No profile and no setting of the person who builds may change what is printed.
	env := []string{"HOME=" + r.work, "XDG_CONFIG_HOME=", "XDG_DATA_HOME=", "XDG_STATE_HOME=", "XDG_CACHE_HOME="}
	var all []file
	for _, name := range programs {
		program := r.program(host, name)
		for _, l := range languages {
			if _, err := r.output(ctx, env, program, "--lang", l.lang, "man", filepath.Join(r.work, "pages", l.folder)); err != nil {
				return nil, err
			}
		}
		for shell, script := range map[string]string{"bash": name + ".bash", "zsh": "_" + name, "fish": name + ".fish", "powershell": name + ".ps1"} {
			text, err := r.output(ctx, env, program, "--lang", "en", "completion", shell)
			if err != nil {
				return nil, err
			}
			to := filepath.Join(r.work, "pages", "completions", script)
			if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
				return nil, err
			}
			if err := os.WriteFile(to, text, 0o644); err != nil {
				return nil, err
			}
		}
	}
	root := filepath.Join(r.work, "pages")
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		inside, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		all = append(all, file{filepath.ToSlash(inside), name, 0o644})
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, f := range all {
		if strings.HasPrefix(f.name, "man/") {
			if err := compressed(f.from); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// compressed writes name.gz, in which nothing but the text is.
func compressed(name string) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	zw, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := zw.Write(data); err != nil {
		return err
	}
	if err := zw.Close(); err != nil {
		return err
	}
	return os.WriteFile(name+".gz", out.Bytes(), 0o644)
}

// place is where a package puts a file of an archive, and of which packages; none if it has no place
// in a package.
type place struct{ to, packager string }

// places returns where packages put the file name of an archive.
func places(name string, executable bool) []place {
	base, ext := path.Base(name), strings.TrimPrefix(path.Ext(name), ".")
	dir := path.Dir(name)
	switch {
	case executable:
		return []place{{to: "/usr/bin/" + base}}
	case name == "LICENSE":
		return []place{{to: "/usr/share/doc/hufu/copyright"}}
	case name == "systemd/hufud.service":
		return []place{{to: "/usr/lib/systemd/system/hufud.service"}}
	case name == "systemd/hufud.env": // the configuration has a line of its own
		return nil
	case name == "desktop/hufu.desktop":
		return []place{{to: "/usr/share/applications/hufu.desktop"}}
	case name == "desktop/hufu.svg":
		return []place{{to: "/usr/share/icons/hicolor/scalable/apps/hufu.svg"}}
	case dir == "man", strings.HasPrefix(dir, "man/"):
		return []place{{to: path.Join("/usr/share", dir, "man"+ext, base+".gz")}}
	case dir == "completions" && ext == "bash":
		return []place{{to: "/usr/share/bash-completion/completions/" + strings.TrimSuffix(base, ".bash")}}
	case dir == "completions" && ext == "fish":
		return []place{{to: "/usr/share/fish/vendor_completions.d/" + base}}
	case dir == "completions" && ext == "":
		return []place{{"/usr/share/zsh/vendor-completions/" + base, "deb"}, {"/usr/share/zsh/site-functions/" + base, "rpm"}}
	case dir == "completions":
		return nil // PowerShell
	}
	return []place{{to: path.Join("/usr/share/doc/hufu", name)}}
}
