package sqlite

// SmallClicks is NewClicks with sizes that a test reaches soon.
func SmallClicks(db *DB) *Clicks {
	return &Clicks{db: db, texts: texts{most: 20}, sizes: sizes{merge: 2, roll: 40, busy: 30}}
}
