package client

import (
	"io"
	"time"
)

// Event is an event of a stream.
type Event struct{ ID, Name, Data string }

// ReadEvents reads a stream to its end.
func ReadEvents(r io.Reader) (events []Event, retry time.Duration, err error) {
	s := newStream(r, func() {})
	for {
		e, err := s.next()
		if err != nil {
			return events, s.retry, err
		}
		events = append(events, Event{e.id, e.name, e.data})
	}
}
