// Package text owns every sentence that hufu shows to a user, in English and in
// Chinese, and the choice between them. The sentences are in flat JSON
// catalogues next to this file, one file per subject and the same files and
// keys in both languages; the tests here compare the two with each other and
// with the source. A value that fills a placeholder is made harmless for a
// terminal first. Which text to show when, and its layout, is left to cmd and
// gui.
package text

import (
	"embed"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"

	"hufu"
)

//go:embed en/*.json zh-CN/*.json
var files embed.FS

// The languages, as For takes them and Lang returns them.
const (
	English = "en"
	Chinese = "zh-CN"
)

// Languages lists the languages there are, the one to fall back to first.
func Languages() []string { return []string{English, Chinese} }

// Catalogue holds the sentences of one language. It does not change and may be
// used by many goroutines.
type Catalogue struct {
	lang  string
	texts map[string]string
	// strict makes a missing key or placeholder a panic: in tests it is a
	// defect to be found, for a user only an ugly word.
	strict bool
	zone   *time.Location
	ascii  bool   // nothing else can be shown
	hufud  string // how hufud is called, quoted for the shell
}

// For returns the catalogue of a language, the English one if there is none of
// that name.
func For(lang string) *Catalogue {
	if lang != Chinese {
		lang = English
	}
	texts, err := load(files, lang)
	if err != nil {
		panic(err) // the catalogues are part of the program; a test loads both
	}
	return &Catalogue{lang: lang, texts: texts, strict: flag.Lookup("test.v") != nil, zone: time.Local, hufud: "hufud"}
}

// Calling returns the catalogue with other words in place of {hufud}: the
// command with which the user called hufud, with its data folder.
func (c *Catalogue) Calling(words ...string) *Catalogue {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = Shell(w)
	}
	other := *c
	other.hufud = strings.Join(quoted, " ")
	return &other
}

// load reads all files of a language. A key may be in only one of them.
func load(from fs.FS, lang string) (map[string]string, error) {
	names, err := fs.Glob(from, lang+"/*.json")
	if err != nil {
		return nil, fmt.Errorf("list catalogues: %w", err)
	}
	all := make(map[string]string)
	for _, name := range names {
		data, err := fs.ReadFile(from, name)
		if err != nil {
			return nil, fmt.Errorf("read catalogue: %w", err)
		}
		var one map[string]string
		if err := json.Unmarshal(data, &one); err != nil {
			return nil, fmt.Errorf("read catalogue %s: %w", name, err)
		}
		for k, v := range one {
			if _, twice := all[k]; twice {
				return nil, fmt.Errorf("read catalogue %s: key %s stands in another file too", path.Base(name), k)
			}
			all[k] = v
		}
	}
	return all, nil
}

// Lang picks the language: the user's choice (--lang) if there is one, else the first of LC_ALL,
// LC_MESSAGES and LANG that is. What is neither Chinese nor known is English.
func Lang(choice string, getenv func(string) string) string {
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if choice != "" {
			break
		}
		choice = getenv(name)
	}
	choice = strings.ToLower(choice)
	if choice == "zh" || strings.HasPrefix(choice, "zh-") || strings.HasPrefix(choice, "zh_") || strings.HasPrefix(choice, "zh.") {
		return Chinese
	}
	return English
}

// Lang returns the language of the catalogue.
func (c *Catalogue) Lang() string { return c.lang }

// Has reports whether there is a text under key.
func (c *Catalogue) Has(key string) bool { _, ok := c.texts[key]; return ok }

// T returns the text under key with its placeholders filled from args, which
// are pairs of a name and a value. A missing key comes back as it is. {hufud}
// needs no argument, see Calling; how {name:form} looks, see form.
func (c *Catalogue) T(key string, args ...any) string {
	t, ok := c.texts[key]
	if !ok {
		if c.strict {
			panic("text: no such key: " + key)
		}
		return key
	}
	if len(args) == 0 && !strings.Contains(t, "{") {
		return t
	}
	return fill(t, func(name, form string) string {
		for i := 0; i+1 < len(args); i += 2 {
			if args[i] == name {
				if word, ok := args[i+1].(string); ok {
					return c.form(form, word)
				}
				return c.value(args[i+1])
			}
		}
		if name == caller {
			return c.hufud
		}
		if c.strict {
			panic("text: " + key + " wants {" + name + "}")
		}
		return "?"
	})
}

// N is T for a counted thing: key.one or key.other, with {n} filled in.
func (c *Catalogue) N(key string, n int, args ...any) string {
	form := ".other"
	if n == 1 && c.lang == English {
		form = ".one"
	}
	return c.T(key+form, append([]any{"n", n}, args...)...)
}

// JSON returns the texts of the GUI: every text whose key begins with "gui.",
// as one JSON object.
func (c *Catalogue) JSON() []byte {
	some := make(map[string]string)
	for k, v := range c.texts {
		if strings.HasPrefix(k, "gui.") {
			some[k] = v
		}
	}
	data, err := json.Marshal(some)
	if err != nil {
		panic(err) // a map of strings always marshals
	}
	return data
}

// caller is the placeholder that needs no argument.
const caller = "hufud"

// form returns how a string looks in the place of {name:form}. Errors hold strings
// alone, so moments and spans in them are written for a program:
//
//	shell  a word of a command, quoted
//	time   a moment (RFC 3339), in local time
//	span   a duration in Go's form
//	list   what a comma and a space separate, separated as the language does
func (c *Catalogue) form(form, v string) string {
	switch form {
	case "shell":
		return Shell(v)
	case "list":
		return c.List(strings.Split(v, ", "))
	case "time":
		if t, err := time.Parse(time.RFC3339, v); err == nil {
			return c.Time(t)
		}
	case "span":
		if d, err := time.ParseDuration(v); err == nil {
			return c.Duration(d)
		}
	}
	return hufu.Printable(v)
}

// List joins words as the language does.
func (c *Catalogue) List(words []string) string {
	separator := ", "
	if c.lang == Chinese {
		separator = "、"
	}
	return hufu.Printable(strings.Join(words, separator))
}

// value returns how one placeholder's value looks. Anything that comes from outside
// is a string, or becomes one, and passes hufu.Printable.
func (c *Catalogue) value(v any) string {
	switch v := v.(type) {
	case string:
		return hufu.Printable(v)
	case []string:
		return c.List(v)
	case int:
		return strconv.Itoa(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case time.Time:
		return c.Time(v)
	case time.Duration:
		return c.Duration(v)
	default:
		return hufu.Printable(fmt.Sprint(v))
	}
}

// fill replaces each {name} and {name:form} in one pass, so that a value that
// looks like a placeholder is not replaced.
func fill(t string, value func(name, form string) string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(t, "{")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		name, after, ok := strings.Cut(rest, "}")
		if !ok {
			b.WriteString("{" + rest)
			return b.String()
		}
		name, form, _ := strings.Cut(name, ":")
		b.WriteString(value(name, form))
		t = after
	}
}

// placeholders lists the names between braces, in order, repeats included.
func placeholders(t string) []string {
	var names []string
	fill(t, func(name, _ string) string {
		names = append(names, name)
		return ""
	})
	return names
}
