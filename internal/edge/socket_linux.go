//go:build amd64 || arm64 || riscv64 || loong64

package edge

import (
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"
)

// socket reads and writes a TCP connection by the calls for sockets, which
// leave out what the calls for files look at, and without telling Go's
// scheduler: sockets of Go never block. That is about a hundredth of a redirect.
// Deadlines and Close are those of the net.Conn.
type socket struct {
	conn net.Conn
	raw  syscall.RawConn
	// What the two functions work with, which are made once.
	in, out    []byte
	n, sent    int
	failed     syscall.Errno
	recv, send func(fd uintptr) bool
}

// direct gives what a lane reads and writes a connection by.
func direct(c net.Conn) io.ReadWriter {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return c
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return c
	}
	s := &socket{conn: c, raw: raw}
	s.recv, s.send = s.receiveSome, s.sendAll
	return s
}

// Read is that of net.Conn.
func (s *socket) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	s.in, s.n, s.failed = b, 0, 0
	err := s.raw.Read(s.recv)
	s.in = nil
	switch {
	case err != nil:
		return 0, err
	case s.failed != 0:
		return 0, s.error("read")
	case s.n == 0:
		return 0, io.EOF
	}
	return s.n, nil
}

func (s *socket) receiveSome(fd uintptr) bool {
	for {
		n, _, e := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(unsafe.SliceData(s.in))), uintptr(len(s.in)), syscall.MSG_DONTWAIT, 0, 0)
		switch e {
		case 0:
			s.n = int(n)
		case syscall.EAGAIN:
			return false
		case syscall.EINTR:
			continue
		default:
			s.failed = e
		}
		return true
	}
}

// Write is that of net.Conn.
func (s *socket) Write(b []byte) (int, error) {
	s.out, s.sent, s.failed = b, 0, 0
	err := s.raw.Write(s.send)
	s.out = nil
	if err == nil && s.failed != 0 {
		err = s.error("write")
	}
	return s.sent, err
}

func (s *socket) sendAll(fd uintptr) bool {
	for s.sent < len(s.out) {
		left := s.out[s.sent:]
		n, _, e := syscall.RawSyscall6(syscall.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(left))), uintptr(len(left)), syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, 0, 0)
		switch e {
		case 0:
			s.sent += int(n)
		case syscall.EAGAIN:
			return false
		case syscall.EINTR:
		default:
			s.failed = e
			return true
		}
	}
	return true
}

func (s *socket) error(call string) error {
	return &net.OpError{Op: call, Net: "tcp", Addr: s.conn.RemoteAddr(), Err: os.NewSyscallError(call, s.failed)}
}
