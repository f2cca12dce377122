package object

import (
	"os"

	"github.com/seed-2e7ecdea/mp/shm"
)

// Object is an object of a segment as this process has it open.
type Object = shm.Object

// Spec describes an object that is to be made.
type Spec = shm.Spec

// Grant is a party of a segment that is reserved for a process which is about to be started.
type Grant = shm.Grant

// New makes an object in seg, and opens it.
func New(seg *shm.Segment, s Spec) (*Object, error) { return seg.NewObject(s) }

// Open opens the object of seg that has the given kind, name and fingerprint.
func Open(seg *shm.Segment, kind shm.Kind, name string, fingerprint uint64) (*Object, error) {
	return seg.OpenObject(kind, name, fingerprint)
}

// OpenHandle opens the object that h names. It attaches this process to the object's segment if it
// is not attached yet.
func OpenHandle(h shm.Handle, kind shm.Kind, fingerprint uint64) (*Object, error) {
	return shm.OpenHandle(h, kind, fingerprint)
}

// NewGrant reserves a party of seg for a process that is about to be started and that will hold the
// named objects.
func NewGrant(seg *shm.Segment, holds ...shm.Handle) (*Grant, error) { return seg.Grant(holds...) }

// Adopt attaches this process to a segment as the party of a grant. f is the grant's file, which
// this process inherited.
func Adopt(f *os.File) (*shm.Segment, error) { return shm.Adopt(f) }

// Find returns the segment with the given id, and reports whether this process is attached to it.
func Find(id shm.ID) (*shm.Segment, bool) { return shm.Find(id) }

// Attach attaches this process to seg once more, as another party.
func Attach(seg *shm.Segment) (*shm.Segment, error) { return seg.Attach() }

// Drop detaches from seg in the way a killed process does, that is without announcing it, and
// returns the party that it was attached as.
func Drop(seg *shm.Segment) (party uint32, err error) { return seg.Drop() }

// Announce announces to the parties of seg that the given party is dead.
func Announce(seg *shm.Segment, dead uint32) error { return seg.Announce(dead) }
