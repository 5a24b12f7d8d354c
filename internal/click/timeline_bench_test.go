package click_test

import (
	"testing"
	"time"

	"kurz/internal/click"
)

// BenchmarkTimeline tells the hours of fourteen months.
func BenchmarkTimeline(b *testing.B) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		b.Fatal(err)
	}
	from := time.Date(2025, 9, 1, 0, 0, 0, 0, zone)
	q := click.Query{From: from, To: from.AddDate(0, 14, 0), Interval: click.Daily, Zone: zone}
	for b.Loop() {
		t := click.NewTimeline(q)
		for at := q.From.Unix(); at < q.To.Unix(); at += 15 * 60 {
			t.Add(at, 1)
		}
		var r click.Report
		t.Tell(&r, func(int64) int64 { return 0 })
	}
}
