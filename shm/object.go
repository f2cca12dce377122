package shm

import (
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

// A spec says what object to make.
type spec struct {
	Kind        Kind
	Name        string // at most MaxObjectName bytes; empty: found by handle only
	Size        int    // bytes
	Fingerprint uint64 // of the type that it holds
	// Init fills the memory, which is zero. The object does not exist before
	// Init has returned nil, whoever is killed. It runs under the directory's
	// lock, and does nothing else with the segment.
	Init func(mem []byte) error
}

// An Object is this process's use of an object of a segment. It is what the
// packages that define kinds of objects build on.
//
// Its memory stays the object's until Close, and is given to no other object while the
// garbage collector can reach the Object: a method that works on the memory keeps the
// Object alive until it returns (runtime.KeepAlive), and afterwards asks Room().Closed(), or what it has
// given to AtClose, whether the memory had been given up meanwhile.
type object struct {
	a      *attachment
	hold   hold
	serial uint32
	kind   Kind
	mem    []byte
	use    *use
}

// NewObject makes an object. It fails with fs.ErrExist if the name is taken,
// ErrName, ErrSize, ErrNoSpace, ErrClosed, or what Init returns.
//
// It takes the directory's lock, which whoever makes or removes an object
// holds meanwhile, and so may have to wait for them.
func (s *Segment) newObject(spec spec) (*object, error) {
	a, err := s.attached()
	if err == nil {
		var o *object
		if o, err = a.make(spec); err == nil {
			return o, nil
		}
	}
	return nil, fmt.Errorf("shm: new %v %q: %w", spec.Kind, spec.Name, err)
}

func (a *attachment) make(spec spec) (*object, error) {
	if len(spec.Name) > MaxObjectName {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrName, MaxObjectName)
	}
	if spec.Size <= 0 || spec.Size > maxSize {
		return nil, fmt.Errorf("%w: %d bytes", ErrSize, spec.Size)
	}
	o, err := a.tryMake(spec)
	if errors.Is(err, ErrNoSpace) && a.table.Scan() { // a death that was not seen yet may free some
		o, err = a.tryMake(spec)
	}
	for range collections {
		if !errors.Is(err, ErrNoSpace) || errors.Is(err, errBusy) || !a.holdsRemoved() {
			break
		}
		runtime.GC() // for Objects that were dropped without Close
		a.awaitCollected(collectionWait)
		o, err = a.tryMake(spec)
	}
	pause := time.Millisecond
	for end := time.Now().Add(recycleWait); errors.Is(err, errBusy); o, err = a.tryMake(spec) {
		id, pid := a.awaitQuiet(pause)
		if id != 0 && time.Now().After(end) {
			return nil, fmt.Errorf("%w, in process %d (party %d), for %v", err, pid, id, recycleWait)
		}
		pause = min(2*pause, 20*time.Millisecond)
	}
	return o, err
}

// tryMake makes an object if there is space now. Killed after 1 or in 2 to 5,
// the entry is MAKING, and the next sweep frees it.
func (a *attachment) tryMake(spec spec) (o *object, err error) {
	if err := a.lockDirectory(); err != nil {
		return nil, err
	}
	defer a.unlockDirectory()
	if i, _ := a.find(spec.Name); i >= 0 {
		return nil, fs.ErrExist
	}
	off, err := a.alloc(spec.Size)
	if err != nil {
		return nil, err
	}
	i, err := a.freeEntry()
	if err != nil {
		return nil, err
	}

	// 1. The entry names the space; MAKING means that it is nobody's.
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
	// 2. The space is in use.
	a.advance(off, spec.Size)
	if crash.Enabled {
		crash.At(crash.ObjectAllocated)
	}
	// 3. The space has memory and is zero.
	if err := a.fill(off, spec.Size); err != nil {
		return nil, err
	}
	if crash.Enabled {
		crash.At(crash.ObjectReserved)
	}
	// 4. The contents are made.
	mem := a.mem.bytes[off : off+spec.Size : off+spec.Size]
	if spec.Init != nil {
		if err := spec.Init(mem); err != nil {
			return nil, err
		}
	}
	if crash.Enabled {
		crash.At(crash.ObjectFilled)
	}
	// 5. The index knows its name.
	if err := a.addName(i, spec.Name); err != nil {
		return nil, err
	}
	if crash.Enabled {
		crash.At(crash.ObjectIndexed)
	}
	// 6. It exists, and is held from the first moment on.
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

// describe writes what the entry is going to be. Its serial number moves
// first, so that a process that still looks for the former object does not find this
// one.
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
}

