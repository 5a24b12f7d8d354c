package backend

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"kurz/internal/backup"
	"kurz/internal/click"
	"kurz/internal/config"
	"kurz/internal/journal"
	"kurz/internal/sqlite"
)

// The parts of a backup, but for the tables, which are FILE/TABLE. A row of
// journalPart is a sequence in 8 bytes and a record, the only row of a secret
// is its file.
const (
	journalPart = "journal"
	secretPart  = "secret/"
	// These count the single clicks that are in the statistics, and those that are
	// in the journal only.
	clicksPart  = clicksName + "/parts"
	waitingPart = clicksName + "/positions"
)

// secrets are the files that keep secrets which belong to the links. Not among
// them: visitor.key, since its keys are destroyed when their time is over and a
// backup is kept; server.key, which would tell what the hashes of addresses
// that it keyed stand for, and is of use for a day.
var secrets = []string{codeKeyName}

// databases are the files of a backup with tables, in the order in which their
// moments follow one another: no click is without its link.
var databases = []struct {
	name   string
	schema sqlite.Schema
}{{clicksName, sqlite.ForClicks}, {mainName, sqlite.Main}}

// Backup is what a backup was found, or made, to hold.
type Backup struct {
	backup.Manifest
	Parts   []backup.Sum
	Clicks  int64  // single ones, but for those
	Waiting int64  // that were in the journal only
	Damaged uint64 // records of the journal that could not be read

	log  click.LogID // of the journal
	runs []run       // what was written of it
}

// run is sequences without a gap.
type run struct{ first, last uint64 }

// Progress is told how much of all is done.
type Progress func(done, total int64)

// WriteBackup writes a backup of a data folder, beside its server or not. It
// has every link as it was at one moment, which lies behind the call, accounts
// and jobs as of the same, and every click that was answered before the call;
// and none but those up to that moment.
func WriteBackup(ctx context.Context, s *config.Settings, to io.Writer, m backup.Manifest, progress Progress) (Backup, error) {
	for _, f := range databases {
		if _, err := os.Stat(filepath.Join(s.Data, f.name)); err != nil {
			return Backup{}, fmt.Errorf("nothing to back up: %w", err)
		}
	}
	w, err := backup.NewWriter(to, m)
	if err != nil {
		return Backup{}, err
	}
	b := Backup{Manifest: m}
	// The journal comes first: what leaves it meanwhile is in the clicks then.
	if err := b.writeJournal(ctx, s, w); err != nil {
		return b, err
	}
	if err := b.writeDatabases(ctx, s, w, progress); err != nil {
		return b, err
	}
	for _, name := range secrets {
		if err := writeSecret(w, s.Data, name); err != nil {
			return b, err
		}
	}
	b.Parts, err = w.Close()
	return b, err
}

// writeJournal writes the records that are not in the statistics yet.
func (b *Backup) writeJournal(ctx context.Context, s *config.Settings, w *backup.Writer) error {
	folder := journalPath(s.Data)
	begun := false
	var row []byte
	var stored uint64
	begin := func(id click.LogID) (err error) {
		begun, b.log = true, id
		if stored, err = positionOf(ctx, s, id); err != nil {
			return err
		}
		// Whose sequences these are, for clicks that are in both.
		return w.Begin(backup.Part{Name: journalPart, Columns: []string{fmt.Sprintf("%x", id)}})
	}
	served, err := Served(s.Data)
	if err != nil {
		return err
	}
	report, err := journal.Walk(folder, journal.WalkOptions{
		Live: served, Begin: begin,
		Visit: func(r click.Record) error {
			if r.Sequence <= stored {
				return ctx.Err()
			}
			row = binary.LittleEndian.AppendUint64(row[:0], r.Sequence)
			b.wrote(r.Sequence)
			return w.Row(append(row, r.Data...))
		},
	})
	if errors.Is(err, fs.ErrNotExist) && !begun {
		err = begin(click.LogID{}) // there is none yet
	}
	if err != nil {
		return err
	}
	b.Damaged = report.Damaged
	return w.End()
}

// wrote notes that a record of the journal was written.
func (b *Backup) wrote(sequence uint64) {
	if n := len(b.runs); n > 0 && b.runs[n-1].last+1 == sequence {
		b.runs[n-1].last = sequence
		return
	}
	b.runs = append(b.runs, run{sequence, sequence})
}

// above tells how many of the records that were written are above a sequence.
func (b *Backup) above(stored uint64) (n int64) {
	for _, r := range b.runs {
		if r.last > stored {
			n += int64(r.last - max(r.first, stored+1) + 1)
		}
	}
	return n
}

func positionOf(ctx context.Context, s *config.Settings, id click.LogID) (uint64, error) {
	snapshot, err := sqlite.OpenSnapshot(ctx, filepath.Join(s.Data, clicksName), sqlite.ForClicks)
	if err != nil {
		return 0, err
	}
	position, err := snapshot.Position(id)
	return position, errors.Join(err, snapshot.Close())
}

