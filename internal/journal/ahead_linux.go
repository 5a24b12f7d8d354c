package journal

import (
	"os"

	"golang.org/x/sys/unix"
)

// ahead is how much of a mapping is kept ready to be written.
const ahead = 1 << 20

// prepare takes the page faults of the next appends out of their way, and lets
// go of the pages before end, which stay in the system's cache: a journal's
// mappings would else count as memory of the process. Where the kernel is too
// old for it, the appends take their faults themselves.
func prepare(memory []byte, end int64) {
	page := int64(os.Getpagesize())
	from := end / page * page
	if to := min(from+ahead, int64(len(memory))); from < to {
		_ = unix.Madvise(memory[from:to], unix.MADV_POPULATE_WRITE)
	}
	if from > 0 {
		_ = unix.Madvise(memory[:from], unix.MADV_DONTNEED)
	}
}
