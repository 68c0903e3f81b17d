package hufu

import "strings"

// Limits of a Path, in bytes and segments.
const (
	MaxSegment = 255
	MaxPath    = 4096
	MaxDepth   = 256
)

// ReservedPrefix begins the names that hufu keeps for its own unfinished
// files. No listing shows them and no client may use them.
const ReservedPrefix = ".hufu-"

// SharedName is the folder at the top that holds the shared folders.
const SharedName = "@shared"

// Path names a file below a root. It is a list of byte-string segments of 1 to
// 255 bytes without '/', NUL, "." and "..", compared bytewise and never
// normalized. The zero Path is the root itself. A Path is comparable; what
// ParsePath returns is valid.
type Path struct{ s string } // segments joined by '/', no leading or trailing one

// ParsePath reads a path written with slashes. A leading slash and a trailing
// one are allowed and mean nothing; every other empty segment, ".", "..", NUL,
// a segment over MaxSegment bytes or a path over MaxPath is refused with
// KindInvalidPath.
func ParsePath(s string) (Path, error) {
	t := strings.TrimPrefix(s, "/")
	t = strings.TrimSuffix(t, "/")
	if t == "" {
		if s == "" || s == "/" {
			return Path{}, nil
		}
		return Path{}, &Error{Op: "parse path", Path: s, Kind: KindInvalidPath, Code: "path_segment"}
	}
	if len(t) > MaxPath || strings.Count(t, "/") >= MaxDepth {
		return Path{}, &Error{Op: "parse path", Path: s, Kind: KindInvalidPath, Code: "path_too_long"}
	}
	for seg := range strings.SplitSeq(t, "/") {
		if err := checkSegment(seg); err != nil {
			return Path{}, &Error{Op: "parse path", Path: s, Kind: KindInvalidPath, Code: err.Code}
		}
	}
	return Path{t}, nil
}

func checkSegment(seg string) *Error {
	switch {
	case len(seg) > MaxSegment:
		return &Error{Op: "parse path", Path: seg, Kind: KindInvalidPath, Code: "name_too_long"}
	case seg == "", seg == ".", seg == "..", strings.IndexByte(seg, 0) >= 0, strings.IndexByte(seg, '/') >= 0:
		return &Error{Op: "parse path", Path: seg, Kind: KindInvalidPath, Code: "path_segment"}
	}
	return nil
}

// CheckName reports whether name can be one segment of a Path.
func CheckName(name string) error {
	if err := checkSegment(name); err != nil {
		return err
	}
	return nil
}

// Join returns p with one more segment, or KindInvalidPath.
func (p Path) Join(name string) (Path, error) {
	if err := checkSegment(name); err != nil {
		return Path{}, err
	}
	if p.s == "" {
		return Path{name}, nil
	}
	if len(p.s)+1+len(name) > MaxPath || strings.Count(p.s, "/")+1 >= MaxDepth {
		return Path{}, &Error{Op: "parse path", Path: p.s + "/" + name, Kind: KindInvalidPath, Code: "path_too_long"}
	}
	return Path{p.s + "/" + name}, nil
}

// Append returns p with the segments of q behind it, or KindInvalidPath if
// that is too long.
func (p Path) Append(q Path) (Path, error) {
	switch {
	case p.s == "":
		return q, nil
	case q.s == "":
		return p, nil
	}
	return ParsePath(p.s + "/" + q.s)
}

// Parent is p without its last segment; the root is its own parent.
func (p Path) Parent() Path {
	i := strings.LastIndexByte(p.s, '/')
	if i < 0 {
		return Path{}
	}
	return Path{p.s[:i]}
}

// Base returns the last segment, "" for the root.
func (p Path) Base() string { return p.s[strings.LastIndexByte(p.s, '/')+1:] }

// IsRoot reports whether p has no segment.
func (p Path) IsRoot() bool { return p.s == "" }

// Segments lists the segments from the root down.
func (p Path) Segments() []string {
	if p.s == "" {
		return nil
	}
	return strings.Split(p.s, "/")
}

// Cut splits off the first segment: Cut of a/b/c is "a" and b/c.
func (p Path) Cut() (first string, rest Path) {
	first, r, _ := strings.Cut(p.s, "/")
	return first, Path{r}
}

// Below reports whether p is q or lies inside q, by whole segments: /share2 is
// not below /share.
func (p Path) Below(q Path) bool {
	return q.s == "" || p.s == q.s || (len(p.s) > len(q.s) && p.s[:len(q.s)] == q.s && p.s[len(q.s)] == '/')
}

// Rel returns p as seen from q, if p is below q.
func (p Path) Rel(q Path) (Path, bool) {
	if !p.Below(q) {
		return Path{}, false
	}
	return Path{strings.TrimPrefix(p.s[len(q.s):], "/")}, true
}

// Signpost reports whether p only shows places and belongs to nobody: the root,
// the folder of the shared folders, and each of these. What stands inside can be
// changed, they cannot.
func (p Path) Signpost() bool {
	first, rest := p.Cut()
	return first == "" || first == SharedName && rest.Parent().IsRoot()
}

// Reserved reports whether any segment is one of hufu's own names.
func (p Path) Reserved() bool {
	return strings.HasPrefix(p.s, ReservedPrefix) || strings.Contains(p.s, "/"+ReservedPrefix)
}

// String returns the path without a leading slash, as ParsePath takes it. It may
// hold any byte but NUL: escape it before a terminal or a log sees it.
func (p Path) String() string { return p.s }

// Virtual returns the path with a leading slash, as in logs and in JSON.
func (p Path) Virtual() string { return "/" + p.s }

// Remote returns the path as users write a path on the server, with a colon before the slash,
// which distinguishes it from a path of this computer.
func (p Path) Remote() string { return ":/" + p.s }
