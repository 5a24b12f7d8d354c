package columns

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"kurz/internal/click"
)

// Counter makes a report of chunks and rollups. It is for one goroutine.
type Counter struct {
	q      click.Query
	filter *Filter
	names  Names
	line   *click.Timeline

	bots     int64
	last     *atomic.Int64 // when the last click was that others may have counted, too; in milliseconds since 1970
	slots    counter       // clicks by slot
	texts    [dimensions]counter
	visitors Visitors // but for those that are in buckets alone
	gathered bool
	buckets  map[int64]*Visitors // by what Timeline.Bucket gives
	bySlot   [][]*Visitors       // the same by slot, a page at a time
	stretch  struct{ key, start, end int64 }

	scratch  Visitors
	selected []int32
	rest     []int32 // what is not selected
	places   []uint16
	counts   [2][SheetRows]uint32
	sheet    sheetScratch
}

// NewCounter begins a report. names holds those of NamesIn that the store knows.
func NewCounter(q click.Query, names Names) *Counter {
	if q.Zone == nil {
		q.Zone = time.UTC
	}
	c := &Counter{q: q, names: names, line: click.NewTimeline(q), last: &atomic.Int64{}, buckets: map[int64]*Visitors{}}
	c.filter = NewFilter(&c.q, names)
	return c
}

// Fork gives a Counter for another goroutine, which is to be joined.
func (c *Counter) Fork() *Counter {
	o := NewCounter(c.q, c.names)
	o.last = c.last
	return o
}

// Join counts what another counted: of chunks and sheets, or of rollups before
// what Split gave. The other one is then of no use any more.
func (c *Counter) Join(o *Counter) {
	c.bots += o.bots
	c.visitors.Merge(&o.visitors)
	for _, s := range o.slots.take() {
		c.slots.add(s.text, s.n)
	}
	for d := range c.texts {
		for _, v := range o.texts[d].take() {
			c.texts[d].add(v.text, v.n)
		}
	}
	for key, v := range o.buckets {
		if mine := c.buckets[key]; mine != nil {
			if mine.empty() {
				mine.closed = v.closed
			}
			mine.Merge(v)
		} else {
			c.buckets[key] = v
		}
	}
}

// gather counts visitors that are in buckets alone.
func (c *Counter) gather() {
	if c.gathered {
		return
	}
	c.gathered = true
	for _, v := range c.buckets {
		c.visitors.Merge(v)
	}
}

// saw notes when a click was.
func (c *Counter) saw(ms int64) {
	for {
		last := c.last.Load()
		if ms <= last || c.last.CompareAndSwap(last, ms) {
			return
		}
	}
}

// Plain reports whether rollups can answer.
func (c *Counter) Plain() bool { return c.filter.Plain() }

// bucket gives the visitors of the bucket that a slot is in.
func (c *Counter) bucket(slot int64) *Visitors {
	page := int(slot >> pageBits)
	if page >= len(c.bySlot) {
		c.bySlot = append(c.bySlot, make([][]*Visitors, page+1-len(c.bySlot))...)
	}
	if c.bySlot[page] == nil {
		c.bySlot[page] = make([]*Visitors, 1<<pageBits)
	}
	at := &c.bySlot[page][slot&(1<<pageBits-1)]
	if *at == nil {
		*at = c.bucketOf(slot)
	}
	return *at
}

func (c *Counter) bucketOf(slot int64) *Visitors {
	key := c.key(slot)
	v := c.buckets[key]
	if v == nil {
		v = &Visitors{}
		c.buckets[key] = v
	}
	return v
}

// key names the bucket that a slot is in.
func (c *Counter) key(slot int64) int64 {
	at := slot * (SlotLength / 1000)
	if s := &c.stretch; at < s.start || at >= s.end {
		s.key, s.start, s.end = c.line.Bucket(at)
	}
	return c.stretch.key
}

