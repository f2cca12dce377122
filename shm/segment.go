package shm

import (
	"crypto/rand"
	"encoding"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/party"
	"github.com/seed-2e7ecdea/mp/internal/sys"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/internal/wait"
)

// A Segment is shared memory with a structure: a table of the attached processes, and a directory
// of typed objects.
//
// All methods may be called from several goroutines at once. After Close the methods of the segment
// and of its objects return ErrClosed. A call that is running when Close is called returns
// ErrClosed as well, unless it has had its effect already. The zero Segment is closed.
//
// A nil *Segment is the program's own segment, in all methods and wherever a function takes a
// segment. It is an anonymous segment of size 0 (see Anonymous). It is made when it is first used,
// and lasts until the process ends. A child's own segment is not its parent's. A child
// reaches the objects in its parent's own segment by their handles.
//
// A Segment can be an argument of a task, or part of any encoded value. It is encoded as its
// handle. The process that decodes it becomes attached.
type Segment struct {
	name string
	a    atomic.Pointer[attachment]
}

var (
	_ encoding.TextMarshaler     = (*Segment)(nil)
	_ encoding.TextUnmarshaler   = (*Segment)(nil)
	_ encoding.BinaryMarshaler   = (*Segment)(nil)
	_ encoding.BinaryUnmarshaler = (*Segment)(nil)
)

// Anonymous makes a segment without a name, with space for size bytes of objects. Its memory is
// freed when the last process attached to it closes it or ends, even if it is killed. Other
// processes attach to it by a handle. Anonymous fails with ErrSize if the size or an option is out
// of range, and with ErrNoSpace.
//
// If size is 0, the segment is as large as the address space allows: 1 TiB on 64-bit systems and
// 512 MiB on 32-bit ones. If the process may not map that much, Anonymous tries a half of it, then
// a quarter, and so on. Only addresses are reserved: memory is taken when an object is made.
func Anonymous(size int, o *Options) (*Segment, error) {
	s, err := anonymous(size, o)
	if err != nil {
		return nil, fmt.Errorf("shm: make anonymous segment: %w", err)
	}
	return s, nil
}

func anonymous(size int, o *Options) (*Segment, error) { return create("", "", size, o) }

// Create makes a named segment with space for size bytes of objects. It is a file in /dev/shm, mode
// 0600, and lasts until Unlink or Reap. The name appears when the segment is complete: if its maker
// is killed before that, nothing is left. Create fails with
//
//   - fs.ErrExist, if the name is taken,
//   - ErrName, if the name is invalid,
//   - ErrSize, if the size or an option is out of range,
//   - ErrNoSpace, if the system has no memory for it, or this process no addresses.
func Create(name string, size int, o *Options) (*Segment, error) {
	p, err := path(name)
	if err == nil {
		var s *Segment
		if s, err = create(name, p, size, o); err == nil {
			return s, nil
		}
	} else if name == "" {
		err = fmt.Errorf("%w; Anonymous makes a segment without a name", err)
	}
	return nil, fmt.Errorf("shm: create segment %.300q: %w", name, err)
}

// create makes a segment whose file has the path p, or an anonymous segment if p is empty.
func create(name, p string, size int, o *Options) (*Segment, error) {
	try := []int{size}
	if size == 0 && name == "" {
		try = autoSizes()
	}
	var err error
	for _, size := range try {
		var s shape
		if s, err = newShape(size, o); err == nil {
			var seg *Segment
			if seg, err = build(name, p, s, o); err == nil {
				return seg, nil
			}
		}
		if !sys.IsTooLarge(err) {
			break
		}
	}
	return nil, err
}

// autoSizes returns the sizes that Anonymous tries for size 0, the largest first.
func autoSizes() (sizes []int) {
	largest := uint64(1) << 40
	if math.MaxInt < largest {
		largest = 1 << 29
	}
	for n := largest - pageUnit; n > 1<<20; n /= 2 {
		sizes = append(sizes, int(n)/lineSize*lineSize)
	}
	return sizes
}

func newShape(size int, o *Options) (shape, error) {
	if p := o.parties(); p < 1 || p > maxParties {
		return shape{}, fmt.Errorf("%w: Options.Parties is %d, want 1 to %d", ErrSize, p, maxParties)
	}
	if n := o.objects(size); n < 1 || n > maxObjects {
		return shape{}, fmt.Errorf("%w: Options.Objects is %d, want 1 to %d", ErrSize, n, maxObjects)
	}
	if size <= 0 || size > maxSize-pageUnit {
		return shape{}, fmt.Errorf("%w: %d bytes, want 1 to %d", ErrSize, size, maxSize-pageUnit)
	}
	if err := o.wait().check(); err != nil {
		return shape{}, err
	}
	return shapeOf(o.parties(), o.objects(size), roundUp(size, lineSize)), nil
}

