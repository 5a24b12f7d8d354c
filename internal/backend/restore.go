package backend

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kurz/internal/backup"
	"kurz/internal/click"
	"kurz/internal/config"
	"kurz/internal/journal"
	"kurz/internal/sqlite"
)

// restoringName is a folder within the data folder, in which a restore works
// until all is right. No server begins while it is there.
const restoringName = "restoring"

// Restore makes a data folder of a backup of so many bytes, 0 if that is not
// known. The folder is not there yet, or is empty. What is there in the end is
// compared, row by row, with what the backup says; before that nothing of it
// can be served.
func Restore(ctx context.Context, r io.Reader, size int64, s *config.Settings, progress, comparing Progress) (b Backup, err error) {
	if err := emptyFolder(s.Data); err != nil {
		return b, err
	}
	if err := prepare(s.Data); err != nil {
		return b, err
	}
	lock, err := TakeLock(s.Data)
	if err != nil {
		return b, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	work := &restoring{ctx: ctx, dir: filepath.Join(s.Data, restoringName)}
	if err := os.Mkdir(work.dir, 0o700); err != nil {
		return b, err
	}
	b, err = work.run(&counting{ctx: ctx, r: r, total: size, tell: progress}, comparing)
	if err == nil {
		err = work.moveUp(s.Data)
	}
	if err != nil {
		// Nothing else is in the folder but the lock.
		_ = os.RemoveAll(work.dir)
		_ = os.Remove(filepath.Join(s.Data, lockName))
	}
	return b, err
}

// emptyFolder refuses a folder with anything in it but what every file system
// puts there.
func emptyFolder(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if e.Name() != "lost+found" {
			return fmt.Errorf("%s is not empty (%s is in it): name a new folder with --data", dir, e.Name())
		}
	}
	return nil
}

// restoring is one restore.
type restoring struct {
	ctx     context.Context
	dir     string
	made    map[string]*sqlite.Restoration // by file
	waiting *os.File                       // rows of the journal part, with their lengths
	log     click.LogID                    // whose they are
	tables  []restored
	files   []string // in dir, to be moved up
}

// restored is a table that was restored.
type restored struct {
	file, table string
	sum         backup.Sum
}

func (w *restoring) run(r io.Reader, comparing Progress) (b Backup, err error) {
	w.made = map[string]*sqlite.Restoration{}
	defer func() {
		for _, made := range w.made {
			_ = made.Close() // those that are finished are closed already
		}
	}()
	reader, err := backup.NewReader(r)
	if err != nil {
		return b, err
	}
	defer reader.Close()
	b.Manifest = reader.Manifest()
	for {
		part, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return b, err
		}
		b.note(part)
		sum, err := w.part(reader, part)
		if err != nil {
			return b, err
		}
		b.Parts = append(b.Parts, sum)
	}
	if err := w.finish(); err != nil {
		return b, err
	}
	return b, w.compare(comparing)
}

func (w *restoring) part(reader *backup.Reader, p backup.Part) (backup.Sum, error) {
	if name, ok := strings.CutPrefix(p.Name, secretPart); ok {
		return w.secret(reader, name)
	}
	if p.Name == journalPart {
		return w.journalRows(reader, p)
	}
	file, table, _ := strings.Cut(p.Name, "/")
	made, err := w.database(file, p.Schema)
	if err == nil {
		err = made.Begin(table, p.Columns)
	}
	if err != nil {
		return backup.Sum{}, fmt.Errorf("%s: %w", p.Name, err)
	}
	sum, err := reader.Rows(made.Row)
	w.tables = append(w.tables, restored{file, table, sum})
	return sum, err
}

func (w *restoring) database(file string, schema int) (*sqlite.Restoration, error) {
	if made := w.made[file]; made != nil {
		return made, nil
	}
	for _, f := range databases {
		if f.name != file {
			continue
		}
		made, err := sqlite.NewRestoration(w.ctx, filepath.Join(w.dir, file), f.schema, schema)
		if err != nil {
			return nil, err
		}
		w.made[file], w.files = made, append(w.files, file)
		return made, nil
	}
	return nil, errors.New("this program does not know what that is: use the newer kurz that made the backup")
}

func (w *restoring) secret(reader *backup.Reader, name string) (backup.Sum, error) {
	if !slices.Contains(secrets, name) {
		return backup.Sum{}, fmt.Errorf("secret %q: this program does not know what that is: use the newer kurz that made the backup", name)
	}
	w.files = append(w.files, name)
	return reader.Rows(func(row []byte) error { return writeSynced(filepath.Join(w.dir, name), row) })
}

func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// journalRows puts the clicks of the journal aside: which of them are in the
// statistics is known when these are there.
func (w *restoring) journalRows(reader *backup.Reader, p backup.Part) (backup.Sum, error) {
	if len(p.Columns) == 1 {
		id, err := hex.DecodeString(p.Columns[0])
		if err != nil || len(id) != len(w.log) {
			return backup.Sum{}, errors.New("the backup's journal has no name")
		}
		w.log = click.LogID(id)
	}
	var err error
	if w.waiting, err = os.Create(filepath.Join(w.dir, "waiting")); err != nil {
		return backup.Sum{}, err
	}
	out := bufio.NewWriter(w.waiting)
	sum, err := reader.Rows(func(row []byte) error {
		if len(row) < 8 {
			return errors.New("a click of the journal is cut off")
		}
		if _, err := out.Write(binary.AppendUvarint(nil, uint64(len(row)))); err != nil {
			return err
		}
		_, err := out.Write(row)
		return err
	})
	return sum, errors.Join(err, out.Flush())
}

