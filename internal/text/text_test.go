package text

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"hufu"
)

func TestLang(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		flag string
		env  map[string]string
		want string
	}{
		{"", nil, English},
		{"zh", nil, Chinese},
		{"zh-CN", nil, Chinese},
		{"en", map[string]string{"LANG": "zh_CN.UTF-8"}, English},
		{"", map[string]string{"LANG": "zh_CN.UTF-8"}, Chinese},
		{"", map[string]string{"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, English},
		{"", map[string]string{"LANG": "en_GB.UTF-8", "LC_MESSAGES": "zh_TW"}, Chinese},
		{"", map[string]string{"LANG": "zhuang"}, English},
		{"", map[string]string{"LANG": "de_DE"}, English},
	} {
		if got := Lang(c.flag, func(k string) string { return c.env[k] }); got != c.want {
			t.Errorf("Lang(%q, %v) = %q, want %q", c.flag, c.env, got, c.want)
		}
	}
}

func sample(lang string) *Catalogue {
	return &Catalogue{lang: lang, zone: time.UTC, texts: map[string]string{
		"plain":       "nothing to fill",
		"pair":        "{a} and {b}",
		"files.one":   "{n} file in {where}",
		"files.other": "{n} files in {where}",
		"gui.title":   "Title",
	}}
}

func TestFill(t *testing.T) {
	t.Parallel()
	c := sample(English)
	for _, x := range []struct{ got, want string }{
		{c.T("plain"), "nothing to fill"},
		{c.T("pair", "a", "x", "b", 7), "x and 7"},
		{c.T("pair", "b", "{a}", "a", "{b}"), "{b} and {a}"}, // values are not filled again
		{c.T("pair", "a", "one"), "one and ?"},
		{c.T("absent"), "absent"},
		{c.N("files", 1, "where", "x"), "1 file in x"},
		{c.N("files", 0, "where", "x"), "0 files in x"},
		{sample(Chinese).N("files", 1, "where", "x"), "1 files in x"},
		{fill("open {brace", nil), "open {brace"},
		{string(c.JSON()), `{"gui.title":"Title"}`},
	} {
		if x.got != x.want {
			t.Errorf("got %q, want %q", x.got, x.want)
		}
	}
}

func TestForms(t *testing.T) {
	t.Parallel()
	c := sample(English)
	c.zone = time.FixedZone("", 8*3600)
	c.texts["error.late"] = "until {when:time}, {by:span}"
	c.texts["error.late.fix"] = "run {hufud} renew {name:shell}"
	c.texts["unit.minutes"] = "{m} min {s} s"
	late := func(when, by string) error {
		return &hufu.Error{Code: "late", Args: map[string]string{"when": when, "by": by, "name": "a b"}}
	}
	for _, x := range []struct {
		c         *Catalogue
		err       error
		what, fix string
	}{
		{c, late("2030-01-02T23:04:05Z", "1m30s"), "until 2030-01-03 07:04, 1 min 30 s", " renew 'a b'"},
		{c.Calling("/opt/my bin/hufud", "--data", "d"), late("soon\x1b", "x"), `until soon\x1b, x`, "'/opt/my bin/hufud' --data d renew 'a b'"},
	} {
		what, fix := x.c.Error(x.err)
		if what != x.what || !strings.HasSuffix(fix, x.fix) {
			t.Errorf("got %q, %q, want %q, %q", what, fix, x.what, x.fix)
		}
	}
	for _, lang := range Languages() {
		if got := For(lang).Calling("hufud", "--data", "a b").T("hufud.poke.failed"); !strings.Contains(got, "hufud --data 'a b' status") {
			t.Errorf("%s: %s", lang, got)
		}
	}
}

func TestStrictPanics(t *testing.T) {
	t.Parallel()
	if !For(English).strict {
		t.Fatal("a test does not get a strict catalogue")
	}
	for name, f := range map[string]func(*Catalogue){
		"key":         func(c *Catalogue) { c.T("absent") },
		"placeholder": func(c *Catalogue) { c.T("pair", "a", "x") },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("a missing %s goes unnoticed", name)
				}
			}()
			c := sample(English)
			c.strict = true
			f(c)
		}()
	}
}

func TestHT34ValuesAreMadePrintable(t *testing.T) {
	t.Parallel()
	c := sample(English)
	for _, evil := range []any{"\x1b[2J", errors.New("\x1b]0;x\a"), "a\nb", "a\u202eb", []byte("\x07")} {
		got := c.T("pair", "a", evil, "b", "")
		if strings.ContainsAny(got, "\x1b\a\n\u202e") {
			t.Errorf("%q came through as %q", evil, got)
		}
	}
	what, _ := For(English).Error(&hufu.Error{Kind: hufu.KindNotFound, Path: "a\x1b[31mb"})
	if strings.Contains(what, "\x1b") {
		t.Errorf("a path came through as %q", what)
	}
}

