package columns_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"kurz/internal/account"
	"kurz/internal/click"
	"kurz/internal/columns"
	"kurz/internal/link"
)

var start = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

// drawn gives rows of all sorts.
func drawn(t *rapid.T, most int) *columns.Rows {
	rows := &columns.Rows{}
	number := func(label string) uint64 {
		return rapid.OneOf(rapid.Uint64Range(0, 3), rapid.Uint64Range(0, 1<<20), rapid.Uint64Range(0, math.MaxInt64)).Draw(t, label)
	}
	for range rapid.IntRange(1, most).Draw(t, "rows") {
		var texts [columns.TextCount]columns.Text
		for i := range texts {
			texts[i] = columns.Text(number("text") & math.MaxUint32)
		}
		rows.Add(&click.Event{
			ID: click.ID(number("id")), Link: link.ID(number("link")), Owner: account.ID(number("owner")),
			Kind: click.Kind(rapid.IntRange(1, 5).Draw(t, "kind")), Trigger: click.Trigger(rapid.IntRange(1, 2).Draw(t, "trigger")),
			Visitor: rapid.OneOf(rapid.Just(uint64(0)), rapid.Uint64()).Draw(t, "visitor"),
		}, texts)
	}
	return rows
}

func TestChunk(t *testing.T) {
	var encoder columns.Encoder // which must keep nothing of the chunk before
	rapid.Check(t, func(t *rapid.T) {
		rows := drawn(t, 60)
		order := rows.Order()
		data := encoder.Append([]byte("before"), rows, order)[len("before"):]
		var chunk columns.Chunk
		if err := errors.Join(chunk.Open(data), chunk.Err()); err != nil {
			t.Fatal(err)
		}
		want, got := &columns.Rows{}, &columns.Rows{}
		for _, i := range order {
			want.AddRow(rows, int(i))
		}
		chunk.Append(got, 0, chunk.Len())
		if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(columns.Rows{})); diff != "" || chunk.Err() != nil {
			t.Fatalf("error %v (-want +got):\n%s", chunk.Err(), diff)
		}
		from := rapid.IntRange(0, chunk.Len()).Draw(t, "from")
		to := rapid.IntRange(from, chunk.Len()).Draw(t, "to")
		part := &columns.Rows{}
		chunk.Append(part, from, to)
		if !slices.Equal(part.IDs, want.IDs[from:to]) || !slices.Equal(part.Links, want.Links[from:to]) {
			t.Fatalf("from %d to %d: %v", from, to, part.IDs)
		}
		chunk.EachLink(func(id link.ID, from, to int) {
			if f, n := chunk.Find(id); f != from || n != to || want.Links[from] != id || want.Links[to-1] != id {
				t.Fatalf("link %d is at %d to %d, found at %d to %d", id, from, to, f, n)
			}
		})
		if from, to := chunk.Find(-1); from != to {
			t.Fatal("found a link that is not there")
		}
	})
}

// TestChunkCorners has what a chunk may be at most and at least.
func TestChunkCorners(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for name, fill := range map[string]func(i int) (click.Event, columns.Text){
		"all the same": func(int) (click.Event, columns.Text) { return click.Event{ID: 1, Link: 1}, 7 },
		"all different": func(i int) (click.Event, columns.Text) {
			return click.Event{ID: click.ID(r.Int64()), Link: link.ID(r.Int64()), Owner: account.ID(r.Int64()), Visitor: r.Uint64()}, columns.Text(math.MaxUint32 - i)
		},
	} {
		t.Run(name, func(t *testing.T) {
			rows := &columns.Rows{}
			for i := range columns.ChunkRows {
				e, text := fill(i)
				e.Kind, e.Trigger = click.Human, click.ByQR
				var texts [columns.TextCount]columns.Text
				for c := range texts {
					texts[c] = text
				}
				rows.Add(&e, texts)
			}
			var encoder columns.Encoder
			data := encoder.Append(nil, rows, rows.Order())
			var chunk columns.Chunk
			if err := chunk.Open(data); err != nil {
				t.Fatal(err)
			}
			want, got := &columns.Rows{}, &columns.Rows{}
			for _, i := range rows.Order() {
				want.AddRow(rows, int(i))
			}
			chunk.Append(got, 0, chunk.Len())
			if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(columns.Rows{})); diff != "" {
				t.Errorf("(-want +got):\n%.1000s", diff)
			}
			t.Logf("%d bytes, %.1f a click", len(data), float64(len(data))/columns.ChunkRows)
		})
	}
}

