package link

import (
	"context"
	"io"

	"kurz/internal/account"
)

// Codes gives codes for new links: a strategy. It is safe for concurrent use.
type Codes interface {
	// Next gives a code that ParseAlias takes. Whether it is free is the Store's
	// word alone: a strategy may give one that is taken, and is asked again then.
	// The code has d.Length characters, unless the strategy says that it may
	// have more. Next may block on a store; one that can't be asked and is
	// needed is fault.Unavailable, and a context that ends meanwhile gives its
	// own error.
	Next(ctx context.Context, d Draw) (Code, error)
}

// Draw says for which link a code is wanted.
type Draw struct {
	// Attempt counts from 0; it grows when the store said that the code before
	// was taken.
	Attempt int
	// Length is in characters, MinGeneratedCode to MaxGeneratedCode.
	Length      int
	Owner       account.ID // 0: nobody
	Destination Href
}

// Strategy names a way to make codes.
type Strategy string

// The strategies.
const (
	Random    Strategy = "random"
	Sequence  Strategy = "sequence"
	Pooled    Strategy = "pool"
	Hash      Strategy = "hash"
	Snowflake Strategy = "snowflake"
)

// Strategies gives all of them.
func Strategies() []Strategy { return []Strategy{Random, Sequence, Pooled, Hash, Snowflake} }

// base62 are the characters of generated codes, by their value. They are those
// of big.Int.Text.
const base62 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

const radix = uint64(len(base62))

// inBase62 writes a number, with zeros before it where it has fewer than so many
// characters.
func inBase62(n uint64, length int) string {
	var buf [MaxGeneratedCode]byte
	at := len(buf)
	for n > 0 || at > len(buf)-length {
		at--
		buf[at] = base62[n%radix]
		n /= radix
	}
	return string(buf[at:])
}

// RandomCodes draws every code anew from a secure source: unguessable.
type RandomCodes struct{ Rand io.Reader }

var _ Codes = RandomCodes{}

// Next draws a code of exactly d.Length characters, each equally likely: bytes
// of 248 and more, which 62 does not divide, are drawn again. Reserved words
// are drawn again too. It does not block, and asks nobody.
func (r RandomCodes) Next(_ context.Context, d Draw) (Code, error) { return r.draw(d.Length) }

func (r RandomCodes) draw(length int) (Code, error) {
	var buf [MaxGeneratedCode + 8]byte
	for {
		out := make([]byte, 0, length)
		for len(out) < length {
			if _, err := io.ReadFull(r.Rand, buf[:]); err != nil {
				return "", err
			}
			for _, b := range buf {
				if b < 248 && len(out) < length {
					out = append(out, base62[b%62])
				}
			}
		}
		if code := string(out); !Reserved(code) {
			return Code(code), nil
		}
	}
}

// turn is a lock that is not waited for beyond the end of a context. Whoever
// holds it may block.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

func (t turn) take(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t turn) end() { <-t }

// portions are how much is taken from a store at once: little at first, and
// twice as much each time, so that a command that makes one link wastes none.
type portions struct{ size, most int }

func newPortions(first, most int) portions {
	most = max(most, 1)
	return portions{min(max(first, 1), most), most}
}

func (p *portions) portion() int {
	n := p.size
	p.size = min(2*n, p.most)
	return n
}
