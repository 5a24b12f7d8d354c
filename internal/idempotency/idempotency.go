// Package idempotency makes a request with an Idempotency-Key be done once and
// answered alike each time, across crashes and parallel retries (IETF
// draft-ietf-httpapi-idempotency-key-header).
//
// Before the work begins, Store.Begin makes durable that it did and draws an
// Operation for it. The work carries the Operation into what it stores (see
// link.Store.Insert), so that a retry after a crash finds what was done rather
// than doing it again. When the work has its answer, Finish keeps it, and only
// then is it sent.
package idempotency

import (
	"context"
	"time"
)

// Operation names one piece of work, the same for each retry of it.
type Operation [16]byte

// ID names a record: a keyed hash over who asks and the key that was sent, from
// which an anonymous client's address can't be found again.
type ID [32]byte

// Fingerprint is a hash over what is asked: method, path and body.
type Fingerprint [32]byte

// Answer is what is given again. Body may be sealed; see Once.
type Answer struct {
	Status int
	Header map[string]string // the fields that belong to the answer
	Body   []byte
}

// Outcome says what Begin found.
type Outcome uint8

// The outcomes.
const (
	Started    Outcome = iota + 1 // do the work, then Finish or Abandon
	InProgress                    // someone else is doing it
	Done                          // Record.Answer is the answer
	Reused                        // the key was used for something else
)

// Record is what Begin gives back.
type Record struct {
	// Operation is that of the first Begin, also where that one's holder died.
	Operation Operation
	Answer    Answer // for Done
}

// Attempt is what Begin is asked with.
type Attempt struct {
	ID          ID
	Fingerprint Fingerprint
	// Operation is taken if this is the first attempt or its record is over.
	Operation Operation
	// Holder is this attempt's own random name, to tell its lease from others.
	Holder [16]byte
	Now    time.Time
	// Lease is for how long nobody else may begin, should this holder die.
	Lease time.Duration
	// Keep is for how long the record is kept, counted from the first Begin.
	Keep time.Duration
}

// Store keeps records. All methods may block, are durable when they return nil,
// and are safe for concurrent use; of any number of parallel Begins with one ID
// one is Started.
type Store interface {
	// Begin judges, in this order: no record, or one past its Keep: Started
	// with a.Operation. Another Fingerprint: Reused. An answer kept: Done. A
	// lease that has not ended: InProgress. Otherwise the holder died: Started
	// with the record's Operation.
	Begin(ctx context.Context, a Attempt) (Outcome, Record, error)
	// Find tells, and changes nothing: Done with the answer kept for this
	// Fingerprint, InProgress where there is a record without an answer, Reused
	// for another Fingerprint. No record, or one past its Keep, is
	// fault.NotFound.
	Find(ctx context.Context, id ID, f Fingerprint, now time.Time) (Outcome, Record, error)
	// Finish keeps the answer. It is fault.NotFound if the lease was lost to
	// another holder.
	Finish(ctx context.Context, id ID, holder [16]byte, answer Answer) error
	// Abandon ends the lease without an answer, so that a retry may begin at
	// once with the same Operation. A lease lost already is no error.
	Abandon(ctx context.Context, id ID, holder [16]byte) error
	// Sweep removes at most limit records past their Keep and says how many.
	Sweep(ctx context.Context, now time.Time, limit int) (int, error)
}
