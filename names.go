package hufu

import (
	"slices"
	"strings"
)

// MaxName is the longest name of a user or device, in bytes.
const MaxName = 32

// maxCertified is the same for a name in a certificate that exists.
const maxCertified = 64

// ValidName reports whether s can be the name of a new user or device: 1 to
// MaxName of a–z, 0–9, '.', '_' and '-', beginning with a letter or a digit, not
// ending with a dot, and none of the names that Windows reserves, because a
// folder of this name must be possible everywhere.
func ValidName(s string) bool {
	return len(s) <= MaxName && s == asciiLower(s) && spelled(s)
}

// ValidCertifiedName reports whether s can be a name in an existing
// certificate. The rule was wider once, and such certificates are kept: capital
// letters, and up to 64 bytes.
func ValidCertifiedName(s string) bool { return len(s) <= maxCertified && spelled(s) }

// CheckUserName returns an error unless name can be a new user's.
func CheckUserName(name string) error { return checkName(name, "user_name") }

// CheckDeviceName returns an error unless name can be a new device's.
func CheckDeviceName(name string) error { return checkName(name, "device_name") }

func checkName(name, code string) error {
	if ValidName(name) {
		return nil
	}
	shown := name
	if len(shown) > maxCertified { // it may be anything
		shown = strings.ToValidUTF8(shown[:maxCertified], "") + "…"
	}
	return &Error{Op: "check name", Kind: KindInvalid, Code: code, Args: map[string]string{"name": shown}}
}

// NameOf makes a valid name of any text, such as the name of a computer. A valid
// name stays as it is.
func NameOf(s string) string {
	if ValidName(s) {
		return s
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		case spelledWith(r):
			return r
		}
		return '-'
	}, s)
	s = strings.Trim(s, ".-_")
	s = strings.TrimRight(s[:min(len(s), MaxName)], ".-_")
	if !ValidName(s) { // nothing is left, or Windows reserves it
		return "device"
	}
	return s
}

func spelledWith(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-'
}

func spelled(s string) bool {
	s = asciiLower(s)
	if s == "" || strings.ContainsAny(s[:1], "._-") || strings.HasSuffix(s, ".") {
		return false
	}
	if strings.ContainsFunc(s, func(r rune) bool { return !spelledWith(r) }) {
		return false
	}
	first, _, _ := strings.Cut(s, ".")
	if slices.Contains([]string{"con", "prn", "aux", "nul"}, first) {
		return false
	}
	numbered := len(first) == 4 && (first[:3] == "com" || first[:3] == "lpt") && first[3] >= '0' && first[3] <= '9'
	return !numbered
}

// asciiLower leaves letters such as the Kelvin sign alone, which strings.ToLower
// makes into a–z.
func asciiLower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c - 'A' + 'a'
		}
	}
	return string(b)
}
