package api

import (
	"context"
	"net/url"
	"time"

	"kurz/internal/fault"
	"kurz/internal/link"
)

// linkJSON is a link as the API shows it. The Link schema of the document has
// the same fields.
type linkJSON struct {
	ShortCode      string   `json:"short_code"`
	ShortURL       string   `json:"short_url"`
	LongURL        string   `json:"long_url"`
	Domain         string   `json:"domain"`
	CustomAlias    *string  `json:"custom_alias"`
	Status         string   `json:"status"`
	Clicks         *int64   `json:"clicks"` // null: could not be read
	PriorClicks    int64    `json:"prior_clicks"`
	Owner          *string  `json:"owner"`
	ContentID      *string  `json:"content_id"`
	Title          *string  `json:"title"`
	Notes          *string  `json:"notes"`
	Tags           []string `json:"tags"`
	RedirectStatus int      `json:"redirect_status"`
	EdgeTTL        int64    `json:"edge_ttl"`
	ForwardQuery   bool     `json:"forward_query"`
	StartsAt       *string  `json:"starts_at"`
	ExpiresAt      *string  `json:"expires_at"`
	ExpiredURL     *string  `json:"expired_url"`
	RevokedAt      *string  `json:"revoked_at"`
	ArchivedAt     *string  `json:"archived_at"`
	CreatedAt      string   `json:"created_at"`
	UpdatedAt      string   `json:"updated_at"`
}

func (a *API) show(l *link.Link, clicks *int64) linkJSON {
	j := linkJSON{
		ShortCode:      string(l.Code),
		ShortURL:       a.Domains.ShortURL(l.Key),
		LongURL:        string(l.Destination),
		Domain:         a.Domains.Host(l.Domain),
		Status:         string(l.Status(a.Now())),
		Clicks:         clicks,
		PriorClicks:    l.PriorClicks,
		Owner:          text(l.Owner.String()),
		ContentID:      text(l.ContentID),
		Title:          text(l.Title),
		Notes:          text(l.Notes),
		Tags:           l.Tags,
		RedirectStatus: l.RedirectStatus,
		EdgeTTL:        int64(l.EdgeTTL / time.Second),
		ForwardQuery:   l.ForwardQuery,
		StartsAt:       stamp(l.StartsAt),
		ExpiresAt:      stamp(l.ExpiresAt),
		ExpiredURL:     text(l.ExpiredURL),
		RevokedAt:      stamp(l.RevokedAt),
		ArchivedAt:     stamp(l.ArchivedAt),
		CreatedAt:      moment(l.CreatedAt),
		UpdatedAt:      moment(l.UpdatedAt),
	}
	if l.Alias {
		j.CustomAlias = text(l.Code)
	}
	return j
}

// showAll shows links with their clicks, asked for at once. Counts that can't
// be read are null rather than an error: what was done to a link stays done,
// and a link can be taken down while the statistics are.
func (a *API) showAll(ctx context.Context, links []link.Link) []linkJSON {
	ids := make([]link.ID, len(links))
	for i := range links {
		ids[i] = links[i].ID
	}
	var totals map[link.ID]int64
	if len(ids) > 0 {
		var err error
		if totals, err = a.Reports.Totals(ctx, ids); err != nil {
			a.Warn(ctx, "links are shown without their clicks", err)
			totals = nil
		}
	}
	shown := make([]linkJSON, len(links))
	for i := range links {
		var clicks *int64
		if totals != nil {
			n := totals[links[i].ID] + links[i].PriorClicks
			clicks = &n
		}
		shown[i] = a.show(&links[i], clicks)
	}
	return shown
}

func (a *API) showOne(ctx context.Context, l link.Link) linkJSON {
	return a.showAll(ctx, []link.Link{l})[0]
}

// linkHeader gives the fields that go with one link.
func linkHeader(l *link.Link) map[string]string {
	return map[string]string{"ETag": etag(l.Version)}
}

// location gives the address of a link in the API.
func (a *API) location(k link.Key) string {
	at := "/api/v1/urls/" + url.PathEscape(string(k.Code))
	if k.Domain != "" {
		at += "?domain=" + url.QueryEscape(string(k.Domain))
	}
	return at
}

// createBody is what POST /api/v1/urls takes: the LinkCreate schema.
type createBody struct {
	LongURL        opt[string]    `json:"long_url"`
	CustomAlias    opt[string]    `json:"custom_alias"`
	Domain         opt[string]    `json:"domain"`
	ContentID      opt[string]    `json:"content_id"`
	FindExisting   opt[bool]      `json:"find_existing"`
	CodeLength     opt[int]       `json:"code_length"`
	Title          opt[string]    `json:"title"`
	Notes          opt[string]    `json:"notes"`
	Tags           opt[[]string]  `json:"tags"`
	RedirectStatus opt[int]       `json:"redirect_status"`
	EdgeTTL        opt[int]       `json:"edge_ttl"`
	ForwardQuery   opt[bool]      `json:"forward_query"`
	StartsAt       opt[time.Time] `json:"starts_at"`
	ExpiresAt      opt[time.Time] `json:"expires_at"`
	ExpiredURL     opt[string]    `json:"expired_url"`
}

const setByServer = "is set by the server"

