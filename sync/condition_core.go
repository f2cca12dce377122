package sync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"structs"
	"sync/atomic"
	"time"

	"github.com/seed-2e7ecdea/mp/futex"
	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/internal/party"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/internal/wait"
	"github.com/seed-2e7ecdea/mp/shm"
)

// conditionWords is the head of a condition in shared memory. The slots follow it.
//
//	0    link   to the lock; written when the condition is made
//	128  next   ticket of the next waiter         both written under the lock
//	136  used   number of slots that were ever used
//	256  slots
type conditionWords struct {
	_    structs.HostLayout
	link object.Link
	_    [112]byte
	next atomic.Uint64
	used atomic.Uint32
}

// A slot belongs to one waiter, which sleeps on its word.
//
//	0   word
//	8   ticket  orders the waiters by their arrival; written under the lock, before the word
//	16  until   a notification that is left behind in the slot goes to a waiter with a smaller
//	            ticket; written under the lock, first before N is set, and later by renew
//
//	 31                                  1   0
//	+--------------------------------------+---+
//	| party ID of the waiter               | N |   N: notified
//	+--------------------------------------+---+
//
//	party  N
//	none   0   free
//	alive  0   the party waits
//	alive  1   the party has a notification, and has not returned from Wait yet
//	dead   0   as good as free
//	dead   1   the party left a notification behind, for a waiter that was waiting when it was given
//	none   1   the same: the waiter could not acquire the lock again
//
// A slot is taken, and N is set, under the condition's lock. All else is one CAS without the lock:
// a waiter frees its slot or leaves its notification behind, or it takes over a notification that
// was left behind, together with the slot in which it stands. So each notification is in exactly
// one slot at any time. A waiter does not acknowledge a notification: a notifier waits for no
// waiter.
//
// A process that is notified and then stopped (SIGSTOP, a debugger, a frozen cgroup) keeps its
// notification. No notifier waits for it, and NotifyAll and later notifications reach the others.
// But the change of which it was notified may be one that the others could use. So a waiter that
// sees for two seconds that the stopped one does not return ends its own wait, too: see unanswered.
//
// A waiter scans all slots whenever the segment's epoch moves. The epoch moves at each death, and a
// living waiter that leaves a notification behind moves it. So each notification that is left
// behind is found.
//
// If the process is killed after
//
//	ConditionEnqueued     has a slot, holds the lock      its slot is free; the lock's owner is dead
//	ConditionReleased     has a slot, lock free           its slot is free
//	asleep, not notified                                  the same
//	ConditionWoken        notified, without the lock      another waiter takes its notification over
//	ConditionTakenOver    in another's slot, its own not  the same for the slot that it took, and for
//	                      given up yet                    its own if that was notified as well
//	ConditionHandedOn     left one behind, none woken     its death wakes the waiters
//	ConditionLeft         cancelled, slot free, no lock   nothing is left
//	ConditionReacquired   notified, holds the lock        as ConditionWoken; the lock's owner is dead
//	ConditionNotifying    notifier, none notified yet     the lock's owner is dead
//	ConditionNotified     N set, none woken               its death wakes; the lock's owner is dead
type slot struct {
	_      structs.HostLayout
	word   atomic.Uint32
	_      uint32
	ticket atomic.Uint64
	until  atomic.Uint64
}

const (
	slotsAt  = 256
	slotSize = 24

	notified   = 1        // N
	leftBehind = notified // a notification without a party

	defaultWaiters = 1024
	maxWaiters     = 1 << 20
)

var errLockClosed = &reworded{"this process has closed its lock", ErrClosed}

// A conditionLock is the lock of a condition, as one caller uses it.
type conditionLock interface {
	// held reports whether the caller holds the lock.
	held() bool
	// died reports whether the lock has a dead owner, so that it can't be acquired.
	died() bool
	// release releases the lock, however often it was acquired.
	release() error
	// reacquire undoes release. It fails if wanted returns false or the lock's owner died.
	reacquire(wanted func() bool) error
}

// A conditionCore is the common part of both kinds of conditions.
type conditionCore struct {
	object.Base
	words *conditionWords
	slots []slot
	spin  wait.Spinner
}

