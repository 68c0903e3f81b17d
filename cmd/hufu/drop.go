package main

import (
	"strings"

	"hufu/internal/cli"
)

// allAttributes is the value of --preserve and --no-preserve that means each attribute.
const allAttributes = "all"

// dropFlag is the value of --preserve and --no-preserve: a list of attributes that are kept, or with
// drop are not. Both flags change the same flags of a command, so that the later one counts.
type dropFlag struct {
	f    *copyFlags
	drop bool
}

func (dropFlag) String() string { return "" }

// Type names the kind of value for the error of a wrong one.
func (dropFlag) Type() string { return "attributes" }

// Set reads the list s. The words are those of cp.
func (d dropFlag) Set(s string) error {
	for word := range strings.SplitSeq(s, ",") {
		switch strings.TrimSpace(word) {
		case "mode":
			d.f.drop.Mode = d.drop
		case "times", "timestamps":
			d.f.drop.Times = d.drop
		case allAttributes:
			d.f.drop.Mode, d.f.drop.Times = d.drop, d.drop
		default:
			flag := "--preserve"
			if d.drop {
				flag = "--no-preserve"
			}
			return cli.Usage("preserve_unknown", "flag", flag, "value", word)
		}
	}
	return nil
}

// serverUmask is the umask for what is new on the server: hufu mkdir and touch create the same modes.
const serverUmask = 0o022
