package gui

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"hufu"
)

// awkward are names as a disk can hold them.
var awkward = []string{
	"plain", "with space", "名字 😀", "<img src=x onerror=alert(1)>.html", "\u202egnp.exe", "line\nbreak", "\xff\xfe\x80", "per%cent%2Fsign", "back\\slash",
	"a?b#c&d=e", "..dots", "...", "-rf", "\"quoted'", "\x01\x1b[31m", "tab\t", " ", "%", "~", "\u2028", strings.Repeat("n", 255),
}

// FuzzUnescape: what is read is a path that says itself again, and never one
// that leads up or elsewhere.
func FuzzUnescape(f *testing.F) {
	for _, name := range awkward {
		f.Add(escape([]string{name, "below"}))
	}
	for _, p := range []string{"/", "//", "/a//b/", "/..", "/%2e%2e/x", "/a%2Fb", "/%00", "/%", "a", "/C:/x", "/%5C", "/.hufu-x"} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p string) {
		segments, err := unescape(p)
		if err != nil {
			return
		}
		for _, s := range segments {
			if s == "" || s == "." || s == ".." || strings.ContainsAny(s, "/\x00") {
				t.Fatalf("%q holds the segment %q", p, s)
			}
		}
		if again, err := unescape(escape(segments)); len(escape(segments)) <= 4*hufu.MaxPath && (err != nil || !slices.Equal(again, segments)) {
			t.Fatalf("%q: %q came back as %q: %v", p, segments, again, err)
		}
		if name, err := localName(p); err == nil && (!filepath.IsAbs(name) || runtime.GOOS != "windows" && filepath.Clean(name) != name) {
			t.Fatalf("%q is %q on this machine", p, name)
		}
		if remote, err := remotePath(p); err == nil && !slices.Equal(remote.Segments(), segments) {
			t.Fatalf("%q is %q at the server", p, remote.Segments())
		}
	})
}

// FuzzBatch: no batch of the browser makes a file of more bytes than it has,
// and each byte belongs to one file at most.
func FuzzBatch(f *testing.F) {
	for _, s := range []string{
		"", "\n", "{}\n", `{"path":"a","size":3,"mtime":1}` + "\nabc", `{"path":"a","size":3,"mtime":1}` + "\nab",
		`{"path":"d","size":-1,"mtime":0}` + "\n" + `{"path":"d/a","size":0,"mtime":0}` + "\n", `{"path":"../x","size":2,"mtime":0}` + "\nab" + `{"path":"b","size":1,"mtime":0}` + "\nx",
		`{"path":"a","size":-2}` + "\n", `{"path":"a","size":9223372036854775807}` + "\nx", `{"path":"a","size":1,"more":1}` + "\nx", `{"path":"a","size":1e3}` + "\n",
		`{"path":"a\u0000b","size":1}` + "\nx", `{"path":"/a","size":0}` + "\n", `[]` + "\n", `{"path":"a","size":0}{}` + "\n", `{"path":"<b>\u202e","size":0}` + "\n", `{"path":"a","size":1}`,
		`{"path":"` + strings.Repeat("x", maxHeader) + `","size":0}` + "\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		in := bufio.NewReaderSize(bytes.NewReader(data), 256<<10)
		total, refused := int64(0), 0
		err := readBatch(in, func(b batchFile, in io.Reader) error {
			if _, err := hufu.ParsePath(b.path.String()); err != nil || b.size < folder {
				t.Fatalf("%q, %d bytes: %v", b.path, b.size, err)
			}
			n, err := io.Copy(io.Discard, in)
			if total += n; err == nil && n < b.size {
				err = io.ErrUnexpectedEOF
			}
			return err
		}, func(err error) {
			refused++
			if hufu.KindOf(err) != hufu.KindInvalidPath {
				t.Fatalf("refused for %v", err)
			}
		})
		if total > int64(len(data)) || refused > len(data) {
			t.Fatalf("%d bytes of files and %d refused out of %d", total, refused, len(data))
		}
		if rest, _ := io.ReadAll(in); err == nil && len(rest) > 0 {
			t.Fatalf("%d bytes are left and nothing is wrong", len(rest))
		}
	})
}

// TestBatchIsReadStrictly: what is wrong is told as such, and a name that
// cannot be does not shift what follows it.
func TestBatchIsReadStrictly(t *testing.T) {
	t.Parallel()
	read := func(s string) (taken map[string]string, refused int, err error) {
		taken = map[string]string{}
		in := bufio.NewReaderSize(strings.NewReader(s), 256<<10)
		err = readBatch(in, func(b batchFile, in io.Reader) error {
			if b.path.String() == "full" {
				return &hufu.Error{Op: "spool", Kind: hufu.KindQuota, Code: "disk_full"}
			}
			var body strings.Builder
			if b.path.String() == "half" { // the trouble of this file alone, in its middle
				_, _ = io.CopyN(io.Discard, in, 2)
				return &hufu.Error{Op: "spool", Kind: hufu.KindUnreadable, Code: "cannot_write"}
			}
			_, err := io.Copy(&body, in)
			taken[b.path.String()] = body.String()
			return err
		}, func(error) { refused++ })
		return taken, refused, err
	}
	taken, refused, err := read(`{"path":"a","size":4,"mtime":5}` + "\n{}\nX" + `{"path":"../b","size":3,"mtime":0}` + "\n{\n}" + `{"path":"c/名","size":1,"mtime":0}` + "\nz")
	if err != nil || refused != 1 || len(taken) != 2 || taken["a"] != "{}\nX" || taken["c/名"] != "z" {
		t.Errorf("%q, %d refused: %v", taken, refused, err)
	}
	taken, refused, err = read(`{"path":"half","size":5}` + "\nabcde" + `{"path":"z","size":1}` + "\nz")
	if err != nil || refused != 1 || len(taken) != 1 || taken["z"] != "z" {
		t.Errorf("a file that cannot be taken: %q, %d refused: %v", taken, refused, err)
	}
	for what, s := range map[string]string{
		"half a line": `{"path":"a","size":1`, "an unknown key": `{"path":"a","size":0,"mode":511}` + "\n", "two values": `{"path":"a","size":0} {}` + "\n",
		"a negative size": `{"path":"a","size":-2}` + "\n", "a line without end": `{"path":"` + strings.Repeat("a", maxHeader) + `"}` + "\n",
		"a line beyond the buffer": strings.Repeat(" ", 300<<10), "no JSON": "x\n", "an empty line": "\n",
	} {
		if _, _, err := read(s); hufu.CodeOf(err) != "spool_cut" {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, _, err := read(`{"path":"../b","size":30,"mtime":0}` + "\nshort"); hufu.CodeOf(err) != "spool_cut" || !errors.Is(err, io.EOF) {
		t.Errorf("a refused file that is cut: %v", err)
	}
	if taken, _, err := read(`{"path":"full","size":1}` + "\nx" + `{"path":"after","size":1}` + "\ny"); hufu.CodeOf(err) != "disk_full" || len(taken) > 0 {
		t.Errorf("no room: %q %v", taken, err)
	}
}
