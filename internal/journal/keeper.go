package journal

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// makeSegments makes the next segment and the reserve ahead of time, until the
// journal is closed.
func (j *Journal) makeSegments() {
	for {
		var retry <-chan time.Time
		if !j.stock() {
			retry = time.After(j.opts.Retry)
		}
		select {
		case <-j.stop:
			return
		case <-j.wanting:
		case <-retry:
		}
	}
}

// stock makes what is missing of spare and reserve. It reports whether nothing
// is.
func (j *Journal) stock() bool {
	j.mu.Lock()
	need := j.spare == nil && !j.closed
	j.mu.Unlock()
	if need {
		s, err := j.newSpare()
		j.mu.Lock()
		j.supply(s, err)
		j.mu.Unlock()
		if err != nil {
			return false
		}
	}
	return j.keepReserve()
}

// supply takes note of how making a spare went. It is called with mu held.
func (j *Journal) supply(s *segment, err error) {
	switch {
	case err != nil && j.full == nil:
		j.log.Error("no other journal segment can be made: clicks will be lost when the present one is full",
			"folder", j.dir, "error", err)
	case err == nil && j.full != nil:
		j.log.Info("the journal can grow again", "folder", j.dir, "lost", j.lost.Load())
	}
	j.full = err
	switch {
	case s == nil:
	case j.closed:
		if err := s.remove(); err != nil {
			j.log.Warn("removing a spare journal segment", "file", s.path, "error", err)
		}
	default:
		j.spare = s
	}
	j.made.Broadcast()
}

// newSpare makes the next segment, of the reserve where the disk has no space.
func (j *Journal) newSpare() (*segment, error) {
	path := segmentPath(j.dir, j.number)
	f, plain, err := allocateFile(path, j.opts)
	if err != nil {
		if f, err = j.takeReserve(path, err); err != nil {
			return nil, err
		}
	}
	s, err := newSegment(f, j.dir, j.id, j.number, j.opts, plain)
	if err != nil {
		f.Close()
		os.Remove(path)
		return nil, err
	}
	j.number++
	return s, nil
}

// takeReserve makes the reserve the file of a segment; cause is why that was
// necessary, and is given back where there is no reserve.
func (j *Journal) takeReserve(path string, cause error) (*os.File, error) {
	reserve := filepath.Join(j.dir, reserveName)
	if info, err := os.Stat(reserve); err != nil || info.Size() != j.opts.SegmentSize {
		return nil, cause
	}
	if err := os.Rename(reserve, path); err != nil {
		return nil, cause
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	j.log.Error("no space for the journal: its reserve is in use now", "folder", j.dir, "error", cause)
	j.mu.Lock()
	j.reserved = false
	j.mu.Unlock()
	return f, nil
}

// keepReserve makes the reserve, if there should be one. It reports whether
// it is as it should be.
func (j *Journal) keepReserve() bool {
	path := filepath.Join(j.dir, reserveName)
	info, err := os.Stat(path)
	switch {
	case !j.opts.Reserve:
		if err == nil {
			os.Remove(path)
		}
		j.setReserved(false)
		return true
	case err == nil && info.Size() == j.opts.SegmentSize:
		j.setReserved(true)
		return true
	}
	f, plain, err := allocateFile(path+".new", j.opts)
	if err != nil {
		return false
	}
	f.Close()
	if plain { // it would hold no space
		os.Remove(path + ".new")
		return true
	}
	if err := os.Rename(path+".new", path); err != nil {
		return false
	}
	j.setReserved(true)
	return true
}

func (j *Journal) setReserved(is bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.reserved = is
}

// keepSynced makes what was appended durable, opts.Sync after it was, until the
// journal is closed.
func (j *Journal) keepSynced() {
	failing := false
	for {
		select {
		case <-j.stop:
			return
		case <-j.dirty:
		}
		if j.opts.Sync > 0 {
			select {
			case <-j.stop:
				return
			case <-time.After(j.opts.Sync):
			}
		}
		err := j.sync()
		if err != nil && !failing {
			j.log.Error("the journal can't be made safe against a power cut", "folder", j.dir, "error", err)
		}
		if failing = err != nil; failing && j.opts.Sync > 0 {
			wake(j.dirty)
		}
	}
}

// sync makes durable what was appended before it was called.
func (j *Journal) sync() error {
	j.syncing.Lock()
	defer j.syncing.Unlock()
	j.mu.Lock()
	retired, active, through := slices.Clone(j.retired), j.active, j.next-1
	var end int64
	if active != nil {
		end = active.end
	}
	j.mu.Unlock()
	err := syncRetired(retired)
	if err == nil {
		j.mu.Lock()
		j.retired = slices.Delete(j.retired, 0, len(retired))
		j.mu.Unlock()
		if active != nil {
			err = active.sync(end)
		}
	}
	j.durable.reach(through, err)
	return err
}

// syncRetired makes segments durable that nothing is appended to any more, and
// closes them.
func syncRetired(list []*segment) error {
	for _, s := range list {
		s.synced = 0 // the seal is at the beginning
		if err := s.sync(s.end); err != nil {
			return err
		}
		if err := s.close(); err != nil {
			return err
		}
	}
	return nil
}

// durability is up to where records are safe against a power cut.
type durability struct {
	mu      sync.Mutex
	changed *sync.Cond
	through uint64
	failed  uint64 // the last attempt, up to here, ended with err
	err     error
}

func (d *durability) init() { d.changed = sync.NewCond(&d.mu) }

// reach notes how an attempt up to a sequence ended; errClosed is the last.
func (d *durability) reach(through uint64, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil {
		d.through = max(d.through, through)
	} else {
		d.failed, d.err = max(d.failed, through), err
	}
	d.changed.Broadcast()
}

// await waits until seq is durable, or an attempt to make it so has failed.
func (d *durability) await(seq uint64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.through < seq {
		if d.failed >= seq || errors.Is(d.err, errClosed) {
			return d.err
		}
		d.changed.Wait()
	}
	return nil
}
