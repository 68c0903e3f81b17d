package frame

import (
	"errors"
	"math/bits"
	"slices"
	"unicode/utf8"

	"hufu"
)

// This file has the limits of each message beyond those of its CBOR types. A
// frame whose message fails its check ends the connection.

func checkIf(ok bool, what string) error {
	if !ok {
		return errors.New(what)
	}
	return nil
}

func checkFeatures(f []string) error {
	return checkIf(len(f) > 0 && len(f) <= MaxFeatures && !slices.ContainsFunc(f, func(s string) bool { return s == "" || len(s) > MaxName }), "features")
}

func isDigest(b []byte) bool        { return len(b) == 32 }
func isVersion(s string) bool       { return s != "" && len(s) <= MaxVersion }
func isUpload(s string) bool        { return s != "" && len(s) <= MaxName }
func isIndex(i int64) bool          { return i >= 0 && i <= hufu.MaxFileSize/hufu.ChunkSize }
func isUnit(n uint32) bool          { return n >= hufu.ChunkSize && n <= MaxUnit && bits.OnesCount32(n) == 1 }
func isSecret(s string, n int) bool { return s != "" && len(s) <= n && utf8.ValidString(s) }

func (m *Hello) check() error {
	return errors.Join(checkIf(len(m.Token) <= MaxToken && len(m.Program) <= MaxName && len(m.Padding) <= MaxPadding && m.Pad <= MaxPadding,
		"token, program or padding"), checkFeatures(m.Features))
}

func (m *HelloAnswer) check() error {
	if m.Why != nil {
		if err := m.Why.check(); err != nil {
			return err
		}
	}
	return errors.Join(checkIf(len(m.User) <= MaxName && len(m.Device) <= MaxName && len(m.Program) <= MaxName && len(m.Padding) <= MaxPadding && m.Requests > 0 &&
		m.Bytes >= MaxRaw && len(m.Instance) == 16, "hello answer"), checkFeatures(m.Features),
		checkIf(len(m.Nodes) <= MaxNodes && !slices.ContainsFunc(m.Nodes, func(s string) bool { return s == "" || len(s) > MaxAddress }), "nodes"),
		checkIf(len(m.Nodes) == 0 || slices.Contains(m.Features, FeatureNodes), "nodes without the feature"))
}

func (m *Login) check() error {
	return checkIf(isSecret(m.User, MaxName) && isSecret(m.Password, MaxPassword), "user or password")
}

func (m *LoginAnswer) check() error {
	return checkIf(len(m.Token) > 0 && len(m.Token) <= MaxToken, "token")
}
func (m *Logout) check() error        { return nil }
func (m *LogoutAnswer) check() error  { return nil }
func (m *Stat) check() error          { return m.Path.check() }
func (m *StatAnswer) check() error    { return m.Entry.check() }
func (m *MkdirAnswer) check() error   { return nil }
func (m *LinkAnswer) check() error    { return nil }
func (m *SetMetaAnswer) check() error { return checkIf(len(m.Version) <= MaxVersion, "version") }
func (m *RemoveAnswer) check() error  { return nil }
func (m *RenameAnswer) check() error  { return checkIf(len(m.Version) <= MaxVersion, "version") }
func (m *Remove) check() error {
	return errors.Join(m.Path.check(), checkIf(len(m.Version) <= MaxVersion, "version"))
}
func (m *Digest) check() error        { return m.Path.check() }
func (m *DigestAnswer) check() error  { return m.Entry.check() }
func (m *PutAnswer) check() error     { return checkIf(len(m.Version) <= MaxVersion, "version") }
func (m *RangeAnswer) check() error   { return nil }
func (m *CommitAnswer) check() error  { return m.Entry.check() }
func (m *Abandon) check() error       { return checkIf(isUpload(m.Upload), "upload") }
func (m *AbandonAnswer) check() error { return nil }
func (m *Space) check() error         { return m.Path.check() }
func (m *SpaceAnswer) check() error   { return checkIf(m.Free >= 0 && m.Total >= 0, "space") }
func (m *CopyAnswer) check() error    { return m.Entry.check() }
func (m *Copy) check() error {
	return errors.Join(m.From.check(), m.To.check(), m.Condition.check(), checkIf(len(m.Version) <= MaxVersion, "version"),
		checkIf(m.Mode == nil || *m.Mode <= 0o777, "mode"))
}
func (m *Why) check() error         { return nil }
func (m *Goodbye) check() error     { return m.Reason.check() }
func (m *Working) check() error     { return nil }
func (m *Changed) check() error     { return m.Path.check() }
func (m *Cancel) check() error      { return nil }
func (m *RenewAnswer) check() error { return checkChain(m.Chain) }

