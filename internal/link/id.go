package link

import (
	"encoding/binary"
	"io"
	"sync"
	"time"
)

// IDs makes IDs that grow with time: 41 bits of milliseconds since 2020, then
// 22 bits that start at random in each millisecond and count up. Two processes
// may draw the same; Store.Insert says so and the Registry draws again.
type IDs struct {
	now  func() time.Time
	rand io.Reader

	mu   sync.Mutex
	last ID
}

// NewIDs makes a source of IDs from a clock and a source of randomness.
func NewIDs(now func() time.Time, rand io.Reader) *IDs { return &IDs{now: now, rand: rand} }

const idTimeShift = 22

var idEpoch = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// Next gives an ID above every one that this source gave before, also when the
// clock goes backwards. It fails only if the source of randomness does.
func (s *IDs) Next() (ID, error) {
	var b [4]byte
	if _, err := io.ReadFull(s.rand, b[:]); err != nil {
		return 0, err
	}
	ms := max(s.now().Sub(idEpoch).Milliseconds(), 1)
	// The top bit stays free for counting up within the millisecond.
	low := binary.BigEndian.Uint32(b[:]) & (1<<(idTimeShift-1) - 1)
	id := ID(ms)<<idTimeShift | ID(low)
	s.mu.Lock()
	defer s.mu.Unlock()
	if id <= s.last {
		id = s.last + 1
	}
	s.last = id
	return id, nil
}
