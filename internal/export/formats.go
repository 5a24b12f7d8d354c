package export

import "strings"

// field is what a column of a file, or a member of an object, means.
type field int

const (
	ignored field = iota + 1 // follows from the others, or is nobody's business
	lost                     // kurz has no such thing: told where it is set
	shortCode
	shortURL // host and code
	host
	longURL
	alias
	owner
	ownerEmail
	title
	notes
	tags
	contentID
	redirectStatus
	edgeTTL
	forwardQuery
	expiredURL
	clicks
	createdAt
	updatedAt
	startsAt
	expiresAt
	revokedAt
	banned // true: it leads nowhere, since when is not known
)

// format is how a shortener writes down links. Names are compared by their
// letters and digits alone, in lower case; members of members have a dot.
type format struct {
	names map[string]field
	// lists are the names of what holds the links in a JSON document.
	lists []string
	// table is how the name of the SQL table ends, columns are its columns.
	table   string
	columns []string
	// strict formats know every column; others tell which they do not know.
	strict bool
}

var formats = map[Format]*format{
	Kurz: {strict: true, names: map[string]field{
		"shortcode": shortCode, "shorturl": ignored, "domain": host, "longurl": longURL, "customalias": alias,
		"status": ignored, "clicks": clicks, "priorclicks": ignored, "owner": owner, "owneremail": ownerEmail,
		"title": title, "notes": notes, "tags": tags, "contentid": contentID, "redirectstatus": redirectStatus, "edgettl": edgeTTL, "forwardquery": forwardQuery,
		"expiredurl": expiredURL, "createdat": createdAt, "updatedat": updatedAt, "startsat": startsAt,
		"expiresat": expiresAt, "revokedat": revokedAt,
	}, lists: []string{"items"}},
	CSV: {strict: true, names: map[string]field{
		"shortcode": shortCode, "code": shortCode, "slug": shortCode, "keyword": shortCode, "alias": shortCode, "backhalf": shortCode,
		"customalias": shortCode, "key": shortCode, "path": shortCode, "shorturl": shortURL, "shortlink": shortURL, "link": shortURL,
		"domain": host, "host": host, "longurl": longURL, "url": longURL, "destination": longURL, "destinationurl": longURL,
		"target": longURL, "originalurl": longURL, "title": title, "name": title, "notes": notes, "description": notes,
		"comments": notes, "tags": tags, "contentid": contentID, "redirectstatus": redirectStatus, "clicks": clicks,
		"visits": clicks, "hits": clicks, "createdat": createdAt, "created": createdAt, "date": createdAt, "datecreated": createdAt,
		"updatedat": updatedAt, "startsat": startsAt, "expiresat": expiresAt, "expires": expiresAt, "expiredurl": expiredURL,
		"revokedat": revokedAt, "password": lost, "maxvisits": lost, "maxclicks": lost, "id": ignored, "ip": ignored,
	}},
	Bitly: {names: map[string]field{
		"link": shortURL, "shortlink": shortURL, "bitlink": shortURL, "shorturl": shortURL, "id": ignored, "longurl": longURL,
		"destinationurl": longURL, "title": title, "tags": tags, "createdat": createdAt, "created": createdAt,
		"datecreated": createdAt, "createddate": createdAt, "engagements": clicks, "totalengagements": clicks, "clicks": clicks,
		"totalclicks": clicks, "archived": lost, "expirationat": expiresAt, "createdby": ignored, "clientid": ignored,
		"references.group": ignored, "custombitlinks": lost, "deeplinks": lost, "launchpadids": ignored, "campaignids": ignored,
		"isdeleted": banned, "scans": ignored, "qrcodes": ignored,
	}, lists: []string{"links"}},
	YOURLS: {strict: true, names: map[string]field{
		"keyword": shortCode, "shorturl": shortURL, "url": longURL, "longurl": longURL, "title": title, "timestamp": createdAt,
		"ip": ignored, "clicks": clicks, "date": createdAt,
	}, lists: []string{"links"}, table: "url", columns: []string{"keyword", "url", "title", "timestamp", "ip", "clicks"}},
	Shlink: {names: map[string]field{
		"createdat": createdAt, "datecreated": createdAt, "domain": host, "shortcode": shortCode, "shorturl": shortURL,
		"longurl": longURL, "title": title, "tags": tags, "visits": clicks, "visitscount": clicks, "visitssummary.total": clicks,
		"visitssummary.nonbots": ignored, "visitssummary.bots": ignored, "meta.validsince": startsAt, "meta.validuntil": expiresAt,
		"meta.maxvisits": lost, "crawlable": ignored, "forwardquery": forwardQuery, "hasredirectrules": lost,
		"devicelongurls.android": lost, "devicelongurls.ios": lost, "devicelongurls.desktop": lost,
	}, lists: []string{"shorturls", "data"}},
	Kutt: {names: map[string]field{
		"address": shortCode, "link": shortURL, "target": longURL, "description": title, "visitcount": clicks,
		"createdat": createdAt, "updatedat": updatedAt, "expirein": expiresAt, "password": lost, "banned": banned,
		"id": ignored, "domain": host, "domainid": ignored, "userid": ignored, "uuid": ignored, "bannedbyid": ignored,
	}, lists: []string{"data"}},
	Dub: {names: map[string]field{
		"shortlink": shortURL, "link": shortURL, "domain": host, "key": shortCode, "url": longURL, "destinationurl": longURL,
		"title": title, "comments": notes, "description": ignored, "image": ignored, "video": ignored, "tags": tags, "tags.name": tags,
		"tags.id": ignored, "tags.color": ignored, "tagid": ignored, "clicks": clicks, "leads": ignored, "conversions": ignored,
		"sales": ignored, "saleamount": ignored, "sale": ignored, "lastclicked": ignored, "createdat": createdAt, "updatedat": updatedAt,
		"expiresat": expiresAt, "expiredurl": expiredURL, "archived": lost, "disabledat": revokedAt, "password": lost, "ios": lost,
		"android": lost, "geo": lost, "proxy": lost, "rewrite": lost, "doindex": ignored, "publicstats": ignored, "trackconversion": ignored,
		"id": ignored, "externalid": contentID, "tenantid": ignored, "programid": ignored, "partnerid": ignored, "folderid": ignored,
		"userid": ignored, "workspaceid": ignored, "projectid": ignored, "qrcode": ignored, "webhookids": ignored,
		"utmsource": ignored, "utmmedium": ignored, "utmcampaign": ignored, "utmterm": ignored, "utmcontent": ignored,
		"testvariants": lost, "testcompletedat": ignored, "teststartedat": ignored, "user": ignored,
	}, lists: []string{"links"}},
}

// plain gives a name as it is compared.
func plain(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '.':
			return r
		}
		return -1
	}, name)
}
