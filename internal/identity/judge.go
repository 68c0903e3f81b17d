package identity

import (
	"crypto"
	_ "crypto/sha256" // for signedHash
	_ "crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"hufu"
)

// side is whose certificate is being judged.
type side string

const (
	sideServer side = "server"
	sideClient side = "client"
)

// Why a certificate is not accepted. The code of the error is the side, an
// underscore and the reason; each has its text in the catalogues.
const (
	reasonNone       = "no_certificate"
	reasonUnknownCA  = "unknown_ca"
	reasonExpired    = "expired"
	reasonNotYet     = "not_yet_valid"
	reasonWrongName  = "wrong_name"
	reasonCommonName = "name_in_cn_only"
	reasonNoName     = "no_name"
	reasonWrongUse   = "wrong_use"
	reasonWeak       = "weak"
	reasonIsCA       = "is_ca"
	reasonBadIssuer  = "bad_issuer"
	reasonSignature  = "bad_signature"
	reasonWrongRoot  = "wrong_root"
	reasonNoKey      = "no_key"
	reasonResumed    = "resumed"
	reasonBad        = "bad_certificate"
)

// refuse returns the error for a certificate that is not accepted: a server's is
// unproven, a client's refused.
func refuse(s side, reason string, args map[string]string, err error) *hufu.Error {
	kind := hufu.KindUnproven
	if s == sideClient {
		kind = hufu.KindRefused
	}
	return &hufu.Error{
		Op: "verify the " + string(s) + "'s certificate", Kind: kind, Code: string(s) + "_" + reason, Args: args, Err: err,
	}
}

// rules are the requirements for a chain beyond those of Go's verifier.
type rules struct {
	side       side
	commonName bool // an operator's CA: X.509 v1, no usage, no hufu name
}

// examine judges a verified chain, leaf first and trust anchor last. Go alone
// accepts the CA itself, CA:TRUE leaves, RSA 1024 and certificates without a
// usage.
func (r rules) examine(chain []*Certificate) *hufu.Error {
	if len(chain) == 1 {
		// the trust anchor itself
		return refuse(r.side, reasonIsCA, map[string]string{"subject": subjectText(chain[0].Subject)}, nil)
	}
	for i, c := range chain {
		if what := weakKey(c.PublicKey); what != "" {
			return refuse(r.side, reasonWeak, map[string]string{"what": what, "subject": subjectText(c.Subject)}, nil)
		}
		// Nothing rests on the anchor's signature of itself.
		if i < len(chain)-1 && weakSignature(c.SignatureAlgorithm) {
			return refuse(r.side, reasonWeak,
				map[string]string{"what": c.SignatureAlgorithm.String(), "subject": subjectText(c.Subject)}, nil)
		}
	}
	leaf := chain[0]
	switch {
	case leaf.IsCA:
		return refuse(r.side, reasonIsCA, map[string]string{"subject": subjectText(leaf.Subject)}, nil)
	case !r.rightUse(leaf):
		return refuse(r.side, reasonWrongUse, map[string]string{"usage": usageNames(leaf)}, nil)
	case leaf.SerialNumber == nil || leaf.SerialNumber.Sign() <= 0 || leaf.SerialNumber.BitLen() > 8*20:
		return refuse(r.side, reasonBad, nil, errors.New("serial number out of range"))
	case leaf.Version != 3 && !r.commonName:
		return refuse(r.side, reasonBad, nil, errors.New("not X.509 version 3"))
	}
	if r.side == sideClient {
		p, err := peerOf(leaf)
		if err != nil || (p.User == "" && !r.commonName) {
			return refuse(r.side, reasonNoName, nil, err)
		}
	}
	return nil
}

// rightUse reports whether a certificate has exactly the usage of this side: a
// certificate valid for both would let a client pose as the server.
func (r rules) rightUse(leaf *Certificate) bool {
	if leaf.KeyUsage != 0 && leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return false
	}
	want, other := x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth
	if r.side == sideClient {
		want, other = other, want
	}
	if len(leaf.ExtKeyUsage) == 0 && len(leaf.UnknownExtKeyUsage) == 0 {
		return r.commonName
	}
	return slices.Contains(leaf.ExtKeyUsage, want) && !slices.Contains(leaf.ExtKeyUsage, other) &&
		!slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny)
}

