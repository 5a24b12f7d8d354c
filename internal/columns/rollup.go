package columns

import (
	"slices"

	"kurz/internal/account"
	"kurz/internal/link"
)

// Kind says whose clicks a rollup has.
type Kind int

// The kinds of subjects.
const (
	Everybody Kind = iota
	Owner
	Link
)

// Subject is whose clicks a rollup has: everybody's, an owner's or a link's.
type Subject struct {
	Kind Kind
	ID   int64 // 0 for everybody
}

// Keeper keeps rollups.
type Keeper interface {
	// Rollup gives what was put last, nil for nothing. It is valid until the next
	// call.
	Rollup(s Subject, g Grain, period int64) ([]byte, error)
	// PutRollup keeps data, which is the caller's again when it returns.
	PutRollup(s Subject, g Grain, period int64, data []byte) error
}

// Roller adds clicks to rollups. It is for one goroutine.
type Roller struct {
	Keeper
	texts   counter
	rows    []int32
	breathe func() // that of the clicks; nil before any
	// month is what the days so far add to a month.
	month struct {
		Subject
		number int64
		Total
	}
}

// Add adds clicks, in the order of Rows.Order, to the rollups of everybody, of
// every owner, and of those links that rolled says yes to.
func (u *Roller) Add(r *Rows, byLink []int32, rolled func(link.ID) bool) error {
	if err := u.AddSubject(r, order(r, r.IDs, nil), Subject{}); err != nil {
		return err
	}
	err := runs(r.ByOwner(nil), func(i int32) account.ID { return r.Owners[i] }, func(owner account.ID, rows []int32) error {
		if owner == 0 {
			return nil // nobody's
		}
		return u.AddSubject(r, rows, Subject{Owner, int64(owner)})
	})
	if err != nil {
		return err
	}
	return runs(byLink, func(i int32) link.ID { return r.Links[i] }, func(id link.ID, rows []int32) error {
		if !rolled(id) {
			return nil
		}
		return u.AddSubject(r, rows, Subject{Link, int64(id)})
	})
}

// AddSubject adds the clicks of one subject, sorted by ID, to its slots, days
// and months.
func (u *Roller) AddSubject(r *Rows, rows []int32, s Subject) error {
	u.breathe = r.Breathe
	u.month.Subject = s
	err := u.days(r, rows, func(day int64, slots *Slots) error {
		if month := MonthOf(day); month != u.month.number {
			if err := u.flush(); err != nil {
				return err
			}
			u.month.number = month
		}
		u.pause()
		u.month.AddSlots(slots)
		all, err := u.merge(s, day, slots)
		if err != nil {
			return err
		}
		return u.putDay(s, day, all)
	})
	if err != nil {
		return err
	}
	return u.flush()
}

// AddSlots adds the clicks of links, in the order of Rows.Order, to their slots
// alone.
func (u *Roller) AddSlots(r *Rows, rows []int32) error {
	u.breathe = r.Breathe
	return runs(rows, func(i int32) link.ID { return r.Links[i] }, func(id link.ID, rows []int32) error {
		return u.days(r, rows, func(day int64, slots *Slots) error {
			_, err := u.merge(Subject{Link, int64(id)}, day, slots)
			return err
		})
	})
}

// Total sums up the slots of a subject, which it has from a source of the same
// rollups, in days and months.
func (u *Roller) Total(s Subject, from Source) error {
	first, last, ok, err := from.Days()
	if err != nil || !ok {
		return err
	}
	for month := MonthOf(first); month <= MonthOf(last); month++ {
		if err := u.TotalMonth(s, month); err != nil {
			return err
		}
	}
	return nil
}

// TotalMonth sums up the slots of a subject and month in days and the month.
func (u *Roller) TotalMonth(s Subject, month int64) error {
	var total Total
	for day := FirstDay(month); day < FirstDay(month+1); day++ {
		slots, err := u.slots(s, day)
		if err != nil {
			return err
		}
		if err := u.putDay(s, day, slots); err != nil {
			return err
		}
		total.AddSlots(slots)
	}
	if total.Clicks() == 0 {
		return nil
	}
	return u.PutRollup(s, Months, month, total.Append(nil))
}

// slots gives the slots that are kept of a day.
func (u *Roller) slots(s Subject, day int64) (*Slots, error) {
	all := &Slots{}
	counts, err := u.Rollup(s, SlotCounts, day)
	if err != nil || counts == nil {
		return all, err
	}
	if err := all.MergeCounts(counts); err != nil {
		return nil, err
	}
	visitors, err := u.Rollup(s, SlotVisitors, day)
	if err != nil || visitors == nil {
		return all, err
	}
	return all, all.MergeVisitors(visitors)
}

