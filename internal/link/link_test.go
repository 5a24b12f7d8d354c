package link_test

import (
	"crypto/rand"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"kurz/internal/fault"
	"kurz/internal/link"
)

func TestStatusAndDecide(t *testing.T) {
	const past, future = -time.Hour, time.Hour
	at := func(d time.Duration) time.Time {
		if d == 0 {
			return time.Time{}
		}
		return noon.Add(d)
	}
	tests := []struct {
		name                     string
		starts, expires, revoked time.Duration
		expiredURL               link.Href
		status                   link.Status
		verdict                  link.Verdict
		to                       link.Href
	}{
		{"plain", 0, 0, 0, "", link.Active, link.Redirect, "https://e.example/"},
		{"started, not over, takedown to come", past, future, future, "", link.Active, link.Redirect, "https://e.example/"},
		{"not started", future, 0, 0, "", link.Scheduled, link.Absent, ""},
		{"over", 0, past, 0, "", link.Expired, link.Gone, ""},
		{"over, with somewhere to go", 0, past, 0, "https://o.example/", link.Expired, link.RedirectExpired, "https://o.example/"},
		{"revoked", 0, 0, past, "", link.Revoked, link.TakenDown, ""},
		{"revoked and over", 0, past, past, "https://o.example/", link.Revoked, link.TakenDown, ""},
		{"revoked before it starts", future, 0, past, "", link.Revoked, link.TakenDown, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := link.Link{
				Destination: "https://e.example/", ExpiredURL: tt.expiredURL, Version: 1,
				StartsAt: at(tt.starts), ExpiresAt: at(tt.expires), RevokedAt: at(tt.revoked),
			}
			if got := l.Status(noon); got != tt.status {
				t.Errorf("status %s, want %s", got, tt.status)
			}
			r := l.Route()
			if verdict, to := r.Decide(noon); verdict != tt.verdict || to != tt.to {
				t.Errorf("verdict %d to %q, want %d to %q", verdict, to, tt.verdict, tt.to)
			}
		})
	}
	t.Run("to the millisecond", func(t *testing.T) {
		l := link.Link{StartsAt: noon, ExpiresAt: noon.Add(time.Second), RevokedAt: noon.Add(2 * time.Second), Version: 1}
		for _, step := range []struct {
			after time.Duration
			want  link.Status
		}{{-1, link.Scheduled}, {0, link.Active}, {time.Second - 1, link.Active}, {time.Second, link.Expired}, {2 * time.Second, link.Revoked}} {
			if got := l.Status(noon.Add(step.after)); got != step.want {
				t.Errorf("%v: %s, want %s", step.after, got, step.want)
			}
		}
	})
	missing := link.Missing(noon)
	if verdict, _ := missing.Decide(noon); verdict != link.Absent {
		t.Errorf("missing: %d", verdict)
	}
}

func TestHref(t *testing.T) {
	for _, tt := range []struct{ href, host, query string }{
		{"https://e.example/a?b=c&d#e?f", "e.example", "b=c&d"},
		{"https://e.example:8443/", "e.example", ""},
		{"http://[2001:db8::1]:80/?x", "[2001:db8::1]", "x"},
		{"http://[2001:db8::1]/#?x", "[2001:db8::1]", ""},
	} {
		if h := link.Href(tt.href); h.Host() != tt.host || h.Query() != tt.query {
			t.Errorf("%s: host %q, query %q", tt.href, h.Host(), h.Query())
		}
	}
}

