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

// header is the beginning of an array in shared memory. All but the lock is
// written when the array is made.
//
//	0     format  1
//	8     size    of an element in bytes
//	16    length  number of elements
//	32    guard   the array's lock; written by who takes it
//	128   element 0, and the others behind it as in C
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

// core is the process's part of an array.
type core[T any] struct {
	object.Base
	elements []T
	lock     *psync.Lock // nil: the array has none
}

// sizeOf returns how large an array of n Ts is.
func sizeOf[T any](n int) (elem, total int, err error) {
	l, err := layout.Of[T]()
	if err != nil {
		return 0, 0, err
	}
	if n < 0 || n > (math.MaxInt-dataOffset)/l.Size {
		return 0, 0, fmt.Errorf("%w: %d elements of %d bytes", shm.ErrSize, n, l.Size)
	}
	return l.Size, dataOffset + n*l.Size, nil
}

// fill makes mem, whose rest is zero, an array.
func fill(mem []byte, elem, n int) {
	h := view.At[header](mem, 0)
	h.format.Store(format)
	h.size.Store(uint64(elem))
	h.length.Store(uint64(n))
}

func (*core[T]) Type() (shm.Kind, uint64, error) {
	l, err := layout.Of[T]()
	return shm.KindArray, l.Fingerprint, err
}

func (c *core[T]) Use(o *object.Object) error {
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
		return fmt.Errorf("array of format %d: %w", f, shm.ErrVersion)
	}
	n := h.length.Load() // once: it may change, being anybody's
	if size := h.size.Load(); size != uint64(l.Size) || n > uint64((len(mem)-dataOffset)/l.Size) {
		return fmt.Errorf("array of %d elements of %d bytes in %d bytes: %w", n, size, len(mem), shm.ErrCorrupt)
	}
	c.elements = view.Slice[T](mem, dataOffset, int(n))
	guard, err := lock.OpenGuard(o, guardOffset)
	if err != nil {
		return fmt.Errorf("array: %w", err)
	}
	if guard != nil {
		c.Link(guard.Linked())
		c.lock = guard.Lock().(*psync.Lock)
	}
	return nil
}

// check ends a method that used the memory.
func (c *core[T]) check(method string) {
	if c.Closed.Load() {
		panic(closed(method))
	}
}

// guarding returns the lock, nil if there is none.
func (c *core[T]) guarding() *psync.Lock { return c.lock }

// offset returns where in the segment the elements begin.
func (c *core[T]) offset() int { return c.Object().Offset() + dataOffset }
