package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Stats says what statistics are asked for. The zero Stats is the server's
// default: the last 30 days, by day, people only.
type Stats struct {
	From, To time.Time
	Interval string // hour, day, week or month
	TimeZone string // such as Europe/Berlin
	Kind     string // human, bot or all
	// Filters keep clicks by a dimension's value, such as "country": {"DE,AT"},
	// or "browser": {"!Firefox"} for all others. The dimensions are referrer,
	// country, region, city, device, browser, os, language, utm_source,
	// utm_medium, utm_campaign and trigger; see the API's document.
	Filters url.Values
	// Compare asks for the time right before From too.
	Compare bool
	// Top bounds each list of the report; the server's default where 0.
	Top int
}

// Report is what statistics say of a span of time.
type Report struct {
	ShortCode   string    `json:"short_code,omitempty"`
	From        time.Time `json:"from"`
	To          time.Time `json:"to"`
	TimeZone    string    `json:"time_zone"`
	Interval    string    `json:"interval"`
	TotalClicks int64     `json:"total_clicks"`
	// PriorClicks, of a link, is how often it was followed before it was
	// imported; not in the other numbers.
	PriorClicks    *int64 `json:"prior_clicks,omitempty"`
	UniqueVisitors int64  `json:"unique_visitors"`
	// UniqueVisitorsPeriod is within what visitors are told apart: day, week,
	// month or ever.
	UniqueVisitorsPeriod string     `json:"unique_visitors_period"`
	BotClicks            int64      `json:"bot_clicks"`
	QRScans              int64      `json:"qr_scans"`
	LastClickedAt        *time.Time `json:"last_clicked_at"`
	// CountedSince is from when on clicks are counted, where that is after From:
	// with filters, once older single clicks are gone.
	CountedSince *time.Time `json:"counted_since"`
	// Previous and Change are nil unless Stats.Compare was set.
	Previous         *Previous `json:"previous"`
	Change           *Change   `json:"change"`
	Series           []Bucket  `json:"series"`
	ClicksByDay      []Day     `json:"clicks_by_day"`
	ClicksByHour     []Hour    `json:"clicks_by_hour"`
	TopReferrers     []Count   `json:"top_referrers"`
	TopCountries     []Count   `json:"top_countries"`
	TopRegions       []Count   `json:"top_regions"`
	TopCities        []Count   `json:"top_cities"`
	Devices          []Count   `json:"devices"`
	Browsers         []Count   `json:"browsers"`
	OperatingSystems []Count   `json:"operating_systems"`
	Languages        []Count   `json:"languages"`
	UTMSources       []Count   `json:"utm_sources"`
	UTMMediums       []Count   `json:"utm_mediums"`
	UTMCampaigns     []Count   `json:"utm_campaigns"`
	Triggers         []Count   `json:"triggers"`
}

// Previous is the time that a report is compared with: as many months, days or
// as long a time as the report's, right before it.
type Previous struct {
	From           time.Time `json:"from"`
	To             time.Time `json:"to"`
	TotalClicks    int64     `json:"total_clicks"`
	UniqueVisitors int64     `json:"unique_visitors"`
	BotClicks      int64     `json:"bot_clicks"`
	QRScans        int64     `json:"qr_scans"`
	Series         []Bucket  `json:"series"`
}

// Change is by what part numbers changed: 0.25 is a quarter more, -1 is nothing
// left; nil where there was nothing before.
type Change struct {
	TotalClicks    *float64 `json:"total_clicks"`
	UniqueVisitors *float64 `json:"unique_visitors"`
	BotClicks      *float64 `json:"bot_clicks"`
	QRScans        *float64 `json:"qr_scans"`
}

// Bucket counts within one interval of the series.
type Bucket struct {
	Start          time.Time `json:"start"`
	Clicks         int64     `json:"clicks"`
	UniqueVisitors int64     `json:"unique_visitors"`
}

