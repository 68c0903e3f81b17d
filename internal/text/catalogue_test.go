package text

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"hufu"
)

func read(t *testing.T, lang string) map[string]string {
	t.Helper()
	texts, err := load(files, lang)
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

func TestLanguagesHaveTheSameFilesAndKeys(t *testing.T) {
	t.Parallel()
	names := func(lang string) []string {
		all, err := fs.Glob(files, lang+"/*.json")
		if err != nil {
			t.Fatal(err)
		}
		for i := range all {
			all[i] = path.Base(all[i])
		}
		return all
	}
	if en, zh := names(English), names(Chinese); !slices.Equal(en, zh) {
		t.Errorf("files differ: en %v, zh-CN %v", en, zh)
	}
	for _, name := range names(English) {
		en, zh := one(t, English, name), one(t, Chinese, name)
		for _, k := range slices.Sorted(maps.Keys(en)) {
			if _, ok := zh[k]; !ok {
				t.Errorf("zh-CN/%s lacks %s", name, k)
			}
		}
		for _, k := range slices.Sorted(maps.Keys(zh)) {
			if _, ok := en[k]; !ok {
				t.Errorf("en/%s lacks %s", name, k)
			}
		}
	}
}

// one reads a single file and, unlike encoding/json, minds a key that stands
// in it twice.
func one(t *testing.T, lang, name string) map[string]string {
	t.Helper()
	data, err := fs.ReadFile(files, lang+"/"+name)
	if err != nil {
		t.Errorf("%s/%s: %v", lang, name, err)
		return nil
	}
	texts := make(map[string]string)
	d := json.NewDecoder(bytes.NewReader(data))
	if tok, err := d.Token(); err != nil || tok != json.Delim('{') {
		t.Fatalf("%s/%s is not an object", lang, name)
	}
	for d.More() {
		k, err := d.Token()
		if err != nil {
			t.Fatalf("%s/%s: %v", lang, name, err)
		}
		v, err := d.Token()
		if err != nil {
			t.Fatalf("%s/%s: %v", lang, name, err)
		}
		key := k.(string)
		text, _ := v.(string)
		if text == "" {
			t.Errorf("%s/%s: %s is not a text", lang, name, key)
		}
		if _, twice := texts[key]; twice {
			t.Errorf("%s/%s: %s stands there twice", lang, name, key)
		}
		texts[key] = text
	}
	return texts
}

func TestLanguagesHaveTheSamePlaceholders(t *testing.T) {
	t.Parallel()
	en, zh := read(t, English), read(t, Chinese)
	for _, k := range slices.Sorted(maps.Keys(en)) {
		a, b := set(placeholders(en[k])), set(placeholders(zh[k]))
		if zh[k] != "" && !slices.Equal(a, b) {
			t.Errorf("%s: en has %v, zh-CN has %v", k, a, b)
		}
	}
}

func set(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

// TestTextsAreWritten catches a translation that was never made and the slips
// that a reader of one language does not see in the other.
func TestTextsAreWritten(t *testing.T) {
	t.Parallel()
	en, zh := read(t, English), read(t, Chinese)
	for k, v := range en {
		if strings.ContainsFunc(v, func(r rune) bool { return unicode.Is(unicode.Han, r) }) && !strings.Contains(k, "language") {
			t.Errorf("en: %s holds Chinese: %s", k, v)
		}
	}
	for k, v := range zh {
		words := 0
		for w := range strings.FieldsSeq(en[k]) {
			if strings.ContainsFunc(w, unicode.IsLower) && !strings.ContainsAny(w, "{}<>/-_=.") {
				words++
			}
		}
		if words >= 4 && !strings.ContainsFunc(v, func(r rune) bool { return unicode.Is(unicode.Han, r) }) {
			t.Errorf("zh-CN: %s is not translated: %s", k, v)
		}
	}
	for lang, texts := range map[string]map[string]string{English: en, Chinese: zh} {
		for k, v := range texts {
			if v != strings.TrimRight(v, " \t\n") {
				t.Errorf("%s: %s ends in white space", lang, k)
			}
			if strings.Count(v, "{") != strings.Count(v, "}") {
				t.Errorf("%s: %s has an open placeholder", lang, k)
			}
			for _, name := range placeholders(v) {
				if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
					t.Errorf("%s: %s has the placeholder {%s}", lang, k, name)
				}
			}
		}
	}
}

// TestPrintedCommandsAreQuoted: what is filled into a command is quoted for the
// shell, in both languages at the same places. The page, which fills its texts
// itself, has no such place.
func TestPrintedCommandsAreQuoted(t *testing.T) {
	t.Parallel()
	command := regexp.MustCompile(`\b(hufud?|chmod|chown|make run)( [^"“”。;；,，{}]*)? ((--)?\S*)\{[a-z_]+\}`)
	sentences := []string{
		"error.internal.cause", "hufud.run.listening", // in which a program is the subject
		"error.data_folder_open.fix", // which gets a list of words, each quoted
	}
	en, zh := read(t, English), read(t, Chinese)
	for lang, texts := range map[string]map[string]string{English: en, Chinese: zh} {
		for k, v := range texts {
			if bare := command.FindString(strings.ReplaceAll(v, "{hufud}", "hufud")); bare != "" && !slices.Contains(sentences, k) {
				t.Errorf("%s: %s prints %q, not quoted for the shell", lang, k, bare)
			}
			if strings.HasPrefix(k, "gui.") && strings.Contains(v, ":shell}") {
				t.Errorf("%s: %s is filled by the page", lang, k)
			}
		}
	}
	for k := range en {
		if a, b := strings.Count(en[k], ":shell}"), strings.Count(zh[k], ":shell}"); a != b {
			t.Errorf("%s: en quotes %d words, zh-CN %d", k, a, b)
		}
	}
}

// TestPrintedCommandsNameTheDataFolder: what hufud says to run next begins with
// {hufud}, which holds its data folder. A help text speaks of hufud in general.
func TestPrintedCommandsNameTheDataFolder(t *testing.T) {
	t.Parallel()
	command := regexp.MustCompile(`\bhufud (--data|init|serve|run|invite|user|cert|ca|status)\b`)
	elsewhere := []string{ // said by hufu, or of no data folder in particular
		"error.user_name_command", "error.data_folder_incomplete.fix", "error.teach_off.fix", "explain.3.self_signed.server.fix",
		"hufu.enroll.flag.certificate", "hufu.profile.rm.revoke",
	}
	for _, lang := range Languages() {
		for k, v := range read(t, lang) {
			if strings.HasSuffix(k, ".long") || strings.HasSuffix(k, ".short") || slices.Contains(elsewhere, k) {
				continue
			}
			if found := command.FindString(v); found != "" {
				t.Errorf("%s: %s prints %q without the data folder", lang, k, found)
			}
		}
	}
}

// TestErrorsShowLocalTime: the arguments of an error are strings, so the text says
// which of them are moments and spans.
func TestErrorsShowLocalTime(t *testing.T) {
	t.Parallel()
	bare := regexp.MustCompile(`\{(when|until|not_before|not_after|now)\}`)
	for _, lang := range Languages() {
		for k, v := range read(t, lang) {
			if found := bare.FindString(v); found != "" && (strings.HasPrefix(k, "error.") || strings.HasPrefix(k, "explain.")) {
				t.Errorf("%s: %s holds %s, which shows a time as programs write it", lang, k, found)
			}
		}
	}
}

// TestCountsHaveTwoForms: English says "1 file" and "2 files", so a text with a
// number before a plural is chosen by the number.
func TestCountsHaveTwoForms(t *testing.T) {
	t.Parallel()
	counted := regexp.MustCompile(`\{(n|count|total|done|files|names|bytes|packets|most)\} [a-z]+s\b`)
	many := []string{ // the number is always more than one
		"error.wire_password_unfit", "error.wire_file_unfit", "error.wire_file_unfit.bare", "error.admin_data_folder_long.fix",
		"wire.in_clear_times", "gui.job.count",
	}
	en := read(t, English)
	for k, v := range en {
		found := counted.FindString(v)
		if found == "" || slices.Contains(many, k) || strings.HasSuffix(k, ".one") {
			continue
		}
		if _, ok := en[strings.TrimSuffix(k, ".other")+".one"]; !ok {
			t.Errorf("%s says %q, also for 1", k, found)
		}
	}
}

// TestOneWordForOneThing: words that look alike in Chinese and are not the same.
func TestOneWordForOneThing(t *testing.T) {
	t.Parallel()
	en, zh := read(t, English), read(t, Chinese)
	for _, w := range []struct{ english, without, never string }{
		{`(?i)enroll`, `(?i)regist`, "注册"},
		{`(?i)regist`, ``, "登记"},
		{`(?i)\blog(ged)? out\b`, ``, "注销"},
		{`(?i)issuing CA`, ``, "中间 CA"},
		{`(?i)shared folder`, ``, "共享目录"},
		{`(?i)\bsubject\b`, ``, "主题"},
		{`(?i)data folder`, ``, "数据文件夹"},
	} {
		for k, v := range en {
			if regexp.MustCompile(w.english).MatchString(v) && strings.Contains(zh[k], w.never) &&
				(w.without == "" || !regexp.MustCompile(w.without).MatchString(v)) {
				t.Errorf("%s: %q for %q", k, w.never, v)
			}
		}
	}
}

// british are spellings that are American elsewhere.
var british = regexp.MustCompile(`(?i)colour|behaviour|honour|favour|neighbour|cancelled|cancelling|dialled|labelled|travell|licence|\b\w+(?:ogn|gan|al|ial|mar|thor)is(?:e[sd]?|ing|ation)\b`)

// neverSaid returns what the last columns of README.md forbid: words anywhere,
// and phrases in the catalogues.
func neverSaid(t *testing.T) (words, phrases *regexp.Regexp) {
	t.Helper()
	glossary, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	columns := map[int][]string{6: nil, 4: nil} // by the cells of a row, the two outer ones included
	for line := range strings.Lines(string(glossary)) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		n := len(cells)
		if n < 4 || strings.Contains(line, "never |") || strings.Contains(line, "---") {
			continue
		}
		for w := range strings.SplitSeq(cells[n-2], ",") {
			if w = strings.TrimSpace(w); w != "" {
				columns[n] = append(columns[n], w)
			}
		}
	}
	// An English word is forbidden as a whole word, a Chinese one anywhere.
	one := func(forbidden []string) *regexp.Regexp {
		if len(forbidden) < 10 {
			t.Fatalf("the glossary forbids %q only: the scan is broken", forbidden)
		}
		for i, w := range forbidden {
			forbidden[i] = regexp.QuoteMeta(w)
			if w[0] < utf8.RuneSelf && unicode.IsLetter(rune(w[0])) {
				forbidden[i] = `\b` + forbidden[i] + `\b`
			}
		}
		return regexp.MustCompile("(?i)" + strings.Join(forbidden, "|"))
	}
	return one(columns[6]), one(columns[4])
}

