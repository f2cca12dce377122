package testkit

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/seed-2e7ecdea/mp/futex"
	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/shm"
)

// Cells are words in shared memory by which a test and its children talk. They
// can stand in a job.
type Cells struct{ object *object.Object }

const (
	cellsKind  = shm.Kind(1100)
	cellsPrint = 0xce115
	cellSize   = 8
)

// NewCells makes n cells that are 0.
func NewCells(t testing.TB, seg *shm.Segment, n int) *Cells {
	t.Helper()
	return &Cells{Must(object.New(seg, object.Spec{Kind: cellsKind, Size: cellSize * n, Fingerprint: cellsPrint}))(t)}
}

// Len returns how many there are.
func (c *Cells) Len() int { return len(c.object.Bytes()) / cellSize }

// At returns cell i. The word is the cells' as long as c can be reached.
func (c *Cells) At(i int) *atomic.Uint32 { return view.At[atomic.Uint32](c.object.Bytes(), cellSize*i) }

// Wide returns cell i as 64 bits: it is one or the other.
func (c *Cells) Wide(i int) *atomic.Uint64 {
	return view.At[atomic.Uint64](c.object.Bytes(), cellSize*i)
}

// Plain returns cell i for accesses that something else orders.
func (c *Cells) Plain(i int) *uint64 { return view.At[uint64](c.object.Bytes(), cellSize*i) }

// Handle lets cells travel.
func (c *Cells) Handle() shm.Handle { return c.object.Handle(0) }

// MarshalBinary encodes the handle.
func (c *Cells) MarshalBinary() ([]byte, error) { return c.Handle().MarshalText() }

// UnmarshalBinary opens the cells of a handle.
func (c *Cells) UnmarshalBinary(text []byte) error {
	var h shm.Handle
	if err := h.UnmarshalText(text); err != nil {
		return err
	}
	o, err := object.OpenHandle(h, cellsKind, cellsPrint)
	c.object = o
	return err
}

// Add counts one more in cell i and wakes who waits for it.
func (c *Cells) Add(i int) {
	c.At(i).Add(1)
	futex.Wake(c.At(i), futex.All)
}

// Set stores a number in cell i and wakes who waits for it.
func (c *Cells) Set(i int, v uint32) {
	c.At(i).Store(v)
	futex.Wake(c.At(i), futex.All)
}

// Until waits until cell i is at least v.
func (c *Cells) Until(ctx context.Context, i int, v uint32) error {
	for {
		now := c.At(i).Load()
		if now >= v {
			return nil
		}
		if err := futex.Wait(ctx, c.At(i), now); err != nil {
			return fmt.Errorf("cell %d is %d, not %d: %w", i, now, v, err)
		}
	}
}

// Await is Until for a test.
func (c *Cells) Await(t testing.TB, i int, v uint32) {
	t.Helper()
	if err := c.Until(Within(t), i, v); err != nil {
		Stuck(t, err.Error())
	}
}
