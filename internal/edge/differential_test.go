package edge_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"kurz/internal/click"
	"kurz/internal/edge"
	"kurz/internal/fault"
	"kurz/internal/link"
	"kurz/internal/memory"
	"kurz/internal/ratelimit"
	"kurz/internal/redirect"
	"kurz/test/rfc9112"
)

// script is a connection whose client sends some pieces, then nothing more,
// and keeps what it is sent.
type script struct {
	mu     sync.Mutex
	pieces [][]byte
	out    bytes.Buffer
	closed chan struct{}
	once   sync.Once
}

func (s *script) Read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.pieces) > 0 && len(s.pieces[0]) == 0 {
		s.pieces = s.pieces[1:]
	}
	if len(s.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(b, s.pieces[0])
	s.pieces[0] = s.pieces[0][n:]
	return n, nil
}

func (s *script) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Write(b)
}

func (s *script) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

func (*script) LocalAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 80} }
func (*script) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 4711}
}
func (*script) SetDeadline(time.Time) error      { return nil }
func (*script) SetReadDeadline(time.Time) error  { return nil }
func (*script) SetWriteDeadline(time.Time) error { return nil }

// stage is a listener for scripts.
type stage struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (s *stage) Accept() (net.Conn, error) {
	select {
	case c := <-s.conns:
		return c, nil
	case <-s.closed:
		return nil, net.ErrClosed
	}
}

func (s *stage) Close() error {
	close(s.closed)
	return nil
}

func (*stage) Addr() net.Addr { return &net.TCPAddr{} }

// play gives what the server answers to the pieces.
func (s *stage) play(pieces [][]byte) string {
	c := &script{pieces: pieces, closed: make(chan struct{})}
	s.conns <- c
	<-c.closed
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.String()
}

// known is a cache that has everything, so that no answer depends on when a
// client is seen to have gone.
type known struct{}

func (known) Get(_ context.Context, k link.Key) (link.Route, bool, error) {
	r, err := store{}.Route(context.Background(), k)
	if fault.Is(err, fault.URLNotFound) {
		r = link.Missing(noon)
	}
	r.LoadedAt = noon
	return r, true, nil
}
func (known) Put(context.Context, link.Key, *link.Route) error { return nil }
func (known) Forget(context.Context, link.Key, int64) error    { return nil }

// visits writes down the clicks that it is told of.
type visits struct {
	mu   sync.Mutex
	text strings.Builder
}

func (v *visits) Record(c *click.Visit) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	told := *c
	told.Known = nil // lanes alone remember
	fmt.Fprintf(&v.text, "%+v\n", told)
	return nil
}

// take gives what was written down, and begins anew.
func (v *visits) take() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	defer v.text.Reset()
	return v.text.String()
}

// pair is an Edge with lanes and one without, alike but for that.
type pair struct {
	lanes, plain   *stage
	clicks, theirs visits
}

func newPair(t testing.TB) *pair {
	t.Helper()
	p := &pair{}
	serve := func(netHTTP bool, recorder redirect.Recorder) *stage {
		l := &stage{conns: make(chan net.Conn), closed: make(chan struct{})}
		s := settings(t)
		s.Redirect = redirect.New(redirect.Settings{
			Resolver: redirect.NewResolver(redirect.ResolverSettings{Memory: known{}, Store: store{}, Now: func() time.Time { return noon }}),
			Recorder: recorder, HonourDNT: true, Domains: domains(t), Blocklist: link.NewBlocklist([]string{"bad.example"}),
			Limits: memory.NewLimits(1000), Limit: ratelimit.Limit{Name: "redirect", Quota: ratelimit.MaxQuota, Window: 24 * time.Hour},
		})
		s.Now, s.Rand, s.NetHTTP = func() time.Time { return noon }, dry{}, netHTTP
		s.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- edge.New(s).Serve(ctx, l) }()
		t.Cleanup(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
		return l
	}
	p.lanes, p.plain = serve(false, &p.clicks), serve(true, &p.theirs)
	return p
}

