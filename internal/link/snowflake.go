package link

import (
	"context"
	"time"

	"kurz/internal/fault"
)

// Nodes lends numbers to processes that make codes. It is safe for concurrent
// use and may block.
type Nodes interface {
	// Lease gives the holder a number below MaxNodes that is nobody else's from
	// now until then, durably; the one it has, where it has one. Numbers are
	// lent again only to those whose now is not before the end of the lease
	// before, by the clock of whoever had that: so whoever makes something of a
	// number and of times within the lease never makes it twice, whatever clocks
	// do. Where all are lent, and where the store can't be asked, it is
	// fault.Unavailable; a context that has ended gives its own error.
	Lease(ctx context.Context, holder string, now, until time.Time) (node int, err error)
}

// MaxNodes is how many numbers there are to lend, and how many more there are to
// be given by hand.
const MaxNodes = 512

// SnowflakeSettings are those of SnowflakeCodes. Now is needed, and Nodes with
// Holder, or Fixed.
type SnowflakeSettings struct {
	Nodes  Nodes
	Holder string // this process, and no other
	// Fixed, unless negative, is the number of this node, below MaxNodes, which
	// whoever runs it gives to no other. None of these is ever lent.
	Fixed int
	Now   func() time.Time
}

// SnowflakeCodes makes codes of the time, of a number that no other process has
// meanwhile, and of a counter: 41, 10 and 12 bits in base 62. That are 10
// characters until May 2032, and 11 until 2095. They tell when a link was made,
// and the next one can be guessed.
type SnowflakeCodes struct {
	s SnowflakeSettings
	turn
	node  int
	until time.Time // of the lease
	last  int64     // milliseconds since snowflakeEpoch of the last code
	count int64     // codes in that one
}

var _ Codes = (*SnowflakeCodes)(nil)

// NewSnowflakeCodes makes them.
func NewSnowflakeCodes(s SnowflakeSettings) *SnowflakeCodes {
	return &SnowflakeCodes{s: s, turn: newTurn(), node: s.Fixed}
}

var snowflakeEpoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

const (
	snowflakeNodeShift = 12
	snowflakeTimeShift = 22
	snowflakeCounts    = 1 << snowflakeNodeShift
	// nodeLease is for how long a number is lent. One that is half over is
	// renewed with the next code.
	nodeLease = 10 * time.Second
	// clockPatience is what a clock may go back and be waited for.
	clockPatience = time.Second
)

// Next gives a code of d.Length characters or more, see SnowflakeCodes. It
// blocks for a millisecond where 4,096 codes were given in the last one; for as
// long as the clock went back, if that is not more than a second, else it is
// fault.Unavailable; and now and then while it is lent its number.
func (s *SnowflakeCodes) Next(ctx context.Context, d Draw) (Code, error) {
	if err := s.take(ctx); err != nil {
		return "", err
	}
	defer s.end()
	for {
		now := s.s.Now()
		ms := now.Sub(snowflakeEpoch).Milliseconds()
		back := time.Duration(s.last-ms) * time.Millisecond
		switch {
		case ms < 1:
			return "", clockFault("it is %s: set the clock", now.UTC().Format(time.DateTime))
		case back > clockPatience:
			return "", clockFault("it went back by %v: set the clock, or wait", back.Round(time.Second))
		case back > 0, back == 0 && s.count == snowflakeCounts:
			if err := sleep(ctx, back+time.Millisecond); err != nil {
				return "", err
			}
			continue
		}
		if err := s.lease(ctx, now); err != nil {
			return "", err
		}
		if ms > s.last {
			s.last, s.count = ms, 0
		}
		n := uint64(ms)<<snowflakeTimeShift | uint64(s.node)<<snowflakeNodeShift | uint64(s.count)
		s.count++
		if code := inBase62(n, d.Length); !Reserved(code) {
			return Code(code), nil
		}
	}
}

// lease makes sure that the node has its number at a time.
func (s *SnowflakeCodes) lease(ctx context.Context, now time.Time) error {
	if s.s.Fixed >= 0 || now.Before(s.until.Add(-nodeLease/2)) {
		return nil
	}
	// Of whole milliseconds, as codes are: the last of the lease is before the
	// first of the next.
	until := now.Truncate(time.Millisecond).Add(nodeLease)
	node, err := s.s.Nodes.Lease(ctx, s.s.Holder, now, until)
	switch {
	case err == nil:
		s.node, s.until = MaxNodes+node, until
	case now.Before(s.until):
		return nil // it is lent to us still
	}
	return err
}

func clockFault(format string, args ...any) error {
	f := fault.New(fault.Unavailable, "The server's clock can't be used: "+format, args...)
	f.RetryAfter = time.Second
	return f
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