func FuzzChunk(f *testing.F) {
	var encoder columns.Encoder
	rows := &columns.Rows{}
	f.Add(encoder.Append(nil, rows, nil))
	for i := range 40 {
		var texts [columns.TextCount]columns.Text
		for c := range texts {
			texts[c] = columns.Text(i % (c + 1))
		}
		rows.Add(&click.Event{ID: click.NewID(start, uint64(i)), Link: link.ID(i / 3), Owner: 5, Kind: click.Human, Visitor: uint64(i) << 50}, texts)
		if i%13 == 0 {
			f.Add(encoder.Append(nil, rows, rows.Order()))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var chunk columns.Chunk
		if chunk.Open(data) != nil {
			return
		}
		got := &columns.Rows{}
		chunk.Append(got, 0, chunk.Len())
		if got.Len() != chunk.Len() || len(got.Links) != chunk.Len() || len(got.Texts[3]) != chunk.Len() {
			t.Fatalf("%d clicks of %d", got.Len(), chunk.Len())
		}
		q := click.Query{
			From: time.UnixMilli(0), To: start.AddDate(1, 0, 0), Kinds: click.AllKind, Interval: click.Monthly,
			Filters: []click.Filter{{Dimension: click.ByTrigger, Values: []string{"qr"}, Not: true}, {Dimension: click.ByCountry, Values: []string{"unknown"}}},
		}
		counter := columns.NewCounter(q, nil)
		counter.AddChunk(&chunk, 0, chunk.Len(), 0, math.MaxInt64)
		_, err := counter.Report(func([]columns.Text) (map[columns.Text]string, error) { return nil, nil })
		if err != nil {
			t.Fatal(err)
		}
	})
}

// shelf keeps rollups of one subject in memory.
type shelf map[string][]byte

func place(s columns.Subject, g columns.Grain, period int64) string { return fmt.Sprint(s, g, period) }

func (s shelf) Rollup(of columns.Subject, g columns.Grain, period int64) ([]byte, error) {
	return s[place(of, g, period)], nil
}

func (s shelf) PutRollup(of columns.Subject, g columns.Grain, period int64, data []byte) error {
	s[place(of, g, period)] = slices.Clone(data)
	return nil
}

func (s shelf) Days() (first, last int64, ok bool, err error) {
	first = start.Unix()/86400 - 40
	return first, first + 80, true, nil
}

func (s shelf) Rollups(g columns.Grain, first, last int64, each func(int64, []byte) error) error {
	for period := first; period <= last; period++ {
		if data := s[place(columns.Subject{}, g, period)]; data != nil {
			if err := each(period, data); err != nil {
				return err
			}
		}
	}
	return nil
}

// FuzzRollups reads what stands where a rollup should be.
func FuzzRollups(f *testing.F) {
	kept := shelf{}
	rows := &columns.Rows{}
	for i := range 700 {
		var texts [columns.TextCount]columns.Text
		texts[columns.Country] = columns.Text(i % 9)
		at := start.Add(time.Duration(i) * time.Minute)
		rows.Add(&click.Event{ID: click.NewID(at, uint64(i)), Link: 1, Kind: click.Kind(1 + i%3), Trigger: click.ByLink, Visitor: uint64(i%50 + 1)}, texts)
	}
	roller := columns.Roller{Keeper: kept}
	if err := roller.Add(rows, rows.Order(), func(link.ID) bool { return false }); err != nil {
		f.Fatal(err)
	}
	for g := columns.SlotCounts; g <= columns.BothWeeks; g++ {
		for _, data := range kept {
			f.Add(int(g), data)
		}
	}
	many := columns.Visitors{}
	for i := range uint64(20_000) {
		many.Add(i + 1)
	}
	total := columns.Total{Visitors: [2]columns.Visitors{many}}
	f.Add(int(columns.Months), total.Append(nil))
	f.Add(int(columns.Days), total.AppendDay(nil))
	for g := columns.PeopleSketches; g <= columns.BothSketches; g++ {
		f.Add(int(g), total.AppendSketch(nil, g))
		f.Add(int(columns.PeopleWeeks+g-columns.PeopleSketches), total.AppendSketch([]byte{3}, g))
	}
	day := start.Unix() / 86400
	f.Fuzz(func(_ *testing.T, grain int, data []byte) {
		g := columns.Grain(grain)
		s := shelf{}
		for _, period := range []int64{day, day + 1, columns.MonthOf(day)} {
			s[place(columns.Subject{}, g, period)] = data
		}
		q := click.Query{From: start.AddDate(0, -2, 0), To: start.AddDate(0, 2, 0), Kinds: click.AllKind, Interval: click.Daily}
		counter := columns.NewCounter(q, nil)
		first, end, _, _ := counter.Aligned()
		if counter.AddRollups(s, true, first, end) != nil {
			return
		}
		_, _ = counter.Report(func([]columns.Text) (map[columns.Text]string, error) { return nil, nil })
		_ = columns.EachText(g, data, func(columns.Text) {})
		more := columns.Roller{Keeper: s}
		_ = more.AddSlots(rows, rows.Order())
		_ = more.Total(columns.Subject{}, s)
	})
}

