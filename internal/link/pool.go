package link

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// Pool keeps codes that were made ahead, for all nodes. It is safe for
// concurrent use and may block. A store that can't be asked is
// fault.Unavailable; a context that has ended gives its own error, and nothing
// is done.
type Pool interface {
	// Add stores codes of a length, at most MaxPoolAdd, durably, and tells how
	// many. Left out are those that were ever added before, given or not, and
	// those that the store knows a link to have.
	Add(ctx context.Context, length int, codes []Code) (added int, err error)
	// Take gives at most n codes of a length, fewer where fewer are left. No other
	// call gets or will get them, whatever process crashes when: that is durable
	// before it returns. A call of which it is open whether it was done is an
	// error, and its codes are nobody's.
	Take(ctx context.Context, length, n int) ([]Code, error)
	// Left tells how many codes of a length there are to be taken.
	Left(ctx context.Context, length int) (int, error)
}

// Sizes of the pool: what is made at once, in the store and in steps that hold
// up nobody; below what more is made; what a node takes at once.
const (
	PoolMade   = 10_000
	MaxPoolAdd = 500
	PoolLow    = 5_000
	PoolTaken  = 1_000
)

// PoolSettings are those of PoolCodes. All but Warn are needed.
type PoolSettings struct {
	Pool Pool
	// Length is that of the codes in the pool.
	Length int
	// First and Most bound how many codes are taken at once. The first time it is
	// First, then twice as many each time.
	First, Most int
	Rand        io.Reader // secure
	Now         func() time.Time
	// Warn is told what the operator should know.
	Warn func(msg string, args ...any)
}

// PoolCodes gives random codes of one length that were made ahead and are known
// to be free: without a second draw, and without asking a store while it has
// some of its batch. Codes of other lengths, and those that are wanted when
// there are none, are drawn at random.
type PoolCodes struct {
	s      PoolSettings
	random RandomCodes
	low    chan struct{} // wakes Run

	turn     turn // to take from the pool; for the next two
	portions portions
	dry      time.Time // until when Next does not ask the pool

	mu    sync.Mutex
	batch []Code

	left, made, missed atomic.Int64
}

var _ Codes = (*PoolCodes)(nil)

// NewPoolCodes makes them. Run keeps them in supply.
func NewPoolCodes(s PoolSettings) *PoolCodes {
	if s.Warn == nil {
		s.Warn = func(string, ...any) {}
	}
	return &PoolCodes{
		s: s, random: RandomCodes{Rand: s.Rand}, low: make(chan struct{}, 1),
		turn: newTurn(), portions: newPortions(s.First, s.Most),
	}
}

// PoolStats are numbers of a node.
type PoolStats struct {
	Left   int64 // in the store, when it was last asked
	Batch  int   // in the memory of this node
	Made   int64 // by this node
	Missed int64 // codes that were drawn at random because there was none
}

// Stats gives them.
func (p *PoolCodes) Stats() PoolStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return PoolStats{Left: p.left.Load(), Batch: len(p.batch), Made: p.made.Load(), Missed: p.missed.Load()}
}

// Next gives a code of d.Length characters. It blocks only while this node has
// none of its batch and takes another.
func (p *PoolCodes) Next(ctx context.Context, d Draw) (Code, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if d.Length != p.s.Length {
		return p.random.draw(d.Length)
	}
	if code, ok := p.pop(); ok {
		return code, nil
	}
	if err := p.turn.take(ctx); err != nil {
		return "", err
	}
	defer p.turn.end()
	if code, ok := p.pop(); ok {
		return code, nil // whoever had the turn before took some
	}
	if p.s.Now().After(p.dry) {
		if err := p.take(ctx); err != nil && ctx.Err() != nil {
			return "", err
		}
		if code, ok := p.pop(); ok {
			return code, nil
		}
		// Else each create would ask an empty pool, or one that can't be asked.
		p.dry = p.s.Now().Add(dryTime)
	}
	p.missed.Add(1)
	return p.random.draw(d.Length)
}

// dryTime is for how long a pool that gave nothing is not asked by Next.
const dryTime = time.Second

// pop gives a code of the batch, and wakes Run when it is to be refilled.
func (p *PoolCodes) pop() (Code, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.batch) <= p.s.Most/4 {
		select {
		case p.low <- struct{}{}:
		default:
		}
	}
	if len(p.batch) == 0 {
		return "", false
	}
	code := p.batch[0]
	p.batch = p.batch[1:]
	return code, true
}

// take puts codes of the pool into the batch. Its caller has the turn.
func (p *PoolCodes) take(ctx context.Context) error {
	codes, err := p.s.Pool.Take(ctx, p.s.Length, p.portions.portion())
	if err != nil {
		return err
	}
	p.left.Store(max(0, p.left.Load()-int64(len(codes))))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.batch = append(p.batch, codes...)
	return nil
}

// refillInterval is how often Run looks after the pool when nobody wakes it.
const refillInterval = 5 * time.Second

// Run makes codes where few are left, and takes a batch before the last one is
// used up, until ctx ends; then it returns nil. While the store can't be asked
// it says so, once, and tries again.
func (p *PoolCodes) Run(ctx context.Context) error {
	tick := time.NewTicker(refillInterval)
	defer tick.Stop()
	failing := false
	for {
		err := p.refill(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !failing:
			p.s.Warn("short codes can't be made ahead right now, and are drawn at random", "error", err)
		}
		failing = err != nil
		var low <-chan struct{}
		if !failing {
			low = p.low // else the ticker is soon enough
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-low:
		}
	}
}

// refill takes a batch where this node's is low, and then makes what is wanting.
func (p *PoolCodes) refill(ctx context.Context) error {
	if err := p.top(ctx); err != nil {
		return err
	}
	left, err := p.s.Pool.Left(ctx, p.s.Length)
	if err != nil {
		return err
	}
	if p.left.Store(int64(left)); left >= PoolLow {
		return nil
	}
	if err := p.make(ctx); err != nil {
		return err
	}
	return p.top(ctx) // where there was nothing to take before
}

// top takes a batch if this node has little left.
func (p *PoolCodes) top(ctx context.Context) error {
	if err := p.turn.take(ctx); err != nil {
		return err
	}
	defer p.turn.end()
	if p.Stats().Batch > p.s.Most/4 {
		return nil
	}
	return p.take(ctx)
}

// make adds PoolMade codes to the pool, fewer where nearly all are taken: then
// it gives up after ten times as many draws.
func (p *PoolCodes) make(ctx context.Context) error {
	made := 0
	for drawn := 0; made < PoolMade && drawn < 10*PoolMade; drawn += MaxPoolAdd {
		codes := make([]Code, min(MaxPoolAdd, PoolMade-made))
		for i := range codes {
			var err error
			if codes[i], err = p.random.draw(p.s.Length); err != nil {
				return err
			}
		}
		added, err := p.s.Pool.Add(ctx, p.s.Length, codes)
		if err != nil {
			return err
		}
		made += added
		p.made.Add(int64(added))
		p.left.Add(int64(added))
	}
	if made < PoolMade {
		p.s.Warn("short codes of this length are running out: raise KURZ_CODE_LENGTH", "length", p.s.Length)
	}
	return nil
}
