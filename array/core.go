package array

import (
	"fmt"
	"math"
	"structs"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/layout"
	"github.com/seed-2e7ecdea/mp/internal/lock"
	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// header is the beginning of an array in shared memory. Format, size and length are written once,
// when the array is made.
//
//	0     format  1
//	8     size    of an element in bytes
//	16    length  number of elements
//	32    guard   the array's lock
//	128   element 0, followed by the others as in C
type header struct {
	_      structs.HostLayout
	format atomic.Uint32
	_      [4]byte
	size   atomic.Uint64
	length atomic.Uint64
}

const (
	guardOffset = 32
	dataOffset  = 128

	format = 1
)

// core is this process's part of an array.
type core[T any] struct {
	object.Base
	elements []T
	guard    *psync.Lock // nil if the array has no lock
}

// sizeOf returns the size of a T and of an array of n Ts, in bytes. It returns shm.ErrSize if n is
// negative or the size is more than an int holds.
func sizeOf[T any](n int) (elem, total int, err error) {
	l, err := layout.Of[T]()
	if err != nil {
		return 0, 0, err
	}
	if most := (math.MaxInt - dataOffset) / l.Size; n < 0 || n > most {
		return 0, 0, fmt.Errorf("%w: %d elements of %d bytes, want 0 to %d", shm.ErrSize, n, l.Size, most)
	}
	return l.Size, dataOffset + n*l.Size, nil
}

// fillHeader makes of mem an array of n zero elements, except for its lock.
func fillHeader(mem []byte, elem, n int) {
	h := view.At[header](mem, 0)
	h.format.Store(format)
	h.size.Store(uint64(elem))
	h.length.Store(uint64(n))
}

func (*core[T]) Type() (shm.Kind, uint64, error) {
	l, err := layout.Of[T]()
	return shm.KindArray, l.Fingerprint, err
}

func (c *core[T]) Use(o object.Object) error {
	if err := c.Init(o, dataOffset); err != nil {
		return err
	}
	l, err := layout.Of[T]()
	if err != nil {
		return err
	}
	mem := o.Bytes()
	h := view.At[header](mem, 0)
	if f := h.format.Load(); f != format {
		return fmt.Errorf("%w: the array has format %d, this program knows %d: open it with the version that made it, or make it anew", shm.ErrVersion, f, format)
	}
	n := h.length.Load() // only once: a faulty process may write to it at any time
	if size := h.size.Load(); size != uint64(l.Size) || n > uint64((len(mem)-dataOffset)/l.Size) {
		return fmt.Errorf("%w: %d elements of %d bytes in %d bytes of memory", shm.ErrCorrupt, n, size, len(mem))
	}
	c.elements = view.Slice[T](mem, dataOffset, int(n))
	guard, err := lock.OpenGuard(o, guardOffset)
	if err == nil && guard != nil {
		c.Link(guard.Linked())
		c.guard = guard.Lock().(*psync.Lock)
	}
	return err
}

// lock and offset are the Lock and Offset methods of Array and Bytes, whose name op has.
func (c *core[T]) lock(op string) *psync.Lock {
	c.Check(op)
	return c.guard
}

func (c *core[T]) offset(op string) int {
	c.Check(op)
	return c.Object().Offset() + dataOffset
}

// slice returns the elements for the method op, which does not access them.
func (c *core[T]) slice(op string) []T {
	c.Check(op)
	return c.elements
}
