//go:build linux

package powercut

import (
	"fmt"
	"os"
	"testing"
)

// Make mounts a new Disk for the length of a test at a folder of its own. Where
// that is not allowed the test is skipped, or, with REQUIRE_BACKENDS set, fails.
// What runs on it has to end before: by a Cleanup that is asked for later.
func Make(t testing.TB) (disk *Disk, dir string) {
	t.Helper()
	dir = t.TempDir()
	disk = New()
	if err := disk.Mount(dir); err != nil {
		err = fmt.Errorf("no FUSE file system can be mounted here (root can, with /dev/fuse): %w", err)
		if os.Getenv("REQUIRE_BACKENDS") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	t.Cleanup(func() {
		disk.Off()
		if err := disk.Unmount(); err != nil {
			t.Error(err)
		}
	})
	return disk, dir
}

// Restart cuts the power and mounts what that left at the same folder.
func (d *Disk) Restart(t testing.TB, tear Tear) {
	t.Helper()
	if err := d.Cut(tear); err != nil {
		t.Fatal(err)
	}
	if err := d.Mount(d.dir); err != nil {
		t.Fatal(err)
	}
}