func TestParseCode(t *testing.T) {
	for _, ok := range []string{"abc", "A-_9", "api", strings.Repeat("x", 64)} {
		if got, err := link.ParseCode(ok); err != nil || string(got) != ok {
			t.Errorf("%q: %q, %v", ok, got, err)
		}
	}
	for _, bad := range []string{"", "ab", strings.Repeat("x", 65), "a.b", "a/b", "a b", "äbc", "ab\x00", "abc+"} {
		if _, err := link.ParseCode(bad); !fault.Is(err, fault.URLNotFound) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzParseAlias(f *testing.F) {
	for _, s := range []string{"abc", "ab", "API", "a-b_c", "é", "", "a\nb"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		code, err := link.ParseAlias(s)
		if err != nil {
			if code != "" || !fault.Is(err, fault.ValidationFailed) {
				t.Fatalf("%q: %q, %v", s, code, err)
			}
			return
		}
		if u, err := url.Parse("https://s.example/" + s); err != nil || u.Path != "/"+s || u.RawPath != "" {
			t.Fatalf("%q is not a plain path", s)
		}
		if again, err := link.ParseCode(s); err != nil || again != code || link.Reserved(s) {
			t.Fatalf("%q: %q, %v", s, again, err)
		}
	})
}

// TestRandomCodesAreUnbiased draws 62,000 characters: chi-squared with 61
// degrees of freedom exceeds 124 once in ten million runs.
func TestRandomCodesAreUnbiased(t *testing.T) {
	counts := map[rune]int{}
	codes := link.RandomCodes{Rand: rand.Reader}
	const draws, length = 62_000 / 31, 31
	for range draws {
		code, err := codes.Next(t.Context(), link.Draw{Length: length})
		if err != nil || len(code) != length {
			t.Fatal(code, err)
		}
		for _, c := range string(code) {
			counts[c]++
		}
	}
	const want = draws * length / 62.0
	chi := 0.0
	for _, n := range counts {
		chi += (float64(n) - want) * (float64(n) - want) / want
	}
	if len(counts) != 62 || chi > 124 {
		t.Errorf("%d different characters, chi-squared %.1f", len(counts), chi)
	}
}

// words gives bytes that spell a reserved word before anything else.
type words struct{ spelled bool }

func (w *words) Read(p []byte) (int, error) {
	if w.spelled {
		return rand.Read(p)
	}
	w.spelled = true
	const alphabet = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for i := range p {
		p[i] = byte(strings.IndexByte(alphabet, "health"[i%6]))
	}
	return len(p), nil
}

func TestRandomCodesAreNeverReserved(t *testing.T) {
	if code, err := (link.RandomCodes{Rand: new(words)}).Next(t.Context(), link.Draw{Length: 6}); err != nil || code == "health" {
		t.Errorf("%q, %v", code, err)
	}
}

func TestIDsGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ids := link.NewIDs(time.Now, rand.Reader)
		var mu sync.Mutex
		var all []link.ID
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				last := link.ID(0)
				for range 1000 {
					id, err := ids.Next()
					if err != nil || id <= last {
						t.Errorf("%d after %d, %v", id, last, err)
						return
					}
					last = id
					mu.Lock()
					all = append(all, id)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		slices.Sort(all)
		if len(slices.Compact(all)) != 8000 {
			t.Error("an ID was given twice")
		}
		time.Sleep(time.Millisecond)
		if id, err := ids.Next(); err != nil || id <= all[len(all)-1] {
			t.Errorf("%d, %v: a later millisecond is not above", id, err)
		}
	})
	now := noon
	ids := link.NewIDs(func() time.Time { return now }, rand.Reader)
	first, err := ids.Next()
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(-time.Hour)
	if second, err := ids.Next(); err != nil || second <= first {
		t.Errorf("clock turned back: %d after %d, %v", second, first, err)
	}
}

var sorts = link.Sorts()

func TestCursorsComeBack(t *testing.T) {
	l := link.Link{Key: link.Key{Code: "abc-D_9"}, ID: 1 << 40, UpdatedAt: noon.Add(123 * time.Millisecond)}
	for i, s := range append(sorts, sorts...) {
		if i == len(sorts) {
			l.Title, l.ExpiresAt = "Ein langer Titel: "+strings.Repeat("ä", 300), noon
		}
		c := link.CursorAt(s, &l)
		got, err := link.ParseCursor(c.String(), s)
		if diff := cmp.Diff(c, got); diff != "" || err != nil {
			t.Errorf("%s: %s %v", s, diff, err)
		}
		for _, other := range sorts {
			if _, err := link.ParseCursor(c.String(), other); (err == nil) != (s == other) {
				t.Errorf("cursor of %s under %s: %v", s, other, err)
			}
		}
	}
	if c, err := link.ParseCursor("", link.NewestFirst); err != nil || !c.IsZero() || c.String() != "" {
		t.Errorf("%+v, %v", c, err)
	}
}

func FuzzParseCursor(f *testing.F) {
	l := link.Link{Key: link.Key{Code: "abc"}, ID: 5, UpdatedAt: noon}
	for i, s := range sorts {
		f.Add(link.CursorAt(s, &l).String(), i)
	}
	f.Add("////", 0)
	f.Add(link.CursorAt(link.NewestFirst, &l).String()+"\n", 0)
	f.Fuzz(func(t *testing.T, text string, i int) {
		s := sorts[((i%len(sorts))+len(sorts))%len(sorts)]
		c, err := link.ParseCursor(text, s)
		if err != nil {
			if !fault.Is(err, fault.ValidationFailed) || !c.IsZero() {
				t.Fatalf("%q: %+v, %v", text, c, err)
			}
			return
		}
		if c.String() != text {
			t.Fatalf("%q reads as %+v, which is %q", text, c, c.String())
		}
	})
}

