//go:build e2e && linux

// Package powercut pulls the plug: it mounts an ext4 image, writes by way of
// the disk store, has the file system drop everything that was not synced, and
// looks what is left after mounting it again. It needs root and loop devices,
// and fails where it has none: a promise that was not checked is not kept.
package powercut

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hufu"
	"hufu/internal/blob"
	"hufu/internal/blob/disk"
	"hufu/internal/digest"
)

// _IOR('X', 125, __u32) and EXT4_GOING_FLAGS_NOLOGFLUSH of the kernel's
// fs/ext4/ext4.h: nothing more goes to the disk, the journal included.
const (
	ext4Shutdown   = 0x8004587d
	goingNoLogging = 2
)

// machine is a disk that can lose its power.
type machine struct {
	*testing.T
	image, mount string
	store        *disk.Store
	options      disk.Options
}

func start(t *testing.T, o disk.Options) *machine {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("mounting a file system needs root; run this test as root")
	}
	dir := t.TempDir()
	m := &machine{T: t, image: filepath.Join(dir, "disk.img"), mount: filepath.Join(dir, "mnt"), options: o}
	m.run("truncate", "--size=512M", m.image)
	m.run("mkfs.ext4", "-q", "-F", m.image)
	if err := os.Mkdir(m.mount, 0o700); err != nil {
		t.Fatal(err)
	}
	m.run("mount", "-o", "loop", m.image, m.mount)
	t.Cleanup(func() {
		if m.store != nil {
			m.store.Close()
		}
		_ = exec.Command("umount", m.mount).Run()
	})
	if err := os.Mkdir(filepath.Join(m.mount, "root"), 0o700); err != nil {
		t.Fatal(err)
	}
	m.run("sync", "-f", m.mount)
	m.open()
	return m
}

func (m *machine) run(name string, args ...string) {
	m.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		m.Fatalf("%s %v: %v %s", name, args, err, out)
	}
}

func (m *machine) open() {
	m.Helper()
	m.options.Uploads = filepath.Join(m.mount, "uploads")
	s, err := disk.Open(filepath.Join(m.mount, "root"), m.options)
	if err != nil {
		m.Fatal(err)
	}
	m.store = s
}

// cut takes the power away; what holds descriptors must be closed after it.
func (m *machine) cut() {
	m.Helper()
	f, err := os.Open(m.mount)
	if err != nil {
		m.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(f.Fd()), ext4Shutdown, goingNoLogging); err != nil {
		m.Fatal("shutdown ioctl:", err)
	}
	f.Close()
}

// boot mounts what the disk holds.
func (m *machine) boot() {
	m.Helper()
	m.store.Close()
	m.store = nil
	m.run("umount", m.mount)
	m.run("mount", "-o", "loop", m.image, m.mount)
	m.open()
}

func (m *machine) path(s string) hufu.Path {
	m.Helper()
	p, err := hufu.ParsePath(s)
	if err != nil {
		m.Fatal(err)
	}
	return p
}

func random(n int, seed byte) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

func commit(t *testing.T, b blob.Batch) {
	t.Helper()
	for _, r := range b.Finish(t.Context()) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
}

var (
	absent = hufu.Condition{Kind: hufu.IfAbsent}
	always = hufu.Condition{Kind: hufu.Always}
)

// Acknowledged is durable: small files, in large batches and in small ones,
// into new folders and over old files (HT-50).
func TestHT50AcknowledgedFilesSurvive(t *testing.T) {
	for _, size := range []int{1000, 300, 3, 1} {
		for _, server := range []bool{true, false} {
			t.Run(fmt.Sprintf("batch=%d,server=%v", size, server), func(t *testing.T) {
				m := start(t, disk.Options{Server: server})
				files := min(1000, 40*size)
				name := func(i int) string { return fmt.Sprintf("top/f%d/sub/file%d", i%20, i) }
				b, staged := m.store.Batch(blob.Guard{}), 0
				put := func(i int, data []byte) {
					b.Put(t.Context(), m.path(name(i)), data, blob.Meta{Mode: 0o644, MTime: time.Unix(1_700_000_000, 0), Digest: digest.Sum(data), By: "alice"}, always)
					if staged++; staged == size || i == files-1 {
						commit(t, b)
						staged = 0
					}
				}
				for i := range files {
					put(i, random(4096, 1))
				}
				for i := range files / 2 {
					put(i, random(4096, 2))
				}
				commit(t, b)
				m.cut()
				m.boot()
				for i := range files {
					data := random(4096, 1)
					if i < files/2 {
						data = random(4096, 2)
					}
					e, err := m.store.Digest(t.Context(), m.path(name(i)))
					if err != nil || e.Digest != digest.Sum(data) {
						t.Fatalf("file %d of %d was acknowledged and is lost: %v", i, files, err)
					}
				}
			})
		}
	}
}

