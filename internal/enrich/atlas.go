package enrich

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"runtime"
	"slices"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"

	"kurz/internal/click"
)

// CityFile describes a city database.
type CityFile struct {
	Type     string    // as the file names itself, such as GeoLite2-City
	Built    time.Time // by whoever made it
	Networks int       // those with a known country
	// Countries and Cities count the different ones. A file of countries alone
	// has no Cities.
	Countries, Cities int
}

// atlas is what a city database says, in a form of its own: ranges of addresses,
// each with its place. A look-up reads nothing that came from the file, so that
// no damage to one can be met by a redirect.
type atlas struct {
	file CityFile
	four ranges[uint32]
	six  ranges[uint64] // by the first half of the address
	// deep has, by that half, what differs within it.
	deep   map[uint64]*ranges[uint64]
	places []click.Place // the first is nowhere
}

// place finds an address, which must be valid and not IPv4 mapped in IPv6. The
// result is nobody's to change.
func (a *atlas) place(addr netip.Addr) *click.Place {
	if addr.Is4() {
		b := addr.As4()
		return &a.places[a.four.find(binary.BigEndian.Uint32(b[:]))]
	}
	high, low := halves(addr)
	n := a.six.find(high)
	if n == deeper {
		n = a.deep[high].find(low)
	}
	return &a.places[n]
}

func halves(addr netip.Addr) (high, low uint64) {
	b := addr.As16()
	return binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
}

// ranges are the places of addresses: each range goes on to the next, the last
// to the end. The first begins at zero.
type ranges[K uint32 | uint64] struct {
	starts []K
	places []uint32
}

// find gives the place of an address.
func (r *ranges[K]) find(k K) uint32 {
	// No guesses for the processor to get wrong: that halves the time.
	base, n := 0, len(r.starts)
	for n > 1 {
		half := n >> 1
		if r.starts[base+half] <= k {
			base += half
		}
		n -= half
	}
	return r.places[base]
}

// begin begins a range, in place of one that begins there already, unless the
// one before it has the same place.
func (r *ranges[K]) begin(start K, place uint32) {
	n := len(r.places)
	if n > 0 && r.starts[n-1] == start {
		n--
		r.starts, r.places = r.starts[:n], r.places[:n]
	}
	if n == 0 || r.places[n-1] != place {
		r.starts, r.places = append(r.starts, start), append(r.places, place)
	}
}

func (r *ranges[K]) clip() {
	r.starts, r.places = slices.Clip(r.starts), slices.Clip(r.places)
}

// survey makes an atlas of a city database: the bytes of a file in MaxMind's
// format, version 2.0, whose records are laid out as in GeoIP2, GeoLite2 and
// DB-IP. It reads all that the file says, so a file that is damaged where it
// matters is an error; whatever the bytes, it does not panic and comes to an
// end. It lets others run meanwhile, and
// ends early with the context's error.
func survey(ctx context.Context, data []byte) (a *atlas, err error) {
	defer func() {
		if r := recover(); r != nil {
			a, err = nil, fmt.Errorf("damaged: %v", r)
		}
	}()
	db, err := maxminddb.OpenBytes(data, maxminddb.DisableStringCache())
	if err != nil {
		return nil, fmt.Errorf("no database in MaxMind's format, or a part of one: %w", err)
	}
	meta := &db.Metadata
	if meta.BinaryFormatMajorVersion != 2 {
		return nil, fmt.Errorf("version %d of MaxMind's format, of which only 2 is known", meta.BinaryFormatMajorVersion)
	}
	s := surveyor{
		atlas:   &atlas{places: make([]click.Place, 1), deep: map[uint64]*ranges[uint64]{}},
		records: map[uintptr]uint32{}, known: map[click.Place]uint32{{}: 0},
	}
	// A tree has at most one leaf more than nodes. More leaves would mean that
	// branches grow together, which can go on for ever.
	leaves, most := uint(0), meta.NodeCount+1
	for leaf := range db.Networks(maxminddb.IncludeNetworksWithoutData()) {
		if leaves++; leaves > most {
			return nil, errors.New("damaged: its tree is none")
		}
		if leaves%128 == 0 {
			runtime.Gosched()
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
		}
		if err := s.add(leaf); err != nil {
			return nil, fmt.Errorf("damaged: %w", err)
		}
	}
	return s.finish(meta)
}

// surveyor makes an atlas.
type surveyor struct {
	atlas   *atlas
	records map[uintptr]uint32 // places by their offset in the file
	known   map[click.Place]uint32
	// Where the last range ends.
	next4 uint64
	next6 struct {
		high, low uint64
		end       bool // of all addresses
	}
}

