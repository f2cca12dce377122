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

// Cells are words in shared memory by which a test and its children talk. A job of a child can
// contain a *Cells: it then refers to the same words in the child.
type Cells struct{ object object.Object }

const (
	cellsKind  = shm.Kind(1100)
	cellsPrint = 0xce115
	cellSize   = 8
)

// NewCells makes n cells, all 0.
func NewCells(t testing.TB, seg *shm.Segment, n int) *Cells {
	t.Helper()
	return &Cells{Must(object.New(seg, object.Spec{Kind: cellsKind, Size: cellSize * n, Fingerprint: cellsPrint}))(t)}
}

// Len returns the number of cells.
func (c *Cells) Len() int { return len(c.object.Bytes()) / cellSize }

// At returns cell i. The pointer is valid as long as c is reachable.
func (c *Cells) At(i int) *atomic.Uint32 { return view.At[atomic.Uint32](c.object.Bytes(), cellSize*i) }

// Wide returns cell i as a word of 64 bits. A test uses a cell either by At or by Wide.
func (c *Cells) Wide(i int) *atomic.Uint64 {
	return view.At[atomic.Uint64](c.object.Bytes(), cellSize*i)
}

// Plain returns cell i for accesses that are not atomic: another object must order them.
func (c *Cells) Plain(i int) *uint64 { return view.At[uint64](c.object.Bytes(), cellSize*i) }

// Handle returns the handle by which another process opens the cells.
func (c *Cells) Handle() shm.Handle { return c.object.Handle(0) }

// MarshalBinary encodes the handle of c.
func (c *Cells) MarshalBinary() ([]byte, error) { return c.Handle().MarshalText() }

// UnmarshalBinary opens the cells of an encoded handle.
func (c *Cells) UnmarshalBinary(text []byte) error {
	var h shm.Handle
	if err := h.UnmarshalText(text); err != nil {
		return err
	}
	o, err := object.OpenHandle(h, cellsKind, cellsPrint)
	c.object = o
	return err
}

// Add adds 1 to cell i and wakes all goroutines that wait for the cell.
func (c *Cells) Add(i int) {
	c.At(i).Add(1)
	futex.Wake(c.At(i), futex.All)
}

// Set stores v in cell i and wakes all goroutines that wait for the cell.
func (c *Cells) Set(i int, v uint32) {
	c.At(i).Store(v)
	futex.Wake(c.At(i), futex.All)
}

// Until waits until cell i is at least v. If ctx ends first, Until returns an error that wraps
// ctx's.
func (c *Cells) Until(ctx context.Context, i int, v uint32) error {
	for {
		now := c.At(i).Load()
		if now >= v {
			return nil
		}
		if err := futex.Wait(ctx, c.At(i), now); err != nil {
			return fmt.Errorf("cell %d is %d, want at least %d: %w", i, now, v, err)
		}
	}
}

// Await waits until cell i is at least v. It fails the test if that takes longer than Patience.
func (c *Cells) Await(t testing.TB, i int, v uint32) {
	t.Helper()
	if err := c.Until(Within(t), i, v); err != nil {
		Stuck(t, err.Error())
	}
}
