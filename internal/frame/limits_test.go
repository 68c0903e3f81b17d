package frame

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"hufu"
)

// longPath returns a path of n bytes in segments of at most 255.
func longPath(n int) Path {
	p := bytes.Repeat(append(fill('a', hufu.MaxSegment), '/'), n/(hufu.MaxSegment+1)+1)[:n]
	if p[n-1] == '/' {
		p[n-1] = 'a'
		p[n-2] = '/'
	}
	return p
}

func text(n int) string { return strings.Repeat("x", n) }

func many[T any](n int, v T) []T {
	all := make([]T, n)
	for i := range all {
		all[i] = v
	}
	return all
}

func args(n int) map[string]string {
	m := map[string]string{}
	for i := range n {
		m[strconv.Itoa(i)] = "v"
	}
	return m
}

func devices(n int, name, serial string) Message {
	return &DevicesAnswer{Devices: many(n, Device{
		Name: name, Serial: serial, Issued: -1 << 63, Expires: -1 << 63, Seen: -1 << 63, State: DeviceExpired, This: true,
	})}
}

// TestHT42Limits tries every limit of a value at the limit and one above it.
func TestHT42Limits(t *testing.T) {
	t.Parallel()
	c := NewCodec()
	d := fill(1, 32)
	always := Condition{Kind: uint8(hufu.Always)}
	file := func(e Entry) Message {
		e.Name, e.Kind = []byte("n"), uint8(hufu.File)
		return &StatAnswer{Entry: e}
	}
	features := func(f []string) Message { return &Hello{Version: 1, Features: f} }
	helloAnswer := func(change func(*HelloAnswer)) Message {
		m := &HelloAnswer{Version: 1, Features: []string{"core"}, Requests: 1, Bytes: MaxRaw, Instance: fill(0, 16)}
		change(m)
		return m
	}
	failure := func(e Error) Message {
		if e.Kind == "" {
			e.Kind = "internal"
		}
		return &e
	}
	for name, limit := range map[string]struct {
		most int
		make func(n int) Message
	}{
		"features":               {MaxFeatures, func(n int) Message { return features(many(n, "f")) }},
		"feature":                {MaxName, func(n int) Message { return features([]string{text(n)}) }},
		"padding":                {MaxPadding, func(n int) Message { return &Hello{Version: 1, Features: []string{"f"}, Padding: fill(0, n)} }},
		"padding wanted":         {MaxPadding, func(n int) Message { return &Hello{Version: 1, Features: []string{"f"}, Pad: uint16(n)} }},
		"padding of the answer":  {MaxPadding, func(n int) Message { return helloAnswer(func(m *HelloAnswer) { m.Padding = fill(0, n) }) }},
		"features of the answer": {MaxFeatures, func(n int) Message { return helloAnswer(func(m *HelloAnswer) { m.Features = many(n, "f") }) }},
		"token":                  {MaxToken, func(n int) Message { return &Hello{Version: 1, Features: []string{"f"}, Token: fill(1, n)} }},
		"token of the answer":    {MaxToken, func(n int) Message { return &LoginAnswer{Token: fill(1, n)} }},
		"program":                {MaxName, func(n int) Message { return &Hello{Version: 1, Features: []string{"f"}, Program: text(n)} }},
		"program of the answer":  {MaxName, func(n int) Message { return helloAnswer(func(m *HelloAnswer) { m.Program = text(n) }) }},
		"user of the answer":     {MaxName, func(n int) Message { return helloAnswer(func(m *HelloAnswer) { m.User = text(n) }) }},
		"device of the answer":   {MaxName, func(n int) Message { return helloAnswer(func(m *HelloAnswer) { m.Device = text(n) }) }},
		"instance":               {16, func(n int) Message { return helloAnswer(func(m *HelloAnswer) { m.Instance = fill(0, n) }) }},
		"nodes":                  {MaxNodes, func(n int) Message { return nodes(many(n, "a:1")) }},
		"address of a node":      {MaxAddress, func(n int) Message { return nodes([]string{text(n)}) }},
		"devices in a frame":     {MaxDevices, func(n int) Message { return devices(n, "d", "s") }},
		"name of a device":       {MaxName, func(n int) Message { return devices(1, text(n), "s") }},
		"serial of a device":     {MaxName, func(n int) Message { return devices(1, "d", text(n)) }},
		"device to remove":       {MaxName, func(n int) Message { return &RemoveDevice{Device: text(n), Password: "p"} }},
		"password of a removal":  {MaxPassword, func(n int) Message { return &RemoveDevice{Device: "d", Password: text(n)} }},
		"password to invite":     {MaxPassword, func(n int) Message { return &Invite{Password: text(n)} }},
		"secret of an answer":    {MaxName, func(n int) Message { return &InviteAnswer{Secret: text(n)} }},
		"user":                   {MaxName, func(n int) Message { return &Login{User: text(n), Password: "p"} }},
		"password":               {MaxPassword, func(n int) Message { return &Login{User: "u", Password: text(n)} }},
		"path":                   {hufu.MaxPath, func(n int) Message { return &Stat{Path: longPath(n)} }},
		"segment":                {hufu.MaxSegment, func(n int) Message { return &List{Path: fill('a', n)} }},
		"depth":                  {hufu.MaxDepth, func(n int) Message { return &Digest{Path: Path(strings.Repeat("a/", n-1) + "a")} }},
		"path renamed to":        {hufu.MaxPath, func(n int) Message { return &Rename{From: Path("a"), To: longPath(n), Condition: always} }},
		"path renamed from":      {hufu.MaxPath, func(n int) Message { return &Rename{From: longPath(n), To: Path("a"), Condition: always} }},
		"path of an error":       {hufu.MaxPath, func(n int) Message { return failure(Error{Path: longPath(n)}) }},
		"mode":                   {0o777, func(n int) Message { return &Mkdir{Mode: uint32(n)} }},
		"mode set":               {0o777, func(n int) Message { return &SetMeta{Mode: uint32(n)} }},
		"mode of a put":          {0o777, func(n int) Message { return &Put{Mode: uint32(n), Digest: d, Condition: always} }},
		"mode of a commit":       {0o777, func(n int) Message { return &Commit{Upload: "u", Mode: uint32(n), Digest: d, Condition: always} }},
		"mode of an entry":       {0o777, func(n int) Message { return file(Entry{Mode: uint32(n)}) }},
		"digest of a put":        {32, func(n int) Message { return &Put{Digest: fill(1, n), Condition: always} }},
		"digest of a commit":     {32, func(n int) Message { return &Commit{Upload: "u", Digest: fill(1, n), Condition: always} }},
		"digest of an entry":     {32, func(n int) Message { return file(Entry{Digest: fill(1, n)}) }},
		"digest of a get":        {32, func(n int) Message { return &Get{Version: "v", Digest: fill(1, n)} }},
		"value of a range":       {32, func(n int) Message { return &Range{Upload: "u", CV: fill(1, n)} }},
		"value read":             {32, func(n int) Message { return &ReadAnswer{CV: fill(1, n)} }},
		"value in an open answer": {32, func(n int) Message {
			return &OpenAnswer{Upload: "u", Unit: hufu.ChunkSize, Runs: []Run{{0, fill(1, n)}}}
		}},
		"values": {MaxCVs, func(n int) Message { return &OpenAnswer{Upload: "u", Unit: hufu.ChunkSize, Runs: alternate(n)} }},
		"values of a run": {MaxCVs, func(n int) Message {
			return &OpenAnswer{Upload: "u", Unit: hufu.ChunkSize, Runs: []Run{{0, fill(1, 32*n)}}}
		}},
		"unit":                    {MaxUnit, func(n int) Message { return &OpenAnswer{Upload: "u", Unit: uint32(n)} }},
		"page":                    {MaxPage, func(n int) Message { return &List{Limit: uint32(n)} }},
		"name before a page":      {hufu.MaxSegment, func(n int) Message { return &List{Limit: 1, After: fill('a', n)} }},
		"name behind a page":      {hufu.MaxSegment, func(n int) Message { return &ListAnswer{Entries: []Entry{}, Next: fill('a', n)} }},
		"target":                  {MaxTarget, func(n int) Message { return &Link{Target: fill('t', n), Condition: always} }},
		"target of an entry":      {MaxTarget, func(n int) Message { return file(Entry{Target: fill('t', n)}) }},
		"name of an entry":        {hufu.MaxSegment, func(n int) Message { return &ListAnswer{Entries: []Entry{{Name: fill('a', n), Kind: 1}}} }},
		"user of an entry":        {MaxName, func(n int) Message { return file(Entry{By: text(n)}) }},
		"version of an entry":     {MaxVersion, func(n int) Message { return file(Entry{Version: text(n)}) }},
		"kind of an entry":        {int(hufu.Other), func(n int) Message { return &StatAnswer{Entry: Entry{Kind: uint8(n)}} }},
		"size of an entry":        {hufu.MaxFileSize, func(n int) Message { return file(Entry{Size: int64(n)}) }},
		"size of a folder":        {0, func(n int) Message { return &StatAnswer{Entry: Entry{Kind: uint8(hufu.Folder), Size: int64(n)}} }},
		"entries":                 {MaxListEntries, func(n int) Message { return &ListAnswer{Entries: many(n, Entry{Name: []byte("a"), Kind: 1})} }},
		"version of a get":        {MaxVersion, func(n int) Message { return &Get{Version: text(n)} }},
		"version of a read":       {MaxVersion, func(n int) Message { return &Read{Version: text(n)} }},
		"version of a put answer": {MaxVersion, func(n int) Message { return &PutAnswer{Version: text(n)} }},
		"version to set":          {MaxVersion, func(n int) Message { return &SetMeta{Version: text(n)} }},
		"version to remove":       {MaxVersion, func(n int) Message { return &Remove{Version: text(n)} }},
		"version to rename":       {MaxVersion, func(n int) Message { return &Rename{Condition: always, Version: text(n)} }},
		"version of a setmeta":    {MaxVersion, func(n int) Message { return &SetMetaAnswer{Version: text(n)} }},
		"version of a rename":     {MaxVersion, func(n int) Message { return &RenameAnswer{Version: text(n)} }},
		"version of a condition":  {MaxVersion, func(n int) Message { return &Link{Target: d, Condition: Condition{Kind: 2, Version: text(n)}} }},
		"kind of a condition":     {int(hufu.Always), func(n int) Message { return &Rename{Condition: Condition{Kind: uint8(n)}} }},
		"size of an upload":       {hufu.MaxFileSize, func(n int) Message { return &Open{Size: int64(n), Source: "s"} }},
		"source":                  {MaxVersion, func(n int) Message { return &Open{Size: hufu.ChunkSize + 1, Source: text(n)} }},
		"upload of an answer":     {MaxName, func(n int) Message { return &OpenAnswer{Upload: text(n), Unit: hufu.ChunkSize} }},
		"upload of a range":       {MaxName, func(n int) Message { return &Range{Upload: text(n), CV: d} }},
		"upload of a commit":      {MaxName, func(n int) Message { return &Commit{Upload: text(n), Digest: d, Condition: always} }},
		"upload abandoned":        {MaxName, func(n int) Message { return &Abandon{Upload: text(n)} }},
		"index of a range":        {hufu.MaxFileSize / hufu.ChunkSize, func(n int) Message { return &Range{Upload: "u", Index: int64(n), CV: d} }},
		"index of a read":         {hufu.MaxFileSize / hufu.ChunkSize, func(n int) Message { return &Read{Version: "v", Index: int64(n)} }},
		"first of an open answer": {hufu.MaxFileSize / hufu.ChunkSize, func(n int) Message { return &OpenAnswer{Upload: "u", Unit: hufu.ChunkSize, Runs: []Run{{int64(n), d}}} }},
		"secret":                  {MaxName, func(n int) Message { return &Enroll{Secret: text(n), CSR: d, Password: "p", Device: "d"} }},
		"CSR":                     {MaxCSR, func(n int) Message { return &Enroll{Secret: "s", CSR: fill(1, n), Password: "p", Device: "d"} }},
		"CSR of a renewal":        {MaxCSR, func(n int) Message { return &Renew{CSR: fill(1, n)} }},
		"password of enrolling":   {MaxPassword, func(n int) Message { return &Enroll{Secret: "s", CSR: d, Password: text(n), Device: "d"} }},
		"device":                  {MaxName, func(n int) Message { return &Enroll{Secret: "s", CSR: d, Password: "p", Device: text(n)} }},
		"user enrolled":           {MaxName, func(n int) Message { return &EnrollAnswer{User: text(n), Device: "d", Chain: [][]byte{d}} }},
		"device enrolled":         {MaxName, func(n int) Message { return &EnrollAnswer{User: "u", Device: text(n), Chain: [][]byte{d}} }},
		"chain":                   {MaxChain, func(n int) Message { return &RenewAnswer{Chain: many(n, d)} }},
		"chain enrolled":          {MaxChain, func(n int) Message { return &EnrollAnswer{User: "u", Device: "d", Chain: many(n, d)} }},
		"certificate":             {MaxCertificate, func(n int) Message { return &RenewAnswer{Chain: [][]byte{fill(1, n)}} }},
		"kind of an error":        {MaxName, func(n int) Message { return failure(Error{Kind: text(n)}) }},
		"code of an error":        {MaxName, func(n int) Message { return failure(Error{Code: text(n)}) }},
		"arguments of an error":   {MaxArgs, func(n int) Message { return failure(Error{Args: args(n)}) }},
		"argument's name":         {MaxName, func(n int) Message { return failure(Error{Args: map[string]string{text(n): "v"}}) }},
		"argument":                {MaxText, func(n int) Message { return failure(Error{Args: map[string]string{"k": text(n)}}) }},
		"reason of a goodbye":     {MaxText, func(n int) Message { return &Goodbye{Reason: Error{Kind: "k", Args: map[string]string{"k": text(n)}}} }},
		"reason of a why answer": {MaxText, func(n int) Message {
			return &WhyAnswer{Error: &Error{Kind: "k", Args: map[string]string{"k": text(n)}}}
		}},
		"reason in a hello": {MaxText, func(n int) Message {
			return helloAnswer(func(m *HelloAnswer) { m.Why = &Error{Kind: "k", Args: map[string]string{"k": text(n)}} })
		}},
	} {
		try := func(n int) error {
			m := limit.make(n)
			b, err := c.Append(nil, m, false, 0)
			if err != nil {
				return err
			}
			if _, err = read(b); (err == nil) != (Check(m) == nil) {
				return fmt.Errorf("the sender says %w, the reader %w", Check(m), err)
			}
			return err
		}
		if err := try(limit.most); err != nil {
			t.Errorf("%s of %d: %v", name, limit.most, err)
		}
		if err := try(limit.most + 1); hufu.CodeOf(err) != "message_value" && hufu.CodeOf(err) != "message_form" {
			t.Errorf("%s of %d: %v", name, limit.most+1, err)
		}
	}
	for name, m := range map[string]Message{
		"upload of one chunk":         &Open{Size: hufu.ChunkSize, Source: "s"},
		"negative size":               file(Entry{Size: -1}),
		"negative index":              &Read{Version: "v", Index: -1},
		"unit below a chunk":          &OpenAnswer{Upload: "u", Unit: hufu.ChunkSize / 2},
		"unit between powers":         &OpenAnswer{Upload: "u", Unit: 3 * hufu.ChunkSize},
		"negative first":              &OpenAnswer{Upload: "u", Unit: hufu.ChunkSize, Runs: []Run{{-1, d}}},
		"empty run":                   &OpenAnswer{Upload: "u", Unit: hufu.ChunkSize, Runs: []Run{{0, nil}}},
		"half a value":                &OpenAnswer{Upload: "u", Unit: hufu.ChunkSize, Runs: []Run{{0, fill(1, 48)}}},
		"runs out of order":           &OpenAnswer{Upload: "u", Unit: hufu.ChunkSize, Runs: []Run{{1, d}, {0, d}}},
		"runs that overlap":           &OpenAnswer{Upload: "u", Unit: hufu.ChunkSize, Runs: []Run{{0, fill(1, 64)}, {1, d}}},
		"run over the end":            &OpenAnswer{Upload: "u", Unit: hufu.ChunkSize, Runs: []Run{{hufu.MaxFileSize / hufu.ChunkSize, fill(1, 64)}}},
		"negative space":              &SpaceAnswer{Free: -1},
		"negative total":              &SpaceAnswer{Total: -1},
		"kind 0 of an entry":          &StatAnswer{},
		"kind 0 of a condition":       &Rename{},
		"entry of a list, no name":    &ListAnswer{Entries: []Entry{{Kind: 1}}},
		"name with a slash":           &ListAnswer{Entries: []Entry{{Name: []byte("a/b"), Kind: 1}}},
		"name that is ..":             &ListAnswer{Entries: []Entry{{Name: []byte(".."), Kind: 1}}},
		"no user":                     &Login{Password: "p"},
		"no password":                 &Login{User: "u"},
		"no token":                    &LoginAnswer{},
		"empty feature":               features([]string{""}),
		"empty address of a node":     nodes([]string{""}),
		"nodes without the feature":   helloAnswer(func(m *HelloAnswer) { m.Nodes = []string{"a:1"} }),
		"no requests allowed":         helloAnswer(func(m *HelloAnswer) { m.Requests = 0 }),
		"less than a chunk asked for": helloAnswer(func(m *HelloAnswer) { m.Bytes = MaxRaw - 1 }),
		"no target":                   &Link{Condition: always},
		"no version to read":          &Read{},
		"no source":                   &Open{Size: hufu.ChunkSize + 1},
		"no upload":                   &Abandon{},
		"no secret":                   &Enroll{CSR: d, Password: "p", Device: "d"},
		"no CSR":                      &Renew{},
		"no chain":                    &RenewAnswer{},
		"empty certificate":           &RenewAnswer{Chain: [][]byte{{}}},
		"no kind of error":            &Error{},
	} {
		b, err := c.Append(nil, m, false, 0)
		if err != nil {
			t.Fatal(name, err)
		}
		if _, err := read(b); hufu.CodeOf(err) != "message_value" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// nodes is an answer with these addresses.
func nodes(at []string) Message {
	return &HelloAnswer{Version: 1, Features: []string{FeatureCore, FeatureNodes}, Requests: 1, Bytes: MaxRaw, Instance: fill(0, 16), Nodes: at}
}

// alternate is runs of one chunk each, the most that take part in n values.
func alternate(n int) []Run {
	runs := make([]Run, n)
	for i := range runs {
		runs[i] = Run{1<<29 + 2*int64(i), fill(1, 32)}
	}
	return runs
}

// TestHT42LengthsBeforeAllocation: a header is refused by its numbers alone, at
// each limit and one above it.
func TestHT42LengthsBeforeAllocation(t *testing.T) {
	t.Parallel()
	for _, k := range Types() {
		try := func(body, raw int, ok bool) {
			t.Helper()
			h, err := ParseHeader((*[HeaderSize]byte)(headed(k, 0, uint32(body), uint32(raw))))
			if (err == nil) != ok || ok && (h.Body != body || h.Raw != raw) {
				t.Errorf("%s of %d and %d: %+v, %v", k, body, raw, h, err)
			}
		}
		most := MaxBody
		if k.FromClient() {
			most = MaxRequestBody
		}
		try(most, 0, true)
		try(most+1, 0, false)
		try(0, 1, k.carriesRaw())
		try(0, MaxRaw, k.carriesRaw())
		try(0, MaxRaw+1, false)
	}
}

// TestLargestMessagesFit: no message that keeps the limits of its values is
// over the limit of its frame.
func TestLargestMessagesFit(t *testing.T) {
	t.Parallel()
	c := NewCodec()
	d := fill(1, 32)
	if1 := Condition{Kind: 2, Version: text(MaxVersion)}
	long := longPath(hufu.MaxPath)
	big := Error{Kind: text(MaxName), Code: text(MaxName), Args: map[string]string{}, Path: long}
	for i := range MaxArgs {
		big.Args[text(MaxName-2)+strconv.Itoa(10+i)] = text(MaxText)
	}
	for _, m := range []Message{
		&Hello{Version: 1, Features: many(MaxFeatures, text(MaxName)), Token: fill(1, MaxToken), Program: text(MaxName)},
		&Login{User: text(MaxName), Password: text(MaxPassword)},
		&Rename{From: long, To: long, Condition: if1},
		&Link{Path: long, Target: fill(1, MaxTarget), MTime: -1 << 63, Condition: if1},
		&Put{Path: long, Mode: 0o777, MTime: -1 << 63, Digest: d, Condition: if1},
		&Commit{Upload: text(MaxName), Path: long, Digest: d, Mode: 0o777, MTime: -1 << 63, Condition: if1},
		&Open{Path: long, Size: hufu.MaxFileSize, Source: text(MaxVersion)},
		&Enroll{Secret: text(MaxName), CSR: fill(1, MaxCSR), Password: text(MaxPassword), Device: text(MaxName)},
		&OpenAnswer{Upload: text(MaxName), Unit: hufu.ChunkSize, Runs: alternate(MaxCVs)},
		&EnrollAnswer{User: text(MaxName), Device: text(MaxName), Chain: many(MaxChain, fill(1, MaxCertificate))},
		nodes(many(MaxNodes, text(MaxAddress))),
		devices(MaxDevices, text(MaxName), text(MaxName)),
		&big,
	} {
		if err := Check(m); err != nil {
			t.Errorf("%s: %v", m.Type(), err)
		}
		if b, err := c.Append(nil, m, false, 0); err != nil {
			t.Error(err)
		} else if _, err := read(b); err != nil {
			t.Error(err)
		}
	}
	if _, err := c.Append(nil, &ListAnswer{Entries: many(MaxListEntries, Entry{Name: fill('a', hufu.MaxSegment), Kind: 1})}, false, 0); err == nil {
		t.Error("a list over the limit of a frame was written")
	}
	if _, err := c.Append(nil, &Put{Digest: d, Condition: if1}, false, MaxRaw+1); err == nil {
		t.Error("raw bytes over the limit were written")
	}
}

// TestReasonsAlwaysFit: whatever an error holds, the peer can read it.
func TestReasonsAlwaysFit(t *testing.T) {
	t.Parallel()
	c := NewCodec()
	for name, err := range map[string]error{
		"plain":          errors.New("secret"),
		"long argument":  &hufu.Error{Kind: hufu.KindInternal, Args: map[string]string{"k": strings.Repeat("é", MaxText)}},
		"odd argument":   &hufu.Error{Kind: hufu.KindExists, Args: map[string]string{"k": "a\xffb"}},
		"many arguments": &hufu.Error{Kind: hufu.KindExists, Args: args(MaxArgs + 5)},
		"odd name":       &hufu.Error{Kind: hufu.KindExists, Args: map[string]string{"\xff": "v", text(MaxName + 1): "v"}},
		"long code":      &hufu.Error{Kind: hufu.KindExists, Code: text(MaxName + 1)},
	} {
		w := WireError(err)
		b, appendErr := c.Append(nil, w, false, 0)
		if appendErr != nil {
			t.Fatal(appendErr)
		}
		m, readErr := read(b)
		if readErr != nil {
			t.Errorf("%s: %v", name, readErr)
			continue
		}
		got := m.(*Error).Err("test")
		if got.Kind != hufu.KindOf(err) {
			t.Errorf("%s: kind %s became %s", name, hufu.KindOf(err), got.Kind)
		}
		if strings.Contains(got.Error(), "secret") {
			t.Errorf("%s: the text of a local error crossed the wire", name)
		}
	}
	odd := WireError(&hufu.Error{Kind: hufu.KindExists, Args: map[string]string{"k": "a\xffb"}})
	if odd.Args["k"] != "a\uFFFDb" {
		t.Errorf("%q", odd.Args["k"])
	}
}

// TestKindsCrossTheWire: each kind has a name of its own and comes back.
func TestKindsCrossTheWire(t *testing.T) {
	t.Parallel()
	for _, k := range hufu.Kinds() {
		if got := WireError(&hufu.Error{Kind: k}).Err("test").Kind; got != k {
			t.Errorf("%s came back as %s", k, got)
		}
	}
	if got := (&Error{Kind: "of a later version"}).Err("test").Kind; got != hufu.KindInternal {
		t.Errorf("an unknown kind is read as %s", got)
	}
}
