package redirect_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kurz/internal/click"
	"kurz/internal/fault"
	"kurz/internal/link"
	"kurz/internal/memory"
	"kurz/internal/ratelimit"
	"kurz/internal/redirect"
)

// request is one for a path at noon.
func request(path string) *redirect.Request {
	return &redirect.Request{
		Host: "kurz.example", Path: path, Now: noon,
		Client: netip.MustParseAddr("192.0.2.1"),
	}
}

// parse reads the answer back, to the last byte.
func parse(t *testing.T, p *redirect.Response, method string) *http.Response {
	t.Helper()
	raw := bufio.NewReader(bytes.NewReader(p.AppendTo(nil)))
	resp, err := http.ReadResponse(raw, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if raw.Buffered() != 0 {
		t.Errorf("%d bytes behind the answer", raw.Buffered())
	}
	return resp
}

func TestAnswer(t *testing.T) {
	const dest = "https://a.example/path?x=1#f"
	for _, c := range []struct {
		name   string
		change func(r *link.Route)
		query  string
		want   fault.Code
		status int
		header map[string]string // of Location, Cache-Control, Cdn-Cache-Control, Cache-Tag
	}{
		{name: "active", status: 302, header: map[string]string{"Location": dest, "Cache-Control": "private, no-store"}},
		{name: "307", change: func(r *link.Route) { r.Status = 307 }, status: 307, header: map[string]string{
			"Location": dest, "Cache-Control": "private, no-store",
		}},
		{name: "301", change: func(r *link.Route) { r.Status = 301 }, status: 301, header: map[string]string{
			"Location": dest, "Cache-Control": "public, max-age=86400",
		}},
		{name: "308", change: func(r *link.Route) { r.Status = 308 }, status: 308, header: map[string]string{
			"Location": dest, "Cache-Control": "public, max-age=86400",
		}},
		{name: "a status that is none", change: func(r *link.Route) { r.Status = 0 }, status: 302, header: map[string]string{
			"Location": dest, "Cache-Control": "private, no-store",
		}},
		{name: "301 until it expires", change: func(r *link.Route) {
			r.Status, r.ExpiresAt = 301, noon.Add(90*time.Second+999*time.Millisecond)
		}, status: 301, header: map[string]string{"Location": dest, "Cache-Control": "public, max-age=90"}},
		{name: "301 that expires late", change: func(r *link.Route) {
			r.Status, r.ExpiresAt = 301, noon.Add(48*time.Hour)
		}, status: 301, header: map[string]string{"Location": dest, "Cache-Control": "public, max-age=86400"}},
		{name: "308 until it is taken down", change: func(r *link.Route) {
			r.Status, r.ExpiresAt, r.RevokedAt = 308, noon.Add(time.Hour), noon.Add(time.Minute)
		}, status: 308, header: map[string]string{"Location": dest, "Cache-Control": "public, max-age=60"}},
		{name: "301 in its last second", change: func(r *link.Route) {
			r.Status, r.ExpiresAt = 301, noon.Add(time.Millisecond)
		}, status: 301, header: map[string]string{"Location": dest, "Cache-Control": "public, max-age=0"}},
		{name: "edge", change: func(r *link.Route) { r.EdgeTTL = time.Minute }, status: 302, header: map[string]string{
			"Location": dest, "Cache-Control": "private, no-store", "Cdn-Cache-Control": "max-age=60", "Cache-Tag": "kurz-abc",
		}},
		{name: "edge until it expires", change: func(r *link.Route) {
			r.EdgeTTL, r.ExpiresAt = time.Minute, noon.Add(10*time.Second)
		}, status: 302, header: map[string]string{
			"Location": dest, "Cache-Control": "private, no-store", "Cdn-Cache-Control": "max-age=10", "Cache-Tag": "kurz-abc",
		}},
		{name: "edge until it is taken down", change: func(r *link.Route) {
			r.Status, r.EdgeTTL, r.RevokedAt = 301, time.Minute, noon.Add(5*time.Second)
		}, status: 301, header: map[string]string{
			"Location": dest, "Cache-Control": "public, max-age=5", "Cdn-Cache-Control": "max-age=5", "Cache-Tag": "kurz-abc",
		}},
		{name: "edge in its last second", change: func(r *link.Route) {
			r.EdgeTTL, r.ExpiresAt = time.Minute, noon.Add(time.Millisecond)
		}, status: 302, header: map[string]string{"Location": dest, "Cache-Control": "private, no-store"}},
		{name: "query not forwarded", query: "y=2", status: 302, header: map[string]string{
			"Location": dest, "Cache-Control": "private, no-store",
		}},
		{name: "query forwarded", query: "y=2&qr=1", change: func(r *link.Route) { r.ForwardQuery = true }, status: 302, header: map[string]string{
			"Location": "https://a.example/path?x=1&y=2#f", "Cache-Control": "private, no-store",
		}},
		{name: "no query to forward", change: func(r *link.Route) { r.ForwardQuery = true }, status: 302, header: map[string]string{
			"Location": dest, "Cache-Control": "private, no-store",
		}},
		{name: "started", change: func(r *link.Route) { r.StartsAt = noon }, status: 302, header: map[string]string{
			"Location": dest, "Cache-Control": "private, no-store",
		}},
		{name: "not started", change: func(r *link.Route) { r.StartsAt = noon.Add(time.Millisecond) }, want: fault.URLNotFound},
		{name: "expired", change: func(r *link.Route) { r.ExpiresAt = noon }, want: fault.URLExpired},
		{name: "expired to elsewhere", query: "y=2", change: func(r *link.Route) {
			r.Status, r.ExpiresAt, r.ExpiredURL = 301, noon, "https://old.example/"
			r.ForwardQuery, r.EdgeTTL = true, time.Hour
		}, status: 302, header: map[string]string{"Location": "https://old.example/", "Cache-Control": "private, no-store"}},
		{name: "revoked", change: func(r *link.Route) { r.RevokedAt = noon }, want: fault.URLRevoked},
		{name: "revoked and expired", change: func(r *link.Route) {
			r.RevokedAt, r.ExpiresAt, r.ExpiredURL = noon, noon, "https://old.example/"
		}, want: fault.URLRevoked},
		{name: "blocked", change: func(r *link.Route) { r.Destination = "https://x.bad.example/" }, want: fault.URLBlocked},
		{name: "expired to a blocked one", change: func(r *link.Route) {
			r.ExpiresAt, r.ExpiredURL = noon, "https://bad.example:8443/"
		}, want: fault.URLBlocked},
		{name: "no such link", change: func(r *link.Route) { r.Version = 0 }, want: fault.URLNotFound},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, rec := newStore(t), &recorder{}
			route := active(1, dest)
			if c.change != nil {
				c.change(&route)
			}
			s.set(key("abc"), route)
			h := redirect.New(redirect.Settings{
				Resolver: resolver(t, s, nil), Recorder: rec, Domains: domains(t),
				Blocklist: link.NewBlocklist([]string{"bad.example"}),
			})
			q := request("abc")
			q.Query = c.query
			var p redirect.Response
			for range 2 { // the second from memory, into the same response
				err := h.Answer(t.Context(), q, &p)
				if got := fault.CodeOf(err); got != c.want {
					t.Fatalf("got %v, want %q", err, c.want)
				}
				if c.want != "" {
					continue
				}
				resp := parse(t, &p, http.MethodGet)
				got := map[string]string{}
				for _, name := range []string{"Location", "Cache-Control", "Cdn-Cache-Control", "Cache-Tag"} {
					if v, ok := resp.Header[name]; ok {
						got[name] = v[0]
					}
				}
				if diff := cmp.Diff(c.header, got); diff != "" || resp.StatusCode != c.status {
					t.Errorf("status %d, want %d; header (-want +got):\n%s", resp.StatusCode, c.status, diff)
				}
			}
			clicks := 0
			if c.want == "" {
				clicks = 2
			}
			if len(rec.visits) != clicks {
				t.Errorf("%d clicks, want %d", len(rec.visits), clicks)
			}
		})
	}
}

