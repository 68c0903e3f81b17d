package hufu

import (
	"errors"
	"fmt"
)

// Kind sorts errors by their meaning to the user. The list is closed: each kind
// has one exit status, one wire code and one text in each language.
type Kind uint8

// The kinds. Comments give the exit status of hufu.
const (
	KindInternal    Kind = iota + 1 // 1: a defect, or an unforeseen error
	KindUsage                       // 2: the command or the configuration is wrong
	KindInvalid                     // 2: a value that cannot be used
	KindInvalidPath                 // 2: a path that cannot be
	KindNotFound                    // 3
	KindPermission                  // 4: this subject may not
	KindQuota                       // 4: no space left, or a quota
	KindExists                      // 1: an entry already exists
	KindNotEmpty                    // 1: a folder with something in it
	KindWrongKind                   // 1: a folder where a file was expected, or the like
	KindChanged                     // 1: the source or the target changed meanwhile
	KindUnsupported                 // 1: the target cannot hold this name or kind
	KindUnreadable                  // 1: reading or writing a local file failed
	KindNetwork                     // 5: no connection, or it broke; try again
	KindUnavailable                 // 5: the server is stopping or overloaded; try again
	KindProtocol                    // 5: the peer broke the protocol
	KindRefused                     // 6: our certificate was refused
	KindCredentials                 // 6: wrong password, or the login has ended
	KindUnproven                    // 7: the server is not the intended one
	KindIntegrity                   // 8: bytes differ from their digest
	KindNothingToDo                 // 9: with --error-on-no-transfer
	KindRateLimit                   // 10: too many attempts; wait
	KindCanceled                    // 130: the user stopped it
	kindEnd
)

// Kinds lists every kind, for tables that must miss none.
func Kinds() []Kind {
	var all []Kind
	for k := KindInternal; k < kindEnd; k++ {
		all = append(all, k)
	}
	return all
}

var kindNames = [...]string{
	"", "internal", "usage", "invalid", "invalid_path", "not_found", "permission", "quota", "exists", "not_empty",
	"wrong_kind", "changed", "unsupported", "unreadable", "network", "unavailable", "protocol", "refused",
	"credentials", "unproven", "integrity", "nothing_to_do", "rate_limit", "canceled",
}

// String returns the name of the kind as used on the wire, in logs and in
// --json output.
func (k Kind) String() string {
	if k == 0 || int(k) >= len(kindNames) {
		return "unknown"
	}
	return kindNames[k]
}

// ParseKind is the inverse of String; an unknown name is KindInternal.
func ParseKind(s string) Kind {
	for i, n := range kindNames {
		if n == s && i > 0 {
			return Kind(i)
		}
	}
	return KindInternal
}

// Exit returns the exit status of a program that ends because of an error of this
// kind.
func (k Kind) Exit() int {
	switch k {
	case KindUsage, KindInvalid, KindInvalidPath:
		return 2
	case KindNotFound:
		return 3
	case KindPermission, KindQuota:
		return 4
	case KindNetwork, KindUnavailable, KindProtocol:
		return 5
	case KindRefused, KindCredentials:
		return 6
	case KindUnproven:
		return 7
	case KindIntegrity:
		return 8
	case KindNothingToDo:
		return 9
	case KindRateLimit:
		return 10
	case KindCanceled:
		return 130
	default:
		return 1
	}
}

// Error holds the operation, the path and the kind of a failure.
type Error struct {
	Op   string // the operation, for the operator's log: "stage chunk 14"
	Path string // its path, as the reader knows it
	Kind Kind
	// Code names the text in the catalogues ("error.<Code>"), "" for the
	// text of the kind itself ("error.<kind>"); Args fill its placeholders.
	// Kind, Path, Code and Args may cross the wire, Op and Err never do.
	Code string
	Args map[string]string
	Far  bool // the other end of the connection has met it
	Err  error
}

func (e *Error) Error() string {
	s := e.Kind.String()
	if e.Code != "" {
		s = e.Code
	}
	if e.Path != "" {
		s = fmt.Sprintf("%q: %s", e.Path, s)
	}
	if e.Op != "" {
		s = e.Op + ": " + s
	}
	for k, v := range e.Args {
		s += fmt.Sprintf(" %s=%q", k, v)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of the first Error in err's chain, KindInternal if there
// is none, and 0 for nil.
func KindOf(err error) Kind {
	if err == nil {
		return 0
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return KindInternal
}

// CodeOf returns the code of the first Error in err's chain, or its kind's name.
func CodeOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok && e.Code != "" {
		return e.Code
	}
	return KindOf(err).String()
}
