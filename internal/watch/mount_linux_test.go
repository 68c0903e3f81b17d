package watch

import "testing"

// TestMount: of the folders here, /proc is one that a file system is mounted on.
func TestMount(t *testing.T) {
	t.Parallel()
	if on := mount("/proc"); on == 0 || !isMountPoint("/proc") {
		t.Error("/proc:", on)
	}
	for _, dir := range []string{t.TempDir(), "/proc/self", "/none"} {
		if on := mount(dir); on != 0 {
			t.Errorf("%s: %d", dir, on)
		}
	}
	if dir := t.TempDir(); isMountPoint(dir) {
		t.Errorf("something is mounted on %s", dir)
	}
}
