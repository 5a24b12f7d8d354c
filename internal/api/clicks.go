package api

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/csv"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"kurz/internal/click"
	"kurz/internal/fault"
	"kurz/internal/link"
)

// clickJSON is a single click: the Click schema. What is not known is null.
// There is no address, and the hash is text: as a number it would lose digits.
type clickJSON struct {
	ID              string  `json:"id"`
	ClickedAt       string  `json:"clicked_at"`
	Kind            string  `json:"kind"`
	Trigger         string  `json:"trigger"`
	Visitor         *string `json:"visitor"`
	Country         *string `json:"country"`
	Region          *string `json:"region"`
	City            *string `json:"city"`
	Referrer        *string `json:"referrer"`
	ReferrerURL     *string `json:"referrer_url"`
	Device          *string `json:"device"`
	Browser         *string `json:"browser"`
	OperatingSystem *string `json:"operating_system"`
	Language        *string `json:"language"`
	UTMSource       *string `json:"utm_source"`
	UTMMedium       *string `json:"utm_medium"`
	UTMCampaign     *string `json:"utm_campaign"`
	UTMTerm         *string `json:"utm_term"`
	UTMContent      *string `json:"utm_content"`
}

// clickColumns is the header row of the CSV form.
var clickColumns = []string{
	"id", "clicked_at", "kind", "trigger", "visitor", "country", "region", "city",
	"referrer", "referrer_url", "device", "browser", "operating_system", "language",
	"utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content",
}

func showClick(e *click.Event) clickJSON {
	return clickJSON{
		ID: strconv.FormatInt(int64(e.ID), 10), ClickedAt: moment(e.Time),
		Kind: e.Kind.String(), Trigger: e.Trigger.String(), Visitor: text(visitor(e.Visitor)),
		Country: text(e.Country), Region: text(e.Region), City: text(e.City),
		Referrer: text(e.ReferrerHost), ReferrerURL: text(e.Referrer),
		Device: text(e.Device), Browser: text(e.Browser), OperatingSystem: text(e.OS),
		Language: text(e.Language), UTMSource: text(e.UTMSource), UTMMedium: text(e.UTMMedium),
		UTMCampaign: text(e.UTMCampaign), UTMTerm: text(e.UTMTerm), UTMContent: text(e.UTMContent),
	}
}

// row gives the click in the order of clickColumns.
func row(e *click.Event) []string {
	r := []string{
		strconv.FormatInt(int64(e.ID), 10), moment(e.Time), e.Kind.String(), e.Trigger.String(),
		visitor(e.Visitor), e.Country, e.Region, e.City, e.ReferrerHost, e.Referrer,
		e.Device, e.Browser, e.OS, e.Language,
		e.UTMSource, e.UTMMedium, e.UTMCampaign, e.UTMTerm, e.UTMContent,
	}
	for i := range r {
		r[i] = harmless(r[i])
	}
	return r
}

// harmless keeps spreadsheets from taking a stranger's text for a formula
// (OWASP, CSV injection): a quote is put before a character that begins one.
func harmless(s string) string {
	if s != "" && strings.IndexByte("=+-@\t\r\n", s[0]) >= 0 {
		return "'" + s
	}
	return s
}

// visitor writes a hash, "" if none was kept.
func visitor(hash uint64) string {
	if hash == 0 {
		return ""
	}
	return fmt.Sprintf("%016x", hash)
}

func (a *API) listClicks(c *call) error {
	limit, limitErr := c.query.limit()
	before, cursorErr := parseClickCursor(c.query.text("cursor"))
	q, queryErr := a.clickQuery(c, false)
	if err := gather(limitErr, cursorErr, queryErr); err != nil {
		return err
	}
	if _, err := a.clicksOf(c, &q); err != nil {
		return err
	}
	events, next, err := a.Reports.Events(c.ctx(), q, before, limit)
	if err != nil {
		return err
	}
	shown := make([]clickJSON, len(events))
	for i := range events {
		shown[i] = showClick(&events[i])
	}
	return c.reply(newList(shown, clickCursor(next)), nil)
}

// clicksOf makes the query one about the link of the path.
func (a *API) clicksOf(c *call, q *click.Query) (link.Link, error) {
	key, err := a.key(c)
	if err != nil {
		return link.Link{}, err
	}
	l, err := a.Registry.Get(c.ctx(), c.actor, key)
	q.Subject = click.Subject{Link: l.ID}
	return l, err
}

// exportPage is how many clicks are read and written at a time, and exportTime
// for how long a client may take to read them.
const (
	exportPage = 500
	exportTime = time.Minute
)

// exportClicks streams all the clicks as CSV. A fault after the first page cuts
// the connection, so that a part is not taken for the whole.
func (a *API) exportClicks(c *call) error {
	q, err := a.clickQuery(c, false)
	if err != nil {
		return err
	}
	l, err := a.clicksOf(c, &q)
	if err != nil {
		return err
	}
	events, next, err := a.Reports.Events(c.ctx(), q, 0, exportPage)
	if err != nil {
		return err
	}
	h := c.w.Header()
	h.Set("Content-Type", "text/csv; charset=utf-8; header=present")
	h.Set("Content-Disposition", `attachment; filename="clicks-`+string(l.Code)+`.csv"`)
	c.w.WriteHeader(ok)
	if c.r.Method == http.MethodHead {
		return nil
	}
	var b bytes.Buffer
	out := csv.NewWriter(&b)
	_ = out.Write(clickColumns) // into memory
	control := http.NewResponseController(c.w)
	for {
		for i := range events {
			_ = out.Write(row(&events[i]))
		}
		out.Flush()
		_ = control.SetWriteDeadline(time.Now().Add(exportTime)) // where there is a connection
		if _, err := b.WriteTo(c.w); err != nil {
			return fault.Wrap(fault.Unavailable, err, "The client went away")
		}
		if next == 0 {
			return nil
		}
		if events, next, err = a.Reports.Events(c.ctx(), q, next, exportPage); err != nil {
			return err
		}
	}
}

// clickCursor writes the place in a list of clicks, "" for its end.
func clickCursor(before click.ID) string {
	if before == 0 {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint64([]byte{'k'}, uint64(before)))
}

// parseClickCursor reads what clickCursor wrote.
func parseClickCursor(s string) (click.ID, error) {
	if s == "" {
		return 0, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err == nil && len(b) == 9 && b[0] == 'k' {
		// Compared, since the decoder overlooks line ends.
		if id := click.ID(binary.BigEndian.Uint64(b[1:])); id > 0 && clickCursor(id) == s {
			return id, nil
		}
	}
	return 0, fault.Invalid("cursor", "is not one that this listing gave out: leave it out to begin again")
}
