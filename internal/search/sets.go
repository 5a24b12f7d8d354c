package search

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"

	"kurz/internal/link"
)

// Directory says where things are in a segment.
type Directory struct{ directory }

// ParseDirectory reads the first block of a segment.
func ParseDirectory(b []byte) (*Directory, error) {
	d, err := parseDirectory(b)
	if err != nil {
		return nil, err
	}
	return &Directory{*d}, nil
}

// opened is a segment that is read.
type opened struct {
	Segment
	from Source
	dir  *Directory
	docs int
	set  Set // of the links that may be selected
	// The last blocks of columns that were read.
	cells [columnsOfLinks]struct {
		place int
		data  []byte
	}
}

func (o *opened) open() error {
	dir, err := o.from.Directory(o.ID)
	if err != nil {
		return err
	}
	o.dir, o.docs = dir, dir.docs
	if o.Dead != nil && len(o.Dead) != len(NewSet(o.docs)) {
		return ErrDamaged
	}
	return nil
}

// cell gives a value of a column.
func (o *opened) cell(column, n int) (uint64, error) {
	width := columnWidth[column]
	place := o.dir.columns[column] + n*width/blockSize
	last := &o.cells[column]
	if last.place != place {
		data, err := o.from.Block(o.ID, place)
		if err != nil {
			return 0, err
		}
		last.place, last.data = place, append(last.data[:0], data...)
	}
	at := n * width % blockSize
	if at+width > len(last.data) {
		return 0, ErrDamaged
	}
	switch b := last.data[at:]; width {
	case 2:
		return uint64(binary.LittleEndian.Uint16(b)), nil
	case 4:
		return uint64(binary.LittleEndian.Uint32(b)), nil
	default:
		return binary.LittleEndian.Uint64(b), nil
	}
}

func (o *opened) id(doc int) (link.ID, error) {
	id, err := o.cell(idColumn, doc)
	return link.ID(id), err
}

// terms adds to a set the links that have one of the terms from one to another.
func (o *opened) terms(from, to term, into Set) error {
	at, found := slices.BinarySearch(o.dir.firsts, from)
	if !found {
		at--
	}
	for at = max(at, 0); at < len(o.dir.firsts) && o.dir.firsts[at] <= to; at++ {
		b, err := o.from.Block(o.ID, 1+at)
		if err != nil {
			return err
		}
		t := o.dir.firsts[at]
		for len(b) > 0 {
			distance, n := binary.Uvarint(b)
			if n <= 0 {
				return ErrDamaged
			}
			size, m := binary.Uvarint(b[n:])
			if m <= 0 || size > uint64(len(b)-n-m) {
				return ErrDamaged
			}
			b = b[n+m:]
			if t += term(distance); t > to {
				return nil
			}
			if t >= from {
				if err := into.addCoded(b[:size], o.docs); err != nil {
					return err
				}
			}
			b = b[size:]
		}
	}
	return nil
}

// addCoded adds what appendSet wrote.
func (s Set) addCoded(b []byte, docs int) error {
	if len(b) == 0 {
		return ErrDamaged
	}
	form, b := b[0], b[1:]
	if form == bitsForm {
		if len(b) != (docs+7)/8 {
			return ErrDamaged
		}
		for i := range s {
			var word [8]byte
			copy(word[:], b[min(8*i, len(b)):])
			s[i] |= binary.LittleEndian.Uint64(word[:])
		}
		return nil
	}
	next, place := 0, 0 // next is the first that is not yet known to be in the set
	for first := true; len(b) > 0; first = false {
		distance, n := binary.Uvarint(b)
		if n <= 0 || distance >= uint64(docs) || distance == 0 && !first {
			return ErrDamaged
		}
		b = b[n:]
		if place += int(distance); place >= docs {
			return ErrDamaged
		}
		if form == placesForm {
			s.Add(place)
			continue
		}
		s.addRange(next, place)
		next = place + 1
	}
	if form == othersForm {
		s.addRange(next, docs)
	}
	return nil
}

// addRange adds the places from one up to, but without, another.
func (s Set) addRange(from, to int) {
	for ; from < to && from&63 != 0; from++ {
		s.Add(from)
	}
	for ; from+64 <= to; from += 64 {
		s[from>>6] = ^uint64(0)
	}
	for ; from < to; from++ {
		s.Add(from)
	}
}

func (s Set) count() (n int) {
	for _, word := range s {
		n += bits.OnesCount64(word)
	}
	return n
}

// wanted is what links must have to be selected, as far as sets tell.
type wanted struct {
	query link.Query
	terms []span
	not   *span
}

