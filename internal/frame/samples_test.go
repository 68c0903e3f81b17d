package frame

import (
	"bytes"

	"hufu"
)

// sample is a frame that the vectors hold: what it says and how it is made.
type sample struct {
	name    string
	meaning string
	message Message
	more    bool
	raw     []byte
}

func fill(b byte, n int) []byte { return bytes.Repeat([]byte{b}, n) }

// samples has at least one frame of each type.
func samples() []sample {
	entry := Entry{
		Name: []byte("film.mkv"), Kind: uint8(hufu.File), Size: 3 << 20, MTime: 1_700_000_000_123_456_789, Mode: 0o644,
		Digest: fill(0xd1, 32), By: "alice", Version: "v-1",
	}
	folder := Entry{Name: []byte("日本"), Kind: uint8(hufu.Folder), Mode: 0o755, MTime: -1}
	link := Entry{Name: []byte{0xff, 'x'}, Kind: uint8(hufu.Link), Mode: 0o777, Target: []byte("../elsewhere")}
	absent, replace := Condition{Kind: uint8(hufu.IfAbsent)}, Condition{Kind: uint8(hufu.IfVersion), Version: "v-1"}
	always := Condition{Kind: uint8(hufu.Always)}
	upload := "0123456789abcdef0123456789abcdef"
	path := Path("films/film.mkv")
	failed := Error{Kind: "rate_limit", Code: "login_wait", Args: map[string]string{"seconds": "8"}}
	return []sample{
		{"hello", "first connection of a client", &Hello{Version: 1, Features: []string{"core"}, Program: "hufu 1.0.0"}, false, nil},
		{"hello with token", "a lane of a client that is logged in", &Hello{Version: 1, Features: []string{"core"}, Token: fill(0x70, 32)}, false, nil},
		{"hello, padded", "a lane of which the answer is to be padded as well", &Hello{Version: 1, Features: []string{"core"}, Padding: make([]byte, 3), Pad: 4}, false, nil},
		{"hello answer, padded", "what was asked for", &HelloAnswer{Version: 1, Features: []string{"core"}, Requests: 1024, Bytes: 64 << 20, Time: 1, Instance: fill(0x1d, 16), Padding: make([]byte, 4)}, false, nil},
		{"hello answer", "alice's laptop, not logged in because her login has ended", &HelloAnswer{
			Version: 1, Features: []string{"core"}, User: "alice", Device: "laptop", Requests: 1024, Bytes: 64 << 20, Program: "hufud 1.0.0",
			Time: 1_700_000_000_000_000_000, Instance: fill(0x1d, 16), Why: &Error{Kind: "credentials", Code: "login_ended"},
		}, false, nil},
		{"hello answer, teaching", "the teaching world, with its plain port", &HelloAnswer{
			Version: 1, Features: []string{"core", "teach"}, LoggedIn: true, Requests: 1024, Bytes: 64 << 20, Teach: 9998,
			Time: 1, Instance: fill(0x1d, 16),
		}, false, nil},
		{"login", "user and password", &Login{User: "alice", Password: "correct horse"}, false, nil},
		{"login answer", "the token", &LoginAnswer{Token: fill(0x70, 32)}, false, nil},
		{"logout", "end this login", &Logout{}, false, nil},
		{"logout answer", "it has ended", &LogoutAnswer{}, false, nil},
		{"stat", "what stands under films/film.mkv?", &Stat{Path: path}, false, nil},
		{"stat of the root", "the empty path is the root", &Stat{Path: Path{}}, false, nil},
		{"stat answer", "a file", &StatAnswer{Entry: entry}, false, nil},
		{"list", "what is in the folder?", &List{Path: Path("films")}, false, nil},
		{"list answer, goes on", "two entries, and more in the next frame", &ListAnswer{Entries: []Entry{entry, folder}}, true, nil},
		{"list answer", "the last entries: a link whose name is no UTF-8", &ListAnswer{Entries: []Entry{link}}, false, nil},
		{"list answer, empty", "an empty folder", &ListAnswer{Entries: []Entry{}}, false, nil},
		{"list of a page", "at most two entries, behind film.mkv", &List{Path: Path("films"), Limit: 2, After: []byte("film.mkv")}, false, nil},
		{"list of the next page", "in brief, but with modes; the page before came over this connection", &List{Path: Path("films"), Limit: 2, After: []byte("日本"), Brief: true, On: true, Modes: true}, false, nil},
		{"list answer, page", "one entry, and more behind it", &ListAnswer{Entries: []Entry{folder}, Next: []byte("日本")}, false, nil},
		{"mkdir", "make films, and parents", &Mkdir{Path: Path("films"), Mode: 0o755, Parents: true}, false, nil},
		{"mkdir answer", "made", &MkdirAnswer{Created: true}, false, nil},
		{"mkdir answer, there", "it was there", &MkdirAnswer{}, false, nil},
		{"link", "a symbolic link, if the name is free", &Link{Path: Path("l"), Target: []byte("../elsewhere"), MTime: 1, Condition: absent}, false, nil},
		{"link answer", "durable", &LinkAnswer{}, false, nil},
		{"setmeta", "mode 0600 and the earliest time", &SetMeta{Path: path, Mode: 0o600, MTime: -1 << 63}, false, nil},
		{"setmeta answer", "durable: a folder, which has no version", &SetMetaAnswer{}, false, nil},
		{"setmeta answer, version", "durable: a file", &SetMetaAnswer{Version: "v-2"}, false, nil},
		{"remove", "with everything in it", &Remove{Path: Path("films"), Recursive: true}, false, nil},
		{"remove, one name", "a file, or an empty folder", &Remove{Path: path}, false, nil},
		{"remove answer", "durably gone", &RemoveAnswer{}, false, nil},
		{"rename", "if v-1 stands there", &Rename{From: path, To: Path("g"), Condition: replace}, false, nil},
		{"rename of a version", "only v-1 is to be moved", &Rename{From: path, To: Path("g"), Condition: absent, Version: "v-1"}, false, nil},
		{"setmeta of a version", "only v-1 is to be altered", &SetMeta{Path: path, Mode: 0o600, MTime: 1, Version: "v-1"}, false, nil},
		{"remove of a version", "only v-1 is to go", &Remove{Path: path, Version: "v-1"}, false, nil},
		{"rename answer", "durable: a folder", &RenameAnswer{}, false, nil},
		{"rename answer, version", "durable: a file", &RenameAnswer{Version: "v-2"}, false, nil},
		{"digest", "read it and hash it", &Digest{Path: path}, false, nil},
		{"digest answer", "entry with the digest", &DigestAnswer{Entry: entry}, false, nil},
		{"put", "a file of five bytes, whatever stands there", &Put{Path: Path("a"), Mode: 0o644, MTime: 1, Digest: fill(0xd5, 32), Condition: always}, false, []byte("hello")},
		{"put, empty file", "no raw bytes", &Put{Path: Path("e"), Mode: 0, MTime: 0, Digest: fill(0xd0, 32), Condition: absent}, false, nil},
		{"put answer", "durable, with its version", &PutAnswer{Version: "v-2"}, false, nil},
		{"get", "any version", &Get{Path: Path("a")}, false, nil},
		{"get a version", "v-1 or nothing", &Get{Path: Path("a"), Version: "v-1"}, false, nil},
		{"get by digest", "v-1, whose digest is known", &Get{Path: Path("a"), Version: "v-1", Digest: fill(0xd5, 32)}, false, nil},
		{"get answer", "entry, then the bytes", &GetAnswer{Entry: &Entry{Name: []byte("a"), Kind: uint8(hufu.File), Size: 5, Mode: 0o644, Digest: fill(0xd5, 32), Version: "v-2"}}, false, []byte("hello")},
		{"get answer, digest known", "the bytes alone", &GetAnswer{}, false, []byte("hello")},
		{"open", "upload of 3 MiB and one byte", &Open{Path: path, Size: 3<<20 + 1, Source: "s-1"}, false, nil},
		{"open answer", "a new upload", &OpenAnswer{Upload: upload, Unit: 1 << 20}, false, nil},
		{"open answer, larger units", "the store takes 8 MiB at once", &OpenAnswer{Upload: upload, Unit: 8 << 20}, false, nil},
		{"open answer, goes on", "chunks 0 and 2 are there; more follows", &OpenAnswer{Upload: upload, Unit: 1 << 20, Runs: []Run{{0, fill(0xc0, 32)}, {2, fill(0xc2, 32)}}}, true, nil},
		{"open answer, second frame", "chunks 5 and 6 are there as well", &OpenAnswer{Upload: upload, Unit: 1 << 20, Runs: []Run{{5, fill(0xc5, 64)}}}, false, nil},
		{"range", "the last chunk, of one byte", &Range{Upload: upload, Index: 3, CV: fill(0xc3, 32)}, false, []byte{'!'}},
		{"range, hole", "all zeros: no raw bytes", &Range{Upload: upload, Index: 1, CV: fill(0xc1, 32), Hole: true}, false, nil},
		{"range answer", "received whole", &RangeAnswer{}, false, nil},
		{"commit", "give it its name", &Commit{Upload: upload, Path: path, Digest: fill(0xd1, 32), Mode: 0o644, MTime: 1, Condition: absent}, false, nil},
		{"commit answer", "durable", &CommitAnswer{Entry: entry}, false, nil},
		{"abandon", "drop the upload", &Abandon{Upload: upload}, false, nil},
		{"abandon answer", "gone", &AbandonAnswer{}, false, nil},
		{"read", "chunk 2 of v-1", &Read{Path: path, Version: "v-1", Index: 2}, false, nil},
		{"read answer", "chaining value, then the bytes", &ReadAnswer{CV: fill(0xc2, 32)}, false, []byte{1, 2, 3}},
		{"read answer, hole", "all zeros", &ReadAnswer{CV: fill(0xc1, 32), Hole: true}, false, nil},
		{"space", "how much room is there?", &Space{Path: Path{}}, false, nil},
		{"space answer", "in bytes", &SpaceAnswer{Free: 1 << 40, Total: 1 << 41}, false, nil},
		{"enroll", "trade a secret for a certificate", &Enroll{Secret: "aaaabbbbccccddddeeeeffffgggghhhh", CSR: []byte{0x30, 0}, Password: "correct horse", Device: "laptop"}, false, nil},
		{"enroll answer", "leaf, issuing CA, root", &EnrollAnswer{User: "alice", Device: "laptop", Chain: [][]byte{{0x30, 1}, {0x30, 2}, {0x30, 3}}}, false, nil},
		{"renew", "trade a certificate for a new one", &Renew{CSR: []byte{0x30, 0}}, false, nil},
		{"renew answer", "the new chain", &RenewAnswer{Chain: [][]byte{{0x30, 1}}}, false, nil},
		{"why", "why am I refused?", &Why{}, false, nil},
		{"why answer", "revoked", &WhyAnswer{Error: &Error{Kind: "refused", Code: "cert_revoked", Args: map[string]string{"when": "2025-01-01", "reason": "lost"}}, Time: 1}, false, nil},
		{"why answer, good", "you are not", &WhyAnswer{Time: 1}, false, nil},
		{"error", "wait eight seconds", &failed, false, nil},
		{"error, bare", "not found", &Error{Kind: "not_found"}, false, nil},
		{"goodbye", "the server is stopping", &Goodbye{Reason: Error{Kind: "unavailable", Code: "server_stopping"}}, false, nil},
		{"working", "I am alive", &Working{}, false, nil},
		{"changed", "something below films has changed", &Changed{Path: Path("films")}, false, nil},
		{"cancel", "the third request is not wanted any more", &Cancel{Request: 2}, false, nil},
		{"copy", "this version, to a name that is free", &Copy{From: path, To: Path("b"), Condition: absent, Version: "v-1"}, false, nil},
		{"copy, given attributes", "mode 0600 and the earliest time instead of those of the file", &Copy{From: path, To: Path("b"), Condition: absent, Mode: new(uint32(0o600)), MTime: new(int64(-1 << 63))}, false, nil},
		{"copy answer", "durable", &CopyAnswer{Entry: entry}, false, nil},
		{"devices", "which devices do I have?", &Devices{}, false, nil},
		{"devices answer, goes on", "this one, and more follow", &DevicesAnswer{Devices: []Device{
			{Name: "laptop", Serial: "5e1f", Issued: 1, Expires: 2, Seen: 3, State: DeviceActive, This: true},
		}, Invites: true}, true, nil},
		{"devices answer", "one that may still be renewed; the administrator invites", &DevicesAnswer{Devices: []Device{
			{Name: "phone", Serial: "5e20", Issued: 1, Expires: 2, Seen: 1, State: DeviceExpired},
		}}, false, nil},
		{"remove device", "it was lost", &RemoveDevice{Device: "phone", Password: "correct horse"}, false, nil},
		{"remove device, the last", "no other device can log in", &RemoveDevice{Device: "phone", Password: "correct horse", Last: true}, false, nil},
		{"remove device answer", "revoked", &RemoveDeviceAnswer{}, false, nil},
		{"invite", "one more device", &Invite{Password: "correct horse"}, false, nil},
		{"invite answer", "let it in with this", &InviteAnswer{Secret: "aaaabbbbccccddddeeeeffffgggghhhh", Expires: 4}, false, nil},
		{"hello answer, nodes", "one of three servers of an installation", &HelloAnswer{
			Version: 1, Features: []string{"core", "nodes"}, User: "alice", Device: "laptop", LoggedIn: true, Requests: 1024, Bytes: 64 << 20,
			Time: 1, Instance: fill(0x1d, 16), Nodes: []string{"node2.example.org:9999", "[2001:db8::3]:9999"},
		}, false, nil},
	}
}

