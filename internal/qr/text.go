package qr

import "strings"

// text draws two rows of modules a line, the dark ones as blocks.
func (s *symbol) text(margin int) []byte {
	var b strings.Builder
	for y := -margin; y < s.size+margin; y += 2 {
		for x := -margin; x < s.size+margin; x++ {
			switch upper, lower := s.at(x, y), s.at(x, y+1); {
			case upper && lower:
				b.WriteRune('█')
			case upper:
				b.WriteRune('▀')
			case lower:
				b.WriteRune('▄')
			default:
				b.WriteByte(' ')
			}
		}
		b.WriteByte('\n')
	}
	return []byte(b.String())
}
