package cli

import (
	"cmp"
	"context"
	"slices"
	"time"

	"kurz/client"
	"kurz/internal/account"
	"kurz/internal/click"
	"kurz/internal/enrich"
	"kurz/internal/fault"
	"kurz/internal/link"
)

// topListed bounds the lists of a report where nothing is asked for, mostListed
// what can be asked for: the bounds of the API.
const (
	topListed  = 100
	mostListed = 1000
)

// Stats gives the report of a link.
func (f *folder) Stats(ctx context.Context, code string, s client.Stats) (*client.Report, error) {
	c, err := link.ParseCode(code)
	if err != nil {
		return nil, err
	}
	l, err := f.links.Get(ctx, account.Operator(), link.Key{Domain: f.domain, Code: c})
	if err != nil {
		return nil, err
	}
	shown, err := f.report(ctx, click.Subject{Link: l.ID}, code, s)
	if err == nil {
		shown.PriorClicks = &l.PriorClicks
	}
	return shown, err
}

// AllStats gives the report of everybody's links.
func (f *folder) AllStats(ctx context.Context, s client.Stats) (*client.Report, error) {
	return f.report(ctx, click.Subject{}, "", s)
}

func (f *folder) report(ctx context.Context, of click.Subject, code string, s client.Stats) (*client.Report, error) {
	q, err := f.reportQuery(s)
	if err != nil {
		return nil, err
	}
	q.Subject = of
	r, err := f.reports.Report(ctx, q)
	if err != nil {
		return nil, err
	}
	shown := f.showReport(code, &r)
	if s.Compare {
		before, err := f.reports.Report(ctx, q.Previous())
		if err != nil {
			return nil, err
		}
		compare(shown, &before)
	}
	return shown, nil
}

// compare adds the time before to a report.
func compare(shown *client.Report, before *click.Report) {
	shown.Previous = &client.Previous{
		From: before.From, To: before.To, TotalClicks: before.TotalClicks, UniqueVisitors: before.UniqueVisitors,
		BotClicks: before.BotClicks, QRScans: before.QRScans, Series: buckets(before.Series),
	}
	change := func(before, now int64) *float64 {
		if part, ok := click.RelativeChange(before, now); ok {
			return &part
		}
		return nil
	}
	shown.Change = &client.Change{
		TotalClicks: change(before.TotalClicks, shown.TotalClicks), UniqueVisitors: change(before.UniqueVisitors, shown.UniqueVisitors),
		BotClicks: change(before.BotClicks, shown.BotClicks), QRScans: change(before.QRScans, shown.QRScans),
	}
}

func buckets(series []click.Bucket) []client.Bucket {
	list := []client.Bucket{}
	for _, b := range series {
		list = append(list, client.Bucket{Start: b.Start.UTC(), Clicks: b.Clicks, UniqueVisitors: b.UniqueVisitors})
	}
	return list
}

// reportQuery applies the defaults of the API's reports.
func (f *folder) reportQuery(s client.Stats) (click.Query, error) {
	q := click.Query{From: s.From, To: s.To, Zone: time.UTC, Interval: click.Daily, Kinds: click.Humans, Top: cmp.Or(s.Top, topListed)}
	if q.To.IsZero() {
		q.To = f.now().UTC().Truncate(time.Millisecond).Add(time.Millisecond)
	}
	if q.From.IsZero() {
		q.From = q.To.AddDate(0, 0, -30)
	}
	if !q.From.Before(q.To) {
		return q, fault.Invalid("from", "must be before to")
	}
	if s.TimeZone != "" {
		zone, err := time.LoadLocation(s.TimeZone)
		if err != nil || s.TimeZone == "Local" {
			return q, fault.Invalid("tz", "must be a time zone such as Europe/Berlin")
		}
		q.Zone = zone
	}
	if s.Interval != "" {
		q.Interval = click.Interval(s.Interval)
	}
	if !slices.Contains([]click.Interval{click.Hourly, click.Daily, click.Weekly, click.Monthly}, q.Interval) {
		return q, fault.Invalid("interval", "must be hour, day, week or month")
	}
	var err error
	if q.Filters, err = click.ParseFilters(s.Filters); err != nil {
		return q, err
	}
	enrich.Spell(q.Filters)
	if s.Kind != "" {
		q.Kinds = click.KindSet(s.Kind)
	}
	if !slices.Contains([]click.KindSet{click.Humans, click.Bots, click.AllKind}, q.Kinds) {
		return q, fault.Invalid("kind", "must be human, bot or all")
	}
	return q, nil
}

func (f *folder) showReport(code string, r *click.Report) *client.Report {
	shown := &client.Report{
		ShortCode: code, From: r.From, To: r.To, TimeZone: r.Zone.String(), Interval: string(r.Interval),
		TotalClicks: r.TotalClicks, UniqueVisitors: r.UniqueVisitors, UniqueVisitorsPeriod: f.period,
		BotClicks: r.BotClicks, QRScans: r.QRScans,
		Series: buckets(r.Series), ClicksByDay: []client.Day{}, ClicksByHour: []client.Hour{},
		TopReferrers: counts(r, click.ByReferrer), TopCountries: counts(r, click.ByCountry),
		TopRegions: counts(r, click.ByRegion), TopCities: counts(r, click.ByCity), Devices: counts(r, click.ByDevice),
		Browsers: counts(r, click.ByBrowser), OperatingSystems: counts(r, click.ByOS),
		Languages: counts(r, click.ByLanguage), UTMSources: counts(r, click.BySource),
		UTMMediums: counts(r, click.ByMedium), UTMCampaigns: counts(r, click.ByCampaign), Triggers: counts(r, click.ByTrigger),
	}
	if !r.LastClickedAt.IsZero() {
		shown.LastClickedAt = &r.LastClickedAt
	}
	if !r.Since.IsZero() {
		shown.CountedSince = &r.Since
	}
	for _, b := range r.ByDay {
		shown.ClicksByDay = append(shown.ClicksByDay, client.Day{Date: b.Start.In(r.Zone).Format(time.DateOnly), Clicks: b.Clicks})
	}
	for _, b := range r.ByHour {
		shown.ClicksByHour = append(shown.ClicksByHour, client.Hour{Hour: b.Start.UTC(), Clicks: b.Clicks})
	}
	return shown
}

func counts(r *click.Report, d click.Dimension) []client.Count {
	list := []client.Count{}
	for _, c := range r.Top[d] {
		list = append(list, client.Count{Value: c.Value, Clicks: c.Clicks})
	}
	return list
}
