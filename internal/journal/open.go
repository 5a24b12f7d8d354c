package journal

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"kurz/internal/click"
)

const (
	idName      = "id"
	lockName    = "lock"
	reserveName = "reserve"
)

// Open opens the journal in the folder dir, which is made if it is not there.
// Only one process at a time can have it open. What a crash left is put in
// order: every intact record that was not released will be read. It fails
// where the folder can't be used or has segments of another version, but not because the disk is full and records
// are there: then it is open, and refuses records until there is space.
func Open(dir string, opts Options) (*Journal, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("opening journal %s: %w", dir, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening journal: %w", err)
	}
	// Nothing in it outlives a power cut unless its own entry does.
	if err := syncDir(filepath.Dir(dir)); err != nil && !errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("opening journal %s: %w", dir, err)
	}
	lock, err := lockFile(filepath.Join(dir, lockName))
	if errors.Is(err, errLocked) {
		return nil, fmt.Errorf("journal %s is in use by another process", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("locking journal %s: %w", dir, err)
	}
	j := &Journal{
		dir: dir, opts: opts, log: opts.Logger, lock: lock,
		appended: make(chan struct{}, 1), dirty: make(chan struct{}, 1),
		wanting: make(chan struct{}, 1), stop: make(chan struct{}),
	}
	j.made = sync.NewCond(&j.mu)
	j.durable.init()
	if err := j.restore(); err != nil {
		for _, s := range j.segments {
			err = errors.Join(err, s.close())
		}
		return nil, errors.Join(fmt.Errorf("opening journal %s: %w", dir, err), lock.Close())
	}
	j.durable.reach(j.next-1, nil)
	wake(j.wanting)
	wake(j.appended) // there may be something to read
	j.keepers.Go(j.makeSegments)
	j.keepers.Go(j.keepSynced)
	return j, nil
}

// restore takes stock of the folder and begins a new segment.
func (j *Journal) restore() error {
	old, err := listSegments(j.dir)
	if err != nil {
		return err
	}
	id, by, err := recognise(j.dir, old)
	if err != nil {
		return err
	}
	j.id, j.seed = id, seedOf(id)
	switch by {
	case unknown:
		err = j.identifyAnew()
	case bySegment:
		err = writeDurably(j.dir, idName, idText(id))
	}
	if err != nil {
		return err
	}
	var u used
	for i := range old {
		if old[i].foreign(id) {
			j.log.Error("a segment of another journal is left alone: move it to where it belongs", "file", old[i].path)
			continue
		}
		if u, err = j.adopt(&old[i], u); err != nil {
			return err
		}
	}
	if u.bound == 0 && by != unknown {
		// Sequences would begin again, and whoever counted them under this ID
		// would take the new ones for the old.
		if err := j.identifyAnew(); err != nil {
			return err
		}
	}
	for _, f := range old {
		j.number = max(j.number, f.number+1)
	}
	j.next = u.bound + 1
	if err := j.begin(); err != nil {
		return err
	}
	return j.removeEmpty()
}

// begin makes the first segment to append to.
func (j *Journal) begin() error {
	if _, err := os.Stat(filepath.Join(j.dir, reserveName)); err == nil {
		j.reserved = true
	}
	s, err := j.newSpare()
	if err != nil {
		if len(j.segments) == 0 || !noSpace(err) {
			return err
		}
		j.full = err
		j.log.Error("no space for the journal: clicks will be lost until there is some", "folder", j.dir, "error", err)
		return nil
	}
	if err := errors.Join(s.activate(j.next), s.sync(s.end)); err != nil {
		return errors.Join(err, s.remove())
	}
	j.active = s
	j.segments = append(j.segments, s)
	return nil
}

// removeEmpty drops the old segments without records, now that the new one
// keeps the sequence.
func (j *Journal) removeEmpty() error {
	if j.active == nil {
		return nil
	}
	var err error
	j.segments = slices.DeleteFunc(j.segments, func(s *segment) bool {
		empty := s != j.active && s.end <= headerSize
		if empty {
			err = errors.Join(err, s.remove())
		}
		return empty
	})
	return err
}

// found is a segment's file as it was found.
type found struct {
	number uint64
	path   string
	size   int64
	head   []byte
}

// listSegments looks at the segments of a folder, oldest first. It leaves none
// open: there may be more of them than files that a process may have open.
func listSegments(dir string) ([]found, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var list []found
	for _, e := range entries {
		number, ok := numberOf(e.Name())
		if !ok || e.IsDir() {
			continue
		}
		f := found{number: number, path: filepath.Join(dir, e.Name())}
		err = f.look()
		if errors.Is(err, fs.ErrNotExist) {
			continue // released since the folder was read
		}
		if err != nil {
			return nil, err
		}
		list = append(list, f)
	}
	slices.SortFunc(list, func(a, b found) int {
		if a.number < b.number {
			return -1
		}
		return 1
	})
	return list, nil
}

