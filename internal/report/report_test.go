package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"hufu"
	"hufu/internal/capture"
	"hufu/internal/cli"
)

// catalogue is one language's texts; what it lacks fails the test.
func catalogue(t *testing.T, lang string) Translate {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "text", lang, "wire.json"))
	if err != nil {
		t.Fatal(err)
	}
	var texts map[string]string
	if err := json.Unmarshal(data, &texts); err != nil {
		t.Fatal(err)
	}
	return func(key string, args ...any) string {
		s, ok := texts[key]
		if !ok {
			t.Errorf("no text %q", key)
		}
		for i := 0; i+1 < len(args); i += 2 {
			v := fmt.Sprint(args[i+1])
			if name := "{" + args[i].(string) + "}"; strings.Contains(s, name) {
				s = strings.ReplaceAll(s, name, hufu.Printable(v))
			} else {
				t.Errorf("%s does not use %s", key, name)
			}
		}
		if strings.Contains(s, "{") {
			t.Errorf("%s is not filled: %s", key, s)
		}
		return s
	}
}

// sampleReport has everything a report can have.
func sampleReport(t *testing.T, lang string) *Report {
	t.Helper()
	c := captures(t)
	return &Report{
		Lang: lang, T: catalogue(t, lang), Plain: Capture{"plain.pcapng", c.plain}, TLS: Capture{"tls.pcapng", c.sealed},
		MITM: &Attempt{Capture: Capture{"mitm.pcapng", c.refused}, Exit: 7, Reason: "server_unknown_ca"},
	}
}

func TestReportText(t *testing.T) {
	t.Parallel()
	for lang, want := range map[string][]string{
		"en": {
			"What an eavesdropper reads", "In clear: 2 times, first in packet 4", "Not found", "TLS 1.3", "X25519MLKEM768 (safe", "hufu.test", "hufu/1",
			"ClientHello", "ServerHello, ChangeCipherSpec", "Application Data", "exit status 7", "ip.addr == 127.0.0.1 and tcp.port == ",
			`frame contains "` + samplePassword + `"`, "Without TLS everything can be read; with TLS nothing can.", "contains the secrets",
			"Packet 4 – User name · Password · File name", "[63 6f 72 72 65 63 74 20 68 6f 72 73",
		},
		"zh-CN": {"窃听者能看到什么", "明文可见：共 2 处，首次出现在第 4 号包", "未找到", "TLS 1.3", "也能抵御量子计算机", "退出状态 7", "不用 TLS，一切都能被读到"},
	} {
		r := sampleReport(t, lang)
		if !r.Proven() {
			t.Errorf("%s: not proven", lang)
		}
		var b bytes.Buffer
		if err := r.Text(&b); err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			if !strings.Contains(b.String(), w) {
				t.Errorf("%s: %q is missing", lang, w)
			}
		}
		// The password is in the dump, and the columns of the comparison
		// stand in line.
		if !strings.Contains(b.String(), "3d[61 6c 69 63 65]") {
			t.Errorf("%s: no excerpt", lang)
		}
		column := -1
		for l := range strings.SplitSeq(b.String(), "\n") {
			if i := strings.Index(l, r.T("wire.not_found")); i > 0 && !strings.Contains(l, "pcapng") {
				at := cli.Width(l[:i])
				if column >= 0 && at != column {
					t.Errorf("%s: column at %d and %d", lang, column, at)
				}
				column = at
			}
		}
		if t.Failed() {
			t.Log(b.String())
		}
	}
}

func TestReportHTML(t *testing.T) {
	t.Parallel()
	for _, lang := range []string{"en", "zh-CN"} {
		r := sampleReport(t, lang)
		var b bytes.Buffer
		if err := r.HTML(&b); err != nil {
			t.Fatal(err)
		}
		page := b.String()
		style := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(page)
		policy := regexp.MustCompile(`http-equiv="Content-Security-Policy" content="([^"]*)"`).FindStringSubmatch(page)
		if style == nil || policy == nil {
			t.Fatalf("no style or no policy:\n%.1000s", page)
		}
		hash := sha256.Sum256([]byte(style[1]))
		if got := html.UnescapeString(policy[1]); got != "default-src 'none'; style-src 'sha256-"+
			base64.StdEncoding.EncodeToString(hash[:])+"'; base-uri 'none'; form-action 'none'" {
			t.Errorf("policy %q is not that of the style sheet", got)
		}
		if found := regexp.MustCompile(`(?i)<script|<img|<link|<iframe|<form| style=| on[a-z]+=|href=|src=|url\(|@import|ZgotmplZ`).FindString(page); found != "" {
			t.Errorf("the page has %q", found)
		}
		for _, want := range []string{`<html lang="` + lang + `"`, "prefers-color-scheme: dark", `<mark>b</mark><mark>a</mark><mark>t</mark>`, "<h1>", `scope="row"`, "</html>"} {
			if !strings.Contains(page, want) {
				t.Errorf("%s: %q is missing", lang, want)
			}
		}
	}
}

