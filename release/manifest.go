package main

import (
	"bytes"
	"embed"
	"fmt"
	"path/filepath"
	"strings"
	"text/template"
)

//go:embed templates
var templates embed.FS

// manifests writes the files by which package managers install this version. Each names archives by
// URL and SHA-256; it is left out if one of them was not built.
func (r *release) manifests() error {
	digests, err := r.digests()
	if err != nil {
		return err
	}
	data := map[string]any{"Version": r.version, "Base": r.base, "Date": r.time.Format("2006-01-02"), "Digest": digests}
	for _, m := range []struct{ template, target string }{
		{"Containerfile", "Containerfile"},
		{"hufu.rb", "hufu.rb"},
		{"scoop.json", "hufu.json"},
		{"winget.yaml", "hufu.hufu.yaml"},
		{"winget.installer.yaml", "hufu.hufu.installer.yaml"},
		{"winget.locale.en-US.yaml", "hufu.hufu.locale.en-US.yaml"},
		{"winget.locale.zh-CN.yaml", "hufu.hufu.locale.zh-CN.yaml"},
	} {
		if !r.needed(m.template, digests) {
			r.say("left out: %s, which needs platforms that were not built", m.target)
			continue
		}
		if err := r.fill(m.template, filepath.Join(r.dist, m.target), data); err != nil {
			return err
		}
	}
	return nil
}

// needed reports whether the archives that a manifest is about have been built.
func (r *release) needed(manifest string, digests map[string]string) bool {
	systems := []string{"linux"}
	switch {
	case manifest == "hufu.rb":
		systems = []string{"linux", "darwin"}
	case strings.HasPrefix(manifest, "scoop"), strings.HasPrefix(manifest, "winget"):
		systems = []string{"windows"}
	}
	for _, system := range systems {
		ext := ".tar.gz"
		if system == "windows" {
			ext = ".zip"
		}
		for _, arch := range []string{"amd64", "arm64"} {
			if digests[r.file("hufu", platform{system, arch}, ext)] == "" {
				return false
			}
		}
	}
	return true
}

// filled returns a template, filled with data. A value that is missing is an error.
func filled(name string, data any) ([]byte, error) {
	t, err := template.New(name).Option("missingkey=error").Funcs(template.FuncMap{
		"upper": strings.ToUpper,
		"quote": func(s string) string { return fmt.Sprintf("%q", s) },
		// digest returns the SHA-256 of an archive that was built.
		"digest": func(all map[string]string, name string) (string, error) {
			if all[name] == "" {
				return "", fmt.Errorf("%s was not built", name)
			}
			return all[name], nil
		},
	}).ParseFS(templates, "templates/"+name)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	if err := t.Execute(&text, data); err != nil {
		return nil, err
	}
	return text.Bytes(), nil
}
