package shm

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"sync/atomic"
	"time"
	"weak"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/party"
	"github.com/seed-2e7ecdea/mp/internal/wait"
)

// A spec describes an object to be made.
type spec struct {
	Kind        Kind
	Name        string // at most MaxObjectName bytes; if empty, only a handle leads to the object
	Size        int    // bytes
	Reserved    int    // the bytes, from the first on, that get memory; 0: all
	Fingerprint uint64 // of the type that the object holds
	// Init fills the memory, which is zero. The object does not exist before Init has returned nil,
	// whichever process is killed. Init runs under the directory's lock, and must not use the
	// segment in any other way.
	Init func(mem []byte) error
}

// An object is this process's use of an object of a segment. The packages that define kinds of
// objects are built on it.
//
// The memory belongs to the object until Close, and is given to no other object while the garbage
// collector can reach the Go object. So a method that accesses the memory keeps the Go object alive
// until the access is done (runtime.KeepAlive). Afterwards it checks whether the memory was given
// up meanwhile, by Room().Closed() or the flag that it has given to AtClose.
type object struct {
	a      *attachment
	hold   hold
	serial uint32
	kind   Kind
	mem    []byte
	use    *use
}

// newObject makes an object. It fails with fs.ErrExist if the name is taken, with ErrName, ErrSize,
// ErrNoSpace or ErrClosed, or with the error that Init returns.
//
// newObject acquires the directory's lock, so it may block while other processes make or remove
// objects.
func (s *Segment) newObject(spec spec) (*object, error) {
	a, err := s.attached()
	if err == nil {
		var o *object
		if o, err = a.make(spec); err == nil {
			return o, nil
		}
	}
	return nil, fmt.Errorf("shm: new %s: %w", named(spec.Kind, spec.Name), orClosed(err, errSegmentClosed))
}

func (a *attachment) make(spec spec) (*object, error) {
	if len(spec.Name) > MaxObjectName {
		return nil, fmt.Errorf("%w: it has %d bytes, want %d at most", ErrName, len(spec.Name), MaxObjectName)
	}
	if err := checkSize(spec.Size); err != nil {
		return nil, err
	}
	o, err := a.tryMake(spec)
	if errors.Is(err, ErrNoSpace) && a.table.Scan() { // a death that Scan has found may free space
		o, err = a.tryMake(spec)
	}
	for range collections {
		if !errors.Is(err, ErrNoSpace) || errors.Is(err, errBusy) || !a.holdsRemoved() {
			break
		}
		runtime.GC() // for objects that were dropped without Close
		a.awaitCollected(collectionWait)
		o, err = a.tryMake(spec)
	}
	pause := time.Millisecond
	for end := time.Now().Add(recycleWait); errors.Is(err, errBusy); o, err = a.tryMake(spec) {
		id, pid := a.awaitQuiet(pause)
		if id != 0 && time.Now().After(end) {
			return nil, fmt.Errorf("%w: process %d (party %d) has not returned from them for %v", err, pid, id, recycleWait)
		}
		pause = min(2*pause, 20*time.Millisecond)
	}
	return o, err
}