// Names that try to be more than names.
func TestReportEscapes(t *testing.T) {
	t.Parallel()
	const evil = "</code><script>alert(1)</script>\u202etxt\x1b[2J"
	r := sampleReport(t, "en")
	r.Plain.File, r.TLS.File, r.MITM.File, r.MITM.Reason = evil, evil, evil, evil
	r.Plain.Findings.Results[0].Needle.Bytes = []byte(evil)
	h := r.TLS.Findings.TLS()
	h.SNI, h.ALPN = evil, []string{evil}
	var page, text bytes.Buffer
	if err := r.HTML(&page); err != nil {
		t.Fatal(err)
	}
	if err := r.Text(&text); err != nil {
		t.Fatal(err)
	}
	for name, out := range map[string]string{"page": page.String(), "text": text.String()} {
		if name == "page" && strings.Contains(out, "<script") || strings.ContainsAny(out, "\u202e\x1b") {
			t.Errorf("the %s has it raw", name)
		}
		if !strings.Contains(out, `\u202etxt\x1b[2J`) {
			t.Errorf("the %s does not show it", name)
		}
	}
}

// version returns the findings of c as if that version of TLS had been agreed.
func version(c Capture, v string) *capture.Findings {
	f := *c.Findings
	h := *f.Streams[0].TLS
	h.Version = v
	f.Streams = []capture.Stream{{TLS: &h, BytesUp: 1}}
	return &f
}

func TestReportJudges(t *testing.T) {
	t.Parallel()
	r := sampleReport(t, "en")
	plain, sealedOnes := r.Plain, r.TLS
	for name, c := range map[string]struct {
		change func(r *Report)
		proven bool
		says   string
	}{
		"as it should be":    {func(*Report) {}, true, "wire.verdict.proven"},
		"nobody tried":       {func(r *Report) { r.MITM = nil }, true, "wire.verdict.proven"},
		"TLS leaks":          {func(r *Report) { r.TLS = plain }, false, "wire.verdict.leak"},
		"plain shows less":   {func(r *Report) { r.Plain = sealedOnes }, false, "wire.verdict.unclear"},
		"nothing looked for": {func(r *Report) { r.Plain.Findings = &capture.Findings{} }, false, "wire.verdict.unclear"},
		"no packets":         {func(r *Report) { r.TLS.Findings = &capture.Findings{} }, false, "wire.verdict.unclear"},
		"let in":             {func(r *Report) { r.MITM = &Attempt{r.MITM.Capture, 0, ""} }, false, "wire.verdict.unclear"},
		"told a secret":      {func(r *Report) { r.MITM = &Attempt{plain, 7, ""} }, false, "wire.verdict.leak"},
		"TLS 1.2":            {func(r *Report) { r.TLS.Findings = version(sealedOnes, "TLS 1.2") }, false, "wire.verdict.unclear"},
		"nothing agreed":     {func(r *Report) { r.TLS.Findings = version(sealedOnes, "") }, false, "wire.verdict.unclear"},
		"broken TLS": {func(r *Report) {
			h := *sealedOnes.Findings.Streams[0].TLS
			h.Broken = true
			f := *sealedOnes.Findings
			f.Streams = []capture.Stream{{TLS: &h, BytesUp: 1}, f.Streams[0]}
			r.TLS.Findings = &f
		}, false, "wire.verdict.unclear"},
	} {
		changed := *r
		c.change(&changed)
		if got := changed.Proven(); got != c.proven {
			t.Errorf("%s: proven %v", name, got)
		}
		if got := changed.verdict().Text; got != r.T(c.says) {
			t.Errorf("%s: %s", name, got)
		}
		for _, err := range []error{changed.Text(io.Discard), changed.HTML(io.Discard)} {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestReportSaved(t *testing.T) {
	t.Parallel()
	r := sampleReport(t, "en")
	file := filepath.Join(t.TempDir(), "report.html")
	if err := r.SaveHTML(file); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := r.SaveHTML(filepath.Join(file, "x")); hufu.CodeOf(err) != "report_write" {
		t.Errorf("%v", err)
	}
	if err := r.Text(&broken{}); hufu.CodeOf(err) != "report_write" {
		t.Errorf("%v", err)
	}
	if err := r.HTML(&broken{}); hufu.CodeOf(err) != "report_write" {
		t.Errorf("%v", err)
	}
}

// Several connections, short words, needles across packets, no hello of the
// server's: every text is used with what it needs.
func TestReportOfOddThings(t *testing.T) {
	t.Parallel()
	for _, lang := range []string{"en", "zh-CN"} {
		r := sampleReport(t, lang)
		r.TLS.Findings.Secrets = false
		s := r.TLS.Findings.Streams[0]
		h := *s.TLS
		h.SNI, h.Version = "", ""
		s.TLS = &h
		r.TLS.Findings.Streams = []capture.Stream{s, s}
		r.Plain.Findings.Results[0].Hits[0].LastPacket++
		r.Plain.Findings.Results[1].Count = 3
		r.TLS.Findings.Results[0].Chance = 2
		r.TLS.Findings.Results[1].Count, r.TLS.Findings.Results[1].Hits = 1, r.Plain.Findings.Results[1].Hits
		r.MITM.Findings.Results = r.Plain.Findings.Results
		r.MITM.Exit = 0
		var b bytes.Buffer
		if err := r.Text(&b); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"wire.verdict.leak", "wire.secrets.no", "wire.fact.none"} {
			if !strings.Contains(b.String(), r.T(key)) {
				t.Errorf("%s: %s is missing", lang, key)
			}
		}
	}
}
