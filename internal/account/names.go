package account

import (
	"slices"
	"strings"
	"unicode/utf8"

	"hufu"
)

// Limits of what people type, in bytes.
const (
	MaxName     = 32 // a user's
	MaxDevice   = 32
	MaxPassword = 1024
	MaxReason   = 200
)

// windowsNames are what Windows takes for a device whatever stands behind the
// first dot. A user's name is the name of a folder, so none may have them.
var windowsNames = []string{
	"con", "prn", "aux", "nul",
	"com0", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9",
	"lpt0", "lpt1", "lpt2", "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9",
}

// CheckUserName says whether name can be a user's: one to 32 of a–z, 0–9, '.',
// '_' and '-', beginning with a letter or a digit, not ending with a dot, and
// none of Windows' reserved names.
func CheckUserName(name string) error {
	if len(name) <= MaxName && name == strings.ToLower(name) && validName(name) {
		return nil
	}
	return &hufu.Error{Op: "check user name", Kind: hufu.KindInvalid, Code: "user_name", Args: map[string]string{"name": clip(name)}}
}

// CheckDeviceName is CheckUserName for a device.
func CheckDeviceName(name string) error {
	if len(name) <= MaxDevice && name == strings.ToLower(name) && validName(name) {
		return nil
	}
	return &hufu.Error{Op: "check device name", Kind: hufu.KindInvalid, Code: "device_name", Args: map[string]string{"name": clip(name)}}
}

// CheckPassword says whether password can be one: not empty and at most
// MaxPassword bytes. That a short one is a bad one is for the programs to say.
func CheckPassword(password string) error {
	switch {
	case password == "":
		return &hufu.Error{Op: "check password", Kind: hufu.KindInvalid, Code: "password_missing"}
	case len(password) > MaxPassword:
		return &hufu.Error{Op: "check password", Kind: hufu.KindInvalid, Code: "password_too_long"}
	}
	return nil
}

func checkReason(reason string) error {
	if len(reason) <= MaxReason && utf8.ValidString(reason) && hufu.Printable(reason) == reason {
		return nil
	}
	return &hufu.Error{Op: "check reason", Kind: hufu.KindInvalid, Code: "reason_unprintable"}
}

func validName(name string) bool {
	if name == "" || name[len(name)-1] == '.' {
		return false
	}
	for i, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || c != '.' && c != '_' && c != '-') {
			return false
		}
	}
	first, _, _ := strings.Cut(strings.ToLower(name), ".")
	return !slices.Contains(windowsNames, first)
}

// clip keeps what comes from outside short in an error.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
