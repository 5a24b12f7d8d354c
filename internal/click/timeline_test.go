package click_test

import (
	"testing"
	"time"

	"kurz/internal/click"
)

// TestTimelineBucket asks for the bucket of each quarter of an hour of a year,
// in zones that change their offsets at midnight, by half an hour and by a day:
// it is that of Add, and the only one as far as it is said to be.
func TestTimelineBucket(t *testing.T) {
	for _, name := range []string{"Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia", "America/Sao_Paulo"} {
		for _, interval := range []click.Interval{click.Hourly, click.Daily, click.Weekly, click.Monthly} {
			first := time.Date(2011, 3, 1, 0, 0, 0, 0, time.UTC)
			q := click.Query{From: first, To: first.AddDate(1, 0, 0), Zone: zone(t, name), Interval: interval}
			line, stretch := click.NewTimeline(q), click.NewTimeline(q)
			var bucket, start, end int64
			for at := q.From.Unix(); at < q.To.Unix(); at += 15 * 60 {
				if at < start || at >= end {
					bucket, start, end = stretch.Bucket(at)
				}
				if is := line.Add(at, 1); is != bucket || at < start || at >= end {
					t.Fatalf("%s, %s: %v is in bucket %d, said to be in %d", name, interval, time.Unix(at, 0).UTC(), is, bucket)
				}
			}
		}
	}
}
