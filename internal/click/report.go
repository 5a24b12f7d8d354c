package click

import (
	"time"
)

// Report is what statistics say of a span of time. Lists are sorted by clicks,
// most first, then by value; one that was cut ends with Other, so that each adds
// up to TotalClicks.
type Report struct {
	From, To time.Time
	// Since is from when on clicks are counted, where that is after From: the
	// query has filters, and older single clicks are gone. Otherwise it is zero.
	Since          time.Time
	Zone           *time.Location
	Interval       Interval
	TotalClicks    int64 // of the kinds asked for
	UniqueVisitors int64
	BotClicks      int64 // all but humans, whatever kinds were asked for
	QRScans        int64 // of the kinds asked for
	LastClickedAt  time.Time
	// Series has a bucket for every interval between From and To, also where
	// nothing was clicked.
	Series []Bucket
	// ByDay and ByHour hold only buckets with clicks, oldest first; they do not
	// tell visitors apart.
	ByDay, ByHour []Bucket
	// Top holds a list for each of Dimensions.
	Top map[Dimension][]Count
}

// Bucket counts within one interval.
type Bucket struct {
	Start          time.Time // in the report's zone
	Clicks         int64
	UniqueVisitors int64
}

// Count is how often a value occurred.
type Count struct {
	Value  string
	Clicks int64
}

// Dimension is a property of clicks that reports group and filter by.
type Dimension string

// The dimensions, by their names in filters.
const (
	ByReferrer Dimension = "referrer" // the host; "direct" for none
	ByCountry  Dimension = "country"
	ByRegion   Dimension = "region"
	ByCity     Dimension = "city"
	ByDevice   Dimension = "device"
	ByBrowser  Dimension = "browser"
	ByOS       Dimension = "os"
	ByLanguage Dimension = "language"
	BySource   Dimension = "utm_source"
	ByMedium   Dimension = "utm_medium"
	ByCampaign Dimension = "utm_campaign"
	ByTrigger  Dimension = "trigger"
)

// Dimensions lists all of them in the order of reports.
var Dimensions = [...]Dimension{
	ByReferrer, ByCountry, ByRegion, ByCity, ByDevice, ByBrowser, ByOS,
	ByLanguage, BySource, ByMedium, ByCampaign, ByTrigger,
}
