package enrich

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Rotation says how long visitors are told apart by the same key.
type Rotation string

// The rotations. Periods begin at midnight UTC, weeks on Monday.
const (
	Day   Rotation = "day"
	Week  Rotation = "week"
	Month Rotation = "month"
	Never Rotation = "never"
)

// ParseRotation reads the name of a rotation.
func ParseRotation(s string) (Rotation, error) {
	switch r := Rotation(s); r {
	case Day, Week, Month, Never:
		return r, nil
	}
	return "", fmt.Errorf("%q is no rotation: use day, week, month or never", s)
}

// period gives the period that holds a time. That of Never has no end.
func (r Rotation) period(t time.Time) (from, to time.Time) {
	t = t.UTC()
	day := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	switch r {
	case Week:
		from = day.AddDate(0, 0, -(int(day.Weekday())+6)%7)
		return from, from.AddDate(0, 0, 7)
	case Month:
		from = day.AddDate(0, 0, 1-day.Day())
		return from, from.AddDate(0, 1, 0)
	}
	return day, day.AddDate(0, 0, 1)
}

// MinVisitorKey is the least length of a key that is given, in bytes.
const MinVisitorKey = 16

// afterlife is how long a key is kept after its period, for clicks that were
// under way at its end.
const afterlife = time.Hour

// lookAfter is how often keys are looked after: more often than needed, since
// timers stand still while a machine sleeps.
const lookAfter = time.Minute

// Hasher implements click.Hasher by HMAC-SHA256 with a random key for each
// period. The keys are in a file of their own, made a period ahead, so that a
// change loses nobody, and destroyed an hour after their period; those whose
// period ended while no program ran, when the next one starts.
type Hasher struct {
	path     string
	rotation Rotation
	now      func() time.Time
	rand     io.Reader

	keys atomic.Pointer[[]visitorKey] // oldest first, at least one
	err  atomic.Pointer[error]

	stop chan struct{}
	done sync.WaitGroup
	once sync.Once
}

// visitorKey is the key of a period, ready for use.
type visitorKey struct {
	from, to time.Time
	secret   []byte
	macs     *sync.Pool // of *mac
}

// mac computes hashes with one key, without allocating.
type mac struct {
	hmac  hash.Hash
	input [16 + maxHashed]byte
	sum   [sha256.Size]byte
}

// maxHashed bounds how much of a user agent is hashed.
const maxHashed = 1024

func newVisitorKey(from, to time.Time, secret []byte) visitorKey {
	pool := &sync.Pool{New: func() any { return &mac{hmac: hmac.New(sha256.New, secret)} }}
	return visitorKey{from: from, to: to, secret: secret, macs: pool}
}

// OpenHasher makes a Hasher whose keys are in the file at path, which is made
// if it is not there. Never needs a key of at least MinVisitorKey bytes and
// destroys the file; the other rotations make their own keys and allow none.
// Keys of another rotation in the file are destroyed. Close ends looking after the
// keys.
func OpenHasher(path string, rotation Rotation, key string, now func() time.Time, rand io.Reader) (*Hasher, error) {
	h := &Hasher{path: path, rotation: rotation, now: now, rand: rand, stop: make(chan struct{})}
	if rotation == Never {
		if len(key) < MinVisitorKey {
			return nil, fmt.Errorf("a visitor key that never changes must have at least %d bytes, not %d", MinVisitorKey, len(key))
		}
		h.keys.Store(&[]visitorKey{newVisitorKey(time.Time{}, time.Time{}, []byte(key))})
		if err := destroyKeys(path); err != nil {
			return nil, fmt.Errorf("destroying visitor keys of before: %w", err)
		}
		return h, nil
	}
	if _, err := ParseRotation(string(rotation)); err != nil {
		return nil, err
	}
	if key != "" {
		return nil, fmt.Errorf("a visitor key is given, but it would change every %s: leave it out, or make the rotation never", rotation)
	}
	keys, err := readKeys(path)
	if err != nil {
		return nil, fmt.Errorf("opening visitor keys: %w", err)
	}
	h.keys.Store(&keys)
	if err := h.turn(); err != nil {
		return nil, fmt.Errorf("opening visitor keys: %w", err)
	}
	h.done.Go(h.lookAfter)
	return h, nil
}

