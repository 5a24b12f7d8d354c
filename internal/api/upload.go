package api

import (
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"kurz/internal/account"
	"kurz/internal/fault"
	"kurz/internal/idempotency"
)

// A client that uploads must have sent, after uploadGrace, uploadRate bytes a
// second on average, and may never be silent for longer than uploadSilence: who
// is slower holds a connection no longer than any other.
const (
	uploadRate    = 16 << 10
	uploadGrace   = 30 * time.Second
	uploadSilence = 30 * time.Second
	uploadAnswer  = time.Minute // for the answer, once it is known
)

// upload is the body of a request that is read as it comes.
type upload struct {
	c       *call
	now     func() time.Time
	control *http.ResponseController
	began   time.Time
	sent    int64 // bytes that came
	sum     hash.Hash
	text    io.Reader // uncompressed
	err     error     // of reading
}

// openUpload begins to read the body, compressed or not.
func (c *call) openUpload(now func() time.Time) (*upload, error) {
	u := &upload{c: c, now: now, control: http.NewResponseController(c.w), began: time.Now(), sum: sha256.New()}
	u.text = rawUpload{u}
	switch encoding := strings.ToLower(strings.Join(c.r.Header.Values("Content-Encoding"), ",")); encoding {
	case "", "identity":
	case "gzip":
		u.text = &lazyGzip{r: rawUpload{u}}
	default:
		return nil, fault.New(fault.UnsupportedMediaType, "The body must be sent without Content-Encoding, or with gzip")
	}
	return u, nil
}

// rawUpload reads what comes over the connection.
type rawUpload struct{ *upload }

func (u rawUpload) Read(p []byte) (int, error) {
	now := time.Now()
	due := u.began.Add(uploadGrace + time.Duration(u.sent)*time.Second/uploadRate)
	if silent := now.Add(uploadSilence); silent.Before(due) {
		due = silent
	}
	_ = u.control.SetReadDeadline(due) // where there is a connection
	n, err := u.c.r.Body.Read(p)
	u.sent += int64(n)
	_, _ = u.sum.Write(p[:n]) // it never fails
	if err != nil && !errors.Is(err, io.EOF) {
		u.err = fault.Wrap(fault.BadRequest, err, "The body could not be read to its end: nothing of it was kept")
	}
	return n, err
}

// lazyGzip uncompresses, once it is read.
type lazyGzip struct {
	r io.Reader
	z *gzip.Reader
}

func (g *lazyGzip) Read(p []byte) (int, error) {
	if g.z == nil {
		var err error
		if g.z, err = gzip.NewReader(g.r); err != nil {
			return 0, badGzip(err)
		}
	}
	n, err := g.z.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = badGzip(err)
	}
	return n, err
}

func badGzip(err error) error {
	return fault.Wrap(fault.BadRequest, err, "The body says Content-Encoding: gzip, but is not whole and well-formed gzip")
}

// Read gives text.
func (u *upload) Read(p []byte) (int, error) {
	n, err := u.text.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && u.err == nil {
		u.err = err
	}
	return n, err
}

// why gives the fault of an upload that was not received: that of reading it,
// if there was one.
func (u *upload) why(err error) error {
	if u.err != nil {
		return u.err
	}
	return err
}

// end gives the client time for the answer.
func (u *upload) end() {
	_ = u.control.SetWriteDeadline(time.Now().Add(uploadAnswer)) // where there is a connection
}

// digest names what was uploaded, and as what.
func (u *upload) digest(h http.Header) []byte {
	return u.sum.Sum([]byte(h.Get("Content-Type") + "\x00" + h.Get("Content-Encoding") + "\x00"))
}

// uploads are those under way: by user, their Idempotency-Keys, "" for none.
type uploads struct {
	mu    sync.Mutex
	all   int
	users map[account.ID][]string
}

// maxUploads bounds the uploads at once; each holds about 1 MB. One user may
// have maxUploadsOfUser.
const (
	maxUploads       = 64
	maxUploadsOfUser = 4
)

// enter takes a place for an upload. Where none is left, one whose key another
// has that is under way is that one again, rather than one too many.
func (u *uploads) enter(id account.ID, key string) (leave func(), err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.users[id]) >= maxUploadsOfUser || u.all >= maxUploads {
		if key != "" && slices.Contains(u.users[id], key) {
			return nil, idempotency.StillRunning()
		}
		f := fault.New(fault.RateLimitExceeded, "Too many uploads are under way: of one user there may be %d at once", maxUploadsOfUser)
		f.RetryAfter = 10 * time.Second
		return nil, f
	}
	u.all++
	u.users[id] = append(u.users[id], key)
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.all--
		at := slices.Index(u.users[id], key)
		if u.users[id] = slices.Delete(u.users[id], at, at+1); len(u.users[id]) == 0 {
			delete(u.users, id)
		}
	}, nil
}
