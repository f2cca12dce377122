package sync

import (
	"cmp"
	"context"
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

// conditionWords is the head of a condition in shared memory. The places
// follow it.
//
//	0    link   to the lock; written when the condition is made
//	128  next   the next waiter's ticket     both written under the lock
//	136  used   places that were ever used
//	256  places
type conditionWords struct {
	_    structs.HostLayout
	link object.Link
	_    [112]byte
	next atomic.Uint64
	used atomic.Uint32
}

// A place is where one waiter waits: it sleeps on the word.
//
//	0   word
//	8   ticket  says who came first; written under the lock, before the word
//	16  until   who had a smaller ticket waited when the place was notified, or
//	            later, see renew; written under the lock, at first before N is set
//
//	 31                                  1   0
//	+--------------------------------------+---+
//	| party ID of the waiter               | N |   N: notified
//	+--------------------------------------+---+
//
//	who     N
//	nobody  0   free
//	alive   0   waits
//	alive   1   has a notification, and is on its way out of Wait
//	dead    0   as good as free
//	dead    1   left a notification behind, for one who waited at the time
//	nobody  1   the same: its waiter could not come back with the lock
//
// Places are taken, and N is set, under the condition's lock. All else is one
// CAS without it, by the waiter whose place it is: to free its place, or to
// leave its notification behind; or by a waiter who takes such a notification
// over, with the place in which it stands. A notification thus is in exactly one
// place all the time, and nobody answers for having got it: a notifier waits for
// nobody.
//
// One who is notified and stopped (SIGSTOP, a debugger, a frozen cgroup) keeps its
// notification. No notifier waits for it, and NotifyAll and later notifications reach
// the others; but what it was notified of may lie there while others wait who could
// take it. So waiters that see for two seconds that it does not come back end
// their waits, too: see unanswered.
//
// What is left behind is found because everyone who waits looks at all places
// whenever the epoch moves: it moves at each death, and who leaves one behind
// alive moves it.
//
//	killed                                             then
//	ConditionEnqueued: has a place, holds the lock     its place is free; the lock is the dead's
//	ConditionReleased: the same, lock free             its place is free
//	asleep, not notified                               the same
//	ConditionWoken: notified, without the lock         another takes its notification over
//	ConditionTakenOver: in another's place, its own    the same for the place it took, and for
//	    not given up                                   its own if that was notified as well
//	ConditionHandedOn: left one behind, nobody told    its death tells
//	ConditionLeft: cancelled, place free, no lock      nothing is left of it
//	ConditionReacquired: notified, holds the lock      as ConditionWoken; the lock is the dead's
//	ConditionNotifying: notifier, nobody notified yet  the lock is the dead's
//	ConditionNotified: N set, nobody woken             its death wakes; the lock is the dead's
type place struct {
	_      structs.HostLayout
	word   atomic.Uint32
	_      uint32
	ticket atomic.Uint64
	until  atomic.Uint64
}

const (
	placesAt  = 256
	placeSize = 24

	notified   = 1        // N
	leftBehind = notified // a notification of nobody

	defaultWaiters = 1024
	maxWaiters     = 1 << 20
)

var errLockClosed = &reworded{"this process has closed its lock", ErrClosed}

// A guard is the lock of a condition, in the hands of one caller.
type guard interface {
	// held tells whether the caller holds the lock.
	held() bool
	// died tells whether a dead one holds it, and nobody can have it.
	died() bool
	// letGo releases the lock, however often it was acquired.
	letGo() error
	// takeBack undoes letGo. It waits until wanted is false or the lock's
	// owner died.
	takeBack(wanted func() bool) error
}

// conditionCore is what the two kinds of conditions have in common.
type conditionCore struct {
	object.Base
	words  *conditionWords
	places []place
	spin   wait.Spinner
}

// newCondition makes the object of a condition on the lock of h.
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
	return r.New(seg, name, placesAt+waiters*placeSize, func(mem []byte) error {
		view.At[conditionWords](mem, 0).link.Set(h)
		return nil
	})
}

