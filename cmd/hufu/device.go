package main

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"hufu"
	"hufu/internal/cli"
	"hufu/internal/client"
)

func newDevice(a *app) *cobra.Command {
	return a.Group("device", "hufu.device", newDeviceList(a), newDeviceAdd(a), newDeviceRemove(a))
}

// jsonDevice is one of the user's devices in --json.
type jsonDevice struct {
	Device   string `json:"device"`
	This     bool   `json:"this"`
	State    string `json:"state"`
	Serial   string `json:"serial"`
	Issued   string `json:"issued"`
	NotAfter string `json:"not_after"`
	LastSeen string `json:"last_seen"`
}

// server runs f on the server of the profile that no location names.
func (a *app) server(ctx context.Context, f func(*client.Remote) error) error {
	if a.plaintext {
		return cli.Usage("plaintext_needs_tls")
	}
	return a.with(ctx, location{profile: a.profileName()}, nil, f)
}

func newDeviceList(a *app) *cobra.Command {
	cmd := a.Command("list", "hufu.device.list", "hufu device list", "hufu device list --json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.server(cmd.Context(), func(r *client.Remote) error {
			all, _, err := r.Devices(cmd.Context())
			if err != nil {
				return err
			}
			rows := [][]string{{
				a.Cat.T("hufud.column.device"), a.Cat.T("hufu.device.column.this"), a.Cat.T("hufud.column.state"), a.Cat.T("hufu.device.column.seen"),
				a.Cat.T("hufud.column.not_after"), a.Cat.T("hufud.column.serial"),
			}}
			for _, d := range all {
				if a.json {
					if err := a.JSON(jsonDevice{d.Name, d.This, d.State, d.Serial, jsonTime(d.Issued), jsonTime(d.Expires), jsonTime(d.Seen)}); err != nil {
						return err
					}
					continue
				}
				this := ""
				if d.This {
					this = a.Cat.T("hufu.profile.yes")
				}
				rows = append(rows, []string{
					hufu.Printable(d.Name), this, a.Cat.T("hufu.device.state." + d.State), a.Cat.Time(d.Seen), a.Cat.Time(d.Expires), hufu.Printable(d.Serial),
				})
			}
			if a.json {
				return nil
			}
			return a.Table(rows)
		})
	}
	return cmd
}

func newDeviceAdd(a *app) *cobra.Command {
	cmd := a.Command("add", "hufu.device.add", "hufu device add", "hufu device add --qr")
	var file string
	var code bool
	cmd.Flags().StringVar(&file, "password-file", "", a.Cat.T("hufu.flag.password_file"))
	cmd.Flags().BoolVar(&code, "qr", false, a.Cat.T("hufud.invite.flag.qr"))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if a.json && code {
			return cli.Usage("flags_contradict", "one", "--qr", "other", "--json")
		}
		return a.server(cmd.Context(), func(r *client.Remote) error {
			password, err := a.Password(cmd.Context(), file)
			if err != nil {
				return err
			}
			v, until, err := r.InviteDevice(cmd.Context(), password)
			if err != nil {
				return err
			}
			if a.json {
				return a.JSON(map[string]string{"code": v.String(), "expires": until.UTC().Format(time.RFC3339)})
			}
			if err := a.Printf("%s", v); err != nil {
				return err
			}
			a.Hint(a.Cat.T("hufu.device.add.hint", "until", until))
			if hufu.Loopback(v.Host) {
				a.Hint(a.Cat.T("hufu.device.add.loopback", "host", v.Host))
			}
			if code {
				return a.QR(v.String())
			}
			return nil
		})
	}
	return cmd
}

// known returns an error if the user has no such device.
func known(ctx context.Context, r *client.Remote, device string) error {
	all, _, err := r.Devices(ctx)
	if err != nil || slices.ContainsFunc(all, func(d client.Device) bool { return d.Name == device }) {
		return err
	}
	return &hufu.Error{Op: "remove device", Kind: hufu.KindNotFound, Code: "own_device_unknown", Args: map[string]string{"device": device}}
}

func newDeviceRemove(a *app) *cobra.Command {
	cmd := a.Command("rm DEVICE", "hufu.device.rm", "hufu device rm old-phone")
	cli.Between(cmd, 1, 1)
	var file string
	var last bool
	cmd.Flags().StringVar(&file, "password-file", "", a.Cat.T("hufu.flag.password_file"))
	cmd.Flags().BoolVar(&last, "last", false, a.Cat.T("hufu.device.rm.flag.last"))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.server(cmd.Context(), func(r *client.Remote) error {
			if err := known(cmd.Context(), r, args[0]); err != nil {
				return err
			}
			if args[0] == r.Profile().Device {
				a.Hint(a.Cat.T("hufu.device.rm.this"))
			}
			password, err := a.Password(cmd.Context(), file)
			if err != nil {
				return err
			}
			if err := r.RemoveDevice(cmd.Context(), args[0], password, last); err != nil {
				return err
			}
			if a.json {
				return a.JSON(map[string]string{"device": args[0], "outcome": "removed"})
			}
			return a.Printf("%s", a.Cat.T("hufu.device.rm.done", "device", args[0]))
		})
	}
	return cmd
}