func weakSignature(a x509.SignatureAlgorithm) bool {
	return !slices.Contains([]x509.SignatureAlgorithm{
		x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA,
		x509.SHA256WithRSAPSS, x509.SHA384WithRSAPSS, x509.SHA512WithRSAPSS,
		x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512, x509.PureEd25519,
	}, a)
}

// checkName asks whether the certificate is host's. The common name counts
// only on the operator's word and if there is no other name.
func (r rules) checkName(leaf *Certificate, host string) error {
	args := map[string]string{"host": host, "names": namesOr(leaf)}
	if !hasSAN(leaf) && leaf.Subject.CommonName != "" {
		switch {
		case !strings.EqualFold(leaf.Subject.CommonName, host):
			return refuse(r.side, reasonWrongName, args, nil)
		case !r.commonName:
			return refuse(r.side, reasonCommonName, args, nil)
		}
		return nil
	}
	if err := leaf.VerifyHostname(host); err != nil {
		return refuse(r.side, reasonWrongName, args, err)
	}
	return nil
}

// namesOr lists a certificate's names for a text; a dash means none.
func namesOr(c *Certificate) string {
	if names := hostNames(c); len(names) > 0 {
		return strings.Join(names, ", ")
	}
	return "-"
}

func hasSAN(c *Certificate) bool {
	san := asn1.ObjectIdentifier{2, 5, 29, 17}
	return slices.ContainsFunc(c.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(san) })
}

// verify is Go's verifier with our rules after it, for the places where the
// handshake does not run it by itself.
func (r rules) verify(presented []*Certificate, anchors []*Certificate, at time.Time) error {
	if len(presented) == 0 {
		return refuse(r.side, reasonNone, nil, nil)
	}
	usage := x509.ExtKeyUsageServerAuth
	if r.side == sideClient {
		usage = x509.ExtKeyUsageClientAuth
	}
	chains, err := presented[0].Verify(x509.VerifyOptions{
		Roots: pool(anchors), Intermediates: pool(presented[1:]), CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{usage},
	})
	if err != nil {
		return fromX509(r.side, err)
	}
	return nilOr(r.examineAny(chains))
}

// examineAny accepts if one of the chains that lead to an anchor is good. The
// leaf is the same in all of them.
func (r rules) examineAny(chains [][]*Certificate) *hufu.Error {
	if len(chains) == 0 {
		return refuse(r.side, reasonUnknownCA, map[string]string{"issuer": "-"}, nil)
	}
	var first *hufu.Error
	for _, chain := range chains {
		err := r.examine(chain)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// nilOr keeps a nil *hufu.Error from becoming an error that is not nil.
func nilOr(err *hufu.Error) error {
	if err == nil {
		return nil
	}
	return err
}

func pool(certs []*Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range certs {
		p.AddCert(c)
	}
	return p
}

// verifyOurselves is the only place that switches Go's own verification off:
// for operators' certificates with the name in CN alone, and for enrollment,
// where the root is known by its fingerprint only. Go then runs nothing but
// verify, so verify must judge chain, time, usage and name.
func verifyOurselves(cfg *tls.Config, verify func(presented []*Certificate) error) {
	cfg.InsecureSkipVerify = true
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		if cs.DidResume {
			return refuse(sideServer, reasonResumed, nil, nil)
		}
		if err := verify(cs.PeerCertificates); err != nil {
			return err
		}
		return checkALPN(cfg, cs)
	}
}

func fromX509(s side, err error) *hufu.Error {
	if e, ok := errors.AsType[*hufu.Error](err); ok {
		return e
	}
	if e, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return fromUnknown(s, e)
	}
	if e, ok := errors.AsType[x509.HostnameError](err); ok && e.Certificate != nil {
		if r := (rules{side: s}).checkName(e.Certificate, e.Host); r != nil {
			return r.(*hufu.Error) //nolint:errorlint,forcetypeassert // checkName makes nothing else
		}
		return refuse(s, reasonWrongName, map[string]string{"host": e.Host, "names": "-"}, err)
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		return fromInvalid(s, e)
	}
	if _, ok := errors.AsType[x509.ConstraintViolationError](err); ok {
		return refuse(s, reasonBadIssuer, map[string]string{"issuer": "-"}, err)
	}
	if e, ok := errors.AsType[x509.InsecureAlgorithmError](err); ok {
		return refuse(s, reasonWeak, map[string]string{"what": x509.SignatureAlgorithm(e).String(), "subject": "-"}, err)
	}
	return refuse(s, reasonBad, nil, err)
}

