package link

import (
	"context"
	"crypto/sha256"
	"errors"
	"math/big"
	"strconv"
	"sync"
)

// Numbers counts for all nodes. It is safe for concurrent use and may block.
type Numbers interface {
	// Reserve gives the first of n numbers (at least 1) in a row that no other
	// call under this name got or will get, whatever process crashes when: that
	// is durable before it returns. The first call gets 0, each other one numbers
	// above all those that were reserved before it. A call of which it is open
	// whether it was done is an error, and its numbers are nobody's. A store that
	// can't be asked is fault.Unavailable; a context that has ended gives its own
	// error.
	Reserve(ctx context.Context, name string, n int64) (first int64, err error)
}

// SequenceSettings are those of SequenceCodes. All but Warn are needed.
type SequenceSettings struct {
	Numbers Numbers
	// Key may be of any length. Who has it can tell which link was made when, and
	// which code comes next.
	Key []byte
	// First and Most bound how many numbers are reserved at once. The first time
	// it is First, then twice as many each time.
	First, Most int
	// Warn is told when the codes of a length are used up.
	Warn func(msg string, args ...any)
}

// SequenceCodes counts: each code is a number of its length, put through a
// permutation of all of them under the key. So no code is given twice, and who
// does not have the key can't tell the next. What is reserved and not used when
// a process ends is never given.
type SequenceCodes struct {
	s SequenceSettings

	mu      sync.Mutex
	lengths map[int]*counting
}

// counting is the sequence of one length.
type counting struct {
	turn
	permutation *permutation
	space       *big.Int // how many codes there are
	next, last  int64    // what is reserved: from next to before last
	portions
	full bool
}

var _ Codes = (*SequenceCodes)(nil)

// NewSequenceCodes makes them.
func NewSequenceCodes(s SequenceSettings) *SequenceCodes {
	if s.Warn == nil {
		s.Warn = func(string, ...any) {}
	}
	return &SequenceCodes{s: s, lengths: map[int]*counting{}}
}

// Next gives a code of d.Length characters, or, where all of these were given,
// of the next length that is left. It blocks once in some hundred codes, while
// numbers are reserved.
func (s *SequenceCodes) Next(ctx context.Context, d Draw) (Code, error) {
	for length := d.Length; length <= MaxGeneratedCode; length++ {
		c, err := s.of(length)
		if err != nil {
			return "", err
		}
		code, err := s.next(ctx, c, length)
		if err != nil || code != "" {
			return code, err
		}
	}
	return "", errors.New("no code is left")
}

func (s *SequenceCodes) of(length int) (*counting, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.lengths[length]; c != nil {
		return c, nil
	}
	key := sha256.Sum256(s.s.Key)
	p, err := newPermutation(key[:], nil, len(base62), length)
	if err != nil {
		return nil, err
	}
	c := &counting{
		turn: newTurn(), permutation: p, space: power(len(base62), length), portions: newPortions(s.s.First, s.s.Most),
	}
	s.lengths[length] = c
	return c, nil
}

// next gives "" where all codes of the length were given.
func (s *SequenceCodes) next(ctx context.Context, c *counting, length int) (Code, error) {
	for {
		n, err := s.number(ctx, c, length)
		if err != nil || n == nil {
			return "", err
		}
		text := c.permutation.apply(n).Text(len(base62))
		for len(text) < length {
			text = base62[:1] + text
		}
		if !Reserved(text) {
			return Code(text), nil
		}
	}
}

// number gives the next number, nil where there is none.
func (s *SequenceCodes) number(ctx context.Context, c *counting, length int) (*big.Int, error) {
	if err := c.take(ctx); err != nil {
		return nil, err
	}
	defer c.end()
	if c.full {
		return nil, nil
	}
	if c.next == c.last {
		n := int64(c.portion())
		first, err := s.s.Numbers.Reserve(ctx, "codes/"+strconv.Itoa(length), n)
		if err != nil {
			return nil, err
		}
		c.next, c.last = first, first+n
	}
	n := big.NewInt(c.next)
	if n.Cmp(c.space) >= 0 {
		c.full = true
		s.s.Warn("all short codes of this length were given: raise KURZ_CODE_LENGTH", "length", length)
		return nil, nil
	}
	c.next++
	return n, nil
}
