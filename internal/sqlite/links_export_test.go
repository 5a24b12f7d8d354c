package sqlite

import (
	"kurz/internal/link"
)

// The statements on links whose plans matter.
const (
	SelectRoute         = selectRoute
	SelectByKey         = selectByKey
	SelectByOperation   = selectByOperation
	SelectByDestination = selectByDestination
	SelectByContent     = selectByContent
	SelectByNoContent   = selectByNoContent
	SelectTwin          = selectTwin
	SelectKeyOfID       = selectKeyOfID
	SelectChanges       = selectChanges
	SelectKeys          = selectKeys
	ListUsers           = listUsers
	SelectKey           = selectKey
	ListKeys            = listKeys
)

// PageSQL gives the statement for a query.
func PageSQL(q link.Query) string {
	sql, _ := pageQuery(&q)
	return sql
}

// MatchKeys gives the stored hashes of a link.
var MatchKeys = matchKeys

// IndexEarly makes a store index links as soon as there are a few, in small
// segments.
func IndexEarly(s *Links, from, docs int) {
	s.index.tailFrom, s.index.looseFrom, s.index.docs = from, from, docs
}
