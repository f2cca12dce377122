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

// A Segment is shared memory with a structure: a table of the processes that
// are attached, and a directory of typed objects.
//
// Its methods may be called from several goroutines at once. After Close they
// return ErrClosed, and so do those of its objects; that is also so for calls
// that are under way, but for those that had their effect already.
//
// A nil *Segment is the program's own segment, in all methods and wherever a segment is
// asked for: an anonymous segment of size 0 (see Anonymous), made when it is first used. It
// lasts until the process ends. A child has one of its own; objects reach it by their handles.
//
// A Segment can be an argument of a task or stand in any encoded value: it
// travels as its handle, and the process that decodes it is attached.
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

// Anonymous makes a segment without a name, with space for size bytes of objects. It vanishes when
// the last process that has it closes it or ends, also by a kill. Other processes get it by a
// handle. It fails with ErrSize or ErrNoSpace.
//
// If size is 0, the segment is as large as the address space allows: 1 TiB on 64-bit systems and
// 512 MiB on 32-bit ones. If the process may not map that much, Anonymous tries a half of it, then
// a quarter, and so on. Only addresses are reserved: memory is taken when an object is made.
func Anonymous(size int, o *Options) (*Segment, error) { return create("", size, o) }

// Create makes a named segment with room for size bytes of objects in
// /dev/shm, mode 0600. The name appears when the segment is whole, whenever
// its maker is killed. It fails with fs.ErrExist, ErrName, ErrSize or
// ErrNoSpace. The segment stays until Unlink, or Reap.
func Create(name string, size int, o *Options) (*Segment, error) {
	if _, err := path(name); err != nil {
		return nil, err
	}
	return create(name, size, o)
}

func create(name string, size int, o *Options) (*Segment, error) {
	try := []int{size}
	if size == 0 && name == "" {
		try = autoSizes()
	}
	var err error
	for _, size := range try {
		var s shape
		if s, err = newShape(size, o); err == nil {
			var seg *Segment
			if seg, err = build(name, s, o); err == nil {
				return seg, nil
			}
		}
		if !sys.IsTooLarge(err) {
			break
		}
	}
	if name == "" {
		return nil, fmt.Errorf("shm: make anonymous segment: %w", err)
	}
	return nil, fmt.Errorf("shm: create segment %q: %w", name, err)
}

// autoSizes returns the sizes that a segment of size 0 tries to have, the largest
// first.
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
		return shape{}, fmt.Errorf("%w: %d parties", ErrSize, p)
	}
	if n := o.objects(size); n < 1 || n > maxObjects {
		return shape{}, fmt.Errorf("%w: %d objects", ErrSize, n)
	}
	if size <= 0 || size > maxSize-pageUnit {
		return shape{}, fmt.Errorf("%w: %d bytes", ErrSize, size)
	}
	return shapeOf(o.parties(), o.objects(size), roundUp(size, lineSize)), nil
}

func newID() (id ID) {
	rand.Read(id[:])
	return id
}

// build makes the segment in a file without a name, and names it last. Killed
// anywhere before that it leaves nothing.
func build(name string, s shape, o *Options) (*Segment, error) {
	p := ""
	if name != "" {
		p, _ = path(name)
	}
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
		if err := sys.LinkTemp(f, p); err != nil {
			return nil, errors.Join(err, seg.Close())
		}
		if crash.Enabled {
			crash.At(crash.SegmentLinked)
		}
	}
	return seg, nil
}

// memfdLabel is by what the descriptors of an anonymous segment are known in
// /proc.
func memfdLabel(id ID) string { return "mp-" + id.String() }

// attachFile maps f, which has a shape and id, and claims a line under f's
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

// Open attaches to the named segment. It fails with fs.ErrNotExist, ErrName,
// ErrForeign, ErrVersion, ErrTruncated, ErrCorrupt, or ErrParties if too many
// are attached. It follows no symbolic link.
func Open(name string, o *Options) (*Segment, error) {
	p, err := path(name)
	if err != nil {
		return nil, err
	}
	f, err := sys.OpenNoFollow(p)
	if err != nil {
		return nil, fmt.Errorf("shm: open segment: %w", err)
	}
	seg, err := openFile(f, name, o.wait())
	if err != nil {
		return nil, fmt.Errorf("shm: open segment %q: %w", name, err)
	}
	return seg, nil
}

// gate is the byte of a named segment's file whose lock an attaching process holds
// shared, and a reaping one alone. It lies before those of the parties.
const gate = int64(1)<<62 - 1

