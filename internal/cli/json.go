package cli

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"hufu"
)

// JSON writes one object on one line, in which nothing is lost and nothing can
// move a cursor, hide or turn round text:
//
//   - a character that hufu.Printable escapes is written \uXXXX, which reads as
//     the same string;
//   - a member whose string is not UTF-8 is followed by one named
//     MEMBER_base64, which has its bytes. A list of strings has a list there.
func (a *App) JSON(v any) error {
	data, err := appendJSON(nil, reflect.ValueOf(v))
	if err != nil {
		return &hufu.Error{Op: "encode output", Kind: hufu.KindInternal, Err: err}
	}
	_, err = a.Out.Write(append(data, '\n'))
	return err
}

// appendJSON appends v to b. It handles values that may hold a string itself
// and leaves all others to encoding/json.
func appendJSON(b []byte, v reflect.Value) ([]byte, error) {
	if _, custom := asMarshaler(v); custom || !v.IsValid() {
		return appendPlain(b, v)
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			return appendJSON(b, v.Elem())
		}
	case reflect.Struct, reflect.Map:
		if v.Kind() == reflect.Struct || !v.IsNil() {
			return appendObject(b, members(nil, v))
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 || v.IsNil() {
			break
		}
		b = append(b, '[')
		for i := range v.Len() {
			if i > 0 {
				b = append(b, ',')
			}
			var err error
			if b, err = appendJSON(b, v.Index(i)); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	}
	return appendPlain(b, v)
}

func asMarshaler(v reflect.Value) (json.Marshaler, bool) {
	if !v.IsValid() || !v.CanInterface() {
		return nil, false
	}
	m, ok := v.Interface().(json.Marshaler)
	return m, ok
}

// appendPlain appends encoding/json's form of v. Outside of strings that is
// ASCII without U+007F, so every escape is in a string.
func appendPlain(b []byte, v reflect.Value) ([]byte, error) {
	var x any
	if v.IsValid() {
		x = v.Interface()
	}
	var plain bytes.Buffer
	e := json.NewEncoder(&plain)
	e.SetEscapeHTML(false)
	if err := e.Encode(x); err != nil {
		return nil, fmt.Errorf("marshal: %w", err)
	}
	for _, r := range string(bytes.TrimSuffix(plain.Bytes(), []byte{'\n'})) {
		switch {
		case !hufu.Hidden(r):
			b = utf8.AppendRune(b, r)
		case r < 0x10000:
			b = fmt.Appendf(b, `\u%04x`, r)
		default:
			high, low := utf16.EncodeRune(r)
			b = fmt.Appendf(b, `\u%04x\u%04x`, high, low)
		}
	}
	return b, nil
}

type member struct {
	name  string
	value reflect.Value
}

func appendObject(b []byte, all []member) ([]byte, error) {
	b = append(b, '{')
	for i, m := range all {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = appendPlain(b, reflect.ValueOf(m.name)); err != nil {
			return nil, err
		}
		if b, err = appendJSON(append(b, ':'), m.value); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

// members appends the members of a struct or a map with string keys, as
// encoding/json finds them.
func members(all []member, v reflect.Value) []member {
	if v.Kind() == reflect.Map {
		keys := v.MapKeys()
		slices.SortFunc(keys, func(x, y reflect.Value) int { return strings.Compare(x.String(), y.String()) })
		for _, k := range keys {
			all = withBytes(append(all, member{k.String(), v.MapIndex(k)}))
		}
		return all
	}
	for i := range v.NumField() {
		f, field := v.Field(i), v.Type().Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if field.Anonymous && name == "" {
			if f.Kind() == reflect.Pointer {
				if f.IsNil() {
					continue
				}
				f = f.Elem()
			}
			all = members(all, f)
			continue
		}
		if name == "-" || !field.IsExported() || options == "omitempty" && f.IsZero() {
			continue
		}
		if name == "" {
			name = field.Name
		}
		all = withBytes(append(all, member{name, f}))
	}
	return all
}

// withBytes appends the bytes of the last member's strings, if one of them is
// not UTF-8.
func withBytes(all []member) []member {
	last := all[len(all)-1]
	v := last.value
	for v.IsValid() && (v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface) {
		v = v.Elem()
	}
	if !v.IsValid() {
		return all
	}
	coded := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	var bytes any
	switch list, isList := v.Interface().([]string); {
	case v.Kind() == reflect.String && !utf8.ValidString(v.String()):
		bytes = coded(v.String())
	case isList && !utf8.ValidString(strings.Join(list, "/")):
		some := make([]string, len(list))
		for i, s := range list {
			some[i] = coded(s)
		}
		bytes = some
	default:
		return all
	}
	return append(all, member{last.name + "_base64", reflect.ValueOf(bytes)})
}
