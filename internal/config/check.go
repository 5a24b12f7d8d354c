package config

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"kurz/internal/link"
)

// check finds what can't be true together, or is not there yet.
func (l *loader) check(s *Settings) {
	l.checkServer(s)
	l.checkTLS(s)
	l.checkAvailable(s)
	l.checkClicks(s)
	l.checkCodes(s)
	if s.CacheEntries < 1 || s.CacheEntries > 1_000_000_000 {
		l.problem("KURZ_CACHE_ENTRIES: must be 1 to 1,000,000,000")
	}
	if s.LiveStreams < 1 || s.LiveStreams > 100_000 {
		l.problem("KURZ_LIVE_STREAMS: must be 1 to 100,000")
	} else if s.LiveStreamsPerUser < 1 || s.LiveStreamsPerUser > s.LiveStreams {
		l.problem("KURZ_LIVE_STREAMS_PER_USER: must be 1 to %d, which is KURZ_LIVE_STREAMS", s.LiveStreams)
	}
	if s.LogFormat != "text" && s.LogFormat != "json" {
		l.problem("KURZ_LOG_FORMAT: %q is not one of text, json", s.LogFormat)
	}
	if s.LogRedirects < 0 {
		l.problem("KURZ_LOG_REDIRECTS: must not be negative")
	}
	if _, port, err := net.SplitHostPort(s.PprofListen); s.PprofListen != "" && (err != nil || port == "") {
		l.problem("KURZ_PPROF_LISTEN: %q is not an address such as :6060 or 127.0.0.1:6060", s.PprofListen)
	}
}

func (l *loader) checkServer(s *Settings) {
	if _, port, err := net.SplitHostPort(s.Listen); !strings.HasPrefix(s.Listen, "unix:/") && (err != nil || port == "") {
		l.problem("KURZ_LISTEN: %q is not an address such as :8080, 127.0.0.1:8080 or unix:/run/kurz.sock", s.Listen)
	}
	for _, d := range s.Domains {
		u, err := url.Parse("//" + d)
		if err != nil || u.Host != d || u.Hostname() == "" || strings.ContainsAny(d, "/@ *") {
			l.problem("KURZ_DOMAINS: %q is not a host such as go.example", d)
		} else if strings.EqualFold(d, s.BaseURL.Host) {
			l.problem("KURZ_DOMAINS: %q is the host of KURZ_BASE_URL already: leave it out here", d)
		}
	}
	if s.Server != "" {
		u, err := url.Parse(s.Server)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			l.problem("KURZ_SERVER: %q is not an address such as https://go.example", s.Server)
		}
	}
	if s.ShutdownGrace > time.Hour {
		l.problem("KURZ_SHUTDOWN_GRACE: must be at most 1h")
	}
}

func (l *loader) checkTLS(s *Settings) {
	switch {
	case s.TLSCert != "" && s.TLSKey == "":
		l.problem("KURZ_TLS_CERT needs KURZ_TLS_KEY too")
	case s.TLSCert == "" && s.TLSKey != "":
		l.problem("KURZ_TLS_KEY needs KURZ_TLS_CERT too")
	}
	if !s.ACME {
		if s.ACMEEmail != "" {
			l.problem("KURZ_ACME_EMAIL needs KURZ_ACME=true")
		}
		return
	}
	if s.TLSCert != "" || s.TLSKey != "" {
		l.problem("KURZ_ACME and KURZ_TLS_CERT exclude each other: leave one out")
	}
	if s.BaseURL.Scheme != "https" {
		l.problem("KURZ_ACME needs a KURZ_BASE_URL that begins with https://")
	}
	for _, host := range append([]string{s.BaseURL.Host}, s.Domains...) {
		name, _, err := net.SplitHostPort(host)
		if err != nil {
			name = host
		}
		if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil || !strings.Contains(name, ".") {
			l.problem("KURZ_ACME: no certificate can be had for %q: it needs a public name", name)
		}
	}
}

// checkAvailable refuses what the product promises and this build has not yet:
// better no start than one that keeps data elsewhere than it was told to.
func (l *loader) checkAvailable(s *Settings) {
	const notYet = " is not available in this build yet: leave it out"
	switch scheme, _, isURL := strings.Cut(s.Store, "://"); {
	case s.Store == "" || s.Store == "sqlite":
	case isURL && (scheme == "postgres" || scheme == "postgresql" || scheme == "dynamodb"):
		l.problem("KURZ_STORE: %s://%s, and SQLite in KURZ_DATA is used", scheme, notYet)
	default:
		l.problem("KURZ_STORE: must be empty (SQLite in KURZ_DATA), postgres://… or dynamodb://…")
	}
	for _, later := range []struct {
		name  string
		given bool
	}{
		{"KURZ_REDIS", s.Redis != ""},
		{"KURZ_KAFKA", s.Kafka != ""},
		{"KURZ_CLICKHOUSE", s.ClickHouse != ""},
	} {
		if later.given {
			l.problem("%s%s", later.name, notYet)
		}
	}
}

func (l *loader) checkCodes(s *Settings) {
	if !slices.Contains(link.Strategies(), link.Strategy(s.CodeStrategy)) {
		l.problem("KURZ_CODE_STRATEGY: %q is not one of random, sequence, pool, hash, snowflake", s.CodeStrategy)
	}
	if s.CodeLength < link.MinGeneratedCode || s.CodeLength > link.MaxGeneratedCode {
		l.problem("KURZ_CODE_LENGTH: must be %d to %d", link.MinGeneratedCode, link.MaxGeneratedCode)
	}
	if s.CodeKey != "" && len(s.CodeKey) < 16 {
		l.problem("KURZ_CODE_KEY: must have at least 16 characters, such as 'openssl rand -hex 32' gives")
	}
}

func (l *loader) checkClicks(s *Settings) {
	switch never := s.VisitorKeyRotation == RotateNever; {
	case never && s.VisitorKey == "":
		l.problem("KURZ_VISITOR_KEY_ROTATION=never needs KURZ_VISITOR_KEY")
	case !never && s.VisitorKey != "":
		l.problem("KURZ_VISITOR_KEY is used only with KURZ_VISITOR_KEY_ROTATION=never: set that, or leave the key out")
	case never && len(s.VisitorKey) < 32:
		l.problem("KURZ_VISITOR_KEY: must have at least 32 characters, such as 'openssl rand -hex 32' gives")
	}
	if s.PumpInterval < 10*time.Millisecond || s.PumpInterval > 2*time.Second {
		l.problem("KURZ_PUMP_INTERVAL: must be 10ms to 2s")
	}
}
