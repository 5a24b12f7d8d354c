package sqlite

// The statements whose plans are tested.
const (
	TakeFromPool = takeFromPool
	CountPool    = countPool
	SweepTo      = sweepTo
	SweepPool    = sweepPool
)