// compare plays the pieces to both and tells how the answers differ.
func (p *pair) compare(pieces [][]byte) error {
	clone := func() (all [][]byte) {
		for _, p := range pieces {
			all = append(all, slices.Clone(p))
		}
		return all
	}
	got, err := normal(p.lanes.play(clone()))
	if err != nil {
		return fmt.Errorf("lanes answer %q with %w", pieces, err)
	}
	want, err := normal(p.plain.play(clone()))
	if err != nil {
		return fmt.Errorf("net/http answers %q with %w", pieces, err)
	}
	got, want = got+p.clicks.take(), want+p.theirs.take()
	if got != want {
		return fmt.Errorf("to %q\nlanes answer    %q\nnet/http answers %q", pieces, got, want)
	}
	return nil
}

// normal gives answers with their fields in one order and in lower case, and
// without their dates: all that may differ.
func normal(raw string) (string, error) {
	var b strings.Builder
	for raw != "" {
		head, rest, ok := strings.Cut(raw, "\r\n\r\n")
		if !ok {
			return "", errors.New("half a head: " + raw)
		}
		lines := strings.Split(head, "\r\n")
		if !strings.HasPrefix(lines[0], "HTTP/1.") {
			return "", errors.New("no status line: " + raw)
		}
		length := 0
		var fields []string
		for _, line := range lines[1:] {
			name, value, _ := strings.Cut(line, ": ")
			switch name = strings.ToLower(name); name {
			case "date":
				continue
			case "content-length":
				n, err := strconv.Atoi(value)
				if err != nil {
					return "", err
				}
				length = n
			}
			fields = append(fields, name+": "+value)
		}
		slices.Sort(fields)
		b.WriteString(lines[0] + "\n" + strings.Join(fields, "\n") + "\n\n")
		// An answer to HEAD has a length and no body; no body begins like an answer.
		if length > 0 && rest != "" && !strings.HasPrefix(rest, "HTTP/1.") {
			if length > len(rest) {
				return "", errors.New("half a body: " + raw)
			}
			b.WriteString(rest[:length] + "\n")
			rest = rest[length:]
		}
		raw = rest
	}
	return b.String(), nil
}

// cut divides bytes into pieces as a network might.
func cut(raw []byte, seed uint64) (pieces [][]byte) {
	r := rand.New(rand.NewPCG(seed, 0))
	for len(raw) > 0 && seed != 0 && len(pieces) < 20 {
		n := min(1+r.IntN(200), len(raw))
		if r.IntN(4) == 0 {
			n = 1
		}
		pieces, raw = append(pieces, raw[:n]), raw[n:]
	}
	return append(pieces, raw)
}

// FuzzFrontDoor: whatever a client sends, in whatever pieces, lanes answer what
// net/http does.
func FuzzFrontDoor(f *testing.F) {
	for i, raw := range requests {
		f.Add([]byte(raw), uint64(i%3))
	}
	for i, c := range rfc9112.Cases() {
		f.Add([]byte(c.Raw), uint64(i))
	}
	for _, s := range kept(f) {
		f.Add(s.raw, s.cut)
	}
	p := newPair(f)
	f.Fuzz(func(t *testing.T, raw []byte, seed uint64) {
		if err := p.compare(cut(raw, seed)); err != nil {
			t.Error(err)
		}
	})
}

// seed is an input of FuzzFrontDoor.
type seed struct {
	raw []byte
	cut uint64
}

// kept gives the inputs that fuzzing found to lead through other code than all
// before: each a line of how it is cut, and the bytes as Go writes them.
func kept(f *testing.F) (list []seed) {
	text, err := os.ReadFile("testdata/frontdoor.seeds")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		number, quoted, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		cut, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			f.Fatal(err)
		}
		raw, err := strconv.Unquote(quoted)
		if err != nil {
			f.Fatalf("%q: %v", quoted, err)
		}
		list = append(list, seed{[]byte(raw), cut})
	}
	return list
}

