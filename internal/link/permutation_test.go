package link_test

import (
	"encoding/hex"
	"math/big"
	"strings"
	"testing"

	"kurz/internal/link"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestPermutationKnownAnswers are the samples of NIST for FF1 (Cryptographic
// Standards and Guidelines, examples with intermediate values).
func TestPermutationKnownAnswers(t *testing.T) {
	const (
		aes128 = "2B7E151628AED2A6ABF7158809CF4F3C"
		aes192 = aes128 + "EF4359D8D580AA4F"
		aes256 = aes192 + "7F036D6F04FC6A94"
		digits = "0123456789"
		tweak  = "39383736353433323130"
		long   = "0123456789abcdefghi"
		tweak3 = "3737373770717273373737"
	)
	for name, c := range map[string]struct {
		key, tweak string
		radix      int
		in, out    string
	}{
		"sample 1": {aes128, "", 10, digits, "2433477484"},
		"sample 2": {aes128, tweak, 10, digits, "6124200773"},
		"sample 3": {aes128, tweak3, 36, long, "a9tv40mll9kdu509eum"},
		"sample 4": {aes192, "", 10, digits, "2830668132"},
		"sample 5": {aes192, tweak, 10, digits, "2496655549"},
		"sample 6": {aes192, tweak3, 36, long, "xbj3kv35jrawxv32ysr"},
		"sample 7": {aes256, "", 10, digits, "6657667009"},
		"sample 8": {aes256, tweak, 10, digits, "1001623463"},
		"sample 9": {aes256, tweak3, 36, long, "xs8a0azh2avyalyzuwd"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := link.NewPermutation(unhex(t, c.key), unhex(t, c.tweak), c.radix, len(c.in))
			if err != nil {
				t.Fatal(err)
			}
			in, ok := new(big.Int).SetString(c.in, c.radix)
			if !ok {
				t.Fatal(c.in)
			}
			got := p.Apply(in).Text(c.radix)
			if got = strings.Repeat("0", max(0, len(c.in)-len(got))) + got; got != c.out {
				t.Errorf("%s, want %s", got, c.out)
			}
		})
	}
}

// TestPermutationIsABijection goes through whole spaces.
func TestPermutationIsABijection(t *testing.T) {
	key := make([]byte, 32)
	for _, c := range []struct{ radix, n int }{{2, 2}, {2, 9}, {10, 3}, {36, 3}, {62, 2}, {62, 3}} {
		p, err := link.NewPermutation(key, nil, c.radix, c.n)
		if err != nil {
			t.Fatal(err)
		}
		size := 1
		for range c.n {
			size *= c.radix
		}
		seen := make([]bool, size)
		for i := range size {
			image := int(p.Apply(big.NewInt(int64(i))).Int64())
			if image < 0 || image >= size || seen[image] {
				t.Fatalf("radix %d, %d digits: %d has the image %d", c.radix, c.n, i, image)
			}
			seen[image] = true
		}
	}
	if _, err := link.NewPermutation(make([]byte, 5), nil, 62, 7); err == nil {
		t.Error("a key of 5 bytes was taken")
	}
}
