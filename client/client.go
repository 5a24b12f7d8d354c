// Package client speaks to a kurz server: it shortens, lists, changes and
// deletes links and reads their statistics, with the standard library alone.
//
// It guarantees that a call which makes something makes it once, however often
// it had to be sent: every POST carries an Idempotency-Key. Answers that say
// "later" (429, 503) and broken connections are tried again, as long as the
// server's Retry-After is short. A Client is safe for concurrent use. Start
// reading at New, then Client.Shorten.
package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Client asks one server, as one user or as nobody.
type Client struct {
	server  *url.URL
	key     string
	domain  string
	http    *http.Client
	retries int
	patient time.Duration
	agent   string
}

// Option changes what New makes.
type Option func(*Client)

// WithKey sends this API key with each request.
func WithKey(key string) Option { return func(c *Client) { c.key = key } }

// WithHTTPClient sends requests by h instead of a client with a time limit of
// 30 seconds.
func WithHTTPClient(h *http.Client) Option { return func(c *Client) { c.http = h } }

// WithRetries bounds how often a request is sent again (3 by default), and how
// long a Retry-After may be to be waited for (10 s by default): a longer one
// gives the error at once.
func WithRetries(n int, patience time.Duration) Option {
	return func(c *Client) { c.retries, c.patient = n, patience }
}

// WithUserAgent names the program in the User-Agent field.
func WithUserAgent(agent string) Option { return func(c *Client) { c.agent = agent } }

// New makes a client of the server at this address, such as
// https://go.example. It sends nothing yet.
func New(server string, options ...Option) (*Client, error) {
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("server %q: must be an address such as https://go.example", server)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("server %q: must have no user name, query or fragment", u.Redacted())
	}
	u.Path = strings.TrimRight(u.Path, "/")
	c := &Client{
		server: u, retries: 3, patient: 10 * time.Second, agent: "kurz-client",
		http: &http.Client{Timeout: 30 * time.Second},
	}
	for _, o := range options {
		o(c)
	}
	return c, nil
}

// On gives a client for the links of another of the server's domains.
func (c *Client) On(domain string) *Client {
	other := *c
	other.domain = domain
	return &other
}

// maxAnswer bounds the answers that are read.
const maxAnswer = 64 << 20

// call is one request, which may be sent several times.
type call struct {
	method, path string
	query        url.Values
	body         any
	contentType  string
	encoding     string // of a body of any length
	idempotency  string
	ifMatch      string
}

// do sends a call and reads its answer into out, unless that is nil. A *[]byte
// gets the answer as it is, anything else what it is as JSON.
func (c *Client) do(ctx context.Context, q call, out any) (http.Header, error) {
	var body []byte
	if q.body != nil {
		var err error
		if body, err = json.Marshal(q.body); err != nil {
			return nil, fmt.Errorf("%s %s: %w", q.method, q.path, err)
		}
	}
	if q.method == http.MethodPost && q.idempotency == "" {
		q.idempotency = rand.Text()
	}
	for attempt := 0; ; attempt++ {
		header, answer, err := c.send(ctx, q, body)
		if err == nil {
			if file, ok := out.(*[]byte); ok {
				*file = answer
			} else if out != nil {
				if err := json.Unmarshal(answer, out); err != nil {
					return nil, fmt.Errorf("%s %s: the answer can't be read: %w", q.method, q.path, err)
				}
			}
			return header, nil
		}
		wait, again := c.again(q, err, attempt)
		if !again || !sleep(ctx, wait) {
			return nil, err
		}
	}
}

// request makes the request of a call.
func (c *Client) request(ctx context.Context, q call, body []byte) (*http.Request, error) {
	u := *c.server
	u.Path += q.path
	if u.RawPath = ""; strings.Contains(q.path, "%") {
		u.RawPath = c.server.EscapedPath() + q.path
		if path, err := url.PathUnescape(u.RawPath); err == nil {
			u.Path = path
		}
	}
	u.RawQuery = q.query.Encode()
	req, err := http.NewRequestWithContext(ctx, q.method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", c.agent)
	if body != nil {
		contentType := q.contentType
		if contentType == "" {
			contentType = "application/json"
		}
		req.Header.Set("Content-Type", contentType)
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	if q.idempotency != "" {
		req.Header.Set("Idempotency-Key", q.idempotency)
	}
	if q.ifMatch != "" {
		req.Header.Set("If-Match", q.ifMatch)
	}
	return req, nil
}

func (c *Client) send(ctx context.Context, q call, body []byte) (http.Header, []byte, error) {
	req, err := c.request(ctx, q, body)
	if err != nil {
		return nil, nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, nil, fmt.Errorf("%s %s: %w", q.method, q.path, err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, nil, errorOf(resp, answer)
	}
	return resp.Header, answer, nil
}

// again says whether and after what time a call that ended with err is sent
// again. A PATCH is not where it may have been done: with If-Match the second
// one would be refused for what the first one did.
func (c *Client) again(q call, err error, attempt int) (time.Duration, bool) {
	if attempt >= c.retries || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return 0, false
	}
	backoff := jitter(min(100*time.Millisecond<<attempt, 5*time.Second))
	answer, ok := errors.AsType[*Error](err)
	if !ok {
		return backoff, q.method != http.MethodPatch
	}
	switch {
	case answer.Status == http.StatusTooManyRequests, answer.Status == http.StatusServiceUnavailable,
		answer.Code == CodeIdempotencyInProgress:
	default:
		return 0, false
	}
	if answer.RetryAfter > c.patient {
		return 0, false
	}
	return max(backoff, answer.RetryAfter), true
}

// jitter gives half of d to all of d, so that clients don't come back together.
func jitter(d time.Duration) time.Duration {
	n, err := rand.Int(rand.Reader, big.NewInt(int64(d/2)+1))
	if err != nil {
		return d
	}
	return d/2 + time.Duration(n.Int64())
}

// sleep waits and reports whether there is still time for another attempt.
func sleep(ctx context.Context, d time.Duration) bool {
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= d {
		return false
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

func errorOf(resp *http.Response, body []byte) *Error {
	var wire struct {
		Error Error `json:"error"`
	}
	e := &wire.Error
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if media != "application/json" || json.Unmarshal(body, &wire) != nil || e.Code == "" {
		*e = Error{Message: "the server answered " + resp.Status}
	}
	e.Status = resp.StatusCode
	if e.RequestID == "" {
		e.RequestID = resp.Header.Get("X-Request-Id")
	}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		e.RetryAfter = time.Duration(s) * time.Second
	}
	return e
}
