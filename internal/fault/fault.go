// Package fault is the one error of kurz: a code for programs, a message for
// people, and a private cause for the log.
//
// Every package returns plain errors with a few words of what and which. An
// error that a caller must tell apart, or that a person may read, is (or wraps)
// an *Error. Codes are compared, texts never. An error without a code is
// internal: its text is logged and never shown. HTTP statuses are not known
// here; the one table from code to status stands in package edge.
package fault

import (
	"errors"
	"fmt"
	"time"
)

// Code names a kind of fault. The values are part of the public API.
type Code string

// The codes: those of the product contract, section 7, and four that an answer
// needs which has none there: BadRequest, AlreadyExists, URITooLong and
// HeaderTooLarge.
const (
	InvalidURL            Code = "INVALID_URL"
	ValidationFailed      Code = "VALIDATION_FAILED"
	MalformedJSON         Code = "MALFORMED_JSON"
	BadRequest            Code = "BAD_REQUEST" // a request that is not well-formed HTTP
	Unauthorized          Code = "UNAUTHORIZED"
	Forbidden             Code = "FORBIDDEN"
	URLNotFound           Code = "URL_NOT_FOUND"
	NotFound              Code = "NOT_FOUND" // anything but a link
	MethodNotAllowed      Code = "METHOD_NOT_ALLOWED"
	RateLimitExceeded     Code = "RATE_LIMIT_EXCEEDED"
	AliasTaken            Code = "ALIAS_TAKEN"
	AlreadyExists         Code = "ALREADY_EXISTS" // anything but an alias
	IdempotencyInProgress Code = "IDEMPOTENCY_IN_PROGRESS"
	URLExpired            Code = "URL_EXPIRED"
	URLRevoked            Code = "URL_REVOKED"
	PreconditionFailed    Code = "PRECONDITION_FAILED"
	PayloadTooLarge       Code = "PAYLOAD_TOO_LARGE"
	URITooLong            Code = "URI_TOO_LONG"
	HeaderTooLarge        Code = "HEADER_TOO_LARGE"
	UnsupportedMediaType  Code = "UNSUPPORTED_MEDIA_TYPE"
	URLBlocked            Code = "URL_BLOCKED"
	IdempotencyKeyReused  Code = "IDEMPOTENCY_KEY_REUSED"
	Internal              Code = "INTERNAL"
	Unavailable           Code = "UNAVAILABLE" // passing: the same request may work later
)

// Detail says what is wrong with one field of a request.
type Detail struct {
	Field  string `json:"field"`
	Reason string `json:"reason"`
}

// Error is a fault. Its Message and Details may be shown to anyone; its cause
// is for the log alone.
type Error struct {
	Code    Code
	Message string
	Details []Detail
	// RetryAfter, where positive, is how long to wait before the same request
	// can succeed.
	RetryAfter time.Duration
	cause      error
}

// New makes a fault with a message that strangers may read.
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Wrap makes a fault that keeps its cause for the log.
func Wrap(code Code, cause error, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), cause: cause}
}

// Invalid makes a VALIDATION_FAILED fault about one field.
func Invalid(field, format string, args ...any) *Error {
	reason := fmt.Sprintf(format, args...)
	return &Error{
		Code:    ValidationFailed,
		Message: field + ": " + reason,
		Details: []Detail{{Field: field, Reason: reason}},
	}
}

// Error gives the code, the message and the cause: a text for the log.
func (e *Error) Error() string {
	s := string(e.Code) + ": " + e.Message
	if e.cause != nil {
		s += ": " + e.cause.Error()
	}
	return s
}

// Unwrap gives the private cause.
func (e *Error) Unwrap() error { return e.cause }

// CodeOf gives the code of the first fault in err's chain, Internal for an
// error without one, and "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return Internal
}

// Is reports whether err carries the code.
func Is(err error, code Code) bool { return err != nil && CodeOf(err) == code }

// Of gives what a stranger may see of err: its first fault, or a bare Internal.
func Of(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Code: Internal, Message: "Internal error", cause: err}
}
