package config_test

import (
	"errors"
	"flag"
	"io/fs"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kurz/internal/config"
	"kurz/internal/ratelimit"
)

var update = flag.Bool("update", false, "write the golden files")

// files is a file system of a few files, by path.
type files map[string]string

func (f files) read(name string) ([]byte, error) {
	if text, ok := f[name]; ok {
		return []byte(text), nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

func TestDefaults(t *testing.T) {
	got, err := config.Load(config.Sources{})
	if err != nil {
		t.Fatal(err)
	}
	if got.Listen != ":8080" || got.Data != "./kurz-data" || got.BaseURL.String() != "http://localhost:8080" {
		t.Errorf("listen %q, data %q, base URL %q", got.Listen, got.Data, got.BaseURL)
	}
	want := ratelimit.Limit{Quota: 1000, Window: time.Minute}
	if got.RateRedirect != want {
		t.Errorf("redirect limit %v, want %v", got.RateRedirect, want)
	}
	if !got.AnonymousCreate || got.AllowPrivate || got.CodeLength != 7 || got.ClickSync != config.Sync(50*time.Millisecond) {
		t.Errorf("wrong defaults: %+v", got.Settings)
	}
}

func TestSourcesOverrideInOrder(t *testing.T) {
	src := config.Sources{
		File: "/etc/kurz.conf",
		Environ: []string{
			"HOME=/root", "KURZ_CONFIG=/not/read", "KURZ_CODE_LENGTH=9", "KURZ_LISTEN=:2", "KURZ_LOG_LEVEL=",
			"KURZ_TRUSTED_PROXIES=10.1.2.3/8, ::1,unix,192.0.2.7", "KURZ_RATE_FREE=off",
		},
		Flags: map[string]string{"KURZ_LISTEN": ":3"},
		ReadFile: files{
			"/etc/kurz.conf": "# a comment\nKURZ_LISTEN=:1\nKURZ_CODE_LENGTH=8\nKURZ_DATA='/srv/my data'\nKURZ_LOG_LEVEL=debug\nKURZ_CLICK_SYNC=strict\n",
		}.read,
	}
	got, err := config.Load(src)
	if err != nil {
		t.Fatal(err)
	}
	from := map[string]config.Entry{}
	for _, e := range got.Entries() {
		from[e.Name] = e
	}
	for _, want := range []config.Entry{
		{Name: "KURZ_LISTEN", Value: ":3", From: "flag"},
		{Name: "KURZ_CODE_LENGTH", Value: "9", From: "environment"},
		{Name: "KURZ_DATA", Value: "/srv/my data", From: "file /etc/kurz.conf:4"},
		{Name: "KURZ_LOG_LEVEL", Value: "debug", From: "file /etc/kurz.conf:5"},
		{Name: "KURZ_CLICK_SYNC", Value: "strict", From: "file /etc/kurz.conf:6"},
		{Name: "KURZ_RATE_FREE", Value: "off", From: "environment"},
		{Name: "KURZ_RATE_PREMIUM", Value: "1000/h", From: "default"},
		{Name: "KURZ_BASE_URL", Value: "http://localhost:3", From: "default, with the port of KURZ_LISTEN"},
		{Name: "KURZ_TRUSTED_PROXIES", Value: "10.0.0.0/8,::1/128,192.0.2.7/32,unix", From: "environment"},
	} {
		if diff := cmp.Diff(want, from[want.Name]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", want.Name, diff)
		}
	}
	prefixes := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("192.0.2.7/32")}
	want := config.Proxies{Ranges: prefixes, Unix: true}
	if diff := cmp.Diff(want, got.TrustedProxies, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("proxies (-want +got):\n%s", diff)
	}
}

func TestSecretsFromFiles(t *testing.T) {
	secret := strings.Repeat("s", 40)
	got, err := config.Load(config.Sources{
		Environ:  []string{"KURZ_VISITOR_KEY_FILE=/run/key", "KURZ_VISITOR_KEY_ROTATION=never"},
		ReadFile: files{"/run/key": secret + "\n"}.read,
	})
	if err != nil {
		t.Fatal(err)
	}
	if got.VisitorKey != secret {
		t.Errorf("key %q", got.VisitorKey)
	}
	for _, e := range got.Entries() {
		if strings.Contains(e.Value, secret) {
			t.Errorf("%s shows the secret", e.Name)
		}
		if e.Name == "KURZ_VISITOR_KEY" && e != (config.Entry{Name: e.Name, Value: "(hidden)", From: "/run/key (environment)"}) {
			t.Errorf("entry %+v", e)
		}
	}
}

// TestCodeKeyIsHidden wherever it comes from.
func TestCodeKeyIsHidden(t *testing.T) {
	const secret = "0123456789abcdef of codes"
	for _, given := range []string{"KURZ_CODE_KEY=" + secret, "KURZ_CODE_KEY_FILE=/run/code"} {
		got, err := config.Load(config.Sources{
			Environ:  []string{"KURZ_CODE_STRATEGY=sequence", given},
			ReadFile: files{"/run/code": secret + "\n"}.read,
		})
		if err != nil {
			t.Fatal(err)
		}
		if got.CodeKey != secret {
			t.Errorf("%s: key %q", given, got.CodeKey)
		}
		for _, e := range got.Entries() {
			if strings.Contains(e.Value, secret) || e.Name == "KURZ_CODE_KEY" && e.Value != "(hidden)" {
				t.Errorf("%s: entry %+v", given, e)
			}
		}
	}
}

func TestProblems(t *testing.T) {
	tests := []struct {
		name    string
		environ []string
		file    string
		want    []string
	}{
		{"unknown name", []string{"KURZ_LISTN=:1"}, "", []string{"environment: KURZ_LISTN is not a setting: did you mean KURZ_LISTEN?"}},
		{"far from any name", []string{"KURZ_QWERTZUIOP=1"}, "", []string{"environment: KURZ_QWERTZUIOP is not a setting: 'kurz config' lists them"}},
		{"unknown name in file", nil, "KURZ_BASEURL=x", []string{"settings file /f: line 1: KURZ_BASEURL is not a setting: did you mean KURZ_BASE_URL?"}},
		{"no file variant of plain settings", []string{"KURZ_LISTEN_FILE=/x"}, "", []string{"environment: KURZ_LISTEN_FILE is not a setting: only secrets are read from files, so set KURZ_LISTEN"}},
		{"file names a file", nil, "KURZ_CONFIG=/g", []string{"settings file /f: line 1: a settings file can't name another"}},
		{"malformed file", nil, "what", []string{"settings file /f: line 1: write NAME=value, or # before a comment"}},
		{
			"several at once",
			[]string{"KURZ_ACME=perhaps", "KURZ_CODE_LENGTH=many", "KURZ_RATE_FREE=3", "KURZ_TRUSTED_PROXIES=all", "KURZ_CLICK_SYNC=1h", "KURZ_LOG_LEVEL=loud", "KURZ_VISITOR_KEY_ROTATION=hourly", "KURZ_SHUTDOWN_GRACE=-1s", "KURZ_CLICK_RETENTION=90"},
			"",
			[]string{
				`KURZ_TRUSTED_PROXIES (environment): "all" is neither an address, nor a range such as 10.0.0.0/8, nor unix`,
				`KURZ_SHUTDOWN_GRACE (environment): "-1s" is not a span of time such as 10s or 200ms`,
				`KURZ_ACME (environment): "perhaps" is neither true nor false`,
				`KURZ_CODE_LENGTH (environment): "many" is not a whole number`,
				`KURZ_RATE_FREE (environment): "3" is not a limit: write a number and a unit such as 10/h (s, m, h or d), or off`,
				`KURZ_CLICK_SYNC (environment): "1h" is neither strict nor a span of time from 1ms to 10s`,
				`KURZ_CLICK_RETENTION (environment): "90" is neither keep nor a number of days such as 90d`,
				`KURZ_VISITOR_KEY_ROTATION (environment): "hourly" is not one of day, week, month, never`,
				`KURZ_LOG_LEVEL (environment): "loud" is not one of debug, info, warn, error`,
			},
		},
		{"secret twice", []string{"KURZ_API_KEY=a", "KURZ_API_KEY_FILE=/f"}, "", []string{"KURZ_API_KEY and KURZ_API_KEY_FILE are both given: leave one out"}},
		{"secret file missing", []string{"KURZ_API_KEY_FILE=/none"}, "", []string{"KURZ_API_KEY_FILE: open /none: file does not exist"}},
		{"rotation without key", []string{"KURZ_VISITOR_KEY_ROTATION=never"}, "", []string{"KURZ_VISITOR_KEY_ROTATION=never needs KURZ_VISITOR_KEY"}},
		{"key without rotation never", []string{"KURZ_VISITOR_KEY=x"}, "", []string{"KURZ_VISITOR_KEY is used only with KURZ_VISITOR_KEY_ROTATION=never: set that, or leave the key out"}},
		{"certificate without key", []string{"KURZ_TLS_CERT=c"}, "", []string{"KURZ_TLS_CERT needs KURZ_TLS_KEY too"}},
		{
			"ACME against all",
			[]string{"KURZ_ACME=true", "KURZ_TLS_CERT=c", "KURZ_TLS_KEY=k"},
			"",
			[]string{
				"KURZ_ACME and KURZ_TLS_CERT exclude each other: leave one out",
				"KURZ_ACME needs a KURZ_BASE_URL that begins with https://",
				`KURZ_ACME: no certificate can be had for "localhost": it needs a public name`,
			},
		},
		{"base URL with a path", []string{"KURZ_BASE_URL=https://a.example/s"}, "", []string{`KURZ_BASE_URL (environment): "https://a.example/s" must end after the host: no path, query or fragment`}},
		{"base URL with a query", []string{"KURZ_BASE_URL=https://a.example?"}, "", []string{`KURZ_BASE_URL (environment): "https://a.example?" must end after the host: no path, query or fragment`}},
		{"base URL with a password", []string{"KURZ_BASE_URL=https://u:p@a.example"}, "", []string{`KURZ_BASE_URL (environment): must not have a user name or password`}},
		{"base URL without a scheme", []string{"KURZ_BASE_URL=a.example"}, "", []string{`KURZ_BASE_URL (environment): "a.example" is not an address such as https://go.example`}},
		{"listen without a port", []string{"KURZ_LISTEN=localhost"}, "", []string{`KURZ_LISTEN: "localhost" is not an address such as :8080, 127.0.0.1:8080 or unix:/run/kurz.sock`}},
		{"domain with a path", []string{"KURZ_DOMAINS=a.example/x"}, "", []string{`KURZ_DOMAINS: "a.example/x" is not a host such as go.example`}},
		{"domain twice", []string{"KURZ_DOMAINS=LOCALHOST:8080"}, "", []string{`KURZ_DOMAINS: "LOCALHOST:8080" is the host of KURZ_BASE_URL already: leave it out here`}},
		{"store to come", []string{"KURZ_STORE=postgres://u:hunter2@h/db"}, "", []string{"KURZ_STORE: postgres:// is not available in this build yet: leave it out, and SQLite in KURZ_DATA is used"}},
		{"store unknown", []string{"KURZ_STORE=mysql://x"}, "", []string{"KURZ_STORE: must be empty (SQLite in KURZ_DATA), postgres://… or dynamodb://…"}},
		{"Redis to come", []string{"KURZ_REDIS=redis://x"}, "", []string{"KURZ_REDIS is not available in this build yet: leave it out"}},
		{"strategy unknown", []string{"KURZ_CODE_STRATEGY=nice"}, "", []string{`KURZ_CODE_STRATEGY: "nice" is not one of random, sequence, pool, hash, snowflake`}},
		{"no live streams", []string{"KURZ_LIVE_STREAMS=0"}, "", []string{"KURZ_LIVE_STREAMS: must be 1 to 100,000"}},
		{"more live streams of one than of all", []string{"KURZ_LIVE_STREAMS=10"}, "", []string{"KURZ_LIVE_STREAMS_PER_USER: must be 1 to 10, which is KURZ_LIVE_STREAMS"}},
		{"code length", []string{"KURZ_CODE_LENGTH=3"}, "", []string{"KURZ_CODE_LENGTH: must be 4 to 32"}},
		{"code key", []string{"KURZ_CODE_KEY=hunter2"}, "", []string{"KURZ_CODE_KEY: must have at least 16 characters, such as 'openssl rand -hex 32' gives"}},
		{"node", []string{"KURZ_NODE=512"}, "", []string{`KURZ_NODE (environment): "512" is neither auto nor a whole number from 0 to 511`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src := config.Sources{Environ: tt.environ, ReadFile: files{"/f": tt.file}.read}
			if tt.file != "" {
				src.File = "/f"
			}
			_, err := config.Load(src)
			problems, ok := errors.AsType[config.Problems](err)
			if !ok {
				t.Fatalf("error %v, want Problems", err)
			}
			if diff := cmp.Diff(config.Problems(tt.want), problems); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			for _, p := range tt.want {
				if !strings.Contains(err.Error(), p) {
					t.Errorf("message lacks %q:\n%s", p, err)
				}
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("message shows a secret: %s", err)
			}
		})
	}
}

// TestTags makes sure that each setting is documented, that its default can be
// read, and that it is shown in the form in which it is written.
func TestTags(t *testing.T) {
	loaded, err := config.Load(config.Sources{})
	if err != nil {
		t.Fatal(err)
	}
	entries := loaded.Entries()
	for i, f := range config.Fields() {
		if f.Doc == "" || f.Group == "" || f.Name == "KURZ_" {
			t.Errorf("%s lacks a tag", f.Name)
		}
		if want := f.Default; entries[i].Value != want {
			t.Errorf("%s: default %q is shown as %q", f.Name, want, entries[i].Value)
		}
	}
	if n := reflect.TypeFor[config.Settings]().NumField(); n != len(entries) {
		t.Errorf("%d entries for %d fields", len(entries), n)
	}
}

func TestReference(t *testing.T) {
	const path = "../../docs/configuration.md"
	got := config.Reference()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is out of date, run 'go generate ./internal/config' (-page +struct):\n%s", path, diff)
	}
}
