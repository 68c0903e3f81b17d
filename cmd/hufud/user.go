package main

import (
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"hufu/internal/account"
	"hufu/internal/cli"
)

func newUser(a *app) *cobra.Command {
	return a.Group("user", "hufud.user",
		newUserAdd(a), newUserList(a), newUserPasswd(a), newUserLock(a, true), newUserLock(a, false), newUserRemove(a))
}

func newUserAdd(a *app) *cobra.Command {
	cmd := a.Command("add USER", "hufud.user.add")
	cli.Exactly(cmd, 1)
	var admin bool
	var file string
	cmd.Flags().BoolVar(&admin, "admin", false, a.Cat.T("hufud.user.add.flag.admin"))
	cmd.Flags().StringVar(&file, "password-file", "", a.Cat.T("hufud.user.add.flag.password_file"))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var pw string
		if file != "" {
			var err error
			if pw, err = a.Password(cmd.Context(), file); err != nil {
				return err
			}
		}
		return a.change(cmd.Context(), func(s *site) error { return s.addUser(cmd.Context(), args[0], admin, pw) }, func() error {
			return a.Printf("%s", a.Cat.T("hufud.user.add.done", "user", args[0]))
		})
	}
	return cmd
}

// userLine is a user in --json.
type userLine struct {
	User     string     `json:"user"`
	Admin    bool       `json:"admin"`
	State    string     `json:"state"`
	Password bool       `json:"password"`
	Created  time.Time  `json:"created"`
	Locked   *time.Time `json:"locked"`
}

func newUserList(a *app) *cobra.Command {
	return listing[account.User]{
		key:     "hufud.user.list",
		find:    func(cmd *cobra.Command, s *site) ([]account.User, error) { return s.acc.Users(cmd.Context()) },
		object:  func(u account.User) any { return lineOf(u) },
		columns: []string{"user", "role", "state", "created"},
		row: func(u account.User) []string {
			return []string{u.Name, a.role(u), a.userState(u), a.Cat.Time(u.Created)}
		},
	}.command(a)
}

func lineOf(u account.User) userLine {
	l := userLine{User: u.Name, Admin: u.Admin, State: "active", Password: u.Password, Created: u.Created}
	switch {
	case !u.Locked.IsZero():
		l.State, l.Locked = "locked", &u.Locked
	case !u.Password:
		l.State = "invited"
	}
	return l
}

func (a *app) role(u account.User) string {
	if u.Admin {
		return a.Cat.T("hufud.role.admin")
	}
	return a.Cat.T("hufud.role.user")
}

func (a *app) userState(u account.User) string {
	switch lineOf(u).State {
	case "locked":
		return a.Cat.T("hufud.state.locked")
	case "invited":
		return a.Cat.T("hufud.state.invited")
	}
	return a.Cat.T("hufud.state.active")
}

func newUserPasswd(a *app) *cobra.Command {
	cmd := a.Command("passwd USER", "hufud.user.passwd")
	cli.Exactly(cmd, 1)
	var file string
	cmd.Flags().StringVar(&file, "password-file", "", a.Cat.T("hufud.user.passwd.flag.password_file"))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		pw, err := a.NewPassword(cmd.Context(), file, a.Cat.T("cli.ask.new_password"))
		if err != nil {
			return err
		}
		return a.withdraw(cmd.Context(), func(s *site) error { return s.acc.SetPassword(cmd.Context(), args[0], pw) }, func() error {
			return a.Printf("%s", a.Cat.T("hufud.user.passwd.done", "user", args[0]))
		})
	}
	return cmd
}

func newUserLock(a *app, lock bool) *cobra.Command {
	use, key := "unlock USER", "hufud.user.unlock"
	if lock {
		use, key = "lock USER", "hufud.user.lock"
	}
	cmd := a.Command(use, key)
	cli.Exactly(cmd, 1)
	var device string
	cmd.Flags().StringVar(&device, "device", "", a.Cat.T("hufud.user.lock.flag.device"))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx, user := cmd.Context(), args[0]
		change := a.withdraw
		if !lock {
			change = a.change
		}
		return change(ctx, func(s *site) error {
			// One that is given and empty is no device, and not all of them.
			switch narrow := cmd.Flags().Changed("device"); {
			case lock && narrow:
				return s.acc.LockDevice(ctx, user, device)
			case lock:
				return s.acc.LockUser(ctx, user)
			case narrow:
				return s.acc.UnlockDevice(ctx, user, device)
			default:
				return s.acc.UnlockUser(ctx, user)
			}
		}, func() error {
			if lock {
				a.Hint(a.Cat.T("hufud.cert.revoke.invitations", "user", user))
			}
			if device != "" {
				return a.Printf("%s", a.Cat.T(key+".done_device", "user", user, "device", device))
			}
			return a.Printf("%s", a.Cat.T(key+".done", "user", user))
		})
	}
	return cmd
}

func newUserRemove(a *app) *cobra.Command {
	cmd := a.Command("rm USER", "hufud.user.rm")
	cli.Exactly(cmd, 1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, _, err := a.config()
		if err != nil {
			return err
		}
		where := redacted(c.Store.URL)
		if c.onDisk() {
			where = filepath.Join(a.data, "files", "users", args[0])
		}
		return a.withdraw(cmd.Context(), func(s *site) error { return s.acc.RemoveUser(cmd.Context(), args[0]) }, func() error {
			return a.Printf("%s", a.Cat.T("hufud.user.rm.done", "user", args[0], "path", where))
		})
	}
	return cmd
}
