package main

import (
	"context"

	"hufu/internal/cli"
	"hufu/internal/transfer"
)

// maxNames bounds a list of names, in bytes.
const maxNames = 64 << 20

// listedNames reads the list of --files-from. It returns nil if there is none.
func (a *app) listedNames(ctx context.Context, f *copyFlags) (*transfer.Only, error) {
	switch {
	case f.filesFrom == "" && f.from0:
		return nil, cli.Usage("from0_alone")
	case f.filesFrom == "":
		return nil, nil
	case f.filesFrom == "-" && f.input:
		return nil, cli.Usage("files_from_input")
	}
	text, err := a.ReadFile(ctx, f.filesFrom, maxNames)
	if err != nil {
		return nil, err
	}
	only := &transfer.Only{Recursive: f.recursive}
	return only, cli.InFile(f.filesFrom, only.AddLines(string(text), f.from0))
}

// oneFolder returns the only source of a transfer with a list of names, as a folder whose contents
// are meant.
func oneFolder(sources []string) ([]string, error) {
	if len(sources) != 1 || hasInput(sources) {
		return nil, cli.Usage("files_from_source")
	}
	return []string{sources[0] + "/"}, nil
}
