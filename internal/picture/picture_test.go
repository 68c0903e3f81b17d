package picture

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
)

var (
	red   = color.RGBA{200, 20, 20, 255}
	green = color.RGBA{20, 180, 40, 255}
	blue  = color.RGBA{30, 40, 200, 255}
	white = color.RGBA{250, 250, 250, 255}
)

// corners is an image whose four quarters tell which way up it is.
func corners(w, h int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.SetRGBA(x, y, [][]color.RGBA{{red, green}, {blue, white}}[2*y/h][2*x/w])
		}
	}
	return m
}

// encoded is corners in each format that can be written here.
func encoded(t testing.TB, w, h int) map[string][]byte {
	t.Helper()
	m := corners(w, h)
	all := map[string][]byte{}
	for name, encode := range map[string]func(b *bytes.Buffer) error{
		"png":  func(b *bytes.Buffer) error { return png.Encode(b, m) },
		"jpeg": func(b *bytes.Buffer) error { return jpeg.Encode(b, m, &jpeg.Options{Quality: 95}) },
		"gif":  func(b *bytes.Buffer) error { return gif.Encode(b, m, nil) },
		"bmp":  func(b *bytes.Buffer) error { return bmp.Encode(b, m) },
		"tiff": func(b *bytes.Buffer) error { return tiff.Encode(b, m, &tiff.Options{Compression: tiff.Deflate}) },
	} {
		var b bytes.Buffer
		if err := encode(&b); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all[name] = b.Bytes()
	}
	all["webp"] = tiny(t)
	return all
}

