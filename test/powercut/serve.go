//go:build linux

package powercut

import (
	"maps"
	"slices"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// session answers the kernel for the length of one mount.
type session struct {
	fuse.RawFileSystem // what is not supported
	disk               *Disk
	frozen, over       bool // guarded by disk.mu
}

// valid is how long the kernel may remember what it was told: nobody else
// changes anything.
const valid = time.Hour

// enter waits until the time runs, and finds a node. Unless it fails, leave
// has to follow.
func (s *session) enter(number uint64) (*node, fuse.Status) {
	s.disk.mu.Lock()
	for s.frozen && !s.over {
		s.disk.resumed.Wait()
	}
	if s.over {
		s.disk.mu.Unlock()
		return nil, fuse.EIO
	}
	n := s.disk.nodes[number]
	if n == nil {
		s.disk.mu.Unlock()
		return nil, fuse.Status(syscall.ESTALE)
	}
	return n, fuse.OK
}

func (s *session) leave() { s.disk.mu.Unlock() }

// String names the file system.
func (s *session) String() string { return "powercut" }

func (n *node) attributes(out *fuse.Attr) {
	*out = fuse.Attr{Ino: n.number, Mode: n.mode, Nlink: 1, Blksize: pageSize, Owner: fuse.Owner{Uid: n.uid, Gid: n.gid}}
	if n.folder() {
		out.Nlink = 2
	}
	out.Size = uint64(n.now.size)
	out.Blocks = uint64(n.now.size+511) / 512
	out.SetTimes(&n.changed, &n.changed, &n.changed)
}

func (n *node) entry(out *fuse.EntryOut) {
	out.NodeId, out.Generation = n.number, 1
	out.SetEntryTimeout(valid)
	out.SetAttrTimeout(valid)
	n.attributes(&out.Attr)
}

func (s *session) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	n, status := s.enter(h.NodeId)
	if !status.Ok() {
		return status
	}
	defer s.leave()
	child := n.entries[name]
	if child == nil {
		return fuse.ENOENT
	}
	child.entry(out)
	return fuse.OK
}

func (s *session) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	n, status := s.enter(in.NodeId)
	if !status.Ok() {
		return status
	}
	defer s.leave()
	out.SetTimeout(valid)
	n.attributes(&out.Attr)
	return fuse.OK
}

func (s *session) SetAttr(_ <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	n, status := s.enter(in.NodeId)
	if !status.Ok() {
		return status
	}
	defer s.leave()
	if size, ok := in.GetSize(); ok {
		if n.folder() {
			return fuse.Status(syscall.EISDIR)
		}
		n.resize(int64(size))
	}
	if mode, ok := in.GetMode(); ok {
		n.mode = n.mode&syscall.S_IFMT | mode
	}
	if uid, ok := in.GetUID(); ok {
		n.uid = uid
	}
	if gid, ok := in.GetGID(); ok {
		n.gid = gid
	}
	out.SetTimeout(valid)
	n.attributes(&out.Attr)
	return fuse.OK
}

// add puts a new node into a folder. It is called between enter and leave.
func (s *session) add(folder *node, h *fuse.InHeader, name string, mode uint32, out *fuse.EntryOut) fuse.Status {
	if folder.entries[name] != nil {
		return fuse.Status(syscall.EEXIST)
	}
	n := newNode(mode)
	n.uid, n.gid = h.Uid, h.Gid
	s.disk.number(n)
	folder.set(change{name: name, node: n})
	n.entry(out)
	return fuse.OK
}

func (s *session) Mkdir(_ <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	folder, status := s.enter(in.NodeId)
	if !status.Ok() {
		return status
	}
	defer s.leave()
	return s.add(folder, &in.InHeader, name, syscall.S_IFDIR|in.Mode&0o7777, out)
}

func (s *session) Create(_ <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	folder, status := s.enter(in.NodeId)
	if !status.Ok() {
		return status
	}
	defer s.leave()
	out.OpenFlags = fuse.FOPEN_KEEP_CACHE
	return s.add(folder, &in.InHeader, name, syscall.S_IFREG|in.Mode&0o7777, &out.EntryOut)
}

func (s *session) remove(h *fuse.InHeader, name string, folder bool) fuse.Status {
	n, status := s.enter(h.NodeId)
	if !status.Ok() {
		return status
	}
	defer s.leave()
	switch child := n.entries[name]; {
	case child == nil:
		return fuse.ENOENT
	case child.folder() != folder && folder:
		return fuse.Status(syscall.ENOTDIR)
	case child.folder() != folder:
		return fuse.Status(syscall.EISDIR)
	case len(child.entries) > 0:
		return fuse.Status(syscall.ENOTEMPTY)
	}
	n.set(change{name: name})
	return fuse.OK
}