// TestGlossary: neither a catalogue nor a document says a word that the glossary
// forbids, no catalogue a phrase that is not plain, and every spelling is American.
func TestGlossary(t *testing.T) {
	t.Parallel()
	words, phrases := neverSaid(t)
	look := func(where, text string) {
		text = strings.ReplaceAll(text, "virtual machine", "") // which is another thing
		if m := words.FindString(text); m != "" {
			t.Errorf("%s says %q: see internal/text/README.md", where, m)
		}
		if m := british.FindString(text); m != "" {
			t.Errorf("%s says %q: the spelling is American", where, m)
		}
	}
	for _, lang := range Languages() {
		for k, v := range read(t, lang) {
			look(lang+" "+k, v)
			if m := phrases.FindString(v); m != "" {
				t.Errorf("%s %s says %q: see internal/text/README.md", lang, k, m)
			}
		}
	}
	for name, text := range documents(t) {
		look(name, text)
	}
}

// documents returns the text of every document, by its path.
func documents(t *testing.T) map[string]string {
	t.Helper()
	root := os.DirFS(module)
	all := make(map[string]string)
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md", "bench/*.md"} {
		some, err := fs.Glob(root, pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range some {
			text, err := fs.ReadFile(root, name)
			if err != nil {
				t.Fatal(err)
			}
			all[name] = string(text)
		}
	}
	if len(all) < 20 {
		t.Errorf("found %d documents only: the scan is broken", len(all))
	}
	return all
}

func TestEveryKindHasATextAndAFix(t *testing.T) {
	t.Parallel()
	for _, lang := range Languages() {
		c := For(lang)
		for _, k := range hufu.Kinds() {
			for _, key := range []string{"error." + k.String(), "error." + k.String() + ".fix"} {
				if !c.Has(key) {
					t.Errorf("%s lacks %s", lang, key)
				}
			}
			what, fix := c.Error(&hufu.Error{Kind: k})
			if what == "" || fix == "" || strings.Contains(what+fix, "?") {
				t.Errorf("%s: %v without path reads %q, %q", lang, k, what, fix)
			}
		}
	}
}
