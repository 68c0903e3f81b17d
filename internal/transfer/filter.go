package transfer

import (
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"hufu"
)

// Filter leaves names out of a transfer by rsync's rules: the first pattern that matches a name
// decides whether it is included, and a name that none matches is. A folder that is left out is
// left out with everything in it. The zero value leaves nothing out.
//
// A pattern is matched with the path below the folder that the source lies in. That path begins
// with the source's own name, or with the name of an entry if the contents of a folder are the
// source. With a slash at its beginning it must match the whole path, with a slash or "**"
// elsewhere the end of the path, otherwise the last name. A slash at its end restricts it to
// folders. '*', '?' and […] match within a name, "**" also slashes, and DIR/*** a folder and
// everything in it; in a pattern with one of these a backslash makes what follows it mean itself.
type Filter struct{ rules []rule }

// rule is one pattern of a filter.
type rule struct {
	include bool
	folders bool // only these
	whole   bool // matched with the path instead of the last name
	match   *regexp.Regexp
}

// AddRule is Add for a rule as rsync takes it: "+ " before the pattern includes, "- " excludes.
func (f *Filter) AddRule(include bool, rule string) error {
	if pattern, ok := strings.CutPrefix(rule, "+ "); ok {
		return f.Add(true, pattern)
	}
	if pattern, ok := strings.CutPrefix(rule, "- "); ok {
		return f.Add(false, pattern)
	}
	return f.Add(include, rule)
}

// Add adds a rule behind the others.
func (f *Filter) Add(include bool, pattern string) error {
	r := rule{include: include}
	p := pattern
	if dir, all := strings.CutSuffix(p, "/***"); all {
		if err := f.Add(include, dir+"/"); err != nil {
			return err
		}
		p = dir + "/**"
	}
	if t, ok := strings.CutSuffix(p, "/"); ok {
		p, r.folders = t, true
	}
	anchored := strings.HasPrefix(p, "/")
	p = strings.TrimPrefix(p, "/")
	r.whole = anchored || strings.Contains(p, "/") || strings.Contains(p, "**")
	if !anchored { // it matches at any depth anyway, and at the top as well
		p = strings.TrimPrefix(p, "**/")
	}
	expr, ok := regexp.QuoteMeta(p), utf8.ValidString(p) // a backslash is one, where nothing is a wildcard
	if strings.ContainsAny(p, "*?[") {
		expr, ok = expression(p)
	}
	if !ok || p == "" {
		return &hufu.Error{Op: "filter", Kind: hufu.KindUsage, Code: "pattern_form", Args: map[string]string{"pattern": pattern}}
	}
	if r.whole && !anchored {
		expr = `(?:.*/)?` + expr
	}
	var err error
	if r.match, err = regexp.Compile(`(?s)\A(?:` + expr + `)\z`); err != nil {
		return &hufu.Error{Op: "filter", Kind: hufu.KindUsage, Code: "pattern_form", Args: map[string]string{"pattern": pattern}, Err: err}
	}
	f.rules = append(f.rules, r)
	return nil
}

// AddLines adds the rules of a file, one a line. A line excludes what its pattern matches, and
// includes it if it begins with "+ "; "- " at the beginning is optional. A line that is empty, or
// begins with '#' or ';', means nothing, and one with "!" alone drops all rules before it.
func (f *Filter) AddLines(text string) error {
	text = strings.TrimPrefix(text, "\ufeff")
	at := 0
	for line := range strings.Lines(text) {
		at++
		line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if line == "!" {
			f.rules = nil
			continue
		}
		if err := f.AddRule(false, line); err != nil {
			return &hufu.Error{Op: "filter", Kind: hufu.KindUsage, Code: "pattern_line", Args: map[string]string{"line": strconv.Itoa(at), "pattern": line}, Err: err}
		}
	}
	return nil
}

// Empty reports whether f leaves nothing out.
func (f *Filter) Empty() bool { return f == nil || len(f.rules) == 0 }

// Excludes reports whether f leaves out the entry at path, without looking at the folders above
// it.
func (f *Filter) Excludes(path string, folder bool) bool {
	if f.Empty() {
		return false
	}
	name := path[strings.LastIndexByte(path, '/')+1:]
	for i := range f.rules {
		r := &f.rules[i]
		if r.folders && !folder {
			continue
		}
		subject := name
		if r.whole {
			subject = path
		}
		if r.match.MatchString(subject) {
			return !r.include
		}
	}
	return false
}