// Day counts within a day that had clicks.
type Day struct {
	Date   string `json:"date"` // YYYY-MM-DD
	Clicks int64  `json:"clicks"`
}

// Hour counts within an hour that had clicks.
type Hour struct {
	Hour   time.Time `json:"hour"`
	Clicks int64     `json:"clicks"`
}

// Count is how often a value occurred.
type Count struct {
	Value  string `json:"value"`
	Clicks int64  `json:"clicks"`
}

// Stats reads the report of one link.
func (c *Client) Stats(ctx context.Context, code string, s Stats) (*Report, error) {
	return c.report(ctx, codePath(code)+"/stats", c.onDomain(s.query()))
}

// AllStats reads the report over all of the caller's links.
func (c *Client) AllStats(ctx context.Context, s Stats) (*Report, error) {
	return c.report(ctx, "/api/v1/stats", s.query())
}

func (c *Client) report(ctx context.Context, path string, query url.Values) (*Report, error) {
	var r Report
	if _, err := c.do(ctx, call{method: http.MethodGet, path: path, query: query}, &r); err != nil {
		return nil, err
	}
	return &r, nil
}

func (s *Stats) query() url.Values {
	query := url.Values{}
	for name, values := range s.Filters {
		query[name] = values
	}
	set := func(name, value string) {
		if value != "" {
			query.Set(name, value)
		}
	}
	if !s.From.IsZero() {
		set("from", s.From.UTC().Format(time.RFC3339Nano))
	}
	if !s.To.IsZero() {
		set("to", s.To.UTC().Format(time.RFC3339Nano))
	}
	set("interval", s.Interval)
	set("tz", s.TimeZone)
	set("kind", s.Kind)
	if s.Compare {
		set("compare", "previous")
	}
	if s.Top > 0 {
		set("top", strconv.Itoa(s.Top))
	}
	return query
}

// User is the caller.
type User struct {
	ID    string `json:"id"`
	Email string `json:"email"`
	Role  string `json:"role"`
	Tier  string `json:"tier"`
	KeyID string `json:"key_id"` // of the key that asked
}

// Key is an API key.
type Key struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Secret is the key itself; only CreateKey gives it.
	Secret     string    `json:"key,omitempty"`
	Hint       string    `json:"hint"`
	CreatedAt  time.Time `json:"created_at"`
	ExpiresAt  time.Time `json:"expires_at,omitzero"`
	RevokedAt  time.Time `json:"revoked_at,omitzero"`
	LastUsedAt time.Time `json:"last_used_at,omitzero"`
}

// NewKey is what CreateKey asks for.
type NewKey struct {
	Name           string    `json:"name"`
	ExpiresAt      time.Time `json:"expires_at,omitzero"`
	IdempotencyKey string    `json:"-"`
}

// Me tells who the caller is.
func (c *Client) Me(ctx context.Context) (*User, error) {
	var u User
	if _, err := c.do(ctx, call{method: http.MethodGet, path: "/api/v1/me"}, &u); err != nil {
		return nil, err
	}
	return &u, nil
}

// Keys lists the caller's keys.
func (c *Client) Keys(ctx context.Context) iter.Seq2[*Key, error] {
	return pages[*Key](ctx, c, "/api/v1/keys", nil)
}

// CreateKey makes another key for the caller. Its Secret is shown this once.
func (c *Client) CreateKey(ctx context.Context, n NewKey) (*Key, error) {
	var k Key
	if _, err := c.do(ctx, call{method: http.MethodPost, path: "/api/v1/keys", body: n, idempotency: n.IdempotencyKey}, &k); err != nil {
		return nil, err
	}
	return &k, nil
}

// RevokeKey ends a key of the caller's for good.
func (c *Client) RevokeKey(ctx context.Context, id string) error {
	_, err := c.do(ctx, call{method: http.MethodDelete, path: "/api/v1/keys/" + url.PathEscape(id)}, nil)
	return err
}