// Hash implements click.Hasher. Outside all known periods, as after a clock
// jumped, it uses the nearest key until a new one is made.
func (h *Hasher) Hash(addr netip.Addr, userAgent string, at time.Time) uint64 {
	k := nearest(*h.keys.Load(), at)
	m := k.macs.Get().(*mac)
	// The address as 16 bytes, then the user agent: no two visitors are the
	// same bytes.
	var as16 [16]byte
	if a := addr.Unmap(); a.IsValid() {
		as16 = a.As16()
	}
	n := copy(m.input[:], as16[:])
	n += copy(m.input[n:], userAgent)
	m.hmac.Reset()
	m.hmac.Write(m.input[:n])
	sum := binary.BigEndian.Uint64(m.hmac.Sum(m.sum[:0]))
	clear(m.input[:n])
	k.macs.Put(m)
	return max(1, sum)
}

// Epoch implements click.Hasher: the keys of two periods are never the same, and
// that of one never changes.
func (h *Hasher) Epoch(at time.Time) uint64 {
	return uint64(nearest(*h.keys.Load(), at).from.Unix())
}

// nearest gives the key of the period that holds a time, or the one next to it.
func nearest(keys []visitorKey, at time.Time) *visitorKey {
	i := len(keys) - 1
	for i > 0 && at.Before(keys[i].from) {
		i--
	}
	return &keys[i]
}

// Err gives what keeps the keys from being looked after, nil for nothing. Until
// that is mended hashes go on, but keys may outlive their time.
func (h *Hasher) Err() error {
	if err := h.err.Load(); err != nil {
		return *err
	}
	return nil
}

// Close ends looking after the keys. Hash can still be used.
func (h *Hasher) Close() error {
	h.once.Do(func() { close(h.stop) })
	h.done.Wait()
	return nil
}

func (h *Hasher) lookAfter() {
	tick := time.NewTicker(lookAfter)
	defer tick.Stop()
	for {
		select {
		case <-h.stop:
			return
		case <-tick.C:
		}
		var failed *error
		if err := h.turn(); err != nil {
			failed = &err
		}
		h.err.Store(failed)
	}
}

// turn makes the keys of this period and the next, and destroys those that are
// over. New keys are in force even where they can't be written.
func (h *Hasher) turn() error {
	old, now := *h.keys.Load(), h.now()
	from, to := h.rotation.period(now)
	nextFrom, nextTo := h.rotation.period(to)
	var keys []visitorKey
	have := map[time.Time]bool{}
	for _, k := range old {
		f, t := h.rotation.period(k.from)
		over := !now.Before(k.to.Add(afterlife))
		if !f.Equal(k.from) || !t.Equal(k.to) || over || k.from.After(nextFrom) || have[f] {
			continue
		}
		keys, have[f] = append(keys, k), true
	}
	changed := len(keys) != len(old)
	for _, p := range [][2]time.Time{{from, to}, {nextFrom, nextTo}} {
		if have[p[0]] {
			continue
		}
		secret := make([]byte, sha256.Size)
		if _, err := io.ReadFull(h.rand, secret); err != nil {
			return errors.Join(err, h.keep(keys))
		}
		keys, changed = append(keys, newVisitorKey(p[0], p[1], secret)), true
	}
	sortKeys(keys)
	if !changed && h.Err() == nil {
		return nil
	}
	if err := h.keep(keys); err != nil {
		return err
	}
	return writeKeys(h.path, h.rotation, keys)
}

// keep puts keys in force, unless there are none.
func (h *Hasher) keep(keys []visitorKey) error {
	if len(keys) == 0 {
		return errors.New("there is no key")
	}
	h.keys.Store(&keys)
	return nil
}
