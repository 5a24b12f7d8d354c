package api_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"kurz/internal/account"
	"kurz/internal/api"
	"kurz/internal/click"
	"kurz/internal/edge"
	"kurz/internal/idempotency"
	"kurz/internal/job"
	"kurz/internal/link"
	"kurz/internal/memory"
	"kurz/internal/ratelimit"
)

// world is an API in memory behind a real edge, with three users. Every answer
// is held against the document.
type world struct {
	contract *contract
	settings api.Settings
	room     http.Handler // the API itself
	front    http.Handler
	registry *link.Registry
	clicks   *memory.Clicks
	live     *click.Live
	jobs     *memory.Jobs
	worker   *job.Worker
	keys     map[string]string // by user: ann, bob (free), pam (premium), root (admin)
	users    map[string]account.User

	mu       sync.Mutex
	now      time.Time
	sequence uint64
	warned   []string
}

// start is when tests take place.
var start = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

func newWorld(tb testing.TB, change ...func(*api.Settings, *link.Settings)) *world {
	tb.Helper()
	w := &world{contract: loadContract(tb), clicks: memory.NewClicks(), jobs: memory.NewJobs(), live: click.NewLive(time.Now), now: start, keys: map[string]string{}, users: map[string]account.User{}}
	base, err := url.Parse("https://kurz.example")
	if err != nil {
		tb.Fatal(err)
	}
	domains, err := link.NewDomains(base, []string{"go.example"})
	if err != nil {
		tb.Fatal(err)
	}
	blocklist := link.NewBlocklist([]string{"evil.example"})
	ls := link.Settings{
		Store: memory.NewLinks(), Codes: link.RandomCodes{Rand: rand.Reader}, IDs: link.NewIDs(w.time, rand.Reader),
		Domains: domains, Policy: link.Policy{Domains: domains, Blocklist: blocklist},
		CodeLength: link.DefaultCode, AnonymousCreate: true, Now: w.time,
	}
	directory := account.NewDirectory(memory.NewAccounts(), w.time, rand.Reader)
	as := api.Settings{
		Directory: directory, Reports: w.clicks, Live: w.live, Domains: domains, Limits: memory.NewLimits(1000),
		Once: idempotency.NewOnce(memory.NewIdempotency(), w.time, rand.Reader, []byte("secret")), VisitorPeriod: "week",
		Rates: api.Rates{
			Anonymous: ratelimit.Limit{Quota: 10, Window: time.Hour},
			Free:      ratelimit.Limit{Quota: 100, Window: time.Hour},
			Premium:   ratelimit.Limit{Quota: 1000, Window: time.Hour},
			BulkFree:  ratelimit.Limit{Quota: 1000, Window: 24 * time.Hour},
		},
		Bulk: job.NewBulk(job.BulkSettings{Queue: w.jobs, Reader: api.BulkFiles{}, Now: w.time, Rand: rand.Reader}),
		Now:  w.time,
		Warn: func(_ context.Context, msg string, _ error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.warned = append(w.warned, msg)
		},
	}
	for _, c := range change {
		c(&as, &ls)
	}
	w.registry = link.NewRegistry(ls)
	as.Registry = w.registry
	w.worker = job.NewWorker(job.WorkerSettings{Queue: w.jobs, Reader: api.BulkFiles{}, Maker: w.registry, User: directory.User, Now: w.time, Holder: "test"})
	w.settings = as
	w.open()
	for name, u := range map[string]account.User{
		"ann": {Role: account.Member, Tier: account.Free}, "bob": {Role: account.Member, Tier: account.Free},
		"pam": {Role: account.Member, Tier: account.Premium}, "root": {Role: account.Admin, Tier: account.Free},
	} {
		added, err := directory.AddUser(tb.Context(), name+"@example.com", u.Role, u.Tier)
		if err != nil {
			tb.Fatal(err)
		}
		_, secret, err := directory.CreateKey(tb.Context(), account.NewKey{User: added.ID, Name: "test"})
		if err != nil {
			tb.Fatal(err)
		}
		w.users[name], w.keys[name] = added, secret.Reveal()
	}
	return w
}

// open begins to answer.
func (w *world) open() {
	w.room = edge.HandlerFunc(api.New(w.settings).Handle)
	w.front = edge.New(edge.Settings{API: w.room})
}

// restart forgets what is not stored.
func (w *world) restart() {
	w.settings.Limits = memory.NewLimits(1000)
	w.open()
}

func (w *world) time() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// click counts clicks of a link.
func (w *world) click(tb testing.TB, events ...click.Event) {
	tb.Helper()
	for i := range events {
		w.sequence++
		e := &events[i]
		if e.Time.IsZero() {
			e.Time = w.time()
		}
		if e.Kind == 0 {
			e.Kind = click.Human
		}
		if e.Trigger == 0 {
			e.Trigger = click.ByLink
		}
		e.Sequence, e.ID = w.sequence, click.NewID(e.Time, w.sequence)
	}
	if err := w.clicks.Add(tb.Context(), click.Batch{Through: w.sequence, Events: events}); err != nil {
		tb.Fatal(err)
	}
	w.live.Show(events)
}

