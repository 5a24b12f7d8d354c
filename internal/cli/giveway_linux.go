package cli

import (
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// giveWay makes this process work on one processor at a time, and only while
// nothing else wants that: the server beside it comes first. Priorities are
// those of threads, and a thread has that of the one that began it.
func giveWay() {
	runtime.GOMAXPROCS(1)
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return // it is a courtesy
	}
	const lowest = 19
	for _, t := range threads {
		if id, err := strconv.Atoi(t.Name()); err == nil {
			_ = unix.Setpriority(unix.PRIO_PROCESS, id, lowest)
		}
	}
}
