package object

import (
	"structs"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/shm"
)

// A Link is a reference in shared memory from an object to another object of its segment. If all of
// it is zero it refers to none.
//
//	0   kind
//	4   entry    index in the directory
//	8   serial   the entry's serial number
//	12  unused
type Link struct {
	_      structs.HostLayout
	kind   atomic.Uint32
	entry  atomic.Uint32
	serial atomic.Uint32
	_      [4]byte
}

// Set makes l refer to h's object. It must not be called once the object that l is part of exists.
func (l *Link) Set(h shm.Handle) {
	l.kind.Store(uint32(h.Kind))
	l.entry.Store(h.Entry)
	l.serial.Store(h.Serial)
}

// Kind returns the kind of the object that l refers to, 0 if it refers to none.
func (l *Link) Kind() shm.Kind { return shm.Kind(l.kind.Load()) }

// Open opens the object that l, which is part of o, refers to. It returns fs.ErrNotExist if that
// object has been removed, shm.ErrMismatch if it has another kind or fingerprint, and
// shm.ErrCorrupt.
func (l *Link) Open(o Object, kind shm.Kind, fingerprint uint64) (Object, error) {
	h := o.Handle(0)
	h.Kind, h.Role, h.Entry, h.Serial = l.Kind(), 0, l.entry.Load(), l.serial.Load()
	return sibling(o, h, kind, fingerprint)
}
