package enrich

import "strings"

// finder finds which of many marks a text contains, in one pass over the text.
type finder struct {
	marks []string
	// by has the numbers of the marks that begin with two bytes of this hash,
	// in order.
	by [512][]uint16
}

// newFinder makes a finder of marks of at least two bytes.
func newFinder(marks []string) *finder {
	f := &finder{marks: marks}
	for i, m := range marks {
		h := pair(m[0], m[1])
		f.by[h] = append(f.by[h], uint16(i))
	}
	return f
}

func pair(a, b byte) uint16 { return (uint16(a)*37 + uint16(b)) & 511 }

// first gives the number of the first mark that the text contains, first among
// the marks and wherever in the text, or -1.
func (f *finder) first(text string) int {
	best := len(f.marks)
	for i := 0; i+1 < len(text); i++ {
		for _, m := range f.by[pair(text[i], text[i+1])] {
			if int(m) >= best {
				break
			}
			if strings.HasPrefix(text[i:], f.marks[m]) {
				best = int(m)
				break
			}
		}
	}
	if best == len(f.marks) {
		return -1
	}
	return best
}

// any reports whether the text contains one of the marks.
func (f *finder) any(text string) bool {
	for i := 0; i+1 < len(text); i++ {
		for _, m := range f.by[pair(text[i], text[i+1])] {
			if strings.HasPrefix(text[i:], f.marks[m]) {
				return true
			}
		}
	}
	return false
}

// namer names texts by the marks that they contain.
type namer struct {
	finder *finder
	names  []string
}

func newNamer(marks []mark) namer {
	tokens, names := make([]string, len(marks)), make([]string, len(marks))
	for i, m := range marks {
		tokens[i], names[i] = m.token, m.name
	}
	return namer{newFinder(tokens), names}
}

// name gives the name of the first mark that the text contains, "" for none.
func (n *namer) name(text string) string {
	if i := n.finder.first(text); i >= 0 {
		return n.names[i]
	}
	return ""
}
