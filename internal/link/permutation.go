package link

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"math/big"
)

// permutation maps the numbers of n digits in some radix onto themselves, in a
// way that looks random to whoever has not its key.
//
// It is FF1 of NIST SP 800-38G (2016): a Feistel network of ten rounds with AES
// as the round function, whose halves are whole digits and are added modulo a
// power of the radix. Since the halves make up exactly the space, no cycle has
// to be walked, as in the general construction of Black and Rogaway, Ciphers
// with Arbitrary Finite Domains (CT-RSA 2002).
type permutation struct {
	block cipher.Block
	tweak []byte
	v     int         // digits of the second half; the first has as many or one fewer
	half  [2]*big.Int // how many values the first and the second half have
	// Bytes of the second half as a number, and of what a round adds.
	b, d  int
	fixed [aes.BlockSize]byte // P of the standard, enciphered
}

const rounds = 10

// newPermutation makes that of n digits, 2 to 255, in a radix of 2 to 65,536
// under a key of 16, 24 or 32 bytes. The space should have at least a million
// numbers (SP 800-38G Rev. 1).
func newPermutation(key, tweak []byte, base, n int) (*permutation, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	u := n / 2
	p := &permutation{block: block, tweak: tweak, v: n - u}
	p.half[0], p.half[1] = power(base, u), power(base, p.v)
	most := new(big.Int).Sub(p.half[1], big.NewInt(1))
	p.b = (most.BitLen() + 7) / 8
	p.d = 4*((p.b+3)/4) + 4
	p.fixed = [aes.BlockSize]byte{1, 2, 1, byte(base >> 16), byte(base >> 8), byte(base), rounds, byte(u)}
	binary.BigEndian.PutUint32(p.fixed[8:], uint32(n))
	binary.BigEndian.PutUint32(p.fixed[12:], uint32(len(tweak)))
	block.Encrypt(p.fixed[:], p.fixed[:])
	return p, nil
}

func power(base, n int) *big.Int {
	return new(big.Int).Exp(big.NewInt(int64(base)), big.NewInt(int64(n)), nil)
}

// apply gives the image of a number below half[0] × half[1].
func (p *permutation) apply(number *big.Int) *big.Int {
	a, b := new(big.Int).QuoRem(number, p.half[1], new(big.Int))
	q := make([]byte, (len(p.tweak)+1+p.b+aes.BlockSize-1)/aes.BlockSize*aes.BlockSize)
	copy(q, p.tweak)
	stream := make([]byte, (p.d+aes.BlockSize-1)/aes.BlockSize*aes.BlockSize)
	y := new(big.Int)
	for i := range rounds {
		q[len(q)-p.b-1] = byte(i)
		b.FillBytes(q[len(q)-p.b:])
		p.expand(stream, q)
		// c of the standard takes the place of a.
		a.Add(a, y.SetBytes(stream[:p.d]))
		a.Mod(a, p.half[i%2])
		a, b = b, a
	}
	return a.Mul(a, p.half[1]).Add(a, b)
}

// expand fills a stream of whole blocks: the first is the CBC-MAC of P and q,
// each other that one, its number added to it by XOR, enciphered.
func (p *permutation) expand(stream, q []byte) {
	r := p.fixed
	for len(q) > 0 {
		for i := range r {
			r[i] ^= q[i]
		}
		p.block.Encrypt(r[:], r[:])
		q = q[aes.BlockSize:]
	}
	copy(stream, r[:])
	for j := 1; j*aes.BlockSize < len(stream); j++ {
		s := r
		for i, by := range binary.BigEndian.AppendUint32(nil, uint32(j)) {
			s[aes.BlockSize-4+i] ^= by
		}
		p.block.Encrypt(stream[j*aes.BlockSize:], s[:])
	}
}
