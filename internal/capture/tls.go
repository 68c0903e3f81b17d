package capture

import (
	"cmp"
	"crypto/tls"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/cryptobyte"
)

// Handshake is what anybody can read of a TLS connection.
type Handshake struct {
	Version     string   `json:"version"` // agreed, "TLS 1.3"; "" without ServerHello
	Cipher      string   `json:"cipher"`  // agreed
	Group       string   `json:"group"`   // key exchange agreed, "X25519MLKEM768"; "" if not told in clear
	PostQuantum bool     `json:"post_quantum"`
	Retry       bool     `json:"retry"`       // the server asked for another group
	SNI         string   `json:"sni"`         // the name the client asked for
	ALPN        []string `json:"alpn"`        // the protocols it offered
	ALPNChosen  string   `json:"alpn_chosen"` // TLS 1.2 only: in 1.3 it is encrypted
	Records     []Record `json:"records"`     // of both directions, by packet
	Broken      bool     `json:"broken"`      // not everything was TLS, or the end is missing
	// Sample is the beginning of the client's longest encrypted record: what
	// stands on the wire in place of the file.
	Sample       *Excerpt `json:"sample,omitempty"`
	SamplePacket int      `json:"sample_packet"`

	version uint16
	byDir   [2][]Record
}

// Record is one record of TLS.
type Record struct {
	FromClient bool     `json:"from_client"`
	Packet     int      `json:"packet"` // where it begins
	LastPacket int      `json:"last_packet"`
	Names      []string `json:"names"` // as Wireshark names them: "ClientHello", "Application Data"
	Encrypted  bool     `json:"encrypted"`
	Offset     int64    `json:"-"`
	Length     int      `json:"length"` // without its header of five bytes
}

// Numbers of RFC 8446.
const (
	recordHeader = 5
	maxRecord    = 1<<14 + 2048 // TLS 1.2's limit, 1.3's is lower

	recordCCS       = 20
	recordAlert     = 21
	recordHandshake = 22
	recordData      = 23

	helloClient = 1
	helloServer = 2
	finished    = 20

	extSNI       = 0
	extALPN      = 16
	extVersions  = 43
	extKeyShare  = 51
	groupsHybrid = "MLKEM"
)

// retryRandom marks a ServerHello that is a HelloRetryRequest.
const retryRandom = "\xcf\x21\xad\x74\xe5\x9a\x61\x11\xbe\x1d\x8c\x02\x1e\x65\xb8\x91" +
	"\xc2\xa2\x11\x16\x7a\xbb\x8c\x5e\x07\x9e\x09\xe2\xc8\xa8\x33\x9c"

// parseTLS reads both directions of a connection, nil if it is not TLS.
func parseTLS(up, down *half) *Handshake {
	if !looksLikeTLS(up.data) {
		return nil
	}
	h := &Handshake{}
	// The server first: whether what follows the client's ChangeCipherSpec is
	// encrypted depends on the version it chose.
	h.direction(down, fromServer)
	h.direction(up, fromClient)
	h.Records = slices.Concat(h.byDir[fromClient], h.byDir[fromServer])
	slices.SortStableFunc(h.Records, func(a, b Record) int { return cmp.Compare(a.Packet, b.Packet) })
	longest := 0
	for _, r := range h.byDir[fromClient] {
		if r.Encrypted && r.Length > longest {
			longest = r.Length
			at := int(r.Offset)
			h.Sample = excerpt(up.data[at:at+recordHeader+r.Length], r.Offset, 0, 0)
			h.SamplePacket = r.Packet
		}
	}
	return h
}

// looksLikeTLS reports whether b begins with a record that can be the first.
func looksLikeTLS(b []byte) bool {
	return len(b) >= recordHeader && (b[0] == recordHandshake || b[0] == recordAlert) && b[1] == 3 && b[2] <= 4
}