// newCondition makes a condition on the lock of h.
func newCondition[C any, P object.Core[C]](r *object.Ref[C, P], seg *shm.Segment, name string, h shm.Handle, o *ConditionOptions) error {
	waiters := defaultWaiters
	if o != nil && o.Waiters != 0 {
		waiters = o.Waiters
	}
	if waiters < 0 || waiters > maxWaiters {
		return fmt.Errorf("psync: new condition %q: %w: %d waiters, want 0 to %d", name, ErrInvalid, waiters, maxWaiters)
	}
	if seg == nil {
		seg, _ = object.Find(h.Segment)
	}
	id, err := seg.ID()
	if err != nil {
		return fmt.Errorf("psync: new condition %q: %w", name, err)
	}
	switch {
	case h == shm.Handle{}:
		return fmt.Errorf("psync: new condition %q: %w", name, errLockClosed)
	case h.Segment != id:
		return fmt.Errorf("psync: new condition %q: %w: its lock is in another segment", name, shm.ErrMismatch)
	}
	return r.New(seg, name, slotsAt+waiters*slotSize, func(mem []byte) error {
		view.At[conditionWords](mem, 0).link.Set(h)
		return nil
	})
}

// useCondition makes c the core of o, and l a reference to the lock that o is linked to.
func useCondition[C any, P object.Core[C]](c *conditionCore, o object.Object, l *object.Ref[C, P]) error {
	if err := c.Init(o, slotsAt+slotSize); err != nil {
		return err
	}
	mem := o.Bytes()
	c.words = view.At[conditionWords](mem, 0)
	c.spin.Count(o.Counters())
	c.slots = view.Slice[slot](mem, slotsAt, (len(mem)-slotsAt)/slotSize)
	kind, print, err := P(nil).Type()
	if err != nil {
		return err
	}
	lock, err := c.words.link.Open(o, kind, print)
	if err != nil {
		return fmt.Errorf("lock of a condition: %w", err)
	}
	core := new(C)
	if err := P(core).Use(lock); err != nil {
		return errors.Join(err, lock.Close())
	}
	l.Borrow(core)
	c.Link(lock)
	return nil
}

// used returns the slots that were ever used.
func (c *conditionCore) used() []slot {
	return c.slots[:min(int64(c.words.used.Load()), int64(len(c.slots)))]
}

// waits reports whether w is the word of a living waiter that was not notified.
func (c *conditionCore) waits(w uint32) bool {
	return w&notified == 0 && !c.Table().Dead(party.ID(w>>1))
}

// left reports whether w is the word of a notification that was left behind.
func (c *conditionCore) left(w uint32) bool {
	return w&notified != 0 && c.Table().Dead(party.ID(w>>1))
}

// wait waits for a notification. held reports whether the caller holds the lock afterwards: it does
// if the error is nil, ctx's error or ErrTooManyWaiters.
func (c *conditionCore) wait(ctx context.Context, g conditionLock, wanted func() bool) (held bool, err error) {
	held, err = c.waitWith(ctx, &waiter{c: c, g: g, wanted: wanted, mine: uint32(c.Me()) << 1})
	if closed := c.Done(nil); closed != nil {
		return false, closed
	}
	return held, err
}

func (c *conditionCore) waitWith(ctx context.Context, w *waiter) (held bool, err error) {
	if !w.g.held() {
		return false, ErrNotHeld
	}
	if err := w.enqueue(); err != nil {
		return true, err
	}
	if crash.Enabled {
		crash.At(crash.ConditionEnqueued)
	}
	if err := w.g.release(); err != nil {
		w.leave()
		return false, err
	}
	if crash.Enabled {
		crash.At(crash.ConditionReleased)
	}
	err = w.sleep(ctx)
	if w.failed(err) {
		return false, err
	}
	if err := w.g.reacquire(w.wanted); err != nil {
		w.leave()
		return false, err
	}
	if err == nil {
		if crash.Enabled {
			crash.At(crash.ConditionReacquired)
		}
		if !w.slot.word.CompareAndSwap(w.mine, 0) { // see unanswered
			w.slot.word.CompareAndSwap(w.mine|notified, 0) // used up
		}
	}
	return true, err
}

// A waiter is a call of wait: it has a slot.
type waiter struct {
	c       *conditionCore
	g       conditionLock
	wanted  func() bool
	mine    uint32 // the slot's word while it waits
	slot    *slot  // nil when it has given it up
	ticket  uint64
	scanned bool   // has scanned the others' slots
	seen    uint32 // epoch before the last scan

	armed   bool      // has armed since unanswered was called last
	checkAt time.Time // when unanswered scans again
	late    uint64    // 1 + the smallest ticket that unanswered found at its last scan, 0 if none
}