// writeDatabases writes all tables, as they are at one moment.
func (b *Backup) writeDatabases(ctx context.Context, s *config.Settings, w *backup.Writer, progress Progress) (err error) {
	snapshots := make([]*sqlite.Snapshot, len(databases))
	tables := make([][]sqlite.Table, len(databases))
	defer func() {
		for _, snapshot := range snapshots {
			if snapshot != nil {
				err = errors.Join(err, snapshot.Close())
			}
		}
	}()
	for i, f := range databases {
		if snapshots[i], err = sqlite.OpenSnapshot(ctx, filepath.Join(s.Data, f.name), f.schema); err != nil {
			return err
		}
	}
	steps := &steps{tell: progress}
	for i := range databases {
		if tables[i], err = snapshots[i].Tables(); err != nil {
			return err
		}
		for _, t := range tables[i] {
			steps.total += t.Rows
		}
	}
	for i, f := range databases {
		for _, t := range tables[i] {
			p := backup.Part{Name: f.name + "/" + t.Name, Schema: snapshots[i].Schema(), Columns: t.Columns}
			if p.Count, err = b.count(snapshots[i], p.Name); err != nil {
				return err
			}
			b.note(p)
			if err := writeTable(w, snapshots[i], p, t, steps); err != nil {
				return fmt.Errorf("%s, table %s: %w", f.name, t.Name, err)
			}
		}
		// The sooner the less its log grows.
		err := snapshots[i].Close()
		if snapshots[i] = nil; err != nil {
			return err
		}
	}
	return nil
}

// count tells what a part that counts something stands for.
func (b *Backup) count(s *sqlite.Snapshot, name string) (int64, error) {
	switch name {
	case clicksPart:
		return s.Clicks()
	case waitingPart:
		stored, err := s.Position(b.log)
		return b.above(stored), err
	}
	return 0, nil
}

// note notes what a part says of itself.
func (b *Backup) note(p backup.Part) {
	switch p.Name {
	case clicksPart:
		b.Clicks = p.Count
	case waitingPart:
		b.Waiting = p.Count
	}
}

func writeTable(w *backup.Writer, from *sqlite.Snapshot, p backup.Part, t sqlite.Table, steps *steps) error {
	if err := w.Begin(p); err != nil {
		return err
	}
	rows := int64(0)
	err := from.Each(t, func(row []byte) error {
		rows++
		steps.step()
		return w.Row(row)
	})
	if err == nil && rows != t.Rows {
		err = fmt.Errorf("%d rows of %d were there to be read: the database is damaged", rows, t.Rows)
	}
	if err != nil {
		return err
	}
	return w.End()
}

func writeSecret(w *backup.Writer, dir, name string) error {
	data, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = w.Begin(backup.Part{Name: secretPart + name})
	}
	if err == nil {
		err = w.Row(data)
	}
	if err != nil {
		return err
	}
	return w.End()
}

// steps tells of progress, now and then.
type steps struct {
	done, total int64
	tell        Progress
}

func (s *steps) step() {
	if s.done++; s.tell != nil && s.done%4096 == 0 {
		s.tell(s.done, s.total)
	}
}

// SaveBackup writes a backup to a file, reads it again, and only then gives it
// its name, which no other file may have unless replace is true: whatever
// happens, that name is a whole backup's. progress is told of writing, then of
// reading.
func SaveBackup(ctx context.Context, s *config.Settings, path string, replace bool, m backup.Manifest, writing, reading Progress) (b Backup, size int64, err error) {
	if _, err := os.Lstat(path); err == nil && !replace {
		return b, 0, fmt.Errorf("%s is there already: name another file, or say --replace", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".partial-*") // for the owner alone
	if err != nil {
		return b, 0, err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // the error that counts is the first one
		}
	}()
	out := &syncing{f: f}
	b, err = WriteBackup(ctx, s, out, m, writing)
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return b, 0, errors.Join(err, f.Close())
	}
	err = verifySaved(ctx, f, b, out.size, reading)
	if err = errors.Join(err, f.Close()); err != nil {
		return b, 0, err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return b, 0, err
	}
	return b, out.size, syncDir(filepath.Dir(path))
}

func verifySaved(ctx context.Context, f *os.File, b Backup, size int64, progress Progress) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	read, err := VerifyBackup(ctx, f, size, progress)
	if err == nil && !slices.Equal(read.Parts, b.Parts) {
		err = errors.New("other rows were read than were written")
	}
	if err != nil {
		return fmt.Errorf("the backup was written and can't be read: %w", err)
	}
	return nil
}

// syncing brings what is written to the disk bit by bit: all at once would hold
// up what the server is to sync for a long time.
type syncing struct {
	f              *os.File
	size, unsynced int64
}

const syncEvery = 16 << 20

func (s *syncing) Write(p []byte) (int, error) {
	n, err := s.f.Write(p)
	s.size += int64(n)
	if s.unsynced += int64(n); err == nil && s.unsynced >= syncEvery {
		s.unsynced = 0
		err = s.f.Sync()
	}
	return n, err
}

// VerifyBackup reads all of a backup of so many bytes, 0 if that is not known,
// and tells what it holds; that it is not what was written is an error.
func VerifyBackup(ctx context.Context, r io.Reader, size int64, progress Progress) (Backup, error) {
	in := &counting{ctx: ctx, r: r, total: size, tell: progress}
	reader, err := backup.NewReader(in)
	if err != nil {
		return Backup{}, err
	}
	defer reader.Close()
	b := Backup{Manifest: reader.Manifest()}
	for {
		part, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return b, err
		}
		b.note(part)
		sum, err := reader.Rows(func([]byte) error { return nil })
		if err != nil {
			return b, err
		}
		b.Parts = append(b.Parts, sum)
	}
}

// counting is a reader that tells how much was read, and ends with ctx.
type counting struct {
	ctx         context.Context
	r           io.Reader
	done, total int64
	tell        Progress
}

func (c *counting) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.r.Read(p)
	if c.done += int64(n); c.tell != nil {
		c.tell(c.done, c.total)
	}
	return n, err
}

// NewManifest describes a backup that is about to be made.
func NewManifest(now time.Time, program string) backup.Manifest {
	return backup.Manifest{CreatedAt: now.UTC().Truncate(time.Millisecond), Program: program}
}
