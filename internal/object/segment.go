package object

import (
	"os"

	"github.com/seed-2e7ecdea/mp/shm"
)

// Object is this process's use of an object of a segment.
type Object = shm.Object

// Spec says what object to make.
type Spec = shm.Spec

// Grant is a party of a segment for a process that is about to be started.
type Grant = shm.Grant

// New makes an object in seg.
func New(seg *shm.Segment, s Spec) (*Object, error) { return seg.NewObject(s) }

// Open opens the object of seg that has the given kind, name and fingerprint.
func Open(seg *shm.Segment, kind shm.Kind, name string, fingerprint uint64) (*Object, error) {
	return seg.OpenObject(kind, name, fingerprint)
}

// OpenHandle opens the object that h names, attaching to its segment if need be.
func OpenHandle(h shm.Handle, kind shm.Kind, fingerprint uint64) (*Object, error) {
	return shm.OpenHandle(h, kind, fingerprint)
}

// NewGrant claims a party of seg for a process that is about to be started and is
// to hold the named objects.
func NewGrant(seg *shm.Segment, holds ...shm.Handle) (*Grant, error) { return seg.Grant(holds...) }

// Adopt attaches the process that got the file of a grant to its segment.
func Adopt(f *os.File) (*shm.Segment, error) { return shm.Adopt(f) }

// Find returns the segment with the given id to which this process is attached.
func Find(id shm.ID) (*shm.Segment, bool) { return shm.Find(id) }

// Attach attaches to seg once more, as a party of its own.
func Attach(seg *shm.Segment) (*shm.Segment, error) { return seg.Attach() }

// Drop leaves seg as a killed process leaves it, and returns the party that it was.
func Drop(seg *shm.Segment) (party uint32, err error) { return seg.Drop() }

// Announce tells everyone attached to seg that the party is dead.
func Announce(seg *shm.Segment, dead uint32) error { return seg.Announce(dead) }
