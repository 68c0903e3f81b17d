package server_test

import (
	"strings"
	"testing"
	"time"

	"hufu"
	"hufu/internal/client"
	"hufu/internal/frame"
	"hufu/internal/profile"
	"hufu/internal/testenv"
)

// TestHT58Devices: a user lists the own devices, invites one, which joins with the password, and
// removes it: it is cut within a second. Nothing of another user is in reach.
func TestHT58Devices(t *testing.T) {
	t.Parallel()
	const promise = time.Second
	env := testenv.New(t, testenv.Options{})
	alice, bob := env.Person("alice"), env.Person("bob")
	r := alice.Remote(client.Options{})
	list := func() string {
		t.Helper()
		all, invites, err := r.Devices(t.Context())
		if err != nil || !invites {
			t.Fatal(all, invites, err)
		}
		var names []string
		for _, d := range all {
			names = append(names, d.Name)
			if d.This != (d.Name == alice.Profile.Device) || d.State != frame.DeviceActive || time.Since(d.Seen) > time.Minute || d.Serial == "" {
				t.Errorf("%+v", d)
			}
		}
		return strings.Join(names, " ")
	}
	laptop := alice.Profile.Device
	if got := list(); got != laptop {
		t.Errorf("the devices are %s", got)
	}
	v, until, err := r.InviteDevice(t.Context(), alice.Password)
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(until); left < 50*time.Minute || left > time.Hour {
		t.Errorf("it lasts %v", left)
	}
	dirs := profile.Dirs{Config: t.TempDir(), State: t.TempDir()}
	if _, err := profile.Enroll(t.Context(), dirs, profile.Default, v, "not the password"); hufu.CodeOf(err) != "wrong_password" {
		t.Errorf("joined without the password: %v", err)
	}
	second, err := profile.Enroll(t.Context(), dirs, profile.Default, v, alice.Password)
	if err != nil {
		t.Fatal(err)
	}
	if second.User != "alice" || second.Device == laptop {
		t.Errorf("joined as %s %s", second.User, second.Device)
	}
	if got := list(); !strings.Contains(got, second.Device) || !strings.Contains(got, laptop) {
		t.Errorf("the devices are %s", got)
	}

	// Bob can do nothing with alice's names.
	b := bob.Remote(client.Options{})
	for _, name := range []string{second.Device, "alice/" + second.Device, "x' OR '1'='1"} {
		if err := b.RemoveDevice(t.Context(), name, bob.Password, true); name != bob.Profile.Device && hufu.CodeOf(err) != "own_device_unknown" {
			t.Errorf("bob removes %q: %v", name, err)
		}
	}
	if all, _, err := b.Devices(t.Context()); err != nil || len(all) != 1 || !all[0].This {
		t.Errorf("bob sees %+v %v", all, err)
	}

	// Removed, and cut.
	other, err := client.New(second, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	if _, err := other.Stat(t.Context(), hufu.Path{}); err != nil {
		t.Fatal(err)
	}
	if err := r.RemoveDevice(t.Context(), second.Device, "not the password", false); hufu.CodeOf(err) != "wrong_password" {
		t.Errorf("removed without the password: %v", err)
	}
	if err := r.RemoveDevice(t.Context(), second.Device, alice.Password, false); err != nil {
		t.Fatal(err)
	}
	removed := time.Now()
	if _, err := other.Stat(t.Context(), hufu.Path{}); !strings.HasPrefix(hufu.CodeOf(err), "cert_revoked") {
		t.Errorf("after its removal: %v", err)
	}
	if took := time.Since(removed); took > 5*promise {
		t.Errorf("cut after %v", took)
	}
	if got := list(); got != laptop {
		t.Errorf("the devices are %s", got)
	}
	if err := r.RemoveDevice(t.Context(), laptop, alice.Password, false); hufu.CodeOf(err) != "device_last" {
		t.Errorf("the last one: %v", err)
	}
	if err := r.RemoveDevice(t.Context(), laptop, alice.Password, true); err != nil {
		t.Errorf("the last one, on purpose: %v", err)
	}
	if _, _, err := r.Devices(t.Context()); !strings.HasPrefix(hufu.CodeOf(err), "cert_revoked") {
		t.Errorf("this one, removed: %v", err)
	}
	if log := env.Log.String(); strings.Contains(log, v.Secret) || strings.Contains(log, alice.Password) || !strings.Contains(log, "device invited") {
		t.Error("the log holds a secret, or lacks what was done")
	}
}

// TestHT58OnlyWithALogin: the requests need a login and the feature, and the teaching world has
// neither devices nor invitations.
func TestHT58OnlyWithALogin(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{Teach: true, AdminInvites: true})
	alice := env.Person("alice")
	requests := []frame.Message{
		&frame.Devices{}, &frame.RemoveDevice{Device: alice.Profile.Device, Password: alice.Password, Last: true}, &frame.Invite{Password: alice.Password},
	}
	for _, m := range requests {
		w := asPerson(t, env, alice) // names the core alone
		w.say(m)
		if code := w.farewell(); code != "request_unknown" {
			t.Errorf("%s without the feature: %s", m.Type(), code)
		}
	}
	r := alice.Remote(client.Options{})
	if _, _, err := r.InviteDevice(t.Context(), alice.Password); hufu.CodeOf(err) != "invite_by_administrator" {
		t.Errorf("only the administrator invites: %v", err)
	}
	if all, invites, err := r.Devices(t.Context()); err != nil || invites || len(all) != 1 {
		t.Errorf("only the administrator invites: %v %v %v", all, invites, err)
	}
	if err := r.Logout(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Devices(t.Context()); hufu.CodeOf(err) != "not_logged_in" {
		t.Errorf("without a login: %v", err)
	}
	if err := r.RemoveDevice(t.Context(), alice.Profile.Device, alice.Password, true); hufu.CodeOf(err) != "not_logged_in" {
		t.Errorf("without a login: %v", err)
	}
	pupil := alice.Remote(client.Options{Teach: true})
	if err := pupil.Login(t.Context(), "alice", "of the lesson"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := pupil.Devices(t.Context()); hufu.CodeOf(err) != "devices_unknown" {
		t.Errorf("in the teaching world: %v", err)
	}
}