// notInCreate and notInPatch give the reasons for fields that a link has, but
// the body may not.
var (
	notInCreate = map[string]string{
		"short_code": setByServer + ": ask for a code with custom_alias", "short_url": setByServer,
		"created_at": setByServer, "updated_at": setByServer, "status": setByServer,
		"clicks": setByServer, "prior_clicks": setByServer, "owner": setByServer,
		"revoked_at": "can be set once the link is made", "archived_at": setByServer,
	}
	notInPatch = map[string]string{
		"short_code": setByServer, "short_url": setByServer, "created_at": setByServer,
		"updated_at": setByServer, "status": setByServer + ": set revoked_at or expires_at",
		"clicks": setByServer, "prior_clicks": setByServer, "owner": setByServer,
		"archived_at":  setByServer + ": set expires_at or revoked_at to restore the link",
		"custom_alias": fixed, "domain": fixed, "content_id": fixed,
		"find_existing": "is for creating only", "code_length": "is for creating only",
	}
)

const fixed = "can't be changed once the link is made"

// parseCreate reads the body of a create. A null is as good as left out.
func parseCreate(body []byte) (link.Creation, error) {
	var b createBody
	if err := decode(body, &b, notInCreate); err != nil {
		return link.Creation{}, err
	}
	err := gather(
		needed("long_url", b.LongURL),
		notEmpty("custom_alias", b.CustomAlias),
		notEmpty("content_id", b.ContentID),
		notZero("redirect_status", b.RedirectStatus),
		notZero("code_length", b.CodeLength),
	)
	return link.Creation{
		LongURL:        b.LongURL.value,
		Alias:          b.CustomAlias.value,
		Domain:         b.Domain.value,
		ExpiredURL:     b.ExpiredURL.value,
		Title:          b.Title.value,
		Notes:          b.Notes.value,
		ContentID:      b.ContentID.value,
		Tags:           b.Tags.value,
		StartsAt:       b.StartsAt.value,
		ExpiresAt:      b.ExpiresAt.value,
		RedirectStatus: b.RedirectStatus.value,
		EdgeTTL:        seconds(b.EdgeTTL),
		ForwardQuery:   b.ForwardQuery.value,
		FindExisting:   b.FindExisting.value,
		CodeLength:     b.CodeLength.value,
	}, err
}

// patchBody is what PATCH takes: the LinkPatch schema.
type patchBody struct {
	LongURL        opt[string]    `json:"long_url"`
	Title          opt[string]    `json:"title"`
	Notes          opt[string]    `json:"notes"`
	Tags           opt[[]string]  `json:"tags"`
	RedirectStatus opt[int]       `json:"redirect_status"`
	EdgeTTL        opt[int]       `json:"edge_ttl"`
	ForwardQuery   opt[bool]      `json:"forward_query"`
	StartsAt       opt[time.Time] `json:"starts_at"`
	ExpiresAt      opt[time.Time] `json:"expires_at"`
	ExpiredURL     opt[string]    `json:"expired_url"`
	RevokedAt      opt[time.Time] `json:"revoked_at"`
}

// parsePatch reads a JSON merge patch (RFC 7396): what is left out stays, null
// takes away or goes back to the default.
func parsePatch(body []byte) (link.Patch, error) {
	var b patchBody
	if err := decode(body, &b, notInPatch); err != nil {
		return link.Patch{}, err
	}
	p := link.Patch{
		LongURL:        b.LongURL.patch(),
		ExpiredURL:     b.ExpiredURL.patch(),
		Title:          b.Title.patch(),
		Notes:          b.Notes.patch(),
		Tags:           b.Tags.patch(),
		StartsAt:       b.StartsAt.patch(),
		ExpiresAt:      b.ExpiresAt.patch(),
		RevokedAt:      b.RevokedAt.patch(),
		RedirectStatus: b.RedirectStatus.patch(),
		ForwardQuery:   b.ForwardQuery.patch(),
	}
	if b.EdgeTTL.set {
		ttl := seconds(b.EdgeTTL)
		p.EdgeTTL = &ttl
	}
	var urlErr error
	if b.LongURL.null {
		urlErr = fault.Invalid("long_url", "can't be taken away: a link needs a destination")
	}
	return p, gather(urlErr, notZero("redirect_status", b.RedirectStatus))
}

func needed(name string, o opt[string]) error {
	if o.set && !o.null {
		return nil
	}
	return fault.Invalid(name, "is needed")
}

// notEmpty refuses "" where the words take it for "left out".
func notEmpty(name string, o opt[string]) error {
	if o.set && !o.null && o.value == "" {
		return fault.Invalid(name, "may not be empty: leave it out or send null")
	}
	return nil
}

// notZero refuses 0 where the words take it for "left out".
func notZero(name string, o opt[int]) error {
	if o.set && !o.null && o.value == 0 {
		return fault.Invalid(name, "may not be 0: leave it out or send null")
	}
	return nil
}

// seconds turns a number of seconds into a duration. What is out of the
// Registry's bounds stays so, without overflow.
func seconds(o opt[int]) time.Duration {
	const most = int(link.MaxEdgeTTL / time.Second)
	return time.Duration(min(max(o.value, -1), most+1)) * time.Second
}
