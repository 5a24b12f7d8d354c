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
	store := unix.Fstore_t{Flags: unix.F_ALLOCATEALL, Posmode: unix.F_PEOFPOSMODE, Length: size}
	err := unix.FcntlFstore(f.Fd(), unix.F_PREALLOCATE, &store)
	if errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EINVAL) {
		return errNoAllocation
	}
	if err != nil {
		return err
	}
	return f.Truncate(size)
}

// syncData makes a file's bytes durable.
func syncData(f *os.File) error { return f.Sync() }
