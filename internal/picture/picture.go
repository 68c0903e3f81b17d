// Package picture turns an image file, whose bytes may have been made to do harm, into a PNG that
// fits a screen. Nothing of the file survives but the colors of its pixels.
//
// A file is never larger than MaxBytes and an image never has more than MaxPixels, fewer in formats
// whose decoders need more memory for each; both are known
// before memory for the pixels is allocated. The caller decodes one image at a time.
package picture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"

	"golang.org/x/image/bmp"
	"golang.org/x/image/draw"
	"golang.org/x/image/tiff"
	"golang.org/x/image/webp"
)

// Limits of an image file.
const (
	MaxBytes  = 32 << 20   // of the file
	MaxPixels = 32_000_000 // 32 megapixels
	MaxSide   = 2048       // of the result, in pixels

	maxTIFF = 8_000_000  // its decoder can need 32 bytes for a pixel
	maxCMYK = 16_000_000 // of a JPEG: a progressive one needs more than 20 bytes for a pixel
)

// Errors of Decode.
var (
	ErrTooLarge = errors.New("picture: too many pixels")
	ErrDamaged  = errors.New("picture: damaged, or not of a known format")
)

// HeadSize is the number of bytes that Known looks at.
const HeadSize = 16

// format is a kind of image files. In magic a question mark stands for any byte.
type format struct {
	magic     string
	maxPixels int
	config    func(io.Reader) (image.Config, error)
	decode    func(io.Reader) (image.Image, error)
	exif      func(data []byte) []byte // returns the block that holds the orientation, or nil
}

// formats returns everything that can be decoded. Of an animation it is the first image.
func formats() []format {
	return []format{
		{"\x89PNG\r\n\x1a\n", MaxPixels, png.DecodeConfig, png.Decode, exifOfPNG},
		{"\xff\xd8\xff", MaxPixels, jpeg.DecodeConfig, jpeg.Decode, exifOfJPEG},
		{"GIF8?a", MaxPixels, gif.DecodeConfig, gif.Decode, noEXIF},
		{"RIFF????WEBPVP8", MaxPixels, webp.DecodeConfig, webp.Decode, exifOfWebP},
		{"BM????\x00\x00\x00\x00", MaxPixels, bmp.DecodeConfig, bmp.Decode, noEXIF},
		{"II\x2a\x00", maxTIFF, tiff.DecodeConfig, tiff.Decode, exifOfTIFF},
		{"MM\x00\x2a", maxTIFF, tiff.DecodeConfig, tiff.Decode, exifOfTIFF},
	}
}

// formatOf returns the format of a file that begins with head.
func formatOf(head []byte) (f format, ok bool) {
	for _, f := range formats() {
		if len(head) >= len(f.magic) && matches(f.magic, head) {
			return f, true
		}
	}
	return format{}, false
}

func matches(magic string, head []byte) bool {
	for i := range len(magic) {
		if magic[i] != '?' && magic[i] != head[i] {
			return false
		}
	}
	return true
}

// Known reports whether a file that begins with head is an image of a known format.
func Known(head []byte) bool {
	_, ok := formatOf(head)
	return ok
}

// Picture is a decoded image.
type Picture struct {
	Width, Height int // of the whole image as a person sees it, before it was reduced
	PNG           []byte
}

// Decode decodes the image file data, turns it as its orientation says, and reduces it to at most
// width times height pixels and MaxSide on each side. It ends soon after ctx.
func Decode(ctx context.Context, data []byte, width, height int) (p Picture, err error) {
	f, ok := formatOf(data)
	if !ok || len(data) > MaxBytes {
		return Picture{}, ErrDamaged
	}
	defer func() {
		// A decoder that panics must not take the program with it.
		if v := recover(); v != nil {
			p, err = Picture{}, fmt.Errorf("%w: %v", ErrDamaged, v)
		}
	}()
	c, err := f.config(bytes.NewReader(data))
	if err != nil || c.Width < 1 || c.Height < 1 {
		return Picture{}, damaged(ctx, err)
	}
	limit := f.maxPixels
	if c.ColorModel == color.CMYKModel {
		limit = min(limit, maxCMYK)
	}
	if int64(c.Width)*int64(c.Height) > int64(limit) {
		return Picture{}, ErrTooLarge
	}
	full, err := f.decode(&reader{ctx, bytes.NewReader(data)})
	if err != nil || full.Bounds().Empty() {
		return Picture{}, damaged(ctx, err)
	}
	turn := orientation(f.exif(data))
	p.Width, p.Height = c.Width, c.Height // the first image of a GIF may be smaller
	width, height = max(1, min(width, MaxSide)), max(1, min(height, MaxSide))
	if turn.swaps() {
		width, height = height, width
		p.Width, p.Height = c.Height, c.Width
	}
	var out bytes.Buffer
	enc := png.Encoder{CompressionLevel: png.BestSpeed}
	if err := enc.Encode(&out, turn.apply(reduced(full, width, height))); err != nil {
		return Picture{}, damaged(ctx, err)
	}
	p.PNG = out.Bytes()
	return p, nil
}

func damaged(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("%w: %w", ErrDamaged, errors.Join(err))
}

// reader ends with a context. The decoders read a few kilobytes at a time; that of TIFF reads each
// block by ReadAt, and without it would copy the whole file first.
type reader struct {
	ctx context.Context
	r   *bytes.Reader
}

func (r *reader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(b)
}

func (r *reader) ReadAt(b []byte, off int64) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.ReadAt(b, off)
}

// reduced returns src with at most width times height pixels. It halves the image as long as that
// leaves enough: one step from far above would leave out pixels.
func reduced(src image.Image, width, height int) *image.RGBA {
	size := src.Bounds().Size()
	to := fitting(size, width, height)
	for size.X > 2*to.X || size.Y > 2*to.Y {
		size = image.Pt(max((size.X+1)/2, to.X), max((size.Y+1)/2, to.Y))
		src = scaled(src, size)
	}
	return scaled(src, to)
}

func scaled(src image.Image, to image.Point) *image.RGBA {
	dst := image.NewRGBA(image.Rectangle{Max: to})
	draw.ApproxBiLinear.Scale(dst, dst.Bounds(), src, src.Bounds(), draw.Src, nil)
	return dst
}

// fitting returns the largest size of the same shape that fits, and never more than size.
func fitting(size image.Point, width, height int) image.Point {
	if size.X <= width && size.Y <= height {
		return size
	}
	x, y := int64(size.X), int64(size.Y)
	if w, h := int64(width), int64(height); x*h > y*w {
		x, y = w, y*w/x
	} else {
		x, y = x*h/y, h
	}
	return image.Pt(max(1, int(x)), max(1, int(y)))
}
