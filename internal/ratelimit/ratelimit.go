// Package ratelimit bounds how often something may be done, by the generic
// cell rate algorithm (GCRA, ITU-T I.371 annex A): one timestamp per subject,
// no windows to straddle, no counters to reset.
//
// The decision is a pure function, Limit.Take; a Source keeps the timestamps.
package ratelimit

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"kurz/internal/fault"
)

// Limit is a quota per window, spent evenly: Quota at once, then one more each
// Window/Quota. The zero Limit is off.
type Limit struct {
	Name   string // of the policy, in headers: a token
	Quota  int
	Window time.Duration
}

// Off reports whether the limit bounds nothing.
func (l Limit) Off() bool { return l.Quota <= 0 }

// Result is the answer to one Take.
type Result struct {
	Limit      Limit
	Allowed    bool
	Remaining  int           // how many more at once, now
	ResetAfter time.Duration // until the whole quota is there again
	RetryAfter time.Duration // until the same request can be allowed; 0 if it was
}

// Take decides on n at now. tat is the theoretical arrival time kept from the
// last call, zero at first; the new one is to be kept if the result is Allowed.
// n above the quota is never allowed; one below 0 gives back, at most all.
func (l Limit) Take(tat, now time.Time, n int) (time.Time, Result) {
	interval := l.Window / time.Duration(l.Quota)
	if tat.Before(now) {
		tat = now
	} else if full := now.Add(l.Window); tat.After(full) {
		tat = full // the clock went back, or the limit was wider: nobody waits longer than a window
	}
	next := tat.Add(interval * time.Duration(n))
	if next.Before(now) {
		next = now
	}
	room := l.Window - next.Sub(now)
	if room < 0 || n > l.Quota {
		return tat, Result{
			Limit:      l,
			Remaining:  int((l.Window - tat.Sub(now)) / interval),
			ResetAfter: tat.Sub(now),
			RetryAfter: -room,
		}
	}
	return next, Result{
		Limit:      l,
		Allowed:    true,
		Remaining:  int(room / interval),
		ResetAfter: next.Sub(now),
	}
}

// Scope keeps subjects of different kinds apart.
type Scope uint8

// The scopes.
const (
	Redirects Scope = iota + 1
	Creates
	BulkRows
	SignIns
)

// Key names a subject within a scope: an address (an IPv6 one by its /64), or
// a user. It is comparable and holds no pointer.
type Key struct {
	Scope   Scope
	Subject [16]byte
}

// Source keeps one timestamp a key and applies Limit.Take to it atomically. A
// Source that can't be asked gives fault.Unavailable; callers let the request
// pass then, since a limit protects and does not authorise. Take is safe for
// concurrent use. The limit must not be off.
type Source interface {
	Take(ctx context.Context, k Key, l Limit, now time.Time, n int) (Result, error)
}

// PolicyHeader gives the RateLimit-Policy field (IETF
// draft-ietf-httpapi-ratelimit-headers-10).
func (l Limit) PolicyHeader() string {
	return string(l.AppendPolicy(nil))
}

// AppendPolicy appends the RateLimit-Policy field's value.
func (l Limit) AppendPolicy(b []byte) []byte {
	b = append(b, '"')
	b = append(b, l.Name...)
	b = append(b, `";q=`...)
	b = strconv.AppendInt(b, int64(l.Quota), 10)
	b = append(b, ";w="...)
	return strconv.AppendInt(b, seconds(l.Window), 10)
}

// Header gives the RateLimit field of the same draft.
func (r Result) Header() string { return string(r.AppendHeader(nil)) }

// AppendHeader appends the RateLimit field's value.
func (r Result) AppendHeader(b []byte) []byte {
	b = append(b, '"')
	b = append(b, r.Limit.Name...)
	b = append(b, `";r=`...)
	b = strconv.AppendInt(b, int64(r.Remaining), 10)
	b = append(b, ";t="...)
	return strconv.AppendInt(b, seconds(r.ResetAfter), 10)
}

// Err gives fault.RateLimitExceeded with its RetryAfter for a refusal, else nil.
func (r Result) Err() error {
	if r.Allowed {
		return nil
	}
	err := fault.New(fault.RateLimitExceeded, "Limit of %s reached, try again in %d s", r.Limit, seconds(r.RetryAfter))
	err.RetryAfter = r.RetryAfter
	return err
}

// seconds rounds up, so that a client that waits as told is not early.
func seconds(d time.Duration) int64 { return int64(math.Ceil(d.Seconds())) }

// String gives the form that Parse reads.
func (l Limit) String() string {
	if l.Off() {
		return "off"
	}
	for _, u := range units {
		if u.window == l.Window {
			return fmt.Sprintf("%d/%s", l.Quota, u.name)
		}
	}
	return fmt.Sprintf("%d/%s", l.Quota, l.Window)
}

var units = []struct {
	name   string
	window time.Duration
}{{"s", time.Second}, {"m", time.Minute}, {"h", time.Hour}, {"d", 24 * time.Hour}}

// MaxQuota bounds what Parse accepts.
const MaxQuota = 1_000_000_000

// Parse reads "10/h": a quota from 1 to MaxQuota for each s, m, h or d; or
// "off".
func Parse(s string) (Limit, error) {
	if s == "off" {
		return Limit{}, nil
	}
	quota, unit, ok := strings.Cut(s, "/")
	n, err := strconv.Atoi(quota)
	if ok && err == nil && n >= 1 && n <= MaxQuota {
		for _, u := range units {
			if u.name == unit {
				return Limit{Quota: n, Window: u.window}, nil
			}
		}
	}
	return Limit{}, fmt.Errorf("%q is not a limit: write a number and a unit such as 10/h (s, m, h or d), or off", s)
}
