package api

import (
	"context"
	"time"

	"kurz/internal/link"
)

// shortenedFor is how long a link of the simple form lives.
const shortenedFor = 30 * 24 * time.Hour

// shortenBody is what POST /shorten takes: the Shorten schema.
type shortenBody struct {
	URL opt[string] `json:"url"`
}

// shortened is what it answers: the Shortened schema.
type shortened struct {
	ShortID     string  `json:"short_id"`
	ShortURL    string  `json:"short_url"`
	OriginalURL string  `json:"original_url"`
	ExpiresAt   *string `json:"expires_at"`
}

func (a *API) shorten(c *call) error {
	return a.create(c, a.parseShorten, func(_ context.Context, l link.Link, _ bool) any {
		return shortened{
			ShortID:     string(l.Code),
			ShortURL:    a.Domains.ShortURL(l.Key),
			OriginalURL: string(l.Destination),
			ExpiresAt:   stamp(l.ExpiresAt),
		}
	})
}

func (a *API) parseShorten(body []byte) (link.Creation, error) {
	var b shortenBody
	if err := decode(body, &b, nil); err != nil {
		return link.Creation{}, err
	}
	if err := needed("url", b.URL); err != nil {
		return link.Creation{}, err
	}
	return link.Creation{LongURL: b.URL.value, ExpiresAt: a.Now().Add(shortenedFor)}, nil
}
