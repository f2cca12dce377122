package sync

import (
	"slices"
	stdsync "sync"
)

// A Holder owns RLocks, as a thread does in other languages. The zero Holder is ready to use and
// holds nothing. A Holder may hold any number of locks, and counts how often it has acquired each.
//
// Only one goroutine may use a Holder at a time. It has no meaning in another process, and must not
// be copied.
type Holder struct {
	_     [0]stdsync.Mutex // makes go vet report copies
	holds []hold           // few, so a linear search does
}

// A hold is a lock that a Holder holds, and how often it has acquired it: at least once.
type hold struct {
	lock  *rlockCore // by which it was acquired; keeps the memory mapped
	depth uint64
}

// index returns the index in h.holds of c's lock, or -1 if h does not hold it.
func (h *Holder) index(c *rlockCore) int {
	for i := range h.holds {
		if c.same(h.holds[i].lock) {
			return i
		}
	}
	return -1
}

// deepen counts one more acquisition of c's lock if h holds it, and reports whether it does.
func (h *Holder) deepen(c *rlockCore) bool {
	i := h.index(c)
	if i < 0 {
		return false
	}
	h.holds[i].depth++
	return true
}

// add records that h holds c's lock. It did not hold it before.
func (h *Holder) add(c *rlockCore, depth uint64) {
	h.holds = append(h.holds, hold{c, depth})
}

// remove forgets c's lock. It returns how often h had acquired it, 0 if h does not hold it.
func (h *Holder) remove(c *rlockCore) uint64 {
	i := h.index(c)
	if i < 0 {
		return 0
	}
	depth := h.holds[i].depth
	h.holds = slices.Delete(h.holds, i, i+1)
	return depth
}
