package ca

import (
	"context"
	"crypto/x509"
	"errors"
	"strconv"
	"time"

	"hufu"
	"hufu/internal/account"
	"hufu/internal/identity"
	"hufu/internal/meta"
)

const (
	// DefaultDevice is the name of a device that does not say its own.
	DefaultDevice = "device"
	// maxPerDevice is the number of certificates of one device that may be
	// valid at the same time; it stops a device that renews in a loop.
	maxPerDevice = 8
	// maxNamesakes is the number of devices of one user that may request the
	// same name.
	maxNamesakes = 100
)

// EnrollRequest is sent by a new device. All of it is a claim.
type EnrollRequest struct {
	Secret   string // of the invitation
	Password string
	Device   string // the name that the device would like; DefaultDevice if empty
	CSR      []byte // DER; only its public key is used
	Remote   string // address the request came from, for counting wrong secrets
}

// Enrolled is the answer to the device.
type Enrolled struct {
	User   string
	Device string   // the final name: the requested one may be taken
	Chain  [][]byte // leaf, issuing CA, root, in DER
}

// errAgain means that another call has changed the account meanwhile.
var errAgain = errors.New("account changed meanwhile")

// Enroll turns an invitation, a password and a public key into a certificate.
// It is the only way to get one without having one, and this the order: secret,
// then the request itself, then the password, then everything once more inside
// the transaction that uses the invitation up. The same secret with the same
// key gets the same certificate again until the invitation expires, because an
// answer may get lost; with another key it is refused.
func (a *Authority) Enroll(ctx context.Context, r EnrollRequest) (Enrolled, error) {
	for range 3 {
		out, err := a.enroll(ctx, r)
		if !errors.Is(err, errAgain) {
			return out, err
		}
	}
	return Enrolled{}, &hufu.Error{Op: "enroll", Kind: hufu.KindUnavailable, Err: errAgain}
}

func (a *Authority) enroll(ctx context.Context, r EnrollRequest) (Enrolled, error) {
	v, err := a.acc.Invitation(ctx, r.Secret, r.Remote)
	if err != nil {
		return Enrolled{}, err
	}
	csr, err := identity.ParseCSR(r.CSR)
	if err != nil {
		return Enrolled{}, err
	}
	key, err := keySum(csr.PublicKey)
	if err != nil {
		return Enrolled{}, err
	}
	if !v.Used.IsZero() && v.UsedSPKI != key {
		return Enrolled{}, invitationUsed(v)
	}
	if r.Device == "" {
		r.Device = DefaultDevice
	}
	if err := hufu.CheckDeviceName(r.Device); err != nil {
		return Enrolled{}, err
	}
	before, password, err := a.password(ctx, v.User, r.Password)
	if err != nil {
		return Enrolled{}, err
	}
	var out Enrolled
	err = a.db.Update(ctx, func(q meta.Queries) error {
		u, err := q.User(ctx, v.User)
		if err != nil {
			return err
		}
		if u.Password != before {
			return errAgain
		}
		out, err = a.redeem(ctx, q, v.SecretHash, csr, key, r.Device)
		if err != nil || u.Password == password {
			return err
		}
		u.Password = password
		return q.PutUser(ctx, u)
	})
	if err != nil {
		return Enrolled{}, err
	}
	a.reload(ctx)
	return out, nil
}

// password checks the user's password, or hashes the first one. It returns the
// stored hash and the one to be stored.
func (a *Authority) password(ctx context.Context, user, password string) (before, after string, err error) {
	if err := account.CheckPassword(password); err != nil {
		return "", "", err
	}
	u, err := a.db.User(ctx, user)
	if err != nil {
		return "", "", err
	}
	if u.Password == "" {
		after, err = a.acc.HashPassword(ctx, password)
		return "", after, err
	}
	return u.Password, u.Password, a.acc.Prove(ctx, user, "", password)
}

