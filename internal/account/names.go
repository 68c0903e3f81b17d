package account

import (
	"strings"
	"unicode/utf8"

	"hufu"
)

// Limits of what people type, in bytes.
const (
	MaxPassword = 1024
	MaxReason   = 200
)

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

// clip keeps what comes from outside short in an error.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
