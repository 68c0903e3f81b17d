package identity

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"hufu"
)

// Step is one step of a verification as explained to users: the seven of the
// classic explanation, then 8 name, 9 usage and 10 revocation. What, Why and
// Fix are keys of the catalogues (Fix is empty for a step that passed), Args
// fill their placeholders. Steps that cannot be judged because an earlier one
// failed are left out.
type Step struct {
	Side string            `json:"side"` // whose certificate: "server" or "client"
	Step int               `json:"step"`
	OK   bool              `json:"ok"`
	What string            `json:"what"`
	Why  string            `json:"why"`
	Fix  string            `json:"fix"`
	Args map[string]string `json:"-"`
}

// The steps; the first seven are the original's.
const (
	stepPresented = iota + 1 // chain, validity, subject
	stepLookFor              // its issuer among the trusted
	stepFound                // or refused
	stepCAKey                // and whether it may sign
	stepSignature
	stepHash
	stepTrust // and the key agreed
	stepName
	stepUsage
	stepRevoked
)

// Explanation holds the facts for explaining a verification: of a live
// connection, as Probe collects them, or of certificates in files.
type Explanation struct {
	Server, Client []*Certificate // presented chains, leaf first
	Roots          []*Certificate
	Issuing        []*Certificate // known to the verifier besides the roots
	Host           string         // the name the server must prove; empty: not asked (files)
	CommonName     bool
	State          *tls.ConnectionState // of a live connection, nil for files
	// Failed is the reason why this side rejected the server, Refused the
	// reason why the server rejected this side, best from the enrollment
	// protocol; Accepted says that the server accepted it.
	Failed, Refused *hufu.Error
	Accepted        bool
	// Revoked answers for a certificate: why it is no longer welcome, or nil.
	Revoked func(serial string, fingerprint [32]byte) error
	Now     time.Time // zero: now
}

// Probe performs a handshake over conn and collects the facts to explain, even if the handshake
// fails; the error is the handshake's. The returned connection is nil if there was no handshake
// at all; the caller still closes conn. Without roots and certificate, the certificates of any
// server are collected and refused. In TLS 1.3 a refusal by the server shows at the first read
// only: the caller continues to speak and sets Refused or Accepted.
func Probe(ctx context.Context, conn net.Conn, c Client) (*tls.Conn, Explanation, error) {
	in := Explanation{Roots: c.Roots, Host: c.Host, CommonName: c.CommonName}
	if c.Now != nil {
		in.Now = c.Now()
	}
	cfg, err := c.probeConfig()
	if err != nil {
		return nil, in, err
	}
	if c.Certificate != nil {
		own, err := c.Certificate()
		if err != nil {
			return nil, in, err
		}
		for _, der := range own.Certificate {
			cert, err := ParseCert(der)
			if err != nil {
				return nil, in, err
			}
			in.Client = append(in.Client, cert)
		}
	}
	secure := tls.Client(conn, cfg)
	err = Handshake(ctx, secure, cfg)
	state := secure.ConnectionState()
	in.State, in.Server = &state, state.PeerCertificates
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		in.Server = e.UnverifiedCertificates
	}
	if e := Classify(err, true); e != nil {
		switch e.Kind {
		case hufu.KindUnproven:
			in.Failed = e
		case hufu.KindRefused:
			in.Refused = e
		}
		return secure, in, e
	}
	return secure, in, nil
}

// probeConfig returns Config. For a client without roots and certificate it
// returns a configuration that collects the server's certificates and refuses
// them.
func (c Client) probeConfig() (*tls.Config, error) {
	if len(c.Roots) > 0 || c.Certificate != nil {
		return c.Config()
	}
	cfg, err := clientConfig(c.Host, ProtoEnroll, nil, c.Now)
	if err != nil {
		return nil, err
	}
	verifyOurselves(cfg, func(presented []*Certificate) error {
		issuer := "-"
		if n := len(presented); n > 0 {
			issuer = presented[n-1].Issuer.String()
		}
		return refuse(sideServer, reasonUnknownCA, map[string]string{"issuer": issuer}, nil)
	})
	return cfg, nil
}

