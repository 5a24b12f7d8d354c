package web

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"kurz/internal/account"
	"kurz/internal/fault"
	"kurz/internal/link"
)

// maxForm bounds the set-up form, in bytes.
const maxForm = 8 << 10

// setupPage is what the set-up shows: a form, or the key.
type setupPage struct {
	Token   string
	Email   string
	Problem string
	Key     string
	Server  string
}

// setUp makes the first admin: GET shows a form to whoever has the token, POST
// makes the user and shows their key, once. It is closed as soon as there is an
// admin, however they came to be.
func (w *Web) setUp(out http.ResponseWriter, r *http.Request) error {
	out.Header().Set("Cache-Control", "no-store")
	if r.Method != http.MethodPost {
		token := r.URL.Query().Get("token")
		if err := w.open(r.Context(), token); err != nil {
			return err
		}
		return w.showSetup(out, r, http.StatusOK, setupPage{Token: token})
	}
	if err := new(http.CrossOriginProtection).Check(r); err != nil {
		return fault.Wrap(fault.Forbidden, err, "This form was sent from another site")
	}
	form, err := readForm(out, r)
	if err != nil {
		return err
	}
	p := setupPage{Token: form.Get("token"), Email: form.Get("email"), Server: w.server(r)}
	if err := w.open(r.Context(), p.Token); err != nil {
		return err
	}
	// What was begun is brought to its end: a key that is made must be shown.
	p.Key, err = w.firstAdmin(context.WithoutCancel(r.Context()), p.Email)
	switch {
	case err == nil:
		return w.showSetup(out, r, http.StatusOK, p)
	case fault.Is(err, fault.ValidationFailed) && strings.Contains(r.Header.Get("Accept"), "text/html"):
		p.Problem = "Please give an address such as ann@example.com."
		return w.showSetup(out, r, http.StatusBadRequest, p)
	}
	return err
}

func (w *Web) showSetup(out http.ResponseWriter, r *http.Request, status int, p setupPage) error {
	name, title := "setup.html", "Set up kurz"
	if p.Key != "" {
		name, title = "ready.html", "kurz is ready"
	}
	// Not no-referrer, under which browsers hide the form's origin too.
	return w.show(out, r, name, frame{Title: title, Hidden: true, Page: p}, pageHeader{
		status: status, cache: "no-store", formAction: "'self'", referrer: "same-origin",
	})
}

// server gives the address that the caller reached, for the example.
func (w *Web) server(r *http.Request) string {
	root := w.Domains.ShortURL(link.Key{Domain: w.Domains.OfHost(r.Host)})
	return strings.TrimSuffix(root, "/")
}

// open lets in whoever has the token, while there is no admin. Everyone else is
// told the same, whatever the reason.
func (w *Web) open(ctx context.Context, token string) error {
	closed := fault.New(fault.NotFound, "This set-up link is not valid, or not any more")
	got, want := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(w.SetupToken))
	if w.SetupToken == "" || subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
		return closed
	}
	w.setup.Lock()
	defer w.setup.Unlock()
	return w.unused(ctx, closed)
}

// unused gives closed if the set-up was done. The lock is held.
func (w *Web) unused(ctx context.Context, closed error) error {
	if w.pending != nil {
		return nil
	}
	headless, err := w.Directory.Headless(ctx)
	if err == nil && !headless {
		err = closed
	}
	return err
}

// firstAdmin makes the admin and their key. One caller at a time: of those who
// race, the first gets the key and the others find the door closed. Where the
// key can't be made, the next try goes on with the same user.
func (w *Web) firstAdmin(ctx context.Context, email string) (string, error) {
	w.setup.Lock()
	defer w.setup.Unlock()
	if err := w.unused(ctx, fault.New(fault.NotFound, "The set-up was done meanwhile")); err != nil {
		return "", err
	}
	if w.pending == nil {
		u, err := w.Directory.AddUser(ctx, email, account.Admin, account.Premium)
		if err != nil {
			return "", err
		}
		w.pending = &u
	}
	_, secret, err := w.Directory.CreateKey(ctx, account.NewKey{User: w.pending.ID, Name: "set-up"})
	if err != nil {
		return "", err
	}
	w.pending = nil
	return secret.Reveal(), nil
}

// readForm reads a form as browsers send it.
func readForm(out http.ResponseWriter, r *http.Request) (url.Values, error) {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if !strings.EqualFold(strings.TrimSpace(kind), "application/x-www-form-urlencoded") {
		return nil, fault.New(fault.UnsupportedMediaType, "The form must be sent as application/x-www-form-urlencoded")
	}
	r.Body = http.MaxBytesReader(out, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, fault.New(fault.PayloadTooLarge, "The form may have at most %d bytes", maxForm)
		}
		return nil, fault.Wrap(fault.BadRequest, err, "The form can't be read")
	}
	return r.PostForm, nil
}