func TestError(t *testing.T) {
	t.Parallel()
	c := For(English)
	denied := &fs.PathError{Op: "open", Path: "/secret/place", Err: syscall.EACCES}
	for name, x := range map[string]struct {
		err  error
		what string
	}{
		"kind and path": {&hufu.Error{Kind: hufu.KindNotFound, Path: "a/b"}, `Not found: "a/b".`},
		"kind alone":    {&hufu.Error{Kind: hufu.KindNotFound}, `Not found.`},
		"code":          {&hufu.Error{Kind: hufu.KindInvalid, Code: "digest_form"}, `This is not a digest: one has 64 hexadecimal digits.`},
		"unknown code":  {&hufu.Error{Kind: hufu.KindNotFound, Code: "from_the_future", Path: "x"}, `Not found: "x".`},
		"code below": {
			&hufu.Error{Op: "put", Kind: hufu.KindInvalidPath, Err: &hufu.Error{Kind: hufu.KindInvalidPath, Code: "name_too_long", Path: "n"}},
			`The name "n" is too long: a name has at most 255 bytes.`,
		},
		"cause": {
			&hufu.Error{Kind: hufu.KindUnreadable, Path: "f", Err: denied},
			`"f" could not be read or written on this computer: permission denied`,
		},
		"wrapped":  {fmt.Errorf("stage chunk 14: %w", &hufu.Error{Kind: hufu.KindNotEmpty, Path: "d"}), `The folder "d" is not empty.`},
		"foreign":  {errors.New("surprise"), `An unexpected error occurred: surprise`},
		"canceled": {fmt.Errorf("get: %w", context.Canceled), `Canceled.`},
	} {
		what, fix := c.Error(x.err)
		if what != x.what {
			t.Errorf("%s: got %q, want %q", name, what, x.what)
		}
		if fix == "" {
			t.Errorf("%s: no advice", name)
		}
	}
	if what, fix := c.Error(nil); what != "" || fix != "" {
		t.Errorf("no error reads %q, %q", what, fix)
	}
}

// TestErrorSaysHowAConnectionEnded in the language of the sentence, not in
// that of the Go library. A file that is cut short is no connection.
func TestErrorSaysHowAConnectionEnded(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		kind   hufu.Kind
		err    error
		en, zh string
	}{
		{kind: hufu.KindNetwork, err: io.EOF, en: "the other side closed the connection", zh: "对方关闭了连接"},
		{kind: hufu.KindProtocol, err: fmt.Errorf("read frame: %w", io.ErrUnexpectedEOF), en: "the other side closed the connection", zh: "对方关闭了连接"},
		{kind: hufu.KindNetwork, err: &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, en: "the other side closed the connection", zh: "对方关闭了连接"},
		{kind: hufu.KindNetwork, err: context.DeadlineExceeded, en: "no answer in time", zh: "应答超时"},
		{kind: hufu.KindNetwork, err: &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, en: "no answer in time", zh: "应答超时"},
		{kind: hufu.KindUsage, err: io.ErrUnexpectedEOF, en: "unexpected EOF", zh: "unexpected EOF"},
	} {
		for lang, want := range map[string]string{English: x.en, Chinese: x.zh} {
			if what, _ := For(lang).Error(&hufu.Error{Kind: x.kind, Err: x.err}); !strings.HasSuffix(strings.TrimRight(what, ".。"), want) {
				t.Errorf("%s, %v: %s", lang, x.err, what)
			}
		}
	}
}

