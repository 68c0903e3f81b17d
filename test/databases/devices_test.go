//go:build e2e && linux

package databases

import (
	"crypto/sha256"
	"sync"
	"testing"
	"time"

	"hufu"
	"hufu/internal/account"
	"hufu/internal/meta"
)

// TestHT58DevicesOnTwoServers: a device that its user removes at one server is refused at the other,
// an invitation that was made at one is used at the other, and of two devices that remove each other
// at the same time one stays.
func TestHT58DevicesOnTwoServers(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		ctx, at := t.Context(), e.fresh(t)
		db := open(t, at)
		a, err := account.Open(ctx, db, account.Options{Judges: true})
		must(t, err)
		b, err := account.Open(ctx, open(t, at), account.Options{Judges: true})
		must(t, err)
		const password = "correct horse"
		must(t, a.AddUser(ctx, "alice", false), a.SetPassword(ctx, "alice", password))
		for _, s := range []string{"laptop", "phone"} {
			must(t, db.AddCertificate(ctx, meta.Certificate{
				Serial: s, Fingerprint: sha256.Sum256([]byte(s)), Lineage: s, Use: meta.UseClient, User: "alice", Device: s,
				NotBefore: moment, NotAfter: time.Now().Add(time.Hour), Issued: moment,
			}))
		}
		must(t, a.Reload(ctx), b.Reload(ctx))
		laptop, err := a.Admit("laptop", sha256.Sum256([]byte("laptop")))
		must(t, err)
		phone, err := b.Admit("phone", sha256.Sum256([]byte("phone")))
		must(t, err)
		v, err := a.InviteDevice(ctx, laptop, password)
		must(t, err)
		if _, err := b.Invitation(ctx, v.Secret, "192.0.2.1:1"); err != nil {
			t.Error(err)
		}

		var both sync.WaitGroup
		errs := make([]error, 2)
		both.Go(func() { errs[0] = a.RemoveDevice(ctx, laptop, "phone", password, false) })
		both.Go(func() { errs[1] = b.RemoveDevice(ctx, phone, "laptop", password, false) })
		both.Wait()
		must(t, a.Reload(ctx), b.Reload(ctx))
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Errorf("each has removed the other, or neither: %v", errs)
		}
		left, other := laptop, "phone"
		if errs[0] != nil {
			left, other = phone, "laptop"
		}
		for _, s := range []*account.Service{a, b} {
			if _, err := s.AdmitOrLook(ctx, other, sha256.Sum256([]byte(other))); hufu.CodeOf(err) != "cert_revoked_reason" {
				t.Error(err)
			}
			if all, err := s.Devices(ctx, left); err != nil || len(all) != 1 || all[0].Name != left.Device {
				t.Error(all, err)
			}
		}
		if _, err := b.Invitation(ctx, v.Secret, "192.0.2.1:1"); hufu.CodeOf(err) != "invitation_unknown" {
			t.Error(err)
		}
	})
}
