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

// A WaitGroup counts work that is not done yet, in any processes, and lets goroutines wait until
// the count is zero.
//
// Each count belongs to a process, so that its death is noticed. Add counts for the process that
// calls it. Claim moves a count that another process has added to the caller. So a process calls
// Add before it starts a child; the child calls Claim first, and Done at the end. If a process that
// has counts dies, Wait returns ErrOwnerDied, in all processes, until Recover has dropped the
// counts of the dead.
//
// A Done synchronizes before the return of each Wait that it ends, and of later ones.
//
// Add, Done, Claim and Recover wait for each other, for the few instructions that each takes; apart
// from that they do not block. A WaitGroup must not be copied. The zero WaitGroup is closed. All
// methods may be called from several goroutines at once.
type WaitGroup struct {
	handle[groupCore, *groupCore]
}

var _ marshaler = (*WaitGroup)(nil)

// groupWords is a WaitGroup in shared memory. The shares follow: for each line of the party table
// two 64-bit words, the counts that the party has added and those that it has claimed. Share 0
// belongs to no party. It has the counts of dead parties whose line another party uses now.
//
//	0    lock  robust lock: its owner may change what follows
//	128  total  of all shares
//	136  gate   where waiters sleep
//	144  top    the highest line that has or had a count
//	256  log    the change that is being made
//	320  shares
//
// A change sets the total and one or two shares. The owner of the lock writes it into the log, and
// then makes it. A process that takes the lock over from a dead owner makes the change that is in
// the log. So a change is made completely or not at all. If the process is killed after
//
//	1  changes logged, then their number   not made if before the number, made if after it
//	2  shares written                      made: the next owner makes it again from the log
//	3  total written                       the same
//	4  number 0, log empty                 made; the death wakes the waiters
//	5  lock released                      as in package robust
type groupWords struct {
	_     structs.HostLayout
	lock  robust.Words
	_     [112]byte
	total atomic.Uint64
	gate  wait.Gate
	top   atomic.Uint32
	_     [108]byte
	log   groupLog
	_     [16]byte
}

// A groupLog is a change. n is the number of shares that it sets, 0 if there is no change to make.
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
	errMaxCount     = fmt.Errorf("%w: there would be more than %d counts", ErrOverflow, maxCount)
)

// A groupTotal is the number of counts, and how often it has become 0. The latter tells a waiter
// that the count was 0 even if it is not any more.
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

// A groupShare is a number of counts of one party.
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

// less returns s with one count fewer.
func (s groupShare) less() groupShare { return newGroupShare(s.party(), max(s.count(), 1)-1) }

// added and claimed return the indexes of a line's shares.
func added(line int) int   { return 2 * line }
func claimed(line int) int { return 2*line + 1 }

type groupCore struct {
	object.Base
	words  *groupWords
	shares []atomic.Uint64
	lock   robust.Mutex
	spin   wait.Spinner
}

// NewWaitGroup makes a wait group without counts in seg, with an optional name. NewWaitGroup fails
// as every New function does: see package shm.
func NewWaitGroup(seg *shm.Segment, name string) (*WaitGroup, error) {
	g := new(WaitGroup)
	if err := g.ref.New(seg, name, groupSize, nil); err != nil {
		return nil, err
	}
	return g, nil
}

// OpenWaitGroup opens the wait group of that name. It fails as every Open function does: see
// package shm.
func OpenWaitGroup(seg *shm.Segment, name string) (*WaitGroup, error) {
	g := new(WaitGroup)
	if err := g.ref.Open(seg, name); err != nil {
		return nil, err
	}
	return g, nil
}

func (*groupCore) Type() (shm.Kind, uint64, error) { return shm.KindWaitGroup, groupPrint, nil }

func (c *groupCore) Use(o object.Object) error {
	if err := c.Init(o, groupSize); err != nil {
		return err
	}
	c.words = view.At[groupWords](o.Bytes(), 0)
	c.shares = view.Slice[atomic.Uint64](o.Bytes(), groupShares, 2*(party.MaxLines+1))
	c.lock.Init(&c.words.lock, o.Table(), o.Room())
	c.lock.Count(o.Counters())
	c.spin.Count(o.Counters())
	return nil
}

// Add adds n counts, which belong to this process. It fails with ErrInvalid if n is negative, with
// ErrOverflow if there would be more than 2^31-1 counts, or with ErrClosed.
func (g *WaitGroup) Add(n int) error {
	return g.change("Add", func(c *groupCore) error { return c.add(n) })
}

// Done takes one count back: one of this process if it has any, first those that it has added;
// otherwise one of another living process. If it was the last, it wakes all waiters. It fails with
// ErrOwnerDied if only dead processes have counts, with ErrOverRelease if there are no counts, or
// with ErrClosed.
func (g *WaitGroup) Done() error { return g.change("Done", (*groupCore).done) }

// Claim transfers to this process one count that another living process has added. If it can, it
// takes the count from a process that has not called Claim. It fails with ErrOverRelease if no such
// count is unclaimed, or with ErrClosed.
//
// Counts are interchangeable: Claim may take one that was not added for the caller, and Done may
// take the last one of a process that goes on. The total is right all the same, but the death of a
// process without a count goes unnoticed. So a group that counts processes should not count their
// goroutines, too.
func (g *WaitGroup) Claim() error { return g.change("Claim", (*groupCore).claim) }

// Recover drops all counts of processes that died. It returns how many. It fails with ErrClosed.
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

