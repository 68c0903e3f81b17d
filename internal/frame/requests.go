package frame

import (
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"hufu"
)

// Hello is the first frame of a connection: what the client speaks and, on all
// but the first connection, the token of its login.
type Hello struct {
	Version  uint     `cbor:"1,keyasint"`
	Features []string `cbor:"2,keyasint"`
	Token    []byte   `cbor:"3,keyasint,omitempty"`
	Program  string   `cbor:"4,keyasint,omitempty"` // name and version, for the log
	Padding  []byte   `cbor:"5,keyasint,omitempty"` // nothing: opens the window of the connection
	Pad      uint16   `cbor:"6,keyasint,omitempty"` // how much of it the answer is to have
}

// HelloAnswer says what both ends speak from now on and whom the server sees.
type HelloAnswer struct {
	Version  uint     `cbor:"1,keyasint"`
	Features []string `cbor:"2,keyasint"`
	User     string   `cbor:"3,keyasint,omitempty"`
	Device   string   `cbor:"4,keyasint,omitempty"`
	LoggedIn bool     `cbor:"5,keyasint,omitempty"`
	Requests uint32   `cbor:"6,keyasint"`           // most unanswered requests
	Bytes    uint32   `cbor:"7,keyasint"`           // most answer bytes asked for and not yet received
	Teach    uint16   `cbor:"8,keyasint,omitempty"` // port of the teaching listener, 0 if there is none
	Program  string   `cbor:"9,keyasint,omitempty"`
	Time     int64    `cbor:"10,keyasint"`           // the server's clock
	Instance []byte   `cbor:"11,keyasint"`           // 16 bytes, new at every start of the server
	Why      *Error   `cbor:"12,keyasint,omitempty"` // why a token was not good
	Padding  []byte   `cbor:"13,keyasint,omitempty"`
}

// Login proves the second factor.
type Login struct {
	User     string `cbor:"1,keyasint"`
	Password string `cbor:"2,keyasint"`
}

// LoginAnswer gives the token, which is bound to the client's certificate.
type LoginAnswer struct {
	Token []byte `cbor:"1,keyasint"`
}

