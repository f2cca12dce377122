package value

import (
	"math"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/shm"
)

// An Integer is a Value of an integer with atomic arithmetic. Its methods never block, except for
// Update and Watch.
//
// The embedded Value has the methods that an Integer shares with all values. CompareAndSwap and
// Load are also methods of Integer. The field is for reading: assigning to it would copy a Value.
type Integer[T int64 | uint64] struct {
	Value[T]
}

// The integers.
type (
	// Int64 is a shared int64.
	Int64 = Integer[int64]
	// Uint64 is a shared uint64.
	Uint64 = Integer[uint64]
)

// NewInt64 makes an Int64. It fails as New does.
func NewInt64(seg *shm.Segment, name string, init int64, o *Options) (*Int64, error) {
	return newInteger(seg, name, init, o)
}

// NewUint64 makes a Uint64. It fails as New does.
func NewUint64(seg *shm.Segment, name string, init uint64, o *Options) (*Uint64, error) {
	return newInteger(seg, name, init, o)
}

// OpenInt64 opens an Int64, or a Value[int64]. It fails as Open does.
func OpenInt64(seg *shm.Segment, name string) (*Int64, error) { return openInteger[int64](seg, name) }

// OpenUint64 opens a Uint64, or a Value[uint64]. It fails as Open does.
func OpenUint64(seg *shm.Segment, name string) (*Uint64, error) {
	return openInteger[uint64](seg, name)
}

func newInteger[T int64 | uint64](seg *shm.Segment, name string, init T, o *Options) (*Integer[T], error) {
	v := new(Integer[T])
	return orNil(v, v.make(seg, name, init, o.guard()))
}

func openInteger[T int64 | uint64](seg *shm.Segment, name string) (*Integer[T], error) {
	v := new(Integer[T])
	return orNil(v, v.ref.Open(seg, name))
}

// Load is Value.Load.
func (v *Integer[T]) Load() T { // small enough to be inlined
	if c := v.ref.Load(); c != nil {
		if w := c.word.Load(); !c.Closed.Load() {
			return T(w)
		}
	}
	panic(object.ClosedCall("value: Load of value"))
}

// Word returns a pointer to the value's word in shared memory, for loops that are too tight for
// Load's check of whether the value is closed. The word of an Int64 is its two's complement. A
// store to the word does not wake the watchers.
//
// The pointer is valid until the value or its segment is closed, and while v is reachable (see
// runtime.KeepAlive). Later accesses do not go to the value, and may crash the process. Word panics
// with an error that wraps ErrClosed if the value is closed.
func (v *Integer[T]) Word() *atomic.Uint64 {
	const op = "value: Word of value"
	c := v.ref.Must(op)
	c.Check(op)
	return c.word
}

// Add adds delta and returns the sum, which wraps around on overflow. It wakes the watchers. It
// panics with an error that wraps ErrClosed if the value is closed.
func (v *Integer[T]) Add(delta T) (sum T) {
	const op = "value: Add of value"
	c := v.ref.Must(op)
	sum = T(c.word.Add(uint64(delta)))
	c.changed(op)
	return sum
}

// And clears the bits that are not set in mask, and returns the old value. It wakes watchers and
// panics as Add does.
func (v *Integer[T]) And(mask T) (old T) {
	const op = "value: And of value"
	c := v.ref.Must(op)
	old = T(c.word.And(uint64(mask)))
	c.changed(op)
	return old
}

// Or sets the bits that are set in mask, and returns the old value. It wakes watchers and panics as
// Add does.
func (v *Integer[T]) Or(mask T) (old T) {
	const op = "value: Or of value"
	c := v.ref.Must(op)
	old = T(c.word.Or(uint64(mask)))
	c.changed(op)
	return old
}

// CompareAndSwap replaces the value by x if it is old. It reports whether it did. It wakes watchers
// and panics as Add does.
func (v *Integer[T]) CompareAndSwap(old, x T) bool { return CompareAndSwap(&v.Value, old, x) }

// changed is the end of a method that has changed the word.
func (c *core[T]) changed(op string) {
	c.notify()
	c.Check(op)
}

// A Float64 is a Value of a float64 with atomic addition. Its methods never block, except for
// Update and Watch.
//
// The embedded Value has the methods that a Float64 shares with all values, as that of an Integer.
type Float64 struct {
	Value[float64]
}

// NewFloat64 makes a Float64. It fails as New does.
func NewFloat64(seg *shm.Segment, name string, init float64, o *Options) (*Float64, error) {
	v := new(Float64)
	return orNil(v, v.make(seg, name, init, o.guard()))
}

// OpenFloat64 opens a Float64, or a Value[float64]. It fails as Open does.
func OpenFloat64(seg *shm.Segment, name string) (*Float64, error) {
	v := new(Float64)
	return orNil(v, v.ref.Open(seg, name))
}

// Load is Value.Load.
func (v *Float64) Load() float64 { // small enough to be inlined
	if c := v.ref.Load(); c != nil {
		if w := c.word.Load(); !c.Closed.Load() {
			return math.Float64frombits(w)
		}
	}
	panic(object.ClosedCall("value: Load of value"))
}

// Add adds delta atomically and returns the sum. It wakes the watchers. It panics with an error
// that wraps ErrClosed if the value is closed.
func (v *Float64) Add(delta float64) (sum float64) {
	const op = "value: Add of value"
	c := v.ref.Must(op)
	for {
		bits := loadBits[float64](c.word)
		sum = fromBits[float64](bits) + delta
		if casBits(c.word, bits, sum) {
			c.changed(op)
			return sum
		}
	}
}

// CompareAndSwap replaces the value by x if it equals old by the operator ==. It reports whether it
// did. It wakes watchers and panics as Add does.
func (v *Float64) CompareAndSwap(old, x float64) bool { return CompareAndSwap(&v.Value, old, x) }
