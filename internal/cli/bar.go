package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// bar shows on a terminal how far long work is. Where standard error is none,
// and where the work is done within barPatience, it shows nothing.
type bar struct {
	w     io.Writer // nil: no terminal
	what  string
	now   func() time.Time
	began time.Time
	shown time.Time
}

const (
	barPatience = 500 * time.Millisecond
	barPause    = 100 * time.Millisecond
	barWidth    = 30
)

func newBar(w *World, what string) *bar {
	b := &bar{what: what, now: w.Now, began: w.Now()}
	if isTerminal(w.Stderr) {
		b.w = w.Stderr
	}
	return b
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// reach shows that so much of it all is done.
func (b *bar) reach(done, total int64) {
	if b.w == nil || total <= 0 {
		return
	}
	now := b.now()
	if now.Sub(b.began) < barPatience || now.Sub(b.shown) < barPause {
		return
	}
	b.shown = now
	full := int(done * barWidth / total)
	fmt.Fprintf(b.w, "\r%s [%s%s] %d %%", b.what, strings.Repeat("#", full), strings.Repeat(".", barWidth-full), done*100/total)
}

// end takes the bar away.
func (b *bar) end() {
	if !b.shown.IsZero() {
		fmt.Fprint(b.w, "\r\x1b[K")
	}
}