type (
	// Logout ends the login of this connection's token.
	Logout struct{}
	// LogoutAnswer says that it has ended.
	LogoutAnswer struct{}
	// Stat asks what stands under a name.
	Stat struct {
		Path Path `cbor:"1,keyasint"`
	}
	// StatAnswer tells it.
	StatAnswer struct {
		Entry Entry `cbor:"1,keyasint"`
	}
	// List asks for the entries of a folder: all of them in any order, or a page of
	// them in the order of their names.
	List struct {
		Path  Path   `cbor:"1,keyasint"`
		Limit uint32 `cbor:"2,keyasint,omitempty"` // entries in a page, 0 for all
		After []byte `cbor:"3,keyasint,omitempty"` // the name before the page's first
	}
	// ListAnswer holds some of them; frames with more follow. The last frame of a
	// page says where the next begins.
	ListAnswer struct {
		Entries []Entry `cbor:"1,keyasint"`
		Next    []byte  `cbor:"2,keyasint,omitempty"` // to ask for as After, if there are more
	}
	// Mkdir makes a folder, with its parents if asked.
	Mkdir struct {
		Path    Path   `cbor:"1,keyasint"`
		Mode    uint32 `cbor:"2,keyasint"`
		Parents bool   `cbor:"3,keyasint,omitempty"`
	}
	// MkdirAnswer says whether it was made or was there.
	MkdirAnswer struct {
		Created bool `cbor:"1,keyasint,omitempty"`
	}
	// Link makes a symbolic link, as data.
	Link struct {
		Path      Path      `cbor:"1,keyasint"`
		Target    []byte    `cbor:"2,keyasint"`
		MTime     int64     `cbor:"3,keyasint"`
		Condition Condition `cbor:"4,keyasint"`
	}
	// LinkAnswer says that the link is durable.
	LinkAnswer struct{}
	// SetMeta sets mode and time of a file or folder.
	SetMeta struct {
		Path    Path   `cbor:"1,keyasint"`
		Mode    uint32 `cbor:"2,keyasint"`
		MTime   int64  `cbor:"3,keyasint"`
		Version string `cbor:"4,keyasint,omitempty"` // that is to be there; empty for any
	}
	// SetMetaAnswer says that they are durable. They make a new version of a file.
	SetMetaAnswer struct {
		Version string `cbor:"1,keyasint,omitempty"`
	}
	// Remove takes a name away.
	Remove struct {
		Path      Path   `cbor:"1,keyasint"`
		Recursive bool   `cbor:"2,keyasint,omitempty"`
		Version   string `cbor:"3,keyasint,omitempty"` // that is to be there; empty for any
	}
	// RemoveAnswer says that it is durably gone.
	RemoveAnswer struct{}
	// Rename moves a name.
	Rename struct {
		From      Path      `cbor:"1,keyasint"`
		To        Path      `cbor:"2,keyasint"`
		Condition Condition `cbor:"3,keyasint"`
		Version   string    `cbor:"4,keyasint,omitempty"` // that is to be at From; empty for any
	}
	// RenameAnswer says that it has durably moved. That makes a new version of a
	// file.
	RenameAnswer struct {
		Version string `cbor:"1,keyasint,omitempty"`
	}
	// Digest asks the server to read a file and hash it.
	Digest struct {
		Path Path `cbor:"1,keyasint"`
	}
	// DigestAnswer holds the entry with the digest of the bytes just read.
	DigestAnswer struct {
		Entry Entry `cbor:"1,keyasint"`
	}
	// Put carries a whole file of at most 1 MiB in its raw bytes.
	Put struct {
		Path      Path      `cbor:"1,keyasint"`
		Mode      uint32    `cbor:"2,keyasint"`
		MTime     int64     `cbor:"3,keyasint"`
		Digest    []byte    `cbor:"4,keyasint"`
		Condition Condition `cbor:"5,keyasint"`
	}
	// PutAnswer says that the file is durable under its name.
	PutAnswer struct {
		Version string `cbor:"1,keyasint,omitempty"`
	}
	// Get asks for a whole file of at most 1 MiB. Who knows the digest of a
	// version names both, and is told nothing but the bytes.
	Get struct {
		Path    Path   `cbor:"1,keyasint"`
		Version string `cbor:"2,keyasint,omitempty"` // as listed; empty for any
		Digest  []byte `cbor:"3,keyasint,omitempty"` // of that version
	}
	// GetAnswer describes the raw bytes, unless their digest was named.
	GetAnswer struct {
		Entry *Entry `cbor:"1,keyasint,omitempty"`
	}
	// Open begins or resumes the upload of a file of more than 1 MiB.
	Open struct {
		Path   Path   `cbor:"1,keyasint"`
		Size   int64  `cbor:"2,keyasint"`
		Source string `cbor:"3,keyasint"` // the sender's version of the file
	}
	// OpenAnswer names the upload and what of it is there, in ascending order.
	// Nothing is said of chunks that are missing.
	OpenAnswer struct {
		Upload string `cbor:"1,keyasint"`
		Unit   uint32 `cbor:"2,keyasint"` // bytes of a range
		Runs   []Run  `cbor:"3,keyasint,omitempty"`
	}
	// Run is chunks that are there one after the other: the index of the first,
	// and their chaining values, 32 bytes each.
	Run struct {
		First int64  `cbor:"1,keyasint"`
		CVs   []byte `cbor:"2,keyasint"`
	}
	// Range carries one chunk of an upload in its raw bytes, or says that it
	// is all zeros.
	Range struct {
		Upload string `cbor:"1,keyasint"`
		Index  int64  `cbor:"2,keyasint"`
		CV     []byte `cbor:"3,keyasint"`
		Hole   bool   `cbor:"4,keyasint,omitempty"`
	}
	// RangeAnswer says that the chunk was received whole.
	RangeAnswer struct{}
	// Commit gives the upload its name.
	Commit struct {
		Upload    string    `cbor:"1,keyasint"`
		Path      Path      `cbor:"2,keyasint"`
		Digest    []byte    `cbor:"3,keyasint"`
		Mode      uint32    `cbor:"4,keyasint"`
		MTime     int64     `cbor:"5,keyasint"`
		Condition Condition `cbor:"6,keyasint"`
	}
	// CommitAnswer says that the file is durable under its name.
	CommitAnswer struct {
		Entry Entry `cbor:"1,keyasint"`
	}
	// Abandon drops an unfinished upload.
	Abandon struct {
		Upload string `cbor:"1,keyasint"`
	}
	// AbandonAnswer says that it is gone.
	AbandonAnswer struct{}
	// Read asks for one chunk of one version of a file.
	Read struct {
		Path    Path   `cbor:"1,keyasint"`
		Version string `cbor:"2,keyasint"`
		Index   int64  `cbor:"3,keyasint"`
	}
	// ReadAnswer describes the raw bytes, or says that they are all zeros.
	ReadAnswer struct {
		CV   []byte `cbor:"1,keyasint"`
		Hole bool   `cbor:"2,keyasint,omitempty"`
	}
	// Space asks how much room there is.
	Space struct {
		Path Path `cbor:"1,keyasint"`
	}
	// SpaceAnswer tells it, in bytes.
	SpaceAnswer struct {
		Free  int64 `cbor:"1,keyasint"`
		Total int64 `cbor:"2,keyasint"`
	}
	// Enroll trades an invitation's secret for a certificate.
	Enroll struct {
		Secret   string `cbor:"1,keyasint"`
		CSR      []byte `cbor:"2,keyasint"`
		Password string `cbor:"3,keyasint"`
		Device   string `cbor:"4,keyasint"`
	}
	// EnrollAnswer holds the certificate, the issuing CA's and the root.
	EnrollAnswer struct {
		User   string   `cbor:"1,keyasint"`
		Device string   `cbor:"2,keyasint"`
		Chain  [][]byte `cbor:"3,keyasint"`
	}
	// Renew trades a certificate, valid or within its grace time, for a new one.
	Renew struct {
		CSR []byte `cbor:"1,keyasint"`
	}
	// RenewAnswer holds the new chain.
	RenewAnswer struct {
		Chain [][]byte `cbor:"1,keyasint"`
	}
	// Why asks why the certificate presented on this connection is refused.
	Why struct{}
	// WhyAnswer tells it; without an error the certificate is good.
	WhyAnswer struct {
		Error *Error `cbor:"1,keyasint,omitempty"`
		Time  int64  `cbor:"2,keyasint"`
	}
	// Error answers a request that failed.
	Error struct {
		Kind string            `cbor:"1,keyasint"`
		Code string            `cbor:"2,keyasint,omitempty"`
		Args map[string]string `cbor:"3,keyasint,omitempty"`
		Path Path              `cbor:"4,keyasint,omitempty"`
	}
	// Goodbye is the last thing a server says, and why.
	Goodbye struct {
		Reason Error `cbor:"1,keyasint"`
	}
	// Working says that an answer takes long but is being worked on.
	Working struct{}
	// Changed says that something below a folder has changed.
	Changed struct {
		Path Path `cbor:"1,keyasint"`
	}
	// Cancel says that nobody wants the answer to a request any more. Requests are
	// counted from 0 on each connection.
	Cancel struct {
		Request uint64 `cbor:"1,keyasint"`
	}
)

