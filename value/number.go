package value

import (
	"math"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/shm"
)

// An Integer is a Value that can be added to. All of its methods that change
// it are single atomic operations, but for Update.
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
	panic(closed("Load"))
}

// Word returns the value's word itself, for loops in which Load's look at
// whether the value is closed counts. It is valid until Close of the value or its
// segment, and while v can be reached: what is read or written through it later is
// not the value any more, and may crash the process. What is stored through it no
// Watch is told of. An Int64's word is its number's two's complement. It panics as
// Add does.
func (v *Integer[T]) Word() *atomic.Uint64 {
	c := v.use("Word")
	c.check("Word")
	return c.word
}

// Add adds delta and returns the sum, which wraps around. It panics if the
// value is closed, with an error that wraps ErrClosed.
func (v *Integer[T]) Add(delta T) (sum T) {
	c := v.use("Add")
	sum = T(c.word.Add(uint64(delta)))
	c.changed("Add")
	return sum
}

// And keeps the bits that are in mask and returns what the value was. It
// panics as Add does.
func (v *Integer[T]) And(mask T) (old T) {
	c := v.use("And")
	old = T(c.word.And(uint64(mask)))
	c.changed("And")
	return old
}

// Or sets the bits that are in mask and returns what the value was. It panics
// as Add does.
func (v *Integer[T]) Or(mask T) (old T) {
	c := v.use("Or")
	old = T(c.word.Or(uint64(mask)))
	c.changed("Or")
	return old
}

// CompareAndSwap makes the value x if it is old, and tells whether it was. It
// panics as Add does.
func (v *Integer[T]) CompareAndSwap(old, x T) bool { return CompareAndSwap(&v.Value, old, x) }

// changed ends a method that has changed the word.
func (c *core[T]) changed(method string) {
	c.tell()
	c.check(method)
}

// A Float64 is a Value that can be added to.
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
	panic(closed("Load"))
}

// Add adds delta, as one atomic operation, and returns the sum. It panics if
// the value is closed, with an error that wraps ErrClosed.
func (v *Float64) Add(delta float64) (sum float64) {
	c := v.use("Add")
	for {
		bits := loadBits[float64](c.word)
		sum = fromBits[float64](bits) + delta
		if casBits(c.word, bits, sum) {
			c.changed("Add")
			return sum
		}
	}
}

// CompareAndSwap makes the value x if it is old, as == has it, and tells
// whether it was. It panics as Add does.
func (v *Float64) CompareAndSwap(old, x float64) bool { return CompareAndSwap(&v.Value, old, x) }
