package edge

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"kurz/internal/fault"
)

// statuses is the one table from what went wrong to what HTTP calls it.
var statuses = map[fault.Code]int{
	fault.InvalidURL:            http.StatusBadRequest,
	fault.ValidationFailed:      http.StatusBadRequest,
	fault.MalformedJSON:         http.StatusBadRequest,
	fault.BadRequest:            http.StatusBadRequest,
	fault.Unauthorized:          http.StatusUnauthorized,
	fault.Forbidden:             http.StatusForbidden,
	fault.URLNotFound:           http.StatusNotFound,
	fault.NotFound:              http.StatusNotFound,
	fault.MethodNotAllowed:      http.StatusMethodNotAllowed,
	fault.AliasTaken:            http.StatusConflict,
	fault.AlreadyExists:         http.StatusConflict,
	fault.IdempotencyInProgress: http.StatusConflict,
	fault.URLExpired:            http.StatusGone,
	fault.URLRevoked:            http.StatusGone,
	fault.PreconditionFailed:    http.StatusPreconditionFailed,
	fault.PayloadTooLarge:       http.StatusRequestEntityTooLarge,
	fault.URITooLong:            http.StatusRequestURITooLong,
	fault.UnsupportedMediaType:  http.StatusUnsupportedMediaType,
	fault.URLBlocked:            http.StatusUnprocessableEntity,
	fault.IdempotencyKeyReused:  http.StatusUnprocessableEntity,
	fault.RateLimitExceeded:     http.StatusTooManyRequests,
	fault.HeaderTooLarge:        http.StatusRequestHeaderFieldsTooLarge,
	fault.Internal:              http.StatusInternalServerError,
	fault.Unavailable:           http.StatusServiceUnavailable,
}

// Status gives the HTTP status of a fault's code; 500 for one it doesn't know.
func Status(code fault.Code) int {
	if status, ok := statuses[code]; ok {
		return status
	}
	return http.StatusInternalServerError
}

// HandlerFunc answers a request or returns why it could not. As an
// http.Handler it answers a returned error with WriteError.
type HandlerFunc func(w http.ResponseWriter, r *http.Request) error

// ServeHTTP calls the function and answers its error.
func (f HandlerFunc) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := f(w, r); err != nil {
		WriteError(w, r, err)
	}
}

// methodError is a METHOD_NOT_ALLOWED fault that knows what is allowed.
type methodError struct {
	fault *fault.Error
	allow string
}

func (e methodError) Error() string { return e.fault.Error() }
func (e methodError) Unwrap() error { return e.fault }

// MethodNotAllowed makes the fault of a path that exists for other methods
// only. Its answer carries the Allow header (RFC 9110, section 10.2.1).
func MethodNotAllowed(allowed ...string) error {
	allow := strings.Join(allowed, ", ")
	return methodError{fault.New(fault.MethodNotAllowed, "Use %s here", allow), allow}
}

// WriteError answers a request with an error: JSON, or a small page for
// browsers on paths that people visit. An error without a code is answered as
// "Internal error" and logged with its chain under the request's id.
//
// Where a part of another answer was already sent nothing can be mended: the
// error is logged and the connection cut with http.ErrAbortHandler, so that no
// client takes the part for the whole.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	f := faultOf(r.Context(), err)
	id := w.Header().Get("X-Request-Id")
	if rec := recordOf(r.Context()); rec != nil {
		id, rec.code = rec.id, f.Code
		if rec.edge != nil {
			rec.edge.cause(r.Context(), rec, f, err)
		}
		if rec.written() {
			panic(http.ErrAbortHandler) //nolint:forbidigo // net/http's own way to break off an answer
		}
	}
	writeFault(w, r, id, f, err)
}

// writeFault answers with a fault; err, if not nil, is what it came in.
func writeFault(w http.ResponseWriter, r *http.Request, id string, f *fault.Error, err error) {
	h := w.Header()
	for _, name := range []string{
		"Content-Length", "Content-Encoding", "Content-Disposition",
		"Etag", "Last-Modified", "Location",
	} {
		h.Del(name)
	}
	if m, ok := errors.AsType[methodError](err); ok {
		h.Set("Allow", m.allow)
	}
	a := answerOf(f, Status(f.Code), id, wantsPage(r))
	for _, line := range a.header {
		h.Set(line[0], line[1])
	}
	h.Add("Vary", "Accept")
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(a.status)
	if r.Method != http.MethodHead {
		// A client that went away needs no answer.
		_, _ = w.Write(a.body)
	}
}

// faultOf gives what the client may see of err.
func faultOf(ctx context.Context, err error) *fault.Error {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f
	}
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return fault.New(fault.PayloadTooLarge, "The body may have at most %d bytes", tooLarge.Limit)
	}
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return fault.Wrap(fault.Unavailable, err, "The request was given up")
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fault.Wrap(fault.Unavailable, err, "This takes too long at the moment, try again")
	}
	return fault.Of(err)
}

// answer is an error as it goes out, whoever writes it.
type answer struct {
	status int
	header [][2]string
	body   []byte
}

// answerOf renders a fault with a status, as a page or as JSON.
func answerOf(f *fault.Error, status int, requestID string, page bool) answer {
	a := answer{status: status, header: [][2]string{
		{"X-Request-Id", requestID},
		{"Cache-Control", "no-store"},
		{"X-Content-Type-Options", "nosniff"},
	}}
	if status == http.StatusUnauthorized {
		a.add("WWW-Authenticate", "Bearer")
	}
	if f.RetryAfter > 0 || status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		a.add("Retry-After", strconv.FormatInt(retrySeconds(f.RetryAfter), 10))
	}
	if page {
		a.body = errorPage(f, status, requestID)
		a.add("Content-Type", "text/html; charset=utf-8")
		a.add("Content-Security-Policy", errorPolicy)
		a.add("Referrer-Policy", "no-referrer")
		return a
	}
	a.body = errorJSON(f, status, requestID)
	a.add("Content-Type", "application/json")
	return a
}

func (a *answer) add(name, value string) { a.header = append(a.header, [2]string{name, value}) }

// retrySeconds rounds up, so that a client that waits as told is not early.
func retrySeconds(d time.Duration) int64 {
	return max(int64(math.Ceil(d.Seconds())), 1)
}

// message is what a stranger may read of the fault.
func message(f *fault.Error) string {
	if f.Code == fault.Internal || f.Message == "" {
		return "Internal error"
	}
	return f.Message
}

// errorJSON gives the error's JSON form, section 7 of the product contract.
func errorJSON(f *fault.Error, status int, requestID string) []byte {
	type inner struct {
		Code      fault.Code     `json:"code"`
		Message   string         `json:"message"`
		Status    int            `json:"status"`
		RequestID string         `json:"request_id"`
		Details   []fault.Detail `json:"details,omitempty"`
	}
	in := inner{f.Code, message(f), status, requestID, f.Details}
	if status == http.StatusInternalServerError {
		in.Code, in.Details = fault.Internal, nil
	}
	// Strings and numbers always have a JSON form.
	body, _ := json.Marshal(struct {
		Error inner `json:"error"`
	}{in})
	return append(body, '\n')
}