// enqueue takes a slot. The caller holds the lock.
func (w *waiter) enqueue() error {
	c := w.c
	used := c.used()
	for i := range used {
		v := used[i].word.Load()
		if v&notified == 0 && !c.waits(v) && w.take(&used[i], v) {
			return nil
		}
	}
	// A notification that was left behind is void if no waiter from when it was given still waits.
	oldest := c.oldest()
	for i := range used {
		v := used[i].word.Load()
		if c.left(v) && used[i].until.Load() <= oldest && w.take(&used[i], v) {
			return nil
		}
	}
	if len(used) == len(c.slots) {
		return fmt.Errorf("%w: it has room for %d: make it with more ConditionOptions.Waiters", ErrTooManyWaiters, len(c.slots))
	}
	c.words.used.Store(uint32(len(used) + 1))
	p := &c.slots[len(used)]
	if !w.take(p, p.word.Load()) {
		return shm.ErrCorrupt
	}
	return nil
}

// oldest returns the smallest ticket of the waiters that were not notified.
func (c *conditionCore) oldest() uint64 {
	oldest := uint64(math.MaxUint64)
	used := c.used()
	for i := range used {
		if c.waits(used[i].word.Load()) {
			oldest = min(oldest, used[i].ticket.Load())
		}
	}
	return oldest
}

func (w *waiter) take(p *slot, word uint32) bool {
	w.ticket = w.c.words.next.Load()
	w.c.words.next.Store(w.ticket + 1)
	p.ticket.Store(w.ticket)
	if !p.word.CompareAndSwap(word, w.mine) {
		return false
	}
	w.slot = p
	return true
}

// sleep blocks until the waiter is notified. If it returns an error, it has given up the waiter's
// slot.
func (w *waiter) sleep(ctx context.Context) error {
	err := w.c.Room().Await(ctx, &w.c.spin, w)
	switch {
	case err == nil:
		if crash.Enabled {
			crash.At(crash.ConditionWoken)
		}
	case w.failed(err):
		w.leave()
	case w.slot.word.CompareAndSwap(w.mine, 0):
		w.slot = nil
		if crash.Enabled {
			crash.At(crash.ConditionLeft)
		}
	default: // it was notified meanwhile
		err = nil
	}
	return err
}

// failed reports whether err, of sleep, is not ctx's error: then there is no point in acquiring the
// lock again.
func (*waiter) failed(err error) bool {
	return err == os.ErrClosed || err == ErrOwnerDied || err == shm.ErrCorrupt
}

// leave gives up the waiter's slot. If the waiter was notified, it leaves the notification behind.
func (w *waiter) leave() {
	if w.slot != nil && !w.slot.word.CompareAndSwap(w.mine, 0) {
		w.handOn(w.slot)
	}
	w.slot = nil
}

// handOn leaves the notification in p behind and wakes all waiters of the segment.
func (w *waiter) handOn(p *slot) {
	if p.word.CompareAndSwap(w.mine|notified, leftBehind) {
		if crash.Enabled {
			crash.At(crash.ConditionHandedOn)
		}
		w.c.Table().Wake()
	}
}

func (w *waiter) Try() (bool, error) {
	if !w.wanted() {
		return false, os.ErrClosed
	}
	switch w.slot.word.Load() {
	case w.mine:
	case w.mine | notified:
		return true, nil
	default:
		return false, shm.ErrCorrupt
	}
	epoch := w.c.Table().Epoch().Load()
	if w.scanned && w.seen == epoch {
		return w.armed && w.unanswered(), nil
	}
	w.scanned, w.seen = true, epoch // before the scan: after a later death it scans again
	if w.takeOver() {
		return true, nil
	}
	if w.g.died() {
		return false, ErrOwnerDied
	}
	return false, nil
}

// takeOver takes a notification that was left behind, if this waiter was waiting when it was given.
func (w *waiter) takeOver() bool {
	used := w.c.used()
	for i := range used {
		p := &used[i]
		v := p.word.Load()
		if !w.c.left(v) || w.ticket >= p.until.Load() || !p.word.CompareAndSwap(v, w.mine|notified) {
			continue
		}
		if crash.Enabled {
			crash.At(crash.ConditionTakenOver)
		}
		if w.slot.word.CompareAndSwap(w.mine, 0) {
			w.slot = p
		} else {
			w.handOn(p) // w was notified itself meanwhile: p is for another waiter
		}
		return true
	}
	return false
}

