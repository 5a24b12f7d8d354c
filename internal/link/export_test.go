package link

import "math/big"

// PlainURL and ParseURL let a test compare the short cut with the parser.
var (
	PlainURL = plainURL
	ParseURL = parseURL
)

// InsertAtOnce is how many links are stored at once.
const InsertAtOnce = insertAtOnce

// NewPermutation lets a test compare with published answers.
var NewPermutation = newPermutation

// Apply is that of permutation.
func (p *permutation) Apply(n *big.Int) *big.Int { return p.apply(n) }