// redeem uses the invitation up and issues its certificate, or finds the one
// that this key got before.
func (a *Authority) redeem(ctx context.Context, q meta.Queries, secretHash [32]byte, csr *x509.CertificateRequest, key [32]byte, device string) (Enrolled, error) {
	v, err := q.Invitation(ctx, secretHash)
	if hufu.KindOf(err) == hufu.KindNotFound { // its user was removed meanwhile
		return Enrolled{}, &hufu.Error{Op: "enroll", Kind: hufu.KindRefused, Code: "invitation_unknown"}
	} else if err != nil {
		return Enrolled{}, err
	}
	now := a.now()
	if err := account.CheckInvitation(ctx, q, v, now); err != nil {
		return Enrolled{}, err
	}
	if !v.Used.IsZero() {
		if v.UsedSPKI != key {
			return Enrolled{}, invitationUsed(v)
		}
		return a.before(ctx, q, v.UsedSerial, now)
	}
	if err := account.CheckRoom(ctx, q, v, now); err != nil {
		return Enrolled{}, err
	}
	if device, err = freeName(ctx, q, v.User, device, now); err != nil {
		return Enrolled{}, err
	}
	leaf, err := a.sign(clientTemplate(v.User, device), csr.PublicKey, ClientLife)
	if err != nil {
		return Enrolled{}, err
	}
	row, err := a.row(leaf, meta.UseClient, v.User, device)
	if err != nil {
		return Enrolled{}, err
	}
	// The transaction holds the only write lock, so this cannot fail after the
	// check above; it is the rule nevertheless, for any database.
	if won, err := q.UseInvitation(ctx, secretHash, key, row.Serial, now); err != nil {
		return Enrolled{}, err
	} else if !won {
		return Enrolled{}, errAgain
	}
	if err := q.AddCertificate(ctx, row); err != nil {
		return Enrolled{}, err
	}
	return Enrolled{User: v.User, Device: device, Chain: a.chain(leaf.Raw)}, nil
}

// before returns the certificate that was issued for an invitation earlier.
func (a *Authority) before(ctx context.Context, q meta.Queries, serial string, now time.Time) (Enrolled, error) {
	c, err := q.Certificate(ctx, serial)
	if err != nil {
		return Enrolled{}, err
	}
	if _, err := account.Judge(ctx, q, c.Serial, c.Fingerprint, now); err != nil {
		return Enrolled{}, err
	}
	der, err := q.CertificateDER(ctx, serial)
	if err != nil {
		return Enrolled{}, err
	}
	return Enrolled{User: c.User, Device: c.Device, Chain: a.chain(der)}, nil
}

func invitationUsed(v meta.Invitation) error {
	return &hufu.Error{Op: "enroll", Kind: hufu.KindRefused, Code: "invitation_used", Args: map[string]string{"when": stamp(v.Used)}}
}

// freeName returns the requested device name, or that name with a number, if a
// device with a valid certificate or a lock already has it.
func freeName(ctx context.Context, q meta.Queries, user, want string, now time.Time) (string, error) {
	devices, err := q.Devices(ctx)
	if err != nil {
		return "", err
	}
	taken := make(map[string]bool)
	for _, d := range devices {
		taken[d.Name] = taken[d.Name] || d.User == user && !d.Locked.IsZero()
	}
	for n := 1; n <= maxNamesakes; n++ {
		name := want
		if n > 1 {
			suffix := "-" + strconv.Itoa(n)
			name = want[:min(len(want), hufu.MaxName-len(suffix))] + suffix
		}
		good, err := goodCertificates(ctx, q, user, name, now)
		if err != nil {
			return "", err
		}
		if len(good) == 0 && !taken[name] {
			return name, nil
		}
	}
	return "", &hufu.Error{Op: "enroll", Kind: hufu.KindRefused, Code: "device_names_used_up", Args: map[string]string{"device": want}}
}

func goodCertificates(ctx context.Context, q meta.Queries, user, device string, now time.Time) ([]meta.Certificate, error) {
	all, err := q.DeviceCertificates(ctx, user, device)
	if err != nil {
		return nil, err
	}
	var good []meta.Certificate
	for _, c := range all {
		if c.Revoked.IsZero() && !now.After(c.NotAfter) {
			good = append(good, c)
		}
	}
	return good, nil
}

// reload makes a change visible to this process at once; if it cannot, the next
// poll does.
func (a *Authority) reload(ctx context.Context) {
	if err := a.acc.Reload(context.WithoutCancel(ctx)); err != nil {
		a.log.Warn("accounts were not read again", "error", err)
	}
}