// tryMake makes an object if there is space for it now. If the process is killed after step 1 and
// before step 6, the entry is MAKING, and the next sweep frees it.
func (a *attachment) tryMake(spec spec) (o *object, err error) {
	if err := a.lockDirectory(); err != nil {
		return nil, err
	}
	defer a.unlockDirectory()
	if i, _ := a.find(spec.Name); i >= 0 {
		return nil, errObjectExists
	}
	off, err := a.alloc(spec.Size)
	if err != nil {
		return nil, err
	}
	i, err := a.freeEntry()
	if err != nil {
		return nil, err
	}

	// 1. The entry describes the object. MAKING means that the object does not exist yet.
	e := &a.entries[i]
	e.describe(spec, off)
	e.state.Store(stateMaking)
	if crash.Enabled {
		crash.At(crash.ObjectClaimed)
	}
	defer func() {
		if e.state.Load() == stateMaking { // an error, or Init panics
			a.free(i)
			a.takeBack(off, spec.Size)
		}
	}()
	// 2. The cursor moves past the object's range.
	a.advance(off, spec.Size)
	if crash.Enabled {
		crash.At(crash.ObjectAllocated)
	}
	// 3. The range has memory, which is zero.
	if err := a.fill(off, spec.Size, cmp.Or(spec.Reserved, spec.Size)); err != nil {
		return nil, err
	}
	if crash.Enabled {
		crash.At(crash.ObjectReserved)
	}
	// 4. Init fills the memory.
	mem := a.mem.bytes[off : off+spec.Size : off+spec.Size]
	if spec.Init != nil {
		if err := spec.Init(mem); err != nil {
			return nil, err
		}
	}
	if crash.Enabled {
		crash.At(crash.ObjectFilled)
	}
	// 5. The index gets the name.
	if err := a.addName(i, spec.Name); err != nil {
		return nil, err
	}
	if crash.Enabled {
		crash.At(crash.ObjectIndexed)
	}
	// 6. This process holds the object, and then the object exists.
	o = a.object(i, e.serial.Load(), spec.Kind, mem)
	e.state.Store(stateReady)
	if crash.Enabled {
		crash.At(crash.ObjectReady)
	}
	if a.room.Closed() {
		return nil, ErrClosed
	}
	return o, nil
}

// describe writes the description of a new object to the entry. It changes the serial number first,
// so that a process that still looks for the entry's former object does not find the new one.
func (e *entry) describe(spec spec, off int) {
	e.serial.Add(1)
	for role := range e.holds {
		for i := range e.holds[role] {
			set(&e.holds[role][i], 0)
		}
	}
	e.kind.Store(uint32(spec.Kind))
	e.print.Store(spec.Fingerprint)
	e.offset.Store(uint64(off))
	e.size.Store(uint64(spec.Size))
	e.setName(spec.Name)
	e.counts.Reset()
}

// object returns a new use of the object in entry i, and sets this party's hold.
func (a *attachment) object(i int, serial uint32, kind Kind, mem []byte) *object {
	h := hold{entry: i}
	u := &use{a: a, hold: h, serial: serial, number: a.uses.Add(1)}
	o := &object{a: a, hold: h, serial: serial, kind: kind, mem: mem, use: u}
	a.take(h)
	runtime.AddCleanup(o, (*use).collected, u)
	return o
}

// A use is the part of an object that the garbage collector does not collect with it. It ends the
// hold when the object is closed. When the object has been collected, so that no method can be
// running on its memory, it lets the memory be used again.
type use struct {
	a          *attachment
	hold       hold
	serial     uint32
	number     uint64 // of this use among the attachment's
	closed     bool   // guarded by a.mu
	generation uint32 // of its Close
}

// close drops the hold. If the object is removed and this was the last hold on it, close frees it.
func (u *use) close() {
	a := u.a
	a.mu.Lock()
	if u.closed || a.room.Closed() {
		a.mu.Unlock()
		return
	}
	u.closed = true
	u.generation = a.closing() // before the hold is dropped [CLOSING]
	last := a.giveLocked(u.hold)
	a.mu.Unlock()
	if last {
		a.reap(u.hold.entry)
	}
}

// collected ends the use when the garbage collector has found the object unreachable. If the object
// was not closed, collected drops its hold.
func (u *use) collected() {
	a := u.a
	a.mu.Lock()
	delete(a.flags, u.number)
	last := false
	if u.closed {
		a.collected(u.generation)
	} else if !a.room.Closed() {
		last = a.giveLocked(u.hold)
	}
	a.mu.Unlock()
	if !last || !a.unwanted(&a.entries[u.hold.entry]) {
		tellReleased()
		return
	}
	go func() { // reap may block on the directory's lock
		a.reap(u.hold.entry)
		tellReleased()
	}()
}

// openObject opens the object of that name. It fails with fs.ErrNotExist, with ErrMismatch if the
// object has another kind or fingerprint, with ErrCorrupt, or with ErrClosed.
func (s *Segment) openObject(kind Kind, name string, fingerprint uint64) (*object, error) {
	a, err := s.attached()
	if err == nil {
		err = errNoSuchObject
		if i, serial := a.find(name); i >= 0 {
			var o *object
			if o, err = a.open(i, serial, kind, fingerprint); err == nil {
				return o, nil
			}
		}
		err = a.unlessClosed(err)
	}
	return nil, fmt.Errorf("shm: open %s: %w", named(kind, name), orClosed(err, errSegmentClosed))
}

