package hufu

import (
	"strings"
	"testing"
)

// TestSignposts: what nobody may change because of its place alone.
func TestSignposts(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{
		"": true, "@shared": true, "@shared/common": true, "@shared/x": true,
		"@shared/common/x": false, "x": false, "x/@shared": false, "@sharedx": false, "@other": false, "@other/x": false,
	} {
		p, err := ParsePath(s)
		if err != nil {
			t.Fatal(err)
		}
		if p.Signpost() != want {
			t.Errorf("%q: %v", s, !want)
		}
	}
}

func TestHT29Names(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"a", "0", "alice", "a.b-c_d", "com", "com10", "console", "nul-l", "macbook-pro.local", strings.Repeat("a", MaxName)} {
		if !ValidName(good) || !ValidCertifiedName(good) || CheckUserName(good) != nil || CheckDeviceName(good) != nil || NameOf(good) != good {
			t.Errorf("%q is refused", good)
		}
	}
	for _, old := range []string{"Alice", "MacBook-Pro", strings.Repeat("a", MaxName+1), strings.Repeat("a", maxCertified)} {
		if ValidName(old) || !ValidCertifiedName(old) {
			t.Errorf("%q: new %v, old %v", old, ValidName(old), ValidCertifiedName(old))
		}
	}
	for _, bad := range []string{
		"", ".", "..", "-a", "_a", ".a", "a.", "a b", "a/b", `a\b`, "a:b", "é", "ä", "a\x00", "@shared", "a@b", "~", "*", "a\n", "\xff", "\u212a", "a\u212a", "' OR '1'='1' -- ",
		"con", "CON", "Con.txt", "nul", "nul.txt", "aux.a.b", "com1", "lpt9.x", "prn", strings.Repeat("é", 40), strings.Repeat("a", maxCertified+1),
	} {
		if ValidName(bad) || ValidCertifiedName(bad) {
			t.Errorf("%q is taken", bad)
		}
		for code, err := range map[string]error{"user_name": CheckUserName(bad), "device_name": CheckDeviceName(bad)} {
			if KindOf(err) != KindInvalid || CodeOf(err) != code {
				t.Errorf("%q: %v", bad, err)
			}
		}
		if !ValidName(NameOf(bad)) {
			t.Errorf("%q became %q", bad, NameOf(bad))
		}
	}
	for host, want := range map[string]string{"Alices-MacBook.local": "alices-macbook.local", "con": "device", "CON.example": "device", "büro pc": "b-ro-pc", "--": "device"} {
		if got := NameOf(host); got != want {
			t.Errorf("%q became %q, want %q", host, got, want)
		}
	}
}

func FuzzNameOf(f *testing.F) {
	f.Add("Alice's PC")
	f.Add("0-")
	f.Fuzz(func(t *testing.T, s string) {
		if name := NameOf(s); !ValidName(name) || ValidName(s) && name != s {
			t.Errorf("%q became %q", s, name)
		}
	})
}