// useCondition makes c the core of o, and l refer to the lock that o is linked to.
func useCondition[C any, P object.Core[C]](c *conditionCore, o *object.Object, l *object.Ref[C, P]) error {
	if err := c.Init(o, placesAt+placeSize); err != nil {
		return err
	}
	mem := o.Bytes()
	c.words = view.At[conditionWords](mem, 0)
	c.places = view.Slice[place](mem, placesAt, (len(mem)-placesAt)/placeSize)
	kind, print, err := P(nil).Type()
	if err != nil {
		return err
	}
	lock, err := c.words.link.Open(o, kind, print)
	if err != nil {
		return fmt.Errorf("lock of a condition: %w", err)
	}
	return l.Use(lock)
}

// used returns the places that were ever used.
func (c *conditionCore) used() []place {
	return c.places[:min(int64(c.words.used.Load()), int64(len(c.places)))]
}

// waits tells whether w is the word of somebody alive who waits.
func (c *conditionCore) waits(w uint32) bool {
	return w&notified == 0 && !c.Object().Table().Dead(party.ID(w>>1))
}

// left tells whether w is the word of a notification that was left behind.
func (c *conditionCore) left(w uint32) bool {
	return w&notified != 0 && c.Object().Table().Dead(party.ID(w>>1))
}

// wait waits for a notification. It returns nil, ctx's error or ErrWaiters with
// the lock held, and any other error without; held says so.
func (c *conditionCore) wait(ctx context.Context, g guard, wanted func() bool) (held bool, err error) {
	held, err = c.waitWith(ctx, &waiter{c: c, g: g, wanted: wanted, mine: uint32(c.Object().Me()) << 1})
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
	if err := w.g.letGo(); err != nil {
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
	if err := w.g.takeBack(w.wanted); err != nil {
		w.leave()
		return false, err
	}
	if err == nil {
		if crash.Enabled {
			crash.At(crash.ConditionReacquired)
		}
		if !w.place.word.CompareAndSwap(w.mine, 0) { // see unanswered
			w.place.word.CompareAndSwap(w.mine|notified, 0) // used up
		}
	}
	return true, err
}

// A waiter is a call of wait: it has a place.
type waiter struct {
	c      *conditionCore
	g      guard
	wanted func() bool
	mine   uint32 // the word of its place while it waits
	place  *place // nil when it has left it
	ticket uint64
	looked bool   // has looked at the others' places
	seen   uint32 // epoch before it last did

	rests  bool      // is about to sleep
	relook time.Time // when to look again for one that does not answer
	late   uint64    // 1 + the ticket of one that had not answered at the last look
}

// enqueue takes a place, under the lock.
func (w *waiter) enqueue() error {
	c := w.c
	used := c.used()
	for i := range used {
		v := used[i].word.Load()
		if v&notified == 0 && !c.waits(v) && w.take(&used[i], v) {
			return nil
		}
	}
	// What was left behind is void when nobody who waited then waits any more.
	oldest := c.oldest()
	for i := range used {
		v := used[i].word.Load()
		if c.left(v) && used[i].until.Load() <= oldest && w.take(&used[i], v) {
			return nil
		}
	}
	if len(used) == len(c.places) {
		return fmt.Errorf("%w: it has room for %d: make it with more ConditionOptions.Waiters", ErrWaiters, len(c.places))
	}
	c.words.used.Store(uint32(len(used) + 1))
	p := &c.places[len(used)]
	if !w.take(p, p.word.Load()) {
		return shm.ErrCorrupt
	}
	return nil
}

// oldest returns the smallest ticket of those who wait.
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

func (w *waiter) take(p *place, word uint32) bool {
	w.ticket = w.c.words.next.Load()
	w.c.words.next.Store(w.ticket + 1)
	p.ticket.Store(w.ticket)
	if !p.word.CompareAndSwap(word, w.mine) {
		return false
	}
	w.place = p
	return true
}

// sleep blocks until the waiter has a notification. Otherwise it returns an
// error, and the waiter has left its place.
func (w *waiter) sleep(ctx context.Context) error {
	err := w.c.Room().Await(ctx, &w.c.spin, w)
	switch {
	case err == nil:
		if crash.Enabled {
			crash.At(crash.ConditionWoken)
		}
	case w.failed(err):
		w.leave()
	case w.place.word.CompareAndSwap(w.mine, 0):
		w.place = nil
		if crash.Enabled {
			crash.At(crash.ConditionLeft)
		}
	default: // notified at the last moment
		err = nil
	}
	return err
}

// failed tells whether err, of sleep, is another than the context's: there is
// no point in taking the lock again.
func (*waiter) failed(err error) bool {
	return err == os.ErrClosed || err == ErrOwnerDied || err == shm.ErrCorrupt
}

// leave gives up the waiter's place, and a notification with it.
func (w *waiter) leave() {
	if w.place != nil && !w.place.word.CompareAndSwap(w.mine, 0) {
		w.handOn(w.place)
	}
	w.place = nil
}

// handOn leaves the notification in p behind and tells everyone.
func (w *waiter) handOn(p *place) {
	if p.word.CompareAndSwap(w.mine|notified, leftBehind) {
		if crash.Enabled {
			crash.At(crash.ConditionHandedOn)
		}
		w.c.Object().Table().Wake()
	}
}

func (w *waiter) Try() (bool, error) {
	if !w.wanted() {
		return false, os.ErrClosed
	}
	switch w.place.word.Load() {
	case w.mine:
	case w.mine | notified:
		return true, nil
	default:
		return false, shm.ErrCorrupt
	}
	epoch := w.c.Object().Table().Epoch().Load()
	if w.looked && w.seen == epoch {
		return w.rests && w.unanswered(), nil
	}
	w.looked, w.seen = true, epoch // before the look: a later death is for the next
	if w.takeOver() {
		return true, nil
	}
	if w.g.died() {
		return false, ErrOwnerDied
	}
	return false, nil
}

// takeOver takes a notification that was left behind by one who was notified
// when this waiter already waited.
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
		if w.place.word.CompareAndSwap(w.mine, 0) {
			w.place = p
		} else {
			w.handOn(p) // notified itself meanwhile, maybe before that one was: then it is for others
		}
		return true
	}
	return false
}

