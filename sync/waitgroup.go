package sync

import (
	"context"
	"fmt"
	"math"
	"os"
	"structs"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/internal/party"
	"github.com/seed-2e7ecdea/mp/internal/robust"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/internal/wait"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A WaitGroup counts what is still to be done, in any processes, and lets
// others wait until nothing is.
//
// Each count belongs to a process, so that a death is noticed: Add counts for
// the process that calls it, and Claim makes a count that another has added the
// caller's. Who starts a process to do something calls Add before; the child
// calls Claim first and Done at the end. When a process dies that has counts, Wait
// fails with ErrOwnerDied, for everyone, until Recover drops the counts of the
// dead.
//
// A Done synchronizes before the return of the Waits that it ends, and of those
// that come later.
//
// Add, Done, Claim and Recover wait for each other, for the few instructions
// that they take; but for that they don't block. A WaitGroup must not be copied.
// The zero WaitGroup is closed. All methods may be called from several goroutines
// at once.
type WaitGroup struct {
	handle[groupCore, *groupCore]
}

var _ marshaler = (*WaitGroup)(nil)

// groupWords is a WaitGroup in shared memory. The shares follow, two 64-bit
// words for each line of the party table: what the party has added, and what it
// has claimed. Share 0, of nobody, has the counts of the dead whose line another
// party has got.
//
//	0    guard  robust lock: who has it may change what follows
//	128  total  of all shares
//	136  gate   of those who wait
//	144  top    the highest line that has or had a count
//	256  log    the change that is being made
//	320  shares
//
// A change sets the total and one or two shares. It is written into the log
// first, then done. Who takes the guard over from the dead does what is in the
// log. So a change is made whole or not at all, wherever its maker is killed:
//
//	1  changes logged, then their number   not made before the number, made after
//	2  shares written                      made: done again from the log
//	3  total written                       the same
//	4  number 0, log empty                 made; the death wakes who waits
//	5  guard left                          as in package robust
type groupWords struct {
	_     structs.HostLayout
	guard robust.Words
	_     [112]byte
	total atomic.Uint64
	gate  wait.Gate
	top   atomic.Uint32
	_     [108]byte
	log   groupLog
	_     [16]byte
}

// A groupLog is a change. n is how many shares it sets, 0 if there is none to
// make.
type groupLog struct {
	_     structs.HostLayout
	n     atomic.Uint32
	_     [4]byte
	total atomic.Uint64
	sets  [2]groupSet
}

type groupSet struct {
	_     structs.HostLayout
	share atomic.Uint32
	_     [4]byte
	word  atomic.Uint64
}

const (
	groupShares = 320 // offset
	groupSize   = groupShares + 8*2*(party.MaxLines+1)
	groupPrint  = 1 // version of groupWords
	maxCount    = math.MaxInt32
)

var (
	errCountsOfDead = &reworded{"a process died that had counts: drop them with Recover", ErrOwnerDied}
	errNoCount      = fmt.Errorf("%w: no process has a count: call Add first", ErrOverRelease)
	errNoClaim      = fmt.Errorf("%w: no living process has a count that is not claimed", ErrOverRelease)
	errMaxCount     = fmt.Errorf("%w: there would be more than %d counts", ErrTooMany, maxCount)
)

// A groupTotal is the number of counts, and how often that has become 0, by
// which a waiter sees that it was 0 even if it is not any more.
//
//	 63              32  31               0
//	+------------------+-------------------+
//	|  times it was 0  |  counts           |
//	+------------------+-------------------+
type groupTotal uint64

func (t groupTotal) count() int    { return int(min(t&math.MaxUint32, maxCount)) }
func (t groupTotal) zeros() uint32 { return uint32(t >> 32) }

func (t groupTotal) with(count int) groupTotal {
	if count <= 0 {
		return groupTotal(t.zeros()+1) << 32
	}
	return t>>32<<32 | groupTotal(count)
}

// A groupShare is some of what one party has to do.
//
//	 63         32  31               0
//	+-------------+-------------------+
//	|  party ID   |  counts           |
//	+-------------+-------------------+
type groupShare uint64

func newGroupShare(id party.ID, count int) groupShare {
	return groupShare(id)<<32 | groupShare(uint32(count))
}
func (s groupShare) party() party.ID { return party.ID(s >> 32) }
func (s groupShare) count() int      { return int(min(s&math.MaxUint32, maxCount)) }

// less returns s with one count less.
func (s groupShare) less() groupShare { return newGroupShare(s.party(), max(s.count(), 1)-1) }

// Where a line's shares are.
func added(line int) int   { return 2 * line }
func claimed(line int) int { return 2*line + 1 }

type groupCore struct {
	object.Base
	words  *groupWords
	shares []atomic.Uint64
	guard  robust.Mutex
	spin   wait.Spinner
}

// NewWaitGroup makes a wait group without counts in seg, with an optional
// name. It fails as shm.Segment.NewObject does.
func NewWaitGroup(seg *shm.Segment, name string) (*WaitGroup, error) {
	g := new(WaitGroup)
	if err := g.ref.New(seg, name, groupSize, nil); err != nil {
		return nil, err
	}
	return g, nil
}

// OpenWaitGroup opens the wait group of that name. It fails as
// shm.Segment.OpenObject does.
func OpenWaitGroup(seg *shm.Segment, name string) (*WaitGroup, error) {
	g := new(WaitGroup)
	if err := g.ref.Open(seg, name); err != nil {
		return nil, err
	}
	return g, nil
}

func (*groupCore) Type() (shm.Kind, uint64, error) { return shm.KindWaitGroup, groupPrint, nil }

func (c *groupCore) Use(o *object.Object) error {
	if err := c.Init(o, groupSize); err != nil {
		return err
	}
	c.words = view.At[groupWords](o.Bytes(), 0)
	c.shares = view.Slice[atomic.Uint64](o.Bytes(), groupShares, 2*(party.MaxLines+1))
	c.guard.Init(&c.words.guard, o.Table(), o.Room())
	return nil
}

// Add counts n more, n at least 0, for this process. It fails with ErrInvalid
// if n is less than 0, ErrTooMany if there would be more than 2^31-1, or
// ErrClosed.
func (g *WaitGroup) Add(n int) error {
	return g.change("Add", func(c *groupCore) error { return c.add(n) })
}

// Done takes one count back: one of this process's if it has any, at first
// of what it has added, else one of another living process. If it was the last, all who wait go on. It fails with
// ErrOwnerDied if only the dead have counts, ErrOverRelease if nobody has, or
// ErrClosed.
func (g *WaitGroup) Done() error { return g.change("Done", (*groupCore).done) }

// Claim makes a count that another living process has added one of this
// process, one of a process that has not claimed any itself if there is a choice.
// It fails with ErrOverRelease if there is none that nobody has claimed, or
// ErrClosed.
//
// Counts are alike: Claim may take one that was not added for the caller, and
// Done the last one of a process that goes on. The number is right all the same,
// but a process without a count dies unnoticed: a group for processes is best not
// used for their goroutines, too.
func (g *WaitGroup) Claim() error { return g.change("Claim", (*groupCore).claim) }

// Recover drops all counts of processes that died, and returns how many. It
// fails with ErrClosed.
func (g *WaitGroup) Recover() (dropped int, err error) {
	err = g.change("Recover", func(c *groupCore) error {
		dropped = c.drop()
		return nil
	})
	if err != nil {
		return 0, err
	}
	return dropped, nil
}

// Go calls f in a new goroutine, with a count that is taken back when f
// returns. It fails as Add does, and does not call f then.
func (g *WaitGroup) Go(f func()) error {
	if err := g.Add(1); err != nil {
		return as("psync: Go", err)
	}
	go func() {
		defer g.Done()
		f()
	}()
	return nil
}

// Wait waits until nothing is counted; it does not matter if there is more to
// do again by the time that it returns. It fails with ErrOwnerDied if a process
// died that had counts, ctx's error (it looks once even if ctx has ended
// already), or ErrClosed.
func (g *WaitGroup) Wait(ctx context.Context) error {
	c := g.ref.Load()
	if c == nil {
		return g.closed("Wait")
	}
	w := groupWaiter{c, c.total().zeros(), g.ref.Wanted(c)}
	done, err := w.Try()
	if !done && err == nil {
		err = c.Room().Await(ctx, &c.spin, &w)
	}
	return c.fail("Wait", c.Done(err))
}

// change runs f with the guard, for the method op.
func (g *WaitGroup) change(op string, f func(c *groupCore) error) error {
	c := g.ref.Load()
	if c == nil {
		return g.closed(op)
	}
	_, err := c.guard.TakeOver(context.Background(), g.ref.Wanted(c))
	if err == nil {
		c.redo()
		err = f(c)
		c.guard.Release()
	}
	return c.fail(op, c.Done(err))
}

// fail returns the error of the method op.
func (c *groupCore) fail(op string, err error) error {
	if err == ErrOwnerDied {
		err = errCountsOfDead
	}
	return c.Fail("psync: "+op, err)
}

func (c *groupCore) total() groupTotal { return groupTotal(c.words.total.Load()) }

func (c *groupCore) share(i int) groupShare { return groupShare(c.shares[i].Load()) }

// end returns the end of the shares that are or were used.
func (c *groupCore) end() int { return added(int(min(c.words.top.Load(), party.MaxLines)) + 1) }

func (c *groupCore) add(n int) error {
	if n < 0 {
		return fmt.Errorf("%w: %d counts, want 0 or more", ErrInvalid, n)
	}
	if n == 0 {
		return nil
	}
	t := c.total()
	if n > maxCount-t.count() {
		return errMaxCount
	}
	i := c.mine(added)
	c.commit(t.with(t.count()+n), groupChange{i, c.more(i, n)})
	return nil
}

// mine returns where this party's share of one kind is. Counts of a dead party
// that had the line go to share 0.
func (c *groupCore) mine(kind func(line int) int) int {
	me := c.Object().Me()
	if c.words.top.Load() < uint32(me.Line()) {
		c.words.top.Store(uint32(me.Line()))
	}
	i := kind(me.Line())
	if s := c.share(i); s.party() != me && s.count() > 0 {
		c.commit(c.total(), groupChange{0, c.more(0, s.count())}, groupChange{i, 0})
	}
	return i
}

// more returns share i with n counts more, this party's unless it is share 0.
func (c *groupCore) more(i, n int) groupShare {
	var id party.ID
	if i != 0 {
		id = c.Object().Me()
	}
	return newGroupShare(id, min(c.share(i).count(), maxCount-n)+n)
}

func (c *groupCore) done() error {
	i := c.toTake()
	if i < 0 {
		if c.died() {
			return ErrOwnerDied
		}
		return errNoCount
	}
	t := c.total()
	c.commit(t.with(t.count()-1), groupChange{i, c.share(i).less()})
	return nil
}

// toTake returns the share from which Done takes a count, -1 if there is none.
func (c *groupCore) toTake() int {
	me := c.Object().Me()
	for _, kind := range []func(int) int{added, claimed} {
		if i := kind(me.Line()); c.share(i).party() == me && c.share(i).count() > 0 {
			return i
		}
	}
	if i := c.toClaim(); i >= 0 {
		return i
	}
	for i := claimed(1); i < c.end(); i += 2 {
		if s := c.share(i); s.count() > 0 && !c.Object().Table().Dead(s.party()) {
			return i
		}
	}
	return -1
}

func (c *groupCore) claim() error {
	from := c.toClaim()
	if from < 0 {
		return errNoClaim
	}
	to := c.mine(claimed)
	c.commit(c.total(), groupChange{from, c.share(from).less()}, groupChange{to, c.more(to, 1)})
	return nil
}

// toClaim returns the share from which Claim takes a count, -1 if there is
// none. Who has claimed something itself, and so has been started to do it, may
// have added the rest for itself: it comes last.
func (c *groupCore) toClaim() int {
	last := -1
	for line := 1; added(line) < c.end(); line++ {
		s := c.share(added(line))
		if s.count() == 0 || s.party() == c.Object().Me() || c.Object().Table().Dead(s.party()) {
			continue
		}
		last = added(line)
		if busy := c.share(claimed(line)); busy.party() != s.party() || busy.count() == 0 {
			break
		}
	}
	return last
}

// died tells whether the dead have counts. Without the guard it looks at share
// 0 last: counts go there before they leave another share.
func (c *groupCore) died() bool {
	for i := c.end() - 1; i >= 0; i-- {
		if c.ofDead(i) {
			return true
		}
	}
	return false
}

func (c *groupCore) ofDead(i int) bool {
	s := c.share(i)
	return s.count() > 0 && c.Object().Table().Dead(s.party())
}

func (c *groupCore) drop() (dropped int) {
	for i := range c.end() {
		if c.ofDead(i) {
			n, t := c.share(i).count(), c.total()
			c.commit(t.with(t.count()-n), groupChange{i, 0})
			dropped += n
		}
	}
	return dropped
}

// A groupChange says what a share is to be.
type groupChange struct {
	share int
	word  groupShare
}

// commit makes a change, of one or two shares.
func (c *groupCore) commit(total groupTotal, changes ...groupChange) {
	log := &c.words.log
	for i, ch := range changes {
		log.sets[i].share.Store(uint32(ch.share))
		log.sets[i].word.Store(uint64(ch.word))
	}
	log.total.Store(uint64(total))
	log.n.Store(uint32(len(changes)))
	if crash.Enabled {
		crash.At(crash.WaitGroupLogged)
	}
	c.perform()
	if total.count() == 0 {
		c.words.gate.NotifyAll()
	}
}

// perform does what the log says.
func (c *groupCore) perform() {
	log := &c.words.log
	for i := range min(log.n.Load(), uint32(len(log.sets))) {
		if share := log.sets[i].share.Load(); share < uint32(len(c.shares)) {
			c.shares[share].Store(log.sets[i].word.Load())
		}
		if crash.Enabled && i == 0 {
			crash.At(crash.WaitGroupHalf)
		}
	}
	if crash.Enabled {
		crash.At(crash.WaitGroupApplied)
	}
	c.words.total.Store(log.total.Load())
	if crash.Enabled {
		crash.At(crash.WaitGroupCounted)
	}
	log.n.Store(0)
	if crash.Enabled {
		crash.At(crash.WaitGroupCleared)
	}
}

// redo makes the change that one who died with the guard has logged, for who
// has the guard now. Those who wait have to look again: it may have moved a count
// to the dead.
func (c *groupCore) redo() {
	if c.words.log.n.Load() != 0 {
		c.perform()
		c.words.gate.NotifyAll()
	}
}

// A groupWaiter waits until nothing is counted.
type groupWaiter struct {
	c      *groupCore
	zeros  uint32 // at the beginning
	wanted func() bool
}

func (w *groupWaiter) Try() (bool, error) {
	c := w.c
	if !w.wanted() {
		return false, os.ErrClosed
	}
	if owner := c.guard.Owner(); owner != 0 && c.Object().Table().Dead(owner) {
		if _, ok := c.guard.TryTakeOver(); ok { // else somebody else makes the change, and notifies
			c.redo()
			c.guard.Release()
		}
	}
	if t := c.total(); t.count() == 0 || t.zeros() != w.zeros {
		return true, nil
	}
	if c.died() {
		return false, ErrOwnerDied
	}
	t := c.Object().Table()
	t.Watch(t.Epoch().Load()) // who only looks is to be told of a death, too
	return false, nil
}

func (w *groupWaiter) Arm() (wait.Armed, bool) {
	word := w.c.words.gate.Arm()
	if crash.Enabled {
		crash.At(crash.WaitGroupWaiting)
	}
	return word, true
}

// Pass has nothing to do: all who wait are woken together.
func (w *groupWaiter) Pass(woken, done bool) {}
