package sqlite

// ClickQueries gives the statements that read the clicks of a link, an owner
// or all.
func ClickQueries(of string) []string {
	where := map[string]string{"link": ofLink, "owner": ofOwner, "all": ofAll}[of]
	return []string{selectClicks + where, selectClicks + where + newestFirst}
}

// SmallClicks is NewClicks with bounds that a test reaches soon.
func SmallClicks(db *DB) *Clicks {
	return &Clicks{db: db, blockSize: 10, texts: texts{most: 20}}
}