// add adds a network. They come in the order of their addresses. What lies
// between two is nowhere: an alias of IPv4.
func (s *surveyor) add(leaf maxminddb.Result) error {
	place, err := s.placeOf(leaf)
	if err != nil {
		return err
	}
	network := leaf.Prefix()
	if !network.IsValid() {
		return errors.New("a network has no address")
	}
	if place != 0 {
		s.atlas.file.Networks++
	}
	switch {
	case network.Addr().Is4():
		b := network.Addr().As4()
		s.extend4(binary.BigEndian.Uint32(b[:]), network.Bits(), place)
		return nil
	case network.Bits() <= 96 && network.Addr() == netip.IPv6Unspecified():
		s.extend4(0, 0, place)
	}
	high, low := halves(network.Addr())
	s.extend6(high, low, network.Bits(), place)
	return nil
}

func (s *surveyor) extend4(start uint32, bits int, place uint32) {
	r := &s.atlas.four
	if uint64(start) != s.next4 {
		r.begin(uint32(s.next4), 0)
	}
	r.begin(start, place)
	s.next4 = uint64(start) + 1<<(32-bits)
}

func (s *surveyor) extend6(high, low uint64, bits int, place uint32) {
	next := &s.next6
	if high != next.high || low != next.low {
		s.begin6(next.high, next.low, 0)
	}
	s.begin6(high, low, place)
	if bits > 64 {
		low += 1 << (128 - bits)
	} else {
		low = 0
	}
	if low == 0 {
		high += 1 << max(0, 64-bits) // 0 for everything
	}
	next.high, next.low, next.end = high, low, high == 0 && low == 0
}

// deeper stands for the place of a half that has ranges of its own.
const deeper = math.MaxUint32

func (s *surveyor) begin6(high, low uint64, place uint32) {
	a := s.atlas
	if low == 0 {
		a.six.begin(high, place)
		return
	}
	if a.deep[high] == nil {
		a.deep[high] = &ranges[uint64]{[]uint64{0}, []uint32{a.six.find(high)}}
		a.six.begin(high, deeper)
	}
	a.deep[high].begin(low, place)
	if high < math.MaxUint64 {
		a.six.begin(high+1, place) // until what comes next says otherwise
	}
}

// record is what is read of a record. All else in it is passed over.
type record struct {
	Country struct {
		Code string `maxminddb:"iso_code"`
	} `maxminddb:"country"`
	Subdivisions []struct {
		Code  string `maxminddb:"iso_code"`
		Names names  `maxminddb:"names"`
	} `maxminddb:"subdivisions"`
	City struct {
		Names names `maxminddb:"names"`
	} `maxminddb:"city"`
}

type names struct {
	English string `maxminddb:"en"`
}

// placeOf gives the number of a network's place, 0 where its country is not
// known.
func (s *surveyor) placeOf(leaf maxminddb.Result) (uint32, error) {
	if err := leaf.Err(); err != nil {
		return 0, err
	}
	if !leaf.Found() {
		return 0, nil
	}
	if n, ok := s.records[leaf.Offset()]; ok {
		return n, nil
	}
	var r record
	if err := leaf.Decode(&r); err != nil {
		return 0, err
	}
	n := s.number(r.place())
	s.records[leaf.Offset()] = n
	return n, nil
}

// number gives the number of a place, a new one the first time.
func (s *surveyor) number(p click.Place) uint32 {
	n, ok := s.known[p]
	if !ok {
		n = uint32(len(s.atlas.places))
		s.known[p] = n
		s.atlas.places = append(s.atlas.places, p)
	}
	return n
}

// maxPlaceName bounds the names of regions and cities, in bytes.
const maxPlaceName = 128

// place gives the record's place with English names. A region is the first, and
// so the largest, subdivision: its name, or its code where it has no name.
func (r *record) place() click.Place {
	code := r.Country.Code
	if len(code) != 2 || code[0] < 'A' || code[0] > 'Z' || code[1] < 'A' || code[1] > 'Z' {
		return click.Place{}
	}
	p := click.Place{Country: code, City: clean(r.City.Names.English, maxPlaceName)}
	if len(r.Subdivisions) > 0 {
		first := &r.Subdivisions[0]
		p.Region = clean(cmp.Or(first.Names.English, first.Code), maxPlaceName)
	}
	return p
}

// finish ends the last ranges and describes the file.
func (s *surveyor) finish(meta *maxminddb.Metadata) (*atlas, error) {
	a := s.atlas
	if s.next4 <= math.MaxUint32 {
		a.four.begin(uint32(s.next4), 0)
	}
	if !s.next6.end {
		s.begin6(s.next6.high, s.next6.low, 0)
	}
	countries := map[string]bool{}
	for _, p := range a.places[1:] {
		countries[p.Country] = true
		if p.City != "" {
			a.file.Cities++
		}
	}
	a.file.Countries = len(countries)
	a.file.Type, a.file.Built = clean(meta.DatabaseType, maxPlaceName), meta.BuildTime().UTC()
	if len(countries) == 0 {
		return nil, fmt.Errorf("a database of type %q, which knows no country of any address", a.file.Type)
	}
	a.four.clip()
	a.six.clip()
	a.places = slices.Clip(a.places)
	return a, nil
}
