package sqlite

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"kurz/internal/fault"
)

// writer owns the writing connection. All that wait when a transaction begins
// go into it together and are answered when its one fsync is done; those that
// come meanwhile make up the next.
type writer struct {
	path string
	busy time.Duration
	late bool // the log is not synced before the end
	// wide is until when there is a cache for much that is changed; zero: there
	// is the usual one, of so many KiB.
	wide   time.Time
	narrow int
	conn   *sqlite.Conn
	ops    chan *op
	// hurried is how many ops wait or are at work that many others have to let in.
	hurried atomic.Int64
	// index is the log's; nil before the first write.
	index *os.File
	// stuck is when the log could last not be folded.
	stuck time.Time
	// failing says that who wrote last was told that it can't be done now.
	failing atomic.Bool

	mu     sync.RWMutex // held for reading while sending on ops
	closed bool
	ended  chan struct{}
	err    error // of closing
}

// op is one call of DB.write.
type op struct {
	ctx context.Context
	fn  func(c *sqlite.Conn) error
	// single promises that fn changes something by one statement at most: SQLite
	// undoes a statement that fails, so it needs no savepoint.
	single bool
	// many says that fn changes much, and that more like it is to be expected:
	// to fold the log after each would write the same pages again and again.
	many bool
	// idle says that nobody waits for fn: it is work in the background.
	idle bool
	err  error
	done chan struct{}
}

const (
	// maxGroup bounds a transaction, and so the wait of the first in it.
	maxGroup = 512
	// Bytes of the log: from the first on it is folded into the file when
	// nothing waits, from the second on at once.
	walSoft = 4 << 20
	walHard = 64 << 20
	// foldPause is for how long that is not tried again once someone who reads
	// an old snapshot, as a backup does, kept it from being done: every try holds
	// up those who write.
	foldPause = time.Second
)

func startWriter(conn *sqlite.Conn, path string, o Options) *writer {
	w := &writer{path: path, busy: o.BusyTimeout, late: o.Bulk, narrow: writerCache[o.Schema], conn: conn, ops: make(chan *op, maxGroup), ended: make(chan struct{})}
	go w.run()
	return w
}

func (w *writer) do(ctx context.Context, o *op) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	o.ctx, o.done = ctx, make(chan struct{})
	if !o.many && !o.idle {
		w.hurried.Add(1)
		defer w.hurried.Add(-1)
	}
	w.mu.RLock()
	if w.closed {
		w.mu.RUnlock()
		return unavailable(errClosed)
	}
	select {
	case w.ops <- o:
		w.mu.RUnlock()
	case <-ctx.Done():
		w.mu.RUnlock()
		return ctx.Err()
	}
	<-o.done
	return o.err
}

// awaited reports, to the fn of an op that changes much, whether someone waits for
// the transaction to end.
func (w *writer) awaited() bool { return w.hurried.Load() > 0 }

func (w *writer) close() error {
	w.mu.Lock()
	if !w.closed {
		w.closed = true
		close(w.ops)
	}
	w.mu.Unlock()
	<-w.ended
	return w.err
}

func (w *writer) run() {
	defer close(w.ended)
	group := make([]*op, 0, maxGroup)
	for {
		first, ok := w.next()
		if !ok {
			break
		}
		// Those that are about to wait for a transaction do so now: a larger group
		// costs less each.
		runtime.Gosched()
		group = append(group[:0], first)
		group = w.gather(group)
		many := slices.ContainsFunc(group, func(o *op) bool { return o.many })
		if many {
			w.widen()
		}
		w.commit(group)
		w.checkpoint(len(w.ops) == 0 && !many)
	}
	if w.index != nil {
		_ = w.index.Close() // only read
	}
	if w.late {
		w.err = syncLog(w.path)
	}
	w.err = errors.Join(w.err,
		sqlitex.ExecuteTransient(w.conn, "PRAGMA wal_checkpoint(TRUNCATE)", nil),
		w.conn.Close(),
	)
}

