package sqlite

// SmallClicks is NewClicks with sizes that a test reaches soon.
func SmallClicks(db *DB) *Clicks {
	return &Clicks{db: db, texts: texts{most: 20}, sizes: sizes{merge: 2, roll: 40, join: 2, busy: 30}}
}

// SizedClicks is NewClicks that rolls up when so many clicks wait, and makes
// rollups of links with so many.
func SizedClicks(db *DB, roll, busy int64) *Clicks {
	c := NewClicks(db)
	c.sizes.roll, c.sizes.busy = roll, busy
	return c
}
