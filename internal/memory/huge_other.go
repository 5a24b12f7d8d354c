//go:build !linux

package memory

func askHuge(_, _ uintptr) {}
