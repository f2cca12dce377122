package object

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/party"
	"github.com/seed-2e7ecdea/mp/internal/wait"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A Base is the part that the cores of all kinds of objects have in common.
type Base struct {
	// Closed is set when the segment is closed, before its memory is replaced. A method loads
	// Closed after its last access to the memory. If it is not set, everything that the method read
	// came from the object, and everything that it wrote went there. On processors that reorder
	// loads that is so only if the last access is atomic: see docs/design/memory.md. Because Closed
	// lies in the core, that load also keeps the core, and with it the object's memory, from the
	// garbage collector until then.
	Closed atomic.Bool
	o      Object
	linked Object // nil: none
	room   *wait.Room
	table  *party.Table
}

// Init makes b the base of o's core. It returns shm.ErrCorrupt if o has fewer than size bytes.
func (b *Base) Init(o Object, size int) error {
	if len(o.Bytes()) < size {
		return fmt.Errorf("%w: the object has %d bytes, fewer than %d", shm.ErrCorrupt, len(o.Bytes()), size)
	}
	b.o, b.room, b.table = o, o.Room(), o.Table()
	o.AtClose(&b.Closed)
	return nil
}

// Link makes o, an object that the core uses beside its own, end with it. o may be nil.
func (b *Base) Link(o Object) { b.linked = o }

// Detach ends the use of the object, and of the one that is linked.
func (b *Base) Detach() error {
	var err error
	if b.linked != nil {
		err = b.linked.Close()
	}
	return errors.Join(err, b.o.Close())
}

// Object returns the object.
func (b *Base) Object() Object { return b.o }

// Table returns the segment's parties.
func (b *Base) Table() *party.Table { return b.table }

// Counters returns where the waits for the object count.
func (b *Base) Counters() *wait.Counters { return b.o.Counters() }

// Me returns this process's party.
func (b *Base) Me() party.ID { return b.table.Me() }

// Room returns the wait domain of this process's waiters.
func (b *Base) Room() *wait.Room { return b.room }

// Done returns the result of a method that used the object's memory: ErrClosed if the segment has
// been closed, since the memory may then have been replaced while the method ran; otherwise err.
func (b *Base) Done(err error) error {
	if b.Closed.Load() {
		return shm.ErrClosed
	}
	return err
}

// Check is Done for a method that returns no error: it panics if the segment has been closed. op is
// as for ClosedCall.
func (b *Base) Check(op string) {
	if b.Closed.Load() {
		panic(ClosedCall(op))
	}
}
