// Package wire speaks HTTP/1.1 over one connection, and does nothing by itself:
// no retry, no pool, no redirect followed. So a ledger knows what was sent and
// what was answered, and a load client costs little beside the server that it
// measures.
package wire

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// Conn is one connection. It is for one goroutine.
type Conn struct {
	conn net.Conn
	r    *bufio.Reader
	body []byte
}

// Response is what came back. Location and Body are valid until the next Do.
type Response struct {
	Status   int
	Location []byte
	Body     []byte
	Close    bool // the server closes the connection
}

// Dial connects.
func Dial(ctx context.Context, addr string) (*Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return New(conn), nil
}

// New speaks over a connection, such as one of TLS.
func New(conn net.Conn) *Conn { return &Conn{conn: conn, r: bufio.NewReaderSize(conn, 16<<10)} }

// Close closes the connection.
func (c *Conn) Close() error { return c.conn.Close() }

// SetDeadline bounds everything that comes after.
func (c *Conn) SetDeadline(t time.Time) error { return c.conn.SetDeadline(t) }

// Write sends raw bytes.
func (c *Conn) Write(p []byte) (int, error) { return c.conn.Write(p) }

// Do sends a request as it is and reads the response to it.
func (c *Conn) Do(request []byte) (Response, error) {
	if _, err := c.conn.Write(request); err != nil {
		return Response{}, err
	}
	return c.Read(false)
}

// Read reads one response. After a HEAD request there is no body.
func (c *Conn) Read(head bool) (Response, error) {
	line, err := c.line()
	if err != nil {
		return Response{}, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.")) {
		return Response{}, fmt.Errorf("not a status line: %.40q", line)
	}
	var r Response
	if r.Status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return Response{}, err
	}
	c.body = c.body[:0]
	length, chunked := 0, false
	for {
		if line, err = c.line(); err != nil {
			return Response{}, err
		}
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("content-length")):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return Response{}, err
			}
		case bytes.EqualFold(name, []byte("transfer-encoding")):
			chunked = true
		case bytes.EqualFold(name, []byte("location")):
			c.body = append(c.body, value...)
			r.Location = c.body
		case bytes.EqualFold(name, []byte("connection")):
			r.Close = bytes.EqualFold(value, []byte("close"))
		}
	}
	if head {
		return r, nil
	}
	err = c.readBody(&r, length, chunked)
	return r, err
}

// line reads a line without its end; it is valid until the next read.
func (c *Conn) line() ([]byte, error) {
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		if errors.Is(err, io.EOF) && len(line) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

func (c *Conn) readBody(r *Response, length int, chunked bool) error {
	start := len(c.body)
	for {
		if chunked {
			line, err := c.line()
			if err != nil {
				return err
			}
			n, err := strconv.ParseInt(string(line), 16, 32)
			if err != nil {
				return err
			}
			length = int(n)
		}
		at := len(c.body)
		c.body = append(c.body, make([]byte, length)...)
		if _, err := io.ReadFull(c.r, c.body[at:]); err != nil {
			return err
		}
		if chunked {
			if _, err := c.line(); err != nil {
				return err
			}
		}
		if !chunked || length == 0 {
			break
		}
	}
	if r.Location != nil {
		r.Location = c.body[:start]
	}
	r.Body = c.body[start:]
	return nil
}

// Browser is the user agent of a person's browser, whose clicks are counted in
// the headline numbers.
const Browser = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"

// AppendGet appends a GET request such as a browser sends.
func AppendGet(dst []byte, host, path string) []byte {
	return fmt.Appendf(dst, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\nAccept: text/html,*/*;q=0.8\r\nAccept-Language: de,en;q=0.7\r\n\r\n", path, host, Browser)
}

// AppendPost appends a POST request with a JSON body and more header lines,
// each ended by "\r\n".
func AppendPost(dst []byte, host, path, header string, body []byte) []byte {
	dst = fmt.Appendf(dst, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n", path, host, len(body), header)
	return append(dst, body...)
}
