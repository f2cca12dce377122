package object

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/wait"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A Base is the part that the cores of all kinds have.
type Base struct {
	// Closed is set when the segment is closed, before its memory is given up.
	// A method looks at it last: what it has read from the memory is the object's,
	// and what it has written there has come there, if Closed is not set then. As
	// Closed lies in the core, that look also keeps the core, and with it the memory,
	// from the garbage collector until then.
	Closed atomic.Bool
	o      *Object
	linked *Object // nil: none
	room   *wait.Room
}

// Init makes b the base of o's core. It fails with shm.ErrCorrupt if o has
// fewer than size bytes.
func (b *Base) Init(o *Object, size int) error {
	if len(o.Bytes()) < size {
		return fmt.Errorf("object of %d bytes, want %d: %w", len(o.Bytes()), size, shm.ErrCorrupt)
	}
	b.o, b.room = o, o.Room()
	o.AtClose(&b.Closed)
	return nil
}

// Link makes o, an object that the core uses beside its own, end with it. o may be nil.
func (b *Base) Link(o *Object) { b.linked = o }

// Detach ends the use of the object, and of the one that is linked.
func (b *Base) Detach() error {
	var err error
	if b.linked != nil {
		err = b.linked.Close()
	}
	return errors.Join(err, b.o.Close())
}

// Object returns the object.
func (b *Base) Object() *Object { return b.o }

// Room returns where the object's waiters of this process wait.
func (b *Base) Room() *wait.Room { return b.room }

// Done ends a method that worked on the object's memory, and says what is true
// after all: if the segment was closed meanwhile, the memory was not the shared
// one, and whatever the method found did not happen.
func (b *Base) Done(err error) error {
	if b.Closed.Load() {
		return shm.ErrClosed
	}
	return err
}
