//go:build !linux && !darwin

package journal

import "os"

// CanReserve says whether this system can keep space for a full disk.
const CanReserve = false

// allocate promises nothing here: a full disk shows at a write.
func allocate(*os.File, int64) error { return errNoAllocation }

// syncData makes a file's bytes durable.
func syncData(f *os.File) error { return f.Sync() }
