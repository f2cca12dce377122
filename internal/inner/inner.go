// Package inner leads to the inside of package shm, which programs have no use for: objects, and parties for
// children. Package shm fills it in when it is initialized. Packages of mp reach it through internal/object, which
// gives it types; it has none here, so that shm need not import what imports shm.
package inner

import "os"

// Shm is what package shm does for mp's other packages. A segment is a *shm.Segment, a handle a shm.Handle, an
// object an object.Object.
var Shm struct {
	New        func(segment any, kind uint32, name string, size, reserved int, fingerprint uint64, init func(mem []byte) error) (object any, err error)
	Open       func(segment any, kind uint32, name string, fingerprint uint64) (object any, err error)
	OpenHandle func(handle any, kind uint32, fingerprint uint64) (object any, err error)
	Sibling    func(object any, handle any, kind uint32, fingerprint uint64) (sibling any, err error)
	Again      func(object any) (other any)
	Grant      func(segment any, handles any) (Grant, error)
	Adopt      func(f *os.File) (segment any, err error)
	Find       func(id [16]byte) (segment any, ok bool)
	Attach     func(segment any) (other any, err error)
	Drop       func(segment any) (party uint32, err error)
	Announce   func(segment any, dead uint32) error
	StatsOf    func(object any) (stats any, err error)

	// Stats has, by kind, what sets the figures of a *shm.Stats that such an object has in its memory. Other packages
	// fill it in when they are initialized.
	Stats map[uint32]func(m Memory, stats any)
}

// Memory is the memory of an object, which may be damaged or change at any time.
type Memory interface {
	Len() int
	// Uint64 and Uint32 return the word at an offset that is a multiple of its size; 0 if it can't be read.
	Uint64(off int) uint64
	Uint32(off int) uint32
	// PID returns the process of a living party, 0 if it is not known.
	PID(party uint32) int
	// Dead reports whether the party is dead.
	Dead(party uint32) bool
}

// A Grant is a party of a segment for a process that is about to be started: see package shm.
type Grant interface {
	File() *os.File
	Started(pid int)
	Release() error
	Ended()
	Cancel() error
}