// putDay keeps the total of a day, if it was busy.
func (u *Roller) putDay(s Subject, day int64, slots *Slots) error {
	var total Total
	if total.AddSlots(slots); total.Clicks() < BusyDay {
		return nil
	}
	u.pause()
	if err := u.PutRollup(s, Days, day, total.AppendDay(nil)); err != nil {
		return err
	}
	u.pause()
	if err := u.PutRollup(s, DayNumbers, day, total.AppendNumbers(nil)); err != nil {
		return err
	}
	for grain := PeopleSketches; grain <= BothSketches; grain++ {
		u.pause()
		sketch := total.AppendSketch(nil, grain)
		if len(sketch) == 0 {
			return nil
		}
		if err := u.PutRollup(s, grain, day, sketch); err != nil {
			return err
		}
		if err := u.putWeek(s, day, grain); err != nil {
			return err
		}
	}
	return nil
}

func (u *Roller) pause() {
	if u.breathe != nil {
		u.breathe()
	}
}

// merge adds slots to those that are kept, and gives all of them.
func (u *Roller) merge(s Subject, day int64, slots *Slots) (*Slots, error) {
	all, err := u.slots(s, day)
	if err != nil {
		return nil, err
	}
	u.pause()
	all.Merge(slots)
	u.pause()
	if err := u.PutRollup(s, SlotCounts, day, all.AppendCounts(nil)); err != nil {
		return nil, err
	}
	u.pause()
	return all, u.PutRollup(s, SlotVisitors, day, all.AppendVisitors(nil))
}

// flush adds the month so far to what is kept of it.
func (u *Roller) flush() error {
	m := &u.month
	defer func() { m.Total = Total{} }()
	if m.Clicks() == 0 {
		return nil
	}
	kept, err := u.Rollup(m.Subject, Months, m.number)
	if err == nil && kept != nil {
		err = m.Merge(kept)
	}
	if err != nil {
		return err
	}
	return u.PutRollup(m.Subject, Months, m.number, m.Total.Append(nil))
}

// runs calls fn with the parts of rows that have the same key.
func runs[K comparable](rows []int32, key func(int32) K, fn func(K, []int32) error) error {
	for len(rows) > 0 {
		k, n := key(rows[0]), 1
		for n < len(rows) && key(rows[n]) == k {
			n++
		}
		if err := fn(k, rows[:n]); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// days counts the rows of a subject, sorted by ID, and calls fn with each day.
func (u *Roller) days(r *Rows, rows []int32, fn func(day int64, slots *Slots) error) error {
	slotOf := func(i int32) int64 { return SlotOf(millis(r.IDs[i])) }
	return runs(rows, func(i int32) int64 { return DayOf(slotOf(i)) }, func(day int64, rows []int32) error {
		slots := &Slots{}
		err := runs(rows, slotOf, func(number int64, rows []int32) error {
			slots.list = append(slots.list, slot{number: number})
			s := &slots.list[len(slots.list)-1]
			for g := range s.counts {
				r.Breathe()
				u.rows = u.rows[:0]
				for _, i := range rows {
					if r.Classes[i].people() == g {
						u.rows = append(u.rows, i)
					}
				}
				s.counts[g].count(r, u.rows, &u.texts)
				s.visitors[g] = visitorsOf(r, u.rows)
			}
			return nil
		})
		if err != nil {
			return err
		}
		return fn(day, slots)
	})
}

const (
	// breathRows are so many that a column of them takes some 50 µs.
	breathRows = 1 << 10
	// sortedAtOnce are so many that sorting them takes some 200 µs.
	sortedAtOnce = 1 << 12
)

// count counts rows into an empty group; texts is empty before and after.
func (g *Group) count(r *Rows, rows []int32, texts *counter) {
	if len(rows) == 0 {
		return
	}
	g.Clicks = int64(len(rows))
	for _, i := range rows {
		g.Last = max(g.Last, millis(r.IDs[i]))
	}
	for d, column := range columnOf {
		if len(rows) >= breathRows {
			r.Breathe()
		}
		for _, i := range rows {
			texts.add(r.dimension(column, i), 1)
		}
		g.values[d] = texts.take()
	}
}

func visitorsOf(r *Rows, rows []int32) []uint64 {
	var lists [][]uint64
	for some := range slices.Chunk(rows, sortedAtOnce) {
		r.Breathe()
		list := make([]uint64, 0, len(some))
		for _, i := range some {
			if v := r.Visitors[i]; v != 0 {
				list = append(list, v)
			}
		}
		slices.Sort(list)
		lists = append(lists, slices.Compact(list))
	}
	for len(lists) > 1 {
		r.Breathe()
		lists = append(lists[2:], union(lists[0], lists[1]))
	}
	if len(lists) == 0 || len(lists[0]) == 0 {
		return nil
	}
	return lists[0]
}
