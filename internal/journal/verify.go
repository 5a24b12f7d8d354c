package journal

import (
	"fmt"
	"os"

	"kurz/internal/click"
)

// Report is what Walk found in a journal.
type Report struct {
	Log      click.LogID
	Segments []SegmentReport
	Records  uint64 // that are intact
	Damaged  uint64 // that are not, as far as they can be told apart
}

// SegmentReport is what Walk found in one segment.
type SegmentReport struct {
	Path        string
	Bytes       int64  // the file's size
	First, Last uint64 // sequences of the intact records; 0 where there are none
	Records     uint64
	Damaged     uint64
	Sealed      bool // closed in order: nothing will be appended to it
	Header      bool // the header is intact
}

// Verify reads all of a journal without changing anything, and tells what it
// found. It can be done beside the process that has the journal open; then what
// is appended meanwhile may be missed, or seen as damaged.
func Verify(dir string) (Report, error) { return Walk(dir, nil) }

// Walk does as Verify, and shows every intact record to visit, unless that is
// nil. The record's data is valid until visit returns. An error of visit ends
// the walk and is given back.
func Walk(dir string, visit func(click.Record) error) (Report, error) {
	list, err := listSegments(dir, os.O_RDONLY)
	if err != nil {
		return Report{}, fmt.Errorf("verifying journal: %w", err)
	}
	defer func() {
		for _, f := range list {
			f.file.Close()
		}
	}()
	id, _, err := recognise(dir, list)
	if err != nil {
		return Report{}, fmt.Errorf("verifying journal: %w", err)
	}
	report := Report{Log: id}
	var last uint64
	for _, f := range list {
		seg, err := walkSegment(f, id, last, visit)
		if err != nil {
			return report, err
		}
		last = max(last, seg.Last)
		report.Segments = append(report.Segments, seg)
		report.Records += seg.Records
		report.Damaged += seg.Damaged
	}
	return report, nil
}

func walkSegment(f found, id click.LogID, after uint64, visit func(click.Record) error) (SegmentReport, error) {
	h := parseHeader(f.head, id)
	seg := SegmentReport{Path: f.path, Bytes: f.size, Sealed: h.sealed, Header: h.file}
	var s scanner
	if h.first > 0 {
		s.reset(f.file, seedOf(id), f.size, h.first, false)
	} else {
		s.reset(f.file, seedOf(id), f.size, after+1, true)
	}
	if h.sealed {
		s.end, s.expect = h.seal.end, h.seal.last
	}
	for {
		seq, data, damaged, ok := s.next()
		seg.Damaged += damaged
		if !ok {
			return seg, nil
		}
		if seg.Records++; seg.Records == 1 {
			seg.First = seq
		}
		seg.Last = seq
		if visit != nil {
			if err := visit(click.Record{Sequence: seq, Data: data}); err != nil {
				return seg, err
			}
		}
	}
}
