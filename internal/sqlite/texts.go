package sqlite

import (
	"maps"
	"math"
	"strings"
	"sync"

	"zombiezen.com/go/sqlite"

	"kurz/internal/click"
	"kurz/internal/columns"
	"kurz/internal/fault"
)

const (
	selectTextID = `SELECT id FROM texts WHERE text = ?`
	insertText   = `INSERT INTO texts (text) VALUES (?)`
	selectText   = `SELECT text FROM texts WHERE id = ?`
)

// texts remembers the IDs of at most so many texts that are stored.
type texts struct {
	mu   sync.Mutex
	ids  map[string]columns.Text
	most int
}

const (
	keepTexts = 1 << 16
	// longText is the size, in bytes, from which a text is not remembered.
	longText = 256
	// breathEvents are so many that their texts are found in some 100 µs.
	breathEvents = 64
)

// keep remembers what a transaction learnt, once that is durable: IDs that were
// rolled back are given to other texts.
func (t *texts) keep(learnt map[string]columns.Text) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ids == nil || len(t.ids)+len(learnt) > t.most {
		t.ids = make(map[string]columns.Text, len(learnt))
	}
	maps.Copy(t.ids, learnt)
}

// forget forgets all, since some are about to be removed.
func (t *texts) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ids = nil
}

// interner gives texts their IDs within one transaction.
type interner struct {
	conn           *sqlite.Conn
	known          *texts
	learnt         map[string]columns.Text
	search, insert *sqlite.Stmt
}

func (t *texts) begin(c *sqlite.Conn) (*interner, error) {
	search, err := c.Prepare(selectTextID)
	if err != nil {
		return nil, err
	}
	insert, err := c.Prepare(insertText)
	return &interner{conn: c, known: t, learnt: map[string]columns.Text{}, search: search, insert: insert}, err
}

// rows makes rows of events, as columns.NewRows does with breathe. Their texts it
// stores if need be.
func (in *interner) rows(events []click.Event, breathe func()) (*columns.Rows, error) {
	in.known.mu.Lock()
	defer in.known.mu.Unlock()
	rows := columns.NewRows(breathe)
	rows.Grow(len(events))
	for i := range events {
		if i%breathEvents == 0 {
			rows.Breathe()
		}
		var ids [columns.TextCount]columns.Text
		for column, text := range columns.Texts(&events[i]) {
			if *text == "" {
				continue
			}
			var err error
			if ids[column], err = in.id(*text); err != nil {
				return nil, err
			}
		}
		rows.Add(&events[i], ids)
	}
	return rows, nil
}

// id gives the ID of a text, which it stores if need be. It is called with the
// lock of known held.
func (in *interner) id(text string) (columns.Text, error) {
	if id, ok := in.known.ids[text]; ok {
		return id, nil
	}
	if id, ok := in.learnt[text]; ok {
		return id, nil
	}
	id, err := searchText(in.search, text)
	if err != nil {
		return 0, err
	}
	if id == 0 {
		in.insert.BindText(1, text)
		if err := run(in.insert); err != nil {
			return 0, err
		}
		if id = in.conn.LastInsertRowID(); id > math.MaxUint32 {
			return 0, fault.New(fault.Internal, "there is no number left for another text of clicks")
		}
	}
	if len(text) < longText {
		in.learnt[strings.Clone(text)] = columns.Text(id) // not a part of a long header
	}
	return columns.Text(id), nil
}

// searchText gives the ID of a text, 0 if it is not stored.
func searchText(s *sqlite.Stmt, text string) (id int64, err error) {
	s.BindText(1, text)
	found, err := s.Step()
	if err == nil && found {
		id = s.ColumnInt64(0)
	}
	if failed := s.Reset(); err == nil {
		err = failed
	}
	return id, err
}

// names gives back texts by their IDs, each read once. One that is missing is
// "".
type names struct {
	row   *sqlite.Stmt
	known map[columns.Text]string
}

func newNames(c *sqlite.Conn) (*names, error) {
	row, err := c.Prepare(selectText)
	return &names{row: row, known: map[columns.Text]string{}}, err
}

func (n *names) of(id columns.Text) (text string, err error) {
	if id == 0 {
		return "", nil
	}
	text, ok := n.known[id]
	if ok {
		return text, nil
	}
	n.row.BindInt64(1, int64(id))
	found, err := n.row.Step()
	if err != nil {
		return "", err
	}
	if found {
		text = n.row.ColumnText(0)
	}
	n.known[id] = text
	return text, n.row.Reset()
}

// all gives several.
func (n *names) all(ids []columns.Text) (map[columns.Text]string, error) {
	for _, id := range ids {
		if _, err := n.of(id); err != nil {
			return nil, err
		}
	}
	return n.known, nil
}

// lookUp gives the IDs of those texts that are stored.
func lookUp(c *sqlite.Conn, list []string) (columns.Names, error) {
	search, err := c.Prepare(selectTextID)
	if err != nil {
		return nil, err
	}
	found := columns.Names{}
	for _, text := range list {
		id, err := searchText(search, text)
		if err != nil {
			return nil, err
		}
		if id != 0 {
			found[text] = columns.Text(id)
		}
	}
	return found, nil
}
