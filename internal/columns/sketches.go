package columns

import "slices"

// Of the days from Tuesday to Saturday, which are in one week wherever on Earth
// it is counted, there are sketches together: which days they are of, a bit
// each, and the visitors.
const (
	weekDays     = 5
	firstTuesday = 5 // 1970-01-06
)

// weekFrom gives the first day of the next sketch together that does not begin
// before a day.
func weekFrom(day int64) int64 { return day + (firstTuesday-day%7+7)%7 }

// putWeek keeps the sketches of a grain of the week that a day is in, together.
func (u *Roller) putWeek(s Subject, day int64, grain Grain) error {
	first := weekFrom(day - weekDays + 1)
	if first > day || grain == OtherSketches { // Sunday or Monday, or seldom asked for
		return nil
	}
	var all Visitors
	days := byte(0)
	for i := range int64(weekDays) {
		sketch, err := u.Rollup(s, grain, first+i)
		if err != nil || sketch == nil {
			if err != nil {
				return err
			}
			continue
		}
		u.pause()
		r := &reader{b: sketch}
		if all.merge(r); r.err() != nil {
			return ErrDamaged
		}
		days |= 1 << i
	}
	if days&(days-1) == 0 {
		return nil // no more than one
	}
	if all.registers == nil && all.many() {
		all.estimate()
	}
	return u.PutRollup(s, grain+PeopleWeeks-PeopleSketches, first, all.Append([]byte{days}))
}

// sketches counts visitors where there are certainly so many that they are
// estimated: the sketches of days that together are in the report, or in one
// bucket, say so. All others are counted by sets.
func (p *plan) sketches() error {
	s := sketches{
		plan:   p,
		all:    sketched{plan: p, need: needVisitors, into: &p.c.visitors},
		bucket: sketched{plan: p, need: needBucket},
		grain:  PeopleSketches + Grain(p.c.filter.groupsAsked()),
	}
	err := s.count()
	s.all.settle()
	s.bucket.settle()
	return err
}

type sketches struct {
	*plan
	all, bucket sketched
	grain       Grain
	weeks       map[int64][]byte // by Tuesday
}

func (s *sketches) count() error {
	var runs [][2]int64
	err := s.runs(s.wanted, func(first, last int64) error {
		runs = append(runs, [2]int64{first, last})
		return nil
	})
	if err != nil || len(runs) == 0 {
		return err
	}
	first, last := runs[0][0], runs[len(runs)-1][1]
	s.weeks = map[int64][]byte{}
	err = s.from.Rollups(s.grain+PeopleWeeks-PeopleSketches, first, last, func(day int64, data []byte) error {
		s.weeks[day] = slices.Clone(data)
		return nil
	})
	if err != nil {
		return err
	}
	if len(s.weeks) == 0 {
		return s.days(first, last)
	}
	for _, run := range runs {
		if err := s.run(run[0], run[1]); err != nil {
			return err
		}
	}
	return nil
}

// wanted reports whether the sketch of a day helps.
func (s *sketches) wanted(day int64) bool {
	needs := s.needs[day-s.day]
	return s.whole(day, day) && (needs&needVisitors != 0 || needs&needBucket != 0 && s.oneBucket(day, day))
}

// run reads the sketches of wanted days, together where that is possible.
func (s *sketches) run(first, last int64) error {
	for first <= last {
		week := weekFrom(first)
		if week+weekDays-1 > last {
			return s.days(first, last)
		}
		if err := s.days(first, week-1); err != nil {
			return err
		}
		if err := s.week(week); err != nil {
			return err
		}
		first = week + weekDays
	}
	return nil
}

func (s *sketches) days(first, last int64) error {
	if first > last {
		return nil
	}
	return s.from.Rollups(s.grain, first, last, func(day int64, data []byte) error {
		if !s.wanted(day) {
			return nil
		}
		needs := s.needs[day-s.day]
		if !s.oneBucket(day, day) {
			needs &^= needBucket
		}
		return s.add(day, 1, needs, data)
	})
}

func (s *sketches) week(first int64) error {
	needs := need(0)
	for day := first; day < first+weekDays; day++ {
		needs |= s.needs[day-s.day]
	}
	data := s.weeks[first]
	if len(data) == 0 || needs&needBucket != 0 && !s.oneBucket(first, first+weekDays-1) {
		return s.days(first, first+weekDays-1)
	}
	days := data[0]
	if err := s.add(first, days, needs, data[1:]); err != nil {
		return err
	}
	for i := range int64(weekDays) {
		if days&(1<<i) == 0 {
			if err := s.days(first+i, first+i); err != nil {
				return err
			}
		}
	}
	return nil
}

// add adds the sketch of some days, a bit each.
func (s *sketches) add(first int64, days byte, needs need, data []byte) error {
	r := &reader{b: data}
	sketch := takeVisitors(r)
	if r.err() != nil {
		return ErrDamaged
	}
	if needs&needVisitors != 0 {
		s.all.add(first, days, sketch)
	}
	if needs&needBucket != 0 {
		if v := s.c.bucket(first * slotsPerDay); v != s.bucket.into {
			s.bucket.settle()
			s.bucket.into = v
		}
		s.bucket.add(first, days, sketch)
	}
	return nil
}

// sketched are the visitors of some days, by their sketches.
type sketched struct {
	*plan
	need     need
	into     *Visitors
	days     []int64
	visitors Visitors
}

func (s *sketched) add(first int64, days byte, sketch []byte) {
	for i := range int64(weekDays) {
		if days&(1<<i) != 0 {
			s.days = append(s.days, first+i)
		}
	}
	s.visitors.merge(&reader{b: sketch})
}

// settle counts the visitors if there are certainly more than ExactVisitors,
// and begins anew.
func (s *sketched) settle() {
	if s.visitors.registers == nil {
		s.visitors, s.days = Visitors{}, s.days[:0]
		return
	}
	if s.visitors.Count() > surelyMany {
		s.into.Merge(&s.visitors)
		for _, day := range s.days {
			s.needs[day-s.day] &^= s.need
		}
	}
	clear(s.visitors.registers)
	s.days = s.days[:0]
}
