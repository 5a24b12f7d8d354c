package memory

import "golang.org/x/sys/unix"

// askHuge has the system keep memory in a huge page. What it says is of no
// matter: it may have none, or not know the request (before Linux 6.1).
func askHuge(start, size uintptr) {
	_, _, _ = unix.Syscall(unix.SYS_MADVISE, start, size, unix.MADV_COLLAPSE)
}
