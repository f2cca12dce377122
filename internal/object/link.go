package object

import (
	"structs"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/shm"
)

// A Link is an object's note, in shared memory, of another object of its
// segment. All zero: none.
//
//	0   kind
//	4   entry    place in the directory
//	8   serial   the entry's serial number
//	12  unused
type Link struct {
	_      structs.HostLayout
	kind   atomic.Uint32
	entry  atomic.Uint32
	serial atomic.Uint32
	_      [4]byte
}

// Set links to h's object, before the object that l belongs to exists.
func (l *Link) Set(h shm.Handle) {
	l.kind.Store(uint32(h.Kind))
	l.entry.Store(h.Entry)
	l.serial.Store(h.Serial)
}

// Kind returns what kind of object is linked to, 0 if none.
func (l *Link) Kind() shm.Kind { return shm.Kind(l.kind.Load()) }

// Open opens the object that is linked to, for the party that uses o. It fails
// with fs.ErrNotExist if that was removed, shm.ErrMismatch or shm.ErrCorrupt.
func (l *Link) Open(o *Object, kind shm.Kind, fingerprint uint64) (*Object, error) {
	h := o.Handle(0)
	h.Kind, h.Role, h.Entry, h.Serial = l.Kind(), 0, l.entry.Load(), l.serial.Load()
	return o.Sibling(h, kind, fingerprint)
}
