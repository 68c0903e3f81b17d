//go:build e2e && linux

package powercut

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/disk"
	"hufu/internal/digest"
)

// A full disk is said, leaves no part under a name, and what has arrived is
// gone on with once there is room (HT-45).
func TestHT45FullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("mounting a file system needs root; run this test as root")
	}
	for _, server := range []bool{true, false} {
		mnt := t.TempDir()
		if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", mnt).CombinedOutput(); err != nil {
			t.Fatalf("mount: %v %s", err, out)
		}
		root := filepath.Join(mnt, "root")
		if err := os.Mkdir(root, 0o700); err != nil {
			t.Fatal(err)
		}
		s, err := disk.Open(root, disk.Options{Server: server, Uploads: filepath.Join(t.TempDir(), "uploads")})
		if err != nil {
			t.Fatal(err)
		}
		path := func(n string) hufu.Path { p, _ := hufu.ParsePath(n); return p }
		data := random(8<<20, 9)
		u, err := s.OpenUpload(t.Context(), blob.UploadKey{Path: path("big"), Size: 8 << 20, Owner: "a"}, blob.Guard{})
		if err != nil {
			t.Fatal(err)
		}
		var full error
		for i := int64(0); i < 8 && full == nil; i++ {
			c := data[i<<20 : (i+1)<<20]
			full = u.Write(context.Background(), i, c, digest.Chunk(c, i))
		}
		if hufu.KindOf(full) != hufu.KindQuota || hufu.CodeOf(full) != "disk_full" {
			t.Errorf("upload: %v", full)
		}
		b := s.Batch(blob.Guard{})
		for _, n := range []string{"a", "b"} {
			b.Put(t.Context(), path(n), bytes.Repeat([]byte(n), 1<<20), blob.Meta{Mode: 0o600}, always)
		}
		for _, r := range b.Finish(t.Context()) {
			if hufu.CodeOf(r.Err) != "disk_full" {
				t.Errorf("put: %v", r.Err)
			}
		}
		if _, err := s.List(t.Context(), hufu.Path{}, blob.Page{}, func(e hufu.Entry) error { t.Errorf("shown: %q", e.Name); return nil }); err != nil {
			t.Error(err)
		}
		if out, err := exec.Command("mount", "-o", "remount,size=20m", mnt).CombinedOutput(); err != nil {
			t.Fatalf("remount: %v %s", err, out)
		}
		for i := u.Missing(0); i < 8; i = u.Missing(i + 1) {
			write(t, u, data, i, i+1)
		}
		if _, err := blob.CommitUpload(t.Context(), u, digest.Sum(data), blob.Meta{Mode: 0o600}, absent); err != nil {
			t.Error(err)
		}
		u.Close()
		if e, err := s.Digest(t.Context(), path("big")); err != nil || e.Digest != digest.Sum(data) {
			t.Error(err)
		}
		s.Close()
		if out, err := exec.Command("umount", mnt).CombinedOutput(); err != nil {
			t.Errorf("umount: %v %s", err, out)
		}
	}
}
