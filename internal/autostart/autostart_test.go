package autostart

import (
	"encoding/xml"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hufu"
)

var words = []string{"/opt/a b/hufu", "gui", "--no-open", "--profile", `q"\'$HOME ` + "`id`" + ` %f <&> 虎`}

func TestOnAndOff(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]file{"desktop": desktopEntry(words, t.TempDir(), "relative"), "launchd": agent(words, t.TempDir())} {
		want := func(want bool) {
			t.Helper()
			if on, err := f.On(); on != want || err != nil {
				t.Errorf("%s: %v %v, want %v", name, on, err, want)
			}
		}
		want(false)
		for _, on := range []bool{false, true, true, false, false, true} {
			if err := f.Set(on); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			want(on)
		}
		for _, off := range f.off { // as the settings of a desktop write it
			if err := os.WriteFile(f.path, []byte(f.text+strings.ToUpper(off[:1])+off[1:]+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			want(false)
			if err := f.Set(true); err != nil {
				t.Fatal(err)
			}
			want(true)
		}
		if err := os.WriteFile(f.path, []byte("somebody else's"), 0o600); err != nil {
			t.Fatal(err)
		}
		want(false)
		for _, on := range []bool{true, false} {
			if err := f.Set(on); hufu.CodeOf(err) != "autostart_foreign" {
				t.Errorf("%s: what somebody else has written: %v", name, err)
			}
		}
		if data, err := os.ReadFile(f.path); string(data) != "somebody else's" {
			t.Errorf("%s: %q %v", name, data, err)
		}
		f.path = filepath.Join(f.path, "below-a-file")
		if err := f.Set(true); err == nil {
			t.Errorf("%s: written below a file", name)
		}
	}
}

// TestTheCommandIsExact: no character of a path becomes another word, a variable or a field code.
func TestTheCommandIsExact(t *testing.T) {
	t.Parallel()
	_, line, _ := strings.Cut(desktopEntry(words, "/home/a", "").text, "\nExec=")
	line, _, _ = strings.Cut(line, "\n")
	if got := commandOf(line); !slices.Equal(got, words) {
		t.Errorf("%s\nis read as %q", line, got)
	}
	var plist struct {
		Words []string `xml:"dict>array>string"`
	}
	if err := xml.Unmarshal([]byte(agent(words, "/Users/a").text), &plist); err != nil || !slices.Equal(plist.Words, words) {
		t.Errorf("%q %v", plist.Words, err)
	}
}

// commandOf reads an Exec line as the Desktop Entry Specification says: first the escapes of a
// string, then the quotation marks of the words, then the field codes.
func commandOf(line string) (words []string) {
	line = strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\t`, "\t", `\r`, "\r", `\s`, " ").Replace(line)
	var w strings.Builder
	quoted := false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '"':
			if quoted = !quoted; !quoted {
				words = append(words, strings.ReplaceAll(w.String(), "%%", "%"))
				w.Reset()
			}
		case quoted && c == '\\':
			i++
			w.WriteByte(line[i])
		case quoted && (c == '$' || c == '`'):
			return nil // must be escaped
		case quoted:
			w.WriteByte(c)
		}
	}
	return words
}
