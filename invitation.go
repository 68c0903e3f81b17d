package hufu

import (
	"crypto/sha256"
	"encoding/base32"
	"net/netip"
	"strconv"
	"strings"
)

// Sizes of the parts of an invitation, in bytes. The secret is as long as the
// fingerprint: 160 bits, a whole number of base32 letters, so that each value
// has one spelling.
const (
	InvitationFingerprint = 20
	InvitationSecret      = 20
	maxInvitation         = 512
	maxPasted             = 4096 // including the text around it
)

const (
	invitationScheme = "hufu1"
	invitationCheck  = 4 // letters
)

var invitationLetters = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Invitation is all that a new computer needs to find a server, to know it from
// an impostor, and to be let in once. Its text is a single shell word:
//
//	hufu1_<host>_<port>_<root fingerprint>_<secret>_<check>
//
// Fingerprint and secret are lower-case base32, the check is the first four
// base32 letters of SHA-256 over everything before it, the underscore included.
// The check finds typing errors; it is no protection against an adversary.
type Invitation struct {
	Host        string // DNS name, IPv4 or IPv6 address without brackets
	Port        int
	Fingerprint []byte // first InvitationFingerprint bytes of SHA-256 of the root certificate's DER
	Secret      string // base32, InvitationSecret bytes
}

// Check returns an error unless every field fits the text form.
func (v Invitation) Check() error {
	switch {
	case !ValidHost(v.Host):
		return &Error{Op: "check invitation", Kind: KindInvalid, Code: "invitation_host", Args: map[string]string{"host": v.Host}}
	case v.Port < 1 || v.Port > 65535, len(v.Fingerprint) != InvitationFingerprint, !validLetters(v.Secret, InvitationSecret):
		return &Error{Op: "check invitation", Kind: KindInvalid, Code: "invitation_mistyped"}
	}
	return nil
}

// String returns the code. It means something only if Check finds nothing.
func (v Invitation) String() string {
	s := strings.Join([]string{
		invitationScheme, v.Host, strconv.Itoa(v.Port),
		invitationLetters.EncodeToString(v.Fingerprint), v.Secret,
	}, "_") + "_"
	return s + checkLetters(s)
}

// ParseInvitation is the inverse of String. It accepts the code as mail, chats
// and terminals leave it: wrapped, indented, in quotation marks, after a word
// such as a prompt. Characters that cannot be in a code are dropped; the check
// guards the rest. Every error is invitation_mistyped and repeats nothing of
// the code, which holds a secret.
func ParseInvitation(s string) (Invitation, error) {
	mistyped := &Error{Op: "parse invitation", Kind: KindInvalid, Code: "invitation_mistyped"}
	if len(s) > maxPasted {
		return Invitation{}, mistyped
	}
	s = bareInvitation(s)
	if len(s) > maxInvitation {
		return Invitation{}, mistyped
	}
	f := strings.Split(s, "_")
	if len(f) != 6 || f[0] != invitationScheme {
		return Invitation{}, mistyped
	}
	if f[5] != checkLetters(s[:len(s)-len(f[5])]) {
		return Invitation{}, mistyped
	}
	port, err := strconv.Atoi(f[2])
	if err != nil || strconv.Itoa(port) != f[2] {
		return Invitation{}, mistyped
	}
	fp, err := invitationLetters.DecodeString(f[3])
	if err != nil {
		return Invitation{}, mistyped
	}
	v := Invitation{Host: f[1], Port: port, Fingerprint: fp, Secret: f[4]}
	if v.Check() != nil || v.String() != s {
		return Invitation{}, mistyped
	}
	return v, nil
}

// UnfinishedInvitation reports whether s is the beginning of a code, of which more
// lines may follow.
func UnfinishedInvitation(s string) bool {
	f := strings.Split(bareInvitation(s), "_")
	return len(s) <= maxPasted && f[0] == invitationScheme && len(f) > 1 && (len(f) < 6 || len(f) == 6 && len(f[5]) < invitationCheck)
}

// bareInvitation returns s without anything before the code and without
// characters that cannot be in one.
func bareInvitation(s string) string {
	if i := strings.Index(s, invitationScheme+"_"); i > 0 && !invitationByte(rune(s[i-1])) {
		s = s[i:]
	}
	s = strings.Map(func(r rune) rune {
		if invitationByte(r) {
			return r
		}
		return -1
	}, s)
	return strings.TrimRight(s, ".:-")
}

func invitationByte(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._:-", r)
}

// EncodeSecret spells InvitationSecret random bytes as an invitation carries
// them.
func EncodeSecret(random [InvitationSecret]byte) string {
	return invitationLetters.EncodeToString(random[:])
}

func checkLetters(s string) string {
	sum := sha256.Sum256([]byte(s))
	return invitationLetters.EncodeToString(sum[:5])[:invitationCheck]
}

func validLetters(s string, size int) bool {
	b, err := invitationLetters.DecodeString(s)
	return err == nil && len(b) == size && invitationLetters.EncodeToString(b) == s
}

// ValidHost reports whether s can be the host in a certificate and in a code:
// an IP address in its usual form, without a zone, or a host name of letters,
// digits and inner hyphens.
func ValidHost(s string) bool {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Zone() == "" && a.String() == s
	}
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '-' {
				return false
			}
		}
	}
	return true
}

// Loopback reports whether host leads to the computer on which it is used.
func Loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
