package search

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"

	"kurz/internal/link"
)

// Built is a new segment.
type Built struct {
	IDs []link.ID // in their order
	// Blocks are what Page reads again by their places.
	Blocks [][]byte
}

// Build makes a segment of links, at most MaxDocs, in the order of their IDs.
// Breathe, unless nil, is called several times within a millisecond.
func Build(links []link.Link, breathe func()) *Built {
	if breathe == nil {
		breathe = func() {}
	}
	b := &builder{places: make(map[term]int32, 1<<14), breathe: breathe}
	s := &Built{IDs: make([]link.ID, len(links)), Blocks: [][]byte{nil}}
	for i := range links {
		s.IDs[i] = links[i].ID
		b.add(uint16(i), &links[i])
		if i%16 == 0 {
			breathe()
		}
	}
	firsts := b.appendSets(s, len(links))
	starts := appendColumns(s, links, breathe)
	s.Blocks[0] = directory{docs: len(links), firsts: firsts, columns: starts}.encode()
	return s
}

// builder gathers the sets of a segment.
type builder struct {
	places  map[term]int32 // in sets
	terms   []term
	sets    [][]uint16
	breathe func()
}

func (b *builder) put(doc uint16, t term) {
	at, ok := b.places[t]
	if !ok {
		at = int32(len(b.sets))
		b.places[t] = at
		b.terms = append(b.terms, t)
		b.sets = append(b.sets, nil)
	}
	set := b.sets[at]
	if n := len(set); n == 0 || set[n-1] != doc {
		b.sets[at] = append(set, doc)
	}
}

func (b *builder) add(doc uint16, l *link.Link) {
	if l.Owner != 0 {
		b.put(doc, ownerTerm(l.Owner))
	}
	b.put(doc, hashed(ofDomain, string(l.Domain)))
	if !l.ArchivedAt.IsZero() {
		b.put(doc, hashed(ofArchived, ""))
	}
	for _, tag := range l.Tags {
		b.put(doc, hashed(ofTag, tag))
	}
	for _, text := range l.Texts() {
		b.text(doc, text)
	}
}

// text puts each three characters, the last two, and each single one.
func (b *builder) text(doc uint16, text string) {
	before, last, n := rune(0), rune(0), 0
	for _, r := range text {
		if n >= 2 {
			b.put(doc, gram(before, last, r))
		}
		b.put(doc, gram(r, alone, alone))
		before, last = last, r
		n++
	}
	if n >= 2 {
		b.put(doc, gram(before, last, end))
	}
}

// appendSets appends the blocks of the sets, and gives the first term of each.
func (b *builder) appendSets(s *Built, docs int) (firsts []term) {
	order := make([]int32, len(b.terms))
	for i := range order {
		order[i] = int32(i)
	}
	breathe := sometimes(b.breathe)
	slices.SortFunc(order, func(x, y int32) int {
		breathe()
		return cmp.Compare(b.terms[x], b.terms[y])
	})
	var block, set []byte
	var before term
	for i, at := range order {
		t := b.terms[at]
		set = appendSet(set[:0], b.sets[at], docs)
		if len(block) > 0 && len(block)+len(set)+12 > blockSize {
			s.Blocks = append(s.Blocks, block)
			block = nil
		}
		if len(block) == 0 {
			firsts, before = append(firsts, t), t
			block = make([]byte, 0, blockSize+64)
		}
		block = binary.AppendUvarint(block, uint64(t-before))
		block = binary.AppendUvarint(block, uint64(len(set)))
		block = append(block, set...)
		before = t
		if i%16 == 0 {
			b.breathe()
		}
	}
	if len(block) > 0 {
		s.Blocks = append(s.Blocks, block)
	}
	return firsts
}

// The forms of a set, in its first byte.
const (
	placesForm = iota // the distances of its places
	othersForm        // those of the places that are not in it
	bitsForm
)

// appendSet appends a set, in the shortest of its forms.
func appendSet(b []byte, set []uint16, docs int) []byte {
	bits := (docs + 7) / 8
	from := len(b)
	if len(set) <= docs/2 {
		b = appendPlaces(append(b, placesForm), set)
	} else {
		others := make([]uint16, 0, docs-len(set))
		next := 0
		for _, place := range append(set, uint16(docs)) {
			for ; next < int(place); next++ {
				others = append(others, uint16(next))
			}
			next = int(place) + 1
		}
		b = appendPlaces(append(b, othersForm), others)
	}
	if len(b)-from <= bits+1 {
		return b
	}
	b = append(b[:from], bitsForm)
	b = append(b, make([]byte, bits)...)
	for _, place := range set {
		b[from+1+int(place>>3)] |= 1 << (place & 7)
	}
	return b
}

