//go:build !windows

package autostart

import "runtime"

// New returns the entry of a program, whose name and arguments are words. home is the user's home
// folder; getenv reads the environment.
func New(words []string, home string, getenv func(string) string) Entry {
	if runtime.GOOS == "darwin" {
		return agent(words, home)
	}
	return desktopEntry(words, home, getenv("XDG_CONFIG_HOME"))
}
