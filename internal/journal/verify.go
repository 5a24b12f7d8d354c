package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"kurz/internal/click"
)

// Report is what Walk found in a journal.
type Report struct {
	Log      click.LogID
	Segments []SegmentReport
	Foreign  []string // paths of segments of another journal: Open leaves them alone
	Records  uint64   // that are intact
	Damaged  uint64   // that are not, as far as they can be told apart
	Reserve  bool     // there is one, for when the disk is full
}

// First and Last are the least and the greatest sequence of an intact record, 0
// where there are none.
func (r *Report) First() uint64 {
	for _, s := range r.Segments {
		if s.Records > 0 {
			return s.First
		}
	}
	return 0
}

// Last is described with First.
func (r *Report) Last() (last uint64) {
	for _, s := range r.Segments {
		last = max(last, s.Last)
	}
	return last
}

// Intact reports whether nothing is damaged or out of place: no record, no
// header of a segment with records, no segment.
func (r *Report) Intact() bool {
	for i := range r.Segments {
		if !r.Segments[i].Intact() {
			return false
		}
	}
	return len(r.Foreign) == 0
}

// SegmentReport is what Walk found in one segment.
type SegmentReport struct {
	Path        string
	Bytes       int64  // the file's size
	First, Last uint64 // sequences of the intact records; 0 where there are none
	Records     uint64
	Damaged     uint64
	Sealed      bool // closed in order: nothing will be appended to it
	// Through is the last sequence that it had when it was sealed; 0 where it
	// is not.
	Through uint64
	Header  bool // the header is intact
}

// Intact reports whether nothing of the segment is damaged.
func (s *SegmentReport) Intact() bool { return s.Damaged == 0 && (s.Header || s.Records == 0) }

// WalkOptions say how Walk goes about it. The zero WalkOptions verify a journal
// that nobody has open.
type WalkOptions struct {
	// Live says that a process has the journal open: what follows the last
	// intact record of a segment is then not damage, but on its way.
	Live bool
	// Begin, unless nil, is told whose journal it is before Visit is called. An error ends the walk and is given back.
	Begin func(click.LogID) error
	// Visit, unless nil, is shown every intact record; its data is valid until
	// Visit returns. An error ends the walk and is given back.
	Visit func(click.Record) error
	// Progress, unless nil, is told now and then how many bytes were read, of
	// how many.
	Progress func(done, total int64)
}

// Verify reads all of a journal that nobody has open, without changing
// anything, and tells what it found.
func Verify(dir string) (Report, error) { return Walk(dir, WalkOptions{}) }

// Walk reads all of a journal without changing anything, and tells what it
// found. It fails where the folder or a segment can't be read, and where a
// segment is of another version of the format. With Live it can be done beside
// the process that has the journal open, and tells of all that was appended
// before it began and not released meanwhile.
func Walk(dir string, o WalkOptions) (Report, error) {
	list, err := listSegments(dir)
	if err != nil {
		return Report{}, fmt.Errorf("verifying journal: %w", err)
	}
	id, _, err := recognise(dir, list)
	if err != nil {
		return Report{}, fmt.Errorf("verifying journal: %w", err)
	}
	if o.Begin != nil {
		if err := o.Begin(id); err != nil {
			return Report{Log: id}, err
		}
	}
	w := walk{WalkOptions: o, report: Report{Log: id}}
	if _, err := os.Stat(filepath.Join(dir, reserveName)); err == nil {
		w.report.Reserve = true
	}
	for _, f := range list {
		w.total += f.size
	}
	for _, f := range list {
		if err := w.segment(f); err != nil {
			return w.report, err
		}
		w.tell(f.size)
		w.before += f.size
	}
	return w.report, nil
}

// walk is one Walk.
type walk struct {
	WalkOptions
	report        Report
	last          uint64 // sequence
	before, total int64  // bytes of the segments before, and of all
	told          int64
}

// tell tells of progress within the present segment, every few megabytes.
func (w *walk) tell(within int64) {
	const step = 4 << 20
	done := w.before + within
	if w.Progress != nil && (done >= w.told+step || done == w.total && done > w.told) {
		w.told = done
		w.Progress(done, w.total)
	}
}

func (w *walk) segment(f found) error {
	if f.foreign(w.report.Log) {
		w.report.Foreign = append(w.report.Foreign, f.path)
		return nil
	}
	file, err := os.Open(f.path)
	if w.Live && errors.Is(err, fs.ErrNotExist) {
		return nil // released meanwhile
	}
	if err != nil {
		return fmt.Errorf("verifying journal: %w", err)
	}
	defer file.Close()
	h := parseHeader(f.head, w.report.Log)
	s := w.scanner(f, file, h)
	if w.Live && !h.sealed {
		// Records are appended one after the other, but a read that meets an
		// append may see the later of two and not the earlier. Once the last
		// one was seen, all before it are there to be read, and the header.
		for ok := true; ok; {
			_, _, _, ok = s.next()
		}
		end := s.anchor
		if _, err := file.ReadAt(f.head, 0); err == nil {
			h = parseHeader(f.head, w.report.Log)
		}
		s = w.scanner(f, file, h)
		s.end, s.expect = end, 0
	}
	seg := SegmentReport{Path: f.path, Bytes: f.size, Sealed: h.sealed, Through: h.seal.last, Header: h.file}
	for {
		seq, data, damaged, ok := s.next()
		seg.Damaged += damaged
		if !ok {
			break
		}
		if seg.Records++; seg.Records == 1 {
			seg.First = seq
		}
		seg.Last = seq
		if w.Visit != nil {
			if err := w.Visit(click.Record{Sequence: seq, Data: data}); err != nil {
				return err
			}
		}
		w.tell(s.off)
	}
	w.last = max(w.last, seg.Last)
	w.report.Segments = append(w.report.Segments, seg)
	w.report.Records += seg.Records
	w.report.Damaged += seg.Damaged
	return nil
}

// scanner gives one at the first record of a segment.
func (w *walk) scanner(f found, file *os.File, h header) *scanner {
	s := new(scanner)
	if h.first > 0 {
		s.reset(file, seedOf(w.report.Log), f.size, h.first, false)
	} else {
		s.reset(file, seedOf(w.report.Log), f.size, w.last+1, true)
	}
	if h.sealed {
		s.end, s.expect = h.seal.end, h.seal.last
	}
	return s
}