// Go calls f in a new goroutine, and adds a count that is taken back when f returns. It fails as
// Add does; then it does not call f.
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

// Wait blocks until the count is zero, or was zero since Wait was called. It fails with
// ErrOwnerDied if a process that had counts died, with ctx's error when ctx is done (it tries once
// even if ctx is done already), or with ErrClosed when this process closes the wait group.
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

// change runs f while it owns the lock, for the method op.
func (g *WaitGroup) change(op string, f func(c *groupCore) error) error {
	c := g.ref.Load()
	if c == nil {
		return g.closed(op)
	}
	_, err := c.lock.TakeOver(context.Background(), g.ref.Wanted(c))
	if err == nil {
		c.redo()
		err = f(c)
		c.lock.Release()
	}
	return c.fail(op, c.Done(err))
}

// fail returns the error of the method op.
func (c *groupCore) fail(op string, err error) error {
	if err == ErrOwnerDied {
		err = errCountsOfDead
	}
	return failed(&c.Base, op, err)
}

func (c *groupCore) total() groupTotal { return groupTotal(c.words.total.Load()) }

func (c *groupCore) share(i int) groupShare { return groupShare(c.shares[i].Load()) }

// end returns the end of the shares that are or were in use.
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

// mine returns the index of this party's share of one kind. If a dead party had the line before,
// mine moves its counts to share 0.
func (c *groupCore) mine(kind func(line int) int) int {
	me := c.Me()
	if c.words.top.Load() < uint32(me.Line()) {
		c.words.top.Store(uint32(me.Line()))
	}
	i := kind(me.Line())
	if s := c.share(i); s.party() != me && s.count() > 0 {
		c.commit(c.total(), groupChange{0, c.more(0, s.count())}, groupChange{i, 0})
	}
	return i
}

// more returns share i with n more counts. It belongs to this party, unless it is share 0.
func (c *groupCore) more(i, n int) groupShare {
	var id party.ID
	if i != 0 {
		id = c.Me()
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

// toTake returns the share from which Done takes a count, or -1 if there is none.
func (c *groupCore) toTake() int {
	me := c.Me()
	for _, kind := range []func(int) int{added, claimed} {
		if i := kind(me.Line()); c.share(i).party() == me && c.share(i).count() > 0 {
			return i
		}
	}
	if i := c.toClaim(); i >= 0 {
		return i
	}
	for i := claimed(1); i < c.end(); i += 2 {
		if s := c.share(i); s.count() > 0 && !c.Table().Dead(s.party()) {
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

// toClaim returns the share from which Claim takes a count, or -1 if there is none. A party that
// has claimed a count was started to do that work, and may have added its other counts for itself.
// So its share comes last.
func (c *groupCore) toClaim() int {
	last := -1
	for line := 1; added(line) < c.end(); line++ {
		s := c.share(added(line))
		if s.count() == 0 || s.party() == c.Me() || c.Table().Dead(s.party()) {
			continue
		}
		last = added(line)
		if busy := c.share(claimed(line)); busy.party() != s.party() || busy.count() == 0 {
			break
		}
	}
	return last
}

// died reports whether dead parties have counts. A caller may not own the lock, so died reads share
// 0 last: counts are written there before they leave another share.
func (c *groupCore) died() bool {
	for i := c.end() - 1; i >= 0; i-- {
		if c.ofDead(i) {
			return true
		}
	}
	return false
}

// ofDead reports whether share i belongs to a dead party that has counts. It reads the share again
// after it has found the party dead: the party may have taken its counts back since the share was
// read, and died after that.
func (c *groupCore) ofDead(i int) bool {
	for s := c.share(i); s.count() > 0 && c.Table().Dead(s.party()); {
		again := c.share(i)
		if again == s {
			return true
		}
		s = again
	}
	return false
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

// A groupChange is the new word of a share.
type groupChange struct {
	share int
	word  groupShare
}

// commit logs and makes a change of one or two shares.
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

// perform makes the change that is in the log.
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

// redo makes the change that a dead owner of the lock has logged. The caller owns the lock. redo
// wakes the waiters, since the change may have given a count to a dead party.
func (c *groupCore) redo() {
	if c.words.log.n.Load() != 0 {
		c.perform()
		c.words.gate.NotifyAll()
	}
}

// A groupWaiter waits until the count is zero.
type groupWaiter struct {
	c      *groupCore
	zeros  uint32 // how often the count was 0 when Wait was called
	wanted func() bool
}

func (w *groupWaiter) Try() (bool, error) {
	c := w.c
	if !w.wanted() {
		return false, os.ErrClosed
	}
	if owner := c.lock.Owner(); owner != 0 && c.Table().Dead(owner) {
		if _, ok := c.lock.TryTakeOver(); ok { // otherwise another party makes the change, and notifies
			c.redo()
			c.lock.Release()
		}
	}
	if t := c.total(); t.count() == 0 || t.zeros() != w.zeros {
		return true, nil
	}
	if c.died() {
		return false, ErrOwnerDied
	}
	watch(&c.Base)
	return false, nil
}

func (w *groupWaiter) Arm() (wait.Armed, bool) {
	word := w.c.words.gate.Arm()
	if crash.Enabled {
		crash.At(crash.WaitGroupWaiting)
	}
	return word, true
}

// Pass does nothing: all waiters are woken together.
func (w *groupWaiter) Pass(woken, done bool) {}
