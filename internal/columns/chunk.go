package columns

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"sort"

	"kurz/internal/account"
	"kurz/internal/click"
	"kurz/internal/link"
)

// ChunkRows is the most clicks of a chunk: few enough for one link's to be read
// at once, many enough for numbers of texts to be worth a dictionary.
const ChunkRows = 1 << placeBits

// placeBits are enough for every place in a chunk's dictionary.
const placeBits = 11

// A chunk is, one after the other: the version, the number of clicks, and the
// columns, each with its length before it. The links, which are sorted, are
// runs: how many, then of each the distance from the one before and the length.
// IDs and visitors are packed numbers above their least: that, how many zeros
// they all end with, the width, the numbers without those. All other columns have a dictionary: its length, sorted distances,
// the width of a place in it, places.
const chunkVersion = 1

const (
	linkColumn = iota
	idColumn
	visitorColumn
	ownerColumn
	classColumn
	textColumns
	columnCount = textColumns + TextCount
)

// Encoder makes chunks. The zero Encoder is ready; it is for one goroutine.
type Encoder struct {
	d    dictionary
	b    []byte
	rare []byte
}

// Append appends to dst the chunk of some rows, at most ChunkRows, which are in
// the order of Rows.Order.
func (e *Encoder) Append(dst []byte, r *Rows, rows []int32) []byte {
	r.Breathe()
	n := len(rows)
	dst = append(dst, chunkVersion)
	dst = binary.AppendUvarint(dst, uint64(n))
	b, d := e.b[:0], &e.d
	column := func() {
		dst = binary.AppendUvarint(dst, uint64(len(b)))
		dst = append(dst, b...)
		b = b[:0]
	}
	b = appendRuns(b, n, func(i int) link.ID { return r.Links[rows[i]] })
	column()
	b = appendAbove(b, n, func(i int) uint64 { return uint64(r.IDs[rows[i]]) })
	column()
	b = appendAbove(b, n, func(i int) uint64 { return r.Visitors[rows[i]] })
	column()
	b = d.append(b, n, func(i int) uint64 { return uint64(r.Owners[rows[i]]) })
	column()
	b = d.append(b, n, func(i int) uint64 { return uint64(r.Classes[rows[i]]) })
	column()
	for i, texts := range r.Texts {
		if i%4 == 0 {
			r.Breathe()
		}
		b = d.append(b, n, func(i int) uint64 { return uint64(texts[rows[i]]) })
		column()
	}
	e.b = b
	return append(dst, make([]byte, padding)...)
}

func appendAbove(dst []byte, n int, at func(i int) uint64) []byte {
	var least, most uint64
	for i := range n {
		v := at(i)
		if i == 0 || v < least {
			least = v
		}
		most = max(most, v)
	}
	zeros := 0
	if most > least {
		differ := uint64(0)
		for i := range n {
			differ |= at(i) - least
		}
		zeros = bits.TrailingZeros64(differ)
	}
	width := widthOf((most - least) >> zeros)
	dst = binary.AppendUvarint(dst, least)
	dst = append(dst, byte(zeros), byte(width))
	return appendPacked(dst, width, n, func(i int) uint64 { return (at(i) - least) >> zeros })
}

// dictionary is scratch space for columns that have one.
type dictionary struct {
	values []uint64
	// places are by value, a page at a time: one more than the place in values,
	// 0 for none. Those of values that no page is for are in large.
	pages [][]uint16
	large map[uint64]uint16
}

// place gives where to note the place of a value.
func (d *dictionary) place(v uint64) *uint16 {
	page := v >> pageBits
	if page >= uint64(len(d.pages)) {
		d.pages = append(d.pages, make([][]uint16, page+1-uint64(len(d.pages)))...)
	}
	if d.pages[page] == nil {
		d.pages[page] = make([]uint16, 1<<pageBits)
	}
	return &d.pages[page][v&(1<<pageBits-1)]
}

// note adds a value, unless it is there.
func (d *dictionary) note(v uint64) {
	if v>>pageBits < mostPages {
		if at := d.place(v); *at == 0 {
			*at = 1
			d.values = append(d.values, v)
		}
		return
	}
	if d.large == nil {
		d.large = map[uint64]uint16{}
	}
	if _, ok := d.large[v]; !ok {
		d.large[v] = 0
		d.values = append(d.values, v)
	}
}

func (d *dictionary) append(dst []byte, n int, at func(i int) uint64) []byte {
	d.values = d.values[:0]
	for i := range n {
		d.note(at(i))
	}
	slices.Sort(d.values)
	dst = binary.AppendUvarint(dst, uint64(len(d.values)))
	before := uint64(0)
	for place, v := range d.values {
		if v>>pageBits < mostPages {
			*d.place(v) = uint16(place + 1)
		} else {
			d.large[v] = uint16(place + 1)
		}
		dst = binary.AppendUvarint(dst, v-before)
		before = v
	}
	width := 0
	if len(d.values) > 1 {
		width = widthOf(uint64(len(d.values) - 1))
	}
	dst = append(dst, byte(width))
	dst = appendPacked(dst, width, n, func(i int) uint64 {
		v := at(i)
		if page := v >> pageBits; page < mostPages {
			return uint64(d.pages[page][v&(1<<pageBits-1)] - 1)
		}
		return uint64(d.large[v] - 1)
	})
	for _, v := range d.values {
		if v>>pageBits < mostPages {
			*d.place(v) = 0
		}
	}
	clear(d.large)
	return dst
}

