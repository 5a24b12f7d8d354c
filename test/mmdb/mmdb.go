// Package mmdb writes small databases in MaxMind's format, for tests: as
// https://maxmind.github.io/MaxMind-DB/ describes version 2.0, with the aliases
// of IPv4 that MaxMind's own have.
//
// Start reading at Write and City.
package mmdb

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"time"
)

// Database is what a file says.
type Database struct {
	Type  string
	Built time.Time
	// Networks have a record each. A network within another is an error.
	Networks map[netip.Prefix]Record
}

// Record is what a file says of a network: values are texts, Records, lists and
// numbers.
type Record map[string]any

// City makes a record as those of city databases are. Parts that are "" are
// left out.
func City(country, region, regionCode, city string) Record {
	r := Record{"location": Record{"latitude": 1.5, "accuracy_radius": uint16(100)}}
	if country != "" {
		r["country"] = Record{"iso_code": country, "names": Record{"en": "name of " + country, "de": "Name von " + country}}
	}
	division := Record{}
	if region != "" {
		division["names"] = Record{"de": "de " + region, "en": region}
	}
	if regionCode != "" {
		division["iso_code"] = regionCode
	}
	if len(division) > 0 {
		r["subdivisions"] = []any{division, Record{"names": Record{"en": "a county"}}}
	}
	if city != "" {
		r["city"] = Record{"geoname_id": uint32(1), "names": Record{"de": "de " + city, "en": city}}
	}
	return r
}

// Write gives the bytes of a file.
func Write(d Database) ([]byte, error) {
	w := writer{nodes: make([]node, 1), seen: map[string]uint32{}}
	for _, prefix := range slices.SortedFunc(maps.Keys(d.Networks), netip.Prefix.Compare) {
		value, err := w.value(d.Networks[prefix])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", prefix, err)
		}
		if err := w.insert(as16(prefix), leaf(value)); err != nil {
			return nil, fmt.Errorf("%s: %w", prefix, err)
		}
	}
	// IPv4 addresses are found under these prefixes too.
	if root := w.at(netip.MustParsePrefix("::/96")); root != 0 && root < leaves {
		for _, alias := range []string{"::ffff:0:0/96", "2002::/16"} {
			if err := w.insert(netip.MustParsePrefix(alias), root); err != nil {
				return nil, err
			}
		}
	}
	metadata, err := encode(nil, Record{
		"binary_format_major_version": uint16(2), "binary_format_minor_version": uint16(0),
		"build_epoch": uint64(d.Built.Unix()), "database_type": d.Type, "ip_version": uint16(6),
		"node_count": uint32(len(w.nodes)), "record_size": uint16(32),
		"languages": []any{"de", "en"}, "description": Record{"en": "made for a test"},
	})
	if err != nil {
		return nil, err
	}
	out := w.tree()
	out = append(out, make([]byte, 16)...)
	out = append(out, w.data...)
	out = append(out, "\xab\xcd\xefMaxMind.com"...)
	return append(out, metadata...), nil
}

// child is what a bit of an address leads to: 0 nothing, below leaves a node,
// from there on a value.
type child uint64

const leaves child = 1 << 32

func leaf(offset uint32) child { return leaves + child(offset) }

type node [2]child

type writer struct {
	nodes []node // the first is the root
	data  []byte
	seen  map[string]uint32 // records by what they say
}

// value writes a record, the same one once, and gives where it is.
func (w *writer) value(r Record) (uint32, error) {
	b, err := encode(nil, r)
	if err != nil {
		return 0, err
	}
	at, ok := w.seen[string(b)]
	if !ok {
		at = uint32(len(w.data))
		w.seen[string(b)] = at
		w.data = append(w.data, b...)
	}
	return at, nil
}

func as16(p netip.Prefix) netip.Prefix {
	if !p.Addr().Is4() {
		return p.Masked()
	}
	four := p.Masked().Addr().As4()
	var b [16]byte
	copy(b[12:], four[:])
	return netip.PrefixFrom(netip.AddrFrom16(b), p.Bits()+96)
}

func bit(a [16]byte, i int) int { return int(a[i/8]>>(7-i%8)) & 1 }

func (w *writer) insert(p netip.Prefix, to child) error {
	address, at := p.Addr().As16(), child(0)
	for i := range p.Bits() {
		next := &w.nodes[at][bit(address, i)]
		if i == p.Bits()-1 {
			if *next != 0 {
				return fmt.Errorf("it overlaps another network")
			}
			*next = to
			return nil
		}
		if *next >= leaves {
			return fmt.Errorf("it is within another network")
		}
		if *next == 0 {
			*next = child(len(w.nodes))
			w.nodes = append(w.nodes, node{})
			next = &w.nodes[at][bit(address, i)]
		}
		at = *next
	}
	return fmt.Errorf("it is everything")
}

// at gives what a prefix leads to.
func (w *writer) at(p netip.Prefix) child {
	address, at := p.Addr().As16(), child(0)
	for i := range p.Bits() {
		at = w.nodes[at][bit(address, i)]
		if at == 0 || at >= leaves {
			return at
		}
	}
	return at
}

func (w *writer) tree() []byte {
	var out []byte
	count := child(len(w.nodes))
	for _, n := range w.nodes {
		for _, c := range n {
			switch {
			case c == 0:
				c = count
			case c >= leaves:
				c = c - leaves + count + 16
			}
			out = binary.BigEndian.AppendUint32(out, uint32(c))
		}
	}
	return out
}

// The types of values.
const (
	typeText   = 2
	typeDouble = 3
	typeUint16 = 5
	typeUint32 = 6
	typeMap    = 7
	typeUint64 = 9
	typeList   = 11
)

func encode(b []byte, v any) ([]byte, error) {
	var err error
	switch v := v.(type) {
	case string:
		return append(control(b, typeText, len(v)), v...), nil
	case float64:
		return binary.BigEndian.AppendUint64(control(b, typeDouble, 8), math.Float64bits(v)), nil
	case uint16:
		return binary.BigEndian.AppendUint16(control(b, typeUint16, 2), v), nil
	case uint32:
		return binary.BigEndian.AppendUint32(control(b, typeUint32, 4), v), nil
	case uint64:
		return binary.BigEndian.AppendUint64(control(b, typeUint64, 8), v), nil
	case []any:
		b = control(b, typeList, len(v))
		for _, item := range v {
			if b, err = encode(b, item); err != nil {
				return nil, err
			}
		}
		return b, nil
	case Record:
		b = control(b, typeMap, len(v))
		for _, name := range slices.Sorted(maps.Keys(v)) {
			b = append(control(b, typeText, len(name)), name...)
			if b, err = encode(b, v[name]); err != nil {
				return nil, err
			}
		}
		return b, nil
	}
	return nil, fmt.Errorf("no type of the format for %T", v)
}

// control writes a value's type and size.
func control(b []byte, kind, size int) []byte {
	first, extended := byte(kind<<5), []byte{}
	if kind > 7 {
		first, extended = 0, []byte{byte(kind - 7)}
	}
	switch {
	case size < 29:
		b = append(append(b, first|byte(size)), extended...)
	case size < 29+256:
		b = append(append(b, first|29), extended...)
		b = append(b, byte(size-29))
	default: // up to 65,820
		b = append(append(b, first|30), extended...)
		b = binary.BigEndian.AppendUint16(b, uint16(size-285))
	}
	return b
}
