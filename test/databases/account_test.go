//go:build e2e && linux

package databases

import (
	"testing"

	"hufu/internal/account"
)

// TestCallersRunAgain: an update that is run again reports what its last run
// did.
func TestCallersRunAgain(t *testing.T) {
	t.Parallel()
	e, err := postgres()
	must(t, err)
	ctx, l, name := t.Context(), e.link(t), e.create(t)
	acc, err := account.Open(ctx, open(t, e.at(l.address, name)+"?sslmode=disable"), account.Options{})
	must(t, err)
	raw := e.in(t, name)
	crossed := 0
	cross := func(word, statement string) {
		l.before(word, func() {
			crossed++
			if _, err := raw.ExecContext(ctx, statement); err != nil {
				t.Error(err)
			}
		})
	}

	cross("INSERT INTO users", "INSERT INTO users VALUES ('alice', false, '', 1, 0, 0)")
	made, err := acc.Invite(ctx, "alice", 0)
	if err != nil || made.NewUser {
		t.Errorf("%+v, %v: another call has made the user", made, err)
	}
	for range 2 {
		_, err = acc.Invite(ctx, "alice", 0)
		must(t, err)
	}
	// The last of three, after the others were counted.
	cross("DELETE FROM invitations WHERE secret_hash", `UPDATE invitations SET used_serial = 'x' WHERE secret_hash =
		(SELECT secret_hash FROM invitations ORDER BY created_at DESC, secret_hash DESC LIMIT 1)`)
	n, err := acc.RevokeInvitations(ctx, "alice")
	if err != nil || n != 3 || crossed != 2 {
		t.Errorf("revoked %d, %v, crossed %d times", n, err, crossed)
	}
}