func appendPlaces(b []byte, places []uint16) []byte {
	before := uint16(0)
	for _, place := range places {
		b = binary.AppendUvarint(b, uint64(place-before))
		before = place
	}
	return b
}

// appendColumns appends the blocks of the columns and gives the place of the
// first of each; 0 of one that is left out, since it says nothing.
func appendColumns(s *Built, links []link.Link, breathe func()) (starts [columnsOfLinks]int) {
	for column := range columnsOfLinks {
		breathe()
		var data []byte
		switch column {
		case idColumn:
			for _, id := range s.IDs {
				data = binary.LittleEndian.AppendUint64(data, uint64(id))
			}
		case updatedColumn, codeColumn, titleColumn, endColumn:
			for _, place := range orderOf(links, column, sometimes(breathe)) {
				data = binary.LittleEndian.AppendUint16(data, place)
			}
		default:
			data = timesOf(links, column)
		}
		if data == nil {
			continue
		}
		starts[column] = len(s.Blocks)
		s.Blocks = slices.AppendSeq(s.Blocks, slices.Chunk(data, blockSize))
	}
	return starts
}

// sometimes gives a function that is quick enough for comparisons.
func sometimes(breathe func()) func() {
	n := 0
	return func() {
		if n++; n%256 == 0 {
			breathe()
		}
	}
}

func orderOf(links []link.Link, column int, breathe func()) []uint16 {
	var titles []string
	if column == titleColumn {
		titles = make([]string, len(links))
		for i := range links {
			breathe()
			titles[i] = link.TitleKey(links[i].Title)
		}
	}
	order := make([]uint16, len(links))
	for i := range order {
		order[i] = uint16(i)
	}
	slices.SortFunc(order, func(x, y uint16) int {
		breathe()
		a, b, by := &links[x], &links[y], 0
		switch column {
		case updatedColumn:
			by = a.UpdatedAt.Compare(b.UpdatedAt)
		case codeColumn:
			by = strings.Compare(string(a.Code), string(b.Code))
		case titleColumn:
			by = strings.Compare(titles[x], titles[y])
		case endColumn:
			by = cmp.Compare(link.EndKey(a.ExpiresAt), link.EndKey(b.ExpiresAt))
		}
		return cmp.Or(by, cmp.Compare(x, y))
	})
	return order
}

// timesOf gives a column of times; nil if no link has one.
func timesOf(links []link.Link, column int) []byte {
	data, some := make([]byte, 0, 4*len(links)), uint32(0)
	for i := range links {
		t := links[i].StartsAt
		switch column {
		case expiresColumn:
			t = links[i].ExpiresAt
		case revokedColumn:
			t = links[i].RevokedAt
		}
		some |= second(t)
		data = binary.LittleEndian.AppendUint32(data, second(t))
	}
	if some == 0 {
		return nil
	}
	return data
}

// directory is the first block of a segment.
type directory struct {
	docs    int
	firsts  []term              // the first term of each block of sets
	columns [columnsOfLinks]int // the first block of each column; 0: it is left out
}

func (d directory) encode() []byte {
	b := binary.AppendUvarint(nil, uint64(d.docs))
	for _, at := range d.columns {
		b = binary.AppendUvarint(b, uint64(at))
	}
	before := term(0)
	for i, t := range d.firsts {
		if i == 0 {
			b = binary.AppendVarint(b, int64(t))
		} else {
			b = binary.AppendUvarint(b, uint64(t-before))
		}
		before = t
	}
	return b
}

func parseDirectory(b []byte) (*directory, error) {
	d := &directory{}
	bad := false
	next := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			bad, b = true, nil
			return 0
		}
		b = b[n:]
		return v
	}
	docs := next()
	for i := range d.columns {
		d.columns[i] = int(min(next(), 1<<20))
	}
	if docs > MaxDocs || bad {
		return nil, ErrDamaged
	}
	d.docs = int(docs)
	if len(b) > 0 {
		first, n := binary.Varint(b)
		if n <= 0 {
			return nil, ErrDamaged
		}
		b = b[n:]
		d.firsts = append(d.firsts, term(first))
	}
	for len(b) > 0 {
		d.firsts = append(d.firsts, d.firsts[len(d.firsts)-1]+term(next()))
	}
	if bad {
		return nil, ErrDamaged
	}
	return d, nil
}
