package client

import (
	"context"
	"iter"
	"net/url"
	"time"
)

// Click is a single click. What is not known is "".
type Click struct {
	ID              string    `json:"id"`
	ClickedAt       time.Time `json:"clicked_at"`
	ShortCode       string    `json:"short_code"`
	Domain          string    `json:"domain"`
	Kind            string    `json:"kind"`    // human, bot, preview, prefetch or head
	Trigger         string    `json:"trigger"` // link or qr
	Visitor         string    `json:"visitor"` // equal for equal visitors within a period
	Country         string    `json:"country"`
	Region          string    `json:"region"`
	City            string    `json:"city"`
	Referrer        string    `json:"referrer"`
	ReferrerURL     string    `json:"referrer_url"`
	Device          string    `json:"device"`
	Browser         string    `json:"browser"`
	OperatingSystem string    `json:"operating_system"`
	Language        string    `json:"language"`
	UTMSource       string    `json:"utm_source"`
	UTMMedium       string    `json:"utm_medium"`
	UTMCampaign     string    `json:"utm_campaign"`
	UTMTerm         string    `json:"utm_term"`
	UTMContent      string    `json:"utm_content"`
}

// Clicks gives the single clicks of a link, newest first, of every kind and of
// all time unless s says otherwise, fetching page after page as they are asked
// for. Interval, Top and Compare of s mean nothing here. It ends after the
// first error.
func (c *Client) Clicks(ctx context.Context, code string, s Stats) iter.Seq2[*Click, error] {
	return pages[*Click](ctx, c, codePath(code)+"/clicks", c.onDomain(s.clicks()))
}

// AllClicks gives the single clicks of all of the caller's links, as Clicks
// does.
func (c *Client) AllClicks(ctx context.Context, s Stats) iter.Seq2[*Click, error] {
	return pages[*Click](ctx, c, "/api/v1/clicks", s.clicks())
}

func (s Stats) clicks() url.Values {
	s.Interval, s.Top, s.Compare = "", 0, false
	return s.query()
}

func (c *Client) onDomain(query url.Values) url.Values {
	if c.domain != "" {
		query.Set("domain", c.domain)
	}
	return query
}