func TestParseSort(t *testing.T) {
	if s, err := link.ParseSort(""); err != nil || s != link.NewestFirst {
		t.Error(s, err)
	}
	for _, want := range sorts {
		if s, err := link.ParseSort(string(want)); err != nil || s != want {
			t.Error(s, err)
		}
	}
	if _, err := link.ParseSort("clicks; DROP TABLE link"); !fault.Is(err, fault.ValidationFailed) {
		t.Error(err)
	}
}

func TestDomains(t *testing.T) {
	d := domains(t, "https://S.example:443", "Go.example", "xn--bcher-kva.example", "s.example", "bücher.example")
	if diff := cmp.Diff([]string{"s.example", "go.example", "xn--bcher-kva.example"}, d.Hosts()); diff != "" {
		t.Error(diff)
	}
	for name, want := range map[string]link.Domain{"": "", "s.example": "", "S.EXAMPLE": "", "go.example": "go.example", "GO.example": "go.example"} {
		if got, err := d.Named(name); err != nil || got != want {
			t.Errorf("named %q: %q, %v", name, got, err)
		}
		if got := d.OfHost(name); got != want {
			t.Errorf("host %q: %q", name, got)
		}
	}
	if _, err := d.Named("other.example"); !fault.Is(err, fault.ValidationFailed) {
		t.Error(err)
	}
	for host, want := range map[string]link.Domain{
		"go.example:443": "go.example", "GO.example.": "go.example", "go.example.:8080": "go.example",
		"s.example:8080": "", "S.example.": "", "[::1]:80": "", "": "", ":80": "", ".": "",
	} {
		if got := d.OfHost(host); got != want {
			t.Errorf("host %q: %q", host, got)
		}
	}
	if n := testing.AllocsPerRun(100, func() { d.OfHost("GO.example.:443") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	ports := domains(t, "http://localhost:8080", "localhost:9090", "go.example.")
	for host, want := range map[string]link.Domain{"localhost:8080": "", "localhost:9090": "localhost:9090", "localhost": "", "go.example": "go.example"} {
		if got := ports.OfHost(host); got != want {
			t.Errorf("host %q: %q", host, got)
		}
	}
	if got, err := d.Named("BÜCHER.example"); err != nil || got != "xn--bcher-kva.example" {
		t.Errorf("in Unicode: %q, %v", got, err)
	}
	if got := d.OfHost("127.0.0.1:8080"); got != "" {
		t.Errorf("an address is %q", got)
	}
	if got := d.ShortURL(link.Key{Domain: "go.example", Code: "abc"}); got != "https://go.example/abc" {
		t.Error(got)
	}
	if got := domains(t, "http://localhost:8080").ShortURL(link.Key{Code: "abc"}); got != "http://localhost:8080/abc" {
		t.Error(got)
	}
	for _, bad := range []string{"ftp://s.example", "https://", "https://s.example/path", "https://s.example?x", "https://u:p@s.example", "//s.example", "https://s.example#f"} {
		u, err := url.Parse(bad)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := link.NewDomains(u, nil); err == nil || strings.Contains(err.Error(), "u:p") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	base, _ := url.Parse("https://s.example")
	for _, bad := range []string{"", "a b", "go.example/x", "u@go.example", "go.example?x"} {
		if _, err := link.NewDomains(base, []string{bad}); err == nil {
			t.Errorf("domain %q was accepted", bad)
		}
	}
}

func TestBlocklistCanBeReplaced(t *testing.T) {
	b := link.NewBlocklist(nil)
	if b.Blocks("evil.example") || b.Len() != 0 {
		t.Error("an empty list blocks")
	}
	if unusable := b.Replace([]string{"evil.example", "not a host", ""}); !slices.Equal(unusable, []string{"not a host", ""}) {
		t.Errorf("unusable %q", unusable)
	}
	if !b.Blocks("a.evil.example") || b.Len() != 1 {
		t.Error("not blocked")
	}
	if (*link.Blocklist)(nil).Blocks("x") || (*link.Blocklist)(nil).Len() != 0 {
		t.Error("no list blocks")
	}
	if n := testing.AllocsPerRun(100, func() { b.Blocks("a.b.c.d.example.com") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
