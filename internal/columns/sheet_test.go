package columns_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"kurz/internal/click"
	"kurz/internal/columns"
	"kurz/internal/link"
)

// FuzzSheet reads what stands where a column or a Total of a sheet should be.
func FuzzSheet(f *testing.F) {
	const clicks = 300
	rows := &columns.Rows{}
	for i := range clicks {
		var texts [columns.TextCount]columns.Text
		for c := range texts {
			texts[c] = columns.Text(i % (c + 2))
		}
		at := start.Add(time.Duration(i) * 7 * time.Minute)
		rows.Add(&click.Event{ID: click.NewID(at, uint64(i)), Link: link.ID(i), Owner: 5, Kind: click.Kind(1 + i%3), Trigger: click.ByQR, Visitor: uint64(i) << 50}, texts)
	}
	some := rows.ByOwner(rows.Order())
	whole := map[int][]byte{}
	var encoder columns.Encoder
	encoder.AppendSheet(rows, some, func(column, _ int, data []byte) { whole[column] = bytes.Clone(data) })
	for column, data := range whole {
		f.Add(column, data)
		f.Add(0, data)
	}
	columns.Shares(rows, some, func(_ int, _ columns.Text, data []byte) { f.Add(-1, data) }, func(column, _ int, data []byte) {
		whole[column] = data
		f.Add(column, data)
	})
	queries := []click.Query{
		{Filters: []click.Filter{{Dimension: click.ByTrigger, Values: []string{"qr"}, Not: true}, {Dimension: click.ByCountry, Values: []string{"unknown"}}}},
		{Filters: []click.Filter{{Dimension: click.ByCountry, Values: []string{"unknown"}, Not: true}}},
		{Filters: []click.Filter{{Dimension: click.ByBrowser, Values: []string{"unknown"}}}, Subject: click.Subject{Owner: 5}},
		{From: start.Add(time.Hour), To: start.Add(20 * time.Hour)},
		{},
	}
	f.Fuzz(func(t *testing.T, column int, data []byte) {
		for _, q := range queries {
			if q.From.IsZero() {
				q.From, q.To = time.UnixMilli(0), start.AddDate(1, 0, 0)
			}
			q.Kinds, q.Interval = click.Humans, click.Monthly
			sheet := columns.Sheet{
				Clicks: clicks, First: rows.IDs[0], Last: rows.IDs[clicks-1],
				Load: func(c, _ int, _ []byte) ([]byte, error) {
					if c == column {
						return data, nil
					}
					return whole[c], nil
				},
				Share: func(int, columns.Text, []byte) ([]byte, error) {
					if column < 0 {
						return data, nil
					}
					return nil, nil
				},
			}
			counter := columns.NewCounter(q, nil)
			first, end := columns.Span(&q)
			if err := counter.AddSheet(&sheet, first, end); err != nil {
				if !errors.Is(err, columns.ErrDamaged) {
					t.Fatal(err)
				}
				return
			}
			_, err := counter.Report(func([]columns.Text) (map[columns.Text]string, error) { return nil, nil })
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}
