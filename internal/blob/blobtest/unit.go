package blobtest

import (
	"bytes"
	"slices"

	"hufu"
	"hufu/internal/digest"
)

func unitTests() []test {
	larger := func(s *Store) bool { return s.Unit > hufu.ChunkSize }
	return []test{
		{"HolesAreZeros", holesAreZeros, nil},
		{"UnitsComeInOrder", unitsComeInOrder, larger},
		{"AUnitHasOneHolder", aUnitHasOneHolder, larger},
		{"AUnitIsReplacedAsAWhole", aUnitIsReplacedAsAWhole, larger},
	}
}

func holesAreZeros(s *suite) {
	data := random(4*s.Unit+5, 27)
	clear(data[s.Unit : 3*s.Unit])
	u := s.upload(s.key("f", data))
	s.sendUnits(u, data, 0)
	for _, k := range []int64{1, 2} {
		for _, i := range s.unit(k, data) {
			s.must(u.Write(s.Context(), i, nil, digest.Zeros(hufu.ChunkSize, i)))
		}
	}
	s.sendUnits(u, data, 3, 4)
	s.missingAre(u, data)
	e, err := s.commit(u, data, ifAbsent())
	s.must(err)
	if e.Size != int64(len(data)) {
		s.Errorf("the file is %+v, want %d bytes", e, len(data))
	}
	s.holds("f", string(data))
	f, err := s.open("f")
	s.must(err)
	defer func() { _ = f.Close() }()
	buf := make([]byte, hufu.ChunkSize)
	for i := range digest.Chunks(f.Size()) {
		got, hole, cv, err := f.ReadChunk(s.Context(), i, buf)
		want := chunk(data, i)
		if err != nil || cv != digest.Chunk(want, i) || hole && len(got) > 0 || !hole && !bytes.Equal(got, want) {
			s.Errorf("chunk %d: %d bytes, hole %v, %v", i, len(got), hole, err)
		}
	}
	for _, off := range []int64{0, 1, s.Unit - 1, s.Unit, s.Unit + 7, 2 * s.Unit, 3*s.Unit - 1, 3 * s.Unit, f.Size() - 1, f.Size()} {
		next := f.NextData(off)
		if next < off || next > f.Size() || len(bytes.Trim(data[off:next], "\x00")) > 0 {
			s.Errorf("after %d data begins at %d", off, next)
		}
	}
	if e, err := s.Tree.Digest(s.Context(), s.path("f")); err != nil || e.Digest != digest.Sum(data) {
		s.Errorf("the digest is %+v %v, want that of the bytes", e, err)
	}
}

func unitsComeInOrder(s *suite) {
	data := s.large(30)
	u := s.upload(s.key("f", data))
	all := s.unit(0, data)
	last := all[len(all)-1]
	s.wantErr(s.send(u, data, all[1]), hufu.KindInvalid, "unit_order")
	s.must(s.send(u, data, 0))
	s.wantErr(s.send(u, data, all[2]), hufu.KindInvalid, "unit_order")
	s.must(s.send(u, data, all[1]))
	s.wantErr(s.send(u, data, all[1]), hufu.KindInvalid, "unit_order")
	s.sendUnits(u, data, 2) // another unit meanwhile
	for _, i := range all[2 : len(all)-1] {
		s.must(s.send(u, data, i))
	}
	s.missingAre(u, data, 0, 1)
	for _, i := range all { // started over
		s.missingAre(u, data, 0, 1)
		s.must(s.send(u, data, i))
	}
	s.missingAre(u, data, 1)
	s.must(s.send(u, data, last)) // it is there
	s.sendUnits(u, data, 1)
	_, err := s.commit(u, data, ifAbsent())
	s.must(err)
	s.holds("f", string(data))
}

func aUnitHasOneHolder(s *suite) {
	data := s.large(31)
	u, v := s.upload(s.key("f", data)), s.upload(s.key("f", data))
	s.must(s.send(u, data, 0))
	s.wantErr(s.send(v, data, 1), hufu.KindInvalid, "unit_order")
	s.must(s.send(v, data, 0)) // takes it over
	s.wantErr(s.send(u, data, 1), hufu.KindInvalid, "unit_order")
	s.must(s.send(v, data, 1))
	s.must(v.Close()) // an incomplete unit is dropped when its holder closes
	s.missingAre(u, data, 0, 1, 2)
	w := s.upload(s.key("f", data))
	s.wantErr(s.send(w, data, 2), hufu.KindInvalid, "unit_order")
	s.sendUnits(w, data, 0)
	s.missingAre(u, data, 1, 2)
}

func aUnitIsReplacedAsAWhole(s *suite) {
	data := s.large(32)
	other := slices.Clone(data)
	other[3*hufu.ChunkSize] ^= 1
	u := s.upload(s.key("f", data))
	s.sendUnits(u, other, 0, 1, 2)
	// A different chunk in the middle of an arrived unit voids the whole unit.
	s.wantErr(s.send(u, data, 3), hufu.KindInvalid, "unit_order")
	s.missingAre(u, data, 0)
	s.sendUnits(u, data, 0)
	s.missingAre(u, data)
	_, err := s.commit(u, data, ifAbsent())
	s.must(err)
	s.holds("f", string(data))
}
