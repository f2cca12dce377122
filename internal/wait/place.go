package wait

import (
	"container/list"
	"sync/atomic"
)

// A place is a word at which goroutines wait in a hub. Those in the queue wait;
// those who are out have been let look and will come back or leave.
//
// All in the queue are settled at val: none would find anything while word is
// val. For each has armed word at val and then looked; where all are alike it is
// enough that one did.
type place struct {
	hub    *hub
	epoch  *epoch
	word   *atomic.Uint32
	val    uint32
	queue  list.List // of *visit
	out    int
	alike  bool
	kin    any    // what they are alike in
	waiter Waiter // one of them, which keeps the memory of the words

	listed bool   // the hub sleeps on word, or is about to
	slept  uint32 // and this is the value then
}

// An epoch is the epoch of a segment that has places in a hub.
type epoch struct {
	word   *atomic.Uint32
	val    uint32 // what all in the queues of its places saw, or an earlier one
	places int
	moved  bool
}

// add puts a waiter into the queue that has armed word at val, looked, and
// found nothing. One that was let look before goes to the front again.
func (p *place) add(v *visit, w Waiter, val uint32, back bool) {
	if a, ok := w.(Alike); !ok || p.kin != nil && p.kin != a.Alike() {
		p.alike = false
	} else {
		p.kin = a.Alike()
	}
	if val != p.val && !p.alike {
		p.release(nil)
	}
	p.val = val
	p.waiter = w
	v.place, v.woken = p, false
	if back && p.alike {
		v.turn = p.queue.PushFront(v)
	} else {
		v.turn = p.queue.PushBack(v)
	}
	if !p.listed {
		p.hub.kick()
	}
}

// settle says that a waiter of the place has armed word at val and then found
// something, and passed a wake on if there may be more.
func (p *place) settle(val uint32) {
	if p.alike {
		p.val = val
	}
}

// look lets waiters look if the word has moved.
func (p *place) look() {
	switch {
	case p.queue.Len() == 0 || p.word.Load() == p.val:
	case !p.alike:
		p.release(nil)
	case p.out == 0: // else they will tell
		p.letFirst(nil)
	}
}

// release lets all waiters look, or tells them of an error.
func (p *place) release(err error) {
	for p.queue.Len() > 0 {
		p.letFirst(err)
	}
}

func (p *place) letFirst(err error) {
	v := p.queue.Remove(p.queue.Front()).(*visit)
	p.out++
	v.turn, v.woken = nil, true
	v.ready <- err
	p.hub.let = true
}

// leave takes a visit that is out from its place.
func (v *visit) leave() {
	p := v.place
	v.place = nil
	p.out--
	p.look()
	p.tidy()
}

// tidy removes a place that nobody uses.
func (p *place) tidy() {
	if p.queue.Len() == 0 && p.out == 0 {
		p.hub.remove(p)
	}
}
