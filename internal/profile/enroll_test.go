package profile_test

import (
	"bytes"
	"crypto"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"hufu"
	"hufu/internal/ca"
	"hufu/internal/client"
	"hufu/internal/identity"
	"hufu/internal/meta"
	"hufu/internal/profile"
	"hufu/internal/testenv"
)

// TestDeadProfileIsReplaced: a new invitation lets a computer in again whose
// certificate is of no use, with a new key; any other profile stays.
func TestDeadProfileIsReplaced(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	alice := env.Person("alice")
	file := func(name string) string { return filepath.Join(alice.Dirs.Profile(profile.Default), name) }
	read := func(name string) []byte {
		t.Helper()
		data, err := os.ReadFile(file(name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	write := func(name string, data []byte) {
		t.Helper()
		if err := os.WriteFile(file(name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	enroll := func(inv hufu.Invitation) error {
		_, err := profile.Enroll(t.Context(), alice.Dirs, profile.Default, inv, alice.Password)
		return err
	}
	stays := func(what string, inv hufu.Invitation, code string) {
		t.Helper()
		key, crt := read("client.key"), read("client.crt")
		if err := enroll(inv); hufu.CodeOf(err) != code {
			t.Errorf("%s: %v", what, err)
		}
		if !bytes.Equal(key, read("client.key")) || !bytes.Equal(crt, read("client.crt")) {
			t.Errorf("%s: the profile is another", what)
		}
	}
	first := env.Invite("alice")
	stays("it is good", first, "profile_exists")
	check(env.Account.LockUser(t.Context(), "alice"))
	check(env.Account.Reload(t.Context()))
	stays("the user is locked", first, "profile_exists")
	check(env.Account.UnlockUser(t.Context(), "alice"))
	other := testenv.New(t, testenv.Options{})
	stays("it is another server's", other.Invite("alice"), "profile_exists")
	check(os.Chmod(file("client.key"), 0o644))
	stays("the key can be read by others", env.Invite("alice"), "key_file_open")
	check(os.Chmod(file("client.key"), 0o600))

	_, err := env.Account.RevokeUser(t.Context(), "alice", "lost")
	check(err)
	stays("the invitation is not good", hufu.Invitation{
		Host: "127.0.0.1", Port: env.Invite("alice").Port, Fingerprint: env.Invite("alice").Fingerprint, Secret: hufu.EncodeSecret([hufu.InvitationSecret]byte{}),
	}, "invitation_unknown")
	inv, key, crt := env.Invite("alice"), read("client.key"), read("client.crt")
	check(enroll(inv))
	if bytes.Equal(key, read("client.key")) {
		t.Error("the key of a certificate that was revoked is used again")
	}
	if _, err := os.Stat(file("next.key")); err == nil {
		t.Error("the next key is left")
	}
	comesIn := func() {
		t.Helper()
		p, err := profile.Load(alice.Dirs, profile.Default)
		check(err)
		r, err := client.New(p, client.Options{})
		check(err)
		defer func() { _ = r.Close() }()
		check(r.LoggedIn(t.Context()))
	}
	comesIn()

	// Killed in the middle: the new key, and the certificate of the old one.
	write("next.key", read("client.key"))
	write("client.crt", crt)
	check(enroll(inv))
	comesIn()

	check(os.Remove(file("client.key")))
	check(enroll(env.Invite("alice")))
	comesIn()
}

// TestCertificateFromTheFuture: one that was made while the server's clock was
// ahead is renewed by the next connection. If that fails, the client says what is
// wrong, and a new invitation replaces the profile.
func TestCertificateFromTheFuture(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	alice := env.Person("alice")
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ahead := func() time.Time { return time.Now().Add(20 * 24 * time.Hour) }
	authority, err := ca.Open(t.Context(), env.Data, env.DB, env.Account, ca.Options{Now: ahead})
	check(err)
	pair, err := alice.Profile.Certificate()
	check(err)
	fromTheFuture := func(key crypto.Signer) {
		t.Helper()
		csr, err := identity.MakeCSR(key)
		check(err)
		now, err := identity.ParseCert(pair.Certificate[0])
		check(err)
		chain, err := authority.Renew(t.Context(), identity.Serial(now), identity.Fingerprint(now), csr)
		check(err)
		leaf, err := identity.ParseCert(chain[0])
		check(err)
		issuing, err := identity.ParseCert(chain[1])
		check(err)
		pem, err := identity.MarshalKey(key, nil)
		check(err)
		folder := alice.Dirs.Profile(profile.Default)
		check(os.WriteFile(filepath.Join(folder, "client.key"), pem, 0o600))
		check(os.WriteFile(filepath.Join(folder, "client.crt"), identity.MarshalCerts(leaf, issuing), 0o600))
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		t.Fatal("no key")
	}
	connect := func() error {
		r, err := client.New(alice.Profile, client.Options{})
		check(err)
		defer func() { _ = r.Close() }()
		return r.LoggedIn(t.Context())
	}
	fromTheFuture(key)
	elsewhere := env.Invite("alice") // names the same server by another address
	if elsewhere.Host = "localhost"; alice.Profile.Host == elsewhere.Host {
		elsewhere.Host = "127.0.0.1"
	}
	if _, err := profile.Replaces(t.Context(), alice.Dirs, profile.Default, elsewhere); hufu.CodeOf(err) != "profile_exists" {
		t.Errorf("an invitation for a profile that is renewed: %v", err)
	}
	kept, err := profile.Load(alice.Dirs, profile.Default)
	check(err)
	if kept.Address != alice.Profile.Address || kept.Host != alice.Profile.Host {
		t.Errorf("an invitation that was refused has moved the profile to %s, %s", kept.Address, kept.Host)
	}
	fromTheFuture(key)
	check(connect())
	pair, err = alice.Profile.Certificate()
	check(err)
	if leaf, err := identity.ParseCert(pair.Certificate[0]); err != nil || time.Now().Before(leaf.NotBefore) {
		t.Errorf("the certificate that is kept is good from %v, %v", leaf.NotBefore, err)
	}

	for n := 0; ; n++ { // until the device has as many as it may have
		other, err := identity.GenerateKey(identity.ECDSA)
		check(err)
		csr, err := identity.MakeCSR(other)
		check(err)
		leaf, err := identity.ParseCert(pair.Certificate[0])
		check(err)
		_, err = env.Authority.Renew(t.Context(), identity.Serial(leaf), identity.Fingerprint(leaf), csr)
		if hufu.CodeOf(err) == "device_certificates" {
			break
		}
		check(err)
		if n == 0 {
			another, err := identity.GenerateKey(identity.ECDSA)
			check(err)
			fromTheFuture(another)
		}
	}
	if err := connect(); hufu.CodeOf(err) != "client_not_yet_valid" {
		t.Errorf("with a certificate that is not valid yet and cannot be renewed: %v", err)
	}
	alice.Profile, err = profile.Enroll(t.Context(), alice.Dirs, profile.Default, env.Invite("alice"), alice.Password)
	check(err)
	check(connect())
}

// TestDeadProfileIsReplacedByOwnFiles: a certificate that was made elsewhere takes
// the place of a dead profile by the same rule as an invitation, and that of an
// earlier one of its kind in any case.
func TestDeadProfileIsReplacedByOwnFiles(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	alice := env.Person("alice")
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	// files are a key and a certificate that the server's CA has signed on demand.
	files := func(env *testenv.Env, device string) profile.OwnFiles {
		t.Helper()
		key, err := identity.GenerateKey(identity.ECDSA)
		check(err)
		keyPEM, err := identity.MarshalKey(key, nil)
		check(err)
		der, err := identity.MakeCSR(key)
		check(err)
		request := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
		crt, err := env.Authority.Sign(t.Context(), request, ca.SignOptions{Use: meta.UseClient, User: "alice", Device: device})
		check(err)
		check(env.Account.Reload(t.Context()))
		return profile.OwnFiles{Certificate: crt, Key: keyPEM, CA: identity.MarshalCerts(env.Authority.Root()), Address: env.Address}
	}
	enroll := func(f profile.OwnFiles) error {
		_, err := profile.EnrollOwn(t.Context(), alice.Dirs, profile.Default, f, alice.Password)
		return err
	}
	own := func() bool {
		t.Helper()
		p, err := profile.Load(alice.Dirs, profile.Default)
		check(err)
		r, err := client.New(p, client.Options{})
		check(err)
		defer func() { _ = r.Close() }()
		if _, err := r.Connect(t.Context()); err != nil && p.Own {
			t.Error(err)
		}
		return p.Own
	}
	first := files(env, "first")
	if err := enroll(first); hufu.CodeOf(err) != "profile_exists" || own() {
		t.Errorf("a good profile: %v", err)
	}
	_, err := env.Account.RevokeDevice(t.Context(), "alice", alice.Profile.Device, "lost")
	check(err)
	other := testenv.New(t, testenv.Options{})
	other.Person("alice")
	if err := enroll(files(other, "second")); hufu.CodeOf(err) != "profile_exists" || own() {
		t.Errorf("a dead profile of another server: %v", err)
	}
	dead, err := profile.ReplacesOwn(t.Context(), alice.Dirs, profile.Default, first)
	if !dead || err != nil {
		t.Errorf("a dead profile: %v %v", dead, err)
	}
	if err := enroll(first); err != nil || !own() {
		t.Errorf("a dead profile: %v", err)
	}
	if err := enroll(files(env, "third")); err != nil || !own() {
		t.Errorf("one from files: %v", err)
	}
}

// TestEnrollGoesOn: an enrolment whose login has failed is completed by the same
// command; a profile with a login stays.
func TestEnrollGoesOn(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	dirs := profile.Dirs{Config: t.TempDir(), State: t.TempDir()}
	inv := env.Invite("alice")
	enroll := func(inv hufu.Invitation) (*profile.Profile, error) {
		return profile.Enroll(t.Context(), dirs, profile.Default, inv, "password of alice")
	}
	p, err := enroll(inv)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := enroll(inv); hufu.CodeOf(err) != "profile_exists" {
		t.Errorf("again, with a login: %v", err)
	}
	if err := p.SetToken(nil); err != nil {
		t.Fatal(err)
	}
	if _, err := enroll(env.Invite("alice")); hufu.CodeOf(err) != "profile_exists" {
		t.Errorf("with another invitation: %v", err)
	}
	if p, err = enroll(inv); err != nil || p.Token() == nil {
		t.Errorf("again, without a login: %v", err)
	}
}

// TestEnrollKeepsAKeyItCannotRead: a key that an earlier enrolment has left is
// replaced by no other, whatever the reason why it cannot be read.
func TestEnrollKeepsAKeyItCannotRead(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	dirs := profile.Dirs{Config: t.TempDir(), State: t.TempDir()}
	key := filepath.Join(dirs.Config, "profiles", profile.Default, "client.key")
	if err := os.MkdirAll(key, 0o700); err != nil { // nothing that could be read
		t.Fatal(err)
	}
	_, err := profile.Enroll(t.Context(), dirs, profile.Default, env.Invite("alice"), "password of alice")
	if e, ok := err.(*hufu.Error); !ok || e.Code != "cannot_read" || e.Path != key { //nolint:errorlint // exactly this one
		t.Errorf("got %v", err)
	}
	if i, err := os.Stat(key); err != nil || !i.IsDir() {
		t.Error("it was replaced:", err)
	}
}

// TestProfiles: list, choose and remove.
func TestProfiles(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	dirs := env.Person("alice").Dirs
	if name, err := dirs.Default(); name != profile.Default || err != nil {
		t.Error(name, err)
	}
	if err := dirs.SetDefault("work"); hufu.CodeOf(err) != "profile_unknown" {
		t.Error(err)
	}
	if _, err := profile.Enroll(t.Context(), dirs, "work", env.Invite("bob"), "password of bob"); err != nil {
		t.Fatal(err)
	}
	if err := dirs.SetDefault("work"); err != nil {
		t.Error(err)
	}
	if name, err := dirs.Default(); name != "work" || err != nil {
		t.Error(name, err)
	}
	if err := dirs.Remove("../work"); hufu.CodeOf(err) != "profile_name" {
		t.Error(err)
	}
	if err := dirs.Remove("work"); err != nil {
		t.Error(err)
	}
	if name, err := dirs.Default(); name != profile.Default || err != nil {
		t.Error(name, err)
	}
	if names, err := profile.List(dirs); len(names) != 1 || names[0] != profile.Default || err != nil {
		t.Error(names, err)
	}
	for _, folder := range []string{dirs.Profile("work"), filepath.Join(dirs.State, "profiles", "work")} {
		if _, err := os.Stat(folder); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", folder, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dirs.Config, "default-profile"), []byte("no name\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := dirs.Default(); hufu.CodeOf(err) != "profile_default_broken" {
		t.Error(err)
	}
}

// TestProfileWithoutItsCertificate: the file that is missing is named, with the
// profile.
func TestProfileWithoutItsCertificate(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	for _, name := range []string{"client.crt", "client.key", "root.crt"} {
		p := env.Person("alice").Profile
		file := filepath.Join(p.Dirs().Profile(p.Name), name)
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		r, err := client.New(p, client.Options{})
		if err == nil {
			_, err = r.Connect(t.Context())
			_ = r.Close()
		}
		e, ok := errors.AsType[*hufu.Error](err)
		if !ok || e.Code != "profile_file_missing" || e.Path != file || e.Args["profile"] != p.Name {
			t.Errorf("%s: %v", name, err)
		}
	}
}