var (
	errObjectExists = because(fs.ErrExist,
		"the segment has an object of that name already: open it, remove it with Segment.Remove, or take another name")
	errNoSuchObject  = because(fs.ErrNotExist, "the segment has no object of that name")
	errObjectRemoved = because(fs.ErrNotExist, "the object has been removed")
)

// openHandle opens the object that h names. If this process is not attached to its segment,
// openHandle attaches it. It fails as openObject and Reach do.
func openHandle(h Handle, kind Kind, fingerprint uint64) (*object, error) {
	s, err := reach(h)
	if err == nil {
		var a *attachment
		if a, err = s.attached(); err == nil {
			return a.openHandle(h, kind, fingerprint)
		}
	}
	return nil, openHandleFailed(h, kind, err)
}

func openHandleFailed(h Handle, kind Kind, err error) error {
	return fmt.Errorf("shm: open %v %v: %w", kind, h, orClosed(err, errSegmentClosed))
}

// Sibling opens the object that h names, which lies in the segment of o, as the party that uses o.
// It fails as openHandle does, and with ErrMismatch if h names an object of another segment.
func (o *object) Sibling(h Handle, kind Kind, fingerprint uint64) (*object, error) {
	return o.a.openHandle(h, kind, fingerprint)
}

func (a *attachment) openHandle(h Handle, kind Kind, fingerprint uint64) (*object, error) {
	var err error
	switch {
	case h.Segment != a.id:
		err = fmt.Errorf("%w: the handle is of an object in another segment", ErrMismatch)
	case h.Kind != kind:
		err = fmt.Errorf("%w: the handle is of kind %v: open it as that", ErrMismatch, h.Kind)
	case h.Entry >= uint32(a.used()):
		err = errObjectRemoved
	default:
		var o *object
		if o, err = a.open(int(h.Entry), h.Serial, kind, fingerprint); err == nil {
			return o, nil
		}
	}
	return nil, openHandleFailed(h, kind, a.unlessClosed(err))
}

// unlessClosed returns the result of a method that has read the segment. It is ErrClosed if the
// segment is closed, because the memory may have been given up before the method read it. Otherwise
// it is err.
func (a *attachment) unlessClosed(err error) error {
	if a.room.Closed() {
		return ErrClosed
	}
	return err
}

// open opens the object in entry i, if it still has that serial number. open sets this party's hold
// before its last load of the state. A remover stores the state before it loads the holds. So one
// of the two sees the other's store.
func (a *attachment) open(i int, serial uint32, kind Kind, fingerprint uint64) (*object, error) {
	e := &a.entries[i]
	if !e.ready(serial) {
		return nil, errObjectRemoved
	}
	if k := Kind(e.kind.Load()); k != kind {
		return nil, fmt.Errorf("%w: it is of kind %v: open it as that, or take another name", ErrMismatch, k)
	}
	if p := e.print.Load(); p != fingerprint {
		return nil, fmt.Errorf("%w: the fingerprint of its type is %#x, want %#x: open it with the type with which "+
			"it was made, or remove it with Segment.Remove and make it anew", ErrMismatch, p, fingerprint)
	}
	s, err := a.span(e)
	if err != nil {
		return nil, err
	}
	o := a.object(i, serial, kind, a.mem.bytes[s.offset:s.offset+s.size:s.offset+s.size])
	if !e.ready(serial) {
		o.Close()
		return nil, errObjectRemoved
	}
	if err := a.unlessClosed(nil); err != nil {
		return nil, err
	}
	return o, nil
}

// remove removes the object of that name. The object is freed now or, if living parties hold it,
// when the last of them drops its hold: a party that drops a hold checks the state afterwards.
func (a *attachment) remove(name string) error {
	if err := a.lockDirectory(); err != nil {
		return err
	}
	defer a.unlockDirectory()
	i, _ := a.find(name)
	if i < 0 {
		return errNoSuchObject
	}
	a.removeEntry(i)
	return nil
}

