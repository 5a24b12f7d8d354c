package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Link is a short link. Times that are none are zero.
type Link struct {
	ShortCode      string    `json:"short_code"`
	ShortURL       string    `json:"short_url"`
	Domain         string    `json:"domain"`
	LongURL        string    `json:"long_url"`
	CustomAlias    string    `json:"custom_alias,omitempty"` // the code, where it was asked for
	Status         string    `json:"status"`                 // scheduled, active, expired or revoked
	Clicks         int64     `json:"clicks"`                 // by people, ever
	PriorClicks    int64     `json:"prior_clicks"`           // of these, before the link was imported
	Owner          string    `json:"owner,omitempty"`
	Title          string    `json:"title"`
	Notes          string    `json:"notes"`
	Tags           []string  `json:"tags"`
	ContentID      string    `json:"content_id,omitempty"`
	RedirectStatus int       `json:"redirect_status"`
	EdgeTTL        int       `json:"edge_ttl"` // seconds
	ForwardQuery   bool      `json:"forward_query"`
	ExpiredURL     string    `json:"expired_url,omitempty"`
	CreatedAt      time.Time `json:"created_at"`
	UpdatedAt      time.Time `json:"updated_at"`
	StartsAt       time.Time `json:"starts_at,omitzero"`
	ExpiresAt      time.Time `json:"expires_at,omitzero"`
	RevokedAt      time.Time `json:"revoked_at,omitzero"`
	ArchivedAt     time.Time `json:"archived_at,omitzero"` // listings leave it out by then
	// ETag names this version of the link, for Patch.IfMatch. Listings have
	// none.
	ETag string `json:"-"`
}

// NewLink is what Create asks for. Only LongURL is needed.
type NewLink struct {
	LongURL        string    `json:"long_url"`
	CustomAlias    string    `json:"custom_alias,omitempty"`
	Domain         string    `json:"domain,omitempty"` // the client's where empty
	StartsAt       time.Time `json:"starts_at,omitzero"`
	ExpiresAt      time.Time `json:"expires_at,omitzero"`
	ExpiredURL     string    `json:"expired_url,omitempty"`
	RedirectStatus int       `json:"redirect_status,omitempty"`
	EdgeTTL        int       `json:"edge_ttl,omitempty"` // seconds
	ForwardQuery   bool      `json:"forward_query,omitempty"`
	Title          string    `json:"title,omitempty"`
	Notes          string    `json:"notes,omitempty"`
	Tags           []string  `json:"tags,omitempty"`
	// ContentID is the caller's own ID of the thing that the link is for: a
	// second Create with the same gives the first link.
	ContentID string `json:"content_id,omitempty"`
	// FindExisting gives the caller's link to the same LongURL if there is one
	// that is neither revoked nor expired.
	FindExisting bool `json:"find_existing,omitempty"`
	CodeLength   int  `json:"code_length,omitempty"`
	// IdempotencyKey makes the create done once across several calls and
	// programs that use the same key. Where it is empty one is drawn, which
	// covers the retries of this call.
	IdempotencyKey string `json:"-"`
}

// Patch is what Update changes; nil leaves alone. A zero time and an empty text
// take the thing away.
type Patch struct {
	LongURL, ExpiredURL, Title, Notes *string
	Tags                              *[]string
	StartsAt, ExpiresAt, RevokedAt    *time.Time
	RedirectStatus, EdgeTTL           *int
	ForwardQuery                      *bool
	// IfMatch, unless empty, is the ETag of the version that is to be changed;
	// if the link has another by now, the error's code is PRECONDITION_FAILED.
	IfMatch string
}

// Filter selects and orders what List gives.
type Filter struct {
	Text     string // words, each in code, title, destination or a tag
	Tag      string
	Status   string
	Archived string // true: archived links only; any: these too; else they are left out
	Sort     string // created_at, updated_at, short_code, title or expires_at, with '-' before it for the other direction
	// PageSize is how many links one request fetches, 1 to 500; 50 where 0.
	PageSize int
}

// Shorten makes a link to longURL with a drawn code.
func (c *Client) Shorten(ctx context.Context, longURL string) (*Link, error) {
	return c.Create(ctx, NewLink{LongURL: longURL})
}

