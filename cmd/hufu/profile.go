package main

import (
	"github.com/spf13/cobra"

	"hufu"
	"hufu/internal/cli"
	"hufu/internal/identity"
	"hufu/internal/profile"
)

func newProfile(a *app) *cobra.Command {
	return a.Group("profile", "hufu.profile", newProfileList(a), newProfileShow(a), newProfileRemove(a), newProfileDefault(a))
}

// jsonProfile is a profile in --json. One that cannot be read has the keys of a
// failure instead of its data.
type jsonProfile struct {
	Profile  string `json:"profile"`
	Default  bool   `json:"default"`
	User     string `json:"user,omitempty"`
	Device   string `json:"device,omitempty"`
	Address  string `json:"address,omitempty"`
	Host     string `json:"host,omitempty"`
	Own      bool   `json:"own_certificate"`
	Serial   string `json:"serial,omitempty"`
	NotAfter string `json:"not_after,omitempty"`
	Root     string `json:"root_fingerprint,omitempty"`
	Folder   string `json:"folder"`
	*cli.Failure
}

// about holds what this computer stores for a profile.
type about struct {
	*profile.Profile
	leaf, root *identity.Certificate
}

func lookAt(dirs profile.Dirs, name string) (about, error) {
	p, err := profile.Load(dirs, name)
	if err != nil {
		return about{}, err
	}
	roots, err := p.Roots()
	if err != nil {
		return about{}, err
	}
	pair, err := p.Certificate()
	if err != nil {
		return about{}, err
	}
	leaf, err := identity.ParseCert(pair.Certificate[0])
	return about{p, leaf, roots[0]}, err
}

func (a *app) profileLine(dirs profile.Dirs, name string) (jsonProfile, about, error) {
	l := jsonProfile{Profile: name, Default: name == a.standard, Folder: dirs.Profile(name)}
	p, err := lookAt(dirs, name)
	if err != nil {
		l.Failure = a.Failure(err)
		return l, p, err
	}
	l.User, l.Device, l.Address, l.Host, l.Own = p.User, p.Device, p.Address, p.Host, p.Own
	l.Serial, l.NotAfter, l.Root = identity.Serial(p.leaf), jsonTime(p.leaf.NotAfter), identity.FingerprintHex(p.root)
	return l, p, nil
}

func (a *app) isDefault(name string) string {
	if name == a.standard {
		return a.Cat.T("hufu.profile.yes")
	}
	return ""
}

func newProfileList(a *app) *cobra.Command {
	cmd := a.Command("list", "hufu.profile.list", "hufu profile list", "hufu profile list --json")
	cmd.RunE = func(*cobra.Command, []string) error {
		dirs, err := a.dirs()
		if err != nil {
			return err
		}
		names, err := profile.List(dirs)
		if err != nil {
			return err
		}
		if len(names) == 0 && !a.json {
			a.Hint(a.Cat.T("hufu.profile.none"))
			return nil
		}
		rows := [][]string{{
			a.Cat.T("hufu.profile.column.profile"), a.Cat.T("hufu.profile.column.default"), a.Cat.T("hufud.column.user"),
			a.Cat.T("hufud.column.device"), a.Cat.T("hufu.profile.column.server"), a.Cat.T("hufud.column.not_after"),
		}}
		broken := hufu.Kind(0)
		for _, name := range names {
			l, p, err := a.profileLine(dirs, name)
			if a.json {
				if err := a.JSON(l); err != nil {
					return err
				}
			}
			if err != nil {
				broken = hufu.KindOf(err)
				a.told(err)
				rows = append(rows, []string{name, a.isDefault(name), "-", "-", "-", "-"})
				continue
			}
			rows = append(rows, []string{name, a.isDefault(name), p.User, p.Device, p.Address, a.Cat.Time(p.leaf.NotAfter)})
		}
		if !a.json {
			if err := a.Table(rows); err != nil {
				return err
			}
		}
		if broken != 0 {
			return cli.Reported(broken)
		}
		return nil
	}
	return cmd
}

func newProfileShow(a *app) *cobra.Command {
	cmd := a.Command("show [PROFILE]", "hufu.profile.show", "hufu profile show", "hufu profile show work --json")
	cli.Between(cmd, 0, 1)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		dirs, err := a.dirs()
		if err != nil {
			return err
		}
		name := a.profileName()
		if len(args) == 1 {
			name = args[0]
		}
		if err := dirs.Has(name); err != nil {
			return err
		}
		l, p, err := a.profileLine(dirs, name)
		if err != nil {
			return err
		}
		if a.json {
			return a.JSON(l)
		}
		sum := identity.Fingerprint(p.root)
		return a.Table([][]string{
			{a.Cat.T("hufu.profile.column.profile"), name},
			{a.Cat.T("hufu.profile.column.default"), a.isDefault(name)},
			{a.Cat.T("hufud.column.user"), p.User},
			{a.Cat.T("hufud.column.device"), p.Device},
			{a.Cat.T("hufu.profile.column.server"), p.Address},
			{a.Cat.T("hufu.profile.column.name"), p.Host},
			{a.Cat.T("hufud.column.serial"), l.Serial},
			{a.Cat.T("hufud.column.not_before"), a.Cat.Time(p.leaf.NotBefore)},
			{a.Cat.T("hufud.column.not_after"), a.Cat.Time(p.leaf.NotAfter)},
			{a.Cat.T("hufu.profile.column.root"), l.Root},
			{"", identity.FingerprintWords(sum[:])},
			{a.Cat.T("hufu.profile.column.folder"), l.Folder},
		})
	}
	return cmd
}

func newProfileRemove(a *app) *cobra.Command {
	cmd := a.Command("rm PROFILE…", "hufu.profile.rm", "hufu profile rm old")
	cli.Between(cmd, 1, -1)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		dirs, err := a.dirs()
		if err != nil {
			return err
		}
		for _, name := range args { // all, before one is removed
			if err := dirs.Removable(name); err != nil {
				return err
			}
		}
		for _, name := range args {
			p, unknown := lookAt(dirs, name)
			if err := dirs.Remove(name); err != nil {
				return err
			}
			if a.json {
				err = a.JSON(map[string]string{"profile": name, "outcome": "removed"})
			} else {
				err = a.Printf("%s", a.Cat.T("hufu.profile.rm.done", "profile", name))
			}
			if err != nil {
				return err
			}
			if unknown == nil {
				a.Hint(a.Cat.T("hufu.profile.rm.revoke", "until", p.leaf.NotAfter, "serial", identity.Serial(p.leaf)))
			}
		}
		return nil
	}
	return cmd
}

func newProfileDefault(a *app) *cobra.Command {
	cmd := a.Command("default [PROFILE]", "hufu.profile.default", "hufu profile default", "hufu profile default work")
	cli.Between(cmd, 0, 1)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		dirs, err := a.dirs()
		if err != nil {
			return err
		}
		var name string
		if len(args) == 0 {
			if name, err = dirs.Default(); err != nil {
				return err
			}
		} else {
			name = args[0]
			if err := dirs.SetDefault(name); err != nil {
				return err
			}
		}
		switch {
		case a.json:
			return a.JSON(map[string]string{"profile": name})
		case len(args) == 0:
			return a.Printf("%s", name)
		}
		return a.Printf("%s", a.Cat.T("hufu.profile.default.done", "profile", name))
	}
	return cmd
}