// AddChunk counts those clicks of a chunk, from one up to, but without,
// another, that the query asks for and that have an ID from first up to, but
// without, end.
func (c *Counter) AddChunk(chunk *Chunk, from, to int, first, end click.ID) {
	c.selected = c.filter.candidates(c.selected[:0], chunk, from, to, first, end)
	if len(c.selected) == 0 {
		return
	}
	c.unpack(chunk, from, to)
	classes := chunk.column(classColumn)
	selected, last := c.selected[:0], int64(0)
	// Clicks of one link are in order of time: many have the slot before.
	slot, clicks, bucket := int64(-1), int64(0), (*Visitors)(nil)
	for i, row := range c.selected {
		group := Class(classes.values[classes.at(int(row))]).people()
		c.bots += int64(group)
		if !c.filter.groups[group] {
			continue
		}
		selected = append(selected, row)
		ms := millis(click.ID(c.sheet.ids[i]))
		last = max(last, ms)
		if ms < slot*SlotLength || ms >= (slot+1)*SlotLength {
			c.addClicks(slot, clicks)
			slot, clicks = SlotOf(ms), 0
			bucket = c.bucket(slot)
		}
		clicks++
		bucket.Add(c.sheet.hashes[i])
	}
	c.addClicks(slot, clicks)
	if c.selected = selected; len(selected) == 0 {
		return
	}
	c.saw(last)
	c.rest = others(c.rest[:0], c.selected, from, to)
	for d, column := range columnOf {
		c.countColumn(&c.texts[d], chunk.column(textColumns+column), column < 0, from, to, 1)
	}
}

// unpack gives the IDs and visitors of the selected clicks.
func (c *Counter) unpack(chunk *Chunk, from, to int) {
	ids, visitors, sheet := chunk.id(), chunk.visitor(), &c.sheet
	if len(c.selected) >= (to-from)/8 {
		sheet.ids, sheet.hashes = ids.numbers(sheet.ids, from, to), visitors.numbers(sheet.hashes, from, to)
		for i, row := range c.selected {
			at := int(row) - from // which is never before i
			sheet.ids[i], sheet.hashes[i] = sheet.ids[at], sheet.hashes[at]
		}
		return
	}
	sheet.ids, sheet.hashes = grown(sheet.ids, len(c.selected)), grown(sheet.hashes, len(c.selected))
	for i, row := range c.selected {
		sheet.ids[i], sheet.hashes[i] = ids.at(int(row)), visitors.at(int(row))
	}
}

func (c *Counter) addClicks(slot, n int64) {
	if n != 0 {
		c.slots.add(Text(slot), n)
	}
}

// others appends the numbers from one up to, but without, another that are not
// among some.
func others(dst, some []int32, from, to int) []int32 {
	next := int32(from)
	for _, i := range some {
		for ; next < i; next++ {
			dst = append(dst, next)
		}
		next = i + 1
	}
	for ; next < int32(to); next++ {
		dst = append(dst, next)
	}
	return dst
}

// countColumn counts the selected clicks, of those from one up to, but without,
// another, by a column: each so many times. rest has the other ones.
func (c *Counter) countColumn(texts *counter, column *coded, class bool, from, to int, times int64) {
	text := func(value uint64) Text {
		if class {
			return Text(Class(value).Trigger())
		}
		return Text(value)
	}
	switch n := len(c.selected); {
	case column.width == 0:
		texts.add(text(column.values[0]), times*int64(n))
		return
	case n < (to-from)/8:
		for _, i := range c.selected {
			texts.add(text(column.values[column.at(int(i))]), times)
		}
		return
	case n >= (to-from)/4*3:
		even, odd := &c.counts[0], &c.counts[1]
		column.count(even, odd, from, to)
		for _, i := range c.rest {
			even[column.at(int(i))&(SheetRows-1)]-- // below 0, the two add up all the same
		}
	default:
		c.places = column.places(c.places, from, to)
		for i, row := range c.selected {
			c.places[i] = c.places[int(row)-from] // which is never before
		}
		c.countPlaces(c.places[:n])
	}
	for place, value := range column.values {
		if n := c.counts[0][place] + c.counts[1][place]; n > 0 {
			texts.add(text(value), times*int64(n))
			c.counts[0][place], c.counts[1][place] = 0, 0
		}
	}
}

