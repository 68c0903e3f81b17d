package profile

import (
	"testing"

	"hufu"
)

// A certificate made elsewhere is not renewed: not even looked at for that.
func TestOwnCertificateIsNotRenewed(t *testing.T) {
	t.Parallel()
	dirs := Dirs{Config: t.TempDir(), State: t.TempDir()} // without a file in them
	for own, ok := range map[bool]bool{true: true, false: false} {
		d := &Dialer{p: &Profile{Name: "work", Own: own, dirs: dirs}}
		if err := d.renewIfDue(t.Context()); (err == nil) != ok {
			t.Errorf("own %v: %v", own, err)
		}
	}
}

func TestOwnFilesAreChecked(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{"": "bad_address", "files.example.org": "bad_address", ":9999": "bad_address", "[::1]:9999": "cert_unreadable"} {
		if got := hufu.CodeOf(OwnFiles{Address: address}.Check()); got != want {
			t.Errorf("%q: %q, not %q", address, got, want)
		}
	}
}
