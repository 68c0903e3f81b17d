package autostart

import (
	"errors"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"

	"hufu"
)

// The Run key of the user, and our value in it.
const (
	runKey   = `Software\Microsoft\Windows\CurrentVersion\Run`
	runValue = "hufu gui"
)

// New returns the entry of a program, whose name and arguments are words.
func New(words []string, _ string, _ func(string) string) Entry {
	return run(windows.ComposeCommandLine(words))
}

// run is a command line in the Run key.
type run string

func (r run) On() (bool, error) {
	key, err := registry.OpenKey(registry.CURRENT_USER, runKey, registry.QUERY_VALUE)
	if err == nil {
		defer func() { _ = key.Close() }()
		_, _, err = key.GetStringValue(runValue)
	}
	if errors.Is(err, registry.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, &hufu.Error{Op: "read autostart", Path: runKey, Kind: hufu.KindUnreadable, Code: "cannot_read", Err: err}
	}
	return true, nil
}

func (r run) Set(on bool) error {
	key, _, err := registry.CreateKey(registry.CURRENT_USER, runKey, registry.SET_VALUE)
	if err == nil {
		defer func() { _ = key.Close() }()
		if on {
			err = key.SetStringValue(runValue, string(r))
		} else if err = key.DeleteValue(runValue); errors.Is(err, registry.ErrNotExist) {
			err = nil
		}
	}
	if err != nil {
		return &hufu.Error{Op: "write autostart", Path: runKey, Kind: hufu.KindUnreadable, Code: "cannot_write", Err: err}
	}
	return nil
}
