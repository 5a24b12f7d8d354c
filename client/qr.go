package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
)

// QR says what a QR code looks like. What is left zero is the server's default.
type QR struct {
	Format string // svg (the default), png, or txt for terminals
	Size   int    // pixels a side, 64 to 4096; 512 where 0
	// Margin is in modules; nil is 4, as the standard asks.
	Margin     *int
	Level      string // L, M (the default), Q or H
	Foreground string // in hexadecimal, as 1d1c1a
	Background string // likewise, or transparent
	Logo       bool   // in the middle
}

// Query gives the parameters that the API takes.
func (q QR) Query() url.Values {
	values := url.Values{}
	for name, value := range map[string]string{
		"format": q.Format, "level": q.Level, "fg": q.Foreground, "bg": q.Background,
	} {
		if value != "" {
			values.Set(name, value)
		}
	}
	if q.Size != 0 {
		values.Set("size", strconv.Itoa(q.Size))
	}
	if q.Margin != nil {
		values.Set("margin", strconv.Itoa(*q.Margin))
	}
	if q.Logo {
		values.Set("logo", "true")
	}
	return values
}

// QR gives the QR code of a link, as a file. It needs no key, but for a link
// whose time has not come.
func (c *Client) QR(ctx context.Context, code string, q QR) ([]byte, error) {
	query := q.Query()
	if c.domain != "" {
		query.Set("domain", c.domain)
	}
	var file []byte
	_, err := c.do(ctx, call{method: http.MethodGet, path: codePath(code) + "/qr", query: query}, &file)
	return file, err
}
