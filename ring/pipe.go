package ring

import (
	"errors"
	"fmt"
	"math/bits"
	"structs"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/shm"
)

// pipeWords begins a pipe in shared memory.
//
//	0      size    of each ring in bytes, a power of two; written when the pipe is made
//	128    stream from end A to end B
//	896    stream from end B to end A
//	1664   ring A to B
//	       ring B to A
//
// A pipe of one direction, a simplex, has a stream and a ring from A to B only. The memory of the
// other stream stays 0.
type pipeWords struct {
	_    structs.HostLayout
	size atomic.Uint64
}

const (
	pipeHead     = 128 + 2*streamHead
	pipePrint    = 1 // version of the layout
	simplexPrint = 2
)

// A pipeShape is what distinguishes a pipe from a simplex.
type pipeShape struct {
	rings       int
	fingerprint uint64
}

var (
	duplex  = pipeShape{2, pipePrint}
	simplex = pipeShape{1, simplexPrint}
)

// An End is one of the two ends of a pipe.
type End int

// The ends. A message that is sent at one end is received at the other.
const (
	A End = 1
	B End = 2
)

func (e End) other() End { return A + B - e }

// PipeOptions are options for NewPipe. A nil *PipeOptions means the defaults.
type PipeOptions struct {
	// Capacity is the size of the ring of each direction in bytes. It is rounded up to a power of
	// two, at least 4,096. The default is 65,536. A message takes 8 bytes and its length rounded up
	// to 8. A message of up to half of the capacity less 16 bytes is sent at once. A longer one is
	// sent in pieces by Send: see there.
	Capacity int
}

const defaultRing = 1 << 16

func (o *PipeOptions) ring() (int, error) {
	if o == nil || o.Capacity == 0 {
		return defaultRing, nil
	}
	if o.Capacity < 0 || o.Capacity > maxObject/2 {
		return 0, fmt.Errorf("%w: capacity %d", shm.ErrSize, o.Capacity)
	}
	return max(minRing, 1<<bits.Len(uint(o.Capacity-1))), nil
}

// NewPipe makes a pipe in seg, with an optional name, and returns its two ends. This process holds
// both. NewPipe fails with shm.ErrSize if the capacity is negative or too large, or as every New
// function does: see package shm.
func NewPipe(seg *shm.Segment, name string, o *PipeOptions) (a, b *Conn, err error) {
	a, b = new(Conn), new(Conn)
	if err := newEnds(seg, name, duplex, o, a, b); err != nil {
		return nil, nil, err
	}
	return a, b, nil
}

// newEnds makes a pipe of that shape, and makes a and b its ends.
func newEnds(seg *shm.Segment, name string, shape pipeShape, o *PipeOptions, a, b *Conn) error {
	size, err := o.ring()
	if err != nil {
		return fmt.Errorf("ring: new pipe %q: %w", name, err)
	}
	obj, err := object.New(seg, object.Spec{
		Kind: shm.KindPipe, Name: name, Size: pipeHead + shape.rings*size, Fingerprint: shape.fingerprint,
		Init: func(mem []byte) error {
			view.At[pipeWords](mem, 0).size.Store(uint64(size))
			return nil
		},
	})
	if err != nil {
		return err
	}
	if err = a.open(obj, A, shape); err != nil {
		return err
	}
	// Again keeps b at the party of a. A handle would find the first party of this process.
	if err = b.open(object.Again(obj), B, shape); err != nil {
		return errors.Join(err, a.Close())
	}
	return nil
}

// OpenPipe opens one end of the pipe of that name. This process becomes one more holder of the end.
// OpenPipe fails with shm.ErrHandle if end is neither A nor B, or as every Open function does: see
// package shm.
func OpenPipe(seg *shm.Segment, name string, end End) (*Conn, error) {
	if end != A && end != B {
		return nil, fmt.Errorf("ring: open pipe %q: %w: a pipe has no end %d", name, shm.ErrHandle, end)
	}
	c := new(Conn)
	if err := c.openNamed(seg, name, end, duplex); err != nil {
		return nil, err
	}
	return c, nil
}