func (s *session) Unlink(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return s.remove(h, name, false)
}

func (s *session) Rmdir(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return s.remove(h, name, true)
}

// renameNoReplace is RENAME_NOREPLACE of renameat2(2), the one flag supported.
const renameNoReplace = 1

func (s *session) Rename(_ <-chan struct{}, in *fuse.RenameIn, from, to string) fuse.Status {
	source, status := s.enter(in.NodeId)
	if !status.Ok() {
		return status
	}
	defer s.leave()
	target := s.disk.nodes[in.Newdir]
	if target == nil || in.Flags&^renameNoReplace != 0 {
		return fuse.EINVAL
	}
	moved, there := source.entries[from], target.entries[to]
	switch {
	case moved == nil:
		return fuse.ENOENT
	case moved == there:
		return fuse.OK
	case there != nil && in.Flags&renameNoReplace != 0:
		return fuse.Status(syscall.EEXIST)
	case there != nil && len(there.entries) > 0:
		return fuse.Status(syscall.ENOTEMPTY)
	}
	if source == target {
		source.set(change{name: from}, change{name: to, node: moved})
	} else { // a cut may then leave both names, or, torn, none
		target.set(change{name: to, node: moved})
		source.set(change{name: from})
	}
	return fuse.OK
}

func (s *session) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	n, status := s.enter(in.NodeId)
	if !status.Ok() {
		return status
	}
	defer s.leave()
	if in.Flags&syscall.O_TRUNC != 0 {
		n.resize(0)
	}
	out.OpenFlags = fuse.FOPEN_KEEP_CACHE
	return fuse.OK
}

func (s *session) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	n, status := s.enter(in.NodeId)
	if !status.Ok() {
		return nil, status
	}
	defer s.leave()
	return fuse.ReadResultData(buf[:n.read(buf, int64(in.Offset))]), fuse.OK
}

func (s *session) Write(_ <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	n, status := s.enter(in.NodeId)
	if !status.Ok() {
		return 0, status
	}
	defer s.leave()
	n.write(data, int64(in.Offset))
	return uint32(len(data)), fuse.OK
}

// The modes of fallocate(2) that are supported.
const (
	keepSize  = 1
	punchHole = 2
)

func (s *session) Fallocate(_ <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	n, status := s.enter(in.NodeId)
	if !status.Ok() {
		return status
	}
	defer s.leave()
	switch in.Mode {
	case 0:
		n.resize(max(n.now.size, int64(in.Offset+in.Length)))
	case keepSize:
	case keepSize | punchHole:
		n.punch(int64(in.Offset), int64(in.Length))
	default:
		return fuse.Status(syscall.EOPNOTSUPP)
	}
	return fuse.OK
}

func (s *session) Fsync(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	n, status := s.enter(in.NodeId)
	if !status.Ok() {
		return status
	}
	defer s.leave()
	n.sync()
	s.disk.counts.Syncs++
	return fuse.OK
}

func (s *session) FsyncDir(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	n, status := s.enter(in.NodeId)
	if !status.Ok() {
		return status
	}
	defer s.leave()
	n.sync()
	s.disk.counts.DirSyncs++
	return fuse.OK
}

// Flush is a close, which promises nothing.
func (s *session) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.OK }

func (s *session) OpenDir(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	n, status := s.enter(in.NodeId)
	if !status.Ok() {
		return status
	}
	defer s.leave()
	var list []fuse.DirEntry
	for _, name := range slices.Sorted(maps.Keys(n.entries)) {
		child := n.entries[name]
		list = append(list, fuse.DirEntry{Name: name, Ino: child.number, Mode: child.mode})
	}
	s.disk.last++ // a handle is a number of its own
	out.Fh = s.disk.last
	s.disk.listed[out.Fh] = list
	return fuse.OK
}

func (s *session) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	_, status := s.enter(in.NodeId)
	if !status.Ok() {
		return status
	}
	defer s.leave()
	list := s.disk.listed[in.Fh]
	for _, e := range list[min(in.Offset, uint64(len(list))):] {
		if !out.AddDirEntry(e) {
			break
		}
	}
	return fuse.OK
}

func (s *session) ReleaseDir(in *fuse.ReleaseIn) {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	delete(s.disk.listed, in.Fh)
}

func (s *session) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	const blocks = 64 << 30 / pageSize
	*out = fuse.StatfsOut{Blocks: blocks, Bfree: blocks, Bavail: blocks, Bsize: pageSize, Frsize: pageSize, NameLen: 255, Files: 1 << 20, Ffree: 1 << 20}
	return fuse.OK
}