// So are folders, links, renames, removals and modes.
func TestHT50AcknowledgedOperationsSurvive(t *testing.T) {
	for _, others := range []int{0, 500} { // 500 files more make syncfs the way
		t.Run(fmt.Sprint(others), func(t *testing.T) {
			m := start(t, disk.Options{Server: true})
			b := m.store.Batch(blob.Guard{})
			for _, n := range []string{"gone/a", "gone/b/c", "moved/a", "kept"} {
				b.Put(t.Context(), m.path(n), []byte(n), blob.Meta{Mode: 0o644}, absent)
			}
			commit(t, b)
			m.run("sync", "-f", m.mount)
			for i := range others {
				b.Put(t.Context(), m.path(fmt.Sprintf("more/%d", i)), []byte("x"), blob.Meta{}, absent)
			}
			b.Mkdir(t.Context(), m.path("new/er/est"), blob.Meta{Mode: 0o755}, true)
			b.Symlink(t.Context(), m.path("link"), "kept", blob.Meta{}, absent)
			b.Remove(t.Context(), m.path("gone"), true, "")
			b.Rename(t.Context(), m.path("moved"), m.path("new/place"), absent, "")
			b.SetMeta(t.Context(), m.path("kept"), blob.Meta{Mode: 0o600, MTime: time.Unix(1_600_000_000, 0)}, "")
			commit(t, b)
			m.cut()
			m.boot()
			for n, kind := range map[string]hufu.EntryKind{"new/er/est": hufu.Folder, "link": hufu.Link, "new/place/a": hufu.File, "kept": hufu.File, "gone": 0, "moved": 0} {
				e, err := m.store.Stat(t.Context(), m.path(n))
				if e.Kind != kind || kind == 0 && hufu.KindOf(err) != hufu.KindNotFound {
					t.Errorf("%s: %+v %v", n, e, err)
				}
			}
			if e, err := m.store.Stat(t.Context(), m.path("kept")); err != nil || e.Mode != 0o600 || !e.MTime.Equal(time.Unix(1_600_000_000, 0)) {
				t.Errorf("%+v %v", e, err)
			}
		})
	}
}

