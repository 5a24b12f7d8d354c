//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"kurz/test/wire"
)

const openLoopRate = 5000

// openLoop sends requests when they are due, whether or not the ones before
// are answered, and measures each from the time when it was due: a server that
// stalls makes all that were due in the meantime slow, as for people.
func openLoop(ctx context.Context, l *lab) error {
	if l.server == nil {
		return errors.New("there is no server")
	}
	defer l.stop()
	if err := drained(ctx, l.server); err != nil {
		return err
	}
	loop := &loop{addr: l.server.Addr, codes: sampleOf(l.codes, hotSet)}
	var latencies []time.Duration
	// On a goroutine of its own, whose thread is given up with it.
	err := parallel(1, func(int) (err error) {
		latencies, err = loop.run(ctx, l.openLoop)
		return err
	})
	if err != nil {
		return err
	}
	slices.Sort(latencies)
	at := func(share float64) string {
		i := min(int(share*float64(len(latencies))), len(latencies)-1)
		return fmt.Sprintf("%.2f ms", latencies[i].Seconds()*1000)
	}
	l.values["openloop"] = fmt.Sprintf("p50 %s, p99 %s, p99.9 %s, most %s, over %v", at(0.5), at(0.99), at(0.999), at(1), l.openLoop)
	l.say("   %s", l.values["openloop"])
	l.note("Open loop: %s requests over up to %d connections, one thread that polls on a core of its own; the server on one core.", thousands(float64(len(latencies))), loop.most)
	return nil
}

// loop is a client of one thread that never sleeps: a timer is only right to
// about a millisecond, which is more than what is measured.
type loop struct {
	addr  string
	codes []string
	idle  []*caller
	busy  []*caller
	most  int
}

type caller struct {
	file *os.File // keeps fd open
	fd   int
	due  time.Time
	buf  []byte
}

const maxCallers = 1000

func (l *loop) run(ctx context.Context, length time.Duration) ([]time.Duration, error) {
	runtime.LockOSThread() // and never unlocked: the thread ends with its goroutine
	defer l.close()
	if runtime.NumCPU() > 1 {
		var core unix.CPUSet
		core.Set(1)
		if err := unix.SchedSetaffinity(0, &core); err != nil {
			return nil, err
		}
	}
	total := int(length.Seconds() * openLoopRate)
	latencies := make([]time.Duration, 0, total)
	for range 64 {
		c, err := l.dial(ctx)
		if err != nil {
			return nil, err
		}
		l.idle = append(l.idle, c)
	}
	began := time.Now()
	request := make([]byte, 0, 512)
	for sent := 0; len(latencies) < total; {
		if due := began.Add(time.Duration(sent) * time.Second / openLoopRate); sent < total && !time.Now().Before(due) {
			request = wire.AppendGet(request[:0], l.addr, "/"+l.codes[sent%len(l.codes)])
			if err := l.send(ctx, request, due); err != nil {
				return nil, err
			}
			sent++
		}
		var err error
		if latencies, err = l.receive(latencies); err != nil {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return latencies, nil
}

func (l *loop) send(ctx context.Context, request []byte, due time.Time) error {
	if len(l.idle) == 0 {
		if len(l.busy) >= maxCallers {
			return fmt.Errorf("%d requests wait for an answer", len(l.busy))
		}
		c, err := l.dial(ctx)
		if err != nil {
			return err
		}
		l.idle = append(l.idle, c)
	}
	c := l.idle[len(l.idle)-1]
	l.idle = l.idle[:len(l.idle)-1]
	l.busy = append(l.busy, c)
	l.most = max(l.most, len(l.busy))
	c.due, c.buf = due, c.buf[:0]
	_, err := syscall.Write(c.fd, request)
	return err
}

// receive reads what has arrived and notes the answers that are whole.
func (l *loop) receive(latencies []time.Duration) ([]time.Duration, error) {
	for i := 0; i < len(l.busy); i++ {
		c := l.busy[i]
		at := len(c.buf)
		n, err := syscall.Read(c.fd, c.buf[at:cap(c.buf)])
		switch {
		case errors.Is(err, syscall.EAGAIN):
			continue
		case err != nil:
			return nil, err
		case n == 0:
			return nil, errors.New("the server closed a connection")
		}
		c.buf = c.buf[:at+n]
		if !bytes.HasSuffix(c.buf, []byte("\r\n\r\n")) { // a redirect has no body
			continue
		}
		if !bytes.HasPrefix(c.buf, []byte("HTTP/1.1 302")) {
			return nil, fmt.Errorf("answered %.60q", c.buf)
		}
		latencies = append(latencies, time.Since(c.due))
		l.busy[i] = l.busy[len(l.busy)-1]
		l.busy = l.busy[:len(l.busy)-1]
		l.idle = append(l.idle, c)
		i--
	}
	return latencies, nil
}

func (l *loop) dial(ctx context.Context) (*caller, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", l.addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close() // File keeps a copy
	file, err := conn.(*net.TCPConn).File()
	if err != nil {
		return nil, err
	}
	fd := int(file.Fd())
	return &caller{file: file, fd: fd, buf: make([]byte, 0, 4096)}, syscall.SetNonblock(fd, true)
}

func (l *loop) close() {
	for _, c := range append(l.idle, l.busy...) {
		c.file.Close()
	}
}
