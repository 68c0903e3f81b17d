package main

import (
	"cmp"
	"path/filepath"

	"github.com/spf13/cobra"

	"hufu/internal/profile"
	"hufu/internal/text"
)

// setting is a value that is in force, and where it comes from: a flag, a variable of the environment
// or a file, or nothing of these. It is a line of --json.
type setting struct {
	Key   string `json:"key"`
	Value string `json:"value"`
	From  string `json:"from"`
}

// byDefault is the origin of a value that nobody has set.
const byDefault = "default"

func newConfig(a *app) *cobra.Command {
	return a.Group("config", "hufu.config", newConfigShow(a))
}

func newConfigShow(a *app) *cobra.Command {
	cmd := a.Command("show", "hufu.config.show", "hufu config show", "hufu config show --origin", "hufu config show --profile work --json")
	var origin bool
	cmd.Flags().BoolVar(&origin, "origin", false, a.Cat.T("hufu.config.flag.origin"))
	cmd.RunE = func(*cobra.Command, []string) error {
		all, err := a.settings()
		if err != nil {
			return err
		}
		head := []string{a.Cat.T("hufud.column.setting"), a.Cat.T("hufud.column.value")}
		if origin {
			head = append(head, a.Cat.T("hufud.column.from"))
		}
		rows := [][]string{head}
		for _, s := range all {
			if a.json {
				if err := a.JSON(s); err != nil {
					return err
				}
				continue
			}
			row := []string{s.Key, cmp.Or(s.Value, "-")}
			if s.From == byDefault {
				s.From = a.Cat.T("hufud.config.default")
			}
			if origin {
				row = append(row, s.From)
			}
			rows = append(rows, row)
		}
		if a.json {
			return nil
		}
		return a.Table(rows)
	}
	return cmd
}

// settings returns what is in force. A profile that is not there has no values.
func (a *app) settings() ([]setting, error) {
	dirs, err := a.dirs()
	if err != nil {
		return nil, err
	}
	name := setting{"profile", a.profileName(), byDefault}
	switch {
	case a.profile != "":
		name.From = "--profile"
	case a.standard != "" && dirs.HasDefault():
		name.From = dirs.DefaultFile()
	}
	all := []setting{name}
	if err := dirs.Has(name.Value); err == nil {
		p, err := profile.Load(dirs, name.Value)
		if err != nil {
			return nil, a.forProfile(name.Value, err)
		}
		file := filepath.Join(dirs.Profile(name.Value), "profile.json")
		all = append(all, setting{"server", p.Address, file}, setting{"server_name", p.Host, file}, setting{"user", p.User, file}, setting{"device", p.Device, file})
	}
	lang := a.origin("--lang", a.Lang, "LC_ALL", "LC_MESSAGES", "LANG")
	via := a.origin("--proxy", a.proxy, "ALL_PROXY", "all_proxy")
	without := a.origin("", "", "NO_PROXY", "no_proxy")
	proxy := "direct"
	if dirs.Proxy != nil {
		proxy = dirs.Proxy.String() // without a password
	}
	return append(all,
		setting{"language", text.Lang(a.Lang, a.Getenv), lang.From},
		setting{"proxy", proxy, via.From},
		setting{"no_proxy", without.Value, without.From},
		setting{"profiles", dirs.Config, xdgOrigin(a, "XDG_CONFIG_HOME")},
		setting{"state", dirs.State, xdgOrigin(a, "XDG_STATE_HOME")},
	), nil
}

// origin returns the first of the values that is set: that of the flag, or those of variables.
func (a *app) origin(flag, value string, variables ...string) setting {
	if value != "" {
		return setting{Value: value, From: flag}
	}
	for _, v := range variables {
		if value := a.Getenv(v); value != "" {
			return setting{Value: value, From: v}
		}
	}
	return setting{From: byDefault}
}

// xdgOrigin is origin for a folder: a relative one means nothing.
func xdgOrigin(a *app, variable string) string {
	if filepath.IsAbs(a.Getenv(variable)) {
		return variable
	}
	return byDefault
}
