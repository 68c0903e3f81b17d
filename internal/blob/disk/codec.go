package disk

import (
	"bytes"

	"github.com/fxamacker/cbor/v2"
)

// codec holds the encoding of records and journal headers.
type codec struct {
	enc cbor.UserBufferEncMode
	dec cbor.DecMode
}

// append appends the encoding of v to b.
func (c *codec) append(b []byte, v any) ([]byte, error) {
	buf := bytes.NewBuffer(b)
	err := c.enc.MarshalToBuffer(v, buf)
	return buf.Bytes(), err
}

func newCodec() (*codec, error) {
	enc, err := cbor.CoreDetEncOptions().UserBufferEncMode()
	if err != nil {
		return nil, err
	}
	dec, err := cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
	}.DecMode()
	if err != nil {
		return nil, err
	}
	return &codec{enc, dec}, nil
}
