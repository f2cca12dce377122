// Command mixed uses the objects of a segment together with the test of this package. The test builds mixed for 32 bits if
// the test has 64, and for 64 bits if the test has 32.
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

// A record has the same layout in 32 and in 64 bits.
type record struct {
	X, Y float64
	N    int64
	S    [12]byte
	K    uint32
}

// objects are the objects that both programs use. Each has the name of its field in the segment.
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

// run does the following, as the test expects:
//
//  1. It opens all objects, and doubles the numbers in them.
//  2. It reports that it is ready, and waits for the lock, which the test holds.
//  3. It doubles each record that it gets from one queue and puts it into the other, until the first is shut
//     down.
//  4. It returns, and so ends the program, as the owner of the lock.
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
	if err := o.lock.TryAcquire(); !errors.Is(err, psync.ErrHeld) {
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
