//go:build e2e && linux

// Package aged gives people certificates that are about to expire.
package aged

import (
	"context"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"time"

	"hufu/internal/account"
	"hufu/internal/ca"
	"hufu/internal/identity"
	"hufu/internal/meta"
	"hufu/test/built"
)

// Certificate replaces the certificate of the user's profile with one for a device of another name.
// It expires in a quarter of an hour, so the next connection renews it. The server stops meanwhile.
func Certificate(ctx context.Context, s *built.Server, p built.Person, user, device string) (err error) {
	if _, err := s.Stop(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Start()) }()
	var ago time.Duration
	now := func() time.Time { return time.Now().Add(-ago) }
	db, err := meta.Open(ctx, meta.File(filepath.Join(s.Data, ca.Database)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }() // before the server starts
	accounts, err := account.Open(ctx, db, account.Options{Judges: true})
	if err != nil {
		return err
	}
	authority, err := ca.Open(ctx, s.Data, db, accounts, ca.Options{Now: now})
	if err != nil {
		return err
	}
	ago = ca.ClientLife - 15*time.Minute
	config := func(name string) string {
		return filepath.Join(p.Home, ".config", "hufu", "profiles", "default", name)
	}
	data, err := os.ReadFile(config("client.key"))
	if err != nil {
		return err
	}
	key, err := identity.ParseKey(data, nil)
	if err != nil {
		return err
	}
	csr, err := identity.MakeCSR(key)
	if err != nil {
		return err
	}
	request := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr})
	chain, err := authority.Sign(ctx, request, ca.SignOptions{Use: meta.UseClient, User: user, Device: device})
	if err != nil {
		return err
	}
	return os.WriteFile(config("client.crt"), chain, 0o600)
}
