package main

import (
	"io"
	"strings"
	"testing"

	"hufu/internal/ca"
	"hufu/internal/cli"
	"hufu/internal/text"
)

// TestSettingsAreExplained: "hufud help settings" names each setting and its variable.
func TestSettingsAreExplained(t *testing.T) {
	t.Parallel()
	c := &configuration{}
	all := append(c.settings(), setting{key: "names"}, setting{key: "store.path_style", variable: pathStyleVariable})
	for _, lang := range text.Languages() {
		topic := text.For(lang).T("topic.settings.long")
		for _, s := range all {
			if !strings.Contains(topic, "\n  "+s.key+" ") || !strings.Contains(topic, " "+s.variable+" ") {
				t.Errorf("%s: %s or %q is missing", lang, s.key, s.variable)
			}
		}
	}
}

// TestPathStyle: an IP address as the endpoint decides only what nobody has set.
func TestPathStyle(t *testing.T) {
	t.Parallel()
	const address, name = "http://192.0.2.1:9000", "https://s3.example.org"
	for _, x := range []struct {
		file, variable, endpoint string
		want                     bool
		from                     string
	}{
		{"", "", name, false, "default"},
		{"", "", address, true, "store.endpoint"},
		{"", "false", address, false, pathStyleVariable},
		{"path_style = false", "", address, false, ca.ConfigFile},
		{"path_style = false", "true", address, true, pathStyleVariable},
		{"path_style = true", "", name, true, ca.ConfigFile},
		{"path_style = true", "false", name, false, pathStyleVariable},
	} {
		c, err := parseConfig("", []byte("[store]\nendpoint = \""+x.endpoint+"\"\n"+x.file))
		if err != nil {
			t.Fatal(err)
		}
		a := &app{App: cli.New(program, nil, nil, io.Discard, io.Discard, func(k string) string { return map[string]string{pathStyleVariable: x.variable}[k] })}
		if from := a.complete(c)["store.path_style"]; *c.Store.PathStyle != x.want || from != x.from {
			t.Errorf("%+v: %v from %s", x, *c.Store.PathStyle, from)
		}
	}
}