func (m *List) check() error {
	ok := m.Limit <= MaxPage && (len(m.After) == 0 || m.Limit > 0 && hufu.CheckName(string(m.After)) == nil) && (!m.On || len(m.After) > 0)
	return errors.Join(m.Path.check(), checkIf(ok, "page"))
}

func (m *ListAnswer) check() error {
	if len(m.Next) > 0 && hufu.CheckName(string(m.Next)) != nil {
		return errors.New("name of the next page")
	}
	if len(m.Entries) > MaxListEntries {
		return errors.New("number of entries")
	}
	for i := range m.Entries {
		if err := m.Entries[i].check(); err != nil {
			return err
		}
		if len(m.Entries[i].Name) == 0 {
			return errors.New("entry of a list without a name")
		}
	}
	return nil
}

func (m *Mkdir) check() error {
	return errors.Join(m.Path.check(), checkIf(m.Mode <= 0o777, "mode"))
}

func (m *Link) check() error {
	return errors.Join(m.Path.check(), m.Condition.check(), checkIf(len(m.Target) > 0 && len(m.Target) <= MaxTarget, "target"))
}

func (m *SetMeta) check() error {
	return errors.Join(m.Path.check(), checkIf(m.Mode <= 0o777 && len(m.Version) <= MaxVersion, "mode or version"))
}

func (m *Rename) check() error {
	return errors.Join(m.From.check(), m.To.check(), m.Condition.check(), checkIf(len(m.Version) <= MaxVersion, "version"))
}

func (m *Put) check() error {
	return errors.Join(m.Path.check(), m.Condition.check(), checkIf(isDigest(m.Digest) && m.Mode <= 0o777, "digest or mode"))
}

func (m *Get) check() error {
	ok := len(m.Version) <= MaxVersion && (len(m.Digest) == 0 || isDigest(m.Digest) && m.Version != "")
	return errors.Join(m.Path.check(), checkIf(ok, "version or digest"))
}

func (m *Open) check() error {
	return errors.Join(m.Path.check(), checkIf(m.Size > hufu.ChunkSize && m.Size <= hufu.MaxFileSize && isVersion(m.Source), "size or source"))
}

func (m *OpenAnswer) check() error {
	ok := isUpload(m.Upload) && isUnit(m.Unit)
	cvs, next := int64(0), int64(0)
	for _, r := range m.Runs {
		n := int64(len(r.CVs) / 32)
		ok = ok && n > 0 && len(r.CVs)%32 == 0 && r.First >= next && isIndex(r.First) && isIndex(r.First+n-1)
		cvs, next = cvs+n, r.First+n
	}
	return checkIf(ok && cvs <= MaxCVs, "open answer")
}

func (m *Range) check() error {
	return checkIf(isUpload(m.Upload) && isIndex(m.Index) && isDigest(m.CV), "range")
}

func (m *Commit) check() error {
	return errors.Join(m.Path.check(), m.Condition.check(),
		checkIf(isUpload(m.Upload) && isDigest(m.Digest) && m.Mode <= 0o777, "upload, digest or mode"))
}

func (m *Read) check() error {
	return errors.Join(m.Path.check(), checkIf(isVersion(m.Version) && isIndex(m.Index), "version or index"))
}

func (m *GetAnswer) check() error {
	if m.Entry == nil {
		return nil
	}
	return m.Entry.check()
}

func (m *ReadAnswer) check() error { return checkIf(isDigest(m.CV), "chaining value") }

func (m *Enroll) check() error {
	return checkIf(isSecret(m.Secret, MaxName) && len(m.CSR) > 0 && len(m.CSR) <= MaxCSR && isSecret(m.Password, MaxPassword) &&
		m.Device != "" && len(m.Device) <= MaxName, "enrollment")
}

func (m *EnrollAnswer) check() error {
	return errors.Join(checkChain(m.Chain), checkIf(isSecret(m.User, MaxName) && isSecret(m.Device, MaxName), "user or device"))
}

func (m *Renew) check() error { return checkIf(len(m.CSR) > 0 && len(m.CSR) <= MaxCSR, "CSR") }

func (m *WhyAnswer) check() error {
	if m.Error != nil {
		return m.Error.check()
	}
	return nil
}

func (e *Error) check() error {
	ok := e.Kind != "" && len(e.Kind) <= MaxName && len(e.Code) <= MaxName && len(e.Args) <= MaxArgs
	for k, v := range e.Args {
		ok = ok && len(k) <= MaxName && len(v) <= MaxText
	}
	return errors.Join(e.Path.check(), checkIf(ok, "error"))
}

func checkChain(chain [][]byte) error {
	ok := len(chain) > 0 && len(chain) <= MaxChain
	for _, c := range chain {
		ok = ok && len(c) > 0 && len(c) <= MaxCertificate
	}
	return checkIf(ok, "chain")
}
