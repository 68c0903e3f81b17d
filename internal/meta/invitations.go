package meta

import (
	"context"
	"time"
)

// Invitation returns the invitation whose secret has this hash.
func (q Queries) Invitation(ctx context.Context, secretHash [32]byte) (Invitation, error) {
	return one(ctx, q, "look up invitation", func(v *Invitation) []any {
		return []any{
			sum{&v.SecretHash}, &v.User, &v.Admin, at{&v.Created}, at{&v.Expires}, at{&v.Used}, sum{&v.UsedSPKI}, &v.UsedSerial,
		}
	}, `SELECT secret_hash, user_name, admin, created_at, expires_at, used_at, used_spki, used_serial
		FROM invitations WHERE secret_hash = ?`, secretHash[:])
}

// Invitations lists all invitations, the newest last.
func (q Queries) Invitations(ctx context.Context) ([]Invitation, error) {
	return all(ctx, q, "list invitations", func(v *Invitation) []any {
		return []any{
			sum{&v.SecretHash}, &v.User, &v.Admin, at{&v.Created}, at{&v.Expires}, at{&v.Used}, sum{&v.UsedSPKI}, &v.UsedSerial,
		}
	}, `SELECT secret_hash, user_name, admin, created_at, expires_at, used_at, used_spki, used_serial
		FROM invitations ORDER BY created_at, secret_hash`)
}

// DropInvitation forgets one invitation.
func (q Queries) DropInvitation(ctx context.Context, secretHash [32]byte) error {
	_, err := q.exec(ctx, "drop invitation", "DELETE FROM invitations WHERE secret_hash = ?", secretHash[:])
	return err
}

// AddInvitation writes a new invitation.
func (q Queries) AddInvitation(ctx context.Context, v Invitation) error {
	_, err := q.exec(ctx, "store invitation", `INSERT INTO invitations (secret_hash, user_name, admin, created_at,
		expires_at, used_at, used_spki, used_serial) VALUES (?, ?, ?, ?, ?, 0, ?, ?)`,
		v.SecretHash[:], v.User, v.Admin, millis(v.Created), millis(v.Expires), []byte{}, "")
	return err
}

// UseInvitation marks an unused invitation as used and reports whether it did:
// of many concurrent callers, one succeeds.
func (q Queries) UseInvitation(ctx context.Context, secretHash, spki [32]byte, serial string, when time.Time) (bool, error) {
	n, err := q.exec(ctx, "use invitation",
		"UPDATE invitations SET used_at = ?, used_spki = ?, used_serial = ? WHERE secret_hash = ? AND used_at = 0",
		millis(when), spki[:], serial, secretHash[:])
	return n == 1, err
}

// DropInvitations forgets a user's invitations.
func (q Queries) DropInvitations(ctx context.Context, user string) error {
	_, err := q.exec(ctx, "drop invitations", "DELETE FROM invitations WHERE user_name = ?", user)
	return err
}

// DropUnusedInvitations forgets the invitations of a user that are not used.
func (q Queries) DropUnusedInvitations(ctx context.Context, user string) error {
	_, err := q.exec(ctx, "drop invitations", "DELETE FROM invitations WHERE user_name = ? AND used_at = 0", user)
	return err
}

// DropInvitationsBefore forgets the invitations that expired before then.
func (q Queries) DropInvitationsBefore(ctx context.Context, then time.Time) error {
	_, err := q.exec(ctx, "drop invitations", "DELETE FROM invitations WHERE expires_at < ?", millis(then))
	return err
}
