// Package export reads and writes files of links: those that kurz writes, and
// those that other shorteners give away.
//
// It guarantees constant memory for a file of any size; that what kurz wrote is
// read again without loss; that no cell of a CSV file is taken for a formula by
// a spreadsheet; and that a file which is not what it is said to be is refused
// with what was found and what is known. IP addresses of people that an export
// holds are never read. Start reading at Row, then Read and formats.go.
package export

import (
	"time"

	"kurz/internal/fault"
)

// Row is a link as a file has it: nothing is checked but the shape of numbers
// and times. Zero values are what the file does not say.
type Row struct {
	Number         int // of the row, from 1
	ShortCode      string
	Domain         string // host, with a port or not
	LongURL        string
	Alias          bool // the code was asked for
	Owner          string
	OwnerEmail     string
	Title          string
	Notes          string
	Tags           []string
	ContentID      string
	RedirectStatus int
	EdgeTTL        int // seconds
	ForwardQuery   bool
	ExpiredURL     string
	Clicks         int64
	CreatedAt      time.Time
	UpdatedAt      time.Time
	StartsAt       time.Time
	ExpiresAt      time.Time
	RevokedAt      time.Time
	Banned         bool // it leads nowhere, since when is not known
	// Lost names what the row has and kurz does not, such as a password.
	Lost []string
	// Err is why the row can't be read; then only Number and what was read up to
	// then are set.
	Err error
}

// Format says whose file it is.
type Format string

// The formats.
const (
	Kurz   Format = "kurz"   // CSV or JSON lines, as Writer writes them
	CSV    Format = "csv"    // with names that many use for columns
	Bitly  Format = "bitly"  // CSV of links, or JSON of its API
	YOURLS Format = "yourls" // SQL dump, CSV of the table, or JSON of its API
	Shlink Format = "shlink" // CSV of its web client, or JSON of its API
	Kutt   Format = "kutt"   // JSON of its API, or CSV with the same names
	Dub    Format = "dub"    // CSV of links, or JSON of its API
)

// Formats are all of them.
var Formats = []Format{Kurz, Bitly, YOURLS, Shlink, Kutt, Dub, CSV}

// ParseFormat reads a format's name; fault.ValidationFailed otherwise.
func ParseFormat(s string) (Format, error) {
	if _, ok := formats[Format(s)]; ok {
		return Format(s), nil
	}
	return "", fault.Invalid("from", "must be kurz, bitly, yourls, shlink, kutt, dub or csv")
}
