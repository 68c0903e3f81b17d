package frame

import (
	"errors"
	"fmt"
	"time"

	"hufu"
)

// Version is the version of the protocol that hello names.
const Version = 1

// Features that hello may name. Core is everything in this package; Teach
// requests the teaching world, Nodes the addresses of the other servers of the installation, Devices
// the requests by which a user manages their own devices.
const (
	FeatureCore    = "core"
	FeatureTeach   = "teach"
	FeatureCopy    = "copy"
	FeatureNodes   = "nodes"
	FeatureDevices = "devices"
)

// Limits of values in a message.
const (
	MaxFeatures    = 32
	MaxPadding     = 12 << 10 // bytes
	MaxToken       = 64       // bytes
	MaxPassword    = 1024     // bytes
	MaxName        = 64       // bytes of a user's or device's name
	MaxCSR         = 8 << 10  // bytes
	MaxCertificate = 16 << 10
	MaxChain       = 8
	MaxListEntries = 1024    // entries in one frame of a list
	MaxPage        = 1 << 16 // entries in one page of a list
	MaxCVs         = 4096    // chaining values in one frame of an open answer
	MaxArgs        = 16
	MaxText        = 1024
	MaxTarget      = 4096    // bytes of a symbolic link's target
	MaxVersion     = 128     // bytes of a version
	MaxUnit        = 1 << 30 // bytes that a store takes at once
	MaxNodes       = 64      // addresses of servers
	MaxAddress     = 260     // bytes of an address, HOST:PORT
	MaxDevices     = 256     // devices in one frame
)

// Type names a message. Answers carry the request's type and answerBit.
type Type uint16

const answerBit = 0x8000

// The requests.
const (
	TypeHello Type = iota + 1
	TypeLogin
	TypeLogout
	TypeStat
	TypeList
	TypeMkdir
	TypeLink
	TypeSetMeta
	TypeRemove
	TypeRename
	TypeDigest
	TypePut
	TypeGet
	TypeOpen
	TypeRange
	TypeCommit
	TypeAbandon
	TypeRead
	TypeSpace
	TypeCopy    // of FeatureCopy
	TypeDevices // of FeatureDevices, as the next two are
	TypeRemoveDevice
	TypeInvite
)

// The requests of the enrollment protocol.
const (
	TypeEnroll Type = 0x40 + iota
	TypeRenew
	TypeWhy
)

// TypeError answers a failed request. The others are notices, which may come
// between any two frames: Cancel is sent by the client, the rest by the server.
const (
	TypeError   Type = 0xff00
	TypeGoodbye Type = 0xff01
	TypeWorking Type = 0xff02
	TypeChanged Type = 0xff03
	TypeCancel  Type = 0xff04
)

// IsRequest reports whether a frame of this type wants an answer.
func (t Type) IsRequest() bool { return t&answerBit == 0 }

// FromClient reports whether a client sends frames of this type, and not a server.
func (t Type) FromClient() bool { return t.IsRequest() || t == TypeCancel }

// Answer returns the type of the answer to a request of type t.
func (t Type) Answer() Type { return t | answerBit }

func (t Type) carriesRaw() bool {
	switch t {
	case TypePut, TypeRange, TypeGet.Answer(), TypeRead.Answer():
		return true
	}
	return false
}

// goesOn reports whether an answer may have more than one frame.
func (t Type) goesOn() bool {
	return t == TypeList.Answer() || t == TypeOpen.Answer() || t == TypeDevices.Answer()
}

func (t Type) maxBody() int {
	if t.FromClient() {
		return MaxRequestBody
	}
	return MaxBody
}

// Message is one message of the protocol. Implementations are pointers to the
// structs below; each names its type and checks its own values.
type Message interface {
	Type() Type
	check() error
}

func (t Type) new() Message {
	if k, ok := kinds[t]; ok {
		return k.make()
	}
	return nil
}

func (t Type) String() string {
	if k, ok := kinds[t]; ok {
		return k.name
	}
	return fmt.Sprintf("type %#04x", uint16(t))
}

// Types lists every type that may stand in a header.
func Types() []Type {
	all := make([]Type, 0, len(kinds))
	for t := range kinds {
		all = append(all, t)
	}
	return all
}

