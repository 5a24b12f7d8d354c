package journal_test

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// mountSmall mounts a file system of so many bytes for the length of a test,
// which is skipped where that is not allowed, or, with REQUIRE_BACKENDS set,
// fails.
func mountSmall(t *testing.T, dir string, size int) {
	t.Helper()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		if os.Getenv("REQUIRE_BACKENDS") != "" {
			t.Fatal("no file system can be mounted:", err)
		}
		t.Skip("no file system can be mounted:", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}
