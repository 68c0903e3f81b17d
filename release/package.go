package main

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// packed is a file of a package, for the template nfpm.yaml.
type packed struct{ From, To, Mode, Packager string }

// packages writes the deb and the rpm of p.
func (r *release) packages(ctx context.Context, p platform, files []file) error {
	scripts, err := filepath.Abs(filepath.Join("release", "package"))
	if err != nil {
		return err
	}
	contents, err := installed(files)
	if err != nil {
		return err
	}
	data := map[string]any{
		"Version": r.version, "Arch": p.Arch, "Base": r.base, "Time": r.time.Format("2006-01-02T15:04:05Z"),
		"Scripts": filepath.ToSlash(scripts), "Files": contents,
	}
	config := filepath.Join(r.work, p.String(), "nfpm.yaml")
	if err := r.fill("nfpm.yaml", config, data); err != nil {
		return err
	}
	env := []string{"SOURCE_DATE_EPOCH=" + strconv.FormatInt(r.time.Unix(), 10)}
	var each []func() error
	for _, kind := range []string{"deb", "rpm"} {
		target := filepath.Join(r.dist, r.file("hufu", p, "."+kind))
		each = append(each, func() error {
			return r.tool(ctx, env, "nfpm", "package", "--config", config, "--packager", kind, "--target", target)
		})
	}
	return together(each...)
}

// installed returns where packages put the files of an archive.
func installed(files []file) ([]packed, error) {
	var all []packed
	for _, f := range files {
		from, err := filepath.Abs(f.from)
		if err != nil {
			return nil, err
		}
		for _, p := range places(f.name, f.mode&0o111 != 0) {
			one := packed{From: filepath.ToSlash(from), To: p.to, Packager: p.packager, Mode: "0" + strconv.FormatUint(uint64(f.mode.Perm()), 8)}
			if strings.HasPrefix(f.name, "man/") {
				one.From += ".gz"
			}
			all = append(all, one)
		}
	}
	return all, nil
}

// fill writes a template, filled with data, to a file.
func (r *release) fill(name, to string, data any) error {
	text, err := filled(name, data)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o644)
}
