package second

// The types of docs/protocol.md that this client uses.
const (
	tHello   = 0x0001
	tLogin   = 0x0002
	tLogout  = 0x0003
	tStat    = 0x0004
	tList    = 0x0005
	tDevices = 0x0015
	tMkdir   = 0x0006
	tSetMeta = 0x0008
	tRemove  = 0x0009
	tRename  = 0x000a
	tDigest  = 0x000b
	tPut     = 0x000c
	tGet     = 0x000d
	tOpen    = 0x000e
	tRange   = 0x000f
	tCommit  = 0x0010
	tRead    = 0x0012
	tEnroll  = 0x0040
	tWhy     = 0x0042
	tError   = 0xff00
	tGoodbye = 0xff01
	tCancel  = 0xff04
	answer   = 0x8000
)

type (
	empty struct{}

	hello struct {
		Version  uint     `cbor:"1,keyasint"`
		Features []string `cbor:"2,keyasint"`
		Token    []byte   `cbor:"3,keyasint,omitempty"`
		Program  string   `cbor:"4,keyasint,omitempty"`
		Later    string   `cbor:"64,keyasint,omitempty"` // a key that no server knows
	}

	// Hello is what the server says of itself and of us.
	Hello struct {
		Version  uint     `cbor:"1,keyasint"`
		Features []string `cbor:"2,keyasint"`
		User     string   `cbor:"3,keyasint,omitempty"`
		Device   string   `cbor:"4,keyasint,omitempty"`
		LoggedIn bool     `cbor:"5,keyasint,omitempty"`
		Requests uint     `cbor:"6,keyasint"`
		Bytes    uint     `cbor:"7,keyasint"`
		Teach    uint     `cbor:"8,keyasint,omitempty"`
		Program  string   `cbor:"9,keyasint,omitempty"`
		Time     int64    `cbor:"10,keyasint"`
		Instance []byte   `cbor:"11,keyasint"`
		Why      *Failure `cbor:"12,keyasint,omitempty"`
	}

	login struct {
		User     string `cbor:"1,keyasint"`
		Password string `cbor:"2,keyasint"`
	}
	token struct {
		Token []byte `cbor:"1,keyasint"`
	}

	// Failure is the server's error.
	Failure struct {
		Kind string            `cbor:"1,keyasint"`
		Code string            `cbor:"2,keyasint,omitempty"`
		Args map[string]string `cbor:"3,keyasint,omitempty"`
		Path []byte            `cbor:"4,keyasint,omitempty"`
	}
	goodbye struct {
		Reason Failure `cbor:"1,keyasint"`
	}

	// Entry is one name.
	Entry struct {
		Name    []byte `cbor:"1,keyasint,omitempty"`
		Kind    uint   `cbor:"2,keyasint"`
		Size    int64  `cbor:"3,keyasint,omitempty"`
		MTime   int64  `cbor:"4,keyasint,omitempty"`
		Mode    uint   `cbor:"5,keyasint,omitempty"`
		Digest  []byte `cbor:"6,keyasint,omitempty"`
		Target  []byte `cbor:"7,keyasint,omitempty"`
		By      string `cbor:"8,keyasint,omitempty"`
		Version string `cbor:"9,keyasint,omitempty"`
	}
	// Condition is what a change expects of the name it takes.
	Condition struct {
		Kind    uint   `cbor:"1,keyasint"`
		Version string `cbor:"2,keyasint,omitempty"`
	}

	list struct {
		Path  []byte `cbor:"1,keyasint"`
		Limit uint   `cbor:"2,keyasint,omitempty"`
		After []byte `cbor:"3,keyasint,omitempty"`
	}
	cancel struct {
		Request uint64 `cbor:"1,keyasint"`
	}
	rename struct {
		From      []byte    `cbor:"1,keyasint"`
		To        []byte    `cbor:"2,keyasint"`
		Condition Condition `cbor:"3,keyasint"`
	}
	setMeta struct {
		Path  []byte `cbor:"1,keyasint"`
		Mode  uint   `cbor:"2,keyasint"`
		MTime int64  `cbor:"3,keyasint"`
	}
	newVersion struct {
		Version string `cbor:"1,keyasint,omitempty"`
	}

	onPath struct {
		Path []byte `cbor:"1,keyasint"`
	}
	oneEntry struct {
		Entry Entry `cbor:"1,keyasint"`
	}
	entries struct {
		Entries []Entry `cbor:"1,keyasint"`
		Next    []byte  `cbor:"2,keyasint,omitempty"`
	}
	mkdir struct {
		Path    []byte `cbor:"1,keyasint"`
		Mode    uint   `cbor:"2,keyasint"`
		Parents bool   `cbor:"3,keyasint,omitempty"`
	}
	created struct {
		Created bool `cbor:"1,keyasint,omitempty"`
	}
	remove struct {
		Path      []byte `cbor:"1,keyasint"`
		Recursive bool   `cbor:"2,keyasint,omitempty"`
		Version   string `cbor:"3,keyasint,omitempty"`
	}
	put struct {
		Path      []byte    `cbor:"1,keyasint"`
		Mode      uint      `cbor:"2,keyasint"`
		MTime     int64     `cbor:"3,keyasint"`
		Digest    []byte    `cbor:"4,keyasint"`
		Condition Condition `cbor:"5,keyasint"`
	}
	version struct {
		Version string `cbor:"1,keyasint,omitempty"`
	}
	get struct {
		Path    []byte `cbor:"1,keyasint"`
		Version string `cbor:"2,keyasint,omitempty"`
		Digest  []byte `cbor:"3,keyasint,omitempty"`
	}
	open struct {
		Path   []byte `cbor:"1,keyasint"`
		Size   int64  `cbor:"2,keyasint"`
		Source string `cbor:"3,keyasint"`
	}
	opened struct {
		Upload string `cbor:"1,keyasint"`
		Unit   uint   `cbor:"2,keyasint"`
		Runs   []run  `cbor:"3,keyasint,omitempty"`
	}
	run struct {
		First int64  `cbor:"1,keyasint"`
		CVs   []byte `cbor:"2,keyasint"`
	}
	oneRange struct {
		Upload string `cbor:"1,keyasint"`
		Index  int64  `cbor:"2,keyasint"`
		CV     []byte `cbor:"3,keyasint"`
		Hole   bool   `cbor:"4,keyasint,omitempty"`
	}
	commit struct {
		Upload    string    `cbor:"1,keyasint"`
		Path      []byte    `cbor:"2,keyasint"`
		Digest    []byte    `cbor:"3,keyasint"`
		Mode      uint      `cbor:"4,keyasint"`
		MTime     int64     `cbor:"5,keyasint"`
		Condition Condition `cbor:"6,keyasint"`
	}
	read struct {
		Path    []byte `cbor:"1,keyasint"`
		Version string `cbor:"2,keyasint"`
		Index   int64  `cbor:"3,keyasint"`
	}
	chunk struct {
		CV   []byte `cbor:"1,keyasint"`
		Hole bool   `cbor:"2,keyasint,omitempty"`
	}
	enroll struct {
		Secret   string `cbor:"1,keyasint"`
		CSR      []byte `cbor:"2,keyasint"`
		Password string `cbor:"3,keyasint"`
		Device   string `cbor:"4,keyasint"`
	}
	enrolled struct {
		User   string   `cbor:"1,keyasint"`
		Device string   `cbor:"2,keyasint"`
		Chain  [][]byte `cbor:"3,keyasint"`
	}
	why struct {
		Error *Failure `cbor:"1,keyasint,omitempty"`
		Time  int64    `cbor:"2,keyasint"`
	}
)

func (f *Failure) Error() string { return "server: " + f.Kind + " " + f.Code }

// Conditions.
var (
	Absent = Condition{Kind: 1}
	Always = Condition{Kind: 3}
)