// excludes returns whether the filter leaves out p, and if so also emits the report. The path for
// the filter is the argument below.
func (pl *planner) excludes(p pair, below string) bool {
	if !pl.e.o.Filter.Excludes(below, p.source.Kind == hufu.Folder) {
		return false
	}
	pl.e.report(Report{Local: p.near.Local, Remote: p.far, Kind: p.source.Kind, Size: p.source.Size, Outcome: Excluded})
	return true
}

// NamePattern returns a function that reports whether a name matches a pattern, by the rules of a
// shell: '*', '?', […] with '!' or '^' for all others, classes such as [:digit:], and a backslash
// before a character that means itself. With anyCase, letters match in both cases. ok is
// false if it is not a pattern.
func NamePattern(pattern string, anyCase bool) (match func(name string) bool, ok bool) {
	expr, ok := expression(pattern)
	if !ok {
		return nil, false
	}
	flags := `(?s)`
	if anyCase {
		flags = `(?si)`
	}
	compiled, err := regexp.Compile(flags + `\A(?:` + expr + `)\z`)
	if err != nil {
		return nil, false
	}
	return compiled.MatchString, true
}

// expression translates a pattern to a regular expression, which takes linear time on any name
// that a server may send. ok is false if a bracket is not closed or holds nothing that a name can have, a backslash ends the pattern, or it is not UTF-8.
func expression(pattern string) (expr string, ok bool) {
	if !utf8.ValidString(pattern) {
		return "", false
	}
	var b strings.Builder
	for p := pattern; p != ""; {
		r, n := utf8.DecodeRuneInString(p)
		switch {
		case strings.HasPrefix(p, "**"):
			b.WriteString(`.*`)
			p = strings.TrimLeft(p, "*")
			continue
		case r == '*':
			b.WriteString(`[^/]*`)
		case r == '?':
			b.WriteString(`[^/]`)
		case r == '[':
			class, rest, ok := class(p[1:])
			if !ok {
				return "", false
			}
			b.WriteString(class)
			p = rest
			continue
		case r == '\\':
			if p = p[n:]; p == "" {
				return "", false
			}
			r, n = utf8.DecodeRuneInString(p)
			b.WriteString(regexp.QuoteMeta(string(r)))
		default:
			b.WriteString(regexp.QuoteMeta(string(r)))
		}
		p = p[n:]
	}
	return b.String(), true
}

// class translates what follows a '[' to a class of characters that never has the slash.
func class(p string) (expr, rest string, ok bool) {
	var b strings.Builder
	negated := strings.HasPrefix(p, "!") || strings.HasPrefix(p, "^")
	if negated {
		p = p[1:]
	}
	for first := true; p != ""; first = false {
		r, n := utf8.DecodeRuneInString(p)
		if r == ']' && !first {
			if negated {
				return `[^/` + b.String() + `]`, p[n:], true
			}
			return `[` + b.String() + `]`, p[n:], b.Len() > 0
		}
		if name, rest, named := strings.Cut(p, ":]"); named && strings.HasPrefix(name, "[:") {
			members, known := classes[name[2:]]
			if !known {
				return "", "", false
			}
			b.WriteString(members)
			p = rest
			continue
		}
		lo, rest, ok := classRune(p)
		if !ok {
			return "", "", false
		}
		p = rest
		hi := lo
		if strings.HasPrefix(p, "-") && !strings.HasPrefix(p, "-]") && len(p) > 1 {
			if hi, p, ok = classRune(p[1:]); !ok || hi < lo {
				return "", "", false
			}
		}
		writeRange(&b, lo, hi)
	}
	return "", "", false
}

// classes are the POSIX classes of characters, without the slash.
var classes = map[string]string{
	"alnum": "0-9A-Za-z", "alpha": "A-Za-z", "blank": `\t `, "cntrl": `\x00-\x1f\x7f`, "digit": "0-9", "graph": `!-.0-~`, "lower": "a-z",
	"print": ` -.0-~`, "punct": "!-.:-@\\[-`{-~", "space": `\t-\r `, "upper": "A-Z", "xdigit": "0-9A-Fa-f",
}

// classRune reads one character of a class.
func classRune(p string) (r rune, rest string, ok bool) {
	p = strings.TrimPrefix(p, `\`)
	r, n := utf8.DecodeRuneInString(p)
	return r, p[n:], p != ""
}

// writeRange writes the characters from lo to hi, without the slash.
func writeRange(b *strings.Builder, lo, hi rune) {
	if lo <= '/' && '/' <= hi {
		if lo < '/' {
			writeRange(b, lo, '/'-1)
		}
		if hi > '/' {
			writeRange(b, '/'+1, hi)
		}
		return
	}
	quote := func(r rune) {
		if strings.ContainsRune(`\]-^[`, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	quote(lo)
	if hi > lo {
		b.WriteByte('-')
		quote(hi)
	}
}