// TestErrorNamesKinds: the kind of an entry is a word of the language.
func TestErrorNamesKinds(t *testing.T) {
	t.Parallel()
	err := &hufu.Error{Kind: hufu.KindWrongKind, Code: "target_wrong_kind", Args: map[string]string{"target": "/a", "kind": hufu.Folder.String()}}
	for lang, want := range map[string]string{English: "folder", Chinese: "文件夹"} {
		if what, _ := For(lang).Error(err); !strings.Contains(what, want) {
			t.Errorf("%s: %s", lang, what)
		}
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	For(Chinese).Report(&b, "hufu", &hufu.Error{Kind: hufu.KindNotFound, Path: "甲"})
	if want := "hufu：找不到“甲”。\n  请列出它的上级文件夹，查看其中的内容。\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
	b.Reset()
	For(Chinese).Report(&b, "hufu", nil)
	if b.Len() != 0 {
		t.Errorf("no error is reported as %q", b.String())
	}
}

func TestFormats(t *testing.T) {
	t.Parallel()
	en, zh := For(English), For(Chinese)
	en.zone = time.UTC
	for _, x := range []struct{ got, want string }{
		{en.Size(0), "0 B"},
		{en.Size(1023), "1023 B"},
		{en.Size(1024), "1.0 KiB"},
		{en.Size(1<<20 - 1), "1.0 MiB"},
		{en.Size(3 << 29), "1.5 GiB"},
		{en.Size(1<<63 - 1), "8.0 EiB"},
		{en.Rate(1.5 * 1024 * 1024), "1.5 MiB/s"},
		{zh.Rate(2048), "2.0 KiB/秒"},
		{en.Duration(-time.Second), "0.0 s"},
		{en.Duration(1234 * time.Millisecond), "1.2 s"},
		{en.Duration(9960 * time.Millisecond), "10 s"},
		{en.Duration(59900 * time.Millisecond), "1 min 0 s"},
		{zh.Duration(3*time.Minute + 5*time.Second), "3 分 5 秒"},
		{en.Duration(26 * time.Hour), "26 h 0 min"},
		{zh.Duration(50 * time.Hour), "2 天 2 小时"},
		{en.Time(time.Date(2026, 5, 1, 14, 3, 59, 0, time.UTC)), "2026-05-01 14:03"},
		{en.Time(time.Time{}), "-"},
	} {
		if x.got != x.want {
			t.Errorf("got %q, want %q", x.got, x.want)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	for name, from := range map[string]fstest.MapFS{
		"a key in two files": {
			"en/a.json": {Data: []byte(`{"k":"1"}`)},
			"en/b.json": {Data: []byte(`{"k":"2"}`)},
		},
		"a broken file": {"en/a.json": {Data: []byte(`{"k":`)}},
		"a list":        {"en/a.json": {Data: []byte(`{"k":["1"]}`)}},
	} {
		if texts, err := load(from, English); err == nil {
			t.Errorf("%s is read as %v", name, texts)
		}
	}
}

// TestCountedErrors: an error tells of one thing as of one.
func TestCountedErrors(t *testing.T) {
	t.Parallel()
	told := func(lang, count string) string {
		what, fix := For(lang).Error(&hufu.Error{Kind: hufu.KindUnsupported, Path: "a", Code: "times_not_kept", Args: map[string]string{"count": count}})
		if fix == "" {
			t.Error("nothing to do")
		}
		return what
	}
	for _, c := range []struct{ lang, count, want string }{
		{English, "1", `The time of "a" could not be kept.`},
		{English, "2", `The time of 2 names could not be kept, of "a" for one.`},
		{Chinese, "1", "有 1 个名称的时间无法保留，例如“a”。"},
	} {
		if got := told(c.lang, c.count); got != c.want {
			t.Errorf("%s, %s: %q", c.lang, c.count, got)
		}
	}
}

// TestListsAndAdvice: words are listed as the language does; the advice names the
// side on which there is no room, and for a name that is too long it is about the
// name, whatever was tried.
func TestListsAndAdvice(t *testing.T) {
	t.Parallel()
	en, zh := For(English), For(Chinese)
	names := &hufu.Error{Kind: hufu.KindUnproven, Code: "server_wrong_name", Args: map[string]string{"names": "a.example, b.example", "host": "h"}}
	full := func(far bool) error {
		return &hufu.Error{Kind: hufu.KindQuota, Code: "disk_full", Path: "x", Far: far, Err: syscall.ENOSPC}
	}
	long := &hufu.Error{Kind: hufu.KindUnreadable, Code: "cannot_write", Path: "x", Err: &fs.PathError{Op: "mkdir", Path: "x", Err: syscall.ENAMETOOLONG}}
	for _, x := range []struct {
		c            *Catalogue
		err          error
		holds, shuns string
	}{
		{en, names, "a.example, b.example", "、"},
		{zh, names, "a.example、b.example", ", "},
		{en, full(false), "this computer", "administrator"},
		{en, full(true), "server's disk", "this computer"},
		{en, full(true), "Unfinished uploads", "side"},
		{zh, full(false), "此计算机", "服务器"},
		{zh, full(true), "服务器的磁盘", "此计算机"},
		{en, long, "Use a shorter name", "permission"},
		{zh, long, "请使用更短的名称", "权限"},
	} {
		what, fix := x.c.Error(x.err)
		if all := what + " " + fix; !strings.Contains(all, x.holds) || strings.Contains(all, x.shuns) {
			t.Errorf("%v reads %q: it shall hold %q and not %q", x.err, all, x.holds, x.shuns)
		}
	}
	if got := zh.T("hufud.init.names", "names", []string{"a", "b"}); !strings.Contains(got, "a、b") {
		t.Errorf("a list reads %q", got)
	}
}
