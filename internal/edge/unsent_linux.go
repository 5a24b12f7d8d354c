package edge

import (
	"net"

	"golang.org/x/sys/unix"
)

// maxUnsent is how many bytes of an answer wait in the system while the client
// reads slowly; what more there is waits here, where it costs nothing. Without it
// each such connection holds up to tcp_wmem of the system's memory.
const maxUnsent = 32 << 10

// boundUnsent bounds what waits in each connection of a listener (TCP_NOTSENT_LOWAT
// in tcp(7)): they take it over from the socket that they are accepted on, so
// that it costs them nothing. What is on its way is not bounded, and so neither
// is the speed.
func boundUnsent(l net.Listener) error {
	t, ok := l.(*net.TCPListener)
	if !ok {
		return nil
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return err
	}
	var refused error
	err = raw.Control(func(fd uintptr) {
		refused = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, maxUnsent)
	})
	if err == nil {
		err = refused
	}
	return err
}
