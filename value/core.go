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

// header is the beginning of a value in shared memory. All but the gate is
// written when the value is made.
//
//	0     format  1
//	4     copies  0: T is the word; else 4
//	8     size    of T in bytes
//	16    stride  bytes from one copy to the next
//	24    gate    moves when the value changes and somebody watches
//	128   guard   the value's lock; written by who takes it
//	168   writer  the lock of those who publish; not used with a word
//	256   word    T in its first bytes, or the number of values published so far
//	384   copies  value number n is in copy n modulo 4
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
	line         = 128

	format = 1
	copies = 4 // see read
)

// core is the process's part of a value.
type core[T any] struct {
	object.Base
	word     *atomic.Uint64
	gate     *wait.Gate
	guard    *lock.Guard // nil: the value has no lock
	lock     *psync.Lock // guard for programs
	writer   *lock.Guard // nil: T is a word
	places   [copies]place[T]
	watchers wait.Spinner
}

// sizes returns how far apart copies of a T are, 0 if T is a word, and how
// large a value is.
func sizes(l layout.Layout) (stride, total int, err error) {
	if l.Size <= wordSize {
		return 0, copiesOffset, nil
	}
	if l.Size > (math.MaxInt-copiesOffset)/copies-line {
		return 0, 0, fmt.Errorf("%w: %d copies of %d bytes", shm.ErrSize, copies, l.Size)
	}
	stride = (l.Size + line - 1) / line * line
	return stride, copiesOffset + copies*stride, nil
}

// fill makes mem a value of T that is init.
func fill[T any](mem []byte, l layout.Layout, stride int, init *T) {
	h := view.At[header](mem, 0)
	h.format.Store(format)
	h.size.Store(uint64(l.Size))
	if stride == 0 {
		view.At[atomic.Uint64](mem, wordOffset).Store(0)
		storeWord(view.At[atomic.Uint64](mem, wordOffset), *init)
		return
	}
	h.copies.Store(copies)
	h.stride.Store(uint64(stride))
	newPlace[T](mem, copiesOffset, stride).put(init)
}

func (*core[T]) Type() (shm.Kind, uint64, error) {
	l, err := layout.Of[T]()
	return shm.KindValue, l.Fingerprint, err
}

func (c *core[T]) Use(o *object.Object) error {
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
		return fmt.Errorf("value of format %d: %w", f, shm.ErrVersion)
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
		return fmt.Errorf("value of %d bytes, %d copies, in %d bytes: %w", h.size.Load(), h.copies.Load(), len(mem), shm.ErrCorrupt)
	}
	c.word = view.At[atomic.Uint64](mem, wordOffset)
	c.gate = &h.gate
	if c.guard, err = lock.OpenGuard(o, guardOffset); err != nil {
		return fmt.Errorf("value: %w", err)
	}
	if c.guard != nil {
		c.Link(c.guard.Linked())
		c.lock = c.guard.Lock().(*psync.Lock)
	}
	if stride == 0 {
		return nil
	}
	for i := range c.places {
		c.places[i] = newPlace[T](mem, copiesOffset+i*stride, stride)
	}
	if c.writer, err = lock.OpenGuard(o, writerOffset); err == nil && c.writer == nil {
		err = fmt.Errorf("writers have no lock: %w", shm.ErrCorrupt)
	}
	if err != nil {
		return fmt.Errorf("value: %w", err)
	}
	return nil
}

// check ends a method that used the memory.
func (c *core[T]) check(method string) {
	if c.Closed.Load() {
		panic(closed(method))
	}
}
