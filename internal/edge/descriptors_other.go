//go:build !unix

package edge

import "math"

// maxConns is how many connections may be open: this system has no bound.
func maxConns() int { return math.MaxInt }
