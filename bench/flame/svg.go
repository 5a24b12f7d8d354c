package flame

import (
	"fmt"
	"html"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// The measures of the graph, in pixels.
const (
	width     = 1200.0
	margin    = 10.0
	row       = 17.0
	legendRow = 20.0
	letter    = 6.65 // of the font, at most
	thinnest  = 0.25 // frames below are left out: nobody could see them
)

// frame is a function as called by its parents, with all samples below it.
type frame struct {
	name        string
	nanoseconds int64
	shares      []int64 // by rule
	callees     map[string]*frame
}

func (f *frame) add(share int, n int64) {
	f.nanoseconds += n
	f.shares[share] += n
}

// main gives the share that most of the frame's time belongs to.
func (f *frame) main() int {
	most := 0
	for i, n := range f.shares {
		if n > f.shares[most] {
			most = i
		}
	}
	return most
}

func (f *frame) sorted() []*frame {
	all := make([]*frame, 0, len(f.callees))
	for _, c := range f.callees {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b *frame) int { return strings.Compare(a.name, b.name) })
	return all
}

// Draw writes a flame graph: a box for each function in each place it is called
// from, as wide as its share of the time, above the box of its caller. Colours
// are those of shares; a box's title has its full name and time.
func Draw(w io.Writer, title string, p Profile, r Rules) error {
	kinds := len(r.List) + 1
	root := &frame{name: "all", shares: make([]int64, kinds), callees: map[string]*frame{}}
	for _, s := range p {
		share, at := r.Of(s.Stack), root
		root.add(share, s.Nanoseconds)
		for _, name := range s.Stack {
			next := at.callees[name]
			if next == nil {
				next = &frame{name: name, shares: make([]int64, kinds), callees: map[string]*frame{}}
				at.callees[name] = next
			}
			next.add(share, s.Nanoseconds)
			at = next
		}
	}
	d := drawing{total: root.nanoseconds}
	d.place(root, margin, 0)
	legend := r.Shares(p)
	const perRow = 6
	top := 40 + legendRow*float64((len(legend)+perRow-1)/perRow) + 10
	height := top + row*float64(d.depth+1) + margin
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f" font-family="ui-monospace,Menlo,Consolas,monospace" font-size="11">
<rect width="100%%" height="100%%" fill="#fff"/>
<text x="%.0f" y="24" font-size="15">%s</text>
`, width, height, width, height, margin, html.EscapeString(title))
	for i, s := range legend {
		x, y := margin+float64(i%perRow)*(width-2*margin)/perRow, 40+legendRow*float64(i/perRow)
		fmt.Fprintf(&b, `<g><title>%s</title><rect x="%.1f" y="%.1f" width="12" height="12" fill="%s"/><text x="%.1f" y="%.1f">%s %.1f %%</text></g>
`, html.EscapeString(s.Says), x, y, colourOf(r, s.Share), x+17, y+10.5, html.EscapeString(s.Share), 100*float64(s.Nanoseconds)/float64(max(d.total, 1)))
	}
	for _, box := range d.boxes {
		box.write(&b, d.total, height-margin-row*float64(box.depth+1))
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// drawing collects the boxes.
type drawing struct {
	total int64
	depth int
	boxes []box
}

type box struct {
	*frame
	x, width float64
	depth    int
}

func (d *drawing) place(f *frame, x float64, depth int) {
	wide := (width - 2*margin) * float64(f.nanoseconds) / float64(max(d.total, 1))
	if wide < thinnest {
		return
	}
	d.depth = max(d.depth, depth)
	d.boxes = append(d.boxes, box{f, x, wide, depth})
	for _, c := range f.sorted() {
		d.place(c, x, depth+1)
		x += (width - 2*margin) * float64(c.nanoseconds) / float64(max(d.total, 1))
	}
}

func (b box) write(w io.Writer, total int64, y float64) {
	fill := "#ddd"
	if b.depth > 0 {
		fill = colours[b.main()%len(colours)]
	}
	fmt.Fprintf(w, `<g><title>%s: %.2f %%, %.0f ms</title><rect x="%.2f" y="%.1f" width="%.2f" height="%.1f" fill="%s" rx="1"/>`,
		html.EscapeString(b.name), 100*float64(b.nanoseconds)/float64(max(total, 1)), float64(b.nanoseconds)/1e6, b.x, y, max(b.width-0.3, 0.1), row-1, fill)
	if text := fit(b.name, b.width-6); text != "" {
		fmt.Fprintf(w, `<text x="%.2f" y="%.1f">%s</text>`, b.x+3, y+12, html.EscapeString(text))
	}
	fmt.Fprint(w, "</g>\n")
}

// fit shortens a function's name to a width, first by its package; "" where
// nothing readable is left.
func fit(function string, wide float64) string {
	room := int(wide / letter)
	text := Short(function)
	if utf8.RuneCountInString(text) > room {
		head, _, _ := strings.Cut(text, "[")
		text = text[strings.LastIndexByte(head, '.')+1:]
	}
	switch n := utf8.RuneCountInString(text); {
	case room < 3:
		return ""
	case n <= room:
		return text
	}
	return string([]rune(text)[:room-1]) + "…"
}

// colours are light, so that black text can be read on each; rules take them in
// order.
var colours = []string{
	"#d9c8b4", "#cfd4da", "#8ecae6", "#f4a259", "#c9ada7", "#e0e1a8", "#f28482", "#84dcc6", "#f6bd60",
	"#f5cac3", "#b8b8ff", "#ffd6a5", "#a3c9a8", "#90be6d", "#e5989b", "#9bb1ff", "#caffbf", "#d0d1ff", "#eeeeee",
}

// colourOf gives that of a share.
func colourOf(r Rules, share string) string {
	i := slices.IndexFunc(r.List, func(rule Rule) bool { return rule.Share == share })
	if i < 0 {
		i = len(r.List)
	}
	return colours[i%len(colours)]
}
