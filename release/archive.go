package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"
)

// A file goes into an archive or a package.
type file struct {
	name string // slash path below the archive's folder
	from string // on this computer
	mode fs.FileMode
}

// contents returns what the archive of p holds, by name.
func (r *release) contents(ctx context.Context, p platform, pages []file) ([]file, error) {
	all := slices.Clone(pages)
	for _, name := range programs {
		from := r.program(p, name)
		all = append(all, file{filepath.Base(from), from, 0o755})
	}
	documents, err := fs.Glob(os.DirFS("."), "docs/*.md")
	if err != nil {
		return nil, err
	}
	for _, name := range append(documents, "LICENSE", "README.md", "README.zh-CN.md", "CHANGELOG.md", "SECURITY.md") {
		all = append(all, file{name, filepath.FromSlash(name), 0o644})
	}
	notices, err := r.licenses(ctx, p)
	if err != nil {
		return nil, err
	}
	all = append(all, file{"LICENSES.txt", notices, 0o644})
	if p.OS == "linux" {
		all = append(all,
			file{"systemd/hufud.service", filepath.Join("release", "package", "hufud.service"), 0o644},
			file{"systemd/hufud.env", filepath.Join("release", "package", "hufud.env"), 0o644},
			file{"desktop/hufu.desktop", filepath.Join("release", "package", "hufu.desktop"), 0o644},
			file{"desktop/hufu.svg", filepath.Join("internal", "gui", "web", "icon.svg"), 0o644})
	}
	slices.SortFunc(all, func(a, b file) int { return cmp.Compare(a.name, b.name) })
	return all, nil
}

// archive writes the archive of p: zip for Windows, tar.gz for the others.
func (r *release) archive(p platform, files []file) error {
	ext, write := ".tar.gz", tarGz
	if p.OS == "windows" {
		ext, write = ".zip", zipped
	}
	out, err := os.Create(filepath.Join(r.dist, r.file("hufu", p, ext)))
	if err != nil {
		return err
	}
	return errors.Join(write(out, r.file("hufu", p, ""), files, r.time), out.Close())
}

// tarGz writes files below folder. Nothing but names, modes, contents and when gets into it.
func tarGz(w io.Writer, folder string, files []file, when time.Time) error {
	zw, err := gzip.NewWriterLevel(w, gzip.DefaultCompression)
	if err != nil {
		return err
	}
	tw := tar.NewWriter(zw)
	for _, f := range files {
		data, err := os.ReadFile(f.from)
		if err != nil {
			return err
		}
		h := &tar.Header{Name: path.Join(folder, f.name), Mode: int64(f.mode), Size: int64(len(data)), ModTime: when, Typeflag: tar.TypeReg, Format: tar.FormatPAX}
		if err := tw.WriteHeader(h); err != nil {
			return err
		}
		if _, err := tw.Write(data); err != nil {
			return err
		}
	}
	return errors.Join(tw.Close(), zw.Close())
}

func zipped(w io.Writer, folder string, files []file, when time.Time) error {
	zw := zip.NewWriter(w)
	for _, f := range files {
		data, err := os.ReadFile(f.from)
		if err != nil {
			return err
		}
		h := &zip.FileHeader{Name: path.Join(folder, f.name), Method: zip.Deflate, Modified: when}
		h.SetMode(f.mode)
		one, err := zw.CreateHeader(h)
		if err != nil {
			return err
		}
		if _, err := io.Copy(one, bytes.NewReader(data)); err != nil {
			return err
		}
	}
	return zw.Close()
}