// TestVisitors counts up to a million: exactly to 10,000, within 2 % above, and
// the same however they are divided.
func TestVisitors(t *testing.T) {
	for seed := range uint64(3) {
		r := rand.New(rand.NewPCG(seed, 9))
		var all columns.Visitors
		var parts [7]columns.Visitors
		worst, checked := 0.0, 0
		for n := 1; n <= 1_000_000; n++ {
			v := r.Uint64() | 1
			for range 1 + n%2 { // some come twice
				all.Add(v)
				parts[r.IntN(len(parts))].Add(v)
			}
			if n > 10_000 && n%(n/200) != 0 {
				continue
			}
			checked++
			got := all.Count()
			if n <= columns.ExactVisitors && got != int64(n) {
				t.Fatalf("%d visitors counted as %d", n, got)
			}
			worst = max(worst, math.Abs(float64(got)-float64(n))/float64(n))
		}
		if worst > 0.02 {
			t.Errorf("seed %d: off by %.2f %%", seed, 100*worst)
		}
		var union, again columns.Visitors
		for i := range parts {
			union.Merge(&parts[i])
			again.Merge(&parts[len(parts)-1-i])
		}
		if !slices.Equal(union.Append(nil), all.Append(nil)) || !slices.Equal(again.Append(nil), all.Append(nil)) {
			t.Error("a union is not what was divided")
		}
		t.Logf("seed %d: at most %.2f %% off at %d sizes up to 1,000,000, 0 up to %d", seed, 100*worst, checked, columns.ExactVisitors)
	}
}

// TestManyVisitors has days of 3,000 visitors each, in weeks in which they are
// the same each day or never: the ones are counted exactly, the others estimated.
func TestManyVisitors(t *testing.T) {
	kept := shelf{}
	roller := columns.Roller{Keeper: kept}
	monday := start.Truncate(24*time.Hour).AddDate(0, 0, -6)
	rows := &columns.Rows{}
	for day := range 28 {
		for i := range 3000 {
			at := monday.Add(time.Duration(day)*24*time.Hour + time.Duration(i)*20*time.Second)
			visitor := uint64(i + 1)
			if day/7%2 == 1 {
				visitor += uint64(day) << 20
			}
			rows.Add(&click.Event{ID: click.NewID(at, uint64(i)), Link: 1, Kind: click.Kind(1 + i%2), Visitor: visitor}, [columns.TextCount]columns.Text{})
		}
	}
	if err := roller.Add(rows, rows.Order(), func(link.ID) bool { return false }); err != nil {
		t.Fatal(err)
	}
	for kinds, share := range map[click.KindSet]int64{click.Humans: 2, click.Bots: 2, click.AllKind: 1} {
		q := click.Query{From: monday, To: monday.AddDate(0, 0, 28), Kinds: kinds, Interval: click.Weekly}
		counter := columns.NewCounter(q, nil)
		first, end, _, _ := counter.Aligned()
		if err := counter.AddRollups(kept, true, first, end); err != nil {
			t.Fatal(err)
		}
		report, err := counter.Report(func([]columns.Text) (map[columns.Text]string, error) { return nil, nil })
		if err != nil {
			t.Fatal(err)
		}
		for i, b := range report.Series {
			want := 3000 / share
			if i%2 == 1 {
				want *= 7
			}
			if got := b.UniqueVisitors; got != want && (want <= columns.ExactVisitors || max(got-want, want-got)*50 > want) {
				t.Errorf("%s, week %d: %d visitors, want %d", kinds, i, got, want)
			}
		}
		want := (3000 + 14*3000) / share
		if got := report.UniqueVisitors; max(got-want, want-got)*50 > want {
			t.Errorf("%s: %d visitors, want %d", kinds, got, want)
		}
	}
}
