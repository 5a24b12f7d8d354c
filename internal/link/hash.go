package link

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"math/big"
)

// HashCodes makes codes of what links are: the first link of an owner to a
// destination has the same code wherever it is made, if that was free. Whoever
// knows both can work the code out.
//
// Rand is asked from the fourth code on, since then the destination was
// shortened before rather than met by chance: a destination that was shortened a
// thousand times costs as much as one that was thrice.
type HashCodes struct{ Rand io.Reader }

var _ Codes = HashCodes{}

// surelyHashed is the number of attempts whose codes follow from the link alone.
const surelyHashed = 3

// Next gives the first d.Length digits in base 62 of the SHA-256 of owner,
// attempt and destination; the lowest digits come first, which favours none by
// more than 2⁻⁶⁵. It does not block, and asks nobody.
func (h HashCodes) Next(_ context.Context, d Draw) (Code, error) {
	text := binary.BigEndian.AppendUint64(nil, uint64(d.Owner))
	text = binary.BigEndian.AppendUint64(text, uint64(d.Attempt))
	salt := len(text)
	text = append(text, make([]byte, 16)...)
	text = append(text, d.Destination...)
	if d.Attempt >= surelyHashed {
		if _, err := io.ReadFull(h.Rand, text[salt:salt+16]); err != nil {
			return "", err
		}
	}
	for {
		if code := digits(sha256.Sum256(text), d.Length); !Reserved(code) {
			return Code(code), nil
		}
		text = append(text, 0) // no destination ends so
	}
}

// digits gives the lowest digits of a number, the lowest first.
func digits(sum [sha256.Size]byte, length int) string {
	// Ten digits fit into a word.
	const some = 10
	word := new(big.Int).Exp(big.NewInt(int64(radix)), big.NewInt(some), nil)
	n, rest := new(big.Int).SetBytes(sum[:]), new(big.Int)
	out := make([]byte, 0, length+some)
	for len(out) < length {
		n.QuoRem(n, word, rest)
		low := rest.Uint64()
		for range some {
			out = append(out, base62[low%radix])
			low /= radix
		}
	}
	return string(out[:length])
}