// object starts this process's use of entry i's memory.
func (a *attachment) object(i int, serial uint32, kind Kind, mem []byte) *object {
	h := hold{entry: i}
	u := &use{a: a, hold: h, serial: serial, number: a.uses.Add(1)}
	o := &object{a: a, hold: h, serial: serial, kind: kind, mem: mem, use: u}
	a.take(h)
	runtime.AddCleanup(o, (*use).collected, u)
	return o
}

// A use is the part of an Object that outlives it: what is to be done when the
// Object is closed, and when the garbage collector finds that no method is inside.
type use struct {
	a          *attachment
	hold       hold
	serial     uint32
	number     uint64 // of this use among the attachment's
	closed     bool   // a.mu guards it
	generation uint32 // of its closing
}

// close drops the hold. The object is freed if it is removed and this was the last
// hold on it.
func (u *use) close() {
	a := u.a
	a.mu.Lock()
	if u.closed || a.room.Closed() {
		a.mu.Unlock()
		return
	}
	u.closed = true
	u.generation = a.closing() // before the hold is dropped
	last := a.giveLocked(u.hold)
	a.mu.Unlock()
	if last {
		a.reap(u.hold.entry, u.serial)
	}
}

// collected ends the use, when no method can be inside any more. If it was not
// closed it still has its hold.
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
	go func() { // it may have to wait for the directory
		a.reap(u.hold.entry, u.serial)
		tellReleased()
	}()
}

// OpenObject opens the object with the given kind, name and fingerprint. It
// fails with fs.ErrNotExist, ErrMismatch, ErrCorrupt, or ErrClosed.
func (s *Segment) openObject(kind Kind, name string, fingerprint uint64) (*object, error) {
	a, err := s.attached()
	if err == nil {
		err = fs.ErrNotExist
		if i, serial := a.find(name); i >= 0 {
			var o *object
			if o, err = a.open(i, serial, kind, fingerprint); err == nil {
				return o, nil
			}
		}
		err = a.unlessClosed(err)
	}
	return nil, fmt.Errorf("shm: open %v %q: %w", kind, name, err)
}

// OpenHandle opens the object that h names, attaching to its segment if need
// be. It fails as OpenObject and Reach do.
func openHandle(h Handle, kind Kind, fingerprint uint64) (*object, error) {
	s, err := Reach(h)
	if err != nil {
		return nil, err
	}
	a, err := s.attached()
	if err != nil {
		return nil, fmt.Errorf("shm: open %v %v: %w", kind, h, err)
	}
	return a.openHandle(h, kind, fingerprint)
}

// Sibling opens the object of o's segment that h names, as the party that uses
// o. It fails as OpenHandle does, and with ErrMismatch if h is of another
// segment.
func (o *object) Sibling(h Handle, kind Kind, fingerprint uint64) (*object, error) {
	return o.a.openHandle(h, kind, fingerprint)
}

func (a *attachment) openHandle(h Handle, kind Kind, fingerprint uint64) (*object, error) {
	var err error
	switch {
	case h.Segment != a.id:
		err = fmt.Errorf("%w: the handle is of another segment", ErrMismatch)
	case h.Kind != kind:
		err = fmt.Errorf("%w: the handle is of kind %v", ErrMismatch, h.Kind)
	case h.Entry >= uint32(a.used()):
		err = fs.ErrNotExist
	default:
		var o *object
		if o, err = a.open(int(h.Entry), h.Serial, kind, fingerprint); err == nil {
			return o, nil
		}
	}
	return nil, fmt.Errorf("shm: open %v %v: %w", kind, h, a.unlessClosed(err))
}

