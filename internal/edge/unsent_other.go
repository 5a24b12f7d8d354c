//go:build !linux

package edge

import "net"

// boundUnsent bounds what waits in each connection of a listener, where the
// system can.
func boundUnsent(net.Listener) error { return nil }