// answerTime is how long a notified waiter may take to return with the lock. After that the others
// that were waiting when it was notified end their waits.
const answerTime = 2 * time.Second

// unanswered reports whether a notification that was given while this waiter waited has stood in
// another waiter's slot for answerTime. That waiter may be stopped, and the change of which it was
// notified may still be unused. So this waiter ends its wait as if it were notified, too. Both keep
// their notifications, if any.
func (w *waiter) unanswered() bool {
	w.armed = false
	now := time.Now()
	if w.checkAt.IsZero() {
		w.checkAt = now.Add(answerTime / 2)
	}
	if now.Before(w.checkAt) {
		return false
	}
	w.checkAt = now.Add(answerTime)
	first := uint64(0)
	used := w.c.used()
	for i := range used {
		p := &used[i]
		v := p.word.Load()
		if v&notified == 0 || p == w.slot || w.ticket >= p.until.Load() || w.c.left(v) {
			continue
		}
		one := p.ticket.Load() + 1
		if one == w.late {
			return true
		}
		if first == 0 || one < first {
			first = one
		}
	}
	w.late = first
	return false
}

func (w *waiter) Arm() (wait.Armed, bool) {
	w.armed = true
	word := &w.slot.word
	return wait.Armed{Word: futex.Word{Addr: word, Val: w.mine}}, word.Load() == w.mine
}

// Pass does nothing: no other waiter sleeps on this waiter's word.
func (*waiter) Pass(bool, bool) {}

// notify notifies up to n waiters, in the order of their tickets. The caller holds the lock.
func (c *conditionCore) notify(n int) {
	type turn struct {
		ticket uint64
		slot   *slot
		word   uint32
	}
	var few [16]turn
	waiting := few[:0]
	used := c.used()
	for i := range used {
		if v := used[i].word.Load(); c.waits(v) {
			waiting = append(waiting, turn{used[i].ticket.Load(), &used[i], v})
		}
	}
	if n <= 0 || len(waiting) == 0 {
		return
	}
	slices.SortFunc(waiting, func(a, b turn) int { return cmp.Compare(a.ticket, b.ticket) })
	now := c.words.next.Load()
	c.renew(waiting[0].ticket, now)
	if crash.Enabled {
		crash.At(crash.ConditionNotifying)
	}
	table := c.Table()
	for _, t := range waiting {
		t.slot.until.Store(now)
		if !t.slot.word.CompareAndSwap(t.word, t.word|notified) {
			continue // cancelled meanwhile
		}
		if crash.Enabled {
			crash.At(crash.ConditionNotified)
		}
		if table.Dead(party.ID(t.word >> 1)) {
			table.Wake() // waiters may have scanned the slots before N was set
		}
		futex.Wake(&t.slot.word, 1)
		if n--; n == 0 {
			return
		}
	}
}

// renew widens each outstanding notification, whose waiter has not returned yet, to all present
// waiters. notify calls it before it notifies the waiter with the smallest ticket, which is ticket.
// now is the next ticket.
//
// An outstanding notification that is left behind goes to a waiter with a ticket below its until:
// one that was waiting when it was given. If such a waiter is notified itself now, it does not take
// over the other notification. So a waiter that came later must be allowed to. For example:
//
//	1  A and B wait, with tickets 0 and 1. Notify(1) notifies A. The notification's until is 2, so
//	   B may take it over.
//	2  C waits, with ticket 2. Notify(1) notifies B. renew sets the until of A's notification to 3.
//	3  A turns out to be dead. B has a notification of its own, so C takes A's over: two
//	   notifications were given, and two waiters return.
//
// If several notified waiters turn out to be dead, more waiters may return than were notified,
// never fewer.
func (c *conditionCore) renew(ticket, now uint64) {
	table := c.Table()
	used := c.used()
	for i := range used {
		p := &used[i]
		if p.word.Load()&notified == 0 || p.until.Load() <= ticket {
			continue
		}
		p.until.Store(now)
		if c.left(p.word.Load()) { // it may have been left behind since the load above
			table.Wake() // waiters that could not take it over before try again
		}
	}
}
