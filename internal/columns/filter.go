package columns

import (
	"cmp"
	"slices"

	"kurz/internal/click"
)

// Filter is what a query asks of single clicks, but for the link. It is for one
// goroutine.
type Filter struct {
	q      *click.Query
	groups [2]bool // whether people and others are asked for
	owner  bool
	texts  []textFilter

	selected []int32
	places   []uint16
	asked    []bool // by place
}

// textFilter is a click.Filter whose values are numbers.
type textFilter struct {
	column    int // of Chunk.columns
	dimension int // of click.Dimensions
	not       bool
	has       map[uint64]bool
}

// key gives what has knows a text of Counts by.
func (t *textFilter) key(text Text) uint64 {
	if t.column == classColumn {
		return uint64(NewClass(0, click.Trigger(text)))
	}
	return uint64(text)
}

// Names are the texts that a query names, by what they are called.
type Names map[string]Text

// NamesIn gives the texts that a query names, for a store to look up.
func NamesIn(q *click.Query) []string {
	names := []string{click.Direct, click.Unknown}
	for _, f := range q.Filters {
		names = append(names, f.Values...)
	}
	return names
}

// emptyName gives what the empty text is called in a dimension.
func emptyName(d click.Dimension) string {
	if d == click.ByReferrer {
		return click.Direct
	}
	return click.Unknown
}

// NewFilter makes a Filter. names holds those of NamesIn that the store knows.
func NewFilter(q *click.Query, names Names) *Filter {
	f := &Filter{q: q, owner: q.Owner != 0}
	f.groups = [2]bool{q.Kinds.Has(click.Human), q.Kinds.Has(click.Bot)}
	for _, filter := range q.Filters {
		t := textFilter{not: filter.Not, has: map[uint64]bool{}, column: classColumn, dimension: slices.Index(click.Dimensions[:], filter.Dimension)}
		if column, ok := textOf[filter.Dimension]; ok {
			t.column = textColumns + column
		}
		for _, value := range filter.Values {
			if t.column == classColumn {
				for class := range 256 {
					if Class(class).Trigger().String() == value {
						t.has[uint64(class)] = true
					}
				}
				continue
			}
			if value == emptyName(filter.Dimension) {
				t.has[0] = true
			}
			if id, ok := names[value]; ok && id != 0 {
				t.has[uint64(id)] = true
			}
		}
		f.texts = append(f.texts, t)
	}
	return f
}

// Plain reports whether rollups can answer: nothing is asked of clicks but
// their time and kind.
func (f *Filter) Plain() bool { return len(f.texts) == 0 }

// groupsAsked is 0 where people are asked for, 1 for others, 2 for both.
func (f *Filter) groupsAsked() int {
	switch f.groups {
	case [2]bool{true, false}:
		return 0
	case [2]bool{false, true}:
		return 1
	}
	return 2
}

// Select appends to dst the numbers of the clicks of a chunk, from one up to,
// but without, another, that the query asks for and that have an ID from first
// up to, but without, end.
func (f *Filter) Select(dst []int32, c *Chunk, from, to int, first, end click.ID) []int32 {
	f.selected = f.candidates(f.selected[:0], c, from, to, first, end)
	for _, i := range f.selected {
		if f.groups[c.Class(int(i)).people()] {
			dst = append(dst, i)
		}
	}
	return dst
}

// candidates is Select for clicks of every kind.
func (f *Filter) candidates(dst []int32, c *Chunk, from, to int, first, end click.ID) []int32 {
	start := len(dst)
	for i := from; i < to; i++ {
		dst = append(dst, int32(i))
	}
	if f.owner {
		owners := c.column(ownerColumn)
		dst = f.keep(dst, start, owners, from, to, func(v uint64) bool { return v == uint64(f.q.Owner) })
	}
	for n := range f.texts {
		t := &f.texts[n]
		dst = f.keep(dst, start, c.column(t.column), from, to, func(v uint64) bool { return t.has[v] != t.not })
	}
	if len(dst) == start {
		return dst
	}
	ids := c.id()
	if ids.within(uint64(first), uint64(end)) {
		return dst
	}
	kept := dst[:start]
	for _, i := range dst[start:] {
		if id := click.ID(ids.at(int(i))); id >= first && id < end {
			kept = append(kept, i)
		}
	}
	return kept
}

// keep leaves in list, from start on, the clicks whose value is asked for.
func (f *Filter) keep(list []int32, start int, column *coded, from, to int, asked func(uint64) bool) []int32 {
	if len(list) == start {
		return list
	}
	f.asked = f.asked[:0]
	some, all := false, true
	for _, v := range column.values {
		is := asked(v)
		f.asked = append(f.asked, is)
		some, all = some || is, all && is
	}
	switch {
	case !some:
		return list[:start]
	case all:
		return list
	}
	f.places = column.places(f.places, from, to)
	kept := list[:start]
	for _, i := range list[start:] {
		if f.asked[f.places[int(i)-from]] {
			kept = append(kept, i)
		}
	}
	return kept
}

// FirstID gives the lowest ID that a click at t, in milliseconds since 1970, can
// have. Times that IDs have no room for are the nearest that they have.
func FirstID(ms int64) click.ID {
	const mostMillis = 1<<42 - 1
	return click.ID(min(max(ms, 0), mostMillis) << idTimeShift)
}

const idTimeShift = 21

// millis gives the time of an ID, in milliseconds since 1970.
func millis(id click.ID) int64 { return int64(id) >> idTimeShift }

// Span gives the IDs of a query's time: from the first up to, but without, the
// second.
func Span(q *click.Query) (first, end click.ID) {
	ms := func(n int64, nanos int) int64 { return n + int64(cmp.Compare(nanos, 0)) }
	return FirstID(ms(q.From.UnixMilli(), q.From.Nanosecond()%1e6)), FirstID(ms(q.To.UnixMilli(), q.To.Nanosecond()%1e6))
}
