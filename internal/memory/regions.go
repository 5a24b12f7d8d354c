package memory

import (
	"sync"
	"unsafe"
)

// regions has the system keep in huge pages what is densely filled with links:
// a Get goes to a few places anywhere in what may be gigabytes, and with small
// pages finding each of them costs as much as the place itself. It is a hint
// about memory that stays Go's: nothing depends on it, and where the collector
// takes memory back and gives it to the system, the system splits the page.
type regions struct {
	huge func(start, size uintptr) // asks for a huge page

	mu sync.Mutex
	// filled has the bytes in use of each region by its number.
	filled map[uintptr]int
	// dense are regions for which to ask.
	dense  []uintptr
	asking bool
}

func newRegions(huge func(start, size uintptr)) *regions {
	return &regions{huge: huge, filled: map[uintptr]int{}}
}

const (
	// regionSize is that of a huge page on most processors.
	regionBits = 21
	regionSize = 1 << regionBits
	// denseSize is from when on a region is worth a huge page, which makes
	// all of it resident.
	denseSize = regionSize / 8 * 7
)

// add notes that memory came into use, or with a negative sign, that it left.
func (g *regions) add(start unsafe.Pointer, size, sign int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	at := uintptr(start)
	for end := at + uintptr(size); at < end; {
		number := at >> regionBits
		part := int(min(end, (number+1)<<regionBits) - at)
		before := g.filled[number]
		after := before + sign*part
		g.filled[number] = after
		switch {
		case after == 0:
			delete(g.filled, number)
		case before < denseSize && after >= denseSize:
			g.dense = append(g.dense, number)
		}
		at += uintptr(part)
	}
	if len(g.dense) > 0 && !g.asking {
		g.asking = true
		go g.ask()
	}
}

// ask asks for a huge page for each region that has become dense.
func (g *regions) ask() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.dense) > 0 {
		number := g.dense[0]
		g.dense = g.dense[1:]
		if g.filled[number] < denseSize {
			continue
		}
		g.mu.Unlock()
		g.huge(number<<regionBits, regionSize)
		g.mu.Lock()
	}
	g.asking = false
}
