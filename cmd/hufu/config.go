package main

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"hufu/internal/cli"
	"hufu/internal/profile"
	"hufu/internal/text"
)

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
		return a.Settings(all, a.json, origin)
	}
	return cmd
}

// settings returns what is in force. A profile that is not there has no values.
func (a *app) settings() ([]cli.Setting, error) {
	dirs, err := a.dirs()
	if err != nil {
		return nil, err
	}
	name, from := a.profileName(), cli.ByDefault
	switch {
	case a.profile != "":
		from = "--profile"
	case a.standard != "" && dirs.HasDefault():
		from = dirs.DefaultFile()
	}
	var all []cli.Setting
	add := func(key, value, from string) { all = append(all, cli.Setting{Key: key, Value: value, From: from}) }
	add("profile", name, from)
	if err := dirs.Has(name); err == nil {
		p, err := profile.Load(dirs, name)
		if err != nil {
			return nil, a.forProfile(name, err)
		}
		file := filepath.Join(dirs.Profile(name), "profile.json")
		add("server", p.Address, file)
		add("server_name", p.Host, file)
		add("user", p.User, file)
		add("device", p.Device, file)
	}
	_, from = a.origin("--lang", a.Lang, "LC_ALL", "LC_MESSAGES", "LANG")
	add("language", text.Lang(a.Lang, a.Getenv), from)
	proxy := "direct"
	if dirs.Proxy != nil {
		proxy = dirs.Proxy.String() // without a password
	}
	_, from = a.origin("--proxy", a.proxy, "ALL_PROXY", "all_proxy")
	add("proxy", proxy, from)
	without, from := a.origin("", "", "NO_PROXY", "no_proxy")
	add("no_proxy", without, from)
	add("profiles", dirs.Config, xdgOrigin(a, "XDG_CONFIG_HOME"))
	add("state", dirs.State, xdgOrigin(a, "XDG_STATE_HOME"))
	return all, nil
}

// proxyVariable returns the variable that names a proxy, "" if none does.
func (a *app) proxyVariable() string {
	if url, from := a.origin("", "", "ALL_PROXY", "all_proxy"); url != "" {
		return from
	}
	return ""
}

// origin returns the first of the values that is set, and where: that of the flag, or those of variables.
func (a *app) origin(flag, value string, variables ...string) (set, from string) {
	if value != "" {
		return value, flag
	}
	for _, v := range variables {
		if value := a.Getenv(v); value != "" {
			return value, v
		}
	}
	return "", cli.ByDefault
}

// xdgOrigin is origin for a folder: a relative one means nothing.
func xdgOrigin(a *app, variable string) string {
	if filepath.IsAbs(a.Getenv(variable)) {
		return variable
	}
	return cli.ByDefault
}
