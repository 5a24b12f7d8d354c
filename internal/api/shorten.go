package api

import (
	"context"
	"errors"
	"strings"
	"time"

	"kurz/internal/fault"
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
	return a.create(c, form{parse: a.parseShorten, fault: shortenFault, show: func(_ context.Context, l link.Link, _ bool) any {
		return shortened{
			ShortID:     string(l.Code),
			ShortURL:    a.Domains.ShortURL(l.Key),
			OriginalURL: string(l.Destination),
			ExpiresAt:   stamp(l.ExpiresAt),
		}
	}})
}

// shortenFault names the field as the simple form does.
func shortenFault(err error) error {
	f, found := errors.AsType[*fault.Error](err)
	if !found || len(f.Details) != 1 || f.Details[0].Field != "long_url" {
		return err
	}
	renamed := fault.Wrap(f.Code, err, "%s", strings.ReplaceAll(f.Message, "long_url", "url"))
	renamed.Details = []fault.Detail{{Field: "url", Reason: f.Details[0].Reason}}
	return renamed
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
