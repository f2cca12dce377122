// Command mixed uses the objects of a segment beside the test of this package,
// whose program has 64 bits if this one has 32, or the other way round.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/seed-2e7ecdea/mp/array"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
	"github.com/seed-2e7ecdea/mp/value"
)

// A record has one layout in both.
type record struct {
	X, Y float64
	N    int64
	S    [12]byte
	K    uint32
}

// objects are what both use, by their names in the segment.
type objects struct {
	lock   *psync.Lock
	ready  *psync.Event
	sum    *value.Int64
	whole  *value.Value[record]
	list   *array.Array[record]
	to, of *ring.Queue[record]
}

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// run opens everything, doubles what it finds, waits for the lock, doubles what
// comes through a queue until that is shut down, and dies with the lock.
func run(name string) error {
	ctx := context.Background()
	seg, err := shm.Open(name, nil)
	if err != nil {
		return err
	}
	o, err := open(seg)
	if err != nil {
		return err
	}
	o.sum.Add(o.sum.Load())
	if err := o.whole.Update(ctx, double); err != nil {
		return err
	}
	for i := range o.list.Slice() {
		double(&o.list.Slice()[i])
	}
	if err := o.lock.TryAcquire(); err != psync.ErrHeld {
		return fmt.Errorf("TryAcquire: %v, want ErrHeld", err)
	}
	if err := o.ready.Set(); err != nil {
		return err
	}
	if err := o.lock.Acquire(ctx); err != nil {
		return err
	}
	for {
		r, err := o.to.Get(ctx)
		if errors.Is(err, ring.ErrShutdown) {
			return nil
		}
		if err != nil {
			return err
		}
		double(&r)
		if err := o.of.Put(ctx, r); err != nil {
			return err
		}
	}
}

func double(r *record) {
	r.X, r.Y, r.N, r.K = 2*r.X, 2*r.Y, 2*r.N, 2*r.K
	for i := range r.S {
		r.S[i] *= 2
	}
}

func open(seg *shm.Segment) (o objects, err error) {
	if o.lock, err = psync.OpenLock(seg, "lock"); err != nil {
		return o, err
	}
	if o.ready, err = psync.OpenEvent(seg, "ready"); err != nil {
		return o, err
	}
	if o.sum, err = value.OpenInt64(seg, "sum"); err != nil {
		return o, err
	}
	if o.whole, err = value.Open[record](seg, "whole"); err != nil {
		return o, err
	}
	if o.list, err = array.Open[record](seg, "list"); err != nil {
		return o, err
	}
	if o.to, err = ring.OpenQueue[record](seg, "to"); err != nil {
		return o, err
	}
	o.of, err = ring.OpenQueue[record](seg, "of")
	return o, err
}
