package gui

import (
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"hufu"
)

// In the page's interface a path is a string of segments behind slashes, each
// percent-escaped: names are bytes, JSON holds text only. What is shown is
// another field, made harmless by hufu.Printable.

func escape(segments []string) string {
	var b strings.Builder
	for _, s := range segments {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(s))
	}
	if b.Len() == 0 {
		return "/"
	}
	return b.String()
}

func unescape(p string) ([]string, error) {
	bad := &hufu.Error{Op: "read path", Path: p, Kind: hufu.KindInvalidPath, Code: "path_segment"}
	if !strings.HasPrefix(p, "/") || len(p) > 4*hufu.MaxPath {
		return nil, bad
	}
	var all []string
	for s := range strings.SplitSeq(strings.Trim(p, "/"), "/") {
		if s == "" {
			continue
		}
		name, err := url.PathUnescape(s)
		if err != nil || strings.ContainsAny(name, "/\x00") || name == "." || name == ".." || name == "" {
			return nil, bad
		}
		if runtime.GOOS == "windows" && strings.ContainsRune(name, '\\') {
			return nil, bad
		}
		all = append(all, name)
	}
	return all, nil
}

// remotePath reads a path of the server.
func remotePath(p string) (hufu.Path, error) {
	segments, err := unescape(p)
	if err != nil {
		return hufu.Path{}, err
	}
	return hufu.ParsePath(strings.Join(segments, "/"))
}

// localName reads a path of this computer; on Windows the first segment is the
// volume.
func localName(p string) (string, error) {
	segments, err := unescape(p)
	if err != nil {
		return "", err
	}
	if runtime.GOOS == "windows" {
		if len(segments) == 0 {
			return "", &hufu.Error{Op: "read path", Path: p, Kind: hufu.KindInvalidPath, Code: "path_segment"}
		}
		return filepath.Clean(strings.Join(segments, `\`) + `\`), nil
	}
	return "/" + strings.Join(segments, "/"), nil
}

// localPath is the inverse of localName.
func localPath(name string) string {
	return escape(strings.FieldsFunc(filepath.ToSlash(name), func(r rune) bool { return r == '/' }))
}

// localRoots returns the places to begin with besides the home folder.
func localRoots() []string {
	if runtime.GOOS != "windows" {
		return []string{"/"}
	}
	var all []string
	for c := 'A'; c <= 'Z'; c++ {
		if _, err := os.Stat(string(c) + `:\`); err == nil {
			all = append(all, "/"+string(c)+":")
		}
	}
	return all
}
