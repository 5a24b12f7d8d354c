// Package click is what a visit leaves behind: the event, the recorder that
// notes it before the redirect is answered, the pump that brings it from the
// log into statistics, and the reports told from them.
//
// It guarantees that a click in the Log is counted exactly once, whatever
// crashes: the log's position is stored with what was counted, in one step.
// And it guarantees that no address of a visitor leaves the Recorder: country
// and visitor hash are derived in memory, and no type behind it has room for an
// address. Start reading at Visit, then Recorder, Pump, Event, Report.
package click

import (
	"time"

	"kurz/internal/account"
	"kurz/internal/link"
)

// Kind says who or what followed a link.
type Kind uint8

// The kinds. Only Human counts in headline numbers.
const (
	Human    Kind = iota + 1
	Bot           // a crawler or a script
	Preview       // a chat or mail program making a preview
	Prefetch      // a browser loading ahead
	Head          // a HEAD request
)

// Trigger says how the link was reached.
type Trigger uint8

// The triggers; 0 where nobody looked.
const (
	ByLink Trigger = iota + 1
	ByQR           // scanned: "qr=1" in the request's query
)

// ID names a click: 42 bits of milliseconds since 1970, then the low 21 bits
// of its sequence in the log. IDs grow with time.
type ID int64

// NewID gives the ID of the click with this time and sequence.
func NewID(t time.Time, sequence uint64) ID {
	return ID(t.UnixMilli()<<idTimeShift | int64(sequence&(1<<idTimeShift-1)))
}

const idTimeShift = 21

// Next gives the ID to try when another click has this one: the next of its
// millisecond, after the last the first.
func (id ID) Next() ID {
	const low = 1<<idTimeShift - 1
	return id&^low | (id+1)&low
}

// Time gives the click's time, to the millisecond.
func (id ID) Time() time.Time { return time.UnixMilli(int64(id) >> idTimeShift).UTC() }

// Event is a click as it is kept. Text that is not known is "".
type Event struct {
	ID       ID
	Sequence uint64 // in the log it came from; not kept
	Time     time.Time
	Link     link.ID
	Owner    account.ID // of the link; 0: nobody
	Kind     Kind
	Trigger  Trigger
	// Visitor tells visitors apart within a rotation period; 0: not kept.
	Visitor uint64
	Details
}

// Details are what a visitor's request tells of them, besides the visitor hash.
type Details struct {
	Country  string // ISO 3166-1 alpha-2, upper case
	Region   string
	City     string
	Referrer string // the address without query and fragment
	// ReferrerHost is without "www."; "" is a direct visit.
	ReferrerHost string
	Browser      string
	OS           string
	Device       string // one of Devices
	Language     string // BCP 47 primary subtag, lower case
	UTMSource    string
	UTMMedium    string
	UTMCampaign  string
	UTMTerm      string
	UTMContent   string
}

// Devices are the classes of devices. A program has the last, whatever it
// pretends to run on.
var Devices = [...]string{"mobile", "tablet", "desktop", "tv", "console", "bot"}

// String gives the kind's name in the API.
func (k Kind) String() string { return nameOf(kindNames[:], int(k)) }

// String gives the trigger's name in the API.
func (t Trigger) String() string { return nameOf(triggerNames[:], int(t)) }

var (
	kindNames    = [...]string{"unknown", "human", "bot", "preview", "prefetch", "head"}
	triggerNames = [...]string{"unknown", "link", "qr"}
)

func nameOf(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return names[0]
}