// countPlaces counts places, two at a time, since equal neighbours would wait for
// one another.
func (c *Counter) countPlaces(places []uint16) {
	even, odd := &c.counts[0], &c.counts[1]
	for ; len(places) >= 2; places = places[2:] {
		even[places[0]&(SheetRows-1)]++
		odd[places[1]&(SheetRows-1)]++
	}
	if len(places) > 0 {
		even[places[0]&(SheetRows-1)]++
	}
}

// Report gives what was counted. textOf gives the texts with these numbers;
// those that are missing are unknown.
func (c *Counter) Report(textOf func([]Text) (map[Text]string, error)) (click.Report, error) {
	c.gather()
	r := click.Report{
		From: c.q.From, To: c.q.To, Zone: c.q.Zone, Interval: c.q.Interval,
		UniqueVisitors: c.visitors.Count(), BotClicks: c.bots,
		Top: make(map[click.Dimension][]click.Count, dimensions),
	}
	if last := c.last.Load(); last > 0 {
		r.LastClickedAt = time.UnixMilli(last).UTC()
	}
	for _, s := range c.slots.take() {
		r.TotalClicks += s.n
		c.line.Add(int64(s.text)*(SlotLength/1000), s.n)
	}
	c.line.Tell(&r, func(bucket int64) int64 {
		if v := c.buckets[bucket]; v != nil {
			return v.Count()
		}
		return 0
	})
	for d, dimension := range click.Dimensions {
		list := c.texts[d].take()
		if dimension == click.ByTrigger {
			values := map[string]int64{}
			for _, v := range list {
				trigger := click.Trigger(v.text)
				values[trigger.String()] += v.n
				if trigger == click.ByQR {
					r.QRScans += v.n
				}
			}
			r.Top[dimension] = click.Top(values, c.q.Top)
			continue
		}
		top, err := c.top(list, emptyName(dimension), textOf)
		if err != nil {
			return click.Report{}, err
		}
		r.Top[dimension] = top
	}
	return r, nil
}

// called makes a text and the empty one the same, in a list that is sorted by
// text.
func called(list []count, id Text) []count {
	i := slices.IndexFunc(list, func(v count) bool { return v.text == id })
	if i < 0 {
		return list
	}
	if list[0].text == 0 {
		list[0].n += list[i].n
		return slices.Delete(list, i, i+1)
	}
	list[i].text = 0
	return list
}

// mostTies is how many values with the same number of clicks are looked up to
// be sorted by name where a list is cut; beyond it they go by number.
const mostTies = 1 << 12

// top gives the values with the most clicks by name. The empty text and a text
// that is called as it is are one value.
func (c *Counter) top(list []count, empty string, textOf func([]Text) (map[Text]string, error)) ([]click.Count, error) {
	if id := c.names[empty]; id != 0 {
		list = called(list, id)
	}
	slices.SortFunc(list, func(a, b count) int { return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.text, b.text)) })
	cut := len(list)
	if n := c.q.Top; n > 0 && len(list) > n {
		for cut = n; cut < len(list) && list[cut].n == list[n-1].n && cut < n+mostTies; cut++ {
		}
	}
	texts := make([]Text, 0, cut)
	for _, v := range list[:cut] {
		if v.text != 0 {
			texts = append(texts, v.text)
		}
	}
	names, err := textOf(texts)
	if err != nil {
		return nil, err
	}
	values := make(map[string]int64, cut)
	for _, v := range list[:cut] {
		values[cmp.Or(names[v.text], empty)] += v.n
	}
	top := click.Top(values, c.q.Top)
	rest := int64(0)
	for _, v := range list[cut:] {
		rest += v.n
	}
	switch last := len(top) - 1; {
	case rest == 0:
	case last == c.q.Top && top[last].Value == click.Other:
		top[last].Clicks += rest
	default:
		top = append(top, click.Count{Value: click.Other, Clicks: rest})
	}
	return top, nil
}
