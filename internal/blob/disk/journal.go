package disk

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/disk/sys"
	"hufu/internal/digest"
)

// A journal records which chunks of an upload have arrived, so that a kill does
// not lose them:
//
//	magic 8 · length of header 4 · CRC-32C of header 4 · header, CBOR
//	records of 44: index 8 · chaining value 32 · CRC-32C 4
//
// All numbers are little-endian. The checksum of a record also covers the upload's id, so that
// old contents of a reused block are never taken for a record. The first record with a wrong
// checksum ends the journal.
const (
	journalMagic  = "hufujnl1"
	journalPrefix = 16
	recordSize    = 44
	maxHeader     = 16 << 10
	// holeFlag marks the index of a chunk that is a hole, lostFlag that of a
	// chunk that is about to be overwritten.
	holeFlag = 1 << 63
	lostFlag = 1 << 62
)

// header identifies the upload and the file that holds its bytes.
type header struct {
	ID     []byte `cbor:"1,keyasint"`
	Root   string `cbor:"2,keyasint"` // folder of the store
	Path   []byte `cbor:"3,keyasint"`
	Size   int64  `cbor:"4,keyasint"`
	Source []byte `cbor:"5,keyasint"`
	Owner  []byte `cbor:"6,keyasint"`
	Boot   string `cbor:"7,keyasint"` // the boot in which the records can be trusted
	Ino    uint64 `cbor:"8,keyasint"` // of the staging file
}

func (h *header) id() string { return hex.EncodeToString(h.ID) }

func (h *header) key() (blob.UploadKey, bool) {
	p, err := hufu.ParsePath(string(h.Path))
	return blob.UploadKey{Path: p, Size: h.Size, Source: string(h.Source), Owner: string(h.Owner)}, err == nil && !p.IsRoot()
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// encodeHeader returns everything that precedes the records.
func (s *Store) encodeHeader(h *header) ([]byte, error) {
	body, err := s.codec.append(nil, h)
	if err != nil {
		return nil, err
	}
	b := make([]byte, journalPrefix, journalPrefix+len(body))
	copy(b, journalMagic)
	binary.LittleEndian.PutUint32(b[8:], uint32(len(body)))
	binary.LittleEndian.PutUint32(b[12:], crc32.Checksum(body, castagnoli()))
	return append(b, body...), nil
}

var errJournal = errors.New("not a journal")

// decodeHeader returns the header and the offset at which the records begin.
func (s *Store) decodeHeader(b []byte) (h header, records int64, err error) {
	if len(b) < journalPrefix || string(b[:8]) != journalMagic {
		return header{}, 0, errJournal
	}
	size := binary.LittleEndian.Uint32(b[8:])
	if size > maxHeader || int(size) > len(b)-journalPrefix {
		return header{}, 0, errJournal
	}
	body := b[journalPrefix : journalPrefix+int(size)]
	if crc32.Checksum(body, castagnoli()) != binary.LittleEndian.Uint32(b[12:]) {
		return header{}, 0, errJournal
	}
	if err := s.codec.dec.Unmarshal(body, &h); err != nil {
		return header{}, 0, errJournal
	}
	if _, ok := h.key(); !ok || len(h.ID) != idSize || h.Size <= hufu.ChunkSize || h.Size > hufu.MaxFileSize {
		return header{}, 0, errJournal
	}
	return h, journalPrefix + int64(size), nil
}

func putRecord(b *[recordSize]byte, id []byte, index uint64, cv *digest.CV) {
	binary.LittleEndian.PutUint64(b[:], index)
	copy(b[8:40], cv[:])
	binary.LittleEndian.PutUint32(b[40:], recordSum(b, id))
}

func recordSum(b *[recordSize]byte, id []byte) uint32 {
	return crc32.Update(crc32.Checksum(id, castagnoli()), castagnoli(), b[:40])
}

// readRecords calls yield for each valid record with its number, and returns the offset at which
// they end. An error of yield ends the reading and is returned.
func readRecords(f sys.File, id []byte, off int64, yield func(record, index int64, as chunkState) error) (int64, error) {
	buf := make([]byte, recordSize*1024)
	for record := int64(0); ; {
		n, err := f.ReadAt(buf, off)
		if err != nil {
			return off, err
		}
		rest := buf[:n]
		for len(rest) >= recordSize {
			r := (*[recordSize]byte)(rest)
			index := binary.LittleEndian.Uint64(r[:])
			if binary.LittleEndian.Uint32(r[40:]) != recordSum(r, id) || index>>62 == 3 {
				return off, nil
			}
			as := chunkData
			switch {
			case index&lostFlag != 0:
				as = chunkMissing
			case index&holeFlag != 0:
				as = chunkHole
			}
			if err := yield(record, int64(index&^(holeFlag|lostFlag)), as); err != nil {
				return off, err
			}
			rest, off, record = rest[recordSize:], off+recordSize, record+1
		}
		if n < len(buf) {
			return off, nil
		}
	}
}
