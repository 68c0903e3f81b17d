package main

import (
	"strings"
	"testing"

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
