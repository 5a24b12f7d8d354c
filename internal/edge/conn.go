package edge

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"

	"kurz/internal/fault"
)

// conn is an HTTP/1 connection that knows whether a request of it is being
// answered. What net/http writes while none is, it writes of its own accord:
// plain text about bytes that are no request. That text, and only that, is
// replaced by the JSON form.
type conn struct {
	net.Conn
	edge *Edge
	// answering is set when the handler begins, and unset when the server
	// waits for the next request, so after the last byte of the answer.
	answering atomic.Bool
	state     atomic.Int32 // http.ConnState, once net/http has told one
	// unread is what a lane read of requests that it did not answer.
	unread []byte
}

// noState is that of a connection that net/http has not told of.
const noState = http.ConnState(-1)

// secureConn is one over TLS. Its method is how net/http finds Request.TLS.
type secureConn struct {
	*conn
	tls *tls.Conn
}

func (c secureConn) ConnectionState() tls.ConnectionState { return c.tls.ConnectionState() }

// Read gives what was read before, then what comes.
func (c *conn) Read(b []byte) (int, error) {
	if len(c.unread) == 0 {
		return c.Conn.Read(b)
	}
	n := copy(b, c.unread)
	if c.unread = c.unread[n:]; len(c.unread) == 0 {
		c.unread = nil
	}
	return n, nil
}

// front gives the conn itself, of a secureConn too.
func (c *conn) front() *conn { return c }

// CloseWrite lets net/http end the answer before the connection, so that a
// client that still sends gets it.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

type connKey struct{}

func connContext(ctx context.Context, c net.Conn) context.Context {
	if f, ok := c.(interface{ front() *conn }); ok {
		return context.WithValue(ctx, connKey{}, f.front())
	}
	return ctx
}

// connOf gives the connection of a request, nil for HTTP/2.
func connOf(ctx context.Context) *conn {
	c, _ := ctx.Value(connKey{}).(*conn)
	return c
}

// connState is told by net/http what a connection does.
func (e *Edge) connState(nc net.Conn, state http.ConnState) {
	if state == http.StateClosed || state == http.StateHijacked {
		e.lanes.gone()
	}
	f, ok := nc.(interface{ front() *conn })
	if !ok {
		return
	}
	c := f.front()
	if state == http.StateNew {
		return // it has been counted since a lane has handed it over
	}
	from := http.ConnState(c.state.Swap(int32(state)))
	e.flow.move(from, state)
	if state == http.StateIdle {
		c.answering.Store(false)
	}
}

// Write sends b, or in place of net/http's own text its JSON form.
func (c *conn) Write(b []byte) (int, error) {
	if !c.answering.Load() {
		if f, status := protocolFault(b); f != nil {
			if _, err := c.Conn.Write(c.edge.malformed(f, status)); err != nil {
				return 0, err
			}
			return len(b), nil
		}
	}
	return c.Conn.Write(b)
}

// plainError is how net/http/server.go's conn.serve heads its own errors, each
// in one write: "HTTP/1.1 ", the status line, this, and the status line again
// (or, for 501, a sentence).
const plainError = "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"

// protocolFault reads what net/http writes about bytes that are no request it
// takes; nil for anything else.
func protocolFault(b []byte) (*fault.Error, int) {
	if len(b) < len("HTTP/1.1 400 ") || !bytes.HasPrefix(b, []byte("HTTP/1.")) || b[8] != ' ' {
		return nil, 0
	}
	status, err := strconv.Atoi(string(b[9:12]))
	if err != nil {
		return nil, 0
	}
	line, body, ok := bytes.Cut(b[9:], []byte(plainError))
	if !ok {
		if status == http.StatusExpectationFailed && bytes.HasSuffix(b, []byte("\r\n\r\n")) {
			return fault.New(fault.BadRequest, "What the Expect header asks for can't be done"), status
		}
		return nil, 0
	}
	switch {
	case status == http.StatusNotImplemented && string(body) == "Unsupported transfer encoding":
		return fault.New(fault.BadRequest, "The transfer encoding is not supported"), status
	case !bytes.Equal(line, body):
		return nil, 0
	case status == http.StatusRequestHeaderFieldsTooLarge:
		return fault.New(fault.HeaderTooLarge, "The header may have at most %d bytes", maxHeader), status
	}
	text := "The request is not well-formed HTTP"
	if _, why, ok := bytes.Cut(line, []byte(": ")); ok {
		text += ": " + string(why)
	}
	return fault.New(fault.BadRequest, "%s", text), status
}

// malformed gives the whole answer to bytes that are no request.
func (e *Edge) malformed(f *fault.Error, status int) []byte {
	rec := &record{route: RouteMalformed, code: f.Code}
	drawID(e.s.Rand, &rec.buf)
	rec.id = string(rec.buf[:])
	e.told(rec, "OTHER", status, 0)

	a := answerOf(f, status, rec.id, false)
	a.add("Connection", "close")
	return a.appendTo(nil, e.s.Now(), false)
}
