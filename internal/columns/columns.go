// Package columns packs clicks by column and counts reports from them: how a
// store that has no columns of its own keeps clicks small and reports fast.
//
// Clicks are kept in chunks (Encode, Chunk) of up to ChunkRows, sorted by link;
// texts are numbers of the store's own (Text). What is asked for often is
// counted in advance: a rollup has the clicks of one subject and day, by quarter
// of an hour and by dimension (Slots), and their visitors (Visitors); days and
// months (Total) sum them up. A Counter makes a click.Report of any mixture of
// chunks and rollups.
//
// It guarantees that a report from rollups is the one from single clicks, as
// far as its bounds are at quarters of an hour, but for the number of visitors
// above ExactVisitors, which is an estimate; and that no bytes make it panic.
// It knows no database. Start reading at Rows, Chunk, Slots, Counter.
package columns

import (
	"cmp"
	"errors"
	"slices"

	"kurz/internal/account"
	"kurz/internal/click"
	"kurz/internal/link"
)

// Text is the number under which a store keeps a text; 0 is the empty text.
type Text uint32

// The texts of a click, in the order of Rows.Texts and Texts.
const (
	Country = iota
	Region
	City
	ReferrerHost
	Browser
	OS
	Device
	Language
	UTMSource
	UTMMedium
	UTMCampaign
	Referrer
	UTMTerm
	UTMContent
	TextCount
)

// Texts gives the texts of an event, in that order.
func Texts(e *click.Event) [TextCount]*string {
	return [TextCount]*string{
		&e.Country, &e.Region, &e.City, &e.ReferrerHost, &e.Browser, &e.OS, &e.Device, &e.Language,
		&e.UTMSource, &e.UTMMedium, &e.UTMCampaign, &e.Referrer, &e.UTMTerm, &e.UTMContent,
	}
}

// textOf gives the column of a dimension; ByTrigger has none.
var textOf = map[click.Dimension]int{
	click.ByReferrer: ReferrerHost, click.ByCountry: Country, click.ByRegion: Region, click.ByCity: City,
	click.ByDevice: Device, click.ByBrowser: Browser, click.ByOS: OS, click.ByLanguage: Language,
	click.BySource: UTMSource, click.ByMedium: UTMMedium, click.ByCampaign: UTMCampaign,
}

// dimensions is how many dimensions a report has; the last is ByTrigger.
const dimensions = len(click.Dimensions)

// columnOf is textOf by the place of a dimension in click.Dimensions; -1 is the
// class, which stands before the texts.
var columnOf = func() (columns [dimensions]int) {
	for i, d := range click.Dimensions {
		column, ok := textOf[d]
		if !ok {
			column = -1
		}
		columns[i] = column
	}
	return columns
}()

// Class is the kind and the trigger of a click in one byte.
type Class uint8

// NewClass makes a class.
func NewClass(k click.Kind, t click.Trigger) Class { return Class(k)&0xf | Class(t)<<4 }

// Kind gives the kind.
func (c Class) Kind() click.Kind { return click.Kind(c & 0xf) }

// Trigger gives the trigger.
func (c Class) Trigger() click.Trigger { return click.Trigger(c >> 4) }

// people is 0 for a person's click and 1 for all others: what rollups keep
// apart.
func (c Class) people() int {
	if c.Kind() == click.Human {
		return 0
	}
	return 1
}

// Rows are clicks by column: the i-th click is the i-th of each.
type Rows struct {
	IDs      []click.ID
	Links    []link.ID
	Owners   []account.ID
	Classes  []Class
	Visitors []uint64
	Texts    [TextCount][]Text
	breathe  func()
}

// NewRows gives no clicks. What takes long over them calls breathe, unless that is
// nil, several times in a millisecond.
func NewRows(breathe func()) *Rows { return &Rows{breathe: breathe} }

// Breathe calls what NewRows was given.
func (r *Rows) Breathe() {
	if r.breathe != nil {
		r.breathe()
	}
}

// Len gives the number of clicks.
func (r *Rows) Len() int { return len(r.IDs) }

// Add appends a click; its texts are given by their numbers.
func (r *Rows) Add(e *click.Event, texts [TextCount]Text) {
	r.IDs = append(r.IDs, e.ID)
	r.Links = append(r.Links, e.Link)
	r.Owners = append(r.Owners, e.Owner)
	r.Classes = append(r.Classes, NewClass(e.Kind, e.Trigger))
	r.Visitors = append(r.Visitors, e.Visitor)
	for i := range r.Texts {
		r.Texts[i] = append(r.Texts[i], texts[i])
	}
}

// AddRow appends the i-th click of others.
func (r *Rows) AddRow(of *Rows, i int) {
	r.IDs = append(r.IDs, of.IDs[i])
	r.Links = append(r.Links, of.Links[i])
	r.Owners = append(r.Owners, of.Owners[i])
	r.Classes = append(r.Classes, of.Classes[i])
	r.Visitors = append(r.Visitors, of.Visitors[i])
	for t := range r.Texts {
		r.Texts[t] = append(r.Texts[t], of.Texts[t][i])
	}
}

// Event gives a click but for its texts.
func (r *Rows) Event(i int) click.Event {
	return click.Event{
		ID: r.IDs[i], Time: r.IDs[i].Time(), Link: r.Links[i], Owner: r.Owners[i],
		Kind: r.Classes[i].Kind(), Trigger: r.Classes[i].Trigger(), Visitor: r.Visitors[i],
	}
}

// Grow makes room for n more clicks.
func (r *Rows) Grow(n int) {
	r.IDs = slices.Grow(r.IDs, n)
	r.Links = slices.Grow(r.Links, n)
	r.Owners = slices.Grow(r.Owners, n)
	r.Classes = slices.Grow(r.Classes, n)
	r.Visitors = slices.Grow(r.Visitors, n)
	for i := range r.Texts {
		r.Breathe()
		r.Texts[i] = slices.Grow(r.Texts[i], n)
	}
}

// Order gives the numbers of all rows, sorted by link and ID, which is the
// order of chunks.
func (r *Rows) Order() []int32 { return order(r, r.Links, nil) }

// ByOwner gives the numbers of some rows, sorted by owner and ID, which is the
// order of sheets.
func (r *Rows) ByOwner(some []int32) []int32 { return order(r, r.Owners, some) }

// breathCompares take some 50 µs.
const breathCompares = 1 << 12

// order gives the numbers of some rows, nil for all, sorted by a column, then
// by ID.
func order[T ~int64](r *Rows, column []T, some []int32) []int32 {
	type key struct {
		value T
		id    click.ID
		row   int32
	}
	n := r.Len()
	if some != nil {
		n = len(some)
	}
	keys := make([]key, n)
	for i := range keys {
		row := int32(i)
		if some != nil {
			row = some[i]
		}
		keys[i] = key{column[row], r.IDs[row], row}
	}
	compared := 0
	slices.SortFunc(keys, func(a, b key) int {
		if compared++; compared%breathCompares == 0 {
			r.Breathe()
		}
		if a.value != b.value {
			return cmp.Compare(a.value, b.value)
		}
		return cmp.Compare(a.id, b.id)
	})
	rows := make([]int32, len(keys))
	for i := range keys {
		rows[i] = keys[i].row
	}
	return rows
}

// ErrDamaged is the error of bytes that this package did not write.
var ErrDamaged = errors.New("packed clicks are damaged")