// unlessClosed returns what a method ends with that has read the segment: err,
// unless it was closed meanwhile, and what was read was nothing.
func (a *attachment) unlessClosed(err error) error {
	if a.room.Closed() {
		return ErrClosed
	}
	return err
}

// open uses entry i, if it still is the object with that serial number. The
// hold comes before the last look at the state: who removes the object stores
// the state before it looks at the holds.
func (a *attachment) open(i int, serial uint32, kind Kind, fingerprint uint64) (*object, error) {
	e := &a.entries[i]
	if !e.ready(serial) {
		return nil, fs.ErrNotExist
	}
	if k := Kind(e.kind.Load()); k != kind {
		return nil, fmt.Errorf("%w: it is of kind %v", ErrMismatch, k)
	}
	if p := e.print.Load(); p != fingerprint {
		return nil, fmt.Errorf("%w: fingerprint %#x, want %#x", ErrMismatch, p, fingerprint)
	}
	s, err := a.span(e)
	if err != nil {
		return nil, err
	}
	o := a.object(i, serial, kind, a.mem.bytes[s.offset:s.offset+s.size:s.offset+s.size])
	if !e.ready(serial) {
		o.Close()
		return nil, fs.ErrNotExist
	}
	if err := a.unlessClosed(nil); err != nil {
		return nil, err
	}
	return o, nil
}

// remove takes the name away. The object is freed now or, if a living party holds
// it, when the last of them drops its hold: each looks at the state afterwards.
func (a *attachment) remove(name string) error {
	if err := a.lockDirectory(); err != nil {
		return err
	}
	defer a.unlockDirectory()
	i, _ := a.find(name)
	if i < 0 {
		return fs.ErrNotExist
	}
	a.removeEntry(i)
	return nil
}

// removeEntry removes the object that entry i is, under the directory's lock.
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

// Bytes returns the object's memory. See Object for how long it is valid.
func (o *object) Bytes() []byte { return o.mem }

// Kind returns what the object is.
func (o *object) Kind() Kind { return o.kind }

// Name returns the object's name, "" if it has none or has been removed.
func (o *object) Name() string {
	e := &o.a.entries[o.hold.entry]
	if name := e.objectName(); e.ready(o.serial) {
		return name
	}
	return ""
}

// Me returns this process's party.
func (o *object) Me() party.ID { return o.a.table.Me() }

// Table returns the segment's parties.
func (o *object) Table() *party.Table { return o.a.table }

// Room returns where this process's waiters of the segment wait.
func (o *object) Room() *wait.Room { return &o.a.room }

// Handle returns a handle of the object in a role, the zero Handle if the
// segment is closed.
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

// Hold makes this process a holder of role (1 or 2), once more. The epoch has
// moved when it returns.
func (o *object) Hold(role int) {
	o.a.take(o.roleHold(role))
	o.a.table.Wake()
}

// Drop ends a Hold, and reports whether it was this process's last of role.
func (o *object) Drop(role int) bool { return o.a.give(o.roleHold(role)) }

// Held reports whether anybody alive holds role.
func (o *object) Held(role int) bool {
	return o.a.entries[o.hold.entry].held(role, o.a.table.Alive)
}

func (o *object) roleHold(role int) hold {
	h := o.hold
	h.role = role
	return h
}

// UnlessClosed returns what a method ends with that has read the object's
// memory: err, or ErrClosed if the segment is closed, and so what was read may be
// nothing.
func (o *object) UnlessClosed(err error) error { return o.a.unlessClosed(err) }

// AtClose has closed set when the segment is closed, before its memory is
// given up; at once if it is closed already. The flag must lie in what refers to o,
// and is not kept from the garbage collector: when o is not used any more it is
// forgotten.
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

// again returns one more use of the object by this process, to be closed on its
// own.
func (o *object) again() *object { return o.a.object(o.hold.entry, o.serial, o.kind, o.mem) }

// Close ends this use. It drops the process's hold on the object's memory, if
// this was its last use, and so frees an object that was removed. Methods that are
// inside may finish: the memory stays mapped, and gets no other object before they have.
// Close may be called more than once.
func (o *object) Close() error {
	o.use.close()
	return nil
}
