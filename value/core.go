package value

import (
	"fmt"
	"math"
	"structs"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/layout"
	"github.com/seed-2e7ecdea/mp/internal/lock"
	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/internal/wait"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// header is the beginning of a value in shared memory. Format, copies, size and stride are written
// once, when the value is made.
//
//	0     format  1
//	4     copies  0 if T is a word, else 4
//	8     size    of T in bytes
//	16    stride  bytes from one copy to the next
//	24    gate    of the watchers; moves when the value changes while some of them sleep
//	128   guard   the lock that Update takes
//	168   writer  the lock by which writers of copies exclude one another; unused with a word
//	256   word    if T is a word: T in its first bytes; else the number of the latest value, see copies.go
//	384   copies  value number n is copy n modulo 4
type header struct {
	_      structs.HostLayout
	format atomic.Uint32
	copies atomic.Uint32
	size   atomic.Uint64
	stride atomic.Uint64
	gate   wait.Gate
}

const (
	guardOffset  = 128
	writerOffset = guardOffset + lock.GuardSize
	wordOffset   = 256
	copiesOffset = 384
	line         = 128 // bytes; a copy shares no pair of cache lines with another

	format = 1
	copies = 4 // see copies.go
)

// core is this process's part of a value.
type core[T any] struct {
	object.Base
	word     *atomic.Uint64
	gate     *wait.Gate
	guard    *lock.Guard // nil if the value has no lock
	lock     *psync.Lock // the guard as Lock returns it
	writer   *lock.Guard // nil if T is a word
	slots    [copies]slot[T]
	watchers wait.Spinner
}

// sizes returns the distance in bytes between copies of a T, 0 if T is a word, and the size of a
// value in bytes. It returns shm.ErrSize if the size is more than an int holds.
func sizes(l layout.Layout) (stride, total int, err error) {
	if l.Size <= wordSize {
		return 0, copiesOffset, nil
	}
	if l.Size > (math.MaxInt-copiesOffset)/copies-line {
		return 0, 0, fmt.Errorf("%w: %d copies of %d bytes are more than can be addressed", shm.ErrSize, copies, l.Size)
	}
	stride = (l.Size + line - 1) / line * line
	return stride, copiesOffset + copies*stride, nil
}

// fillHeader makes of mem a value of type T with the value init, except for its locks.
func fillHeader[T any](mem []byte, l layout.Layout, stride int, init *T) {
	h := view.At[header](mem, 0)
	h.format.Store(format)
	h.size.Store(uint64(l.Size))
	if stride == 0 {
		storeWord(view.At[atomic.Uint64](mem, wordOffset), *init)
		return
	}
	h.copies.Store(copies)
	h.stride.Store(uint64(stride))
	newSlot[T](mem, copiesOffset, stride).put(init)
}

func (*core[T]) Type() (shm.Kind, uint64, error) {
	l, err := layout.Of[T]()
	return shm.KindValue, l.Fingerprint, err
}

func (c *core[T]) Use(o object.Object) error {
	if err := c.Init(o, copiesOffset); err != nil {
		return err
	}
	l, err := layout.Of[T]()
	if err != nil {
		return err
	}
	mem := o.Bytes()
	h := view.At[header](mem, 0)
	if f := h.format.Load(); f != format {
		return fmt.Errorf("%w: the value has format %d, this program knows %d: open it with the version that made it, or make it anew", shm.ErrVersion, f, format)
	}
	stride, total, err := sizes(l)
	if err != nil {
		return err
	}
	n := uint32(copies)
	if stride == 0 {
		n = 0
	}
	if h.size.Load() != uint64(l.Size) || h.copies.Load() != n || h.stride.Load() != uint64(stride) || len(mem) < total {
		return fmt.Errorf("%w: a value of %d bytes with %d copies in %d bytes of memory",
			shm.ErrCorrupt, h.size.Load(), h.copies.Load(), len(mem))
	}
	c.word = view.At[atomic.Uint64](mem, wordOffset)
	c.gate = &h.gate
	c.watchers.Count(o.Counters())
	if c.guard, err = lock.OpenGuard(o, guardOffset); err != nil {
		return err
	}
	if c.guard != nil {
		c.Link(c.guard.Linked())
		c.lock = c.guard.Lock().(*psync.Lock)
	}
	if stride == 0 {
		return nil
	}
	for i := range c.slots {
		c.slots[i] = newSlot[T](mem, copiesOffset+i*stride, stride)
	}
	c.writer, err = lock.OpenGuard(o, writerOffset)
	if err == nil && c.writer == nil {
		err = fmt.Errorf("%w: the writers have no lock", shm.ErrCorrupt)
	}
	return err
}
