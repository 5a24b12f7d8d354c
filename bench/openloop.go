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
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"kurz/test/wire"
)

const openLoopRate = 5000

// openLoop sends requests when they are due, whether or not the ones before
// are answered, and measures each from the time when it was due: a server that
// stalls makes all that were due in the meantime slow, as for people. First the
// server has nothing else to do, then it has.
func openLoop(ctx context.Context, l *lab) error {
	data, err := l.all(ctx)
	if err != nil {
		return err
	}
	s, err := l.start(ctx, data, false, cacheFor(l.links))
	if err != nil {
		return err
	}
	defer l.stop()
	if err := l.heat(ctx, s, allOf(l.links)); err != nil {
		return err
	}
	before, err := cpu(s.Pid())
	if err != nil {
		return err
	}
	quiet, err := ask(ctx, s.Addr, l.links, l.openLoop)
	if err != nil {
		return err
	}
	after, err := cpu(s.Pid())
	if err != nil {
		return err
	}
	l.values["openloop"] = fmt.Sprintf("%s, over %v", quiet, l.openLoop)
	l.say("   %s", l.values["openloop"])
	l.note("Open loop: %s requests over up to %d connections at once; server and client share all cores; the server used %.1f µs of CPU for each, clicks brought into the reports, with %s links in memory.",
		thousands(float64(len(quiet.latencies))), quiet.most, micros(after-before)/float64(len(quiet.latencies)), thousands(float64(l.links)))
	return l.busy(ctx, s, quiet)
}

// asked is how soon the requests of an open loop were answered.
type asked struct {
	latencies []time.Duration // sorted
	most      int             // connections that were busy at once
}

// ask runs an open loop over hotSet of the links.
func ask(ctx context.Context, addr string, links int, length time.Duration) (asked, error) {
	loop := &loop{addr: addr, picks: sampleOf(links, hotSet)}
	var a asked
	// On a goroutine of its own, whose thread is given up with it.
	err := parallel(1, func(int) (err error) {
		a.latencies, err = loop.run(ctx, length)
		return err
	})
	slices.Sort(a.latencies)
	a.most = loop.most
	return a, err
}

// hotSet is how many links an open loop asks for, drawn from all.
const hotSet = 10_000

func (a asked) String() string {
	if len(a.latencies) == 0 {
		return "nothing asked"
	}
	at := func(share float64) string {
		i := min(int(share*float64(len(a.latencies))), len(a.latencies)-1)
		return fmt.Sprintf("%.2f ms", ms(a.latencies[i]))
	}
	return fmt.Sprintf("p50 %s, p99 %s, p99.9 %s, most %s", at(0.5), at(0.99), at(0.999), at(1))
}

// loop is a client of one thread that waits in ppoll, which is right to a few
// microseconds; the timers of the runtime are not.
type loop struct {
	addr  string
	picks picks
	idle  []*caller
	busy  []*caller
	polls []unix.PollFd
	most  int
}

type caller struct {
	file *os.File // keeps fd open
	fd   int
	due  time.Time
	buf  []byte
}

const maxCallers = 4000

func (l *loop) run(ctx context.Context, length time.Duration) ([]time.Duration, error) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // no pause is the client's own
	runtime.LockOSThread()                           // and never unlocked: the thread ends with its goroutine
	defer l.close()
	const nanosecond = 1 // of slack, instead of 50,000
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, nanosecond, 0, 0, 0); err != nil {
		return nil, err
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
		due := began.Add(time.Duration(sent) * time.Second / openLoopRate)
		if sent < total && !time.Now().Before(due) {
			request = wire.AppendGet(request[:0], l.addr, "/"+codeOf(int(l.picks[sent%len(l.picks)])))
			if err := l.send(ctx, request, due); err != nil {
				return nil, err
			}
			sent++
			due = began.Add(time.Duration(sent) * time.Second / openLoopRate)
		}
		if sent == total {
			due = time.Now().Add(time.Second)
		}
		if err := l.wait(time.Until(due)); err != nil {
			return nil, err
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

// wait waits until an answer arrives, at most for d.
func (l *loop) wait(d time.Duration) error {
	l.polls = l.polls[:0]
	for _, c := range l.busy {
		l.polls = append(l.polls, unix.PollFd{Fd: int32(c.fd), Events: unix.POLLIN})
	}
	limit := unix.NsecToTimespec(max(d, 0).Nanoseconds())
	if _, err := unix.Ppoll(l.polls, &limit, nil); err != nil && !errors.Is(err, unix.EINTR) {
		return err
	}
	return nil
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
	// In turn, so that the server takes none for abandoned.
	c := l.idle[0]
	l.idle = l.idle[1:]
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
		const redirect = "HTTP/1.1 302"
		if len(c.buf) >= len(redirect) && !bytes.HasPrefix(c.buf, []byte(redirect)) {
			return nil, fmt.Errorf("answered %.300q", c.buf)
		}
		if !bytes.HasSuffix(c.buf, []byte("\r\n\r\n")) { // a redirect has no body
			continue
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
