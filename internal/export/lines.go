package export

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// readLines reads links of a line each, of which the first is read. A line that
// is none is a row that can't be read.
func (in *input) readLines(lines *lineReader, first map[string]any) error {
	err := in.object(first)
	for err == nil {
		line, whole, end := lines.next()
		if errors.Is(end, io.EOF) {
			return nil
		}
		if end != nil {
			return end
		}
		o, why := objectIn(line)
		if !whole {
			why = fmt.Errorf("it has more than %d bytes", maxRecord)
			if err := lines.skip(); err != nil {
				return err
			}
		}
		if why != nil {
			err = in.give(&Row{Err: fmt.Errorf("line %d is no JSON object: %w", lines.number, why)})
		} else {
			err = in.object(o)
		}
	}
	return err
}

// objectIn gives the object that is all that a line has.
func objectIn(line []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(bytes.TrimSpace(line)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	o, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("it is %s", clip(fmt.Sprint(v)))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows it")
	}
	return o, nil
}

// lineReader reads lines that are not blank.
type lineReader struct {
	in     *bufio.Reader
	number int // of the line that was read last, from 1
}

// next gives a line with its end, or, not whole, the first bytes of one that has
// more than maxRecord; io.EOF where there is none.
func (l *lineReader) next() (line []byte, whole bool, err error) {
	for len(line) <= maxRecord {
		part, err := l.in.ReadSlice('\n')
		line = append(line, part...)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		l.number++
		if len(bytes.TrimSpace(line)) > 0 && (err == nil || errors.Is(err, io.EOF)) {
			return line, true, nil
		}
		if err != nil {
			return nil, false, err
		}
		line = line[:0]
	}
	l.number++
	return line, false, nil
}

// skip goes behind the end of a line that was not whole.
func (l *lineReader) skip() error {
	for {
		_, err := l.in.ReadSlice('\n')
		if !errors.Is(err, bufio.ErrBufferFull) {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}
