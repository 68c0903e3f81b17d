package picture

import (
	"bytes"
	"encoding/binary"
	"image"
)

// turn is the value of the tag Orientation, 1 to 8 (TIFF 6.0, page 36). 1 changes nothing.
type turn int

// swaps reports whether width and height change places.
func (t turn) swaps() bool { return t >= 5 }

// apply returns the image as a person is meant to see it.
func (t turn) apply(src *image.RGBA) *image.RGBA {
	if t == 1 {
		return src
	}
	w, h := src.Rect.Dx(), src.Rect.Dy()
	dst := image.NewRGBA(image.Rect(0, 0, w, h))
	if t.swaps() {
		dst = image.NewRGBA(image.Rect(0, 0, h, w))
	}
	for y := range h {
		for x := range w {
			u, v := x, y
			switch t {
			case 2:
				u = w - 1 - x
			case 3:
				u, v = w-1-x, h-1-y
			case 4:
				v = h - 1 - y
			case 5:
				u, v = y, x
			case 6:
				u, v = h-1-y, x
			case 7:
				u, v = h-1-y, w-1-x
			case 8:
				u, v = y, w-1-x
			}
			copy(dst.Pix[dst.PixOffset(u, v):][:4], src.Pix[src.PixOffset(x, y):][:4])
		}
	}
	return dst
}

// orientation reads the tag from an EXIF block, which has the form of a TIFF file. It returns 1 if
// the block says nothing.
func orientation(block []byte) turn {
	const tag, short, entry = 0x0112, 3, 12
	if len(block) < 8 {
		return 1
	}
	var order binary.ByteOrder = binary.LittleEndian
	switch string(block[:4]) {
	case "II\x2a\x00":
	case "MM\x00\x2a":
		order = binary.BigEndian
	default:
		return 1
	}
	at := uint64(order.Uint32(block[4:]))
	if at+2 > uint64(len(block)) {
		return 1
	}
	n := int(order.Uint16(block[at:]))
	for rest := block[at+2:]; n > 0 && len(rest) >= entry; n, rest = n-1, rest[entry:] {
		if order.Uint16(rest) != tag {
			continue
		}
		if v := turn(order.Uint16(rest[8:])); order.Uint16(rest[2:]) == short && v >= 1 && v <= 8 {
			return v
		}
		return 1
	}
	return 1
}

func noEXIF([]byte) []byte          { return nil }
func exifOfTIFF(data []byte) []byte { return data }

// exifOfJPEG looks through the segments before the image itself.
func exifOfJPEG(data []byte) []byte {
	const app1, scan = 0xe1, 0xda
	for rest := data[2:]; len(rest) >= 4 && rest[0] == 0xff && rest[1] != scan; {
		if rest[1] == 0xff { // a filling byte
			rest = rest[1:]
			continue
		}
		n := int(binary.BigEndian.Uint16(rest[2:]))
		if n < 2 || n+2 > len(rest) {
			return nil
		}
		if block, ok := bytes.CutPrefix(rest[4:2+n], []byte("Exif\x00\x00")); ok && rest[1] == app1 {
			return block
		}
		rest = rest[2+n:]
	}
	return nil
}

// exifOfPNG looks through the chunks: length, name, data, checksum.
func exifOfPNG(data []byte) []byte {
	const signature, sum = 8, 4
	for rest := data[signature:]; len(rest) >= 8; {
		n, body := uint64(binary.BigEndian.Uint32(rest)), rest[8:]
		if n+sum > uint64(len(body)) {
			return nil
		}
		if string(rest[4:8]) == "eXIf" {
			return body[:n]
		}
		rest = body[n+sum:]
	}
	return nil
}

// exifOfWebP looks through the chunks: name, length, data, filled up to an even length.
func exifOfWebP(data []byte) []byte {
	const header = 12
	for rest := data[header:]; len(rest) >= 8; {
		n, body := uint64(binary.LittleEndian.Uint32(rest[4:])), rest[8:]
		if n > uint64(len(body)) {
			return nil
		}
		if string(rest[:4]) == "EXIF" {
			return bytes.TrimPrefix(body[:n], []byte("Exif\x00\x00"))
		}
		rest = body[min(n+n%2, uint64(len(body))):]
	}
	return nil
}
