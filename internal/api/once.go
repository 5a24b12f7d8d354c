package api

import (
	"bytes"
	"context"
	"net/http"

	"kurz/internal/edge"
	"kurz/internal/fault"
	"kurz/internal/idempotency"
)

// work does what a POST asks for. The Operation names the same work in every
// retry; it is zero where the client sent no Idempotency-Key.
type work func(ctx context.Context, op idempotency.Operation) (idempotency.Answer, error)

// once does the work and answers; with an Idempotency-Key, once for all
// requests that carry it.
func (a *API) once(c *call, body []byte, do work) error {
	asked, keyed, err := c.asked(body)
	if err != nil {
		return err
	}
	if !keyed {
		answer, err := do(c.ctx(), idempotency.Operation{})
		if err != nil {
			return err
		}
		return c.send(answer)
	}
	answer, replayed, err := a.Once.Do(c.ctx(), asked, func(ctx context.Context, op idempotency.Operation) (idempotency.Answer, error) {
		answer, err := do(ctx, op)
		if err != nil && kept(err) {
			return c.render(err), nil
		}
		return answer, err
	})
	if err != nil {
		return err
	}
	if replayed {
		c.w.Header().Set("Idempotency-Replayed", "true")
	}
	return c.send(answer)
}

// again answers a request over its limit if its answer is kept: whoever lost
// an answer on the way must be able to have it. Any other gets the refusal.
func (a *API) again(c *call, refusal error) error {
	if len(c.r.Header.Values("Idempotency-Key")) == 0 {
		return refusal
	}
	body, err := c.readBody(typeJSON)
	if err != nil {
		return refusal
	}
	asked, _, err := c.asked(body)
	if err != nil {
		return refusal
	}
	answer, err := a.Once.Replay(c.ctx(), asked)
	if err != nil {
		return refusal
	}
	c.w.Header().Set("Idempotency-Replayed", "true")
	return c.send(answer)
}

// asked gives what names the request among those with an Idempotency-Key;
// keyed is false where it has none.
func (c *call) asked(body []byte) (asked idempotency.Asked, keyed bool, err error) {
	sent := c.r.Header.Values("Idempotency-Key")
	switch len(sent) {
	case 0:
		return asked, false, nil
	case 1:
	default:
		return asked, true, fault.Invalid("Idempotency-Key", "is given more than once")
	}
	key, err := idempotency.ParseKey(sent[0])
	return idempotency.Asked{
		Who: c.who(), Secret: c.secret, Key: key,
		Method: c.r.Method, Path: c.r.URL.Path, Body: body,
	}, true, err
}

// who names the actor among those who send Idempotency-Keys.
func (c *call) who() string {
	if c.actor.Anonymous() {
		return "client " + c.client().String()
	}
	return c.actor.User.String()
}

// kept tells which faults are a final answer to the request, so that a retry
// gets the same. Others pass (a store that can't be asked) or depend on more
// than the request (who may create), and are judged anew.
func kept(err error) bool {
	switch fault.CodeOf(err) {
	case fault.InvalidURL, fault.ValidationFailed, fault.MalformedJSON, fault.AliasTaken, fault.AlreadyExists, fault.URLBlocked:
		return true
	}
	return false
}

// send writes an answer.
func (c *call) send(answer idempotency.Answer) error {
	for name, value := range answer.Header {
		c.w.Header().Set(name, value)
	}
	c.w.WriteHeader(answer.Status)
	_, _ = c.w.Write(answer.Body) // a client that has gone: nobody is left to tell
	return nil
}

// render gives the answer that edge would write for a fault, to keep it.
func (c *call) render(err error) idempotency.Answer {
	w := &recorder{header: http.Header{}, status: http.StatusOK}
	edge.WriteError(w, c.r, err)
	return idempotency.Answer{
		Status: w.status,
		Header: map[string]string{"Content-Type": w.header.Get("Content-Type")},
		Body:   w.body.Bytes(),
	}
}

// recorder is a ResponseWriter that keeps what is written.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header         { return w.header }
func (w *recorder) WriteHeader(status int)      { w.status = status }
func (w *recorder) Write(b []byte) (int, error) { return w.body.Write(b) }