// direction reads one direction's records up to the first thing that is none.
func (h *Handshake) direction(d *half, dir int) {
	if len(d.data) == 0 {
		return
	}
	if !looksLikeTLS(d.data) {
		h.Broken = true
		return
	}
	p := messages{h: h, dir: dir}
	at := 0
	for at < len(d.data) {
		b := d.data[at:]
		if len(b) < recordHeader || b[0] < recordCCS || b[0] > recordData+1 || b[1] != 3 || b[2] > 4 {
			break
		}
		n := int(b[3])<<8 | int(b[4])
		if n > maxRecord || n > len(b)-recordHeader {
			break
		}
		rec := Record{
			FromClient: dir == fromClient, Packet: d.packet(at), LastPacket: d.packet(at + recordHeader + n - 1),
			Offset: int64(at), Length: n,
		}
		p.record(&rec, b[0], b[recordHeader:recordHeader+n])
		h.byDir[dir] = append(h.byDir[dir], rec)
		at += recordHeader + n
	}
	if at < len(d.data) {
		h.Broken = true
	}
}

// messages puts together the handshake messages of one direction, which may
// share a record or span several.
type messages struct {
	h   *Handshake
	dir int
	ccs bool // what follows is encrypted (TLS 1.2)
	buf []byte
}

func (p *messages) record(rec *Record, kind byte, b []byte) {
	switch kind {
	case recordCCS:
		// In TLS 1.3 it means nothing, and a second hello may follow it.
		rec.Names, p.ccs = []string{"ChangeCipherSpec"}, p.h.version < tls.VersionTLS13
	case recordAlert:
		rec.Names = []string{"Alert"}
		if p.ccs || len(b) != 2 {
			rec.Encrypted = true
		} else {
			rec.Names[0] += " (" + strings.TrimPrefix(tls.AlertError(b[1]).Error(), "tls: ") + ")"
		}
	case recordData:
		rec.Names, rec.Encrypted = []string{"Application Data"}, true
	case recordHandshake:
		if p.ccs {
			rec.Names, rec.Encrypted = []string{"Encrypted Handshake Message"}, true
			return
		}
		p.handshake(rec, b)
	default:
		rec.Names = []string{"Record type " + strconv.Itoa(int(kind))}
	}
}

func (p *messages) handshake(rec *Record, b []byte) {
	switch {
	case len(p.buf) > 0:
		rec.Names = append(rec.Names, "Handshake (continued)")
	case len(b) == 0: // which RFC 8446, section 5.1, forbids
		rec.Names = append(rec.Names, "Handshake (empty)")
	}
	begins := len(p.buf) == 0
	p.buf = append(p.buf, b...)
	for len(p.buf) > 0 {
		name := messageName(p.buf[0])
		whole := false
		if len(p.buf) >= 4 {
			n := 4 + (int(p.buf[1])<<16 | int(p.buf[2])<<8 | int(p.buf[3]))
			if whole = len(p.buf) >= n; whole {
				if retry := p.message(p.buf[0], p.buf[4:n]); retry {
					name = "HelloRetryRequest"
				}
				p.buf = p.buf[n:]
			}
		}
		if begins {
			rec.Names = append(rec.Names, name)
		}
		begins = true
		if !whole {
			break
		}
	}
}

// message takes from a hello what is told in clear. A hello that cannot be
// read tells nothing.
func (p *messages) message(kind byte, b []byte) (retry bool) {
	h := p.h
	switch {
	case kind == helloClient && p.dir == fromClient:
		if c, ok := parseClientHello(b); ok {
			h.SNI, h.ALPN = c.sni, c.alpn
		}
	case kind == helloServer && p.dir == fromServer:
		s, ok := parseServerHello(b)
		if !ok {
			return false
		}
		h.version = s.version
		h.Version, h.Cipher = tls.VersionName(s.version), tls.CipherSuiteName(s.cipher)
		h.Group, h.ALPNChosen = groupName(s.group), s.alpn
		h.PostQuantum = strings.Contains(h.Group, groupsHybrid)
		h.Retry = h.Retry || s.retry
		return s.retry
	}
	return false
}