func TestMalformedCodesAreNotLookedUp(t *testing.T) {
	s := newStore(t)
	h := redirect.New(redirect.Settings{Resolver: resolver(t, s, nil), Recorder: &recorder{}, Domains: domains(t)})
	for _, path := range []string{"", "ab", "abc+", "ab%63", "a.c", "abc/", "äöü", strings.Repeat("a", 65)} {
		var p redirect.Response
		if err := h.Answer(t.Context(), request(path), &p); !fault.Is(err, fault.URLNotFound) {
			t.Errorf("%q: %v", path, err)
		}
	}
	if len(s.calls) != 0 {
		t.Errorf("store asked: %v", s.calls)
	}
}

func TestHostChoosesTheDomain(t *testing.T) {
	s := newStore(t)
	s.set(key("abc"), active(1, "https://a.example/"))
	s.set(link.Key{Domain: "go.example", Code: "abc"}, active(1, "https://b.example/"))
	h := redirect.New(redirect.Settings{Resolver: resolver(t, s, nil), Recorder: &recorder{}, Domains: domains(t)})
	for host, want := range map[string]string{
		"kurz.example": "https://a.example/", "go.example": "https://b.example/",
		"GO.example": "https://b.example/", "203.0.113.7:8080": "https://a.example/", "": "https://a.example/",
	} {
		var p redirect.Response
		q := request("abc")
		q.Host = host
		if err := h.Answer(t.Context(), q, &p); err != nil {
			t.Fatal(err)
		}
		if got := string(p.AppendLocation(nil)); got != want {
			t.Errorf("host %q: %s, want %s", host, got, want)
		}
	}
}

