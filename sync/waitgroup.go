package sync

import (
	"context"
	"fmt"
	"math"
	"os"
	"structs"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/futex"
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
// the process that calls it, and Claim makes another's count the caller's. Who
// starts a process to do something calls Add before; the child calls Claim first
// and Done at the end. When a process dies that has counts, Wait fails with
// ErrOwnerDied, for everyone, until Recover drops the counts of the dead.
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

// groupWords is a WaitGroup in shared memory. The lines follow, one 64-bit
// word for each line of the party table: the party ID, and how much it has to
// do. Line 0, of nobody, has the counts of the dead whose line another party
// has got.
//
//	0    guard  robust word: who has it may change what follows
//	128  total  of all lines
//	136  gate   of those who wait
//	140  top    the highest line that has or had a count
//	256  log    the change that is being made
//	320  lines
//
// A change sets the total and one or two lines. It is written into the log
// first, then done. Who takes the guard over from the dead does what is in the
// log. So a change is made whole or not at all, wherever its maker is killed:
//
//	1  changes logged, then their number   not made before the number, made after
//	2  lines written                       made: done again from the log
//	3  total written                       the same
//	4  number 0, log empty                 made; the death wakes who waits
//	5  guard left                          as in package robust
type groupWords struct {
	_     structs.HostLayout
	guard atomic.Uint32
	_     [124]byte
	total atomic.Uint64
	gate  wait.Gate
	top   atomic.Uint32
	_     [112]byte
	log   groupLog
	_     [16]byte
}

// A groupLog is a change. n is how many lines it sets, 0 if there is none to
// make.
type groupLog struct {
	_     structs.HostLayout
	n     atomic.Uint32
	_     [4]byte
	total atomic.Uint64
	sets  [2]groupSet
}

type groupSet struct {
	_    structs.HostLayout
	line atomic.Uint32
	_    [4]byte
	word atomic.Uint64
}

const (
	groupLines = 320 // offset
	groupSize  = groupLines + 8*(party.MaxLines+1)
	groupPrint = 1 // version of groupWords
	maxCount   = math.MaxInt32
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

// A groupLine is how much one party has to do.
type groupLine uint64

func newGroupLine(id party.ID, count int) groupLine {
	return groupLine(id)<<32 | groupLine(uint32(count))
}
func (l groupLine) party() party.ID { return party.ID(l >> 32) }
func (l groupLine) count() int      { return int(min(l&math.MaxUint32, maxCount)) }

type groupCore struct {
	object.Base
	words *groupWords
	lines []atomic.Uint64
	guard robust.Mutex
	spin  wait.Spinner
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

func (c *groupCore) Use(o *shm.Object) error {
	if err := c.Init(o, groupSize); err != nil {
		return err
	}
	c.words = view.At[groupWords](o.Bytes(), 0)
	c.lines = view.Slice[atomic.Uint64](o.Bytes(), groupLines, party.MaxLines+1)
	c.guard.Init(&c.words.guard, o.Table(), o.Room())
	return nil
}

// Add counts n more, n at least 0, for this process. It fails with ErrInvalid
// if n is less than 0, ErrTooMany if there would be more than 2^31-1, or
// ErrClosed.
func (g *WaitGroup) Add(n int) error {
	if n < 0 {
		return fmt.Errorf("add %d: %w", n, ErrInvalid)
	}
	return g.change(func(c *groupCore) error { return c.add(n) })
}

// Done takes one count back: this process's if it has one, else another
// living process's. If it was the last, all who wait go on. It fails with
// ErrOwnerDied if only the dead have counts, ErrOverRelease if nobody has, or
// ErrClosed.
func (g *WaitGroup) Done() error { return g.change((*groupCore).done) }

// Claim makes a count of another living process one of this process. It fails
// with ErrOverRelease if no other has one, or ErrClosed.
func (g *WaitGroup) Claim() error { return g.change((*groupCore).claim) }

// Recover drops all counts of processes that died, and returns how many. It
// fails with ErrClosed.
func (g *WaitGroup) Recover() (dropped int, err error) {
	err = g.change(func(c *groupCore) error {
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
		return err
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
		return ErrClosed
	}
	w := groupWaiter{c, c.total().zeros(), g.ref.Wanted(c)}
	done, err := w.Try()
	if !done && err == nil {
		err = c.Room().Await(ctx, &c.spin, &w)
	}
	return c.Done(err)
}

// change runs f with the guard.
func (g *WaitGroup) change(f func(c *groupCore) error) error {
	c := g.ref.Load()
	if c == nil {
		return ErrClosed
	}
	if _, err := c.guard.TakeOver(context.Background(), g.ref.Wanted(c)); err != nil {
		return c.Done(err)
	}
	c.redo()
	err := f(c)
	c.guard.Release()
	return c.Done(err)
}

func (c *groupCore) total() groupTotal { return groupTotal(c.words.total.Load()) }

func (c *groupCore) line(i int) groupLine { return groupLine(c.lines[i].Load()) }

// top returns the highest line that has or had a count.
func (c *groupCore) top() int { return int(min(c.words.top.Load(), party.MaxLines)) }

func (c *groupCore) add(n int) error {
	if n == 0 {
		return nil
	}
	t := c.total()
	if n > maxCount-t.count() {
		return ErrTooMany
	}
	c.commit(t.with(t.count()+n), c.more(n)...)
	return nil
}

// more returns what to set so that this party has n counts more. Those of a
// dead party that had its line go to line 0.
func (c *groupCore) more(n int) []groupChange {
	me := c.Object().Me()
	i := me.Line()
	if int(c.words.top.Load()) < i {
		c.words.top.Store(uint32(i))
	}
	l := c.line(i)
	if l.party() == me {
		return []groupChange{{i, newGroupLine(me, min(l.count(), maxCount-n)+n)}}
	}
	mine := groupChange{i, newGroupLine(me, n)}
	if l.count() == 0 {
		return []groupChange{mine}
	}
	lost := c.line(0).count()
	return []groupChange{{0, newGroupLine(0, min(lost, maxCount-l.count())+l.count())}, mine}
}

func (c *groupCore) done() error {
	i := c.Object().Me().Line()
	if l := c.line(i); l.party() != c.Object().Me() || l.count() == 0 {
		i = c.other()
	}
	if i < 0 {
		if c.died() {
			return ErrOwnerDied
		}
		return ErrOverRelease
	}
	t, l := c.total(), c.line(i)
	c.commit(t.with(t.count()-1), groupChange{i, newGroupLine(l.party(), l.count()-1)})
	return nil
}

func (c *groupCore) claim() error {
	i := c.other()
	if i < 0 {
		return ErrOverRelease
	}
	l := c.line(i)
	// Counts of the dead in this party's line go to line 0 first: one change
	// has room for two lines.
	if mine := c.more(0); len(mine) > 1 {
		c.commit(c.total(), mine...)
	}
	theirs := groupChange{i, newGroupLine(l.party(), l.count()-1)}
	c.commit(c.total(), append(c.more(1), theirs)...)
	return nil
}

// other returns the line of another living party with a count, -1 if there is
// none.
func (c *groupCore) other() int {
	me, t := c.Object().Me(), c.Object().Table()
	for i := 1; i <= c.top(); i++ {
		if l := c.line(i); l.count() > 0 && l.party() != me && !t.Dead(l.party()) {
			return i
		}
	}
	return -1
}

// died tells whether the dead have counts. Without the guard it looks at line 0
// last: counts go there before they leave another line.
func (c *groupCore) died() bool {
	for i := c.top(); i >= 0; i-- {
		if c.ofDead(i) {
			return true
		}
	}
	return false
}

func (c *groupCore) ofDead(i int) bool {
	l := c.line(i)
	return l.count() > 0 && c.Object().Table().Dead(l.party())
}

func (c *groupCore) drop() (dropped int) {
	for i := 0; i <= c.top(); i++ {
		if c.ofDead(i) {
			n, t := c.line(i).count(), c.total()
			c.commit(t.with(t.count()-n), groupChange{i, 0})
			dropped += n
		}
	}
	return dropped
}

// A groupChange says what a line is to be.
type groupChange struct {
	line int
	word groupLine
}

// commit makes a change, of one or two lines.
func (c *groupCore) commit(total groupTotal, changes ...groupChange) {
	log := &c.words.log
	for i, ch := range changes[:min(len(changes), len(log.sets))] {
		log.sets[i].line.Store(uint32(ch.line))
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
		if line := log.sets[i].line.Load(); line < uint32(len(c.lines)) {
			c.lines[line].Store(log.sets[i].word.Load())
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
	return false, nil
}

func (w *groupWaiter) Arm() (futex.Word, bool) {
	word := w.c.words.gate.Arm()
	if crash.Enabled {
		crash.At(crash.WaitGroupWaiting)
	}
	return word, true
}

// Pass has nothing to do: all who wait are woken together.
func (w *groupWaiter) Pass(woken, done bool) {}
