package cli

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"hufu"
)

func printed(t *testing.T, v any) string {
	t.Helper()
	var out bytes.Buffer
	a := New("hufu", nil, nil, &out, new(bytes.Buffer), func(string) string { return "" })
	if err := a.JSON(v); err != nil {
		t.Fatal(err)
	}
	line, ok := strings.CutSuffix(out.String(), "\n")
	if !ok || hufu.Printable(line) != line {
		t.Errorf("%q cannot be shown as it is", out.String())
	}
	return line
}

// FuzzJSON: whatever a string holds, it comes back from what is printed.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{
		"", "plain", "<&>", "\x00\x1b\x7f\n", "\u0080\u009b\u009f", "\u202a\u202e\u2066\u2069\u200f", "\u2028\u2029\ufeff\u00ad",
		"\U000e0001\U0001f600", "\ufffd", "not \xff UTF-8", "\xed\xa0\x80", `back\slash "quoted"`, "中文",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var back struct {
			S      string   `json:"s"`
			Bytes  *string  `json:"s_base64"`
			L      []string `json:"l"`
			LBytes []string `json:"l_base64"`
		}
		line := printed(t, map[string]any{"s": s, "l": []string{"ok", s}})
		if err := json.Unmarshal([]byte(line), &back); err != nil {
			t.Fatal(err)
		}
		if back.Bytes != nil {
			b, err := base64.StdEncoding.DecodeString(*back.Bytes)
			if err != nil || back.S == s {
				t.Errorf("%v, or %q needed no bytes", err, s)
			}
			back.S = string(b)
			if len(back.LBytes) != 2 || back.LBytes[1] != *back.Bytes {
				t.Errorf("list %q", back.LBytes)
			}
		} else if len(back.L) != 2 || back.L[1] != s || back.LBytes != nil {
			t.Errorf("list %q %q, not %q", back.L, back.LBytes, s)
		}
		if back.S != s {
			t.Errorf("%q came back as %q", s, back.S)
		}
	})
}

// TestJSONIsThatOfTheLibrary: for ordinary values the two agree to the byte.
func TestJSONIsThatOfTheLibrary(t *testing.T) {
	t.Parallel()
	type Inner struct {
		Code string `json:"code"`
	}
	one, when := 1, time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	type all struct {
		A       string          `json:"a"`
		Empty   string          `json:"empty,omitempty"`
		N       int64           `json:"n"`
		P, None *int            `json:",omitempty"`
		F       float64         `json:"f"`
		T       time.Time       `json:"t"`
		TP      *time.Time      `json:"tp"`
		Raw     json.RawMessage `json:"raw"`
		M       map[string]*int `json:"m"`
		Nil     map[string]int  `json:"nil"`
		L       []Inner         `json:"l"`
		NoList  []Inner         `json:"no_list"`
		Any     any             `json:"any"`
		Bytes   []byte          `json:"bytes"`
		Array   [2]int          `json:"array"`
		Hidden  string          `json:"-"`
		*Inner
	}
	for _, v := range []any{
		nil, 1, "x", true,
		[]string{},
		map[string]string{"b": "1", "a": "<2>"},
		all{},
		&all{
			A: "x", P: &one, F: 0.25, T: when, TP: &when, Raw: json.RawMessage(`{"z":1}`), M: map[string]*int{"x": &one, "a": nil},
			L: []Inner{{"c"}}, Any: map[string]any{"k": []int{1}}, Bytes: []byte("b"), Inner: &Inner{"d"},
		},
	} {
		var want bytes.Buffer
		e := json.NewEncoder(&want)
		e.SetEscapeHTML(false)
		if err := e.Encode(v); err != nil {
			t.Fatal(err)
		}
		if got := printed(t, v) + "\n"; got != want.String() {
			t.Errorf("%v:\n%s\n%s", reflect.TypeOf(v), got, &want)
		}
	}
}