// refusal is a frame that must be refused.
type refusal struct {
	name  string
	frame []byte
	code  string
}

func headed(t Type, flags uint16, body, raw uint32) []byte {
	return []byte{
		byte(t >> 8), byte(t), byte(flags >> 8), byte(flags),
		byte(body >> 24), byte(body >> 16), byte(body >> 8), byte(body),
		byte(raw >> 24), byte(raw >> 16), byte(raw >> 8), byte(raw),
	}
}

func framed(t Type, body ...byte) []byte {
	return append(headed(t, 0, uint32(len(body)), 0), body...)
}

// pathed returns a stat of p, which is shorter than 24 bytes.
func pathed(p string) []byte {
	return framed(TypeStat, append([]byte{0xa1, 0x01, 0x40 | byte(len(p))}, p...)...)
}

func refusals() []refusal {
	const form, value = "message_form", "message_value"
	return []refusal{
		{"type 0", headed(0, 0, 1, 0), "frame_type"},
		{"type not known", headed(0x7f, 0, 1, 0), "frame_type"},
		{"answer to a type not known", headed(0x807f, 0, 1, 0), "frame_type"},
		{"notice not known", headed(0xff7f, 0, 1, 0), "frame_type"},
		{"flag not known", headed(TypeStat, 2, 1, 0), "frame_flags"},
		{"more on a request", headed(TypeList, 1, 1, 0), "frame_flags"},
		{"more on an answer of one frame", headed(TypeStat.Answer(), 1, 1, 0), "frame_flags"},
		{"more on an error", headed(TypeError, 1, 1, 0), "frame_flags"},
		{"more on a notice", headed(TypeWorking, 1, 1, 0), "frame_flags"},
		{"request's message one byte over", headed(TypeStat, 0, MaxRequestBody+1, 0), "frame_too_large"},
		{"answer's message one byte over", headed(TypeStat.Answer(), 0, MaxBody+1, 0), "frame_too_large"},
		{"message of 4 GiB", headed(TypeStat, 0, 1<<32-1, 0), "frame_too_large"},
		{"raw bytes one over", headed(TypePut, 0, 1, MaxRaw+1), "frame_too_large"},
		{"raw bytes of 4 GiB", headed(TypePut, 0, 1, 1<<32-1), "frame_too_large"},
		{"raw bytes on a type without", headed(TypeStat, 0, 1, 1), "frame_raw"},

		{"no message", framed(TypeLogout), form},
		{"key not known", framed(TypeStat, 0xa2, 0x01, 0x41, 'a', 0x02, 0x00), form},
		{"key 0", framed(TypeStat, 0xa2, 0x00, 0x00, 0x01, 0x41, 'a'), form},
		{"key twice", framed(TypeStat, 0xa2, 0x01, 0x41, 'a', 0x01, 0x41, 'a'), form},
		{"key twice, other value", framed(TypeStat, 0xa2, 0x01, 0x41, 'a', 0x01, 0x41, 'b'), form},
		{"key missing", framed(TypeStat, 0xa0), form},
		{"key not shortest", framed(TypeStat, 0xa1, 0x18, 0x01, 0x41, 'a'), form},
		{"length not shortest", framed(TypeStat, 0xa1, 0x01, 0x58, 0x01, 'a'), form},
		{"integer not shortest", framed(TypeMkdir, 0xa2, 0x01, 0x41, 'a', 0x02, 0x18, 0x05), form},
		{"map not shortest", framed(TypeStat, 0xb8, 0x01, 0x01, 0x41, 'a'), form},
		{"keys out of order", framed(TypeRemove, 0xa2, 0x02, 0xf5, 0x01, 0x41, 'a'), form},
		{"trailing byte", framed(TypeStat, 0xa1, 0x01, 0x41, 'a', 0x00), form},
		{"map of indefinite length", framed(TypeStat, 0xbf, 0x01, 0x41, 'a', 0xff), form},
		{"byte string of indefinite length", framed(TypeStat, 0xa1, 0x01, 0x5f, 0x41, 'a', 0xff), form},
		{"array of indefinite length", framed(TypeHello, 0xa2, 0x01, 0x01, 0x02, 0x9f, 0x64, 'c', 'o', 'r', 'e', 0xff), form},
		{"cut short", framed(TypeStat, 0xa1, 0x01, 0x42, 'a'), form},
		{"tag", framed(TypeStat, 0xa1, 0x01, 0xd8, 0x18, 0x41, 'a'), form},
		{"null", framed(TypeStat, 0xa1, 0x01, 0xf6), form},
		{"undefined", framed(TypeStat, 0xa1, 0x01, 0xf7), form},
		{"text instead of bytes", framed(TypeStat, 0xa1, 0x01, 0x61, 'a'), form},
		{"bytes instead of text", framed(TypeAbandon, 0xa1, 0x01, 0x41, 'a'), form},
		{"text that is no UTF-8", framed(TypeAbandon, 0xa1, 0x01, 0x61, 0xff), form},
		{"array instead of a map", framed(TypeStat, 0x81, 0x41, 'a'), form},
		{"float instead of an integer", framed(TypeMkdir, 0xa2, 0x01, 0x41, 'a', 0x02, 0xf9, 0x3c, 0x00), form},
		{"negative length of a file", framed(TypeOpen, 0xa3, 0x01, 0x41, 'a', 0x02, 0x20, 0x03, 0x61, 's'), value},
		{"negative mode", framed(TypeMkdir, 0xa2, 0x01, 0x41, 'a', 0x02, 0x20), form},
		{"negative index", framed(TypeRead, 0xa3, 0x01, 0x41, 'a', 0x02, 0x61, 'v', 0x03, 0x20), value},
		{"integer over 64 bits", framed(TypeSetMeta, 0xa3, 0x01, 0x41, 'a', 0x02, 0x00, 0x03, 0xc2, 0x49, 1, 0, 0, 0, 0, 0, 0, 0, 0), form},
		{"integer over 63 bits", framed(TypeSetMeta, 0xa3, 0x01, 0x41, 'a', 0x02, 0x00, 0x03, 0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), form},
		{"false that should be left out", framed(TypeRemove, 0xa2, 0x01, 0x41, 'a', 0x02, 0xf4), form},
		{"empty string that should be left out", framed(TypeGet, 0xa2, 0x01, 0x41, 'a', 0x02, 0x60), form},
		{"key as text", framed(TypeStat, 0xa1, 0x61, '1', 0x41, 'a'), form},
		{"array longer than its bytes", framed(TypeHello, 0xa2, 0x01, 0x01, 0x02, 0x9a, 0xff, 0xff, 0xff, 0xff), form},
		{"byte string longer than its bytes", framed(TypeStat, 0xa1, 0x01, 0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), form},
		{"nested too deep", framed(TypeStat, append(append([]byte{0xa1, 0x01}, fill(0x81, 40)...), 0)...), form},

		{"path with a slash before", pathed("/a"), value},
		{"path with a slash behind", pathed("a/"), value},
		{"path with an empty segment", pathed("a//b"), value},
		{"path with .", pathed("a/./b"), value},
		{"path with ..", pathed("../a"), value},
		{"path with NUL", pathed("a\x00b"), value},
		{"path that is a slash", pathed("/"), value},
		{"digest of no version", framed(TypeGet, append([]byte{0xa2, 0x01, 0x41, 'a', 0x03, 0x58, 32}, fill(1, 32)...)...), value},
		{"entry that is null", framed(TypeGet.Answer(), 0xa1, 0x01, 0xf6), form},
		{"chaining value too short", framed(TypeRead.Answer(), append([]byte{0xa1, 0x01, 0x58, 31}, fill(1, 31)...)...), value},
		{"condition not known", framed(TypeRename, 0xa3, 0x01, 0x41, 'a', 0x02, 0x41, 'b', 0x03, 0xa1, 0x01, 0x04), value},
		{"version where none belongs", framed(TypeRename, 0xa3, 0x01, 0x41, 'a', 0x02, 0x41, 'b', 0x03, 0xa2, 0x01, 0x01, 0x02, 0x61, 'v'), value},
		{"version missing", framed(TypeRename, 0xa3, 0x01, 0x41, 'a', 0x02, 0x41, 'b', 0x03, 0xa1, 0x01, 0x02), value},
		{"no feature", framed(TypeHello, 0xa2, 0x01, 0x01, 0x02, 0x80), value},
		{"limit of a page over its limit", framed(TypeList, 0xa2, 0x01, 0x40, 0x02, 0x1a, 0x00, 0x01, 0x00, 0x01), value},
		{"after without limit", framed(TypeList, 0xa2, 0x01, 0x40, 0x03, 0x41, 'a'), value},
		{"next page of none", framed(TypeList, 0xa3, 0x01, 0x40, 0x02, 0x01, 0x05, 0xf5), value},
		{"key below those of later programs", framed(TypeHello, 0xa3, 0x01, 0x01, 0x02, 0x81, 0x61, 'c', 0x18, 0x3f, 0x00), form},
		{"key above those of later programs", framed(TypeHello, 0xa3, 0x01, 0x01, 0x02, 0x81, 0x61, 'c', 0x18, 0x80, 0x00), form},
		{"key of later programs where none is left", framed(TypeStat, 0xa2, 0x01, 0x41, 'a', 0x18, 0x40, 0x00), form},
		{"null of later programs", framed(TypeHello, 0xa3, 0x01, 0x01, 0x02, 0x81, 0x61, 'c', 0x18, 0x40, 0xf6), form},
		{"hello of version 2", framed(TypeHello, 0xa2, 0x01, 0x02, 0x18, 0x20, 0xf6), "protocol_version"},

		// What a client must refuse of a server.
		{"hello answer of version 2", framed(TypeHello.Answer(), 0xa1, 0x01, 0x02), "protocol_version"},
		{"hello answer without an instance", framed(TypeHello.Answer(), 0xa6, 1, 1, 2, 0x81, 0x61, 'c', 6, 1, 7, 0x1a, 0, 0x10, 0, 0, 10, 0, 11, 0x40), value},
		{"hello answer that allows less than a chunk", framed(TypeHello.Answer(), append([]byte{0xa6, 1, 1, 2, 0x81, 0x61, 'c', 6, 1, 7, 0x19, 0xff, 0xff, 10, 0, 11, 0x50}, fill(0, 16)...)...), value},
		{"token that is empty", framed(TypeLogin.Answer(), 0xa1, 0x01, 0x40), value},
		{"entry of a kind not known", framed(TypeStat.Answer(), 0xa1, 0x01, 0xa1, 0x02, 0x05), value},
		{"entry with a name of two segments", framed(TypeStat.Answer(), 0xa1, 0x01, 0xa2, 0x01, 0x43, 'a', '/', 'b', 0x02, 0x01), value},
		{"entry with the name ..", framed(TypeStat.Answer(), 0xa1, 0x01, 0xa2, 0x01, 0x42, '.', '.', 0x02, 0x01), value},
		{"folder with a size", framed(TypeStat.Answer(), 0xa1, 0x01, 0xa2, 0x02, 0x02, 0x03, 0x01), value},
		{"file of a negative size", framed(TypeStat.Answer(), 0xa1, 0x01, 0xa2, 0x02, 0x01, 0x03, 0x20), value},
		{"entry with a digest of 31 bytes", framed(TypeDigest.Answer(), append([]byte{0xa1, 0x01, 0xa2, 0x02, 0x01, 0x06, 0x58, 31}, fill(1, 31)...)...), value},
		{"entry with a key not known", framed(TypeStat.Answer(), 0xa1, 0x01, 0xa2, 0x02, 0x01, 0x0a, 0x00), form},
		{"entry of a list without a name", framed(TypeList.Answer(), 0xa1, 0x01, 0x81, 0xa1, 0x02, 0x01), value},
		{"next page of two segments", framed(TypeList.Answer(), 0xa2, 0x01, 0x80, 0x02, 0x43, 'a', '/', 'b'), value},
		{"entries missing", framed(TypeList.Answer(), 0xa0), form},
		{"false that should be left out of an answer", framed(TypeMkdir.Answer(), 0xa1, 0x01, 0xf4), form},
		{"space of less than nothing", framed(TypeSpace.Answer(), 0xa2, 0x01, 0x20, 0x02, 0x00), value},
		{"unit not known", framed(TypeOpen.Answer(), 0xa2, 0x01, 0x61, 'u', 0x02, 0x01), value},
		{"error without a kind", framed(TypeError, 0xa1, 0x01, 0x60), value},
		{"error about an impossible path", framed(TypeError, 0xa2, 0x01, 0x61, 'k', 0x04, 0x42, 'a', '/'), value},
		{"goodbye without a reason", framed(TypeGoodbye, 0xa0), form},
		{"working that says something", framed(TypeWorking, 0xa1, 0x01, 0x00), form},
		{"chain that is empty", framed(TypeRenew.Answer(), 0xa1, 0x01, 0x80), value},
		{"device of no state", framed(TypeDevices.Answer(), 0xa1, 0x01, 0x81, 0xa6, 1, 0x61, 'd', 2, 0x61, 's', 3, 0, 4, 0, 5, 0, 6, 0x61, 'x'), value},
		{"device without a name", framed(TypeDevices.Answer(), 0xa1, 0x01, 0x81, 0xa6, 1, 0x60, 2, 0x61, 's', 3, 0, 4, 0, 5, 0, 6, 0x66, 'a', 'c', 't', 'i', 'v', 'e'), value},
		{"devices asked with something", framed(TypeDevices, 0xa1, 0x01, 0x61, 'a'), form},
		{"removal without a password", framed(TypeRemoveDevice, 0xa2, 0x01, 0x61, 'd', 0x02, 0x60), value},
		{"raw bytes on an answer without", headed(TypePut.Answer(), 0, 1, 1), "frame_raw"},
		{"raw bytes on an error", headed(TypeError, 0, 1, 1), "frame_raw"},
		{"raw bytes of an answer one over", headed(TypeGet.Answer(), 0, 1, MaxRaw+1), "frame_too_large"},
		{"cancel one byte over", headed(TypeCancel, 0, MaxRequestBody+1, 0), "frame_too_large"},
	}
}
