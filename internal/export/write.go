package export

import (
	"bufio"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"
)

// Link is a link as Writer writes it: the fields of the API, with everything.
// Times that are none are zero.
type Link struct {
	ShortCode      string    `json:"short_code"`
	ShortURL       string    `json:"short_url"`
	Domain         string    `json:"domain"`
	LongURL        string    `json:"long_url"`
	CustomAlias    string    `json:"custom_alias,omitempty"`
	Status         string    `json:"status"`
	Clicks         int64     `json:"clicks"` // those before it was imported included
	PriorClicks    int64     `json:"prior_clicks"`
	Owner          string    `json:"owner,omitempty"`
	OwnerEmail     string    `json:"owner_email,omitempty"`
	Title          string    `json:"title,omitempty"`
	Notes          string    `json:"notes,omitempty"`
	Tags           []string  `json:"tags,omitempty"`
	ContentID      string    `json:"content_id,omitempty"`
	RedirectStatus int       `json:"redirect_status"`
	EdgeTTL        int       `json:"edge_ttl"`
	ForwardQuery   bool      `json:"forward_query"`
	ExpiredURL     string    `json:"expired_url,omitempty"`
	CreatedAt      time.Time `json:"created_at"`
	UpdatedAt      time.Time `json:"updated_at"`
	StartsAt       time.Time `json:"starts_at,omitzero"`
	ExpiresAt      time.Time `json:"expires_at,omitzero"`
	RevokedAt      time.Time `json:"revoked_at,omitzero"`
}

// columns are the header of CSV.
var columns = []string{
	"short_code", "short_url", "domain", "long_url", "custom_alias", "status", "clicks", "prior_clicks", "owner", "owner_email",
	"title", "notes", "tags", "content_id", "redirect_status", "edge_ttl", "forward_query", "expired_url", "created_at",
	"updated_at", "starts_at", "expires_at", "revoked_at",
}

func (l *Link) cells() []string {
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	return []string{
		l.ShortCode, l.ShortURL, l.Domain, l.LongURL, l.CustomAlias, l.Status, number(l.Clicks), number(l.PriorClicks), l.Owner, l.OwnerEmail,
		l.Title, l.Notes, joinTags(l.Tags), l.ContentID, number(int64(l.RedirectStatus)), number(int64(l.EdgeTTL)), strconv.FormatBool(l.ForwardQuery), l.ExpiredURL, stamp(l.CreatedAt),
		stamp(l.UpdatedAt), stamp(l.StartsAt), stamp(l.ExpiresAt), stamp(l.RevokedAt),
	}
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// Writer writes links, one after the other: as CSV, with a header, or as JSON
// lines. Read reads them again as Kurz.
type Writer struct {
	out  *bufio.Writer
	json *json.Encoder // nil: CSV
	line []byte
}

// NewCSV begins a file in CSV (RFC 4180).
func NewCSV(w io.Writer) (*Writer, error) {
	out := &Writer{out: bufio.NewWriterSize(w, 64<<10)}
	return out, out.record(columns)
}

// NewJSONLines begins a file with a JSON object a line.
func NewJSONLines(w io.Writer) *Writer {
	out := bufio.NewWriterSize(w, 64<<10)
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	return &Writer{out: out, json: e}
}

// Write writes a link.
func (w *Writer) Write(l *Link) error {
	if w.json != nil {
		return w.json.Encode(l)
	}
	return w.record(l.cells())
}

// Flush writes what is left.
func (w *Writer) Flush() error { return w.out.Flush() }

func (w *Writer) record(cells []string) error {
	line := w.line[:0]
	for i, cell := range cells {
		if i > 0 {
			line = append(line, ',')
		}
		cell = harmless(cell)
		if strings.ContainsAny(cell, ",;\t\"\r\n") || strings.HasPrefix(cell, " ") || strings.HasSuffix(cell, " ") {
			cell = `"` + strings.ReplaceAll(cell, `"`, `""`) + `"`
		}
		line = append(line, cell...)
	}
	w.line = append(line, "\r\n"...)
	_, err := w.out.Write(w.line)
	return err
}
