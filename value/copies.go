package value

import (
	"context"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/view"
)

// A T larger than a word has four copies, and the word is the number of the latest value: how many
// values have been published since the value was made. Value number n is copy n modulo 4. With
// number 5:
//
//	copy 0    copy 1    copy 2                                          copy 3
//	value 4   value 5   value 6, partly written, or value 2 (the old)   value 3
//
// A writer holds the writers' lock and
//
//	W1 loads the number n,
//	W2 writes the new value to copy n+1 modulo 4,
//	W3 stores n+1 to the number: this publishes the value,
//	W4 releases the lock and wakes the watchers.
//
// A reader
//
//	R1 loads the number n,
//	R2 copies copy n modulo 4,
//	R3 loads the number again. If it is n+3 or more, a writer may have begun value n+4, which is in the
//	   same copy, and the reader starts again at R1.
//
// So a reader starts again only if three values have been published during R2. A seqlock is the
// same with one copy: its readers start again after each value, and wait for a writer that is
// stopped or killed in W2. Sources: Lamport, "Concurrent Reading and Writing"; seqlocks.
//
//	killed at                                       leaves
//	ValueUpdating   Update's f has run              the old value; the dead owner has the value's lock
//	ValueWriting    in W2, half of it written       the old value; the next writer writes that copy anew
//	ValueCopied     after W2                        the same
//	ValuePublished  after W3                        the new value; the next writer takes the lock over
//	ValueReleased   in W4, no watcher woken         the new value; the death wakes the watchers

// read copies the latest value to x and returns its number.
func (c *core[T]) read(x *T) uint64 {
	for {
		n := c.word.Load()
		c.slots[n%copies].get(x)
		if c.word.Load()-n < copies-1 {
			return n
		}
	}
}

// publish makes x value number n. The caller holds the writers' lock, and n-1 is the latest value.
func (c *core[T]) publish(n uint64, x *T) {
	s := &c.slots[n%copies]
	if crash.Enabled {
		var part T
		s.get(&part)
		b := view.Bytes(&part)
		copy(b[:len(b)/2], view.Bytes(x))
		s.put(&part)
		crash.At(crash.ValueWriting)
	}
	s.put(x)
	if crash.Enabled {
		crash.At(crash.ValueCopied)
	}
	c.word.Store(n) // a reader that loads n finds all of x in the copy
	if crash.Enabled {
		crash.At(crash.ValuePublished)
	}
}

// notify wakes the watchers of a value that has been changed.
func (c *core[T]) notify() {
	if crash.Enabled {
		if c.writer == nil {
			crash.At(crash.ValueStored)
		} else {
			crash.At(crash.ValueReleased)
		}
	}
	c.gate.NotifyAll()
}

// replace publishes x in place of the latest value, under the writers' lock. If old is not nil it
// copies the latest value there first. If ok is not nil it is called next with the number of the
// latest value, and replace does nothing if ok returns false. replace reports whether it published
// x. Its only error is ErrClosed, and then it has not.
func (v *Value[T]) replace(c *core[T], x, old *T, ok func(number uint64) bool) (bool, error) {
	err := c.writer.TryAcquire()
	if err != nil {
		err = c.writer.Acquire(context.Background(), v.ref.Wanted(c))
	}
	if err != nil {
		return false, err
	}
	n := c.word.Load()
	if old != nil {
		c.slots[n%copies].get(old)
	}
	if ok != nil && !ok(n) {
		c.writer.Release()
		return false, nil
	}
	c.publish(n+1, x)
	c.writer.Release()
	c.notify()
	return true, nil
}
