package report

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"io"

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

// generator is what report.html says of itself near its beginning.
const generator = `<meta name="generator" content="hufu wire">`

// Made reports whether head is the beginning of a page that HTML wrote. Its first
// 4 KiB suffice.
func Made(head []byte) bool {
	return bytes.HasPrefix(head, []byte("<!DOCTYPE html>")) && bytes.Contains(head, []byte(generator))
}
