package sync

import (
	"slices"
	stdsync "sync"
)

// A Holder is who holds RLocks: what a thread is in other languages. The zero
// Holder is ready and holds nothing; it holds any number of locks, and remembers
// how often it has acquired each.
//
// A Holder is used by one goroutine at a time. It means nothing in another
// process, and must not be copied.
type Holder struct {
	_     [0]stdsync.Mutex // for go vet: not to be copied
	holds []hold           // few: they are searched one by one
}

// A hold is an RLock and how often its Holder has acquired it, at least once.
type hold struct {
	lock  *rlockCore // by which it was acquired; keeps the lock's memory the lock's
	depth uint64
}

// index returns which of h's holds is of c's lock, -1 if none is.
func (h *Holder) index(c *rlockCore) int {
	for i := range h.holds {
		if c.same(h.holds[i].lock) {
			return i
		}
	}
	return -1
}

// deepen counts one more acquisition of c's lock, if h holds it.
func (h *Holder) deepen(c *rlockCore) bool {
	i := h.index(c)
	if i < 0 {
		return false
	}
	h.holds[i].depth++
	return true
}

// add notes that h holds c's lock, which it did not.
func (h *Holder) add(c *rlockCore, depth uint64) {
	h.holds = append(h.holds, hold{c, depth})
}

// remove forgets c's lock and returns how often it had been acquired, 0 if h
// does not hold it.
func (h *Holder) remove(c *rlockCore) uint64 {
	i := h.index(c)
	if i < 0 {
		return 0
	}
	depth := h.holds[i].depth
	h.holds = slices.Delete(h.holds, i, i+1)
	return depth
}
