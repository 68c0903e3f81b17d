package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// licenseFile matches the files of a module that must go with its code.
var licenseFile = regexp.MustCompile(`(?i)^(un)?(licen[sc]e|copying|notice)`)

// licenses writes the licenses of everything that the programs of p contain: their modules, Go's
// standard library, and the scripts of the page. It returns the file.
func (r *release) licenses(ctx context.Context, p platform) (string, error) {
	const form = `{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}` + "\t" + `{{.Dir}}{{end}}{{end}}`
	listed, err := r.output(ctx, []string{"GOOS=" + p.OS, "GOARCH=" + p.Arch}, "go", "list", "-deps", "-f", form, "./cmd/hufu", "./cmd/hufud")
	if err != nil {
		return "", err
	}
	root, err := r.output(ctx, nil, "go", "env", "GOROOT")
	if err != nil {
		return "", err
	}
	lines := slices.Compact(slices.Sorted(strings.Lines(string(listed))))
	parts := [][2]string{{"Go standard library", strings.TrimSpace(string(root))}, {"htm, Preact and the icons of Lucide, in the page of hufu gui", filepath.Join("internal", "gui", "web", "vendor")}}
	for _, line := range lines {
		if module, dir, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok {
			parts = append(parts, [2]string{module, dir})
		}
	}
	var text bytes.Buffer
	text.WriteString("hufu contains the following software, under these licenses.\n")
	for _, part := range parts {
		if err := notice(&text, part[0], part[1]); err != nil {
			return "", err
		}
	}
	file := filepath.Join(r.work, p.String(), "LICENSES.txt")
	return file, os.WriteFile(file, text.Bytes(), 0o644)
}

// notice appends the license files of dir. A part without a license may not be published.
func notice(text *bytes.Buffer, part, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	found := false
	for _, e := range entries {
		if !e.Type().IsRegular() || !licenseFile.MatchString(e.Name()) && !strings.HasSuffix(e.Name(), ".LICENSE") {
			continue
		}
		data, err := fs.ReadFile(os.DirFS(dir), e.Name())
		if err != nil {
			return err
		}
		found = true
		fmt.Fprintf(text, "\n%s\n%s, %s\n%s\n\n%s\n", strings.Repeat("=", 78), part, e.Name(), strings.Repeat("=", 78), bytes.TrimSpace(data))
	}
	if !found {
		return fmt.Errorf("%s has no license file in %s", part, dir)
	}
	return nil
}