type kind struct {
	name string
	make func() Message
}

func of[T any, P interface {
	*T
	Message
}](name string) kind {
	return kind{name, func() Message { return P(new(T)) }}
}

// kinds is the table of the protocol; nothing writes to it.
var kinds = map[Type]kind{
	TypeHello: of[Hello]("hello"), TypeHello.Answer(): of[HelloAnswer]("hello answer"),
	TypeLogin: of[Login]("login"), TypeLogin.Answer(): of[LoginAnswer]("login answer"),
	TypeLogout: of[Logout]("logout"), TypeLogout.Answer(): of[LogoutAnswer]("logout answer"),
	TypeStat: of[Stat]("stat"), TypeStat.Answer(): of[StatAnswer]("stat answer"),
	TypeList: of[List]("list"), TypeList.Answer(): of[ListAnswer]("list answer"),
	TypeMkdir: of[Mkdir]("mkdir"), TypeMkdir.Answer(): of[MkdirAnswer]("mkdir answer"),
	TypeLink: of[Link]("link"), TypeLink.Answer(): of[LinkAnswer]("link answer"),
	TypeSetMeta: of[SetMeta]("setmeta"), TypeSetMeta.Answer(): of[SetMetaAnswer]("setmeta answer"),
	TypeRemove: of[Remove]("remove"), TypeRemove.Answer(): of[RemoveAnswer]("remove answer"),
	TypeRename: of[Rename]("rename"), TypeRename.Answer(): of[RenameAnswer]("rename answer"),
	TypeDigest: of[Digest]("digest"), TypeDigest.Answer(): of[DigestAnswer]("digest answer"),
	TypePut: of[Put]("put"), TypePut.Answer(): of[PutAnswer]("put answer"),
	TypeGet: of[Get]("get"), TypeGet.Answer(): of[GetAnswer]("get answer"),
	TypeOpen: of[Open]("open"), TypeOpen.Answer(): of[OpenAnswer]("open answer"),
	TypeRange: of[Range]("range"), TypeRange.Answer(): of[RangeAnswer]("range answer"),
	TypeCommit: of[Commit]("commit"), TypeCommit.Answer(): of[CommitAnswer]("commit answer"),
	TypeAbandon: of[Abandon]("abandon"), TypeAbandon.Answer(): of[AbandonAnswer]("abandon answer"),
	TypeRead: of[Read]("read"), TypeRead.Answer(): of[ReadAnswer]("read answer"),
	TypeSpace: of[Space]("space"), TypeSpace.Answer(): of[SpaceAnswer]("space answer"),
	TypeCopy: of[Copy]("copy"), TypeCopy.Answer(): of[CopyAnswer]("copy answer"),
	TypeDevices: of[Devices]("devices"), TypeDevices.Answer(): of[DevicesAnswer]("devices answer"),
	TypeRemoveDevice: of[RemoveDevice]("remove device"), TypeRemoveDevice.Answer(): of[RemoveDeviceAnswer]("remove device answer"),
	TypeInvite: of[Invite]("invite"), TypeInvite.Answer(): of[InviteAnswer]("invite answer"),
	TypeEnroll: of[Enroll]("enroll"), TypeEnroll.Answer(): of[EnrollAnswer]("enroll answer"),
	TypeRenew: of[Renew]("renew"), TypeRenew.Answer(): of[RenewAnswer]("renew answer"),
	TypeWhy: of[Why]("why"), TypeWhy.Answer(): of[WhyAnswer]("why answer"),
	TypeError: of[Error]("error"), TypeGoodbye: of[Goodbye]("goodbye"),
	TypeWorking: of[Working]("working"), TypeChanged: of[Changed]("changed"),
	TypeCancel: of[Cancel]("cancel"),
}

// Path is a hufu.Path on the wire: a CBOR byte string, segments joined by '/',
// no slash at either end, empty for the root.
type Path []byte

// WirePath turns p into its wire form.
func WirePath(p hufu.Path) Path { return Path(p.String()) }

// Path turns the wire form back. It is valid after Decode.
func (p Path) Path() hufu.Path {
	q, err := p.parse()
	if err != nil {
		panic("frame: path was not checked")
	}
	return q
}