// Create makes a link, or gives the one that ContentID or FindExisting finds.
func (c *Client) Create(ctx context.Context, n NewLink) (*Link, error) {
	if n.Domain == "" {
		n.Domain = c.domain
	}
	return c.link(ctx, call{method: http.MethodPost, path: "/api/v1/urls", body: n, idempotency: n.IdempotencyKey})
}

// Get reads a link of the caller's.
func (c *Client) Get(ctx context.Context, code string) (*Link, error) {
	return c.link(ctx, call{method: http.MethodGet, path: codePath(code), query: c.domainQuery()})
}

// Update changes a link and gives what it became.
func (c *Client) Update(ctx context.Context, code string, p Patch) (*Link, error) {
	return c.link(ctx, call{
		method: http.MethodPatch, path: codePath(code), query: c.domainQuery(),
		body: p.document(), contentType: "application/merge-patch+json", ifMatch: p.IfMatch,
	})
}

// Delete takes a link down for good; one that is down already is no error.
func (c *Client) Delete(ctx context.Context, code string) error {
	_, err := c.do(ctx, call{method: http.MethodDelete, path: codePath(code), query: c.domainQuery()}, nil)
	return err
}

// List gives the caller's links (an admin's: everybody's), fetching page after
// page as they are asked for. It ends after the first error.
func (c *Client) List(ctx context.Context, f Filter) iter.Seq2[*Link, error] {
	query := url.Values{}
	for name, value := range map[string]string{"q": f.Text, "tag": f.Tag, "status": f.Status, "sort": f.Sort, "archived": f.Archived, "domain": c.domain} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if f.PageSize > 0 {
		query.Set("limit", strconv.Itoa(f.PageSize))
	}
	return pages[*Link](ctx, c, "/api/v1/urls", query)
}

// pages goes through a listing whose pages name the next one by a cursor.
func pages[T any](ctx context.Context, c *Client, path string, query url.Values) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			var page struct {
				Items []T     `json:"items"`
				Next  *string `json:"next_cursor"`
			}
			if _, err := c.do(ctx, call{method: http.MethodGet, path: path, query: query}, &page); err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
			if page.Next == nil || *page.Next == "" {
				return
			}
			query = cloneWith(query, "cursor", *page.Next)
		}
	}
}

func cloneWith(query url.Values, name, value string) url.Values {
	clone := url.Values{name: {value}}
	for k, v := range query {
		if k != name {
			clone[k] = v
		}
	}
	return clone
}

func (c *Client) link(ctx context.Context, q call) (*Link, error) {
	var l Link
	header, err := c.do(ctx, q, &l)
	if err != nil {
		return nil, err
	}
	l.ETag = header.Get("ETag")
	return &l, nil
}

func (c *Client) domainQuery() url.Values {
	query := url.Values{}
	if c.domain != "" {
		query.Set("domain", c.domain)
	}
	return query
}

func codePath(code string) string { return "/api/v1/urls/" + url.PathEscape(code) }

// document gives the patch as a JSON merge patch (RFC 7396).
func (p *Patch) document() map[string]any {
	doc := map[string]any{}
	put(doc, "long_url", p.LongURL)
	put(doc, "title", p.Title)
	put(doc, "notes", p.Notes)
	put(doc, "tags", p.Tags)
	put(doc, "redirect_status", p.RedirectStatus)
	put(doc, "edge_ttl", p.EdgeTTL)
	put(doc, "forward_query", p.ForwardQuery)
	putOrNull(doc, "expired_url", p.ExpiredURL, func(s string) bool { return s == "" })
	putOrNull(doc, "starts_at", p.StartsAt, time.Time.IsZero)
	putOrNull(doc, "expires_at", p.ExpiresAt, time.Time.IsZero)
	putOrNull(doc, "revoked_at", p.RevokedAt, time.Time.IsZero)
	return doc
}

func put[T any](doc map[string]any, name string, value *T) {
	if value != nil {
		doc[name] = *value
	}
}

func putOrNull[T any](doc map[string]any, name string, value *T, none func(T) bool) {
	switch {
	case value == nil:
	case none(*value):
		doc[name] = nil
	default:
		doc[name] = *value
	}
}
