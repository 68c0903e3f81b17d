package account

import (
	"strings"
	"unicode/utf8"

	"hufu"
)

// Limits of passwords and of reasons for a revocation, in bytes but for MinPassword.
const (
	MinPassword = 8 // characters, of a new one
	MaxPassword = 1024
	MaxReason   = 200
)

// CheckPassword returns an error if password is empty or longer than MaxPassword bytes.
func CheckPassword(password string) error {
	switch {
	case password == "":
		return &hufu.Error{Op: "check password", Kind: hufu.KindInvalid, Code: "password_missing"}
	case len(password) > MaxPassword:
		return &hufu.Error{Op: "check password", Kind: hufu.KindInvalid, Code: "password_too_long"}
	}
	return nil
}

// CheckNewPassword is CheckPassword for one that is set: it also needs
// MinPassword characters. One that was set before that rule still logs in.
func CheckNewPassword(password string) error {
	if err := CheckPassword(password); err != nil {
		return err
	}
	if utf8.RuneCountInString(password) < MinPassword {
		return &hufu.Error{Op: "check password", Kind: hufu.KindInvalid, Code: "password_short"}
	}
	return nil
}

func checkReason(reason string) error {
	if len(reason) <= MaxReason && utf8.ValidString(reason) && hufu.Printable(reason) == reason {
		return nil
	}
	return &hufu.Error{Op: "check reason", Kind: hufu.KindInvalid, Code: "reason_unprintable"}
}

// clip shortens a foreign string for an error.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}