type clientHello struct {
	sni  string
	alpn []string
}

func parseClientHello(b []byte) (c clientHello, ok bool) {
	s := cryptobyte.String(b)
	var random []byte
	var skip, exts cryptobyte.String
	if !s.Skip(2) || !s.ReadBytes(&random, 32) || !s.ReadUint8LengthPrefixed(&skip) ||
		!s.ReadUint16LengthPrefixed(&skip) || !s.ReadUint8LengthPrefixed(&skip) {
		return c, false
	}
	if s.Empty() {
		return c, true
	}
	if !s.ReadUint16LengthPrefixed(&exts) || !s.Empty() {
		return c, false
	}
	for !exts.Empty() {
		var kind uint16
		var e, list cryptobyte.String
		if !exts.ReadUint16(&kind) || !exts.ReadUint16LengthPrefixed(&e) {
			return c, false
		}
		switch kind {
		case extSNI:
			var nameKind uint8
			var name cryptobyte.String
			if e.ReadUint16LengthPrefixed(&list) && list.ReadUint8(&nameKind) && nameKind == 0 && list.ReadUint16LengthPrefixed(&name) {
				c.sni = string(name)
			}
		case extALPN:
			c.alpn = protocols(e)
		}
	}
	return c, true
}

func protocols(e cryptobyte.String) (all []string) {
	var list, name cryptobyte.String
	if !e.ReadUint16LengthPrefixed(&list) {
		return nil
	}
	for !list.Empty() && list.ReadUint8LengthPrefixed(&name) {
		all = append(all, string(name))
	}
	return all
}

type serverHello struct {
	version, cipher, group uint16
	alpn                   string
	retry                  bool
}

func parseServerHello(b []byte) (h serverHello, ok bool) {
	s := cryptobyte.String(b)
	var random []byte
	var skip, exts cryptobyte.String
	if !s.ReadUint16(&h.version) || !s.ReadBytes(&random, 32) || !s.ReadUint8LengthPrefixed(&skip) ||
		!s.ReadUint16(&h.cipher) || !s.Skip(1) {
		return h, false
	}
	h.retry = string(random) == retryRandom
	if s.Empty() {
		return h, true
	}
	if !s.ReadUint16LengthPrefixed(&exts) || !s.Empty() {
		return h, false
	}
	for !exts.Empty() {
		var kind uint16
		var e cryptobyte.String
		if !exts.ReadUint16(&kind) || !exts.ReadUint16LengthPrefixed(&e) {
			return h, false
		}
		switch kind {
		case extVersions:
			e.ReadUint16(&h.version)
		case extKeyShare:
			e.ReadUint16(&h.group)
		case extALPN:
			if all := protocols(e); len(all) == 1 {
				h.alpn = all[0]
			}
		}
	}
	return h, true
}

func messageName(kind byte) string {
	switch kind {
	case helloClient:
		return "ClientHello"
	case helloServer:
		return "ServerHello"
	case 4:
		return "NewSessionTicket"
	case 8:
		return "EncryptedExtensions"
	case 11:
		return "Certificate"
	case 12:
		return "ServerKeyExchange"
	case 13:
		return "CertificateRequest"
	case 14:
		return "ServerHelloDone"
	case 15:
		return "CertificateVerify"
	case 16:
		return "ClientKeyExchange"
	case finished:
		return "Finished"
	}
	return "Handshake type " + strconv.Itoa(int(kind))
}

// groupName has the names of the registry, which are what people search for.
func groupName(id uint16) string {
	switch id {
	case 0:
		return ""
	case 23:
		return "secp256r1"
	case 24:
		return "secp384r1"
	case 25:
		return "secp521r1"
	case 29:
		return "x25519"
	case 30:
		return "x448"
	case 0x11eb:
		return "SecP256r1MLKEM768"
	case 0x11ec:
		return "X25519MLKEM768"
	case 0x11ed:
		return "SecP384r1MLKEM1024"
	}
	return "0x" + strconv.FormatInt(int64(id), 16)
}
