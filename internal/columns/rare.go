package columns

import (
	"encoding/binary"
	"slices"

	"kurz/internal/click"
	"kurz/internal/link"
)

// The clicks of values that have no share are kept once more by dimension, so
// that a report of such a value reads little else: as chunks in which the value
// stands for the link, and which have neither what reports do not count nor the
// numbers within a millisecond. The first block of a dimension says which values
// are where: how many chunks follow, and the distances of the last values of
// each.

// isRare reports whether a value has no share.
func isRare(clicks, all int64) bool { return clicks*shareOf <= all }

// Rare calls put, as AppendSheet does, with the clicks of the rare values among
// rows, which are those of a sheet.
func (e *Encoder) Rare(r *Rows, rows []int32, put func(column, block int, data []byte)) {
	part := Rows{breathe: r.breathe, IDs: make([]click.ID, r.Len()), Links: make([]link.ID, r.Len()), Owners: r.Owners, Classes: r.Classes, Visitors: r.Visitors, Texts: r.Texts}
	for i, id := range r.IDs {
		part.IDs[i] = FirstID(millis(id))
	}
	for i := Referrer; i < TextCount; i++ {
		part.Texts[i] = make([]Text, r.Len())
	}
	for d, column := range columnOf {
		r.Breathe()
		var lasts []link.ID
		if column >= 0 {
			some := part.rare(r.Texts[column], rows)
			for block := range slices.Chunk(order(&part, part.Links, some), ChunkRows) {
				lasts = append(lasts, part.Links[block[len(block)-1]])
				e.rare = e.Append(e.rare[:0], &part, block)
				put(sheetRare+d, len(lasts), e.rare)
			}
		}
		outline := binary.AppendUvarint([]byte{sheetVersion}, uint64(len(lasts)))
		before := link.ID(0)
		for _, last := range lasts {
			outline = binary.AppendUvarint(outline, uint64(last-before))
			before = last
		}
		put(sheetRare+d, 0, outline)
	}
}

// rare gives the rows with rare values, and notes the values as links.
func (r *Rows) rare(values []Text, rows []int32) []int32 {
	clicks := map[Text]int64{}
	for _, i := range rows {
		clicks[values[i]]++
	}
	some := []int32{}
	for _, i := range rows {
		if isRare(clicks[values[i]], int64(len(rows))) {
			r.Links[i] = link.ID(values[i])
			some = append(some, i)
		}
	}
	return some
}

// rare calls each with the clicks of a rare value.
func (s *Sheet) rare(d int, value Text, each func(c *Chunk, from, to int)) (err error) {
	if s.outline, err = s.Load(sheetRare+d, 0, s.outline); err != nil {
		return err
	}
	r := reader{b: s.outline}
	if version := r.take(1); r.bad || version[0] != sheetVersion {
		return ErrDamaged
	}
	last := 0
	for block := range r.number(s.Clicks) {
		if last += r.number(mostText); r.bad || last < int(value) {
			continue
		}
		if s.packed, err = s.Load(sheetRare+d, block+1, s.packed); err != nil {
			return err
		}
		if s.chunk.Open(s.packed) != nil {
			return ErrDamaged
		}
		if from, to := s.chunk.Find(link.ID(value)); from < to {
			each(&s.chunk, from, to)
		}
		if s.chunk.Err() != nil {
			return ErrDamaged
		}
		if last > int(value) {
			return nil
		}
	}
	return r.err()
}
