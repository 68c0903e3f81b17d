package frame

import (
	"errors"
	"strings"
	"unicode/utf8"

	"hufu"
)

// Hello is the first frame of a connection: what the client speaks and, if it has one, the token
// of its login.
type Hello struct {
	Version  uint     `cbor:"1,keyasint"`
	Features []string `cbor:"2,keyasint"`
	Token    []byte   `cbor:"3,keyasint,omitempty"`
	Program  string   `cbor:"4,keyasint,omitempty"` // name and version, for the log
	Padding  []byte   `cbor:"5,keyasint,omitempty"` // ignored; only enlarges the congestion window
	Pad      uint16   `cbor:"6,keyasint,omitempty"` // bytes of padding wanted in the answer
}

// HelloAnswer says what both ends speak from now on, and which user and device the certificate
// names.
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
	Nodes    []string `cbor:"14,keyasint,omitempty"` // of FeatureNodes: where the other servers of the installation say that they are
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
		Brief bool   `cbor:"4,keyasint,omitempty"` // without mode, digest and uploader, except for folders
		On    bool   `cbor:"5,keyasint,omitempty"` // the page before this one came over this connection
		Modes bool   `cbor:"6,keyasint,omitempty"` // with mode, even in brief
	}
	// ListAnswer holds some of them; frames with more follow. The last frame of a
	// page says where the next begins.
	ListAnswer struct {
		Entries []Entry `cbor:"1,keyasint"`
		Next    []byte  `cbor:"2,keyasint,omitempty"` // the After of the next request; empty on the last page
	}
	// Mkdir makes a folder, with its parents if asked.
	Mkdir struct {
		Path    Path   `cbor:"1,keyasint"`
		Mode    uint32 `cbor:"2,keyasint"`
		Parents bool   `cbor:"3,keyasint,omitempty"`
	}
	// MkdirAnswer reports whether it was made or was there.
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
		Version string `cbor:"4,keyasint,omitempty"` // the version that must be there; empty for any
	}
	// SetMetaAnswer says that they are durable. They make a new version of a file.
	SetMetaAnswer struct {
		Version string `cbor:"1,keyasint,omitempty"`
	}
	// Remove takes a name away.
	Remove struct {
		Path      Path   `cbor:"1,keyasint"`
		Recursive bool   `cbor:"2,keyasint,omitempty"`
		Version   string `cbor:"3,keyasint,omitempty"` // the version that must be there; empty for any
	}
	// RemoveAnswer says that it is durably gone.
	RemoveAnswer struct{}
	// Rename moves a name.
	Rename struct {
		From      Path      `cbor:"1,keyasint"`
		To        Path      `cbor:"2,keyasint"`
		Condition Condition `cbor:"3,keyasint"`
		Version   string    `cbor:"4,keyasint,omitempty"` // the version that must be at From; empty for any
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
	// Get asks for a whole file of at most 1 MiB. A client that names a version and its digest
	// gets only the bytes, without an Entry.
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
	// OpenAnswer names the upload and its chunks that have arrived, in ascending order. Nothing
	// is said of chunks that are missing.
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
	// Copy copies a file within the server, of exactly this version if there is one.
	Copy struct {
		From      Path      `cbor:"1,keyasint"`
		To        Path      `cbor:"2,keyasint"`
		Condition Condition `cbor:"3,keyasint"`
		Version   string    `cbor:"4,keyasint,omitempty"`
		Mode      *uint32   `cbor:"5,keyasint,omitempty"` // instead of the one of From
		MTime     *int64    `cbor:"6,keyasint,omitempty"` // likewise
	}
	// CopyAnswer describes the copy.
	CopyAnswer struct {
		Entry Entry `cbor:"1,keyasint"`
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
func (*Copy) Type() Type          { return TypeCopy }
func (*CopyAnswer) Type() Type    { return TypeCopy.Answer() }
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
