package link

// PlainURL and ParseURL let a test compare the short cut with the parser.
var (
	PlainURL = plainURL
	ParseURL = parseURL
)
