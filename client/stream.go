package client

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"time"
)

// stream reads server-sent events (WHATWG HTML, section 9.2.6).
type stream struct {
	r *bufio.Reader
	// alive is called for each line that was read.
	alive   func()
	id      string        // of the present event
	last    string        // of the last event, or what was one but for its data
	retry   time.Duration // that the server asks for; negative: none
	started bool
	feed    bool // the line before ended with CR: an LF belongs to it
}

// streamEvent is one event.
type streamEvent struct{ id, name, data string }

// maxEvent bounds an event, in bytes.
const maxEvent = 1 << 20

var errTooLong = errors.New("an event is too long")

func newStream(r io.Reader, alive func()) *stream {
	return &stream{r: bufio.NewReader(r), alive: alive, retry: -1}
}

// next gives the next event; io.EOF at the end, where an event that was begun
// counts for nothing.
func (s *stream) next() (streamEvent, error) {
	var e streamEvent
	var data []string
	size := 0
	for {
		line, err := s.line()
		if err != nil {
			return streamEvent{}, err
		}
		s.alive()
		if size += len(line); size > maxEvent {
			return streamEvent{}, errTooLong
		}
		if line == "" {
			s.last = s.id // also of what was no event, but a place in the stream
			if len(data) > 0 {
				e.id, e.data = s.id, strings.Join(data, "\n")
				return e, nil
			}
			e, size = streamEvent{}, 0
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "event":
			e.name = value
		case "data":
			data = append(data, value)
		case "id":
			if !strings.Contains(value, "\x00") {
				s.id = value
			}
		case "retry":
			s.setRetry(value)
		}
	}
}

// setRetry takes milliseconds, and nothing but digits.
func (s *stream) setRetry(value string) {
	if value == "" || len(value) > 9 || strings.Trim(value, "0123456789") != "" {
		return
	}
	ms := 0
	for _, digit := range value {
		ms = 10*ms + int(digit-'0')
	}
	s.retry = time.Duration(ms) * time.Millisecond
}

// line reads a line without its end: LF, CR or both. The end of the stream ends
// no line.
func (s *stream) line() (string, error) {
	var b strings.Builder
	for {
		c, err := s.r.ReadByte()
		if err != nil {
			return "", err
		}
		if c == '\n' && s.feed {
			s.feed = false
			continue
		}
		s.feed = c == '\r'
		if c == '\n' || c == '\r' {
			line := b.String()
			if !s.started {
				s.started = true
				line = strings.TrimPrefix(line, "\ufeff")
			}
			return line, nil
		}
		if b.Len() >= maxEvent {
			return "", errTooLong
		}
		b.WriteByte(c)
	}
}
