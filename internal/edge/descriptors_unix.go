//go:build unix

package edge

import (
	"math"
	"syscall"
)

// maxConns is how many connections may be open beside the files that are: as
// many as files may, but for some that are kept back, so that the store and the
// journal can open theirs whatever clients do.
func maxConns() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return math.MaxInt
	}
	// The lowest number that is free tells how many are taken.
	taken, err := syscall.Dup(0)
	if err != nil {
		taken = 0 // there is no standard input; what is kept back must do
	} else {
		_ = syscall.Close(taken)
	}
	all := int(min(uint64(limit.Cur), math.MaxInt32)) //nolint:unconvert // signed on some systems
	return max(all-taken-max(fewestKept, all/16), fewestConns)
}

// fewestKept is the least number of files that are kept back, and fewestConns
// that of connections.
const (
	fewestKept  = 24
	fewestConns = 4
)
