package journal_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"kurz/internal/click"
	"kurz/internal/enrich"
	"kurz/internal/journal"
	"kurz/internal/link"
	"kurz/internal/memory"
)

// Damage as far as it counts: a journal of real clicks is damaged, opened,
// pumped into a sink, and every click that the damage left intact is in the
// sink, once, and nothing else. By default a sample of the damage is tried;
// with KURZ_DAMAGE=all, every byte of the last 64 KiB and 10,000 flips.

// patient is a journal of one segment with clicks, and copies of its files.
type patient struct {
	crashed  bool
	id       []byte
	name     string // of the segment
	segment  []byte
	ends     []int64 // of the records, with their padding
	starts   []int64
	sizes    []int64 // of the records, without padding
	lengths  []int64 // the same without zeros at the end
	enricher *enrich.Enricher
}

// tail is how much of the journal is cut off, byte by byte.
const tail = 64 << 10

func newPatient(t *testing.T, crashed bool) *patient {
	t.Helper()
	dir := memoryDir(t)
	j := open(t, dir, journal.Options{SegmentSize: journal.MinSegmentSize, Sync: time.Hour})
	p := &patient{crashed: crashed, enricher: enrich.New()}
	end := int64(journal.HeaderSize)
	for i := uint64(1); end < journal.HeaderSize+tail+2000; i++ {
		data := visit(i)
		if seq, err := j.Append(data); err != nil || seq != i {
			t.Fatal(seq, err)
		}
		p.starts = append(p.starts, end)
		end += journal.RecordSize(len(data))
		p.ends = append(p.ends, end)
		p.sizes = append(p.sizes, 16+int64(len(data)))
		// Zeros at the end can't be missed: beyond the end of a file there are
		// as many as one likes.
		p.lengths = append(p.lengths, 16+int64(len(bytes.TrimRight(data, "\x00"))))
	}
	if crashed {
		dir = crash(t, dir)
	} else if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	path := segments(t, dir)[0]
	p.name = filepath.Base(path)
	var err error
	if p.segment, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	if p.id, err = os.ReadFile(filepath.Join(dir, "id")); err != nil {
		t.Fatal(err)
	}
	return p
}

// visit gives the record of a click that tells which one it is.
func visit(seq uint64) []byte {
	return click.AppendVisit(nil, &click.Visit{
		Time: time.UnixMilli(1_800_000_000_000 + int64(seq)), Link: link.ID(seq), Owner: 7,
		UserAgent:      "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
		Referer:        "https://news.example/" + strings.Repeat("x", int(seq*37%200)),
		AcceptLanguage: "de,en;q=0.7", Query: "utm_source=mail",
	}, click.Place{Country: "DE"}, seq*7919, click.Human)
}

// intact reports whether a record is whole in the first size bytes. Of a sealed
// segment the padding may be missing: its end is known.
func (p *patient) intact(i int, size int64) bool {
	if p.crashed {
		return p.ends[i] <= size
	}
	return p.starts[i]+p.lengths[i] <= size
}