func (w *restoring) finish() error {
	for _, f := range databases {
		made := w.made[f.name]
		if made == nil {
			return fmt.Errorf("the backup has no %s", f.name)
		}
		if err := made.Finish(); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return w.journal()
}

// journal makes a journal of the clicks that are in no statistics yet. It is a
// new one, with a name of its own: the old server may go on with the old one.
func (w *restoring) journal() error {
	if w.waiting == nil {
		return errors.New("the backup has no journal")
	}
	snapshot, err := sqlite.OpenSnapshot(w.ctx, filepath.Join(w.dir, clicksName), sqlite.ForClicks)
	if err != nil {
		return err
	}
	stored, err := snapshot.Position(w.log)
	if err := errors.Join(err, snapshot.Close()); err != nil {
		return err
	}
	folder := journalPath(w.dir)
	j, err := journal.Open(folder, journal.Options{Sync: time.Second, Reserve: true})
	if err != nil {
		return err
	}
	want := backup.NewSummer()
	err = w.eachWaiting(func(sequence uint64, record []byte) error {
		if sequence <= stored {
			return nil
		}
		want.Add(record)
		_, err := j.Append(record)
		return err
	})
	if err := errors.Join(err, j.Close()); err != nil {
		return err
	}
	w.files = append(w.files, journalName)
	got := backup.NewSummer()
	_, err = journal.Walk(folder, journal.WalkOptions{Visit: func(r click.Record) error { got.Add(r.Data); return nil }})
	if err == nil && got.Sum(journalPart) != want.Sum(journalPart) {
		err = errors.New("the journal has other clicks than the backup")
	}
	return err
}

func (w *restoring) eachWaiting(each func(sequence uint64, record []byte) error) error {
	defer w.waiting.Close()
	if _, err := w.waiting.Seek(0, io.SeekStart); err != nil {
		return err
	}
	in := bufio.NewReader(w.waiting)
	var row []byte
	for {
		n, err := binary.ReadUvarint(in)
		if errors.Is(err, io.EOF) {
			return os.Remove(w.waiting.Name())
		}
		if err != nil {
			return err
		}
		row = slices.Grow(row[:0], int(n))[:n]
		if _, err := io.ReadFull(in, row); err != nil {
			return err
		}
		if err := each(binary.LittleEndian.Uint64(row), row[8:]); err != nil {
			return err
		}
	}
}

// compare compares every row that is there now with those of the backup, and
// the files with themselves.
func (w *restoring) compare(progress Progress) error {
	steps := &steps{tell: progress}
	for _, t := range w.tables {
		steps.total += t.sum.Rows
	}
	for _, f := range databases {
		snapshot, err := sqlite.OpenSnapshot(w.ctx, filepath.Join(w.dir, f.name), f.schema)
		if err != nil {
			return err
		}
		err = w.compareFile(snapshot, f.name, steps)
		if err == nil {
			err = snapshot.Check()
		}
		if err := errors.Join(err, snapshot.Close()); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return nil
}

func (w *restoring) compareFile(snapshot *sqlite.Snapshot, file string, steps *steps) error {
	tables, err := snapshot.Tables()
	if err != nil {
		return err
	}
	for _, t := range tables {
		at := slices.IndexFunc(w.tables, func(r restored) bool { return r.file == file && r.table == t.Name })
		if at < 0 {
			return fmt.Errorf("table %s is not of the backup", t.Name)
		}
		got := backup.NewSummer()
		err := snapshot.Each(t, func(row []byte) error { got.Add(row); steps.step(); return nil })
		if err != nil {
			return err
		}
		if want := w.tables[at].sum; got.Sum(want.Part) != want {
			return fmt.Errorf("table %s has other rows than the backup", t.Name)
		}
	}
	return nil
}

// moveUp moves what is made into the data folder, the links last: without them
// nothing is served.
func (w *restoring) moveUp(dir string) error {
	slices.SortStableFunc(w.files, func(a, b string) int {
		switch mainName {
		case a:
			return 1
		case b:
			return -1
		}
		return 0
	})
	for _, name := range w.files {
		if err := os.Rename(filepath.Join(w.dir, name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	// Also what a look into the databases left beside them.
	if err := os.RemoveAll(w.dir); err != nil {
		return err
	}
	return errors.Join(syncDir(journalPath(dir)), syncDir(dir))
}

// refuseRestoring refuses a folder that a restore did not finish.
func refuseRestoring(dir string) error {
	if _, err := os.Lstat(filepath.Join(dir, restoringName)); err == nil {
		return fmt.Errorf("a restore into %s was not finished: empty the folder and restore again", dir)
	}
	return nil
}
