package sys

import (
	"strings"
	"unicode/utf8"

	"hufu"
)

// Naming describes how a system treats names.
type Naming struct {
	Windows bool // only a WindowsName is safe: others may mean a path, a device, a stream or another file
	Folds   bool // case does not count
}

// Check refuses names that are reserved for hufu, and names that would not
// stand for themselves on this system.
func (n Naming) Check(op string, p hufu.Path) error {
	own := p.Reserved()
	for _, seg := range p.Segments() {
		if n.Windows && !WindowsName(seg) {
			return &hufu.Error{Op: op, Path: p.String(), Kind: hufu.KindUnsupported, Code: "name_not_possible_here"}
		}
		prefix := len(hufu.ReservedPrefix)
		own = own || n.Folds && len(seg) >= prefix && strings.EqualFold(seg[:prefix], hufu.ReservedPrefix)
	}
	if own {
		return &hufu.Error{Op: op, Path: p.String(), Kind: hufu.KindInvalidPath, Code: "name_reserved"}
	}
	return nil
}

// WindowsName reports whether name names exactly one file in its folder on
// Windows. Others lead out of the folder (\ and :), to a stream of another file
// (:), to a device (NUL.txt), match several (*), or lose their end (dots and
// spaces).
func WindowsName(name string) bool {
	if name == "" || !utf8.ValidString(name) { // invalid text becomes another name
		return false
	}
	if strings.ContainsAny(name, `\/:*?"<>|`) || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' }) {
		return false
	}
	if last := name[len(name)-1]; last == '.' || last == ' ' {
		return false
	}
	base, _, _ := strings.Cut(name, ".")
	switch base = strings.ToUpper(strings.TrimRight(base, " ")); base {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$":
		return false
	}
	if len(base) > 3 && (base[:3] == "COM" || base[:3] == "LPT") {
		number := []rune(base[3:])
		return len(number) != 1 || !strings.ContainsRune("0123456789¹²³", number[0])
	}
	return true
}