func (p Path) parse() (hufu.Path, error) {
	q, err := hufu.ParsePath(string(p))
	if err == nil && q.String() != string(p) {
		err = errors.New("path is not in its one form")
	}
	return q, err
}

func (p Path) check() error {
	_, err := p.parse()
	return err
}

// Entry is a hufu.Entry on the wire.
type Entry struct {
	Name    []byte `cbor:"1,keyasint,omitempty"` // empty for the root
	Kind    uint8  `cbor:"2,keyasint"`
	Size    int64  `cbor:"3,keyasint,omitempty"`
	MTime   int64  `cbor:"4,keyasint,omitempty"` // nanoseconds since 1970 UTC
	Mode    uint32 `cbor:"5,keyasint,omitempty"`
	Digest  []byte `cbor:"6,keyasint,omitempty"`
	Target  []byte `cbor:"7,keyasint,omitempty"`
	By      string `cbor:"8,keyasint,omitempty"`
	Version string `cbor:"9,keyasint,omitempty"`
}

// WireEntry turns e into its wire form.
func WireEntry(e hufu.Entry) Entry {
	w := Entry{
		Name: []byte(e.Name), Kind: uint8(e.Kind), Size: e.Size, MTime: Nanos(e.MTime), Mode: e.Mode & 0o777,
		Target: []byte(e.Target), By: e.By, Version: e.Version,
	}
	if !e.Digest.IsZero() {
		w.Digest = e.Digest[:]
	}
	return w
}

// Entry turns the wire form back. It is valid after Decode.
func (w Entry) Entry() hufu.Entry {
	e := hufu.Entry{
		Name: string(w.Name), Kind: hufu.EntryKind(w.Kind), Size: w.Size, MTime: Time(w.MTime), Mode: w.Mode,
		Target: string(w.Target), By: w.By, Version: w.Version,
	}
	copy(e.Digest[:], w.Digest)
	return e
}

func (w Entry) check() error {
	k := hufu.EntryKind(w.Kind)
	switch {
	case len(w.Name) > 0 && hufu.CheckName(string(w.Name)) != nil:
		return errors.New("name of an entry")
	case k < hufu.File || k > hufu.Other:
		return errors.New("kind of an entry")
	case w.Size < 0 || w.Size > hufu.MaxFileSize, w.Size != 0 && k != hufu.File:
		return errors.New("size of an entry")
	case w.Mode > 0o777, len(w.Target) > MaxTarget, len(w.By) > MaxName, len(w.Version) > MaxVersion:
		return errors.New("mode, target, user or version of an entry")
	case len(w.Digest) != 0 && len(w.Digest) != len(hufu.Digest{}):
		return errors.New("digest of an entry")
	}
	return nil
}

// Nanos returns a time on the wire: nanoseconds since 1970 UTC, clamped to what
// 64 bits hold (1677 to 2262).
func Nanos(t time.Time) int64 {
	switch {
	case t.IsZero():
		return 0
	case t.Year() < 1678:
		return -1 << 63
	case t.Year() > 2261:
		return 1<<63 - 1
	}
	return t.UnixNano()
}

// Time is the inverse of Nanos.
func Time(ns int64) time.Time { return time.Unix(0, ns) }

// Condition is a hufu.Condition on the wire.
type Condition struct {
	Kind    uint8  `cbor:"1,keyasint"`
	Version string `cbor:"2,keyasint,omitempty"`
}

// WireCondition turns c into its wire form.
func WireCondition(c hufu.Condition) Condition { return Condition{uint8(c.Kind), c.Version} }

// Condition turns the wire form back. It is valid after Decode.
func (w Condition) Condition() hufu.Condition {
	return hufu.Condition{Kind: hufu.ConditionKind(w.Kind), Version: w.Version}
}

func (w Condition) check() error {
	k := hufu.ConditionKind(w.Kind)
	if k < hufu.IfAbsent || k > hufu.Always || (k == hufu.IfVersion) != (w.Version != "") || len(w.Version) > MaxVersion {
		return errors.New("condition")
	}
	return nil
}