// span is from a term to another.
type span struct{ from, to term }

// maxGrams bounds the grams that are asked for: the rows tell the rest.
const maxGrams = 64

func wantedBy(q *link.Query) wanted {
	w := wanted{query: *q}
	one := func(t term) { w.terms = append(w.terms, span{t, t}) }
	if q.Owner != 0 {
		one(ownerTerm(q.Owner))
	}
	if q.Tag != "" {
		one(hashed(ofTag, q.Tag))
	}
	if q.Domain != nil {
		one(hashed(ofDomain, string(*q.Domain)))
	}
	archived := hashed(ofArchived, "")
	switch q.Archived {
	case link.OnlyArchived:
		one(archived)
	case link.LeaveArchived:
		w.not = &span{archived, archived}
	}
	words := link.Words(q.Text)
	slices.SortStableFunc(words, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	grams := 0
	for _, word := range words {
		for _, s := range gramsOf(word) {
			if grams++; grams <= maxGrams && !slices.Contains(w.terms, s) {
				w.terms = append(w.terms, s)
			}
		}
	}
	return w
}

// gramsOf gives what a text that contains the word has.
func gramsOf(word string) (list []span) {
	runes := []rune(word)
	switch len(runes) {
	case 1:
		t := gram(runes[0], alone, alone)
		return []span{{t, t}}
	case 2:
		return []span{{gram(runes[0], runes[1], 0), gram(runes[0], runes[1], end)}}
	}
	// Those that overlap least come first; as a rule they say the most.
	for _, shift := range []int{0, 1, 2} {
		for i := shift; i+3 <= len(runes); i += 3 {
			t := gram(runes[i], runes[i+1], runes[i+2])
			list = append(list, span{t, t})
		}
	}
	return list
}

// in gives the links of a segment that may be selected, and how many they are.
func (w *wanted) in(o *opened) (Set, int, error) {
	if err := o.open(); err != nil {
		return nil, 0, err
	}
	set, some := NewSet(o.docs), NewSet(o.docs)
	set.addRange(0, o.docs)
	for i := range o.Dead {
		set[i] &^= o.Dead[i]
	}
	left := set.count()
	for _, s := range w.terms {
		if left <= fewLinks/2 {
			break // to read them is quicker
		}
		clear(some)
		if err := o.terms(s.from, s.to, some); err != nil {
			return nil, 0, err
		}
		for i := range set {
			set[i] &= some[i]
		}
		left = set.count()
	}
	if w.not != nil && left > 0 {
		clear(some)
		if err := o.terms(w.not.from, w.not.to, some); err != nil {
			return nil, 0, err
		}
		for i := range set {
			set[i] &^= some[i]
		}
	}
	if w.query.Status != "" && left > 0 {
		if err := w.keepStatus(o, set); err != nil {
			return nil, 0, err
		}
	}
	return set, set.count(), nil
}

// keepStatus takes those out of a set that surely have another status. The
// second in which something happens is left open.
func (w *wanted) keepStatus(o *opened, set Set) error {
	now := uint64(second(w.query.Now))
	var columns [3]bool
	for i := range columns {
		columns[i] = o.dir.columns[startsColumn+i] != 0
	}
	for i, word := range set {
		for ; word != 0; word &= word - 1 {
			doc := i<<6 + bits.TrailingZeros64(word)
			var times [3]uint64
			for column, there := range columns {
				if !there {
					continue
				}
				var err error
				if times[column], err = o.cell(startsColumn+column, doc); err != nil {
					return err
				}
			}
			if !mayBe(w.query.Status, times[0], times[1], times[2], now) {
				set[i] &^= 1 << (doc & 63)
			}
		}
	}
	return nil
}

func mayBe(status link.Status, starts, expires, revoked, now uint64) bool {
	kept := revoked == 0 || revoked >= now
	lasts := expires == 0 || expires >= now
	switch status {
	case link.Revoked:
		return revoked != 0 && revoked <= now
	case link.Expired:
		return kept && expires != 0 && expires <= now
	case link.Scheduled:
		return kept && lasts && starts != 0 && starts >= now
	}
	return kept && lasts && (starts == 0 || starts <= now)
}

// IDs gives the IDs of a segment's links, in their order, dead ones too.
func IDs(from Source, segment int64) ([]link.ID, error) {
	o := &opened{Segment: Segment{ID: segment}, from: from}
	if err := o.open(); err != nil {
		return nil, err
	}
	ids := make([]link.ID, o.docs)
	for doc := range ids {
		var err error
		if ids[doc], err = o.id(doc); err != nil {
			return nil, err
		}
	}
	return ids, nil
}
