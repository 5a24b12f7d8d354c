//go:build linux

// Package powercut is a file system whose power can be cut. It keeps two
// images of everything: the one that programs see, and the one that a power cut
// leaves, which has of a file what was there at its last fsync, fdatasync or
// msync, and of a folder the entries that it had at its last fsync. That is all
// that POSIX promises, and less than most file systems do.
//
// It is served through FUSE, so that programs of any kind can be put on it,
// with shared mappings, locks and preallocation; that takes root. A cut stops
// the time of the file system: from then on nothing becomes durable and no
// operation is answered. The programs on it are killed in that moment, and what
// is mounted next has what was durable. With a Tear, a cut also keeps some of
// what was not synced, in sectors, as disks do that were just writing.
//
// Start reading at Disk, then file.go, serve.go.
package powercut

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// Disk is what is stored. Its methods are safe for concurrent use, but Mount
// and those that end a mount, which are for one goroutine.
type Disk struct {
	mu      sync.Mutex
	resumed *sync.Cond // the time goes on, or the session is over
	root    *node
	nodes   map[uint64]*node // of the present mount, by number
	last    uint64           // number given
	listed  map[uint64][]fuse.DirEntry
	counts  Counts

	// session is the present mount; one of before is over for ever.
	session *session
	server  *fuse.Server
	dir     string
}

// Counts tell what a Disk was asked for, so that a proof can show that it
// proved something.
type Counts struct {
	Syncs    int // of files
	DirSyncs int
	Cuts     int
	Dropped  int // pages that a cut took
	Undone   int // changes of folders that a cut took
	Torn     int // sectors that were not synced and that a cut kept
}

// New makes an empty disk.
func New() *Disk {
	d := &Disk{root: newNode(syscall.S_IFDIR | 0o755), listed: map[uint64][]fuse.DirEntry{}}
	d.resumed = sync.NewCond(&d.mu)
	return d
}

// Mount serves the disk at a folder until Cut or Unmount.
func (d *Disk) Mount(dir string) error {
	d.mu.Lock()
	d.nodes, d.last = map[uint64]*node{}, 0
	d.number(d.root)
	d.session = &session{RawFileSystem: fuse.NewDefaultRawFileSystem(), disk: d}
	session := d.session
	d.mu.Unlock()
	server, err := fuse.NewServer(session, dir, &fuse.MountOptions{
		FsName: "powercut", Name: "powercut", DirectMountStrict: true, AllowOther: true,
		MaxWrite: 1 << 20, DisableXAttrs: true, DisableReadDirPlus: true,
		ExplicitDataCacheControl: true, // nothing changes behind the kernel's back
	})
	if err != nil {
		return fmt.Errorf("mounting at %s: %w", dir, err)
	}
	go server.Serve()
	d.server, d.dir = server, dir
	if err := server.WaitMount(); err != nil {
		return errors.Join(err, server.Unmount())
	}
	return nil
}

// number gives a node, and what is below it, numbers of this mount. It is
// called with mu held.
func (d *Disk) number(n *node) {
	d.last++
	n.number = d.last
	d.nodes[n.number] = n
	for _, name := range slices.Sorted(maps.Keys(n.entries)) {
		if child := n.entries[name]; d.nodes[child.number] != child {
			d.number(child)
		}
	}
}

// Freeze stops the time, and says when: what was answered before is as it was
// answered, everything else waits.
func (d *Disk) Freeze() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.session.frozen = true
	return time.Now()
}

// Off fails, after Freeze, everything that waits and is still to come, so that
// programs which were killed can end.
func (d *Disk) Off() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.session.frozen, d.session.over = true, true
	d.resumed.Broadcast()
}

// Tear says what a cut keeps of what was not synced. The zero Tear keeps
// nothing.
type Tear struct {
	// Random decides; nil keeps nothing.
	Random *rand.Rand
	// Sector is what is written in one go, 512 or 4096 bytes.
	Sector int
}

// Cut ends the mount and forgets what was not durable, but for what tear keeps.
// All programs on it have ended.
func (d *Disk) Cut(tear Tear) error {
	d.Off()
	if err := d.end(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counts.Cuts++
	d.root.cut(tear, &d.counts, map[*node]bool{})
	return nil
}

// Unmount ends the mount in order: nothing is lost.
func (d *Disk) Unmount() error { return d.end() }

func (d *Disk) end() error {
	if d.server == nil {
		return nil
	}
	if err := d.server.Unmount(); err != nil {
		return fmt.Errorf("unmounting %s: %w", d.dir, err)
	}
	d.server = nil
	return nil
}

// Counts gives what happened so far.
func (d *Disk) Counts() Counts {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.counts
}

// Safe gives a time from which on, and no sooner, the bytes that a program
// wrote into one of the files that match may be missing after a cut, given that
// the program syncs the file again and again, each time all that was written
// before: the end of the last sync but one of this mount. It is zero where
// there were less than two. A path has no slash at its beginning.
func (d *Disk) Safe(match func(path string) bool) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	var safe time.Time
	d.root.walk("", func(path string, n *node) {
		if match(path) && n.synced[1].After(safe) {
			safe = n.synced[1]
		}
	})
	return safe
}

func (n *node) walk(at string, visit func(string, *node)) {
	for name, child := range n.entries {
		below := path.Join(at, name)
		visit(below, child)
		child.walk(below, visit)
	}
}

// Under gives a match for Safe: files of a folder with this ending.
func Under(folder, ending string) func(string) bool {
	return func(p string) bool { return path.Dir(p) == folder && strings.HasSuffix(p, ending) }
}
