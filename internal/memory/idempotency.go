package memory

import (
	"bytes"
	"context"
	"maps"
	"sync"
	"time"

	"kurz/internal/fault"
	"kurz/internal/idempotency"
)

// Idempotency is an idempotency.Store.
type Idempotency struct {
	mu      sync.Mutex
	records map[idempotency.ID]*once
}

// once is what is kept of one record.
type once struct {
	fingerprint idempotency.Fingerprint
	record      idempotency.Record
	done        bool
	holder      [16]byte // zero: nobody
	leasedUntil time.Time
	keptUntil   time.Time
}

// NewIdempotency makes an empty store.
func NewIdempotency() *Idempotency {
	return &Idempotency{records: map[idempotency.ID]*once{}}
}

// Begin implements idempotency.Store.
func (s *Idempotency) Begin(ctx context.Context, a idempotency.Attempt) (idempotency.Outcome, idempotency.Record, error) {
	if err := ctx.Err(); err != nil {
		return 0, idempotency.Record{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.records[a.ID]
	switch {
	case r == nil || !a.Now.Before(r.keptUntil):
		r = &once{
			fingerprint: a.Fingerprint, record: idempotency.Record{Operation: a.Operation}, keptUntil: a.Now.Add(a.Keep),
		}
		s.records[a.ID] = r
	case r.fingerprint != a.Fingerprint:
		return idempotency.Reused, idempotency.Record{}, nil
	case r.done:
		return idempotency.Done, idempotency.Record{Operation: r.record.Operation, Answer: cloneAnswer(r.record.Answer)}, nil
	case r.holder != [16]byte{} && a.Now.Before(r.leasedUntil):
		return idempotency.InProgress, idempotency.Record{}, nil
	}
	r.holder, r.leasedUntil = a.Holder, a.Now.Add(a.Lease)
	return idempotency.Started, idempotency.Record{Operation: r.record.Operation}, nil
}

// Find implements idempotency.Store.
func (s *Idempotency) Find(ctx context.Context, id idempotency.ID, f idempotency.Fingerprint, now time.Time) (idempotency.Outcome, idempotency.Record, error) {
	if err := ctx.Err(); err != nil {
		return 0, idempotency.Record{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.records[id]
	switch {
	case r == nil || !now.Before(r.keptUntil):
		return 0, idempotency.Record{}, fault.New(fault.NotFound, "No request with this key is known")
	case r.fingerprint != f:
		return idempotency.Reused, idempotency.Record{}, nil
	case !r.done:
		return idempotency.InProgress, idempotency.Record{}, nil
	}
	return idempotency.Done, idempotency.Record{Operation: r.record.Operation, Answer: cloneAnswer(r.record.Answer)}, nil
}

// Finish implements idempotency.Store. The first answer of a holder stays.
func (s *Idempotency) Finish(ctx context.Context, id idempotency.ID, holder [16]byte, answer idempotency.Answer) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.records[id]
	if r == nil || r.holder != holder {
		return fault.New(fault.NotFound, "The request was taken over by a later one")
	}
	if !r.done {
		r.done, r.record.Answer = true, cloneAnswer(answer)
	}
	return nil
}

// Abandon implements idempotency.Store.
func (s *Idempotency) Abandon(ctx context.Context, id idempotency.ID, holder [16]byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.records[id]; r != nil && r.holder == holder && !r.done {
		r.holder = [16]byte{}
	}
	return nil
}

// Sweep implements idempotency.Store.
func (s *Idempotency) Sweep(ctx context.Context, now time.Time, limit int) (n int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, r := range s.records {
		if n == limit {
			break
		}
		if !now.Before(r.keptUntil) {
			delete(s.records, id)
			n++
		}
	}
	return n, nil
}

func cloneAnswer(a idempotency.Answer) idempotency.Answer {
	return idempotency.Answer{Status: a.Status, Header: maps.Clone(a.Header), Body: bytes.Clone(a.Body)}
}
