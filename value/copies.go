package value

import (
	"context"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/view"
)

// A T larger than a word has several copies, and a number: how many values
// have been published so far. Value number n lies in copy n modulo 4.
//
//	             copy 0    copy 1    copy 2    copy 3
//	number 5     4         5         6: being written, or half, or old   3
//
// A writer, under the writers' lock, writes number+1 to its copy and then moves
// the number. A reader takes the copy of the number, and then looks whether the
// number has come so near that the copy may have been written again meanwhile: 3
// or more further on. So a reader repeats its copy only if three values have been
// published during it. Lamport's "Concurrent Reading and Writing" and seqlocks
// have the idea; with one copy a reader would repeat for each value, and wait for
// a writer that is stopped half-way.
//
//	killed at                                  then
//	ValueUpdating: f has run                   the old value; the value's lock is the dead's
//	ValueWriting: half of the copy written     the old value; the next writer writes that copy anew
//	ValueCopied: all of it                     the same
//	ValuePublished: number moved               the new value; the writers' lock is taken from the dead
//	ValueReleased: nobody woken                the new value; the death wakes the watchers

// read copies the present value to x and returns its number.
func (c *core[T]) read(x *T) uint64 {
	for {
		n := c.word.Load()
		c.places[n%copies].get(x)
		if c.word.Load()-n < copies-1 {
			return n
		}
	}
}

// begin takes the writers' lock and returns the number of the present value.
// It fails with ErrClosed only.
func (v *Value[T]) begin(c *core[T]) (uint64, error) {
	err := c.writer.TryAcquire()
	if err != nil {
		err = c.writer.Acquire(context.Background(), v.ref.Wanted(c))
	}
	return c.word.Load(), err
}

// publish makes x value number n, under the writers' lock.
func (c *core[T]) publish(n uint64, x *T) {
	p := &c.places[n%copies]
	if crash.Enabled {
		var part T
		p.get(&part)
		b := view.Bytes(&part)
		copy(b[:len(b)/2], view.Bytes(x))
		p.put(&part)
		crash.At(crash.ValueWriting)
	}
	p.put(x)
	if crash.Enabled {
		crash.At(crash.ValueCopied)
	}
	c.word.Store(n) // who loads n finds x
	if crash.Enabled {
		crash.At(crash.ValuePublished)
	}
}

// end releases the writers' lock.
func (c *core[T]) end() { c.writer.Release() }

// tell wakes the watchers of a value that was changed.
func (c *core[T]) tell() {
	if crash.Enabled {
		if c.writer == nil {
			crash.At(crash.ValueStored)
		} else {
			crash.At(crash.ValueReleased)
		}
	}
	c.gate.NotifyAll()
}

// exchange publishes x in place of the present value, which it copies to old
// if that is not nil, and if ok is nil or accepts it. It tells whether it did.
func (v *Value[T]) exchange(c *core[T], x, old *T, ok func(number uint64) bool) (bool, error) {
	n, err := v.begin(c)
	if err != nil {
		return false, err
	}
	if old != nil {
		c.places[n%copies].get(old)
	}
	if ok != nil && !ok(n) {
		c.end()
		return false, nil
	}
	c.publish(n+1, x)
	c.end()
	c.tell()
	return true, nil
}