// ask is a request. Who names a user whose key is sent; Body is sent as JSON
// unless the header says otherwise.
type ask struct {
	Method, Path, Who, Body string
	Header                  http.Header
	From                    string // the client's address
}

// answer is what came back.
type answer struct {
	Status int
	Header http.Header
	Body   string
}

// do asks, and holds the answer against the document.
func (w *world) do(tb testing.TB, a ask) answer {
	tb.Helper()
	got, r := w.send(tb, a)
	if err := w.contract.check(r, a.Body, got.Status, got.Header, got.Body); err != nil {
		tb.Errorf("%s %s: %v\n%s", a.Method, a.Path, err, got.Body)
	}
	if got.Header.Get("Access-Control-Allow-Origin") != "*" || got.Header.Get("Access-Control-Allow-Credentials") != "" ||
		got.Header.Get("Access-Control-Expose-Headers") == "" {
		tb.Errorf("%s %s: CORS headers are %v", a.Method, a.Path, got.Header)
	}
	if got.Header.Get("X-Request-Id") == "" {
		tb.Errorf("%s %s: no X-Request-Id", a.Method, a.Path)
	}
	return got
}

func (w *world) send(tb testing.TB, a ask) (answer, *http.Request) {
	tb.Helper()
	r := httptest.NewRequestWithContext(tb.Context(), a.Method, a.Path, strings.NewReader(a.Body))
	r.RemoteAddr = "192.0.2.1:1234"
	if a.From != "" {
		r.RemoteAddr = a.From
	}
	for name, values := range a.Header {
		r.Header[http.CanonicalHeaderKey(name)] = values
	}
	if _, sent := r.Header["Content-Type"]; a.Body != "" && !sent {
		r.Header.Set("Content-Type", "application/json")
	}
	if a.Who != "" {
		r.Header.Set("Authorization", "Bearer "+w.keys[a.Who])
	}
	rec := httptest.NewRecorder()
	w.front.ServeHTTP(rec, r)
	res := rec.Result()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		tb.Fatal(err)
	}
	if a.Method == http.MethodHead {
		body = nil // net/http sends none
	}
	return answer{res.StatusCode, res.Header, string(body)}, r
}

// must asks and expects a status.
func (w *world) must(tb testing.TB, status int, a ask) answer {
	tb.Helper()
	got := w.do(tb, a)
	if got.Status != status {
		tb.Fatalf("%s %s: status %d, want %d\n%s", a.Method, a.Path, got.Status, status, got.Body)
	}
	return got
}

// refused asks and expects a fault of this code that names these fields.
func (w *world) refused(tb testing.TB, code string, a ask, fields ...string) answer {
	tb.Helper()
	got := w.do(tb, a)
	f := got.fault(tb)
	var named []string
	for _, d := range f.Details {
		named = append(named, d.Field)
	}
	if f.Code != code || f.Status != got.Status || strings.Join(named, " ") != strings.Join(fields, " ") {
		tb.Errorf("%s %s %s: %s about %q, want %s about %q", a.Method, a.Path, a.Body, f.Code, named, code, fields)
	}
	return got
}

type told struct {
	Code      string
	Message   string
	Status    int
	RequestID string `json:"request_id"`
	Details   []struct{ Field, Reason string }
}

func (a answer) fault(tb testing.TB) told {
	tb.Helper()
	var v struct{ Error told }
	a.decode(tb, &v)
	return v.Error
}

func (a answer) decode(tb testing.TB, v any) {
	tb.Helper()
	if err := json.Unmarshal([]byte(a.Body), v); err != nil {
		tb.Fatalf("%v in %d %q", err, a.Status, a.Body)
	}
}

// field gives one member of the answer.
func (a answer) field(tb testing.TB, name string) any {
	tb.Helper()
	var v map[string]any
	a.decode(tb, &v)
	return v[name]
}

// link makes a link and gives its code.
func (w *world) link(tb testing.TB, who, body string) string {
	tb.Helper()
	return w.must(tb, 201, ask{Method: "POST", Path: "/api/v1/urls", Who: who, Body: body}).field(tb, "short_code").(string)
}

// linkID gives the ID under which a link is clicked.
func (w *world) linkID(tb testing.TB, code string) (link.ID, account.ID) {
	tb.Helper()
	l, err := w.registry.Peek(tb.Context(), link.Key{Code: link.Code(code)})
	if err != nil {
		tb.Fatal(err)
	}
	return l.ID, l.Owner
}