// look reads what a segment's file says of itself.
func (f *found) look() error {
	file, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	f.size = info.Size()
	f.head = make([]byte, headerSize)
	n, err := file.ReadAt(f.head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	f.head = f.head[:n]
	return f.known()
}

// known refuses a segment of another version: what it holds can't be told from
// damage, and would be lost.
func (f *found) known() error {
	if _, ok := logOf(f.head); !ok {
		return nil
	}
	if v := versionOf(f.head); v != version {
		return fmt.Errorf("%s has version %d of the journal's format, this program knows %d: use the kurz that wrote it", f.path, v, version)
	}
	return nil
}

// foreign reports whether a segment is of another journal.
func (f *found) foreign(id click.LogID) bool {
	owner, ok := logOf(f.head)
	return ok && owner != id
}

// recognise tells whose journal a folder holds: by its file, or, should that
// be damaged, by the newest segment that says so.
func recognise(dir string, old []found) (id click.LogID, by recognition, err error) {
	text, err := os.ReadFile(filepath.Join(dir, idName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return id, unknown, err
	}
	if b, err := hex.DecodeString(strings.TrimSpace(string(text))); err == nil && len(b) == len(id) {
		return click.LogID(b), byFile, nil
	}
	for _, f := range slices.Backward(old) {
		if id, ok := logOf(f.head); ok {
			return id, bySegment, nil
		}
	}
	return id, unknown, nil
}

// recognition says what a LogID is known by.
type recognition int

const (
	unknown recognition = iota
	byFile
	bySegment
)

func (j *Journal) identifyAnew() error {
	if _, err := io.ReadFull(j.opts.Rand, j.id[:]); err != nil {
		return err
	}
	j.seed = seedOf(j.id)
	return writeDurably(j.dir, idName, idText(j.id))
}

func idText(id click.LogID) []byte { return []byte(hex.EncodeToString(id[:]) + "\n") }

// used says which sequences the older segments have used: surely up to seen,
// at most up to bound; 0 if nothing tells.
type used struct{ seen, bound uint64 }

// adopt makes a segment of a file that was found, sealing it if a crash kept
// that from being done. It gives what is used with this one.
func (j *Journal) adopt(f *found, u used) (used, error) {
	h := parseHeader(f.head, j.id)
	s := &segment{number: f.number, path: f.path, size: f.size, seed: j.seed, first: h.first}
	j.segments = append(j.segments, s)
	if h.sealed {
		s.end, s.last = h.seal.end, h.seal.last
		return used{max(u.seen, h.seal.last), max(u.bound, h.seal.bound)}, nil
	}
	var err error
	if s.file, err = os.OpenFile(s.path, os.O_RDWR, 0); err != nil {
		return u, err
	}
	defer s.close() //nolint:errcheck // nothing of it is unsaved: what matters was synced
	if h.first == 0 {
		// Not above bound, which is more than the older segments used: the
		// records here would seem to come too early.
		s.first, s.adrift = u.seen+1, true
	}
	capacity := max(f.size, h.size)
	if !h.file {
		capacity = max(capacity, j.opts.SegmentSize)
	}
	sum := survey(s.file, j.seed, f.size, s.first, s.adrift)
	s.end, s.last = sum.end, sum.last
	// After the last intact record there may have been so many others.
	room := uint64(max(0, capacity-sum.anchor)) / recordHeader
	if sum.records == 0 && h.first == 0 { // made ahead and never written to, or beyond help
		if u.bound > 0 {
			u.bound += room
		}
		return u, nil
	}
	u = used{max(u.seen, sum.last), max(u.bound, sum.last+room)}
	s.first, s.adrift = sum.first, false
	if err := s.reseal(j.id, u.bound); err != nil {
		j.log.Warn("sealing a journal segment", "file", s.path, "error", err)
	}
	j.log.Info("the journal was not closed", "file", s.path, "records", sum.records, "damaged", sum.damaged)
	return u, nil
}

// reseal writes the header of a segment found unsealed and gives back the room
// after its records.
func (s *segment) reseal(id click.LogID, bound uint64) error {
	if _, err := s.file.WriteAt(filePart(id, s.number, s.size), fileAt); err != nil {
		return err
	}
	if err := s.activate(s.first); err != nil {
		return err
	}
	if err := s.seal(s.last, bound); err != nil {
		return err
	}
	if err := s.trim(); err != nil {
		return err
	}
	return syncData(s.file)
}

// surveyed is what a whole segment was found to hold.
type surveyed struct {
	first, last      uint64
	anchor, end      int64 // after the last intact record; after the last byte that is not 0
	records, damaged uint64
}

// survey reads a segment to its end, as scanner.reset says.
func survey(src io.ReaderAt, seed uint32, size int64, first uint64, adrift bool) surveyed {
	var s scanner
	s.reset(src, seed, size, first, adrift)
	sum := surveyed{first: first}
	for {
		seq, _, damaged, ok := s.next()
		sum.damaged += damaged
		if !ok {
			break
		}
		if sum.records++; sum.records == 1 && adrift {
			sum.first = seq
		}
	}
	sum.last, sum.anchor, sum.end = s.last, s.anchor, max(s.anchor, s.solid)
	return sum
}