// syncLog makes durable what is in the log of a file, whoever wrote it there.
func syncLog(path string) error {
	f, err := os.OpenFile(path+"-wal", os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil // it was folded, which syncs it
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// wideFor is for how long there is a wide cache after the last that wanted it.
const wideFor = 5 * time.Second

// widen makes room for what many links change in their indexes, in no order.
func (w *writer) widen() {
	if w.late { // it has it all the time
		return
	}
	if w.wide.IsZero() {
		_ = pragmas(w.conn, cacheSize(bulkCache)) // or it is slower
	}
	w.wide = time.Now().Add(wideFor)
}

// next waits for an op, and gives room back meanwhile that is not needed any
// longer.
func (w *writer) next() (o *op, ok bool) {
	if !w.wide.IsZero() {
		timer := time.NewTimer(time.Until(w.wide))
		defer timer.Stop()
		select {
		case o, ok = <-w.ops:
			return o, ok
		case <-timer.C:
			_ = pragmas(w.conn, cacheSize(w.narrow), "shrink_memory")
			w.wide = time.Time{}
		}
	}
	o, ok = <-w.ops
	return o, ok
}

func (w *writer) gather(group []*op) []*op {
	for len(group) < maxGroup {
		select {
		case o, ok := <-w.ops:
			if !ok {
				return group
			}
			group = append(group, o)
		default:
			return group
		}
	}
	return group
}

// commit runs a group in one transaction and tells each its outcome.
func (w *writer) commit(group []*op) {
	err := w.exec("BEGIN IMMEDIATE")
	if err == nil {
		for i := 0; i < len(group) && err == nil; i++ {
			err = w.apply(group[i], len(group) > 1)
		}
		if err == nil {
			err = w.exec("COMMIT")
		}
		if err != nil && !w.conn.AutocommitEnabled() {
			// The error that counts is the first one.
			_ = w.exec("ROLLBACK")
		}
	}
	for _, o := range group {
		if err != nil && o.err == nil {
			o.err = faulty(err)
		}
	}
	w.failing.Store(slices.ContainsFunc(group, func(o *op) bool { return fault.Is(o.err, fault.Unavailable) }))
	for _, o := range group {
		close(o.done)
	}
}

// apply runs one op; its own failure is kept in it and undone. The error
// returned is one that ends the whole transaction.
func (w *writer) apply(o *op, shared bool) error {
	if o.err = o.ctx.Err(); o.err != nil {
		return nil
	}
	if !shared {
		err := recovered(o.fn, w.conn)
		o.err = faulty(err)
		return err
	}
	if o.single {
		err := recovered(o.fn, w.conn)
		o.err = faulty(err)
		if err == nil || !w.conn.AutocommitEnabled() {
			return nil
		}
		return err // SQLite rolled the whole transaction back
	}
	if err := w.exec("SAVEPOINT op"); err != nil {
		return err
	}
	if err := recovered(o.fn, w.conn); err != nil {
		o.err = faulty(err)
		if w.conn.AutocommitEnabled() {
			return err // SQLite rolled the whole transaction back
		}
		if err := w.exec("ROLLBACK TO op"); err != nil {
			return err
		}
	}
	return w.exec("RELEASE op")
}

func (w *writer) exec(statement string) error {
	s, err := w.conn.Prepare(statement)
	if err != nil {
		return err
	}
	_, err = s.Step()
	return errors.Join(err, s.Reset())
}

// checkpoint folds the log into the file. It is done here, between
// transactions, since a log that is written without pause could never be begun
// anew from outside. Its failure loses nothing: the next one does its work.
func (w *writer) checkpoint(idle bool) {
	n := w.unfolded()
	if n < walSoft || !idle && n < walHard || time.Since(w.stuck) < foldPause {
		return
	}
	w.conn.SetBusyTimeout(50 * time.Millisecond)
	defer w.conn.SetBusyTimeout(w.busy)
	_ = w.exec("PRAGMA wal_checkpoint(RESTART)")
	if w.unfolded() >= walSoft {
		w.stuck = time.Now()
	}
}

// unfolded gives how many bytes of the log are not in the file yet, by the
// header of the log's index (https://sqlite.org/walformat.html, section 2.1).
// The log's own size does not tell: it is written anew from its beginning, and
// never gets smaller.
func (w *writer) unfolded() int64 {
	if w.index == nil {
		f, err := os.Open(w.path + "-shm")
		if err != nil {
			return 0 // nothing was written yet
		}
		w.index = f
	}
	var head [100]byte
	if _, err := w.index.ReadAt(head[:], 0); err != nil {
		return walHard // not known: fold, which is right at any time
	}
	order := binary.NativeEndian
	page := int64(order.Uint16(head[14:]))
	if page == 1 {
		page = 1 << 16
	}
	return int64(order.Uint32(head[16:])-order.Uint32(head[96:])) * page
}
