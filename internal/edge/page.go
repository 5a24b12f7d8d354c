package edge

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the page and its style
	"encoding/base64"
	"html/template"
	"net/http"

	"kurz/internal/fault"
)

var (
	//go:embed error.html
	errorSource string
	//go:embed error.css
	errorStyle string

	errorTemplate = template.Must(template.New("error").Parse(errorSource))

	// errorPolicy allows the page its own style and the icon of its tab, and
	// nothing else.
	errorPolicy = "default-src 'none'; img-src 'self'; style-src '" + sourceHash(errorStyle) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

// sourceHash gives the source expression of CSP for an inline element.
func sourceHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// titles say in a few words what a visitor has before them.
var titles = map[fault.Code]string{
	fault.URLNotFound:       "This link does not exist",
	fault.NotFound:          "There is nothing here",
	fault.URLExpired:        "This link has expired",
	fault.URLRevoked:        "This link was taken down",
	fault.URLBlocked:        "This destination is blocked",
	fault.RateLimitExceeded: "Too many requests",
	fault.Unavailable:       "Please try again shortly",
	fault.MethodNotAllowed:  "This can’t be done here",
	fault.Unauthorized:      "Please sign in",
	fault.Forbidden:         "This is not for you",
}

// hints say what a visitor can do.
var hints = map[fault.Code]string{
	fault.URLNotFound:       "Is it spelt as it was given to you? Capital and small letters are not the same.",
	fault.NotFound:          "Is the address spelt as it was given to you?",
	fault.URLExpired:        "Whoever gave it to you may have a newer one.",
	fault.URLRevoked:        "Whoever gave it to you may have another one.",
	fault.RateLimitExceeded: "Wait a moment, and load the page again.",
	fault.Unavailable:       "Nothing is lost. Wait a moment, and load the page again.",
}

// errorPage renders the fault for a person.
func errorPage(f *fault.Error, status int, requestID string) []byte {
	title, ok := titles[f.Code]
	switch {
	case ok:
	case status >= 500:
		title = "Something went wrong"
	default:
		title = http.StatusText(status)
	}
	text := message(f)
	if status == http.StatusInternalServerError {
		text = "The error is ours, not yours. Please try again later."
	}
	var b bytes.Buffer
	// The template is fixed and the buffer takes everything.
	_ = errorTemplate.Execute(&b, map[string]any{
		"Style": template.CSS(errorStyle), "Title": title, "Message": text, "Hint": hints[f.Code],
		"Status": status, "RequestID": requestID,
	})
	return b.Bytes()
}
