package sqlite

// Write and Read let tests reach what the stores are built on.
var (
	Write    = (*DB).write
	WriteOne = (*DB).writeOne
	Read     = (*DB).read
	Scan     = (*DB).scan
)