// openFile attaches to the segment in f, whose name may be about to be
// reaped. It owns f.
func openFile(f *os.File, name string, policy WaitPolicy) (*Segment, error) {
	s, id, err := readHeader(f)
	if err == nil && name != "" {
		if _, err = sys.LockByte(f, gate, true, true); err == nil {
			defer sys.UnlockByte(f, gate)
			var links uint64
			if links, err = sys.Links(f); err == nil && links == 0 {
				err = fs.ErrNotExist
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

// heapObjects is how many objects a heap segment may have: its directory is ordinary
// memory, all there from the beginning.
const heapObjects = 1 << 12

// Heap makes a segment on ordinary memory, for one process: the race detector
// sees what it can't see in mapped memory. Attach gives it more parties. Its
// memory can't be taken away from methods that are inside, so a party of it must
// be closed or dropped only when none of its methods runs, and its objects not be
// used afterwards: their methods say ErrClosed, but what they write is seen.
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

// Attach attaches once more to the segment: the result is a party of its own,
// with its own objects, as if it were in another process.
func (s *Segment) attach() (*Segment, error) {
	a, err := s.attached()
	if err != nil {
		return nil, err
	}
	if a.mem.file == nil {
		return attachHeap(a.mem, a.shape, a.id, a.locks.(*party.HeapLocks).Other(), WaitPolicy(a.room.Policy()))
	}
	f, err := a.reopen()
	if err != nil {
		return nil, fmt.Errorf("shm: attach: %w", err)
	}
	// This party keeps the segment from being reaped, and its name may be gone.
	seg, err := attachFile(f, s.name, a.shape, a.id, WaitPolicy(a.room.Policy()))
	if err != nil {
		return nil, fmt.Errorf("shm: attach: %w", err)
	}
	return seg, nil
}

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

// Name returns the segment's name, empty for an anonymous one.
func (s *Segment) Name() string { return s.name }

// ID returns the segment's identity, or ErrClosed.
func (s *Segment) ID() (ID, error) {
	a, err := s.attached()
	if err != nil {
		return ID{}, err
	}
	return a.id, nil
}

// Size returns the room for objects in bytes, or ErrClosed.
func (s *Segment) Size() (int, error) {
	a, err := s.attached()
	if err != nil {
		return 0, err
	}
	return a.shape.total - a.shape.base, nil
}

// Parties returns how many attachments are alive, this one among them, or
// ErrClosed. It looks at all of them; a process killed less than a moment ago
// may still count.
func (s *Segment) Parties() (int, error) {
	a, err := s.attached()
	if err != nil {
		return 0, err
	}
	a.table.Scan()
	n := 0
	for line := 1; line < a.shape.parties; line++ {
		if a.table.Alive(line) {
			n++
		}
	}
	if err := a.unlessClosed(nil); err != nil {
		return 0, err
	}
	return n, nil
}

// SetWait sets how this process's operations on the segment wait.
func (s *Segment) SetWait(p WaitPolicy) error {
	a, err := s.attached()
	if err != nil {
		return err
	}
	a.room.SetPolicy(wait.Policy(p))
	return nil
}

// ObjectInfo describes an object of a segment.
type ObjectInfo struct {
	Name string // empty: it has none
	Kind Kind
	Size int // bytes
}

// Objects returns the objects that the segment has now. A closed segment has
// none.
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

// Remove takes the object's name away: it can't be opened any more. Processes that have
// it open go on using it. Its memory is free when none has. Remove fails
// with fs.ErrNotExist or ErrClosed.
func (s *Segment) Remove(name string) error {
	a, err := s.attached()
	if err != nil {
		return err
	}
	if err := a.remove(name); err != nil {
		return fmt.Errorf("shm: remove %q: %w", name, err)
	}
	return nil
}

// Handle returns a handle of the whole segment. That of a closed segment is
// zero.
func (s *Segment) Handle() Handle {
	a, err := s.attached()
	if err != nil {
		return Handle{}
	}
	return a.handle(KindSegment)
}

// MarshalText encodes the segment's handle.
func (s *Segment) MarshalText() ([]byte, error) { return s.Handle().MarshalText() }

// UnmarshalText attaches to the segment of an encoded handle. Several
// segments decoded from one handle in a process are one attachment.
func (s *Segment) UnmarshalText(text []byte) error {
	var h Handle
	if err := h.UnmarshalText(text); err != nil {
		return err
	}
	found, err := Reach(h)
	if err != nil {
		return err
	}
	a, err := found.attached()
	if err != nil {
		return err
	}
	s.name = found.name
	s.a.Store(a)
	return nil
}

// MarshalBinary is MarshalText.
func (s *Segment) MarshalBinary() ([]byte, error) { return s.MarshalText() }

// UnmarshalBinary is UnmarshalText.
func (s *Segment) UnmarshalBinary(data []byte) error { return s.UnmarshalText(data) }

// Close detaches this process: its waiters return ErrClosed, what its objects
// held counts as if it had died, and the shared memory is given up. The
// segment of a name stays. Close may be called more than once. It waits for
// calls of this process that are just making or removing an object. Close of the program's
// own segment does nothing, be it nil or a Segment that was decoded from its handle.
//
// If the kernel refuses to give the memory up, for want of descriptors and of memory, Close
// returns its error: the process is attached still, and Close may be called again.
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
		return fmt.Errorf("shm: close segment %q: the memory is still attached: %w", s.name, err)
	}
	s.a.CompareAndSwap(a, nil)
	return nil
}

// Drop leaves the segment as a killed process leaves it, telling nobody: it
// is for tests of what others do then. On a heap segment, where there is no
// kernel to see it, another party has to Announce it.
func (s *Segment) drop() (uint32, error) {
	a := s.a.Swap(nil)
	if a == nil {
		return 0, ErrClosed
	}
	unregister(a)
	return uint32(a.table.Me()), a.dropDead()
}

// Announce tells everyone that the party that Drop returned is dead. What the
// kernel does not confirm it ignores.
func (s *Segment) announce(dead uint32) error {
	a, err := s.attached()
	if err != nil {
		return err
	}
	a.table.Announce(party.ID(dead))
	return nil
}

// nameOf returns the name of a segment's file, empty if it has none. The
// system does not tell the name that a file got after it was opened, as the
// maker's did: that is looked for.
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
