//go:build linux || darwin || freebsd

package journal

import (
	"errors"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// These systems keep a mapping and the file's reads coherent.
const canMap = true

func mapFile(f *os.File, size int64) ([]byte, error) {
	return unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
}

func unmapFile(memory []byte) error { return unix.Munmap(memory) }

// syncMapped makes durable the bytes of a mapping between two offsets.
func syncMapped(f *os.File, memory []byte, from, to int64) error {
	page := int64(os.Getpagesize())
	from, to = from/page*page, min((to+page-1)/page*page, int64(len(memory)))
	if from >= to {
		return nil
	}
	for {
		err := unix.Msync(memory[from:to], unix.MS_SYNC)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err == nil && runtime.GOOS == "darwin" {
			err = f.Sync() // past the drive's cache
		}
		return err
	}
}
