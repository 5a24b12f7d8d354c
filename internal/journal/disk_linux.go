package journal

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// CanReserve says whether this system can keep space for a full disk.
const CanReserve = true

// allocate gives a file size bytes that are reserved on the disk.
func allocate(f *os.File, size int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), 0, 0, size)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			return errNoAllocation
		default:
			return err
		}
	}
}

// syncData makes a file's bytes durable.
func syncData(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