// Explain explains the verification of each side that has a chain, step by
// step. It judges by itself, in the order of the explanation; a fault that only
// the other side or TLS has found (a wrong clock, a revocation) is put at its
// step.
func Explain(in Explanation) []Step {
	if in.Now.IsZero() {
		in.Now = time.Now()
	}
	var steps []Step
	if len(in.Server) > 0 || in.State != nil {
		steps = in.explain(sideServer, in.Server, in.Failed)
	}
	if len(in.Client) > 0 || (in.State != nil && in.State.NegotiatedProtocol != ProtoEnroll) {
		steps = append(steps, in.explain(sideClient, in.Client, in.Refused)...)
	}
	return steps
}

// Verdict returns the result of the steps: KindUnproven if the server's side
// failed, else KindRefused if the client's did, else 0.
func Verdict(steps []Step) hufu.Kind {
	var verdict hufu.Kind
	for _, s := range steps {
		switch {
		case s.OK:
		case s.Side == string(sideServer):
			return hufu.KindUnproven
		default:
			verdict = hufu.KindRefused
		}
	}
	return verdict
}

// teller collects the steps of one side.
type teller struct {
	side  side
	steps []Step
}

func (t *teller) tell(n int, ok bool, result string, args map[string]string) {
	s := Step{Side: string(t.side), Step: n, OK: ok, What: "explain.step." + strconv.Itoa(n), Args: args}
	if t.side == sideClient && (n == stepName || n == stepRevoked) {
		s.What += ".client"
	}
	s.Why = "explain." + strconv.Itoa(n) + "." + result
	if !ok {
		s.Fix = s.Why + "." + string(t.side) + ".fix"
	}
	t.steps = append(t.steps, s)
}

func (t *teller) failed() bool {
	return slices.ContainsFunc(t.steps, func(s Step) bool { return !s.OK })
}

func (in Explanation) explain(s side, chain []*Certificate, told *hufu.Error) []Step {
	t := &teller{side: s}
	if len(chain) == 0 {
		t.tell(stepPresented, false, "none", nil)
		t.add(told)
		return t.steps
	}
	r := rules{side: s, commonName: in.CommonName}
	path, anchored := in.climb(chain)
	in.tellValidity(t, path)
	if in.tellIssuer(t, path, anchored) {
		in.tellSignatures(t, path)
	}
	if !t.failed() {
		in.tellTrust(t, r, chain)
	}
	in.tellName(t, r, chain[0])
	switch leaf := chain[0]; {
	case leaf.IsCA:
		t.tell(stepUsage, false, "is_ca", map[string]string{"subject": subjectText(leaf.Subject)})
	case !r.rightUse(leaf):
		t.tell(stepUsage, false, "wrong_use", map[string]string{"usage": usageNames(leaf)})
	default:
		t.tell(stepUsage, true, "ok", map[string]string{"usage": usageNames(leaf)})
	}
	in.tellRevocation(t, chain[0])
	t.add(told)
	return t.steps
}

// climb goes from the leaf to an anchor: by name and, among several of one
// name, to the one whose key matches. A flaw on the way does not stop it,
// because the flaw is what must be explained.
func (in Explanation) climb(chain []*Certificate) (path []*Certificate, anchored bool) {
	anchors := slices.Concat(in.Roots, in.Issuing)
	path = []*Certificate{chain[0]}
	for len(path) < 10 {
		child := path[len(path)-1]
		next := issuerOf(child, anchors)
		if next != nil {
			return append(path, next), true
		}
		next = issuerOf(child, chain[1:])
		if next == nil || slices.ContainsFunc(path, next.Equal) {
			return path, false
		}
		path = append(path, next)
	}
	return path, false
}

func issuerOf(child *Certificate, among []*Certificate) *Certificate {
	var named *Certificate
	for _, c := range among {
		if !slices.Equal(c.RawSubject, child.RawIssuer) || otherKey(child, c) {
			continue
		}
		if c.CheckSignature(child.SignatureAlgorithm, child.RawTBSCertificate, child.Signature) == nil {
			return c
		}
		if named == nil {
			named = c
		}
	}
	return named
}

// otherKey reports that child names the key that signed it, and it is not
// this CA's: another CA that merely has the same name.
func otherKey(child, ca *Certificate) bool {
	return len(child.AuthorityKeyId) > 0 && len(ca.SubjectKeyId) > 0 && !slices.Equal(child.AuthorityKeyId, ca.SubjectKeyId)
}