func TestVisit(t *testing.T) {
	s, rec := newStore(t), &recorder{}
	route := active(1, "https://a.example/?utm_source=x")
	s.set(key("abc"), route)
	for _, honour := range []bool{false, true} {
		h := redirect.New(redirect.Settings{
			Resolver: resolver(t, s, nil), Recorder: rec, Domains: domains(t), HonourDNT: honour,
		})
		q := request("abc")
		q.Head, q.NoTrack, q.Query = true, true, "qr=1"
		q.UserAgent, q.Referer, q.AcceptLanguage, q.Purpose = "agent", "https://r.example/", "de", "prefetch"
		if err := h.Answer(t.Context(), q, new(redirect.Response)); err != nil {
			t.Fatal(err)
		}
		want := click.Visit{
			Time: noon, Link: 7, Owner: 3, Head: true, Client: netip.MustParseAddr("192.0.2.1"),
			UserAgent: "agent", Referer: "https://r.example/", AcceptLanguage: "de", Purpose: "prefetch",
			Query: "qr=1", TargetQuery: "utm_source=x", Untracked: honour,
		}
		got := rec.visits[len(rec.visits)-1]
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("honour %v: (-want +got):\n%s", honour, diff)
		}
	}
}

func TestLostClickStillRedirects(t *testing.T) {
	s := newStore(t)
	s.set(key("abc"), active(1, "https://a.example/"))
	h := redirect.New(redirect.Settings{
		Resolver: resolver(t, s, nil), Domains: domains(t), Recorder: &recorder{err: errors.New("disk full")},
	})
	var p redirect.Response
	if err := h.Answer(t.Context(), request("abc"), &p); err != nil || p.Status != 302 {
		t.Errorf("status %d, %v", p.Status, err)
	}
}

type brokenLimits struct{}

func (brokenLimits) Take(context.Context, ratelimit.Key, ratelimit.Limit, time.Time, int) (ratelimit.Result, error) {
	return ratelimit.Result{}, errDown
}

func TestLimit(t *testing.T) {
	s, rec := newStore(t), &recorder{}
	s.set(key("abc"), active(1, "https://a.example/"))
	h := redirect.New(redirect.Settings{
		Resolver: resolver(t, s, nil), Recorder: rec, Domains: domains(t),
		Limits: memory.NewLimits(1000), Limit: ratelimit.Limit{Quota: 3, Window: time.Minute},
	})
	var p redirect.Response
	answer := func(path, client string) error {
		q := request(path)
		q.Client, _ = netip.ParseAddr(client)
		return h.Answer(t.Context(), q, &p)
	}
	for i, path := range []string{"abc", "nothing", "abc"} {
		if err := answer(path, "2001:db8::1"); fault.Is(err, fault.RateLimitExceeded) {
			t.Fatalf("request %d refused", i)
		}
		if got := string(p.AppendRateLimit(nil)); !strings.HasPrefix(got, `"redirect";r=`+string(rune('2'-i))) {
			t.Errorf("request %d: RateLimit %s", i, got)
		}
	}
	if got := parse(t, &p, http.MethodGet).Header.Get("RateLimit-Policy"); got != `"redirect";q=3;w=60` {
		t.Errorf("policy %s", got)
	}
	err := answer("abc", "2001:db8::2") // the same /64
	if f := fault.Of(err); f.Code != fault.RateLimitExceeded || f.RetryAfter != 20*time.Second {
		t.Errorf("got %v", err)
	}
	if got := string(p.AppendRateLimit(nil)); got != `"redirect";r=0;t=60` {
		t.Errorf("refused: RateLimit %s", got)
	}
	for _, other := range []string{"2001:db8:0:1::1", "192.0.2.1", ""} {
		if err := answer("abc", other); err != nil {
			t.Errorf("%q: %v", other, err)
		}
	}
	if len(rec.visits) != 5 {
		t.Errorf("%d clicks, want 5", len(rec.visits))
	}
}