// fromUnknown finds the cause of Go's "unknown authority", which also covers a
// CA that is known but did not or may not sign; only the text of the error
// shows that.
func fromUnknown(s side, e x509.UnknownAuthorityError) *hufu.Error {
	args := map[string]string{"issuer": "?"}
	if e.Cert != nil {
		args["issuer"] = subjectText(e.Cert.Issuer)
		if weakSignature(e.Cert.SignatureAlgorithm) {
			return refuse(s, reasonWeak,
				map[string]string{"what": e.Cert.SignatureAlgorithm.String(), "subject": subjectText(e.Cert.Subject)}, e)
		}
	}
	text := e.Error()
	for hint, reason := range map[string]string{
		"parent certificate cannot sign": reasonBadIssuer,
		"not authorized to sign":         reasonBadIssuer,
		"too many intermediates":         reasonBadIssuer,
		"has expired or is not yet":      reasonBadIssuer,
		"verification error":             reasonSignature,
		"verification failure":           reasonSignature,
	} {
		if strings.Contains(text, hint) {
			return refuse(s, reason, args, e)
		}
	}
	return refuse(s, reasonUnknownCA, args, e)
}

func fromInvalid(s side, e x509.CertificateInvalidError) *hufu.Error {
	switch e.Reason {
	case x509.Expired:
		// Go has one reason for both ends; its detail names the clock it used.
		now := time.Time{}
		if _, rest, ok := strings.Cut(e.Detail, "current time "); ok {
			clock, _, _ := strings.Cut(rest, " ")
			now, _ = time.Parse(time.RFC3339, clock)
		}
		switch {
		case e.Cert == nil:
			return refuse(s, reasonBad, nil, e)
		case e.Cert.IsCA:
			return refuse(s, reasonBadIssuer, map[string]string{"issuer": subjectText(e.Cert.Subject)}, e)
		}
		return checkTime(s, e.Cert, now)
	case x509.IncompatibleUsage:
		usage := "-"
		if e.Cert != nil {
			usage = usageNames(e.Cert)
		}
		return refuse(s, reasonWrongUse, map[string]string{"usage": usage}, e)
	case x509.NotAuthorizedToSign, x509.TooManyIntermediates, x509.CANotAuthorizedForThisName,
		x509.CANotAuthorizedForExtKeyUsage, x509.NameConstraintsWithoutSANs, x509.UnconstrainedName:
		args := map[string]string{"issuer": "-"}
		if e.Cert != nil {
			args["issuer"] = subjectText(e.Cert.Subject)
		}
		return refuse(s, reasonBadIssuer, args, e)
	}
	return refuse(s, reasonBad, nil, e)
}

// checkTime returns which end of its validity a certificate misses at now; the
// distance helps the owner of a wrong clock.
func checkTime(s side, c *Certificate, now time.Time) *hufu.Error {
	args := map[string]string{
		"not_before": stamp(c.NotBefore), "not_after": stamp(c.NotAfter), "now": stamp(now), "subject": subjectText(c.Subject),
	}
	switch {
	case now.Before(c.NotBefore):
		args["by"] = c.NotBefore.Sub(now).Round(time.Second).String()
		return refuse(s, reasonNotYet, args, nil)
	case now.After(c.NotAfter):
		args["by"] = now.Sub(c.NotAfter).Round(time.Second).String()
		return refuse(s, reasonExpired, args, nil)
	}
	return nil
}

// maySign reports whether a certificate that restricts its key's use at all
// allows signing certificates with it.
func maySign(c *Certificate) bool {
	return c.KeyUsage == 0 || c.KeyUsage&x509.KeyUsageCertSign != 0
}

// signedHash returns the hash that the issuer has signed, in hex.
func signedHash(c *Certificate) string {
	hash := crypto.SHA256
	switch c.SignatureAlgorithm {
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		hash = crypto.SHA384
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512, x509.PureEd25519:
		hash = crypto.SHA512 // Ed25519 hashes more than the certificate; this part is what people can compare
	}
	h := hash.New()
	h.Write(c.RawTBSCertificate)
	return hex.EncodeToString(h.Sum(nil))
}

// stamp returns a time as written in the arguments of an error. A text for a user shows it in
// local time.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
