package memory

import (
	"context"
	"fmt"
	"sync"
	"time"

	"kurz/internal/fault"
	"kurz/internal/link"
)

// Codes is a link.Numbers, a link.Pool and a link.Nodes.
type Codes struct {
	links *Links

	mu      sync.Mutex
	numbers map[string]int64
	pooled  map[link.Code]bool // ever added
	left    map[int][]link.Code
	nodes   []leased
}

// leased says who has a node number, until when.
type leased struct {
	holder string
	until  time.Time
}

var (
	_ link.Numbers = (*Codes)(nil)
	_ link.Pool    = (*Codes)(nil)
	_ link.Nodes   = (*Codes)(nil)
)

// NewCodes makes an empty one, whose pool leaves out codes that links have.
func NewCodes(links *Links) *Codes {
	return &Codes{links: links, numbers: map[string]int64{}, pooled: map[link.Code]bool{}, left: map[int][]link.Code{}}
}

// Reserve is that of link.Numbers.
func (s *Codes) Reserve(ctx context.Context, name string, n int64) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if n < 1 {
		return 0, fmt.Errorf("%d numbers can't be reserved", n)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.numbers[name]
	s.numbers[name] += n
	return first, nil
}

// Add is that of link.Pool.
func (s *Codes) Add(ctx context.Context, length int, codes []link.Code) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if len(codes) > link.MaxPoolAdd {
		return 0, fmt.Errorf("%d codes are too many at once", len(codes))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	added := 0
	for _, code := range codes {
		if s.pooled[code] || s.links.has(code) {
			continue
		}
		s.pooled[code] = true
		s.left[length] = append(s.left[length], code)
		added++
	}
	return added, nil
}

// has reports whether a link of any domain has a code.
func (s *Links) has(code link.Code) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.codes[code]
}

// Take is that of link.Pool.
func (s *Codes) Take(ctx context.Context, length, n int) ([]link.Code, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.left[length]
	n = min(max(n, 0), len(all))
	s.left[length] = all[n:]
	return append([]link.Code(nil), all[:n]...), nil
}

// Left is that of link.Pool.
func (s *Codes) Left(ctx context.Context, length int) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.left[length]), nil
}

// Lease is that of link.Nodes.
func (s *Codes) Lease(ctx context.Context, holder string, now, until time.Time) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	free := -1
	for i := len(s.nodes) - 1; i >= 0; i-- {
		if over := !s.nodes[i].until.After(now); over {
			free = i
		} else if s.nodes[i].holder == holder {
			s.nodes[i].until = until
			return i, nil
		}
	}
	if free < 0 {
		if len(s.nodes) == link.MaxNodes {
			f := fault.New(fault.Unavailable, "All node numbers are lent right now, try again shortly")
			f.RetryAfter = until.Sub(now)
			return 0, f
		}
		free = len(s.nodes)
		s.nodes = append(s.nodes, leased{})
	}
	s.nodes[free] = leased{holder, until}
	return free, nil
}