// Chunk gives access to the columns of a chunk. A column is read when it is
// asked for; one that is damaged has zeros, and makes Err not nil. A Chunk is for
// one goroutine.
type Chunk struct {
	rows     int
	raw      [columnCount][]byte // each with padding behind it
	opened   [columnCount]bool
	damaged  bool
	links    []link.ID // of the runs
	starts   []int     // of the runs, and at last rows
	ids      above
	visitors above
	columns  [columnCount]coded // from ownerColumn on
}

// Open reads the outline of a chunk, which keeps b.
func (c *Chunk) Open(b []byte) error {
	c.rows, c.opened, c.damaged = 0, [columnCount]bool{}, false
	if len(b) < 2+padding || b[0] != chunkVersion {
		return ErrDamaged
	}
	whole := reader{b: b[1 : len(b)-padding]}
	rows := whole.number(ChunkRows)
	for i := range c.raw {
		n := whole.number(len(whole.b))
		at := len(b) - padding - len(whole.b)
		if whole.take(n); whole.bad {
			return ErrDamaged
		}
		c.raw[i] = b[at : at+n+padding]
	}
	c.rows = rows
	return whole.err()
}

// Err tells whether a column that was asked for is damaged.
func (c *Chunk) Err() error {
	if c.damaged {
		return ErrDamaged
	}
	return nil
}

// begin gives a reader of a column that was not asked for before.
func (c *Chunk) begin(column int) (r reader, ok bool) {
	if c.opened[column] {
		return r, false
	}
	c.opened[column] = true
	raw := c.raw[column]
	return reader{b: raw[:len(raw)-padding]}, true
}

// runs reads the links.
func (c *Chunk) runs() {
	if r, ok := c.begin(linkColumn); ok {
		c.links, c.starts, ok = readRuns(r, c.rows, ChunkRows, c.links, c.starts)
		c.damaged = !ok || c.damaged
	}
}

// number gives a column of packed numbers.
func (c *Chunk) number(column int, a *above) *above {
	if r, ok := c.begin(column); ok {
		c.damaged = !a.open(c.raw[column], r, c.rows) || c.damaged
	}
	return a
}

func (c *Chunk) id() *above      { return c.number(idColumn, &c.ids) }
func (c *Chunk) visitor() *above { return c.number(visitorColumn, &c.visitors) }

// column gives a column with a dictionary.
func (c *Chunk) column(i int) *coded {
	column := &c.columns[i]
	if r, ok := c.begin(i); ok {
		c.damaged = !column.open(c.raw[i], r, c.rows, placeBits) || c.damaged
	}
	return column
}

// Len gives the number of clicks.
func (c *Chunk) Len() int { return c.rows }

// Find gives the clicks of a link: from the first number up to, but without,
// the second.
func (c *Chunk) Find(id link.ID) (from, to int) {
	c.runs()
	i := sort.Search(len(c.links), func(i int) bool { return c.links[i] >= id })
	if i == len(c.links) || c.links[i] != id {
		return 0, 0
	}
	return c.starts[i], c.starts[i+1]
}

// EachLink calls fn with the clicks of each link.
func (c *Chunk) EachLink(fn func(id link.ID, from, to int)) {
	c.runs()
	for i, id := range c.links {
		fn(id, c.starts[i], c.starts[i+1])
	}
}

// ID gives the ID of a click.
func (c *Chunk) ID(i int) click.ID { return click.ID(c.id().at(i)) }

// Class gives the class of a click.
func (c *Chunk) Class(i int) Class {
	column := c.column(classColumn)
	return Class(column.values[column.at(i)])
}

// Append appends to r the clicks from a number up to, but without, another.
func (c *Chunk) Append(r *Rows, from, to int) {
	r.Breathe()
	c.runs()
	for run := range c.links {
		for range min(to, c.starts[run+1]) - max(from, c.starts[run]) {
			r.Links = append(r.Links, c.links[run])
		}
	}
	owners, classes := c.column(ownerColumn), c.column(classColumn)
	ids, visitors := c.id(), c.visitor()
	for i := from; i < to; i++ {
		r.IDs = append(r.IDs, click.ID(ids.at(i)))
		r.Visitors = append(r.Visitors, visitors.at(i))
		r.Owners = append(r.Owners, account.ID(owners.values[owners.at(i)]))
		r.Classes = append(r.Classes, Class(classes.values[classes.at(i)]))
	}
	for t := range r.Texts {
		column := c.column(textColumns + t)
		texts := r.Texts[t]
		if column.width == 0 {
			for range to - from {
				texts = append(texts, Text(column.values[0]))
			}
		} else {
			for i := from; i < to; i++ {
				texts = append(texts, Text(column.values[column.at(i)]))
			}
		}
		r.Texts[t] = texts
	}
}

// EachText calls fn with every text that the chunk names.
func (c *Chunk) EachText(fn func(Text)) {
	for i := textColumns; i < columnCount; i++ {
		for _, v := range c.column(i).values {
			fn(Text(v))
		}
	}
}
