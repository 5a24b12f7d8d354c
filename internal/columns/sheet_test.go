package columns_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"kurz/internal/click"
	"kurz/internal/columns"
	"kurz/internal/link"
)

// FuzzSheet reads what stands where a column or a Total of a sheet should be.
func FuzzSheet(f *testing.F) {
	const clicks, rare = 300, 77
	rows := &columns.Rows{}
	for i := range clicks {
		var texts [columns.TextCount]columns.Text
		for c := range texts {
			texts[c] = columns.Text(i % (c + 2))
		}
		if i == clicks/2 {
			texts[columns.Country] = rare
		}
		at := start.Add(time.Duration(i) * 7 * time.Minute)
		rows.Add(&click.Event{ID: click.NewID(at, uint64(i)), Link: link.ID(i), Owner: 5, Kind: click.Kind(1 + i%3), Trigger: click.ByQR, Visitor: uint64(i) << 50}, texts)
	}
	some := rows.ByOwner(rows.Order())
	type place struct{ column, block int }
	whole := map[place][]byte{}
	put := func(column, block int, data []byte) {
		whole[place{column, block}] = bytes.Clone(data)
		f.Add(column, block, data)
		f.Add(0, 0, data)
	}
	var encoder columns.Encoder
	places := encoder.AppendSheet(rows, some, put)
	encoder.Rare(rows, some, put)
	type value struct {
		dimension int
		text      columns.Text
	}
	shares := map[value][]byte{}
	columns.Shares(rows, some, places, func(dimension int, text columns.Text, data []byte) {
		shares[value{dimension, text}] = data
		f.Add(-1, 0, data)
	}, put)
	queries := []click.Query{
		{Filters: []click.Filter{{Dimension: click.ByTrigger, Values: []string{"qr"}, Not: true}, {Dimension: click.ByCountry, Values: []string{"unknown"}}}},
		{Filters: []click.Filter{{Dimension: click.ByCountry, Values: []string{"unknown"}, Not: true}}},
		{Filters: []click.Filter{{Dimension: click.ByCountry, Values: []string{"rare"}}}},
		{Filters: []click.Filter{{Dimension: click.ByBrowser, Values: []string{"unknown"}}}, Subject: click.Subject{Owner: 5}},
		{From: start.Add(time.Hour), To: start.Add(20 * time.Hour)},
		{Filters: []click.Filter{{Dimension: click.ByBrowser, Values: []string{"unknown"}}}, Zone: time.FixedZone("", 5*60*60)},
		{},
	}
	f.Fuzz(func(t *testing.T, column, block int, data []byte) {
		for i, q := range slices.Concat(queries, queries) {
			if q.From.IsZero() {
				q.From, q.To = time.UnixMilli(0), start.AddDate(1, 0, 0)
			}
			q.Kinds, q.Interval = click.Humans, click.Monthly
			if q.Zone != nil {
				q.Interval = click.Daily
			}
			sheet := columns.Sheet{
				Clicks: clicks, First: rows.IDs[0], Last: rows.IDs[clicks-1], AloneEnd: 1 << 50,
				Load: func(c, b int, _ []byte) ([]byte, error) {
					if c == column && b == block {
						return data, nil
					}
					return whole[place{c, b}], nil
				},
				Share: func(dimension int, text columns.Text, _ []byte) ([]byte, error) {
					switch {
					case column < 0:
						return data, nil
					case i < len(queries):
						return shares[value{dimension, text}], nil
					}
					return nil, nil
				},
			}
			counter := columns.NewCounter(q, columns.Names{"rare": rare})
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
