package idempotency

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"time"

	"kurz/internal/fault"
)

const (
	// Keep is for how long an answer is given again.
	Keep = 24 * time.Hour
	// Lease is for how long one attempt has its work for itself. It is longer
	// than a request may last, so that only a dead holder's runs out.
	Lease = 30 * time.Second
	// MaxKey bounds an Idempotency-Key, in bytes.
	MaxKey = 255
)

// Asked is a request with an Idempotency-Key.
type Asked struct {
	// Who asks: the same key of another one is another key.
	Who string
	// Secret is what Who proved to be themselves with, "" for strangers. The
	// stored answer can't be read without it and Key, neither of which is
	// stored: an answer may hold a secret of its own.
	Secret string
	Key    string
	Method string
	Path   string
	Body   []byte
}

// Once does work once a key. It is safe for concurrent use.
type Once struct {
	store  Store
	now    func() time.Time
	rand   io.Reader
	secret []byte
}

// NewOnce makes a Once from a store, a clock, a secure source of randomness,
// and a secret of this installation that is kept apart from the store.
func NewOnce(store Store, now func() time.Time, rand io.Reader, secret []byte) *Once {
	return &Once{store: store, now: now, rand: rand, secret: secret}
}

// ParseKey checks an Idempotency-Key field: 1 to MaxKey visible ASCII
// characters, else fault.ValidationFailed.
func ParseKey(s string) (string, error) {
	if len(s) == 0 || len(s) > MaxKey {
		return "", fault.Invalid("Idempotency-Key", "must have 1 to %d characters", MaxKey)
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return "", fault.Invalid("Idempotency-Key", "may contain only visible ASCII characters")
		}
	}
	return s, nil
}

// Do calls work unless its answer is known already, and keeps the answer
// before giving it back. An error of work is not kept: the next attempt works
// again, with the same Operation. An attempt whose key was used for another
// request is fault.IdempotencyKeyReused; one while the first is still running
// is fault.IdempotencyInProgress.
func (o *Once) Do(ctx context.Context, a Asked, work func(ctx context.Context, op Operation) (Answer, error)) (answer Answer, replayed bool, err error) {
	attempt, err := o.attempt(a)
	if err != nil {
		return Answer{}, false, err
	}
	outcome, record, err := o.store.Begin(ctx, attempt)
	if err != nil {
		return Answer{}, false, err
	}
	switch outcome {
	case Reused:
		return Answer{}, false, fault.New(fault.IdempotencyKeyReused, "This Idempotency-Key was used for another request: use a new one")
	case InProgress:
		return Answer{}, false, StillRunning()
	case Done:
		answer, err = unsealed(a, attempt.ID, record)
		return answer, err == nil, err
	}
	return o.begun(ctx, a, attempt, record.Operation, work)
}

// StillRunning gives the fault of a request whose first attempt is not answered.
func StillRunning() error {
	f := fault.New(fault.IdempotencyInProgress, "The first request with this Idempotency-Key is still running: try again shortly")
	f.RetryAfter = time.Second
	return f
}

// Replay gives the answer that was kept for the request; fault.NotFound if
// there is none for it. It does no work and begins none.
func (o *Once) Replay(ctx context.Context, a Asked) (Answer, error) {
	id := o.id(a)
	outcome, record, err := o.store.Find(ctx, id, fingerprint(a), o.now())
	switch {
	case err != nil:
		return Answer{}, err
	case outcome != Done:
		return Answer{}, fault.New(fault.NotFound, "No answer is kept for this request")
	}
	return unsealed(a, id, record)
}

func unsealed(a Asked, id ID, record Record) (Answer, error) {
	body, err := open(a, id, record.Answer.Body)
	record.Answer.Body = body
	return record.Answer, err
}

// begun does the work. From here on the client's going away changes nothing:
// what was begun is brought to its end.
func (o *Once) begun(ctx context.Context, a Asked, at Attempt, op Operation, work func(context.Context, Operation) (Answer, error)) (answer Answer, replayed bool, err error) {
	kept := context.WithoutCancel(ctx)
	finished := false
	defer func() {
		if !finished { // an error, or a panic on its way
			_ = o.store.Abandon(kept, at.ID, at.Holder)
		}
	}()
	if answer, err = work(kept, op); err != nil {
		return Answer{}, false, err
	}
	sealed := answer
	if sealed.Body, err = o.seal(a, at.ID, answer.Body); err != nil {
		return Answer{}, false, err
	}
	if err := o.store.Finish(kept, at.ID, at.Holder, sealed); err != nil {
		return Answer{}, false, fmt.Errorf("keep the answer: %w", err)
	}
	finished = true
	return answer, false, nil
}

func (o *Once) attempt(a Asked) (Attempt, error) {
	at := Attempt{
		ID:          o.id(a),
		Fingerprint: fingerprint(a),
		Now:         o.now(),
		Lease:       Lease,
		Keep:        Keep,
	}
	if _, err := io.ReadFull(o.rand, at.Operation[:]); err != nil {
		return at, err
	}
	_, err := io.ReadFull(o.rand, at.Holder[:])
	return at, err
}

func (o *Once) id(a Asked) ID {
	return sum(hmac.New(sha256.New, o.secret), a.Who, a.Key)
}

func fingerprint(a Asked) Fingerprint {
	return sum(sha256.New(), a.Method, a.Path, string(a.Body))
}

// sum hashes texts, each with its length before it.
func sum(h hash.Hash, texts ...string) [32]byte {
	var n [8]byte
	for _, t := range texts {
		binary.BigEndian.PutUint64(n[:], uint64(len(t)))
		h.Write(n[:])
		io.WriteString(h, t)
	}
	return [32]byte(h.Sum(nil))
}

func (o *Once) seal(a Asked, id ID, body []byte) ([]byte, error) {
	aead, err := sealer(a, id)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(body)+aead.Overhead())
	if _, err := io.ReadFull(o.rand, nonce); err != nil {
		return nil, err
	}
	return aead.Seal(nonce, nonce, body, nil), nil
}

// open fails where the answer was kept for another secret: the same user with
// another key of theirs.
func open(a Asked, id ID, sealed []byte) ([]byte, error) {
	aead, err := sealer(a, id)
	if err != nil {
		return nil, err
	}
	if len(sealed) < aead.NonceSize() {
		return nil, fmt.Errorf("kept answer is damaged")
	}
	n := aead.NonceSize()
	body, err := aead.Open(nil, sealed[:n], sealed[n:], nil)
	if err != nil {
		return nil, fault.New(fault.IdempotencyKeyReused, "This Idempotency-Key was used with another API key: use a new one")
	}
	return body, nil
}

// sealer gives AES-256-GCM under a key derived (HKDF, RFC 5869) from what only
// the client has.
func sealer(a Asked, id ID) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, []byte(a.Secret+"\x00"+a.Key), id[:], "kurz idempotency answer", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
