package client

import (
	"errors"
	"fmt"
	"time"
)

// The codes of errors that programs tell apart most often; the API's document
// has all.
const (
	CodeInvalidURL            = "INVALID_URL"
	CodeValidationFailed      = "VALIDATION_FAILED"
	CodeUnauthorized          = "UNAUTHORIZED"
	CodeForbidden             = "FORBIDDEN"
	CodeURLNotFound           = "URL_NOT_FOUND"
	CodeAliasTaken            = "ALIAS_TAKEN"
	CodePreconditionFailed    = "PRECONDITION_FAILED"
	CodeURLBlocked            = "URL_BLOCKED"
	CodeRateLimitExceeded     = "RATE_LIMIT_EXCEEDED"
	CodeIdempotencyInProgress = "IDEMPOTENCY_IN_PROGRESS"
	CodeUnavailable           = "UNAVAILABLE"
)

// Error is an error that the server answered.
type Error struct {
	Code      string   `json:"code"` // "" where the answer was not kurz's
	Message   string   `json:"message"`
	Status    int      `json:"status"`
	RequestID string   `json:"request_id"` // finds the request in the server's log
	Details   []Detail `json:"details,omitempty"`
	// RetryAfter is for how long the server asks to wait; 0 if it doesn't.
	RetryAfter time.Duration `json:"-"`
}

// Detail says what is wrong with one field.
type Detail struct {
	Field  string `json:"field"`
	Reason string `json:"reason"`
}

// Error gives the message, the code and the request's id.
func (e *Error) Error() string {
	s := e.Message
	if e.Code != "" {
		s += " (" + e.Code
		if e.RequestID != "" {
			s += ", request " + e.RequestID
		}
		s += ")"
	}
	for _, d := range e.Details {
		if s != "" && len(e.Details) > 1 {
			s += fmt.Sprintf("\n  %s %s", d.Field, d.Reason)
		}
	}
	return s
}

// Is reports whether err is an Error of this code.
func Is(err error, code string) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Code == code
}
