package edge

import (
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"

	"kurz/internal/fault"
)

// record is what the edge knows of one request. It is written by the request's
// own goroutine only.
type record struct {
	id     string
	client netip.Addr
	route  string
	code   fault.Code // of the error it was answered with; "" for none
	edge   *Edge      // nil in tests of handlers
	out    *writer
	buf    [len(idPrefix) + idRandom]byte // scratch
}

type recordKey struct{}

// NewContext gives a context with a request's id and client address, for
// tests of handlers without an Edge.
func NewContext(ctx context.Context, requestID string, client netip.Addr) context.Context {
	return withRecord(ctx, &record{id: requestID, client: client})
}

func withRecord(ctx context.Context, rec *record) context.Context {
	return context.WithValue(ctx, recordKey{}, rec)
}

// recordOf gives the context's record, nil outside a request.
func recordOf(ctx context.Context) *record {
	rec, _ := ctx.Value(recordKey{}).(*record)
	return rec
}

// RequestID gives the id of the request that ctx belongs to, "" outside one.
func RequestID(ctx context.Context) string {
	if rec := recordOf(ctx); rec != nil {
		return rec.id
	}
	return ""
}

// Client gives the address that the request came from, beyond all trusted
// proxies; an invalid Addr where it is not known. IPv4 is never in its
// IPv6-mapped form, and there is no zone.
func Client(ctx context.Context) netip.Addr {
	if rec := recordOf(ctx); rec != nil {
		return rec.client
	}
	return netip.Addr{}
}

// SetRoute names the route that the Observer and the log are told: a pattern
// such as "/api/v1/urls/{code}", never a part of the request, since each name
// becomes a metric's label.
func SetRoute(ctx context.Context, route string) {
	if rec := recordOf(ctx); rec != nil {
		rec.route = route
	}
}

// written reports whether a part of an answer was sent.
func (rec *record) written() bool {
	return rec.out != nil && rec.out.status != 0
}

// maxRequestID is the longest id taken from a client.
const maxRequestID = 64

// givenID gives the client's own request id, "" unless there is exactly one
// and it is well-formed: 1 to 64 of A–Z a–z 0–9 . _ -
func givenID(h http.Header) string {
	ids := h["X-Request-Id"]
	if len(ids) != 1 || !wellFormedID(ids[0]) {
		return ""
	}
	return ids[0]
}

func wellFormedID(id string) bool {
	if id == "" || len(id) > maxRequestID {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		case c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

const (
	idPrefix = "req_"
	idRandom = 12
	base62   = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// idSource is where ids come from unless the Settings say otherwise: they must
// be unlike each other, and need not be secret, so this spares a call into the
// system. It is ChaCha8, seeded by the system.
type idSource struct{}

func (idSource) Read(p []byte) (int, error) {
	var b [8]byte
	for rest := p; len(rest) > 0; rest = rest[copy(rest, b[:]):] {
		binary.NativeEndian.PutUint64(b[:], rand.Uint64())
	}
	return len(p), nil
}

// drawID makes a request id of about 70 random bits. The low letters are a
// little likelier than the others, which costs an id nothing. It fails only if
// the source of randomness does; the id is then all zeros.
func drawID(random io.Reader, buf *[len(idPrefix) + idRandom]byte) {
	copy(buf[:], idPrefix)
	tail := buf[len(idPrefix):]
	if _, err := io.ReadFull(random, tail); err != nil {
		clear(tail)
	}
	for i, b := range tail {
		tail[i] = base62[b%62]
	}
}
