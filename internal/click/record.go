package click

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"kurz/internal/account"
	"kurz/internal/link"
)

// Noted is a Visit as it is in the log: its address has become a place and a
// hash. Text came from a stranger; it is bounded and nothing else.
type Noted struct {
	Time    time.Time // UTC, to the millisecond
	Link    link.ID
	Owner   account.ID
	Visitor uint64
	Place
	// Kind is set where it was told at once, since Headers are not kept of a
	// visitor who asked for that.
	Kind Kind
	// Untracked visits have no Visitor, no Place and no Headers.
	Untracked bool
	Headers
}

// The bounds of text in the log, in bytes. What is longer is cut.
const (
	maxText     = 1024 // user agent, referrer, query
	maxLanguage = 128
	maxPurpose  = 64
	maxPlace    = 128
)

// recordRoom is enough for every record: what comes before the text, and each
// text with its length.
const recordRoom = 64 + 5*(maxText+2) + maxLanguage + 2 + maxPurpose + 2 + 3*(maxPlace+2)

// A record is a version, flags and fixed numbers, then, unless untracked, texts
// with their lengths, in the order of texts. Numbers are little-endian. A later
// program reads every version that an earlier one wrote.
const (
	recordVersion = 1
	fixedLen      = 2 + 1 + 4*8

	flagHead      = 1 << 0
	flagUntracked = 1 << 1
	knownFlags    = flagHead | flagUntracked
)

// AppendVisit appends to dst the record of a visit. The address is not in it,
// nor is anything of an untracked visit but when, where to, and of what kind it
// was.
func AppendVisit(dst []byte, v *Visit, place Place, visitor uint64, kind Kind) []byte {
	flags := byte(0)
	if v.Head {
		flags |= flagHead
	}
	if v.Untracked {
		flags |= flagUntracked
		visitor = 0
	}
	dst = append(dst, recordVersion, flags, byte(kind))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(v.Time.UnixMilli()))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(v.Link))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(v.Owner))
	dst = binary.LittleEndian.AppendUint64(dst, visitor)
	if v.Untracked {
		return dst
	}
	dst = appendText(dst, place.Country, maxPlace)
	dst = appendText(dst, place.Region, maxPlace)
	dst = appendText(dst, place.City, maxPlace)
	dst = appendText(dst, v.UserAgent, maxText)
	dst = appendText(dst, withoutQuery(v.Referer), maxText)
	dst = appendText(dst, v.AcceptLanguage, maxLanguage)
	dst = appendText(dst, v.Purpose, maxPurpose)
	dst, campaign := appendQuery(dst, v.Query, true)
	if target := v.TargetQuery; !campaign {
		dst, _ = appendQuery(dst, target, false)
	} else {
		dst = appendText(dst, "", 0)
	}
	return dst
}

func appendText(dst []byte, s string, limit int) []byte {
	if len(s) > limit {
		s = s[:limit]
	}
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// withoutQuery leaves out the part of an address that may hold secrets.
func withoutQuery(referer string) string {
	if i := strings.IndexAny(referer, "?#"); i >= 0 {
		return referer[:i]
	}
	return referer
}

// appendQuery appends, as a text, what statistics use of a query: its UTM
// parameters, and its trigger if that is asked for. campaign reports that there
// is one of the former.
func appendQuery(dst []byte, query string, trigger bool) (_ []byte, campaign bool) {
	// The length comes first, in two bytes, which are enough for maxText.
	at := len(dst)
	dst = append(dst, 0x80, 0)
	for len(query) > 0 {
		pair := query
		if i := strings.IndexByte(query, '&'); i >= 0 {
			pair, query = query[:i], query[i+1:]
		} else {
			query = ""
		}
		utm := strings.HasPrefix(pair, "utm_")
		if !utm && (!trigger || !strings.HasPrefix(pair, "qr=")) {
			continue
		}
		campaign = campaign || utm
		used := len(dst) - at - 2
		if used+1+len(pair) > maxText {
			pair = pair[:max(0, maxText-used-1)]
		}
		if used > 0 && pair != "" {
			dst = append(dst, '&')
		}
		dst = append(dst, pair...)
	}
	n := len(dst) - at - 2
	dst[at], dst[at+1] = byte(n)|0x80, byte(n>>7)
	return dst, campaign
}

// ParseNoted reads what AppendVisit wrote. Any other bytes are an error.
func ParseNoted(b []byte) (Noted, error) {
	if len(b) == 0 {
		return Noted{}, fmt.Errorf("a click's record is empty")
	}
	if b[0] != recordVersion {
		return Noted{}, fmt.Errorf("a click's record has version %d, which this program can't read", b[0])
	}
	if len(b) < fixedLen {
		return Noted{}, fmt.Errorf("a click's record has %d bytes of at least %d", len(b), fixedLen)
	}
	flags, kind := b[1], Kind(b[2])
	if flags&^knownFlags != 0 || kind > Head {
		return Noted{}, fmt.Errorf("a click's record has flags %#x and kind %d", flags, kind)
	}
	number := func(i int) int64 { return int64(binary.LittleEndian.Uint64(b[3+8*i:])) }
	n := Noted{
		Time: time.UnixMilli(number(0)).UTC(),
		Link: link.ID(number(1)), Owner: account.ID(number(2)), Visitor: uint64(number(3)),
		Kind: kind, Untracked: flags&flagUntracked != 0,
	}
	n.Headers.Head = flags&flagHead != 0
	rest := b[fixedLen:]
	if !n.Untracked {
		var err error
		if rest, err = n.parseTexts(rest); err != nil {
			return Noted{}, err
		}
	}
	if len(rest) > 0 {
		return Noted{}, fmt.Errorf("a click's record goes on for %d bytes", len(rest))
	}
	return n, nil
}

// parseTexts reads the texts of a record and gives what comes after them.
func (n *Noted) parseTexts(b []byte) ([]byte, error) {
	texts := [...]struct {
		to    *string
		limit uint64
	}{
		{&n.Country, maxPlace},
		{&n.Region, maxPlace},
		{&n.City, maxPlace},
		{&n.UserAgent, maxText},
		{&n.Referer, maxText},
		{&n.AcceptLanguage, maxLanguage},
		{&n.Purpose, maxPurpose},
		{&n.Query, maxText},
		{&n.TargetQuery, maxText},
	}
	for i, text := range texts {
		size, used := binary.Uvarint(b)
		if used <= 0 || size > text.limit || size > uint64(len(b)-used) {
			return nil, fmt.Errorf("a click's record is torn in text %d", i)
		}
		b = b[used:]
		*text.to = string(b[:size])
		b = b[size:]
	}
	return b, nil
}