// tiny is a WebP image of one pixel.
func tiny(t testing.TB) []byte {
	t.Helper()
	data, err := base64.StdEncoding.DecodeString("UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA==")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func decode(t *testing.T, data []byte, width, height int) (Picture, image.Image) {
	t.Helper()
	p, err := Decode(t.Context(), data, width, height)
	if err != nil {
		t.Fatal(err)
	}
	m, err := png.Decode(bytes.NewReader(p.PNG))
	if err != nil {
		t.Fatal(err)
	}
	return p, m
}

// quarters names the colors of the four quarters of an image.
func quarters(m image.Image) string {
	var s strings.Builder
	b := m.Bounds()
	for _, at := range [][2]int{{1, 1}, {3, 1}, {1, 3}, {3, 3}} {
		r, g, b, _ := m.At(b.Min.X+at[0]*b.Dx()/4, b.Min.Y+at[1]*b.Dy()/4).RGBA()
		switch {
		case r > 0x9000 && g > 0x9000 && b > 0x9000:
			s.WriteByte('w')
		case r > g && r > b:
			s.WriteByte('r')
		case g > b:
			s.WriteByte('g')
		default:
			s.WriteByte('b')
		}
	}
	return s.String()
}

func TestEachFormatIsDecoded(t *testing.T) {
	t.Parallel()
	for name, data := range encoded(t, 64, 32) {
		if !Known(data[:HeadSize]) {
			t.Errorf("%s is not known", name)
		}
		p, m := decode(t, data, 1000, 1000)
		want := image.Pt(64, 32)
		if name == "webp" {
			want = image.Pt(1, 1)
		} else if got := quarters(m); got != "rgbw" {
			t.Errorf("%s: the quarters are %s", name, got)
		}
		if m.Bounds().Size() != want || image.Pt(p.Width, p.Height) != want {
			t.Errorf("%s: %v, said to be %d × %d", name, m.Bounds(), p.Width, p.Height)
		}
	}
	for _, other := range []string{"", "<svg xmlns='http://www.w3.org/2000/svg'/>", "%PDF-1.7\n%\xe2\xe3", "<!doctype html>", "\x00\x00\x01\x00", "RIFF\x00\x00\x00\x00WAVEfmt ", "BMW is a car maker"} {
		if Known([]byte(other)) {
			t.Errorf("%q is taken for an image", other)
		}
		if _, err := Decode(t.Context(), []byte(other), 10, 10); !errors.Is(err, ErrDamaged) {
			t.Errorf("%q: %v", other, err)
		}
	}
}

// exifBlock is an EXIF block that holds nothing but an orientation.
func exifBlock(order binary.AppendByteOrder, value uint16) []byte {
	b := []byte("II\x2a\x00")
	if order.String() == binary.BigEndian.String() {
		b = []byte("MM\x00\x2a")
	}
	b = order.AppendUint32(b, 8)
	b = order.AppendUint16(b, 1)
	b = order.AppendUint16(b, 0x0112)
	b = order.AppendUint16(b, 3)
	b = order.AppendUint32(b, 1)
	b = order.AppendUint16(b, value)
	return append(b, 0, 0, 0, 0, 0, 0)
}

func pngChunk(name string, data []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	b = append(append(b, name...), data...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

// withEXIF puts a block into an image file.
func withEXIF(name string, data, block []byte) []byte {
	switch name {
	case "jpeg":
		b := append([]byte("\xff\xd8\xff\xe0\x00\x07other"), 0xff, 0xff, 0xe1) // another segment and a filling byte before it
		b = binary.BigEndian.AppendUint16(b, uint16(2+6+len(block)))
		return append(append(append(b, "Exif\x00\x00"...), block...), data[2:]...)
	case "png":
		head := 8 + 12 + 13
		return append(append(bytes.Clone(data[:head]), pngChunk("eXIf", block)...), data[head:]...)
	case "webp":
		b := append(bytes.Clone(data), "EXIF"...)
		b = append(binary.LittleEndian.AppendUint32(b, uint32(len(block))), block...)
		binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-8))
		return b
	}
	return data
}

func TestTheOrientationIsHonored(t *testing.T) {
	t.Parallel()
	// How the quarters "rgbw" stand after each value.
	want := []string{1: "rgbw", 2: "grwb", 3: "wbgr", 4: "bwrg", 5: "rbgw", 6: "brwg", 7: "wgbr", 8: "gwrb"}
	all := encoded(t, 64, 32)
	for value := 1; value <= 8; value++ {
		for _, order := range []binary.AppendByteOrder{binary.BigEndian, binary.LittleEndian} {
			for _, name := range []string{"jpeg", "png"} {
				p, m := decode(t, withEXIF(name, all[name], exifBlock(order, uint16(value))), 20, 20)
				size := image.Pt(64, 32)
				if value >= 5 {
					size = image.Pt(32, 64)
				}
				if got := quarters(m); got != want[value] || image.Pt(p.Width, p.Height) != size || m.Bounds().Dx() > m.Bounds().Dy() != (size.X > size.Y) {
					t.Errorf("%s, orientation %d: %s %v, want %s %v", name, value, got, m.Bounds(), want[value], size)
				}
			}
		}
		if got := orientation(exifOfWebP(withEXIF("webp", all["webp"], exifBlock(binary.LittleEndian, uint16(value))))); got != turn(value) {
			t.Errorf("webp: %d is read as %d", value, got)
		}
	}
	for _, bad := range []uint16{0, 9, 65535} {
		if got := orientation(exifBlock(binary.BigEndian, bad)); got != 1 {
			t.Errorf("orientation %d is read as %d", bad, got)
		}
	}
}

// TestNothingButThePixelsIsLeft: text in an image file does not come out again.
func TestNothingButThePixelsIsLeft(t *testing.T) {
	t.Parallel()
	const marker = "<script>MARKER</script>"
	all := encoded(t, 64, 32)
	files := map[string][]byte{
		"text in PNG":  append(append(bytes.Clone(all["png"][:33]), pngChunk("tEXt", []byte("Comment\x00"+marker))...), all["png"][33:]...),
		"EXIF in JPEG": withEXIF("jpeg", all["jpeg"], append(exifBlock(binary.BigEndian, 1), marker...)),
	}
	for name, data := range all {
		files["behind "+name] = append(bytes.Clone(data), marker...)
	}
	for name, data := range files {
		if p, _ := decode(t, data, 100, 100); bytes.Contains(p.PNG, []byte("MARKER")) || !bytes.Contains(data, []byte(marker)) {
			t.Errorf("%s: the text is still there", name)
		}
	}
}

// pngHeader is a PNG file that claims a size.
func pngHeader(width, height uint32, data []byte) []byte {
	h := binary.BigEndian.AppendUint32(nil, width)
	h = append(binary.BigEndian.AppendUint32(h, height), 8, 2, 0, 0, 0)
	return append(append(append([]byte("\x89PNG\r\n\x1a\n"), pngChunk("IHDR", h)...), pngChunk("IDAT", data)...), pngChunk("IEND", nil)...)
}

// TestAHeaderThatLies: a claimed size costs nothing, and a larger image than was claimed is not decoded.
func TestAHeaderThatLies(t *testing.T) {
	all := encoded(t, 64, 32)
	patched := func(name string, at int, with ...byte) []byte {
		b := bytes.Clone(all[name])
		copy(b[at:], with)
		return b
	}
	sof := bytes.Index(all["jpeg"], []byte{0xff, 0xc0})
	big := encoded(t, 300, 200)
	idat := bytes.Index(big["png"], []byte("IDAT"))
	huge := tiny(t)
	binary.LittleEndian.PutUint32(huge[21:], 0x3fff|0x3fff<<14) // 16,384 × 16,384 in the image itself
	extended := append([]byte("RIFF\x00\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), huge[12:]...)
	binary.LittleEndian.PutUint32(extended[4:], uint32(len(extended)-8))
	for name, x := range map[string]struct {
		data []byte
		want error
	}{
		"PNG of 60,000 × 60,000":  {pngHeader(60_000, 60_000, nil), ErrTooLarge},
		"PNG of 2³¹-1":            {pngHeader(1<<31-1, 1<<31-1, nil), ErrDamaged},
		"JPEG of 60,000 × 60,000": {patched("jpeg", sof+5, 0xea, 0x60, 0xea, 0x60), ErrTooLarge},
		"GIF of 60,000 × 60,000":  {patched("gif", 6, 0x60, 0xea, 0x60, 0xea), ErrTooLarge},
		"BMP of 60,000 × 60,000":  {patched("bmp", 18, 0x60, 0xea, 0, 0, 0x60, 0xea, 0, 0), ErrTooLarge},
		"WebP of 16,384 × 16,384": {huge, ErrTooLarge},
		"PNG of 1 × 1 with more":  {pngHeader(1, 1, big["png"][idat+4:len(big["png"])-16]), ErrDamaged},
		"GIF of 1 × 1 with more":  {patched("gif", 6, 1, 0, 1, 0), ErrDamaged},
		"WebP of 1 × 1 with more": {extended, ErrDamaged},
		"PNG of 0 × 0":            {pngHeader(0, 0, nil), ErrDamaged},
		"more bytes than allowed": {append(bytes.Clone(all["png"]), make([]byte, MaxBytes)...), ErrDamaged},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		p, err := Decode(t.Context(), x.data, 100, 100)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, x.want) || p.PNG != nil {
			t.Errorf("%s: %v, %d × %d", name, err, p.Width, p.Height)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 2<<20 {
			t.Errorf("%s: %d bytes were allocated", name, took)
		}
	}
}

func TestTheLimitOfPixels(t *testing.T) {
	t.Parallel()
	for width, want := range map[int]error{MaxPixels / 8: nil, MaxPixels/8 + 1: ErrTooLarge} {
		var b bytes.Buffer
		if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, image.NewGray(image.Rect(0, 0, width, 8))); err != nil {
			t.Fatal(err)
		}
		p, err := Decode(t.Context(), b.Bytes(), 1<<30, 1<<30)
		if !errors.Is(err, want) {
			t.Fatalf("%d pixels: %v", width*8, err)
		}
		if want == nil {
			if c, err := png.DecodeConfig(bytes.NewReader(p.PNG)); err != nil || c.Width != MaxSide || c.Height != 1 || p.Width != width {
				t.Errorf("%d pixels: %+v %v %v", width*8, c, p.Width, err)
			}
		}
	}
}

// TestNoPixelIsLeftOut: single pixels of black and white become an even gray.
func TestNoPixelIsLeftOut(t *testing.T) {
	t.Parallel()
	m := image.NewGray(image.Rect(0, 0, 4096, 1024))
	for i := range m.Pix {
		m.Pix[i] = uint8((i + i/m.Stride) % 2 * 255)
	}
	small := reduced(m, 300, 300)
	if small.Rect.Size() != image.Pt(300, 75) {
		t.Fatalf("%v", small.Rect)
	}
	for i := 0; i < len(small.Pix); i += 4 {
		if v := small.Pix[i]; v < 110 || v > 145 {
			t.Fatalf("a pixel is %d", v)
		}
	}
}

// TestATruncatedImage: whatever is left of a file gives an error or an image.
func TestATruncatedImage(t *testing.T) {
	t.Parallel()
	for name, data := range encoded(t, 64, 32) {
		for n := range len(data) - 1 {
			if p, err := Decode(t.Context(), data[:n], 10, 10); err != nil && !errors.Is(err, ErrDamaged) || (err == nil) != (p.PNG != nil) {
				t.Fatalf("%d of %d bytes of %s: %v", n, len(data), name, err)
			}
		}
		half := data[:len(data)/2]
		if _, err := Decode(t.Context(), half, 10, 10); name != "tiff" && !errors.Is(err, ErrDamaged) {
			t.Errorf("half of %s: %v", name, err)
		}
	}
}

// TestOfAnAnimationOnlyTheFirstImageIsRead: the others cost nothing, even if they are broken.
func TestOfAnAnimationOnlyTheFirstImageIsRead(t *testing.T) {
	t.Parallel()
	frame := func(c color.RGBA) *image.Paletted {
		return image.NewPaletted(image.Rect(0, 0, 16, 16), color.Palette{c})
	}
	all := &gif.GIF{Image: []*image.Paletted{frame(red)}, Delay: []int{1}}
	for range 9_999 {
		all.Image, all.Delay = append(all.Image, frame(blue)), append(all.Delay, 1)
	}
	var b bytes.Buffer
	if err := gif.EncodeAll(&b, all); err != nil {
		t.Fatal(err)
	}
	for _, data := range [][]byte{b.Bytes(), b.Bytes()[:b.Len()/2], append(bytes.Clone(b.Bytes()[:2000]), "broken"...)} {
		if _, m := decode(t, data, 100, 100); quarters(m) != "rrrr" || m.Bounds().Dx() != 16 {
			t.Errorf("of %d bytes the image is %s %v", len(data), quarters(m), m.Bounds())
		}
	}
}

// scans is a progressive JPEG of a few kilobytes for each second that it takes: a gray image whose
// coefficients are sent again and again, all of them zero.
func scans(width, height, n int) []byte {
	segment := func(b []byte, marker byte, data ...byte) []byte {
		b = append(b, 0xff, marker)
		return append(binary.BigEndian.AppendUint16(b, uint16(len(data)+2)), data...)
	}
	b := []byte{0xff, 0xd8}
	b = segment(b, 0xdb, append([]byte{0}, bytes.Repeat([]byte{1}, 64)...)...)
	b = segment(b, 0xc2, 8, byte(height>>8), byte(height), byte(width>>8), byte(width), 1, 1, 0x11, 0)
	codes := make([]byte, 16)
	codes[0] = 1                                                          // one code, of one bit, 0
	b = segment(b, 0xc4, append(append([]byte{0x00}, codes...), 0)...)    // DC: no difference
	b = segment(b, 0xc4, append(append([]byte{0x10}, codes...), 0xe0)...) // AC: a run of 2¹⁴ and more blocks without coefficients
	blocks := ((width + 7) / 8) * ((height + 7) / 8)
	b = segment(b, 0xda, 1, 1, 0, 0, 0, 0)
	b = append(b, make([]byte, (blocks+7)/8)...)
	for range n {
		b = segment(b, 0xda, 1, 1, 0, 1, 63, 0)
		runs := (blocks + 1<<14 - 1) >> 14
		b = append(b, make([]byte, (15*runs+7)/8)...)
	}
	return append(b, 0xff, 0xd9)
}

func TestDecodingEndsWithItsContext(t *testing.T) {
	t.Parallel()
	data := scans(5000, 5000, 20_000)
	if len(data) > 2<<20 {
		t.Fatalf("%d bytes", len(data))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := Decode(ctx, data, 100, 100); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if _, err := Decode(t.Context(), scans(64, 64, 3), 100, 100); err != nil { // else it ended for another reason
		t.Errorf("a few scans: %v", err)
	}
}

// tiled is a TIFF one pixel wide, whose tiles are all in the same place of the file.
func tiled(t *testing.T, tiles int) []byte {
	t.Helper()
	var stream bytes.Buffer
	z := zlib.NewWriter(&stream)
	if _, err := z.Write(make([]byte, 8*8)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	fields := [][4]uint32{ // tag, type, count, value
		{256, 4, 1, 1},
		{257, 4, 1, uint32(8 * tiles)},
		{258, 3, 1, 8},
		{259, 3, 1, 8},
		{262, 3, 1, 1},
		{322, 3, 1, 8},
		{323, 3, 1, 8},
		{324, 4, uint32(tiles), 0},
		{325, 4, uint32(tiles), 0},
	}
	lists := 8 + 2 + 12*len(fields) + 4
	at := lists + 8*tiles
	fields[7][3], fields[8][3] = uint32(lists), uint32(lists+4*tiles)
	b := le.AppendUint32([]byte("II\x2a\x00"), 8)
	b = le.AppendUint16(b, uint16(len(fields)))
	for _, f := range fields {
		b = le.AppendUint16(le.AppendUint16(b, uint16(f[0])), uint16(f[1]))
		b = le.AppendUint32(le.AppendUint32(b, f[2]), f[3])
	}
	b = le.AppendUint32(b, 0)
	for _, v := range []int{at, stream.Len()} {
		for range tiles {
			b = le.AppendUint32(b, uint32(v))
		}
	}
	return append(b, stream.Bytes()...)
}

// asked is a context that has ended when it has been asked n times.
type asked struct {
	context.Context //nolint:containedctx // it is one
	n               int
}

func (a *asked) Err() error {
	if a.n--; a.n < 0 {
		return context.Canceled
	}
	return nil
}

// TestDecodingOfTilesEndsWithItsContext: each tile of a TIFF asks it.
func TestDecodingOfTilesEndsWithItsContext(t *testing.T) {
	t.Parallel()
	if _, err := Decode(&asked{t.Context(), 1000}, tiled(t, 100_000), 100, 100); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if p, err := Decode(t.Context(), tiled(t, 3), 100, 100); err != nil || p.Height != 24 { // else it ended for another reason
		t.Errorf("a few tiles: %d %v", p.Height, err)
	}
}

// TestFewerPixelsWhereADecoderNeedsMoreMemory: by the header, before anything is allocated.
func TestFewerPixelsWhereADecoderNeedsMoreMemory(t *testing.T) {
	t.Parallel()
	cmyk := func(height int) []byte { // the head of a JPEG with four components
		b := []byte{0xff, 0xd8, 0xff, 0xee, 0, 14, 'A', 'd', 'o', 'b', 'e', 0, 100, 0, 0, 0, 0, 0, 0xff, 0xc2, 0, 20, 8, byte(height >> 8), byte(height), 0x0f, 0xa0, 4}
		for i := range byte(4) {
			b = append(b, i+1, 0x11, 0)
		}
		return append(b, 0xff, 0xda, 0, 14, 4)
	}
	for name, x := range map[string]struct {
		data []byte
		want error
	}{
		"TIFF, less":      {tiled(t, maxTIFF/8)[:2000], ErrDamaged},
		"TIFF, more":      {tiled(t, maxTIFF/8+1), ErrTooLarge},
		"CMYK JPEG, less": {cmyk(maxCMYK / 4000), ErrDamaged},
		"CMYK JPEG, more": {cmyk(maxCMYK/4000 + 1), ErrTooLarge},
	} {
		if _, err := Decode(t.Context(), x.data, 100, 100); !errors.Is(err, x.want) {
			t.Errorf("%s: %v, want %v", name, err, x.want)
		}
	}
}

// TestTheSizeOfAnAnimation is that of its screen, whatever its first image covers.
func TestTheSizeOfAnAnimation(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := gif.EncodeAll(&b, &gif.GIF{
		Image: []*image.Paletted{image.NewPaletted(image.Rect(10, 10, 20, 15), color.Palette{red})}, Delay: []int{1}, Config: image.Config{Width: 64, Height: 32},
	}); err != nil {
		t.Fatal(err)
	}
	if p, _ := decode(t, b.Bytes(), 100, 100); p.Width != 64 || p.Height != 32 {
		t.Errorf("%d × %d", p.Width, p.Height)
	}
}

func FuzzDecode(f *testing.F) {
	for _, data := range encoded(f, 16, 8) {
		f.Add(data)
	}
	f.Add(scans(16, 16, 2))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Decode(t.Context(), data, 50, 40)
		if err != nil {
			return
		}
		c, err := png.DecodeConfig(bytes.NewReader(p.PNG))
		if err != nil || c.Width > 50 || c.Height > 40 || p.Width*p.Height > MaxPixels {
			t.Errorf("%+v %v", c, err)
		}
	})
}

// FuzzOrientation reaches the readers of EXIF blocks without the recover of Decode.
func FuzzOrientation(f *testing.F) {
	all := encoded(f, 16, 8)
	for name, data := range all {
		f.Add(withEXIF(name, data, exifBlock(binary.BigEndian, 6)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		x, ok := formatOf(data)
		if !ok {
			return
		}
		if v := orientation(x.exif(data)); v < 1 || v > 8 {
			t.Errorf("%d", v)
		}
	})
}
