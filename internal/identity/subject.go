package identity

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"
	"unicode"
	"unicode/utf8"

	"hufu"
)

const (
	maxAttribute = 64  // characters of one attribute of a subject (RFC 5280, upper bounds)
	maxEmail     = 255 // and of an e-mail address
)

// ParseSubject reads openssl's form of a subject, /C=CN/ST=GD/CN=CA, with a
// backslash before a slash or backslash that belongs to a value. The e-mail
// address, which hufu itself does not use, is kept as openssl keeps it.
func ParseSubject(s string) (pkix.Name, error) {
	bad := func(part string) (pkix.Name, error) {
		return pkix.Name{}, &hufu.Error{
			Op: "read a subject", Kind: hufu.KindUsage, Code: "subject_invalid",
			Args: map[string]string{"subject": s, "part": part},
		}
	}
	parts, ok := splitSubject(s)
	if !ok {
		return bad(s)
	}
	var name pkix.Name
	for _, part := range parts {
		key, value, ok := strings.Cut(part, "=")
		if !ok || !validAttribute(key, value) {
			return bad(part)
		}
		switch key {
		case "C":
			name.Country = append(name.Country, value)
		case "ST":
			name.Province = append(name.Province, value)
		case "L":
			name.Locality = append(name.Locality, value)
		case "O":
			name.Organization = append(name.Organization, value) //nolint:misspell // the standard library's spelling
		case "OU":
			name.OrganizationalUnit = append(name.OrganizationalUnit, value)
		case "CN":
			if name.CommonName != "" {
				return bad(part)
			}
			name.CommonName = value
		case "emailAddress":
			name.ExtraNames = append(name.ExtraNames, pkix.AttributeTypeAndValue{
				Type:  emailAddress(),
				Value: asn1.RawValue{Tag: asn1.TagIA5String, Bytes: []byte(value)},
			})
		default:
			return bad(part)
		}
	}
	return name, nil
}

func validAttribute(key, value string) bool {
	if value == "" || !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl) {
		return false
	}
	switch key {
	case "emailAddress":
		return len(value) <= maxEmail && !strings.ContainsFunc(value, func(r rune) bool { return r > unicode.MaxASCII })
	case "C":
		return len(value) == 2 && value[0] <= unicode.MaxASCII && unicode.IsLetter(rune(value[0])) &&
			value[1] <= unicode.MaxASCII && unicode.IsLetter(rune(value[1]))
	}
	return utf8.RuneCountInString(value) <= maxAttribute
}

// splitSubject cuts at unescaped slashes and takes the backslashes off.
func splitSubject(s string) (parts []string, ok bool) {
	if !strings.HasPrefix(s, "/") || len(s) > 4096 {
		return nil, false
	}
	var part strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; c {
		case '\\':
			i++
			if i == len(s) {
				return nil, false
			}
			part.WriteByte(s[i])
		case '/':
			parts = append(parts, part.String())
			part.Reset()
		default:
			part.WriteByte(c)
		}
	}
	return append(parts, part.String()), true
}

// emailAddress returns the type of an e-mail address in a subject.
func emailAddress() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}
}

// escapes are those of RFC 4514 for characters that would end a value.
var escapes = strings.NewReplacer(`\`, `\\`, `,`, `\,`, `+`, `\+`, `"`, `\"`, `<`, `\<`, `>`, `\>`, `;`, `\;`)

// subjectText returns a name as people read it. The standard library shows an e-mail address,
// which openssl recipes include, as a number and its bytes.
func subjectText(n pkix.Name) string {
	var parts []string
	rest := n
	rest.Names = nil
	for _, a := range n.Names {
		if v, ok := a.Value.(string); ok && a.Type.Equal(emailAddress()) {
			parts = append([]string{"emailAddress=" + escapes.Replace(v)}, parts...)
			continue
		}
		rest.Names = append(rest.Names, a)
	}
	if s := rest.String(); s != "" {
		parts = append([]string{s}, parts...)
	}
	return strings.Join(parts, ",")
}
