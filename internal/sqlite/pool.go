package sqlite

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"zombiezen.com/go/sqlite"
)

var errClosed = errors.New("database is closed")

// pool lends connections for reading. They are opened when first needed, so
// that an idle program stays small.
type pool struct {
	open func() (*sqlite.Conn, error)
	// slots holds a token for each connection that may be in use; idle holds
	// those open and not in use.
	slots chan struct{}
	mu    sync.Mutex
	idle  []*reading
	done  bool
}

// reading is a connection, and the goroutine that alone uses it: SQLite needs a
// deep stack, and to grow one anew costs a goroutine that makes one short read
// as much as half of that read.
type reading struct {
	conn *sqlite.Conn
	do   chan func(c *sqlite.Conn) error
	did  chan error
}

func newReading(c *sqlite.Conn) *reading {
	r := &reading{conn: c, do: make(chan func(c *sqlite.Conn) error), did: make(chan error)}
	go func() {
		for fn := range r.do {
			r.did <- recovered(fn, c)
		}
	}()
	return r
}

// recovered calls fn; a panic in it is its error.
func recovered(fn func(c *sqlite.Conn) error, c *sqlite.Conn) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in a statement's user: %v", p)
		}
	}()
	return fn(c)
}

func (r *reading) with(fn func(c *sqlite.Conn) error) error {
	r.do <- fn
	return <-r.did
}

// close ends the goroutine, and closes the connection.
func (r *reading) close() error {
	close(r.do)
	return r.conn.Close()
}

func newPool(size int, open func() (*sqlite.Conn, error)) *pool {
	return &pool{open: open, slots: make(chan struct{}, size)}
}

func (p *pool) with(ctx context.Context, fn func(c *sqlite.Conn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case p.slots <- struct{}{}:
	default:
		select {
		case p.slots <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer func() { <-p.slots }()
	return p.lend(fn)
}

// spare is with where a connection is free; else it returns at once.
func (p *pool) spare(fn func(c *sqlite.Conn) error) error {
	select {
	case p.slots <- struct{}{}:
	default:
		return nil
	}
	defer func() { <-p.slots }()
	return p.lend(fn)
}

func (p *pool) lend(fn func(c *sqlite.Conn) error) error {
	r, err := p.take()
	if err != nil {
		return unavailable(err)
	}
	defer p.give(r)
	return faulty(r.with(fn))
}

func (p *pool) take() (*reading, error) {
	p.mu.Lock()
	if p.done {
		p.mu.Unlock()
		return nil, errClosed
	}
	if n := len(p.idle); n > 0 {
		r := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return r, nil
	}
	p.mu.Unlock()
	c, err := p.open()
	if err != nil {
		return nil, err
	}
	return newReading(c), nil
}

// give takes a connection back. One with a statement still running (its user
// panicked or forgot) would pin an old snapshot, so it is not used again.
func (p *pool) give(r *reading) {
	p.mu.Lock()
	if !p.done && r.conn.CheckReset() == "" && r.conn.AutocommitEnabled() {
		p.idle = append(p.idle, r)
		p.mu.Unlock()
		return
	}
	p.mu.Unlock()
	_ = r.close() // nothing was written on it
}

// close waits for connections in use and closes all.
func (p *pool) close() error {
	p.mu.Lock()
	p.done = true
	p.mu.Unlock()
	for range cap(p.slots) {
		p.slots <- struct{}{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, r := range p.idle {
		errs = append(errs, r.close())
	}
	p.idle = nil
	for range cap(p.slots) {
		<-p.slots
	}
	return errors.Join(errs...)
}
