package click_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"kurz/internal/click"
)

func TestPrevious(t *testing.T) {
	for _, c := range []struct {
		name, zone, from, to, want string
	}{
		{"hours", "UTC", "2026-11-22T10:00:00Z", "2026-11-22T13:00:00Z", "2026-11-22T07:00:00Z"},
		{"to the millisecond", "UTC", "2026-11-22T10:00:00.001Z", "2026-11-22T10:00:00.004Z", "2026-11-22T09:59:59.998Z"},
		{"the last 30 days", "Europe/Berlin", "2026-10-23T12:34:56Z", "2026-11-22T12:34:56Z", "2026-09-23T12:34:56Z"},
		{"a day", "UTC", "2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z", "2026-11-21T00:00:00Z"},
		{"a week", "UTC", "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z", "2026-11-09T00:00:00Z"},
		{"a month", "UTC", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", "2026-10-01T00:00:00Z"},
		{"March after a short February", "UTC", "2027-03-01T00:00:00Z", "2027-04-01T00:00:00Z", "2027-02-01T00:00:00Z"},
		{"a quarter", "UTC", "2026-04-01T00:00:00Z", "2026-07-01T00:00:00Z", "2026-01-01T00:00:00Z"},
		{"a year, after a leap year", "UTC", "2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "2024-01-01T00:00:00Z"},
		{"a month so far", "UTC", "2026-11-01T00:00:00Z", "2026-11-22T00:00:00Z", "2026-10-11T00:00:00Z"},
		// Clocks went back on 2026-10-25, a day of 25 hours.
		{"seven days with 25 hours in one", "Europe/Berlin", "2026-10-20T00:00:00+02:00", "2026-10-27T00:00:00+01:00", "2026-10-13T00:00:00+02:00"},
		{"seven days after one of 25 hours", "Europe/Berlin", "2026-10-27T00:00:00+01:00", "2026-11-03T00:00:00+01:00", "2026-10-20T00:00:00+02:00"},
		{"the day after one of 25 hours", "Europe/Berlin", "2026-10-26T00:00:00+01:00", "2026-10-27T00:00:00+01:00", "2026-10-25T00:00:00+02:00"},
		{"the day after one of 23 hours", "Europe/Berlin", "2026-03-30T00:00:00+02:00", "2026-03-31T00:00:00+02:00", "2026-03-29T00:00:00+01:00"},
		{"a month with a change", "Europe/Berlin", "2026-11-01T00:00:00+01:00", "2026-12-01T00:00:00+01:00", "2026-10-01T00:00:00+02:00"},
		{"days of another zone are no days here", "Europe/Berlin", "2026-10-26T00:00:00Z", "2026-10-27T00:00:00Z", "2026-10-25T00:00:00Z"},
		{"24 hours over a change", "Europe/Berlin", "2026-10-25T12:00:00+01:00", "2026-10-26T12:00:00+01:00", "2026-10-24T13:00:00+02:00"},
		// Samoa had no 30 December 2011.
		{"a day after one that was skipped", "Pacific/Apia", "2011-12-31T00:00:00+14:00", "2012-01-01T00:00:00+14:00", "2011-12-29T00:00:00-10:00"},
		// Clocks of Beirut went from 0:00 to 1:00 on 2025-03-30.
		{"a day without a midnight", "Asia/Beirut", "2025-03-30T01:00:00+03:00", "2025-03-31T00:00:00+03:00", "2025-03-29T00:00:00+02:00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := click.Query{From: instant(t, c.from), To: instant(t, c.to), Zone: zone(t, c.zone), Top: 7, Kinds: click.Bots}
			p := q.Previous()
			if !p.From.Equal(instant(t, c.want)) || !p.To.Equal(q.From) {
				t.Errorf("from %v to %v, want from %s to %s", p.From, p.To, c.want, c.from)
			}
			if p.Top != q.Top || p.Kinds != q.Kinds || p.Zone != q.Zone {
				t.Errorf("another question: %+v", p)
			}
		})
	}
}

// TestPreviousIsBefore shows that, whatever the zone does, the time before ends
// where q's begins, is never empty, and is as long to within what clocks and
// months differ by.
func TestPreviousIsBefore(t *testing.T) {
	names := []string{"UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Apia", "Australia/Lord_Howe", "America/Sao_Paulo", "Africa/Casablanca"}
	rapid.Check(t, func(t *rapid.T) {
		at := zone(t, rapid.SampledFrom(names).Draw(t, "zone"))
		first := rapid.IntRange(0, 20_000).Draw(t, "day")
		days := rapid.IntRange(1, 800).Draw(t, "days")
		q := click.Query{
			From: time.Date(1990, 1, 1+first, 0, 0, 0, 0, at), To: time.Date(1990, 1, 1+first+days, 0, 0, 0, 0, at), Zone: at,
		}
		p := q.Previous()
		if !p.To.Equal(q.From) || !p.From.Before(p.To) {
			t.Fatalf("%v to %v is not right before %v", p.From, p.To, q.From)
		}
		more := (p.To.Sub(p.From) - q.To.Sub(q.From)).Abs()
		if most := 6 * 24 * time.Hour; more > most {
			t.Errorf("%v to %v is %v longer or shorter than %v to %v", p.From, p.To, more, q.From, q.To)
		}
	})
}

func TestRelativeChange(t *testing.T) {
	for _, c := range []struct {
		before, now int64
		want        float64
		ok          bool
	}{
		{0, 0, 0, false},
		{0, 5, 0, false},
		{4, 5, 0.25, true},
		{4, 0, -1, true},
		{3, 4, 0.3333, true},
		{3, 3, 0, true},
		{1, 1_000_000_001, 1e9, true},
	} {
		if got, ok := click.RelativeChange(c.before, c.now); got != c.want || ok != c.ok {
			t.Errorf("from %d to %d: %v %v, want %v %v", c.before, c.now, got, ok, c.want, c.ok)
		}
	}
}
