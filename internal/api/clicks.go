package api

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/http"
	"strconv"
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
	ShortCode       *string `json:"short_code"` // null: of a link that is gone from the store
	Domain          *string `json:"domain"`
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
	"id", "clicked_at", "short_code", "domain", "kind", "trigger", "visitor", "country", "region", "city",
	"referrer", "referrer_url", "device", "browser", "operating_system", "language",
	"utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content",
}

// linked is a click with the name of its link; the zero Key where that is gone.
type linked struct {
	*click.Event
	key  link.Key
	host string // of the domain
}

// name finds the names of the links that were clicked.
func (a *API) name(ctx context.Context, events []click.Event) ([]linked, error) {
	ids := make([]link.ID, len(events))
	for i := range events {
		ids[i] = events[i].Link
	}
	keys, err := a.Registry.Keys(ctx, ids)
	if err != nil {
		return nil, err
	}
	list := make([]linked, len(events))
	for i := range events {
		list[i] = a.nameOf(&events[i], keys[events[i].Link])
	}
	return list, nil
}

func (a *API) nameOf(e *click.Event, k link.Key) linked {
	if k == (link.Key{}) {
		return linked{Event: e}
	}
	return linked{Event: e, key: k, host: a.Domains.Host(k.Domain)}
}

func (e linked) show() clickJSON {
	return clickJSON{
		ID: e.id(), ClickedAt: moment(e.Time), ShortCode: text(e.key.Code), Domain: text(e.host),
		Kind: e.Kind.String(), Trigger: e.Trigger.String(), Visitor: text(visitor(e.Visitor)),
		Country: text(e.Country), Region: text(e.Region), City: text(e.City),
		Referrer: text(e.ReferrerHost), ReferrerURL: text(e.Referrer),
		Device: text(e.Device), Browser: text(e.Browser), OperatingSystem: text(e.OS),
		Language: text(e.Language), UTMSource: text(e.UTMSource), UTMMedium: text(e.UTMMedium),
		UTMCampaign: text(e.UTMCampaign), UTMTerm: text(e.UTMTerm), UTMContent: text(e.UTMContent),
	}
}

func (e linked) id() string { return strconv.FormatInt(int64(e.ID), 10) }

// row gives the click in the order of clickColumns.
func (e linked) row() []string {
	r := []string{
		e.id(), moment(e.Time), string(e.key.Code), e.host, e.Kind.String(), e.Trigger.String(),
		visitor(e.Visitor), e.Country, e.Region, e.City, e.ReferrerHost, e.Referrer,
		e.Device, e.Browser, e.OS, e.Language,
		e.UTMSource, e.UTMMedium, e.UTMCampaign, e.UTMTerm, e.UTMContent,
	}
	for i := range r {
		r[i] = harmless(r[i])
	}
	return r
}

// visitor writes a hash, "" if none was kept.
func visitor(hash uint64) string {
	if hash == 0 {
		return ""
	}
	return fmt.Sprintf("%016x", hash)
}

func (a *API) listLinkClicks(c *call) error {
	return a.listClicks(c, func(q *click.Query) error { _, err := a.clicksOf(c, q); return err })
}

func (a *API) listOwnClicks(c *call) error {
	return a.listClicks(c, func(q *click.Query) error { return ownClicks(c, q) })
}

func (a *API) listClicks(c *call, about func(*click.Query) error) error {
	limit, limitErr := c.query.limit()
	before, cursorErr := parseClickCursor(c.query.text("cursor"))
	q, queryErr := a.clickQuery(c, false)
	if err := gather(limitErr, cursorErr, queryErr); err != nil {
		return err
	}
	if err := about(&q); err != nil {
		return err
	}
	events, next, err := a.Reports.Events(c.ctx(), q, before, limit)
	if err != nil {
		return err
	}
	list, err := a.name(c.ctx(), events)
	if err != nil {
		return err
	}
	shown := make([]clickJSON, len(list))
	for i := range list {
		shown[i] = list[i].show()
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

// ownClicks makes the query one about all of someone's links.
func ownClicks(c *call, q *click.Query) error {
	of, err := owner(c)
	q.Subject = click.Subject{Owner: of}
	return err
}

func (a *API) exportLinkClicks(c *call) error {
	q, err := a.clickQuery(c, false)
	if err != nil {
		return err
	}
	l, err := a.clicksOf(c, &q)
	if err != nil {
		return err
	}
	return a.exportClicks(c, q, "clicks-"+string(l.Code)+".csv")
}

func (a *API) exportOwnClicks(c *call) error {
	q, err := a.clickQuery(c, false)
	if err != nil {
		return err
	}
	if err := ownClicks(c, &q); err != nil {
		return err
	}
	return a.exportClicks(c, q, "clicks.csv")
}

// exportPage is how many clicks are read and written at a time, and exportTime
// for how long a client may take to read them.
const (
	exportPage = 500
	exportTime = time.Minute
)

// exportClicks streams all the clicks as CSV, one page of them in memory. A
// fault after the first page cuts the connection, so that a part is not taken
// for the whole.
func (a *API) exportClicks(c *call, q click.Query, file string) error {
	var list []linked
	events, next, err := a.Reports.Events(c.ctx(), q, 0, exportPage)
	if err == nil {
		list, err = a.name(c.ctx(), events)
	}
	if err != nil {
		return err
	}
	if c.beginCSV(file); c.r.Method == http.MethodHead {
		return nil
	}
	var b bytes.Buffer
	out := newCSV(&b)
	_ = out.Write(clickColumns) // into memory
	control := http.NewResponseController(c.w)
	for {
		for i := range list {
			_ = out.Write(list[i].row())
		}
		out.Flush()
		_ = control.SetWriteDeadline(time.Now().Add(exportTime)) // where there is a connection
		if _, err := b.WriteTo(c.w); err != nil {
			return fault.Wrap(fault.Unavailable, err, "The client went away")
		}
		if next == 0 {
			return nil
		}
		if events, next, err = a.Reports.Events(c.ctx(), q, next, exportPage); err == nil {
			list, err = a.name(c.ctx(), events)
		}
		if err != nil {
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
