package client_test

import (
	"os"
	"path/filepath"
	"testing"

	"hufu"
	"hufu/internal/client"
	"hufu/internal/testenv"
)

// TestEnrollKeepsAKeyItCannotRead: a key that an earlier enrolment has left is
// replaced by no other, whatever the reason why it cannot be read.
func TestEnrollKeepsAKeyItCannotRead(t *testing.T) {
	t.Parallel()
	env := testenv.New(t, testenv.Options{})
	dirs := client.Dirs{Config: t.TempDir(), State: t.TempDir()}
	key := filepath.Join(dirs.Config, "profiles", client.DefaultProfile, "client.key")
	if err := os.MkdirAll(key, 0o700); err != nil { // nothing that could be read
		t.Fatal(err)
	}
	_, err := client.Enroll(t.Context(), dirs, client.DefaultProfile, env.Invite("alice"), "password of alice")
	if e, ok := err.(*hufu.Error); !ok || e.Code != "cannot_read" || e.Path != key { //nolint:errorlint // exactly this one
		t.Errorf("got %v", err)
	}
	if i, err := os.Stat(key); err != nil || !i.IsDir() {
		t.Error("it was replaced:", err)
	}
}
