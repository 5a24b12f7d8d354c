package sqlite

// ClickQueries gives the statements that read the clicks of a link, an owner
// or all.
func ClickQueries(of string) []string {
	where := map[string]string{"link": ofLink, "owner": ofOwner, "all": ofAll}[of]
	return []string{selectClicks + where, selectClicks + where + newestFirst}
}
