package api

import (
	"net/http"
	"time"

	"github.com/go-json-experiment/json"

	"kurz/internal/idempotency"
)

// answer makes a JSON answer.
func answer(status int, body any, header map[string]string) (idempotency.Answer, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return idempotency.Answer{}, err
	}
	h := map[string]string{"Content-Type": typeJSON}
	for name, value := range header {
		h[name] = value
	}
	return idempotency.Answer{Status: status, Header: h, Body: append(b, '\n')}, nil
}

// reply sends a JSON answer with 200.
func (c *call) reply(body any, header map[string]string) error {
	a, err := answer(ok, body, header)
	if err != nil {
		return err
	}
	return c.send(a)
}

// empty sends an answer without a body.
func (c *call) empty(status int) error {
	c.w.WriteHeader(status)
	return nil
}

// list is one page of a listing.
type list[T any] struct {
	Items      []T     `json:"items"`
	NextCursor *string `json:"next_cursor"`
}

func newList[T any](items []T, next string) list[T] { return list[T]{items, text(next)} }

// stamp writes a time in UTC to the millisecond; the zero time is null.
func stamp(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := moment(t)
	return &s
}

// moment writes a time that is always there, always with three digits of
// milliseconds: one length and one form for whoever reads or sorts them.
func moment(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// beginning writes when an hour, day, week or month began: a whole second.
func beginning(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// text writes a text; an empty one is null.
func text[T ~string](t T) *string {
	if t == "" {
		return nil
	}
	s := string(t)
	return &s
}

// ok is the status of most answers.
const ok = http.StatusOK
