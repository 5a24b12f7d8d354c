//go:build !linux

package cli

import "runtime"

// giveWay makes this process work on one processor at a time.
func giveWay() { runtime.GOMAXPROCS(1) }