// WireError is the public part of err: kind, code and arguments, made to fit
// their limits, so that no reason is lost because of its length.
func WireError(err error) *Error {
	w := &Error{Kind: hufu.KindOf(err).String()}
	e, ok := errors.AsType[*hufu.Error](err)
	if !ok {
		return w
	}
	w.Code = fit(e.Code, MaxName)
	for k, v := range e.Args {
		if len(w.Args) < MaxArgs && len(k) <= MaxName && utf8.ValidString(k) {
			if w.Args == nil {
				w.Args = make(map[string]string, len(e.Args))
			}
			w.Args[k] = fit(v, MaxText)
		}
	}
	return w
}

// fit makes s valid UTF-8 of at most n bytes.
func fit(s string, n int) string {
	if s = strings.ToValidUTF8(s, "\uFFFD"); len(s) > n {
		s = strings.ToValidUTF8(s[:n], "")
	}
	return s
}

// Err turns the wire form into an error on the reader's side.
func (e *Error) Err(op string) *hufu.Error {
	return &hufu.Error{Op: op, Kind: hufu.ParseKind(e.Kind), Code: e.Code, Args: e.Args, Path: string(e.Path), Far: true}
}

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
func isSecret(s string, n int) bool { return s != "" && len(s) <= n && utf8.ValidString(s) }

