package sqlite

import (
	"context"
	"maps"
	"sync"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"kurz/internal/click"
	"kurz/internal/link"
)

// Clicks is a click.Sink and click.Reports.
type Clicks struct {
	db        *DB
	texts     texts
	blockSize int64
}

// NewClicks gives the clicks kept in a file of schema Clicks.
func NewClicks(db *DB) *Clicks {
	return &Clicks{db: db, blockSize: blockSize, texts: texts{most: keepTexts}}
}

const (
	clickColumns = `id, link, owner, kind, via, visitor, country, region, city, referrer, referrer_host, browser, os,
		device, language, utm_source, utm_medium, utm_campaign, utm_term, utm_content`
	insertClick = `INSERT INTO clicks (` + clickColumns + `, block)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`
	blockParam  = 21
	selectBlock = `SELECT id, first_id, last_id, clicks FROM blocks ORDER BY id DESC LIMIT 1`
	putBlock    = `INSERT INTO blocks (id, first_id, last_id, clicks) VALUES (?1, ?2, ?3, ?4)
		ON CONFLICT (id) DO UPDATE SET first_id = ?2, last_id = ?3, clicks = ?4`
	addTotal = `INSERT INTO totals (link, humans) VALUES (?, ?)
		ON CONFLICT (link) DO UPDATE SET humans = humans + excluded.humans`
	selectPosition = `SELECT sequence FROM positions WHERE log = ?`
	movePosition   = `INSERT INTO positions (log, sequence) VALUES (?, ?)
		ON CONFLICT (log) DO UPDATE SET sequence = max(sequence, excluded.sequence)`
	selectTextID = `SELECT id FROM texts WHERE text = ?`
	insertText   = `INSERT INTO texts (text) VALUES (?)`
)

// Add implements click.Sink.
func (s *Clicks) Add(ctx context.Context, b click.Batch) error {
	var learnt map[string]int64
	err := s.db.write(ctx, func(c *sqlite.Conn) error {
		position, err := readPosition(c, b.Log)
		if err != nil {
			return err
		}
		events, err := b.Above(position)
		if err != nil {
			return err
		}
		if learnt, err = s.insert(c, events); err != nil {
			return err
		}
		if err := addTotals(c, events); err != nil {
			return err
		}
		return sqlitex.Execute(c, movePosition, &sqlitex.ExecOptions{Args: []any{b.Log[:], int64(b.Through)}})
	})
	if err == nil {
		s.texts.keep(learnt)
	}
	return err
}

// Position implements click.Sink.
func (s *Clicks) Position(ctx context.Context, log click.LogID) (position uint64, err error) {
	err = s.db.read(ctx, func(c *sqlite.Conn) (err error) {
		position, err = readPosition(c, log)
		return err
	})
	return position, err
}

func readPosition(c *sqlite.Conn, log click.LogID) (position uint64, err error) {
	err = sqlitex.Execute(c, selectPosition, &sqlitex.ExecOptions{
		Args:       []any{log[:]},
		ResultFunc: func(s *sqlite.Stmt) error { position = uint64(s.ColumnInt64(0)); return nil },
	})
	return position, err
}

// insert stores events and gives the IDs of texts that were not in memory.
func (s *Clicks) insert(c *sqlite.Conn, events []click.Event) (learnt map[string]int64, err error) {
	in, err := s.texts.begin(c)
	if err != nil {
		return nil, err
	}
	row, err := c.Prepare(insertClick)
	if err != nil {
		return nil, err
	}
	current, err := lastBlock(c)
	if err != nil {
		return nil, err
	}
	for i := range events {
		if current.clicks >= s.blockSize {
			if err := current.put(c); err != nil {
				return nil, err
			}
			current = block{id: current.id + 1}
		}
		row.BindInt64(blockParam, current.id)
		id, err := insertEvent(c, row, in, &events[i])
		if err != nil {
			return nil, err
		}
		current.add(id)
	}
	return in.learnt, current.put(c)
}