// answerTime is how long a notified waiter may take to come back with the lock
// before others who waited at the time look for themselves.
const answerTime = 2 * time.Second

// unanswered reports whether a notification that was given while this waiter
// waited has stood in another's place for answerTime. That one may be stopped, and
// what it was notified of be lying there: so this one ends its wait as if it was
// notified as well. Both notifications remain what they are.
func (w *waiter) unanswered() bool {
	w.rests = false
	now := time.Now()
	if w.relook.IsZero() {
		w.relook = now.Add(answerTime / 2)
	}
	if now.Before(w.relook) {
		return false
	}
	w.relook = now.Add(answerTime)
	first := uint64(0)
	used := w.c.used()
	for i := range used {
		p := &used[i]
		v := p.word.Load()
		if v&notified == 0 || p == w.place || w.ticket >= p.until.Load() || w.c.left(v) {
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
	w.rests = true
	word := &w.place.word
	return wait.Armed{Word: futex.Word{Addr: word, Val: w.mine}}, word.Load() == w.mine
}

// Pass has nothing to hand on: nobody else sleeps on the waiter's word.
func (*waiter) Pass(bool, bool) {}

// notify notifies up to n of those who wait, in the order of their coming.
// The lock is held.
func (c *conditionCore) notify(n int) {
	type turn struct {
		ticket uint64
		place  *place
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
	table := c.Object().Table()
	for _, t := range waiting {
		t.place.until.Store(now)
		if !t.place.word.CompareAndSwap(t.word, t.word|notified) {
			continue // cancelled meanwhile
		}
		if crash.Enabled {
			crash.At(crash.ConditionNotified)
		}
		if table.Dead(party.ID(t.word >> 1)) {
			table.Wake() // its death may have been looked at before
		}
		futex.Wake(&t.place.word, 1)
		if n--; n == 0 {
			return
		}
	}
}

// renew prepares for the death of those who have been notified before and have
// not come back yet. What such a one leaves behind is for those who waited at the
// time; when one of these, who came with ticket, is notified itself now, it will
// not take it, and instead what it gets now is one too many: for those who wait
// now. If several then turn out to be dead, more may wake than should; never
// fewer.
func (c *conditionCore) renew(ticket, now uint64) {
	table := c.Object().Table()
	used := c.used()
	for i := range used {
		p := &used[i]
		if p.word.Load()&notified == 0 || p.until.Load() <= ticket {
			continue
		}
		p.until.Store(now)
		if c.left(p.word.Load()) { // it may have been left since the look above
			table.Wake() // those who could not have it before look again
		}
	}
}
