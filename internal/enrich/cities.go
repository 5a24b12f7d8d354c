package enrich

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"kurz/internal/click"
)

// Cities implements click.Locator with a city database, a file in MaxMind's
// format. Where the file knows no country, the database inside the binary
// answers.
//
// The file is read once and then left alone; whoever replaces it may write as
// they like. A file that changed is read when it has stood still for a while,
// and is in force from one look-up to the next. One that can't be read or is
// damaged is logged once, and the old one stays.
//
// Regions and cities have their English names, a region without one its code.
// The same name in two countries is the same text: reports tell them apart by
// country.
type Cities struct {
	path      string
	logger    *slog.Logger
	countries Locator
	current   atomic.Pointer[atlas] // what was current is let go by its last reader

	// Of the goroutine that looks after the file.
	inForce, refused, seen fs.FileInfo
	unreadable             bool

	reloads, failures atomic.Uint64
	failing           atomic.Bool

	end  context.CancelFunc
	done sync.WaitGroup
}

// lookAnew is how often the file is looked at.
const lookAnew = 2 * time.Second

// maxCityFile bounds a city database, in bytes. The largest to be had are a
// quarter of that.
const maxCityFile = 2 << 30

// OpenCities reads the file at path, which takes some seconds for the whole
// Internet, and looks after it until Close.
func OpenCities(path string, logger *slog.Logger) (*Cities, error) {
	c := &Cities{path: path, logger: logger}
	ctx, end := context.WithCancel(context.Background())
	c.end = end
	info, err := os.Stat(path)
	if err == nil {
		err = c.load(ctx, info)
	}
	if err != nil {
		end()
		return nil, err
	}
	c.done.Go(func() { c.lookAfter(ctx) })
	return c, nil
}

// InspectCities reads the file at path as OpenCities does, and describes it.
func InspectCities(ctx context.Context, path string) (CityFile, error) {
	info, err := os.Stat(path)
	if err != nil {
		return CityFile{}, err
	}
	a, err := readAtlas(ctx, path, info)
	if err != nil {
		return CityFile{}, err
	}
	return a.file, nil
}

// Locate implements click.Locator. It neither blocks nor allocates. Addresses
// that are nobody's on the Internet have no place.
func (c *Cities) Locate(addr netip.Addr) click.Place {
	addr = addr.Unmap().WithZone("")
	if !onInternet(addr) {
		return click.Place{}
	}
	if p := c.current.Load().place(addr); p.Country != "" {
		return *p
	}
	return c.countries.Locate(addr)
}

// CitiesStats is how Cities are.
type CitiesStats struct {
	File     CityFile // in force
	Reloads  uint64   // files taken after the first
	Failures uint64   // files refused, and spells without a file
	// Failing is set while the file at the path is not the one in force, since
	// it can't be used.
	Failing bool
}

// Stats tells how it is.
func (c *Cities) Stats() CitiesStats {
	return CitiesStats{
		File: c.current.Load().file, Reloads: c.reloads.Load(), Failures: c.failures.Load(), Failing: c.failing.Load(),
	}
}

// Close ends looking after the file. Locate can still be used.
func (c *Cities) Close() error {
	c.end()
	c.done.Wait()
	return nil
}

func (c *Cities) lookAfter(ctx context.Context) {
	tick := time.NewTicker(lookAnew)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.look(ctx)
		}
	}
}

// look looks at the file, and takes it if it is another than before.
func (c *Cities) look(ctx context.Context) {
	info, err := os.Stat(c.path)
	still := sameFile(info, c.seen)
	c.seen = info
	switch {
	case err != nil:
	case sameFile(info, c.inForce):
		c.unreadable = false
		c.failing.Store(false)
		return
	case sameFile(info, c.refused), !still:
		return
	default:
		err = c.load(ctx, info)
	}
	switch {
	case ctx.Err() != nil:
	case err == nil:
		c.unreadable = false
		c.reloads.Add(1)
		c.failing.Store(false)
	case errors.Is(err, errChanging):
	case errors.As(err, new(*fs.PathError)):
		// Not the file's contents: the same file may be readable later.
		if !c.unreadable {
			c.refuse(err)
		}
		c.unreadable = true
	default:
		c.unreadable, c.refused = false, info
		c.refuse(err)
	}
}

func (c *Cities) refuse(err error) {
	c.failures.Add(1)
	c.failing.Store(true)
	c.logger.Error("city database can't be used, the old one stays", "file", c.path, "error", err)
}

// load puts the file in force.
func (c *Cities) load(ctx context.Context, info fs.FileInfo) error {
	a, err := readAtlas(ctx, c.path, info)
	if err != nil {
		return err
	}
	c.current.Store(a)
	c.inForce = info
	// The file and what was made on the way are several times what stays.
	debug.FreeOSMemory()
	c.logger.Info("city database loaded", "file", c.path, "type", a.file.Type, "built", a.file.Built.Format(time.DateOnly), "countries", a.file.Countries, "cities", a.file.Cities)
	if a.file.Cities == 0 {
		c.logger.Warn("the city database knows no cities, only countries", "file", c.path)
	}
	return nil
}

// errChanging says that a file was written to while it was read.
var errChanging = errors.New("it is being written: put it there under another name, and rename it")

// readAtlas reads the file at path, which is to be the one described.
func readAtlas(ctx context.Context, path string, info fs.FileInfo) (*atlas, error) {
	switch {
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no regular file", path)
	case info.Size() > maxCityFile:
		return nil, fmt.Errorf("%s is larger than %d MiB", path, maxCityFile>>20)
	}
	// Read rather than mapped: a mapped file that is cut short kills whoever
	// reads it.
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	a, damage := survey(ctx, data)
	if after, err := os.Stat(path); err != nil || !sameFile(info, after) {
		return nil, fmt.Errorf("%s: %w", path, errChanging)
	}
	if damage != nil {
		return nil, fmt.Errorf("%s: %w", path, damage)
	}
	return a, nil
}

// sameFile reports whether nothing was written between two looks.
func sameFile(a, b fs.FileInfo) bool {
	return a != nil && b != nil && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && os.SameFile(a, b)
}
