// Package config holds the settings of kurz: one documented struct, read from
// a file, the environment and flags.
//
// It guarantees that settings which are unknown, malformed or contradict each
// other stop the start, all named at once and each with what to do; that the
// value of a secret is never printed; and that docs/configuration.md says what
// the struct says. Start reading at Settings, then Load.
package config

import (
	"log/slog"
	"net/netip"
	"net/url"
	"time"

	"kurz/internal/ratelimit"
)

// Settings is everything that can be set. The tags are the one place where a
// setting's name, default and meaning stand:
//
//   - env: its name after KURZ_; the flag is the same in lower case with dashes
//   - default: as someone would write it; empty is none
//   - secret: hidden wherever settings are shown, readable from the file named
//     by KURZ_…_FILE, and without a flag, since flags show in process lists
//   - group, doc: for the reference page
type Settings struct {
	Listen  string   `env:"LISTEN" default:":8080" group:"Server" doc:"Address to listen on: host:port, or unix: and a path. Sockets handed over by systemd (LISTEN_FDS) are used instead where there are any."`
	Data    string   `env:"DATA" default:"./kurz-data" group:"Server" doc:"Folder for everything that is kept. It is made at the first start, readable by its owner alone."`
	BaseURL *url.URL `env:"BASE_URL" default:"http://localhost:8080" group:"Server" doc:"Address that people reach kurz at: scheme and host, no path. Short URLs begin with it. Where it is left out, the port of KURZ_LISTEN is taken, and https if there is a KURZ_TLS_CERT."`
	Domains []string `env:"DOMAINS" group:"Server" doc:"More hosts that links can live on, separated by commas, such as go.example,s.example."`

	TrustedProxies Proxies       `env:"TRUSTED_PROXIES" group:"Server" doc:"Addresses or CIDR ranges of reverse proxies, separated by commas; unix is whoever connects to a Unix socket. Only from these is X-Forwarded-For believed."`
	ShutdownGrace  time.Duration `env:"SHUTDOWN_GRACE" default:"10s" group:"Server" doc:"How long requests that run may go on after SIGTERM."`
	FastPath       bool          `env:"FAST_PATH" default:"true" group:"Server" doc:"Answers plain requests for links without the general HTTP server, at a third of the cost; false leaves everything to it."`

	TLSCert       string `env:"TLS_CERT" group:"TLS" doc:"File with the certificate chain, PEM. Read anew when it changes."`
	TLSKey        string `env:"TLS_KEY" group:"TLS" doc:"File with the certificate's private key, PEM."`
	ACME          bool   `env:"ACME" default:"false" group:"TLS" doc:"Get certificates for the hosts of KURZ_BASE_URL and KURZ_DOMAINS by ACME. Port 443 of these hosts must lead to KURZ_LISTEN."`
	ACMEEmail     string `env:"ACME_EMAIL" group:"TLS" doc:"Where the certificate authority may write to."`
	ACMEDirectory string `env:"ACME_DIRECTORY" default:"https://acme-v02.api.letsencrypt.org/directory" group:"TLS" doc:"The certificate authority's directory."`

	Store        string `env:"STORE" group:"Storage" secret:"true" doc:"Where links and accounts are kept. Empty is SQLite in KURZ_DATA; postgres:// and dynamodb:// are to come."`
	Redis        string `env:"REDIS" group:"Storage" secret:"true" doc:"Cache shared by several servers, redis://…. To come."`
	Kafka        string `env:"KAFKA" group:"Storage" secret:"true" doc:"Where clicks are sent, kafka://broker,broker/topic. To come."`
	ClickHouse   string `env:"CLICKHOUSE" group:"Storage" secret:"true" doc:"Where statistics are kept, clickhouse://…. To come."`
	CacheEntries int    `env:"CACHE_ENTRIES" default:"1000000" group:"Storage" doc:"How many links are kept in memory, at most; fewer where they take more than 512 bytes on average. Memory is taken as links are used: some 65 bytes each, and the destination."`

	CodeStrategy    string    `env:"CODE_STRATEGY" default:"random" group:"Links" doc:"How codes are made: random, sequence, pool, hash or snowflake; docs/operations.md says which is for whom. It can be changed at any time, and no link changes."`
	CodeLength      int       `env:"CODE_LENGTH" default:"7" group:"Links" doc:"Characters of a generated code, 4 to 32; those of snowflake have at least 10. It can be changed at any time, and no link changes."`
	CodeKey         string    `env:"CODE_KEY" group:"Links" secret:"true" doc:"Key of the sequence strategy, at least 16 characters. Without it one is made and kept as code.key in KURZ_DATA; the others need none."`
	Node            Node      `env:"NODE" default:"auto" group:"Links" doc:"Number of this server in codes of the snowflake strategy, 0 to 511, which no other server of the same links may have; auto leases one from where the links are kept."`
	AnonymousCreate bool      `env:"ANONYMOUS_CREATE" default:"true" group:"Links" doc:"Whether links can be made without an API key."`
	AllowPrivate    bool      `env:"ALLOW_PRIVATE" default:"false" group:"Links" doc:"Whether links may lead to loopback and private addresses and to names without a dot."`
	Blocklist       string    `env:"BLOCKLIST" group:"Links" doc:"File of domains that links may not lead to, one a line, subdomains included. Read anew when it changes."`
	ArchiveAfter    Archiving `env:"ARCHIVE_AFTER" default:"off" group:"Links" doc:"After how many days, such as 90d, links that have expired or were revoked are archived: listings and searches leave them out unless they are asked for. They keep their codes, statistics and answers, and come back when they are restored."`
	QRLogo          string    `env:"QR_LOGO" group:"Links" doc:"PNG file, at most 256 KiB and 2048 × 2048 pixels, for the middle of QR codes that ask for a logo. Without it they get the mark of kurz. Read at the start."`

	RateAnonymous   ratelimit.Limit `env:"RATE_ANONYMOUS" default:"10/h" group:"Limits" doc:"Creates without a key, for each IPv4 address or IPv6 /64: a number for each s, m, h or d; or off."`
	RateFree        ratelimit.Limit `env:"RATE_FREE" default:"100/h" group:"Limits" doc:"Creates for each user of the tier free, or off."`
	RatePremium     ratelimit.Limit `env:"RATE_PREMIUM" default:"1000/h" group:"Limits" doc:"Creates for each user of the tier premium, or off."`
	RateBulkFree    ratelimit.Limit `env:"RATE_BULK_FREE" default:"10000/d" group:"Limits" doc:"Rows of bulk uploads for each user of the tier free, or off. They do not count as creates. An upload with more rows than are left is refused whole."`
	RateBulkPremium ratelimit.Limit `env:"RATE_BULK_PREMIUM" default:"100000/d" group:"Limits" doc:"Rows of bulk uploads for each user of the tier premium, or off."`
	RateRedirect    ratelimit.Limit `env:"RATE_REDIRECT" default:"1000/m" group:"Limits" doc:"Redirects for each client, or off. As with the others, a client that was quiet may use all of it at once and then as much as comes back with time: twice as many in its first minute, at most."`

	LiveStreams        int `env:"LIVE_STREAMS" default:"1000" group:"Limits" doc:"Live streams of clicks at once, 1 to 100,000. A stream holds a connection and some 200 KB at most."`
	LiveStreamsPerUser int `env:"LIVE_STREAMS_PER_USER" default:"20" group:"Limits" doc:"Live streams at once of one user; not more than KURZ_LIVE_STREAMS."`

	ClickSync          Sync          `env:"CLICK_SYNC" default:"50ms" group:"Clicks" doc:"How often the journal is synced to the disk, 1ms to 10s; or strict: before each redirect is answered. A killed process loses nothing either way, a power cut at most this much."`
	ClickRetention     Retention     `env:"CLICK_RETENTION" default:"keep" group:"Clicks" doc:"How long single clicks are kept: keep is for ever. After a number of days such as 90d they go, day by day (UTC); totals and reports without filters stay."`
	VisitorKeyRotation Rotation      `env:"VISITOR_KEY_ROTATION" default:"day" group:"Clicks" doc:"How often the key of the visitor hash changes: day, week, month; or never, with KURZ_VISITOR_KEY. Unique visitors are exact within this time."`
	VisitorKey         string        `env:"VISITOR_KEY" group:"Clicks" secret:"true" doc:"Key of the visitor hash, at least 32 characters; only where KURZ_VISITOR_KEY_ROTATION is never."`
	HonourDNT          bool          `env:"HONOUR_DNT" default:"false" group:"Clicks" doc:"Whether DNT: 1 and Sec-GPC: 1 are honoured: the click counts, and nothing else is kept."`
	GeoIP              string        `env:"GEOIP" group:"Clicks" doc:"City database in MaxMind's format (.mmdb), such as GeoLite2 City: clicks get a region and a city. Read anew when it changes. Countries are known without one."`
	PumpInterval       time.Duration `env:"PUMP_INTERVAL" default:"200ms" group:"Clicks" doc:"How often clicks are brought from the journal into the statistics, 10ms to 2s."`

	LogLevel     slog.Level `env:"LOG_LEVEL" default:"info" group:"Logs" doc:"debug, info, warn or error."`
	LogFormat    string     `env:"LOG_FORMAT" default:"text" group:"Logs" doc:"text, or json for machines."`
	LogRedirects int        `env:"LOG_REDIRECTS" default:"1000" group:"Logs" doc:"One of how many requests for links gets a line in the log, refused ones too; 0 for none, 1 for each. What the server fails gets a line each, as do all other requests."`
	PprofListen  string     `env:"PPROF_LISTEN" group:"Logs" doc:"Address for go tool pprof, such as :6060; nothing is listened on without it. Without a host it is one of this machine alone. Whoever reaches it sees the program at work and can slow it down."`

	Server string `env:"SERVER" group:"Commands" doc:"Address of a kurz server that shorten, links and stats ask. Without it they work on KURZ_DATA."`
	APIKey string `env:"API_KEY" group:"Commands" secret:"true" doc:"API key for KURZ_SERVER."`
}

// Proxies are who is believed about whom they forward for.
type Proxies struct {
	Ranges []netip.Prefix // never IPv4 mapped into IPv6
	Unix   bool           // whoever connects to a Unix socket
}

// Sync is how often the journal is synced; 0 is strict: before each answer.
type Sync time.Duration

// Strict reports whether each click is synced before its answer.
func (s Sync) Strict() bool { return s == 0 }

// Retention is how long single clicks are kept; 0 is for ever.
type Retention time.Duration

// Archiving is how long links that have ended are listed; 0 is for ever.
type Archiving time.Duration

// Node is the number that a server is given; negative is none: one is leased.
type Node int

// AutoNode is the Node that is leased.
const AutoNode Node = -1

// Rotation is how often the visitor hash's key changes.
type Rotation string

// The rotations.
const (
	RotateDaily   Rotation = "day"
	RotateWeekly  Rotation = "week"
	RotateMonthly Rotation = "month"
	RotateNever   Rotation = "never"
)

// TLS reports whether kurz itself speaks TLS.
func (s *Settings) TLS() bool { return s.ACME || s.TLSCert != "" }