// examine opens a damaged copy and pumps it, and says what is wrong with what
// arrived.
func (p *patient) examine(t *testing.T, dir string, segment []byte, want func(i int) bool) string {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "id"), p.id)
	write(t, filepath.Join(dir, p.name), segment)
	j, err := openJournal(dir, journal.Options{SegmentSize: journal.MinSegmentSize, Sync: time.Hour})
	if err != nil {
		return err.Error()
	}
	defer j.Close()
	// A click of afterwards must not be taken for one that was counted.
	after := uint64(len(p.ends)) + 1
	if seq, err := j.Append(visit(after)); err != nil || seq < after {
		return fmt.Sprintf("sequence %d again: %v", seq, err)
	}
	sink := memory.NewClicks()
	var skipped []error
	pump := click.NewPump(click.PumpSettings{Log: j, Sink: sink, Enricher: p.enricher, Error: func(err error) { skipped = append(skipped, err) }})
	ended, cancel := context.WithCancel(t.Context())
	cancel() // so that it moves what there is, and ends
	if err := pump.Run(ended); err != nil {
		return err.Error()
	}
	if st := pump.Stats(); st.Skipped > 0 {
		return fmt.Sprintf("%d records arrived that are no clicks: %v", st.Skipped, skipped)
	}
	q := click.Query{From: time.UnixMilli(0), To: time.UnixMilli(1 << 42), Kinds: click.AllKind, Zone: time.UTC}
	events, _, err := sink.Events(t.Context(), q, 0, 500)
	if err != nil {
		return err.Error()
	}
	arrived := map[uint64]int{}
	for _, e := range events {
		n := uint64(e.Link)
		if e.Visitor != n*7919 || e.Time.UnixMilli() != 1_800_000_000_000+int64(n) || e.Country != "DE" || e.UTMSource != "mail" {
			return fmt.Sprintf("a damaged click was counted: %+v", e)
		}
		arrived[n]++
	}
	for i := range p.ends {
		due := 0
		if want(i) {
			due = 1
		}
		if n := arrived[uint64(i)+1]; n != due {
			return fmt.Sprintf("click %d was counted %d times, want %d", i+1, n, due)
		}
	}
	if arrived[after] != 1 {
		return fmt.Sprintf("the click after the damage was counted %d times", arrived[after])
	}
	return ""
}

// everything reports whether all damage is to be tried rather than a sample.
func everything() bool { return os.Getenv("KURZ_DAMAGE") == "all" }

func TestPumpedTruncations(t *testing.T) {
	t.Parallel()
	for _, crashed := range []bool{true, false} {
		t.Run(fmt.Sprintf("crashed=%v", crashed), func(t *testing.T) {
			t.Parallel()
			p := newPatient(t, crashed)
			dir := filepath.Join(memoryDir(t), "j")
			end := p.ends[len(p.ends)-1]
			step := int64(127)
			switch {
			case everything():
				step = 1
			case testing.Short():
				step = 997
			}
			cuts := 0
			for size := end; size >= end-tail; size -= step {
				if said := p.examine(t, dir, p.segment[:min(size, int64(len(p.segment)))], func(i int) bool { return p.intact(i, size) }); said != "" {
					t.Fatalf("cut at %d of %d: %s", size, end, said)
				}
				cuts++
			}
			t.Logf("damage: truncated %d times within the last %d bytes, %d clicks: no panic, every intact one counted, no other", cuts, tail, len(p.ends))
		})
	}
}

func TestPumpedFlips(t *testing.T) {
	t.Parallel()
	p := newPatient(t, true)
	dir := filepath.Join(memoryDir(t), "j")
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("KURZ_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("KURZ_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	rounds := 500
	switch {
	case everything():
		rounds = 10_000
	case testing.Short():
		rounds = 100
	}
	end := p.ends[len(p.ends)-1]
	hits := 0
	for round := range rounds {
		damaged := bytes.Clone(p.segment)
		hit := map[int]bool{}
		var places []int64
		for range 1 + random.IntN(4) {
			at := random.Int64N(end + 64)
			if slices.Contains(places, at) {
				continue // a second flip could mend the first
			}
			places = append(places, at)
			damaged[at] ^= 1 << random.IntN(8)
			if i, ok := p.recordAt(at); ok {
				hit[i] = true
			}
		}
		hits += len(hit)
		if said := p.examine(t, dir, damaged, func(i int) bool { return !hit[i] }); said != "" {
			t.Fatalf("round %d, bits flipped at %v: %s", round, places, said)
		}
	}
	t.Logf("damage: bits flipped %d times, %d of %d clicks hit: no panic, every intact one counted, no other", rounds, hits, rounds*len(p.ends))
}

// recordAt tells which record has the byte at a place; its padding is nobody's.
func (p *patient) recordAt(at int64) (int, bool) {
	for i, start := range p.starts {
		if at >= start && at < start+p.sizes[i] {
			return i, true
		}
	}
	return 0, false
}