func (in Explanation) tellValidity(t *teller, path []*Certificate) {
	for _, c := range path {
		if e := checkTime(t.side, c, in.Now); e != nil {
			t.tell(stepPresented, false, strings.TrimPrefix(e.Code, string(t.side)+"_"), e.Args)
			return
		}
	}
	leaf := path[0]
	t.tell(stepPresented, true, "ok", map[string]string{
		"subject": subjectText(leaf.Subject), "serial": Serial(leaf),
		"not_before": stamp(leaf.NotBefore), "not_after": stamp(leaf.NotAfter),
	})
}

// tellIssuer explains steps 2 and 3, and reports whether there is anything to
// check the leaf's signature with.
func (in Explanation) tellIssuer(t *teller, path []*Certificate, anchored bool) bool {
	var trusted []string
	for _, c := range in.Roots {
		trusted = append(trusted, subjectText(c.Subject))
	}
	top := path[len(path)-1]
	args := map[string]string{
		"subject": subjectText(path[0].Subject), "issuer": subjectText(path[0].Issuer), "missing": subjectText(top.Issuer),
		"trusted": strings.Join(trusted, "; "),
	}
	if len(trusted) == 0 {
		args["trusted"] = "-"
	}
	t.tell(stepLookFor, true, "ok", args)
	switch {
	case anchored:
		args["anchor"], args["fingerprint"] = subjectText(top.Subject), FingerprintHex(top)
		t.tell(stepFound, true, "ok", args)
	case len(in.Roots)+len(in.Issuing) == 0:
		t.tell(stepFound, false, "no_trust", args)
	case slices.Equal(path[0].RawIssuer, path[0].RawSubject):
		t.tell(stepFound, false, "self_signed", args)
	case slices.ContainsFunc(slices.Concat(in.Roots, in.Issuing), func(c *Certificate) bool {
		return slices.Equal(c.RawSubject, top.RawIssuer)
	}):
		t.tell(stepFound, false, "same_name", args)
	default:
		t.tell(stepFound, false, "unknown", args)
	}
	return anchored
}

// tellSignatures covers steps 4 to 6, for each link of the chain.
func (in Explanation) tellSignatures(t *teller, path []*Certificate) {
	links := path[1:]
	for _, ca := range links {
		args := map[string]string{"issuer": subjectText(ca.Subject), "key": keyName(ca.PublicKey)}
		v1 := in.CommonName && ca.Version == 1 && slices.ContainsFunc(in.Roots, ca.Equal)
		switch {
		case !v1 && (!ca.BasicConstraintsValid || !ca.IsCA), !maySign(ca):
			t.tell(stepCAKey, false, "not_ca", args)
			return
		case weakKey(ca.PublicKey) != "":
			t.tell(stepCAKey, false, "weak", args)
			return
		}
	}
	t.tell(stepCAKey, true, "ok", map[string]string{"issuer": subjectText(links[0].Subject), "key": keyName(links[0].PublicKey)})
	for i, ca := range links {
		child := path[i]
		args := map[string]string{"subject": subjectText(child.Subject), "issuer": subjectText(ca.Subject), "what": child.SignatureAlgorithm.String()}
		if weakSignature(child.SignatureAlgorithm) {
			// Such a signature says nothing, whether it fits or not.
			t.tell(stepHash, false, "weak", args)
			return
		}
		if ca.CheckSignature(child.SignatureAlgorithm, child.RawTBSCertificate, child.Signature) != nil {
			t.tell(stepSignature, false, "altered", args)
			return
		}
	}
	t.tell(stepSignature, true, "ok", map[string]string{
		"issuer": subjectText(links[0].Subject), "what": path[0].SignatureAlgorithm.String(),
	})
	t.tell(stepHash, true, "ok", map[string]string{"what": path[0].SignatureAlgorithm.String(), "hash": signedHash(path[0])})
}

