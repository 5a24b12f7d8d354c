package link

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Fold gives a text as a search compares it: in lower case, with letters
// instead of ligatures and of wide or narrow forms (NFKD), and without
// diacritics, so that "uber" finds "Über" and the other way round; ß is ss.
// Folding twice is folding once.
func Fold(s string) string {
	for i := range len(s) {
		if c := s[i]; c >= utf8.RuneSelf || 'A' <= c && c <= 'Z' {
			return fold(s)
		}
	}
	return s
}

func fold(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	ascii := true
	for i := range len(s) {
		if c := s[i]; c >= utf8.RuneSelf {
			ascii = false
			break
		}
	}
	if ascii {
		for i := range len(s) {
			c := s[i]
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			b.WriteByte(c)
		}
		return b.String()
	}
	// What a letter becomes in lower case may be composed again, as İ is.
	for _, r := range norm.NFKD.String(strings.ToLower(norm.NFKD.String(s))) {
		switch {
		case unicode.Is(unicode.Mn, r):
		case r == 'ß':
			b.WriteString("ss")
		case r == 'ς':
			b.WriteRune('σ')
		default:
			b.WriteRune(unicode.ToLower(r))
		}
	}
	return b.String()
}

// Words gives the words of what someone searches for, folded and each once. No
// character has a meaning of its own, but that spaces part words.
func Words(text string) []string {
	var words []string
next:
	for word := range strings.FieldsSeq(Fold(text)) {
		for _, w := range words {
			if w == word {
				continue next
			}
		}
		words = append(words, word)
	}
	return words
}

// hasWords reports whether each word is found in the code, the title, the
// destination or one of the tags.
func (l *Link) hasWords(words []string) bool {
	if len(words) == 0 {
		return true
	}
	texts := l.Texts()
next:
	for _, word := range words {
		for _, text := range texts {
			if strings.Contains(text, word) {
				continue next
			}
		}
		return false
	}
	return true
}

// Texts gives what is searched, folded: code, title, destination and tags.
func (l *Link) Texts() []string {
	texts := make([]string, 3, 3+len(l.Tags))
	texts[0], texts[1], texts[2] = Fold(string(l.Code)), Fold(l.Title), Fold(string(l.Destination))
	for _, tag := range l.Tags {
		texts = append(texts, Fold(tag))
	}
	return texts
}

const (
	// maxTitleKey bounds what titles are sorted by, in bytes.
	maxTitleKey = 128
	// noTitle comes after every title.
	noTitle = "\U0010FFFF"
)

// TitleKey gives what links are sorted by title by: the beginning of the folded
// title, so that neither case nor diacritics count. Links without a title come
// after those with one.
func TitleKey(title string) string {
	if title == "" {
		return noTitle
	}
	key := Fold(title)
	if len(key) > maxTitleKey {
		n := maxTitleKey
		for n > 0 && !utf8.RuneStart(key[n]) {
			n--
		}
		key = key[:n]
	}
	return key
}