func write(t *testing.T, u blob.Upload, data []byte, from, to int64) {
	t.Helper()
	for i := from; i < to; i++ {
		c := data[i<<20 : (i+1)<<20]
		if err := u.Write(context.Background(), i, c, digest.Chunk(c, i)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestHT50AcknowledgedUploadSurvives(t *testing.T) {
	for _, server := range []bool{true, false} {
		m := start(t, disk.Options{Server: server})
		data := random(80<<20, 3)
		u, err := m.store.OpenUpload(m.Context(), blob.UploadKey{Path: m.path("new/folder/big"), Size: int64(len(data)), Owner: "alice"}, blob.Guard{})
		if err != nil {
			t.Fatal(err)
		}
		write(t, u, data, 0, 80)
		if _, err := blob.CommitUpload(t.Context(), u, digest.Sum(data), blob.Meta{Mode: 0o644}, absent); err != nil {
			t.Fatal(err)
		}
		m.cut()
		u.Close()
		m.boot()
		e, err := m.store.Digest(t.Context(), m.path("new/folder/big"))
		if err != nil || e.Digest != digest.Sum(data) {
			t.Errorf("server=%v: the acknowledged file is lost: %v", server, err)
		}
		if _, ok := m.store.Committed(t.Context(), u.Info().ID, m.path("new/folder/big")); server && !ok {
			t.Error("not known as committed")
		}
	}
}

// TestRepeatedCommitSurvives: whoever gave the name was lost before he had made it
// durable. The commit is asked for again, and acknowledged: then it is.
func TestRepeatedCommitSurvives(t *testing.T) {
	for name, restarted := range map[string]bool{"server killed": true, "failed otherwise": false} {
		t.Run(name, func(t *testing.T) {
			lost := errors.New("lost")
			m := start(t, disk.Options{Server: true, Hook: func(at string) error {
				if at == "commit-named" {
					return lost
				}
				return nil
			}})
			u, data := m.upload("big")
			if _, err := blob.CommitUpload(t.Context(), u, digest.Sum(data), blob.Meta{Upload: u.Info().ID}, absent); !errors.Is(err, lost) {
				t.Fatal(err)
			}
			u.Close()
			if restarted {
				m.store.Close()
				m.open()
			}
			if _, err := m.store.FindUpload(m.Context(), u.Info().ID, blob.Guard{}); err == nil {
				t.Fatal("unfinished although it has its name")
			}
			if _, ok := m.store.Committed(t.Context(), u.Info().ID, m.path("big")); !ok {
				t.Fatal("not known as committed")
			}
			m.cut()
			m.boot()
			if e, err := m.store.Digest(t.Context(), m.path("big")); err != nil || e.Digest != digest.Sum(data) {
				t.Error("the acknowledged file is lost:", err)
			}
		})
	}
}

// upload brings all chunks of a file of 2 MiB, and has the system write them.
func (m *machine) upload(name string) (blob.Upload, []byte) {
	m.Helper()
	data := random(2<<20, 4)
	u, err := m.store.OpenUpload(m.Context(), blob.UploadKey{Path: m.path(name), Size: int64(len(data)), Owner: "alice"}, blob.Guard{})
	if err != nil {
		m.Fatal(err)
	}
	write(m.T, u, data, 0, 2)
	m.run("sync", "-f", m.mount)
	return u, data
}

// TestFailedSyncIsNotTriedAgain: the sync of a commit fails, once, as it does on a
// disk that has lost what it should have written. Whatever is acknowledged
// afterwards survives the power cut, and asking again is not enough for that.
func TestFailedSyncIsNotTriedAgain(t *testing.T) {
	for _, step := range []string{"sync-file", "sync-folder"} {
		t.Run(step, func(t *testing.T) {
			on := false
			m := start(t, disk.Options{Server: true, Hook: func(at string) error {
				if on && at == step {
					on = false
					return unix.EIO
				}
				return nil
			}})
			u, data := m.upload("big")
			on = true
			for range 2 {
				if _, err := blob.CommitUpload(t.Context(), u, digest.Sum(data), blob.Meta{Upload: u.Info().ID}, absent); err == nil {
					t.Fatal("acknowledged although the sync had failed")
				}
			}
			u.Close()
			if _, ok := m.store.Committed(t.Context(), u.Info().ID, m.path("big")); ok {
				t.Fatal("known as committed")
			}
			again, data := m.upload("big")
			if again.Info().ID == u.Info().ID {
				t.Fatal("the upload went on")
			}
			if _, err := blob.CommitUpload(t.Context(), again, digest.Sum(data), blob.Meta{Upload: again.Info().ID}, absent); err != nil {
				t.Fatal(err)
			}
			m.cut()
			again.Close()
			m.boot()
			if e, err := m.store.Digest(t.Context(), m.path("big")); err != nil || e.Digest != digest.Sum(data) {
				t.Error("the acknowledged file is lost:", err)
			}
		})
	}
}

// The journal may have reached the disk where the bytes have not: going on
// gives the right file all the same, though the machine itself never went down
// and has the same boot id (HT-49).
func TestHT49ResumeAfterPowerCut(t *testing.T) {
	for _, server := range []bool{true, false} {
		m := start(t, disk.Options{Server: server})
		data := random(80<<20, 4)
		key := blob.UploadKey{Path: m.path("folder/big"), Size: int64(len(data)), Owner: "alice"}
		u, err := m.store.OpenUpload(t.Context(), key, blob.Guard{})
		if err != nil {
			t.Fatal(err)
		}
		write(t, u, data, 0, 20)
		m.run("sync", "-f", m.mount)
		write(t, u, data, 20, 60)
		journal, err := os.OpenFile(filepath.Join(m.mount, "uploads", u.Info().ID), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := journal.Sync(); err != nil { // the worst case
			t.Fatal(err)
		}
		journal.Close()
		m.cut()
		u.Close()
		m.boot()
		v, err := m.store.OpenUpload(t.Context(), key, blob.Guard{})
		if err != nil {
			t.Fatal(err)
		}
		if v.Info().ID != u.Info().ID || v.Info().Have < 20 {
			t.Errorf("what was synced is not there: %d chunks", v.Info().Have)
		}
		t.Logf("server=%v: %d of 60 chunks survived", server, v.Info().Have)
		for i := v.Missing(0); i < 80; i = v.Missing(i + 1) {
			write(t, v, data, i, i+1)
		}
		if _, err := blob.CommitUpload(t.Context(), v, digest.Sum(data), blob.Meta{Mode: 0o644}, absent); err != nil {
			t.Fatal(err)
		}
		v.Close()
		m.cut()
		m.boot()
		if e, err := m.store.Digest(t.Context(), key.Path); err != nil || e.Digest != digest.Sum(data) {
			t.Errorf("server=%v: %v", server, err)
		}
	}
}

// The power goes at each step of a commit: every name holds the old file or
// the new one, whole.
func TestPowerCutAtEveryStep(t *testing.T) {
	for _, step := range []string{"put-written", "batch-staged", "batch-synced", "batch-name", "replace-checked", "batch-named", "commit-meta", "commit-synced", "commit-named"} {
		t.Run(step, func(t *testing.T) {
			var m *machine
			on := false
			m = start(t, disk.Options{Server: true, Hook: func(at string) error {
				if on && at == step {
					on = false
					m.cut()
				}
				return nil
			}})
			b := m.store.Batch(blob.Guard{})
			old, fresh := random(4096, 5), random(4096, 6)
			var versions []string
			for i := range 50 {
				b.Put(t.Context(), m.path(fmt.Sprintf("d/%d", i)), old, blob.Meta{Digest: digest.Sum(old)}, absent)
			}
			for _, r := range b.Finish(t.Context()) {
				versions = append(versions, r.Version)
			}
			big := random(3<<20, 7)
			on = true
			for i := range 50 {
				b.Put(t.Context(), m.path(fmt.Sprintf("d/%d", i)), fresh, blob.Meta{Digest: digest.Sum(fresh)}, hufu.Condition{Kind: hufu.IfVersion, Version: versions[i]})
			}
			for i := range 50 {
				b.Put(t.Context(), m.path(fmt.Sprintf("new/%d", i)), fresh, blob.Meta{Digest: digest.Sum(fresh)}, absent)
			}
			b.Finish(t.Context()) // fails, or does not know it yet
			if u, err := m.store.OpenUpload(m.Context(), blob.UploadKey{Path: m.path("big"), Size: int64(len(big)), Owner: "a"}, blob.Guard{}); err == nil {
				for i := range int64(3) {
					_ = u.Write(context.Background(), i, big[i<<20:(i+1)<<20], digest.Chunk(big[i<<20:(i+1)<<20], i))
				}
				_, _ = blob.CommitUpload(t.Context(), u, digest.Sum(big), blob.Meta{}, absent)
				u.Close()
			}
			if on {
				t.Fatal("the step was never reached")
			}
			m.boot()
			for i := range 50 {
				e, err := m.store.Digest(t.Context(), m.path(fmt.Sprintf("d/%d", i)))
				if err != nil || e.Digest != digest.Sum(old) && e.Digest != digest.Sum(fresh) {
					t.Fatalf("file %d: neither old nor new: %v", i, err)
				}
				e, err = m.store.Digest(t.Context(), m.path(fmt.Sprintf("new/%d", i)))
				if hufu.KindOf(err) != hufu.KindNotFound && (err != nil || e.Digest != digest.Sum(fresh)) {
					t.Fatalf("new file %d is a part: %v", i, err)
				}
			}
			e, err := m.store.Digest(t.Context(), m.path("big"))
			if hufu.KindOf(err) != hufu.KindNotFound && (err != nil || e.Digest != digest.Sum(big)) {
				t.Fatalf("the big file is a part: %v", err)
			}
		})
	}
}