// tellTrust covers step 7: what no other step has asked is asked of Go's
// verifier, so that nothing is called trusted that would be refused.
func (in Explanation) tellTrust(t *teller, r rules, chain []*Certificate) {
	leaf := chain[0]
	args := map[string]string{"subject": subjectText(leaf.Subject), "key": keyName(leaf.PublicKey)}
	if weakKey(leaf.PublicKey) != "" {
		t.tell(stepTrust, false, "weak", args)
		return
	}
	err := r.verify(chain, slices.Concat(in.Roots, in.Issuing), in.Now)
	if e, ok := errors.AsType[*hufu.Error](err); ok {
		switch stepOf(e) {
		case stepName, stepUsage: // explained at their own steps
		default:
			args["cause"] = e.Error()
			if e.Err != nil {
				args["cause"] = e.Err.Error()
			}
			t.tell(stepTrust, false, "rule", args)
			return
		}
	}
	if in.State == nil || !in.State.HandshakeComplete {
		t.tell(stepTrust, true, "ok", args)
		return
	}
	s := Describe(*in.State)
	args["version"], args["cipher"], args["key_exchange"] = s.Version, s.Cipher, s.KeyExchange
	if s.PostQuantum {
		t.tell(stepTrust, true, "ok_post_quantum", args)
	} else {
		t.tell(stepTrust, true, "ok_classic", args)
	}
}

func (in Explanation) tellName(t *teller, r rules, leaf *Certificate) {
	args := map[string]string{"host": in.Host, "names": namesOr(leaf), "subject": subjectText(leaf.Subject)}
	if t.side == sideClient {
		p, err := peerOf(leaf)
		args["user"], args["device"] = p.User, p.Device
		switch {
		case err != nil, p.User == "" && !in.CommonName:
			t.tell(stepName, false, "no_name", args)
		case p.User == "":
			t.tell(stepName, true, "by_certificate", args)
		default:
			t.tell(stepName, true, "user", args)
		}
		return
	}
	if in.Host == "" {
		t.tell(stepName, true, "not_asked", args)
		return
	}
	e, ok := errors.AsType[*hufu.Error](r.checkName(leaf, in.Host))
	switch {
	case ok && strings.HasSuffix(e.Code, reasonCommonName):
		t.tell(stepName, false, "cn_only", args)
	case ok:
		t.tell(stepName, false, "wrong_name", args)
	case !hasSAN(leaf):
		t.tell(stepName, true, "by_cn", args)
	default:
		t.tell(stepName, true, "ok", args)
	}
}

func (in Explanation) tellRevocation(t *teller, leaf *Certificate) {
	args := map[string]string{"serial": Serial(leaf), "not_after": stamp(leaf.NotAfter)}
	if in.Revoked != nil {
		if e, ok := errors.AsType[*hufu.Error](in.Revoked(Serial(leaf), Fingerprint(leaf))); ok {
			t.put(stepRevoked, e)
			return
		}
		t.tell(stepRevoked, true, "ok", args)
		return
	}
	switch {
	case t.side == sideServer:
		t.tell(stepRevoked, true, "short_lived", args)
	case in.Accepted:
		t.tell(stepRevoked, true, "accepted", args)
	default:
		t.tell(stepRevoked, true, "not_asked", args)
	}
}

// add puts the fault that the other side or TLS reported at its step, unless
// this side has found a fault that explains it.
func (t *teller) add(told *hufu.Error) {
	if told == nil {
		return
	}
	if n := stepOf(told); !t.failed() {
		t.put(n, told)
	}
}

// put sets the step n, or adds it, as failed for the reason of e.
func (t *teller) put(n int, e *hufu.Error) {
	code := e.Code
	if code == "" {
		code = e.Kind.String()
	}
	args := e.Args
	t.steps = slices.DeleteFunc(t.steps, func(s Step) bool { return s.Step == n })
	t.tell(n, false, "", args)
	last := &t.steps[len(t.steps)-1]
	last.Why, last.Fix = "error."+code, "error."+code+".fix"
	slices.SortStableFunc(t.steps, func(a, b Step) int { return a.Step - b.Step })
}

// stepOf returns the step that an error of this package belongs to; an unknown
// error belongs to the last step, whether the certificate is still accepted.
func stepOf(e *hufu.Error) int {
	_, reason, _ := strings.Cut(e.Code, "_")
	switch reason {
	case reasonNone, reasonExpired, reasonNotYet:
		return stepPresented
	case reasonUnknownCA, reasonWrongRoot:
		return stepFound
	case reasonBadIssuer:
		return stepCAKey
	case reasonSignature:
		return stepSignature
	case reasonWeak, reasonNoKey, reasonBad, reasonResumed:
		return stepTrust
	case reasonWrongName, reasonCommonName, reasonNoName:
		return stepName
	case reasonWrongUse, reasonIsCA:
		return stepUsage
	}
	return stepRevoked
}
