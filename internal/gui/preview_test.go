package gui

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"hufu"
	"hufu/internal/client"
	"hufu/internal/picture"
)

func pngOf(t *testing.T, w, h int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, w, h))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestWhatIsShownOfAFile: for each file what its preview is, or why there is none.
func TestWhatIsShownOfAFile(t *testing.T) {
	t.Parallel()
	p := sit(t)
	text := strings.Repeat("0123456789abcde\n", maxText/16)
	for name, x := range map[string]struct{ content, want string }{
		"empty":                   {"", "text "},
		"plain.txt":               {"one\ttwo\nthree", "text one\ttwo\nthree"},
		"no-extension":            {"text", "text text"},
		"dos.txt":                 {"\ufeffa\r\nb\r\n", "text a\nb\n"},
		"中文.txt":                  {"虎符 😀", "text 虎符 😀"},
		"escapes.log":             {"\x1b[31mred\x1b]0;title\x07\b", `text \x1b[31mred\x1b]0;title\x07\x08`},
		"bidi.go":                 {"if admin { /* \u202e } \u2066 */", `text if admin { /* \u202e } \u2066 */`},
		"joiners.txt":             {"می\u200cخواهم 👩\u200d💻", "text می\u200cخواهم 👩\u200d💻"},
		"separators.txt":          {"a\u2028b\u0085c\vd", `text a\u2028b\u0085c\x0bd`},
		"readme.md":               {"<p align=\"center\">hufu</p>", "text <p align=\"center\">hufu</p>"},
		"config.xml":              {"<?xml version=\"1.0\"?><a/>", "text <?xml version=\"1.0\"?><a/>"},
		"icons.md":                {"Put it in:\n\n<svg viewBox='0 0 1 1'/>", "text Put it in:\n\n<svg viewBox='0 0 1 1'/>"},
		"begins.md":               {"<svg/>\ntext", "text <svg/>\ntext"},
		"icons.js":                {"const icon = '<svg/>'", "text const icon = '<svg/>'"},
		"icon.xml":                {"\ufeff<?xml version='1.0'?>\n<!-- <a> -->\n<!ELEMENT a><SVG/>", "none type"},
		"icon":                    {"<!DOCTYPE svg PUBLIC 'x' [<!ENTITY a 'b'>]><svg/>", "none type"},
		"comment.xml":             {"<!-- <svg> that never ends", "none type"},
		"limit.txt":               {text, "text " + text},
		"larger.txt":              {text + "x", "none large"},
		"cut-in-a-character.txt":  {text[1:] + "\xe8", "none type"},
		"nul.txt":                 {"a\x00b", "none type"},
		"late-nul.txt":            {text[1:] + "\x00", "none type"},
		"latin1.txt":              {"caf\xe9", "none type"},
		"gbk.txt":                 {"\xbb\xa2\xb7\xfb", "none type"},
		"page.HTML":               {"text", "none type"},
		"page":                    {"\n <HTML><body>", "none type"},
		"archive.zip":             {"PK\x03\x04\x14\x00" + text + text, "none type"},
		"image.png":               {string(pngOf(t, 40, 20)), "image 40x20"},
		"image":                   {string(pngOf(t, 4000, 20)), "image 4000x20"},
		"image.txt":               {string(pngOf(t, 3, 2)), "image 3x2"},
		"cut.png":                 {string(pngOf(t, 40, 20)[:60]), "none damaged"},
		"many.png":                {string(pngOf(t, picture.MaxPixels/1000+1, 1000)), "none pixels"},
		"text-called-image.png":   {"text", "text text"},
		"BM.txt":                  {"BMW", "text BMW"},
		"\u202etxt.<b>\n\x1b.png": {"text", "text text"},
	} {
		if err := os.WriteFile(filepath.Join(p.home, name), []byte(x.content), 0o600); err != nil {
			t.Fatal(err)
		}
		want(t, p, name, x.want)
	}
	for name, size := range map[string]int64{"huge.txt": 10 << 30, "huge.png": picture.MaxBytes + 1} {
		if err := os.WriteFile(filepath.Join(p.home, name), pngOf(t, 1, 1), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(filepath.Join(p.home, name), size); err != nil {
			t.Fatal(err)
		}
		want(t, p, name, "none large")
	}
	if err := os.Mkdir(filepath.Join(p.home, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	want(t, p, "folder", "none type")
	for path, code := range map[string]string{localPath(filepath.Join(p.home, "gone")): "no_such_file", "/": "is_a_folder", "/a/../b": "path_segment", "x": "path_segment"} {
		if e := p.ask("preview", where{"local", path}, nil); e == nil || e.Code != code {
			t.Errorf("%s: %+v, want %s", path, e, code)
		}
	}
	if e := p.ask("preview", where{"elsewhere", "/x"}, nil); e == nil || e.Code != "gui_bad_request" {
		t.Errorf("of no side: %+v", e)
	}
}

// want asks for a preview of a file in the home folder and compares.
func want(t *testing.T, p *person, name, want string) {
	t.Helper()
	var v jsonPreview
	e := p.ask("preview", where{"local", localPath(filepath.Join(p.home, name))}, &v)
	got := v.Kind + " " + v.Why + v.Text
	if v.Kind == shownImage {
		c, err := png.DecodeConfig(bytes.NewReader(v.PNG))
		if err != nil || c.Width > previewSide || c.Height > previewSide {
			t.Errorf("%q: an image of %+v %v", name, c, err)
		}
		got += sizeOf(v.Width, v.Height)
	}
	if e != nil || got != want {
		t.Errorf("%q: %.60q, want %.60q %+v", name, got, want, e)
	}
}

func sizeOf(w, h int) string { return fmt.Sprintf("%dx%d", w, h) }

// TestAPreviewIsOfOneVersion: a file that is written or removed while it is read is not shown.
func TestAPreviewIsOfOneVersion(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(string) error{
		"written": func(name string) error {
			f, err := os.OpenFile(name, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteAt([]byte("x"), 2<<20)
			return errors.Join(err, f.Close())
		},
		"cut":      func(name string) error { return os.Truncate(name, 1<<20+1) },
		"removed":  os.Remove,
		"replaced": func(name string) error { return os.Rename(name+".new", name) },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			name := filepath.Join(t.TempDir(), "image.png")
			for _, n := range []string{name, name + ".new"} {
				if err := os.WriteFile(n, append(pngOf(t, 10, 10), make([]byte, 3<<20)...), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Test(t, func(t *testing.T) {
				p := peek{slot: make(chan struct{}, 1), name: "image.png"}
				p.slot <- struct{}{} // it waits here, after it has opened the file
				var err error
				done := make(chan struct{})
				go func() {
					defer close(done)
					err = p.take(t.Context(), func() (hufu.Entry, error) { return client.LocalEntry(t.Context(), TestDisk, name, false) },
						func(ctx context.Context, w io.Writer) error { return client.LocalCat(ctx, TestDisk, name, w) })
				}()
				synctest.Wait()
				if p.data != nil {
					t.Error("an image is read without a place")
				}
				if err := change(name); err != nil {
					t.Fatal(err)
				}
				<-p.slot
				<-done
				if k := hufu.KindOf(err); k != hufu.KindChanged {
					t.Errorf("%v %v", k, err)
				}
				if p.release(); len(p.slot) != 0 {
					t.Error("the next image waits for ever")
				}
			})
		})
	}
}

// TestImagesWaitForEachOther: while one is decoded a text is shown, and the next image waits for as
// long as somebody wants to see it.
func TestImagesWaitForEachOther(t *testing.T) {
	t.Parallel()
	p := sit(t)
	for name, data := range map[string][]byte{"a.txt": []byte("text"), "a.png": pngOf(t, 3, 2)} {
		if err := os.WriteFile(filepath.Join(p.home, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p.pictures <- struct{}{}
	want(t, p, "a.txt", "text text")
	gone, leave := context.WithCancel(t.Context())
	leave()
	w := p.do(http.MethodPost, "/api/preview", `{"side":"local","path":`+quoted(localPath(filepath.Join(p.home, "a.png")))+`}`, func(r *http.Request) { *r = *r.WithContext(gone) })
	if w.Code == http.StatusOK || len(p.pictures) != 1 {
		t.Errorf("an image that nobody waits for: %d", w.Code)
	}
	<-p.pictures
	for range 3 { // each gives its place back
		want(t, p, "a.png", "image 3x2")
	}
}

// TestASlowImageKeepsNobodyWaiting: one that is on its way does not hold the place to decode, and
// gives up its own when nobody wants it any more.
func TestASlowImageKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	p := sit(t)
	if err := os.WriteFile(filepath.Join(p.home, "a.png"), pngOf(t, 3, 2), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(t.Context())
	slow := peek{slot: p.arriving, name: "slow.png"}
	begun, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- slow.take(ctx, func() (hufu.Entry, error) { return hufu.Entry{Kind: hufu.File, Size: 1 << 20}, nil },
			func(ctx context.Context, w io.Writer) error {
				if _, err := w.Write(pngOf(t, 3, 2)); err != nil {
					return err
				}
				close(begun)
				<-ctx.Done() // the rest does not come
				return ctx.Err()
			})
		slow.release()
	}()
	<-begun
	want(t, p, "a.png", "image 3x2")
	leave()
	if err := <-done; !errors.Is(err, context.Canceled) || len(p.arriving) != 0 {
		t.Errorf("%v, %d places are held", err, len(p.arriving))
	}
}
