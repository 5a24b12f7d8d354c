package sqlite

import (
	"context"
	"errors"
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
	idle  []*sqlite.Conn
	done  bool
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
	c, err := p.take()
	if err != nil {
		return unavailable(err)
	}
	defer p.give(c)
	return faulty(fn(c))
}

func (p *pool) take() (*sqlite.Conn, error) {
	p.mu.Lock()
	if p.done {
		p.mu.Unlock()
		return nil, errClosed
	}
	if n := len(p.idle); n > 0 {
		c := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return c, nil
	}
	p.mu.Unlock()
	return p.open()
}

// give takes a connection back. One with a statement still running (its user
// panicked or forgot) would pin an old snapshot, so it is not used again.
func (p *pool) give(c *sqlite.Conn) {
	p.mu.Lock()
	if !p.done && c.CheckReset() == "" && c.AutocommitEnabled() {
		p.idle = append(p.idle, c)
		p.mu.Unlock()
		return
	}
	p.mu.Unlock()
	_ = c.Close() // nothing was written on it
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
	for _, c := range p.idle {
		errs = append(errs, c.Close())
	}
	p.idle = nil
	for range cap(p.slots) {
		<-p.slots
	}
	return errors.Join(errs...)
}
