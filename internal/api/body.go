package api

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"kurz/internal/fault"
)

// maxBody bounds the bodies of this room, in bytes.
const maxBody = 1 << 20

const (
	typeJSON  = "application/json"
	typeMerge = "application/merge-patch+json"
)

// readBody reads a body of one of the media types. It judges the type first,
// so that an upload of something else is not read at all.
func (c *call) readBody(types ...string) ([]byte, error) {
	if err := checkType(c.r.Header, types); err != nil {
		return nil, err
	}
	if c.r.ContentLength > maxBody {
		return nil, tooLarge()
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxBody))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, tooLarge()
	}
	if err != nil {
		return nil, fault.Wrap(fault.BadRequest, err, "The body could not be read to its end")
	}
	return body, nil
}

func tooLarge() error {
	return fault.New(fault.PayloadTooLarge, "The body may have at most %d bytes", maxBody)
}

func notOf(types []string) error {
	return fault.New(fault.UnsupportedMediaType, "The body must be sent with Content-Type: %s", strings.Join(types, " or "))
}

func checkType(h http.Header, types []string) error {
	values := h.Values("Content-Type")
	if len(values) != 1 {
		return notOf(types)
	}
	if !slices.Contains(types, values[0]) { // as nearly all send it
		kind, params, err := mime.ParseMediaType(values[0])
		if err != nil || !slices.Contains(types, kind) {
			return notOf(types)
		}
		if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
			return fault.New(fault.UnsupportedMediaType, "The body must be UTF-8")
		}
	}
	if h.Get("Content-Encoding") != "" && !strings.EqualFold(h.Get("Content-Encoding"), "identity") {
		return fault.New(fault.UnsupportedMediaType, "The body must be sent without Content-Encoding")
	}
	return nil
}
