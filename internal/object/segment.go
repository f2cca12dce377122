package object

import (
	"os"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/inner"
	"github.com/seed-2e7ecdea/mp/internal/party"
	"github.com/seed-2e7ecdea/mp/internal/wait"
	"github.com/seed-2e7ecdea/mp/shm"
)

// An Object is this process's use of an object of a segment. It is what the packages that define kinds of
// objects build on.
//
// A method that works on the object's memory keeps the Object alive until it returns (runtime.KeepAlive), and
// afterwards asks Room().Closed(), or what it has given to AtClose, whether the memory had been given up meanwhile.
type Object interface {
	// Bytes returns the object's memory.
	Bytes() []byte
	// Offset returns where the memory begins in the segment.
	Offset() int
	// Kind returns what the object is.
	Kind() shm.Kind
	// Name returns the object's name, "" if it has none or has been removed.
	Name() string
	// Me returns this process's party.
	Me() party.ID
	// Table returns the segment's parties.
	Table() *party.Table
	// Room returns where this process's waiters of the segment wait.
	Room() *wait.Room
	// Counters returns where the waits for the object count.
	Counters() *wait.Counters
	// Handle returns a handle of the object in a role, the zero Handle if the segment is closed.
	Handle(role int) shm.Handle
	// Hold makes this process a holder of role (1 or 2), once more. The epoch has moved when it returns.
	Hold(role int)
	// Drop ends a Hold, and reports whether it was this process's last of role.
	Drop(role int) bool
	// Reserve makes sure that [off, off+n) of the object has memory: see Spec.Reserved. It fails with
	// shm.ErrNoSpace or shm.ErrClosed.
	Reserve(off, n int) error
	// Held reports whether a living party holds role.
	Held(role int) bool
	// UnlessClosed returns err, or ErrClosed if the segment is closed, so that what was read may be nothing.
	UnlessClosed(err error) error
	// AtClose has closed set when the segment is closed, before its memory is given up; at once if it is closed
	// already. The flag must lie in what refers to the object, and is not kept from the garbage collector.
	AtClose(closed *atomic.Bool)
	// Close ends the use of the object. If the object is removed, or has no name, and no other party holds it, its
	// memory is free then.
	Close() error
}

// A Spec says what object to make.
type Spec struct {
	Kind        shm.Kind
	Name        string // at most shm.MaxObjectName bytes; empty: found by handle only
	Size        int    // bytes
	Reserved    int    // the bytes, from the first on, that have memory; 0: all. Others have none before Reserve.
	Fingerprint uint64 // of the type that it holds
	// Init fills the memory, which is zero. The object does not exist before Init has returned nil, whichever
	// process is killed. It runs under the directory's lock, and does nothing else with the segment.
	Init func(mem []byte) error
}

// New makes an object in seg. It fails with fs.ErrExist if the name is taken, shm.ErrName, shm.ErrSize,
// shm.ErrNoSpace, shm.ErrClosed, or the error of Init. It takes the directory's lock, and so may wait for
// processes that are just making or removing objects.
func New(seg *shm.Segment, s Spec) (Object, error) {
	return object(inner.Shm.New(seg, uint32(s.Kind), s.Name, s.Size, s.Reserved, s.Fingerprint, s.Init))
}

// Open opens the object of seg that has the given kind, name and fingerprint. It fails with fs.ErrNotExist,
// shm.ErrMismatch, shm.ErrCorrupt, or shm.ErrClosed.
func Open(seg *shm.Segment, kind shm.Kind, name string, fingerprint uint64) (Object, error) {
	return object(inner.Shm.Open(seg, uint32(kind), name, fingerprint))
}

// OpenHandle opens the object that h names, attaching to its segment if need be. It fails as Open and shm.Reach do.
func OpenHandle(h shm.Handle, kind shm.Kind, fingerprint uint64) (Object, error) {
	return object(inner.Shm.OpenHandle(h, uint32(kind), fingerprint))
}

// sibling opens the object of o's segment that h names, as the party that uses o.
func sibling(o Object, h shm.Handle, kind shm.Kind, fingerprint uint64) (Object, error) {
	return object(inner.Shm.Sibling(o, h, uint32(kind), fingerprint))
}

// Again is one more use of o's object by this process.
func Again(o Object) Object { return inner.Shm.Again(o).(Object) }

func object(o any, err error) (Object, error) {
	if err != nil {
		return nil, err
	}
	return o.(Object), nil
}

// Stats returns the statistics of o. It fails with shm.ErrClosed.
func Stats(o Object) (shm.Stats, error) {
	s, err := inner.Shm.StatsOf(o)
	return s.(shm.Stats), err
}

// Memory is the memory of an object whose statistics are read.
type Memory = inner.Memory

// HasStats makes f set the figures that objects of that kind have in their memory. f must end whatever the memory
// holds. Packages call it when they are initialized.
func HasStats(kind shm.Kind, f func(m Memory, s *shm.Stats)) {
	if inner.Shm.Stats == nil {
		inner.Shm.Stats = make(map[uint32]func(Memory, any))
	}
	inner.Shm.Stats[uint32(kind)] = func(m Memory, s any) { f(m, s.(*shm.Stats)) }
}

// Grant is a party of a segment for a process that is about to be started.
type Grant = inner.Grant

// NewGrant claims a party of seg for a process that is about to be started and is to hold the named objects. It
// fails with shm.ErrParties, shm.ErrClosed, or fs.ErrNotExist if an object is gone.
func NewGrant(seg *shm.Segment, holds ...shm.Handle) (Grant, error) {
	return inner.Shm.Grant(seg, holds)
}

// Adopt attaches the process that got the file of a grant to its segment. It owns f.
func Adopt(f *os.File) (*shm.Segment, error) { return segment(inner.Shm.Adopt(f)) }

// Find returns the segment with the given id to which this process is attached, the one attached first if there
// are several.
func Find(id shm.ID) (*shm.Segment, bool) {
	s, ok := inner.Shm.Find(id)
	if !ok {
		return nil, false
	}
	return s.(*shm.Segment), true
}

// Attach attaches to seg once more: the result is a party of its own, as if it were in another process.
func Attach(seg *shm.Segment) (*shm.Segment, error) { return segment(inner.Shm.Attach(seg)) }

// Drop leaves seg as a killed process leaves it, and returns the party that it was.
func Drop(seg *shm.Segment) (party uint32, err error) { return inner.Shm.Drop(seg) }

// Announce tells everyone attached to seg that the party is dead. It does nothing if the kernel does not confirm that.
func Announce(seg *shm.Segment, dead uint32) error { return inner.Shm.Announce(seg, dead) }

func segment(s any, err error) (*shm.Segment, error) {
	if err != nil {
		return nil, err
	}
	return s.(*shm.Segment), nil
}
