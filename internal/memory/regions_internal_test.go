package memory

import (
	"slices"
	"testing"
	"testing/synctest"
	"unsafe"
)

// TestRegions asks for a huge page when a region becomes dense, and not before,
// and again only after it was not.
func TestRegions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := make([]byte, 4*regionSize)
		at := func(offset int) unsafe.Pointer { return unsafe.Pointer(&memory[offset]) }
		first := uintptr(at(0))>>regionBits + 1 // the first that is all ours
		begin := int(first<<regionBits - uintptr(at(0)))
		var asked []uintptr
		g := newRegions(func(start, size uintptr) {
			if size != regionSize {
				t.Errorf("asked for %d bytes", size)
			}
			asked = append(asked, start>>regionBits-first)
		})
		for _, step := range []struct {
			name         string
			offset, size int
			sign         int
			want         []uintptr
		}{
			{"some of it", 0, denseSize - 1, 1, nil},
			{"dense by what reaches into the next", denseSize - 1, regionSize, 1, []uintptr{0}},
			{"a part leaves", 0, 2, -1, nil},
			{"and comes again", 0, 2, 1, nil},
			{"a large part leaves", 0, regionSize / 2, -1, nil},
			{"and that too", 0, regionSize / 2, 1, []uintptr{0}},
			{"all of the next", regionSize + denseSize - 1, regionSize/8 + 1, 1, []uintptr{1}},
		} {
			asked = nil
			g.add(at(begin+step.offset), step.size, step.sign)
			synctest.Wait()
			if !slices.Equal(asked, step.want) {
				t.Errorf("%s: asked for %v, want %v", step.name, asked, step.want)
			}
		}
		g.add(at(begin), 2*regionSize, -1)
		if len(g.filled) != 0 {
			t.Errorf("left over: %v", g.filled)
		}
	})
}