func newID() (id ID) {
	rand.Read(id[:])
	return id
}

// build makes the segment in a file without a name, and gives it the path p last, unless p is
// empty. If the process is killed before that, nothing is left.
func build(name, p string, s shape, o *Options) (*Segment, error) {
	id := newID()
	f, err := sized(p, memfdLabel(id), s.total, s.directory)
	if err != nil {
		return nil, err
	}
	if crash.Enabled {
		crash.At(crash.SegmentSized)
	}
	if _, err := f.WriteAt(newHeader(s, id), 0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if crash.Enabled {
		crash.At(crash.SegmentWritten)
	}
	seg, err := attachFile(f, name, s, id, o.wait())
	if err != nil {
		return nil, err
	}
	if p != "" {
		if err := link(f, p); err != nil {
			return nil, errors.Join(err, seg.Close())
		}
		if crash.Enabled {
			crash.At(crash.SegmentLinked)
		}
	}
	return seg, nil
}

// memfdLabel returns the label that the descriptors of an anonymous segment have in /proc.
func memfdLabel(id ID) string { return "mp-" + id.String() }

// attachFile maps f, a segment of that shape and id, and claims a line of the party table under f's
// locks. It owns f.
func attachFile(f *os.File, name string, s shape, id ID, policy WaitPolicy) (*Segment, error) {
	mem, err := mapMemory(f, s.total)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	a := newAttachment(mem, s, id, party.FileLocks{File: f}, policy)
	if err := a.attach(); err != nil {
		a.table.Close()
		return nil, errors.Join(err, mem.giveUp())
	}
	return newSegment(name, a), nil
}

func newSegment(name string, a *attachment) *Segment {
	seg := &Segment{name: name}
	seg.a.Store(a)
	register(seg, a)
	return seg
}

// Open attaches this process to the named segment. It follows no symbolic link. It ignores
// o.Parties and o.Objects: those of the segment's maker hold. It fails with
//
//   - fs.ErrNotExist, if there is no such name, or Reap removes it at that moment,
//   - ErrName, if the name is invalid,
//   - ErrForeign, if the file is not a segment,
//   - ErrVersion, if the segment was made by a version of mp that lays it out in another way,
//   - ErrTruncated or ErrCorrupt, if the file is damaged,
//   - ErrParties, if the segment has as many parties as it may have,
//   - ErrNoSpace, if this process has no addresses for it.
func Open(name string, o *Options) (*Segment, error) {
	p, err := path(name)
	if err == nil {
		var f *os.File
		if f, err = openPath(p); err == nil {
			var s *Segment
			if s, err = openFile(f, name, o.wait()); err == nil {
				return s, nil
			}
		}
	}
	return nil, fmt.Errorf("shm: open segment %.300q: %w", name, err)
}

// reapByte is the byte of a named segment's file whose record lock excludes Reap while processes
// attach. A process holds it shared while it attaches, and exclusively while it reaps. The byte
// lies before those of the parties.
const reapByte = int64(1)<<62 - 1

// openFile attaches to the segment in f, whose name may be reaped concurrently. It owns f.
func openFile(f *os.File, name string, policy WaitPolicy) (*Segment, error) {
	s, id, err := readHeader(f)
	if err == nil && name != "" {
		if _, err = sys.LockByte(f, reapByte, true, true); err == nil {
			defer sys.UnlockByte(f, reapByte)
			var links uint64
			if links, err = sys.Links(f); err == nil && links == 0 {
				err = because(fs.ErrNotExist, "its name has been removed")
			}
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return attachFile(f, name, s, id, policy)
}

func readHeader(f *os.File) (shape, ID, error) {
	info, err := f.Stat()
	if err != nil {
		return shape{}, ID{}, err
	}
	b := make([]byte, headerSize)
	n, err := f.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		return shape{}, ID{}, err
	}
	return parseHeader(b[:n], info.Size())
}

// heapObjects is the largest number of objects in a heap segment. The whole directory of a heap
// segment takes memory from the beginning.
const heapObjects = 1 << 12

// Heap makes a segment in ordinary memory, for tests in one process. The race detector sees the
// accesses to it, which it does not see in mapped memory.
//
// Close can't take the memory away from methods that are running. So a heap segment must be closed
// only while none of its methods and none of its objects' methods runs, and its objects must not be
// used afterwards: their methods return ErrClosed, but the other parties see their writes.
//
// Heap fails with ErrSize if the size is out of range.
func Heap(size int) (*Segment, error) {
	s, err := newShape(size, &Options{Objects: max(1, min(heapObjects, size/lineSize))})
	if err != nil {
		return nil, fmt.Errorf("shm: heap segment: %w", err)
	}
	id := newID()
	mem := &memory{bytes: view.Aligned(s.total, pageUnit)}
	copy(mem.bytes, newHeader(s, id))
	return attachHeap(mem, s, id, party.NewHeapLocks(), WaitAdaptive)
}

func attachHeap(mem *memory, s shape, id ID, locks *party.HeapLocks, policy WaitPolicy) (*Segment, error) {
	a := newAttachment(mem, s, id, locks, policy)
	if err := a.attach(); err != nil {
		return nil, fmt.Errorf("shm: heap segment: %w", err)
	}
	return newSegment("", a), nil
}

// attach attaches this process to s once more. The result is another party, with its own objects,
// as if it were in another process.
func (s *Segment) attach() (*Segment, error) {
	a, err := s.attached()
	if err != nil {
		return nil, s.fail("attach", err)
	}
	if a.mem.file == nil {
		return attachHeap(a.mem, a.shape, a.id, a.locks.(*party.HeapLocks).Other(), WaitPolicy(a.room.Policy()))
	}
	f, err := a.reopen()
	if err != nil {
		return nil, s.fail("attach", err)
	}
	// The lock of reapByte is not needed: the party a keeps the segment from being reaped. The name
	// may have been removed.
	seg, err := attachFile(f, s.Name(), a.shape, a.id, WaitPolicy(a.room.Policy()))
	if err != nil {
		return nil, s.fail("attach", err)
	}
	return seg, nil
}

// attached returns the attachment of s. It returns ErrClosed if s is closed.
func (s *Segment) attached() (*attachment, error) {
	if s == nil {
		var err error
		if s, err = own(); err != nil {
			return nil, err
		}
	}
	if a := s.a.Load(); a != nil && !a.room.Closed() {
		return a, nil
	}
	return nil, ErrClosed
}

// Name returns the segment's name, which is empty for an anonymous segment.
func (s *Segment) Name() string {
	if s == nil {
		return ""
	}
	return s.name
}

// ID returns the segment's identity. It fails with ErrClosed.
func (s *Segment) ID() (ID, error) {
	a, err := s.attached()
	if err != nil {
		return ID{}, s.fail("ID", err)
	}
	return a.id, nil
}

// Size returns the number of bytes that the segment has for objects. It fails with ErrClosed.
func (s *Segment) Size() (int, error) {
	a, err := s.attached()
	if err != nil {
		return 0, s.fail("Size", err)
	}
	return a.shape.total - a.shape.base, nil
}

// Parties returns the number of living attachments, including this one. It looks at each of them. A
// process that was killed a moment ago may still count. Parties fails with ErrClosed.
func (s *Segment) Parties() (int, error) {
	a, err := s.attached()
	if err != nil {
		return 0, s.fail("Parties", err)
	}
	a.table.Scan()
	n := 0
	for line := 1; line < a.shape.parties; line++ {
		if a.table.Alive(line) {
			n++
		}
	}
	if err := a.unlessClosed(nil); err != nil {
		return 0, s.fail("Parties", err)
	}
	return n, nil
}

// SetWait sets how this process's operations on the segment wait. It fails with ErrPolicy or
// ErrClosed.
func (s *Segment) SetWait(p WaitPolicy) error {
	if err := p.check(); err != nil {
		return s.fail("SetWait", err)
	}
	a, err := s.attached()
	if err != nil {
		return s.fail("SetWait", err)
	}
	a.room.SetPolicy(wait.Policy(p))
	return nil
}

// ObjectInfo describes an object of a segment.
type ObjectInfo struct {
	Name string // empty if the object has none
	Kind Kind
	Size int // bytes
}

// Objects returns an iterator over the objects that are in the segment. Objects that are made or
// removed during the iteration may be missed or seen. A closed segment has no objects.
func (s *Segment) Objects() iter.Seq[ObjectInfo] {
	return func(yield func(ObjectInfo) bool) {
		a, err := s.attached()
		if err != nil {
			return
		}
		for i := range a.used() {
			e := &a.entries[i]
			serial := e.serial.Load()
			if e.state.Load() != stateReady {
				continue
			}
			info := ObjectInfo{Name: e.objectName(), Kind: Kind(e.kind.Load()), Size: int(e.size.Load())}
			if e.ready(serial) && !yield(info) {
				return
			}
		}
	}
}

// Remove removes the object of that name from the directory, so that it can't be opened any more.
// Processes that have it open can go on using it. Its memory is freed when the last of them has
// closed it or ended. Remove fails with fs.ErrNotExist or ErrClosed.
func (s *Segment) Remove(name string) error {
	a, err := s.attached()
	if err == nil {
		err = a.remove(name)
	}
	if err != nil {
		return s.fail(fmt.Sprintf("Remove of object %.300q", name), err)
	}
	return nil
}

// Handle returns a handle of the whole segment. If the segment is closed, the handle is zero.
func (s *Segment) Handle() Handle {
	a, err := s.attached()
	if err != nil {
		return Handle{}
	}
	return a.handle(KindSegment)
}

// MarshalText implements encoding.TextMarshaler. It encodes the segment's handle. It fails with
// ErrClosed.
func (s *Segment) MarshalText() ([]byte, error) {
	a, err := s.attached()
	if err != nil {
		return nil, s.fail("MarshalText", err)
	}
	return a.handle(KindSegment).MarshalText()
}

// UnmarshalText implements encoding.TextUnmarshaler. It attaches this process to the segment whose
// handle text is. All Segments that a process decodes from one handle share one attachment, which
// ends when any of them is closed. UnmarshalText fails with ErrHandle, and as Reach does.
func (s *Segment) UnmarshalText(text []byte) error {
	var h Handle
	if err := h.UnmarshalText(text); err != nil {
		return fmt.Errorf("shm: open segment: %w", err)
	}
	found, err := Reach(h)
	if err != nil {
		return err
	}
	a, err := found.attached()
	if err != nil {
		return fmt.Errorf("shm: open segment: %w", orClosed(err, errSegmentClosed))
	}
	s.name = found.name
	s.a.Store(a)
	return nil
}

// MarshalBinary implements encoding.BinaryMarshaler. It returns what MarshalText does.
func (s *Segment) MarshalBinary() ([]byte, error) { return s.MarshalText() }

// UnmarshalBinary implements encoding.BinaryUnmarshaler. It does what UnmarshalText does.
func (s *Segment) UnmarshalBinary(data []byte) error { return s.UnmarshalText(data) }

// Close detaches this process from the segment:
//
//   - its blocked calls return ErrClosed,
//   - the other parties treat what its objects held as if this process had died,
//   - the shared memory is given up.
//
// A named segment keeps its name. Close may be called more than once. It waits for calls of this
// process that are making or removing an object. Close of the program's own segment does nothing,
// whether it is nil or a Segment that was decoded from its handle.
//
// Close returns an error if the kernel refuses to give up the memory, because it lacks descriptors
// and memory. The process is still attached then, and Close may be called again.
func (s *Segment) Close() error {
	if s == nil {
		return nil
	}
	a := s.a.Load()
	if a == nil || a.own {
		return nil
	}
	unregister(a)
	if err := a.close(); err != nil {
		return s.fail("Close", fmt.Errorf("the memory is still attached, Close may be called again: %w", err))
	}
	s.a.CompareAndSwap(a, nil)
	return nil
}

// drop detaches this process from the segment as a kill would, without announcing its death. It
// returns the ID of the party, and is for tests. The kernel does not see the death of a heap
// segment's party: another party must announce it.
func (s *Segment) drop() (uint32, error) {
	a := s.a.Swap(nil)
	if a == nil {
		return 0, ErrClosed
	}
	unregister(a)
	return uint32(a.table.Me()), a.dropDead()
}

// announce announces the death of the party that drop returned. If the party's lock is still held,
// it does nothing.
func (s *Segment) announce(dead uint32) error {
	a, err := s.attached()
	if err != nil {
		return err
	}
	a.table.Announce(party.ID(dead))
	return nil
}

// nameOf returns the name of a segment's file, or "" if it has none. The link in /proc does not
// show a name that the file was given after it was opened, as the maker's file was. nameOf looks
// for such a name in dir.
func nameOf(f *os.File) string {
	mine, err := f.Stat()
	if err != nil {
		return ""
	}
	if links, err := sys.Links(f); err != nil || links == 0 {
		return ""
	}
	is := func(name string) bool {
		info, err := os.Lstat(filepath.Join(dir, name))
		return err == nil && os.SameFile(info, mine)
	}
	p, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if name, ok := strings.CutPrefix(p, dir+"/"); ok && is(name) {
		return name
	}
	names, _ := os.ReadDir(dir)
	for _, n := range names {
		if is(n.Name()) {
			return n.Name()
		}
	}
	return ""
}