// TestFrontDoor does the same with requests that are made of the pieces of
// which requests are made, as many as KURZ_INPUTS says.
func TestFrontDoor(t *testing.T) {
	inputs := 20_000
	if s := os.Getenv("KURZ_INPUTS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		inputs = n
	}
	began := time.Now()
	workers := 2
	var group sync.WaitGroup
	for worker := range workers {
		group.Go(func() {
			p, w := newPair(t), &writer{r: rand.New(rand.NewPCG(uint64(worker), 2026))}
			for i := worker; i < inputs && !t.Failed(); i += workers {
				if err := p.compare(cut(w.connection(), w.r.Uint64N(3)*w.r.Uint64())); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	t.Logf("%d inputs, in %v: no difference", inputs, time.Since(began).Round(time.Second))
}

// writer writes requests, most of them nearly right.
type writer struct {
	r *rand.Rand
	b []byte
}

func pick[T any](w *writer, from []T) T { return from[w.r.IntN(len(from))] }

// connection gives what a client may send on one connection.
func (w *writer) connection() []byte {
	w.b = w.b[:0]
	for range 1 + w.r.IntN(4)*w.r.IntN(2) {
		w.request()
	}
	for w.r.IntN(3) == 0 && len(w.b) > 0 {
		w.damage()
	}
	return w.b
}

func (w *writer) odd() bool { return w.r.IntN(24) == 0 }

func (w *writer) add(parts ...string) {
	for _, p := range parts {
		w.b = append(w.b, p...)
	}
}

func (w *writer) request() {
	method, end := "GET", "\r\n"
	if w.r.IntN(5) == 0 {
		method = "HEAD"
	}
	if w.odd() {
		method = pick(w, []string{"POST", "get", "G", "OPTIONS", "CONNECT", "PRI", "GET ", "", "HEA", "DELETE", "\r\nGET"})
	}
	target := "/" + pick(w, []string{"found", "found", "found", "moved", "forward", "permanent", "expired", "revoked", "blocked", "nothing", "with-dash_1"})
	if w.odd() {
		target = pick(w, []string{"", "/", "*", "//", "/found/", "/found+", "/f%6fund", "/found.", "/api", "/api/x", "/health", "/metrics", "/setup", "/shorten", "/assets", "/assets/", "/favicon.ico", "/robots.txt", "http://kurz.example/found", "found", "/föund", "/..", "/a b", "/" + strings.Repeat("a", 70)})
	}
	if w.r.IntN(4) == 0 {
		target += pick(w, []string{"?", "?a=b", "?qr=1", "?utm_source=x&utm_campaign=y", "?a=%zz", "?a=ä", "?#", "#x", "?a=\"<>", "?a\x01", "?" + strings.Repeat("q", w.r.IntN(5000))})
	}
	version := "HTTP/1.1"
	if w.odd() {
		version = pick(w, []string{"HTTP/1.0", "HTTP/2.0", "http/1.1", "HTTP/1.10", "HTTP/1.1 ", "", "HTTP/01.1", "HTTP/3", "HTTP/1,1"})
	}
	if w.odd() {
		end = pick(w, []string{"\n", "\r", "\r\r\n", "", " \r\n"})
	}
	w.add(method, " ", target, " ", version, end)
	if !w.odd() {
		w.add("Host: ", pick(w, []string{"kurz.example", "KURZ.example", "kurz.example:80", "[::1]:8080", "other.example", "a b", "", "a_b", "ä", "a/b", "kurz.example."}), "\r\n")
	}
	for range w.r.IntN(6) {
		w.field()
	}
	if w.odd() {
		w.add(pick(w, []string{"\n", "\r", "", "\r\n \r\n", "x\r\n\r\n", ":\r\n\r\n"}))
		return
	}
	w.add("\r\n")
	if w.odd() {
		w.add(pick(w, []string{"body", "5\r\nhello\r\n0\r\n\r\n", "\r\n", "\x00"}))
	}
}

func (w *writer) field() {
	name := pick(w, []string{"User-Agent", "Referer", "Accept-Language", "Accept", "Connection", "X-Request-Id", "X-Forwarded-For", "DNT", "Sec-GPC", "Purpose", "Sec-Purpose", "X-Moz", "Cookie", "Cache-Control", "If-None-Match"})
	if w.odd() {
		name = pick(w, []string{"Host", "Content-Length", "Transfer-Encoding", "Expect", "Upgrade", "Trailer", "TE", "Proxy-Connection", "Keep-Alive", "HTTP2-Settings", "Content-Type", "Range", "", " X", "X Y", "X\t", "Xä", "X\x00", "Authorization"})
	}
	switch w.r.IntN(4) {
	case 0:
		name = strings.ToLower(name)
	case 1:
		name = strings.ToUpper(name)
	}
	colon := ": "
	if w.odd() {
		colon = pick(w, []string{":", " : ", ":\t ", "", ":  ", "::"})
	}
	value := pick(w, []string{"", "1", "0", "close", "keep-alive", "Close", "keep-alive, close", "upgrade", "chunked", "gzip, chunked", "identity", "100-continue", "text/html", "text/html,application/json;q=0.5", "*/*", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "https://news.example/a?b", "192.0.2.7", "192.0.2.7, 10.1.1.1", "2001:db8::1", "prefetch", "req-1", "de-DE,de;q=0.9", strings.Repeat("v", w.r.IntN(3000)), "ä", " lead", "trail \t", "in\tside"})
	if w.odd() {
		value = pick(w, []string{"a\x00b", "a\x7fb", "a\rb", "a\n b", "a\r\n b", "-1", "+1", "1, 1", "0x1", "\xff"})
	}
	end := "\r\n"
	if w.odd() {
		end = pick(w, []string{"\n", "\r", "\r\r\n", "\n\r", ""})
	}
	w.add(name, colon, value, end)
}

// damage changes a byte, or cuts the end off.
func (w *writer) damage() {
	i := w.r.IntN(len(w.b))
	switch w.r.IntN(5) {
	case 0:
		w.b[i] = byte(w.r.Uint32())
	case 1:
		w.b = append(w.b[:i], w.b[i+1:]...)
	case 2:
		w.b = slices.Insert(w.b, i, pick(w, []byte("\r\n\t :\x00aA/?#%\xff")))
	case 3:
		w.b = w.b[:i]
	case 4:
		w.b[i] ^= 1 << w.r.IntN(8)
	}
}

// requests are the seeds of the fuzzing.
var requests = []string{
	"GET /found HTTP/1.1\r\nHost: kurz.example\r\n\r\n",
	"HEAD /found?qr=1 HTTP/1.1\r\nhost: kurz.example\r\nConnection: close\r\n\r\n",
	"GET /moved HTTP/1.1\r\nHost: a\r\nUser-Agent: x\r\nDNT: 1\r\n\r\nGET /nothing HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n\r\n",
	"GET /found HTTP/1.1\r\nHost: a\r\n\r\nPOST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /found HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /found HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET /found HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /found HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.9, 10.0.0.2\r\nX-Request-Id: mine\r\n\r\n",
	"GET /found HTTP/1.1\nHost: a\n\n", "GET /found HTTP/1.0\r\n\r\n", "GET /found HTTP/1.1\r\n\r\n",
	"GET /found HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", "GET /found HTTP/1.1\r\nHost : a\r\n\r\n",
	"GET /found HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", "GET /found+ HTTP/1.1\r\nHost: a\r\n\r\n",
	"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x16\x03\x01", "", "G", "GET /found HTTP/1.1\r\nHost: a\r",
}
