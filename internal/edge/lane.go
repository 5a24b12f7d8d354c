package edge

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"
	"unsafe"

	"kurz/internal/click"
	"kurz/internal/fault"
	"kurz/internal/redirect"
)

// lane is a connection whose requests are answered without net/http, as long as
// each is a redirect's of the common shape. At the first doubt, so before
// anything was done about a request, the connection goes to net/http with every
// byte that was not answered, and stays there; no request is answered by both.
//
// Its bounds are net/http's: Timeouts.Header from the first byte of a head, or
// from the beginning of the connection, Timeouts.Idle between requests,
// Timeouts.Write for an answer. The last two may come up to an eighth early,
// which spares a system timer for each request.
type lane struct {
	conn   net.Conn
	bytes  io.ReadWriter // of conn
	edge   *Edge
	secure bool // over TLS
	peer   netip.Addr
	named  bool // that there is a peer
	state  atomic.Int32
	since  atomic.Int64 // when the connection began or the last answer was sent, in Unix nanoseconds
	used   bool         // an answer was sent
	done   time.Time    // when the last one was
	// When the deadlines are that the connection has now.
	readBy, writeBy time.Time
	*workspace
}

// The states of a lane.
const (
	laneFresh int32 = iota // no byte came yet
	laneBusy               // a request is there, or a piece of one
	laneIdle               // all is answered
	laneOver               // closed, or about to be
)

// fewest is how many bytes make net/http take another request for begun on a
// connection.
const fewest = 4

// laneRoom is the most of a request that a lane takes.
const laneRoom = 4 << 10

// workspace is what a lane works with, used again for others.
type workspace struct {
	in   [laneRoom]byte
	n    int // bytes of in that are not answered
	out  []byte
	head head
	rec  record
	req  redirect.Request
	resp redirect.Response
	// known is who asked on the connection before.
	known click.Known
}

// serve answers until the connection ends or is handed over.
func (l *lane) serve() {
	defer func() {
		if v := recover(); v != nil {
			l.panicked(v)
		}
	}()
	l.readUntil(l.edge.s.Now().Add(l.edge.s.Timeouts.Header), 0)
	for l.step() {
	}
	// Nothing of this client is left to the next.
	clear(l.in[:])
	l.n, l.head, l.known = 0, head{}, click.Known{}
	l.edge.lanes.spaces.Put(l.workspace)
}

// step answers a request that is there, or waits for more of one; false at the
// lane's end.
func (l *lane) step() bool {
	switch {
	case l.edge.s.NetHTTP:
		return l.handOver()
	case l.n == 0:
		return l.rest() && l.read()
	}
	shape := l.head.parse(l.in[:l.n])
	if l.used && l.n < fewest {
		shape = partial
	}
	switch shape {
	case common:
		if target := view(l.head.target); routeOf(target, target) == RouteRedirect {
			return l.answer()
		}
	case partial:
		if l.n < len(l.in) {
			return l.read()
		}
	}
	return l.handOver()
}

// rest notes that everything is answered; false if no more is wanted.
func (l *lane) rest() bool {
	if l.state.Load() == laneFresh {
		return true
	}
	l.since.Store(l.done.UnixNano())
	l.state.Store(laneIdle)
	if l.edge.lanes.closed.Load() {
		return l.end()
	}
	// Others first: a client that is fast has asked again by then, which spares
	// a read in vain and a wait for it, a tenth of a busy server's time.
	runtime.Gosched()
	return true
}

// read waits for more of a request.
func (l *lane) read() bool {
	switch t := &l.edge.s.Timeouts; {
	case l.state.Load() == laneIdle:
		l.readUntil(l.done.Add(t.Idle), t.Idle/8)
	case l.n > 0:
		if now := l.edge.s.Now(); l.readBy.Sub(now) > t.Header {
			l.readUntil(now.Add(t.Header), 0)
		}
	}
	n, err := l.bytes.Read(l.in[l.n:])
	switch {
	case n > 0 && (l.state.Load() == laneBusy || l.wake()):
		l.n += n
		return true
	case n == 0 && l.n > 0 && errors.Is(err, io.EOF) && !(l.used && l.n < fewest):
		return l.handOver() // what is to be said of half a request is net/http's
	}
	return l.end()
}

// wake notes that a request comes; false if the server has just ended it all.
func (l *lane) wake() bool {
	return l.state.CompareAndSwap(laneIdle, laneBusy) || l.state.CompareAndSwap(laneFresh, laneBusy)
}

// readUntil moves the deadline, unless that would be by less than so much.
func (l *lane) readUntil(t time.Time, less time.Duration) {
	if d := t.Sub(l.readBy); d >= less || d < 0 {
		l.readBy = t
		_ = l.conn.SetReadDeadline(t)
	}
}

// answer answers the request whose head was read; false where that was the
// last.
func (l *lane) answer() bool {
	e, h := l.edge, &l.head
	began := e.s.Now()
	l.rec = record{route: RouteRedirect, edge: e, buf: l.rec.buf}
	l.rec.client = l.peer
	if h.forwarded != nil {
		l.rec.client = e.proxies.behind(l.peer, l.named, []string{view(h.forwarded)})
	}
	if l.rec.id = view(h.requestID); !wellFormedID(l.rec.id) {
		drawID(e.s.Rand, &l.rec.buf)
		l.rec.id = view(l.rec.buf[:])
	}
	l.fill(began)
	l.resp.RequestID, l.resp.Secure = l.rec.id, l.secure
	l.resp.Close = h.close || e.lanes.closing.Load()
	var status int
	if err := e.s.Redirect.Answer(e.lanes.ctx, &l.req, &l.resp); err != nil {
		status = l.refuse(err)
	} else {
		l.out, status = l.resp.AppendTo(l.out[:0]), l.resp.Status
	}
	err := l.write(began)
	method := http.MethodGet
	if h.isHead {
		method = http.MethodHead
	}
	l.done = e.s.Now()
	e.told(&l.rec, method, status, l.done.Sub(began))
	l.req, l.resp.RequestID, l.rec.id = redirect.Request{}, "", ""
	l.n, l.used = copy(l.in[:], l.in[h.size:l.n]), true
	return err == nil && !l.resp.Close || l.end()
}

