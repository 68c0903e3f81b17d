package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"hufu/internal/cli"
)

func TestWithPort(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"files.example":      "files.example:9999",
		"files.example:1234": "files.example:1234",
		"192.0.2.1":          "192.0.2.1:9999",
		"[2001:db8::1]":      "[2001:db8::1]:9999",
		"[2001:db8::1]:1234": "[2001:db8::1]:1234",
		"2001:db8::1":        "[2001:db8::1]:9999",
	} {
		if got := withPort(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// What is red on a terminal has no marks elsewhere.
func TestRedIsForTerminals(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	file, err := os.Create(t.TempDir() + "/err")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	a := &app{App: cli.New(program, nil, nil, &b, &b, func(string) string { return "" })}
	if got := a.red("warning"); got != "warning" {
		t.Errorf("into a buffer: %q", got)
	}
	a.Err = file
	if got := a.red("warning"); strings.Contains(got, "\x1b") {
		t.Errorf("into a file: %q", got)
	}
}
