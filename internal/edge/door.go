package edge

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// The pause after a connection that could not be accepted, for want of file
// descriptors as a rule: it doubles from the first to the last.
const (
	firstPause = 5 * time.Millisecond
	lastPause  = 250 * time.Millisecond
)

// accept calls welcome with the connections that come in, and what that gives
// in a goroutine of its own, until ctx ends or the listener is closed or breaks.
// So all that came are on the list of lanes when it returns, also those whose
// goroutine did not yet run, and none is overlooked at the end.
func (e *Edge) accept(ctx context.Context, l net.Listener, welcome func(net.Conn) (serve func())) error {
	pause := time.Duration(0)
	for {
		if err := e.makeRoom(ctx); err != nil {
			return err
		}
		c, err := l.Accept()
		if err == nil {
			pause = 0
			e.lanes.came()
			go welcome(c)()
			continue
		}
		passing, ok := errors.AsType[interface {
			error
			Temporary() bool
		}](err)
		if !ok || !passing.Temporary() || errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if pause = min(max(2*pause, firstPause), lastPause); pause == firstPause {
			e.s.Logger.Warn("connections wait, since none can be accepted", "error", redact(err.Error()))
		}
		<-time.After(pause)
	}
}

// makeRoom waits until another connection may be open.
func (e *Edge) makeRoom(ctx context.Context) error {
	for pause := firstPause; e.lanes.full() && !e.lanes.evict(e.s.Now()); pause = min(2*pause, lastPause) {
		if e.server != nil && pause == lastPause {
			// Nor has net/http any that is worth more than a new one.
			e.server.SetKeepAlivesEnabled(false)
			e.server.SetKeepAlivesEnabled(!e.lanes.closing.Load())
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
	return nil
}

// welcome gives what answers a connection.
func (e *Edge) welcome(c net.Conn) (serve func()) { return e.lanes.open(e, c, false).serve }

// lanes are all the lanes of an Edge.
type lanes struct {
	ctx     context.Context // of what lanes ask for: nobody's request
	closing atomic.Bool     // no answer is followed by another
	closed  atomic.Bool     // no connection waits for a request
	spaces  sync.Pool       // of *workspace
	max     int             // connections that may be open

	mu    sync.Mutex
	all   map[*lane]struct{}
	conns int // that are open, those of net/http too
}

// open makes the lane of a connection.
func (s *lanes) open(e *Edge, c net.Conn, secure bool) *lane {
	l := &lane{conn: c, bytes: direct(c), edge: e, secure: secure, workspace: s.spaces.Get().(*workspace)}
	l.peer, l.named = parseAddress(c.RemoteAddr().String())
	l.since.Store(e.s.Now().UnixNano())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[l] = struct{}{}
	return l
}

// came counts a connection that is open from now on.
func (s *lanes) came() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns++
}

// remove takes a lane off the list, whose connection is gone, or is net/http's
// from now on.
func (s *lanes) remove(l *lane, gone bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.all[l]; ok && gone {
		s.conns--
	}
	delete(s.all, l)
}

// gone counts a connection of net/http's that is closed.
func (s *lanes) gone() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns--
}

func (s *lanes) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns >= s.max
}

// A lane that has waited for this long may be closed for another connection,
// and so many are looked at for the one that has waited longest.
const (
	evictable   = time.Second
	evictSample = 256
)

// evict closes the lane, of some, that has waited longest for a request; false
// if none has for long.
func (s *lanes) evict(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	var longest *lane
	looked := 0
	for l := range s.all {
		if state := l.state.Load(); (state == laneIdle || state == laneFresh) && (longest == nil || l.since.Load() < longest.since.Load()) {
			longest = l
		}
		if looked++; looked == evictSample {
			break
		}
	}
	if longest == nil || now.UnixNano()-longest.since.Load() < int64(evictable) || !longest.over(laneIdle, laneFresh) {
		return false
	}
	delete(s.all, longest)
	s.conns--
	return true
}

// close ends the lanes in one of some states.
func (s *lanes) close(states ...int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range s.all {
		l.over(states...)
	}
}

// over closes the lane if it is in one of some states.
func (l *lane) over(states ...int32) bool {
	for _, state := range states {
		if l.state.CompareAndSwap(state, laneOver) {
			if l.secure {
				// That writes, and may wait for a client that doesn't read.
				go func() { _ = l.conn.Close() }()
			} else {
				_ = l.conn.Close()
			}
			return true
		}
	}
	return false
}

// count gives how many lanes wait for the first byte, and how many for an
// answer.
func (s *lanes) count() (fresh, busy int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range s.all {
		switch l.state.Load() {
		case laneFresh:
			fresh++
		case laneBusy:
			busy++
		}
	}
	return fresh, busy
}

// handover is the listener from which net/http gets what lanes leave to it.
type handover struct {
	conns  chan net.Conn
	closed chan struct{}
	close  func() // once
	addr   net.Addr
}

func newHandover() *handover {
	h := &handover{conns: make(chan net.Conn), closed: make(chan struct{}), addr: &net.TCPAddr{}}
	h.close = sync.OnceFunc(func() { close(h.closed) })
	return h
}

func (h *handover) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

func (h *handover) Close() error {
	h.close()
	return nil
}

func (h *handover) Addr() net.Addr { return h.addr }

// give gives a connection to net/http, or closes it if that has ended.
func (h *handover) give(c net.Conn) bool {
	select {
	case h.conns <- c:
		return true
	case <-h.closed:
		_ = c.Close()
		return false
	}
}

// silence is for how long a connection without a byte of a request is waited
// for at the end: its request may be on the way.
const silence = time.Second

// flow counts the connections of net/http's that wait for an answer, which its
// own Shutdown would drop where it has not yet read the request.
type flow struct{ fresh, busy atomic.Int64 }

// move is told of a connection's states.
func (f *flow) move(from, to http.ConnState) {
	for _, m := range [...]struct {
		state http.ConnState
		by    int64
	}{{from, -1}, {to, 1}} {
		switch m.state {
		case http.StateNew:
			f.fresh.Add(m.by)
		case http.StateActive:
			f.busy.Add(m.by)
		}
	}
}

// settle waits until nothing waits for an answer, or ctx ends.
func (e *Edge) settle(ctx context.Context) {
	quiet := time.NewTimer(silence)
	defer quiet.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for patient := true; ; {
		// In the order in which connections move, so that none is missed.
		fresh, busy := e.lanes.count()
		fresh, busy = fresh+e.flow.fresh.Load(), busy+e.flow.busy.Load()
		if busy == 0 && (!patient || fresh == 0) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-quiet.C:
			patient = false
			e.lanes.close(laneFresh)
		case <-tick.C:
		}
	}
}
