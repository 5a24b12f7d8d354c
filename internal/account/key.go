package account

import (
	"crypto/sha256"
	"crypto/subtle"
	"hash/crc32"
	"io"
	"strings"
)

// Secret is an API key as its owner has it: "kurz_", 32 characters of base 62
// drawn from a secure source (190 bits), and 6 of checksum, so that a mistyped
// or made-up key is refused without a look into the store.
type Secret string

// Hash is the SHA-256 of a Secret: what is stored of it.
type Hash [sha256.Size]byte

const (
	secretPrefix = "kurz_"
	secretRandom = 32
	secretCheck  = 6
	secretLen    = len(secretPrefix) + secretRandom + secretCheck
	hintLen      = len(secretPrefix) + 4

	base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// NewSecret draws a secret from rand.
func NewSecret(rand io.Reader) (Secret, error) {
	random, err := randomBase62(rand, secretRandom)
	if err != nil {
		return "", err
	}
	return Secret(secretPrefix + random + checksum(random)), nil
}

// NewKeyID draws the ID of a key from rand.
func NewKeyID(rand io.Reader) (KeyID, error) {
	s, err := randomBase62(rand, 16)
	return KeyID("key_" + s), err
}

// ParseSecret checks the shape and checksum of what a client sent. A false
// result says that no key can have this secret.
func ParseSecret(s string) (Secret, bool) {
	if len(s) != secretLen || !strings.HasPrefix(s, secretPrefix) {
		return "", false
	}
	random := s[len(secretPrefix) : len(s)-secretCheck]
	want := checksum(random)
	if subtle.ConstantTimeCompare([]byte(s[len(s)-secretCheck:]), []byte(want)) != 1 {
		return "", false
	}
	return Secret(s), true
}

// Hash gives what is stored of the secret.
func (s Secret) Hash() Hash { return sha256.Sum256([]byte(s)) }

// Hint gives the first characters, by which people tell their keys apart.
func (s Secret) Hint() string { return string(s[:min(hintLen, len(s))]) + "…" }

// Reveal gives the secret itself, for the one time that it is shown.
func (s Secret) Reveal() string { return string(s) }

// String hides the secret, so that it can't reach a log by accident.
func (s Secret) String() string { return s.Hint() }

// GoString hides the secret under %#v too.
func (s Secret) GoString() string { return s.Hint() }

func checksum(s string) string {
	sum := crc32.ChecksumIEEE([]byte(s))
	var out [secretCheck]byte
	for i := range out {
		out[i] = base62[sum%62]
		sum /= 62
	}
	return string(out[:])
}

// randomBase62 draws n unbiased characters: bytes of 248 and more, the part of
// a byte's range that 62 does not divide, are drawn again.
func randomBase62(rand io.Reader, n int) (string, error) {
	out := make([]byte, 0, n)
	buf := make([]byte, n+n/8+4)
	for len(out) < n {
		if _, err := io.ReadFull(rand, buf); err != nil {
			return "", err
		}
		for _, b := range buf {
			if b < 248 && len(out) < n {
				out = append(out, base62[b%62])
			}
		}
	}
	return string(out), nil
}
