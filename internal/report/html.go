package report

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"io"
	"os"

	"hufu"
	"hufu/internal/atomicfile"
)

//go:embed report.html
var reportHTML string

//go:embed report.css
var reportCSS string

// HTML writes the report as one page that needs nothing else: no script, no
// picture, and its policy lets a browser load nothing. Names stand in it as
// text only.
func (r *Report) HTML(w io.Writer) error {
	page, err := template.New("report").Funcs(template.FuncMap{"T": r.T}).Parse(reportHTML)
	if err == nil {
		v := r.view()
		// The policy allows this style sheet by its hash and no other.
		hash := sha256.Sum256([]byte(reportCSS))
		v.CSS = template.CSS(reportCSS) //nolint:gosec // our own file, embedded
		v.Policy = "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) +
			"'; base-uri 'none'; form-action 'none'"
		err = page.Execute(w, v)
	}
	if err != nil {
		return &hufu.Error{Op: "write report", Kind: hufu.KindUnreadable, Code: "report_write", Err: err}
	}
	return nil
}

// SaveHTML writes the page at path for its owner alone: it shows the password.
func (r *Report) SaveHTML(path string) error {
	if err := atomicfile.WriteFunc(path, 0o600, r.HTML); err != nil {
		return &hufu.Error{Op: "save", Path: path, Kind: hufu.KindUnreadable, Code: "report_write", Err: err}
	}
	return nil
}

// generator is what report.html says of itself, within the first bytes of it.
const (
	generator  = `<meta name="generator" content="hufu wire">`
	saysWithin = 4 << 10
)

// Made reports whether the file at path was written by SaveHTML. A link to such a
// file was not.
func Made(path string) bool {
	if i, err := os.Lstat(path); err != nil || !i.Mode().IsRegular() {
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	head, err := io.ReadAll(io.LimitReader(f, saysWithin))
	return err == nil && bytes.HasPrefix(head, []byte("<!DOCTYPE html>")) && bytes.Contains(head, []byte(generator))
}