// insertEvent stores an event under its ID or the next free one.
func insertEvent(c *sqlite.Conn, row *sqlite.Stmt, in *interner, e *click.Event) (click.ID, error) {
	row.BindInt64(2, int64(e.Link))
	row.BindInt64(3, int64(e.Owner))
	row.BindInt64(4, int64(e.Kind))
	row.BindInt64(5, int64(e.Trigger))
	row.BindInt64(6, int64(e.Visitor))
	for i, text := range [...]string{
		e.Country, e.Region, e.City, e.Referrer, e.ReferrerHost, e.Browser, e.OS, e.Device, e.Language,
		e.UTMSource, e.UTMMedium, e.UTMCampaign, e.UTMTerm, e.UTMContent,
	} {
		id, err := in.id(c, text)
		if err != nil {
			return 0, err
		}
		row.BindInt64(7+i, id)
	}
	for id := e.ID; ; id = id.Next() {
		row.BindInt64(1, int64(id))
		if err := run(row); err != nil {
			return 0, err
		}
		if c.Changes() == 1 {
			return id, nil
		}
	}
}

// block is a row of blocks.
type block struct {
	id          int64
	first, last click.ID
	clicks      int64
}

// blockSize is how many clicks a block has: few enough for its part of the
// indexes to stay in memory while it is written, many enough for a search in
// each block to take no time.
const blockSize = 1 << 15

func lastBlock(c *sqlite.Conn) (b block, err error) {
	err = sqlitex.Execute(c, selectBlock, &sqlitex.ExecOptions{
		ResultFunc: func(s *sqlite.Stmt) error {
			b = block{
				id: s.ColumnInt64(0), first: click.ID(s.ColumnInt64(1)), last: click.ID(s.ColumnInt64(2)), clicks: s.ColumnInt64(3),
			}
			return nil
		},
	})
	return b, err
}

func (b *block) add(id click.ID) {
	if b.clicks == 0 {
		b.first, b.last = id, id
	}
	b.first, b.last = min(b.first, id), max(b.last, id)
	b.clicks++
}

func (b *block) put(c *sqlite.Conn) error {
	if b.clicks == 0 {
		return nil
	}
	return sqlitex.Execute(c, putBlock, &sqlitex.ExecOptions{Args: []any{b.id, int64(b.first), int64(b.last), b.clicks}})
}

func addTotals(c *sqlite.Conn, events []click.Event) error {
	humans := map[link.ID]int64{}
	for i := range events {
		if events[i].Kind == click.Human {
			humans[events[i].Link]++
		}
	}
	s, err := c.Prepare(addTotal)
	if err != nil {
		return err
	}
	for id, n := range humans {
		s.BindInt64(1, int64(id))
		s.BindInt64(2, n)
		if err := run(s); err != nil {
			return err
		}
	}
	return nil
}

// run executes a statement that gives no rows, for other values to be bound
// after it.
func run(s *sqlite.Stmt) error {
	if _, err := s.Step(); err != nil {
		return err
	}
	return s.Reset()
}

// texts remembers the IDs of at most so many texts that are stored.
type texts struct {
	mu   sync.Mutex
	ids  map[string]int64
	most int
}

const (
	keepTexts = 1 << 16
	// longText is the size, in bytes, from which a text is not remembered.
	longText = 256
)

// keep remembers what a transaction learnt, once that is durable: IDs that were
// rolled back are given to other texts.
func (t *texts) keep(learnt map[string]int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ids == nil || len(t.ids)+len(learnt) > t.most {
		t.ids = make(map[string]int64, len(learnt))
	}
	maps.Copy(t.ids, learnt)
}

// interner gives texts their IDs within one transaction.
type interner struct {
	known          *texts
	learnt         map[string]int64
	search, insert *sqlite.Stmt
}

func (t *texts) begin(c *sqlite.Conn) (*interner, error) {
	search, err := c.Prepare(selectTextID)
	if err != nil {
		return nil, err
	}
	insert, err := c.Prepare(insertText)
	return &interner{known: t, learnt: map[string]int64{}, search: search, insert: insert}, err
}

// id gives the ID of a text, which it stores if need be; 0 for the empty text.
func (in *interner) id(c *sqlite.Conn, text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	in.known.mu.Lock()
	id, ok := in.known.ids[text]
	in.known.mu.Unlock()
	if ok {
		return id, nil
	}
	if id, ok := in.learnt[text]; ok {
		return id, nil
	}
	in.search.BindText(1, text)
	found, err := in.search.Step()
	if err != nil {
		return 0, err
	}
	if found {
		id = in.search.ColumnInt64(0)
	}
	if err := in.search.Reset(); err != nil {
		return 0, err
	}
	if !found {
		in.insert.BindText(1, text)
		if err := run(in.insert); err != nil {
			return 0, err
		}
		id = c.LastInsertRowID()
	}
	if len(text) < longText {
		in.learnt[text] = id
	}
	return id, nil
}
