package edge

import "net/http"

// writer notes what becomes of an answer. Deadlines, flushing and hijacking
// are found by http.ResponseController through Unwrap.
type writer struct {
	http.ResponseWriter
	status int // 0 until the answer began
}

func (w *writer) WriteHeader(status int) {
	// 1xx answers come before the one that counts, save 101, which ends HTTP.
	if w.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *writer) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Flush sends what was written so far, for handlers that ask for http.Flusher.
func (w *writer) Flush() {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	// An answer that can't be flushed goes out at its end.
	_ = http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap gives the server's own writer to http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }
