package capture

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"io"

	"hufu"
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
func (r *Report) SaveHTML(path string) error { return save(path, "report_write", r.HTML) }