func (*Hello) Type() Type         { return TypeHello }
func (*HelloAnswer) Type() Type   { return TypeHello.Answer() }
func (*Login) Type() Type         { return TypeLogin }
func (*LoginAnswer) Type() Type   { return TypeLogin.Answer() }
func (*Logout) Type() Type        { return TypeLogout }
func (*LogoutAnswer) Type() Type  { return TypeLogout.Answer() }
func (*Stat) Type() Type          { return TypeStat }
func (*StatAnswer) Type() Type    { return TypeStat.Answer() }
func (*List) Type() Type          { return TypeList }
func (*ListAnswer) Type() Type    { return TypeList.Answer() }
func (*Mkdir) Type() Type         { return TypeMkdir }
func (*MkdirAnswer) Type() Type   { return TypeMkdir.Answer() }
func (*Link) Type() Type          { return TypeLink }
func (*LinkAnswer) Type() Type    { return TypeLink.Answer() }
func (*SetMeta) Type() Type       { return TypeSetMeta }
func (*SetMetaAnswer) Type() Type { return TypeSetMeta.Answer() }
func (*Remove) Type() Type        { return TypeRemove }
func (*RemoveAnswer) Type() Type  { return TypeRemove.Answer() }
func (*Rename) Type() Type        { return TypeRename }
func (*RenameAnswer) Type() Type  { return TypeRename.Answer() }
func (*Digest) Type() Type        { return TypeDigest }
func (*DigestAnswer) Type() Type  { return TypeDigest.Answer() }
func (*Put) Type() Type           { return TypePut }
func (*PutAnswer) Type() Type     { return TypePut.Answer() }
func (*Get) Type() Type           { return TypeGet }
func (*GetAnswer) Type() Type     { return TypeGet.Answer() }
func (*Open) Type() Type          { return TypeOpen }
func (*OpenAnswer) Type() Type    { return TypeOpen.Answer() }
func (*Range) Type() Type         { return TypeRange }
func (*RangeAnswer) Type() Type   { return TypeRange.Answer() }
func (*Commit) Type() Type        { return TypeCommit }
func (*CommitAnswer) Type() Type  { return TypeCommit.Answer() }
func (*Abandon) Type() Type       { return TypeAbandon }
func (*AbandonAnswer) Type() Type { return TypeAbandon.Answer() }
func (*Read) Type() Type          { return TypeRead }
func (*ReadAnswer) Type() Type    { return TypeRead.Answer() }
func (*Space) Type() Type         { return TypeSpace }
func (*SpaceAnswer) Type() Type   { return TypeSpace.Answer() }
func (*Enroll) Type() Type        { return TypeEnroll }
func (*EnrollAnswer) Type() Type  { return TypeEnroll.Answer() }
func (*Renew) Type() Type         { return TypeRenew }
func (*RenewAnswer) Type() Type   { return TypeRenew.Answer() }
func (*Why) Type() Type           { return TypeWhy }
func (*WhyAnswer) Type() Type     { return TypeWhy.Answer() }
func (*Error) Type() Type         { return TypeError }
func (*Goodbye) Type() Type       { return TypeGoodbye }
func (*Working) Type() Type       { return TypeWorking }
func (*Changed) Type() Type       { return TypeChanged }
func (*Cancel) Type() Type        { return TypeCancel }

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
		m.Bytes >= MaxRaw && len(m.Instance) == 16, "hello answer"), checkFeatures(m.Features))
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
func (m *Why) check() error           { return nil }
func (m *Goodbye) check() error       { return m.Reason.check() }
func (m *Working) check() error       { return nil }
func (m *Changed) check() error       { return m.Path.check() }
func (m *Cancel) check() error        { return nil }
func (m *RenewAnswer) check() error   { return checkChain(m.Chain) }

func (m *List) check() error {
	ok := m.Limit <= MaxPage && (len(m.After) == 0 || m.Limit > 0 && hufu.CheckName(string(m.After)) == nil)
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
	ok := isUpload(m.Upload) && m.Unit == hufu.ChunkSize
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