// fill makes a redirect's request of the head; see fill of net/http's.
func (l *lane) fill(now time.Time) {
	h := &l.head
	l.req = redirect.Request{
		Head: h.isHead, Host: view(h.host), Path: view(h.target[1:]), Query: view(h.query),
		UserAgent: view(h.agent), Referer: view(h.referer), AcceptLanguage: view(h.language),
		NoTrack: string(h.dnt) == "1" || string(h.gpc) == "1",
		Client:  l.rec.client, Known: &l.known, Now: now,
	}
	for _, purpose := range [...][]byte{h.secPurpose, h.purpose, h.xMoz} {
		if len(purpose) > 0 {
			l.req.Purpose = view(purpose)
			return
		}
	}
}

// view gives bytes as a string without copying them. It is good until they
// change, which those of a workspace do only after the answer; nothing that
// gets such a string keeps it.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// refuse makes the answer of an error.
func (l *lane) refuse(err error) (status int) {
	e := l.edge
	f := faultOf(e.lanes.ctx, err)
	l.rec.code = f.Code
	e.cause(e.lanes.ctx, &l.rec, f, err)
	var accept []string
	if l.head.accept != nil {
		accept = []string{string(l.head.accept)}
	}
	a := answerOf(f, Status(f.Code), l.rec.id, prefersHTML(accept))
	a.add("Vary", "Accept")
	if l.secure {
		a.add("Strict-Transport-Security", redirect.HSTS)
	}
	for _, field := range []struct {
		name  string
		value []byte
	}{{"RateLimit", l.resp.AppendRateLimit(nil)}, {"RateLimit-Policy", l.resp.AppendRateLimitPolicy(nil)}} {
		if len(field.value) > 0 {
			a.add(field.name, string(field.value))
		}
	}
	if l.resp.Close {
		a.add("Connection", "close")
	}
	l.out = a.appendTo(l.out[:0], e.s.Now(), l.head.isHead)
	return a.status
}

// write sends what is in out.
func (l *lane) write(now time.Time) error {
	limit := l.edge.s.Timeouts.Write
	if by := now.Add(limit); by.Sub(l.writeBy) >= limit/8 || limit < 0 {
		l.writeBy = by
		_ = l.conn.SetWriteDeadline(by)
	}
	_, err := l.bytes.Write(l.out)
	return err
}

// panicked logs a panic, answers it with 500 and ends the connection.
func (l *lane) panicked(v any) {
	e := l.edge
	l.rec.code = fault.Internal
	e.s.Logger.Error("panic while answering a request",
		"request_id", l.rec.id, "panic", v, "stack", string(debug.Stack()))
	l.resp.Close = true
	a := answerOf(fault.New(fault.Internal, "Internal error"), http.StatusInternalServerError, l.rec.id, false)
	a.add("Connection", "close")
	l.out = a.appendTo(l.out[:0], e.s.Now(), l.head.isHead)
	_ = l.write(e.s.Now())
	e.told(&l.rec, http.MethodGet, a.status, 0)
	l.end()
}

// handOver gives the connection to net/http, with what was not answered.
func (l *lane) handOver() bool {
	e, state := l.edge, http.StateActive
	if l.n == 0 {
		state = http.StateNew
	}
	c := &conn{Conn: l.conn, edge: e, unread: bytes.Clone(l.in[:l.n])}
	// Counted there before it is not counted here.
	c.state.Store(int32(state))
	e.flow.move(noState, state)
	l.leave(false)
	var all net.Conn = c
	raw := l.conn
	if t, ok := raw.(*tls.Conn); ok {
		all, raw = secureConn{c, t}, t.NetConn()
	}
	probe(raw)
	if !e.handover.give(all) {
		e.flow.move(state, http.StateClosed)
		e.lanes.gone()
	}
	return false
}

// probe has the system find out whether a silent client is still there, which
// net/http may stream to for hours.
func probe(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		// A connection that is broken ends anyway.
		_ = t.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true})
	}
}

// end closes the connection.
func (l *lane) end() bool {
	l.leave(true)
	_ = l.conn.Close()
	return false
}

// leave takes the lane off the list.
func (l *lane) leave(gone bool) {
	l.state.Store(laneOver)
	l.edge.lanes.remove(l, gone)
}

// appendTo appends the answer to a request as HTTP/1.1.
func (a *answer) appendTo(b []byte, now time.Time, isHead bool) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(a.status), 10)
	b = append(b, ' ')
	b = append(b, http.StatusText(a.status)...)
	for _, line := range a.header {
		b = append(b, "\r\n"...)
		b = append(b, line[0]...)
		b = append(b, ": "...)
		b = append(b, line[1]...)
	}
	b = append(b, "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(a.body)), 10)
	b = append(b, "\r\nDate: "...)
	b = now.UTC().AppendFormat(b, http.TimeFormat)
	b = append(b, "\r\n\r\n"...)
	if isHead {
		return b
	}
	return append(b, a.body...)
}