// removeEntry removes the object in entry i. The caller holds the directory's lock.
func (a *attachment) removeEntry(i int) {
	e := &a.entries[i]
	e.state.Store(stateRemoved)
	if crash.Enabled {
		crash.At(crash.ObjectRemoving)
	}
	if !e.held(0, a.table.Alive) {
		a.free(i)
	}
}

// Bytes returns the object's memory. See object for how long it is valid.
func (o *object) Bytes() []byte { return o.mem }

// Kind returns the object's kind.
func (o *object) Kind() Kind { return o.kind }

// Name returns the object's name, or "" if it has none or has been removed.
func (o *object) Name() string {
	e := &o.a.entries[o.hold.entry]
	if name := e.objectName(); e.ready(o.serial) {
		return name
	}
	return ""
}

// Me returns the ID of this process's party.
func (o *object) Me() party.ID { return o.a.table.Me() }

// Table returns the segment's party table.
func (o *object) Table() *party.Table { return o.a.table }

// Room returns the wait domain of this party, in which its goroutines wait for the segment's
// objects.
func (o *object) Room() *wait.Room { return &o.a.room }

// Counters returns where the waits for the object count. They are in the object's entry, which is
// another object's after this object is gone: a wait through an object that its process has closed
// may count there.
func (o *object) Counters() *wait.Counters { return &o.a.entries[o.hold.entry].counts }

// Handle returns a handle of the object in a role. If the segment is closed, the handle is zero.
func (o *object) Handle(role int) Handle {
	if o.a.room.Closed() {
		return Handle{}
	}
	h := o.a.handle(o.kind)
	h.Role, h.Entry, h.Serial = uint32(role), uint32(o.hold.entry), o.serial
	return h
}

func (a *attachment) handle(kind Kind) Handle {
	h := Handle{Segment: a.id, Kind: kind, PID: uint32(os.Getpid())}
	h.FD = a.mem.fd
	return h
}

// Hold adds a hold of this process on role, which is 1 or 2. The epoch has moved when Hold returns.
func (o *object) Hold(role int) {
	o.a.take(o.roleHold(role))
	o.a.table.Wake()
}

// Drop ends a Hold. It reports whether that was this process's last hold on role.
func (o *object) Drop(role int) bool { return o.a.give(o.roleHold(role)) }

// Held reports whether a living party holds role.
func (o *object) Held(role int) bool {
	return o.a.entries[o.hold.entry].held(role, o.a.table.Alive)
}

func (o *object) roleHold(role int) hold {
	h := o.hold
	h.role = role
	return h
}

// UnlessClosed returns the result of a method that has read the object's memory: ErrClosed if the
// segment is closed, because the memory may have been given up before the method read it, otherwise
// err.
func (o *object) UnlessClosed(err error) error { return o.a.unlessClosed(err) }

// AtClose registers the flag closed. Close of the segment sets the flag before it gives up the
// memory. If the segment is closed already, AtClose sets the flag. The flag must be part of a value
// that refers to o. AtClose does not keep it from the garbage collector, and forgets it when o has
// been collected.
func (o *object) AtClose(closed *atomic.Bool) {
	a := o.a
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.room.Closed() {
		closed.Store(true)
		return
	}
	a.flags[o.use.number] = append(a.flags[o.use.number], weak.Make(closed))
}

// again returns another use of the object by this process. Each is closed on its own.
func (o *object) again() *object { return o.a.object(o.hold.entry, o.serial, o.kind, o.mem) }

// Close ends this use. If it was the last one in this process, Close drops the process's hold on
// the object's memory. If it was the last hold on a removed object, Close frees the object. Methods
// that are running may finish: the memory stays mapped, and is given to no other object before they
// have returned. Close may be called more than once.
func (o *object) Close() error {
	o.use.close()
	return nil
}

// Reserve makes sure that [off, off+n) of the object, which was made with Reserved, has memory. It
// fails with ErrNoSpace or ErrClosed.
func (o *object) Reserve(off, n int) error {
	if o.a.mem.file == nil {
		return nil
	}
	return reserve(o.a.mem.file, o.Offset()+off, n)
}
