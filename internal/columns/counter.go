package columns

import "slices"

// counter counts texts, or what else has a number. The zero counter has none.
type counter struct {
	pages   [][]int64      // by number, a page at a time
	large   map[Text]int64 // those that no page is for
	touched []Text         // those with a count
	pageful int            // how many pages there are
}

// A page is for numbers that are alike but for so many bits. Numbers are given
// one after the other, so that few pages are for many.
const (
	pageBits  = 8
	mostPages = 1 << 16
)

func (c *counter) add(t Text, n int64) {
	page := int(t >> pageBits)
	if page >= mostPages {
		c.addLarge(t, n)
		return
	}
	if page >= len(c.pages) {
		c.pages = append(c.pages, make([][]int64, page+1-len(c.pages))...)
	}
	if c.pages[page] == nil {
		c.pages[page] = make([]int64, 1<<pageBits)
		c.pageful++
	}
	at := &c.pages[page][t&(1<<pageBits-1)]
	if *at == 0 {
		c.touched = append(c.touched, t)
	}
	*at += n
}

func (c *counter) addLarge(t Text, n int64) {
	if c.large == nil {
		c.large = map[Text]int64{}
	}
	if c.large[t] == 0 {
		c.touched = append(c.touched, t)
	}
	c.large[t] += n
}

// take gives what was counted and is not 0, sorted by number, and begins anew.
func (c *counter) take() []count {
	if len(c.touched) == 0 {
		return nil
	}
	list := make([]count, 0, len(c.touched))
	if len(c.large) == 0 && len(c.touched) >= c.pageful<<pageBits/16 {
		c.touched = c.touched[:0]
		return c.takePages(list)
	}
	slices.Sort(c.touched)
	for _, t := range c.touched {
		if page := t >> pageBits; page < mostPages {
			at := &c.pages[page][t&(1<<pageBits-1)]
			if *at != 0 {
				list = append(list, count{t, *at})
			}
			*at = 0
		} else if n := c.large[t]; n != 0 {
			list = append(list, count{t, n})
			delete(c.large, t)
		}
	}
	c.touched = c.touched[:0]
	return list
}

// takePages is take where most pages are well filled.
func (c *counter) takePages(list []count) []count {
	for page, counts := range c.pages {
		for i, n := range counts {
			if n != 0 {
				list = append(list, count{Text(page<<pageBits | i), n})
			}
		}
		clear(counts)
	}
	return list
}