func TestLimitThatCannotBeAsked(t *testing.T) {
	s := newStore(t)
	s.set(key("abc"), active(1, "https://a.example/"))
	h := redirect.New(redirect.Settings{
		Resolver: resolver(t, s, nil), Recorder: &recorder{}, Domains: domains(t),
		Limits: brokenLimits{}, Limit: ratelimit.Limit{Quota: 1, Window: time.Hour},
	})
	var p redirect.Response
	for range 3 {
		if err := h.Answer(t.Context(), request("abc"), &p); err != nil {
			t.Fatal(err)
		}
	}
	if got := p.AppendRateLimit(p.AppendRateLimitPolicy(nil)); len(got) != 0 {
		t.Errorf("not counted, but said %s", got)
	}
}

func TestUnavailableIsNotAbsent(t *testing.T) {
	s := newStore(t)
	s.fail(errDown)
	h := redirect.New(redirect.Settings{Resolver: resolver(t, s, nil), Recorder: &recorder{}, Domains: domains(t)})
	if err := h.Answer(t.Context(), request("abc"), new(redirect.Response)); !fault.Is(err, fault.Unavailable) {
		t.Error(err)
	}
}

func TestAppendTo(t *testing.T) {
	s := newStore(t)
	route := active(1, "https://a.example/")
	route.EdgeTTL = time.Minute
	s.set(key("abc"), route)
	h := redirect.New(redirect.Settings{
		Resolver: resolver(t, s, nil), Recorder: &recorder{}, Domains: domains(t),
		Limits: memory.NewLimits(10), Limit: ratelimit.Limit{Name: "redirects", Quota: 2, Window: time.Minute},
	})
	p := redirect.Response{RequestID: "req_1", Secure: true, Close: true}
	if err := h.Answer(t.Context(), request("abc"), &p); err != nil {
		t.Fatal(err)
	}
	want := strings.ReplaceAll(`HTTP/1.1 302 Found
Date: Sun, 22 Nov 2026 12:00:00 GMT
Content-Length: 0
Location: https://a.example/
Cache-Control: private, no-store
CDN-Cache-Control: max-age=60
Cache-Tag: kurz-abc
RateLimit: "redirects";r=1;t=30
RateLimit-Policy: "redirects";q=2;w=60
X-Request-Id: req_1
Strict-Transport-Security: max-age=31536000
Connection: close

`, "\n", "\r\n")
	if diff := cmp.Diff(want, string(p.AppendTo(nil))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// fast is a handler with a real cache and limit, and the link in memory.
func fast(t testing.TB, s redirect.Store) (*redirect.Handler, *redirect.Request, *cheapRecorder) {
	t.Helper()
	rec := &cheapRecorder{}
	cache := memory.NewRoutes(1000)
	route := active(1, "https://a.example/path")
	route.ForwardQuery, route.LoadedAt = true, noon
	if err := cache.Put(t.Context(), key("abc1234"), &route); err != nil {
		t.Fatal(err)
	}
	h := redirect.New(redirect.Settings{
		Resolver: redirect.NewResolver(redirect.ResolverSettings{Memory: cache, Store: s}),
		Recorder: rec, Domains: domains(t), Blocklist: link.NewBlocklist([]string{"bad.example"}),
		Limits: memory.NewLimits(1000), Limit: ratelimit.Limit{Name: "redirect", Quota: ratelimit.MaxQuota, Window: time.Second},
	})
	q := request("abc1234")
	q.UserAgent, q.Query = "Mozilla/5.0", "utm_source=x"
	return h, q, rec
}

func TestAnswerDoesNotAllocate(t *testing.T) {
	h, q, rec := fast(t, newStore(t))
	var p redirect.Response
	var buf []byte
	n := testing.AllocsPerRun(1000, func() {
		if err := h.Answer(context.Background(), q, &p); err != nil {
			t.Fatal(err)
		}
		buf = p.AppendTo(buf[:0])
	})
	if n != 0 || rec.n == 0 {
		t.Errorf("%v allocations a redirect, %d clicks", n, rec.n)
	}
}

func BenchmarkAnswer(b *testing.B) {
	h, q, _ := fast(b, nil)
	var p redirect.Response
	b.ReportAllocs()
	for b.Loop() {
		if err := h.Answer(context.Background(), q, &p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAnswerAppendTo(b *testing.B) {
	h, q, _ := fast(b, nil)
	var p redirect.Response
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		if err := h.Answer(context.Background(), q, &p); err != nil {
			b.Fatal(err)
		}
		buf = p.AppendTo(buf[:0])
	}
}
