package sync

import (
	"context"
	"fmt"
	"os"
	"structs"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/lock"
	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/internal/party"
	"github.com/seed-2e7ecdea/mp/internal/robust"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/internal/wait"
	"github.com/seed-2e7ecdea/mp/shm"
)

// rwWords is an RWLock in shared memory. The readers' words follow, one cache line for each line of
// the party table.
//
//	0    flags    written when the lock is made
//	128  writer   robust lock of the writers, "the writers' lock": its owner writes or is about to
//	256  phase    the number of the writer and its state; written by the owner of the writers' lock,
//	              and by any process that finds that owner dead
//	264  drained  gate of the writer that waits for readers
//	272  top      the highest line that has or had readers
//	384  free     gate of the readers that wait for a writer
//	512  readers
//
// Each writer makes a new phase. A phase's color is the parity of its number. A reader counts
// itself in its party's line, under the color of the phase that it finds:
//
//	phase p FREE             it has the lock
//	phase p WANTED, WRITING  it has the lock as soon as phase p is in another state
//	phase p STALLED          it waits for another state or phase, and does not count itself yet
//
// Then it looks at the phase again. If the number has changed, a writer may have overlooked the
// reader: it takes its count back and begins again. The writer of phase p waits in state WANTED
// until no readers of the other color, which came before it, are counted. The readers of its own
// color wait for it. So the one step that makes the phase FREE admits all readers that wait for the
// writer, and there are no grants that a killed writer could leave half done.
//
// If the writer of phase p-1 gave up, readers that came before it may still be counted under the
// color of p. Then the writer of phase p first makes p-1 STALLED, which keeps further readers out,
// and waits until that color has none.
//
// A reader's count names its party: counts of dead parties are ignored.
//
// Steps of a writer, and what follows if it is killed after one:
//
//	1  writers' lock taken     phase is FREE: the next writer takes the lock over
//	2  STALLED, WANTED         a party that finds this state with a dead owner of the writers' lock
//	                           makes the phase FREE
//	3  WRITING                 ErrOwnerDied until Recover; as after 2 if deaths are ignored
//	4  FREE                    as after 1; the death wakes the readers
//	5  readers woken           as after 1
//	6  writers' lock released  as in package robust
//
// No two writers make the same phase WANTED or WRITING. So a party that reads such a phase, then a
// dead owner of the writers' lock, and then the same phase again, knows that the phase's writer is
// dead. A phase may be STALLED twice. If a writer finds its STALLED phase FREE, because another
// party took it for that of a dead writer, it begins again.
//
// Each step of a reader is one CAS. If a reader is killed while it is counted, the count is
// ignored. If it is killed after it took its count back, its death wakes the writer that it did not
// wake.
//
// The two colors, and readers that the next writer waits for while they wait themselves, are the
// idea of the phase-fair locks of Brandenburg and Anderson ("Spin-Based Reader-Writer
// Synchronization for Multiprocessor Real-Time Systems").
type rwWords struct {
	_       structs.HostLayout
	flags   atomic.Uint32
	_       [124]byte
	writer  robust.Words
	_       [112]byte
	phase   atomic.Uint64
	drained wait.Gate
	top     atomic.Uint32
	_       [108]byte
	free    wait.Gate
	_       [120]byte
}

// An rwReaders counts the readers of one party.
//
//	 63             32  31         16  15          0
//	+-----------------+--------------+--------------+
//	|  party ID       |  odd color   |  even color  |
//	+-----------------+--------------+--------------+
type rwReaders struct {
	_    structs.HostLayout
	word atomic.Uint64
	_    [120]byte
}

const (
	rwLines  = 512 // offset
	rwSize   = rwLines + 128*(party.MaxLines+1)
	rwPrint  = 1 // version of rwWords
	maxReads = 1<<16 - 1
)

var errTooManyReaders = fmt.Errorf("%w: this process holds it for reading, or waits to, %d times", ErrTooMany, maxReads)

// An rwPhase is a number and a state.
type rwPhase uint64

// States of a phase.
const (
	rwFree = iota
	rwWanted
	rwWriting
	rwStalled
	rwStates = 3 // mask
)

func (p rwPhase) number() uint64             { return uint64(p >> 2) }
func (p rwPhase) state() uint                { return uint(p & rwStates) }
func (p rwPhase) color() uint                { return uint(p>>2) & 1 }
func (p rwPhase) with(state rwPhase) rwPhase { return p&^rwStates | state }

// next returns the phase that the next writer makes.
func (p rwPhase) next() rwPhase { return rwPhase(p.number()+1)<<2 | rwWanted }

// reads, oneRead and readsOf take a word of rwReaders apart.
func reads(word uint64, color uint) uint64 { return word >> (16 * color) & maxReads }
func oneRead(color uint) uint64            { return 1 << (16 * color) }
func readsOf(word uint64) party.ID         { return party.ID(word >> 32) }

type rwCore struct {
	object.Base
	words   *rwWords
	lines   []rwReaders
	writer  robust.Mutex
	takes   bool // ignores deaths
	reading wait.Spinner
	writing wait.Spinner

	readHeld  object.Polled // error of TryRAcquire
	writeHeld object.Polled // error of TryAcquire
}

func (*rwCore) Type() (shm.Kind, uint64, error) { return shm.KindRWLock, rwPrint, nil }

func (c *rwCore) Use(o *object.Object) error {
	if err := c.Init(o, rwSize); err != nil {
		return err
	}
	c.words = view.At[rwWords](o.Bytes(), 0)
	c.lines = view.Slice[rwReaders](o.Bytes(), rwLines, party.MaxLines+1)
	c.takes = c.words.flags.Load()&lock.IgnoreDeaths != 0
	c.writer.Init(&c.words.writer, o.Table(), o.Room())
	return nil
}

func (c *rwCore) load() rwPhase { return rwPhase(c.words.phase.Load()) }

func (c *rwCore) cas(from, to rwPhase) bool {
	return c.words.phase.CompareAndSwap(uint64(from), uint64(to))
}

func (c *rwCore) tryRead() error {
	for {
		p := c.load()
		if p.state() != rwFree {
			if err := c.heldBy(p); err != nil {
				return err
			}
			continue
		}
		if in, err := c.join(p); err != nil || in {
			return err
		}
	}
}

func (c *rwCore) read(ctx context.Context, wanted func() bool) error {
	for {
		p := c.load()
		if p.state() == rwStalled {
			if err := c.await(ctx, p, wanted); err != nil {
				return err
			}
			continue
		}
		joined, err := c.join(p)
		if err != nil {
			return err
		}
		if !joined {
			continue
		}
		if p.state() == rwFree {
			return nil
		}
		if err := c.await(ctx, p, wanted); err != nil {
			c.unjoin(p.color())
			return err
		}
		return nil
	}
}

// await blocks while phase p keeps readers out as it does now.
func (c *rwCore) await(ctx context.Context, p rwPhase, wanted func() bool) error {
	return c.Room().Await(ctx, &c.reading, &rwReader{c, p, wanted})
}

// heldBy looks for the writer of phase p, which is not FREE. It returns ErrHeld if that lives,
// ErrOwnerDied if it died writing, and nil if the phase has changed.
func (c *rwCore) heldBy(p rwPhase) error {
	switch {
	case !c.Object().Table().Dead(c.writer.Owner()):
		watch(&c.Base)
		return ErrHeld
	case c.load() != p:
		return nil
	case p.state() != rwWriting || c.takes:
		c.free(p)
		return nil
	}
	return ErrOwnerDied
}

// free makes phase p FREE, which admits the readers that wait for it. It reports whether the phase
// was still p.
func (c *rwCore) free(p rwPhase) bool {
	if !c.cas(p, p.with(rwFree)) {
		return false
	}
	if crash.Enabled {
		crash.At(crash.RWLockFreed)
	}
	c.words.free.NotifyAll()
	c.words.drained.NotifyAll() // for a living writer to which p was STALLED
	return true
}

// line returns the line of this party.
func (c *rwCore) line() *atomic.Uint64 { return &c.lines[c.Object().Me().Line()].word }

// join counts a reader under p's color. It reports whether the phase still had p's number
// afterwards. If not, the reader is not counted.
func (c *rwCore) join(p rwPhase) (bool, error) {
	me := c.Object().Me()
	for line := c.line(); ; {
		w := line.Load()
		next := w + oneRead(p.color())
		if readsOf(w) != me { // the counts of a dead party that had the line before
			c.raise(me.Line())
			next = uint64(me)<<32 | oneRead(p.color())
		} else if reads(w, p.color()) == maxReads {
			return false, errTooManyReaders
		}
		if line.CompareAndSwap(w, next) { // [RW] before the look at the phase
			break
		}
	}
	if crash.Enabled {
		crash.At(crash.RWLockJoined)
	}
	if c.load().number() != p.number() {
		c.unjoin(p.color())
		return false, nil
	}
	return true, nil
}

// raise makes sure that writers look at line.
func (c *rwCore) raise(line int) {
	for {
		top := c.words.top.Load()
		if top >= uint32(line) || c.words.top.CompareAndSwap(top, uint32(line)) {
			return
		}
	}
}

// unjoin takes back a count that join made under the color joined. Another reader of this party may
// have taken that count for its own, see endRead; then its own is under the other color.
func (c *rwCore) unjoin(joined uint) {
	for {
		w, color := c.line().Load(), joined
		if reads(w, color) == 0 {
			color ^= 1
		}
		if readsOf(w) != c.Object().Me() || reads(w, color) == 0 || c.leave(w, color) {
			return
		}
	}
}

// endRead takes back one count of a reader that has the lock. It can't know under which color that
// reader was counted, and need not: it must only take one under which readers have the lock. In
// phase p FREE or STALLED both colors qualify, and endRead takes p's own if that has a count. So
// the other color always has at least as many counts as readers that came under it and have the
// lock. The writer of phase p+1 waits until that color has none. So it does not get the lock while
// a reader is about to leave by what it has seen of phase p.
func (c *rwCore) endRead() error {
	for {
		w := c.line().Load()
		if readsOf(w) != c.Object().Me() {
			return ErrNotHeld
		}
		p := c.load()
		color := p.color()
		switch p.state() {
		case rwFree, rwStalled:
			if reads(w, color) == 0 {
				color ^= 1
			}
		case rwWanted:
			color ^= 1
		default:
			return ErrNotHeld
		}
		if reads(w, color) == 0 {
			return ErrNotHeld
		}
		if c.leave(w, color) {
			return nil
		}
	}
}

// leave takes one count under color from this party's line. It reports whether the line was still
// w.
func (c *rwCore) leave(w uint64, color uint) bool {
	if !c.line().CompareAndSwap(w, w-oneRead(color)) {
		return false
	}
	if crash.Enabled {
		crash.At(crash.RWLockLeft)
	}
	if reads(w, color) == 1 {
		c.words.drained.NotifyAll()
	}
	return true
}

// An rwReader waits until the writer whose phase it found WANTED or WRITING is done, or until the
// phase that it found STALLED is not STALLED any more.
type rwReader struct {
	c      *rwCore
	found  rwPhase
	wanted func() bool
}

// over reports whether r need not wait any more, as the phase is p now. If r is counted, it has the
// lock then: no writer gets it before r has left.
func (r *rwReader) over(p rwPhase) bool {
	return p.number() != r.found.number() || p.state() == rwFree ||
		(p.state() == rwStalled) != (r.found.state() == rwStalled)
}

func (r *rwReader) Try() (bool, error) {
	if !r.wanted() {
		return false, os.ErrClosed
	}
	for {
		p := r.c.load()
		if r.over(p) {
			return true, nil
		}
		switch err := r.c.heldBy(p); err {
		case nil:
		case ErrHeld:
			return false, nil
		default:
			return false, err
		}
	}
}

func (r *rwReader) Arm() (wait.Armed, bool) {
	word := r.c.words.free.Arm()
	if crash.Enabled {
		crash.At(crash.RWLockQueued)
	}
	return word, true
}

// Pass does nothing: all waiters are woken together.
func (r *rwReader) Pass(woken, done bool) {}

func (c *rwCore) tryWrite() error {
	err := c.writer.TryAcquire()
	if err == ErrOwnerDied {
		err = c.inherit()
	}
	if err != nil {
		return err
	}
	// Look first: a phase that is given up would make readers wait in vain.
	if !c.empty(0) || !c.empty(1) {
		return c.disown(ErrHeld)
	}
	return c.write(func(color uint, _ rwPhase) error {
		if !c.empty(color) {
			return ErrHeld
		}
		return nil
	})
}

// own acquires the writers' lock.
func (c *rwCore) own(ctx context.Context, wanted func() bool) error {
	for {
		err := c.writer.AcquireWhile(ctx, wanted)
		if err == ErrOwnerDied {
			err = c.inherit()
		}
		if err != ErrHeld {
			return err
		}
	}
}

// disown releases the writers' lock and returns err.
func (c *rwCore) disown(err error) error {
	c.writer.Release()
	return err
}

// inherit takes the writers' lock over from a dead owner, unless that died writing. It fails with
// ErrHeld if another party was faster, and with ErrOwnerDied.
func (c *rwCore) inherit() error {
	if p := c.load(); p.state() == rwWriting && !c.takes {
		if err := c.heldBy(p); err != nil {
			return err
		}
		return ErrHeld
	}
	dead, ok := c.writer.TryTakeOver()
	if !ok {
		return ErrHeld
	}
	if c.settle() {
		return nil
	}
	c.abandon(dead)
	return ErrOwnerDied
}

// settle ends the phase of a dead writer whose writers' lock this party has taken over, and reports
// true, unless that writer died writing.
func (c *rwCore) settle() bool {
	p := c.load()
	if p.state() == rwWriting && !c.takes {
		return false
	}
	if p.state() != rwFree {
		c.free(p)
	}
	return true
}

// abandon gives the lock back to the writer that died writing.
func (c *rwCore) abandon(dead party.ID) {
	c.writer.Abandon(dead)
	c.words.free.NotifyAll()
}

// write makes the next phase and gets it to WRITING. The caller owns the writers' lock. write calls
// drain to wait until no readers are counted under a color. If drain fails, write releases the
// writers' lock.
func (c *rwCore) write(drain func(color uint, during rwPhase) error) error {
	if crash.Enabled {
		crash.At(crash.RWLockOwned)
	}
	p, err := c.want(drain)
	if err != nil {
		return c.disown(err)
	}
	if crash.Enabled {
		crash.At(crash.RWLockWanted)
	}
	if err := drain(p.color()^1, p); err != nil {
		c.free(p)
		return c.disown(err)
	}
	if !c.cas(p, p.with(rwWriting)) {
		return c.disown(shm.ErrCorrupt)
	}
	if crash.Enabled {
		crash.At(crash.RWLockWriting)
	}
	return nil
}

// want makes the next phase, in state WANTED.
func (c *rwCore) want(drain func(color uint, during rwPhase) error) (rwPhase, error) {
	for {
		last := c.load()
		p := last.next()
		stalled := last.with(rwStalled)
		switch {
		case last.state() != rwFree:
			return 0, shm.ErrCorrupt
		case c.empty(p.color()):
			if c.cas(last, p) { // [RW] before the look at the readers
				return p, nil
			}
		case c.cas(last, stalled):
			if crash.Enabled {
				crash.At(crash.RWLockStalled)
			}
			if err := drain(p.color(), stalled); err != nil {
				c.free(stalled)
				return 0, err
			}
			if c.cas(stalled, p) { // [RW]
				c.words.free.NotifyAll() // readers that found STALLED count themselves now
				return p, nil
			}
		}
	}
}

// empty reports whether no living party has readers counted under that color.
func (c *rwCore) empty(color uint) bool {
	t := c.Object().Table()
	for i := range min(c.words.top.Load(), party.MaxLines) {
		w := c.lines[i+1].word.Load()
		if reads(w, color) != 0 && !t.Dead(readsOf(w)) {
			watch(&c.Base)
			return false
		}
	}
	return true
}

// An rwWriter waits until no readers are counted under a color. It also stops when another party
// took its phase for that of a dead writer and ended it.
type rwWriter struct {
	c      *rwCore
	color  uint
	during rwPhase
	wanted func() bool
}

func (w *rwWriter) Try() (bool, error) {
	if !w.wanted() {
		return false, os.ErrClosed
	}
	return w.c.empty(w.color) || w.c.load() != w.during, nil
}

func (w *rwWriter) Arm() (wait.Armed, bool) {
	word := w.c.words.drained.Arm()
	if crash.Enabled {
		crash.At(crash.RWLockDraining)
	}
	return word, true
}

// Pass does nothing: only one writer at a time waits here.
func (w *rwWriter) Pass(woken, done bool) {}

// repair calls f. Unless f returns nil, the lock belongs to the dead writer again.
func (c *rwCore) repair(dead party.ID, f func() error) error {
	repaired := false
	defer func() {
		if !repaired {
			c.abandon(dead)
		}
	}()
	err := f()
	repaired = err == nil
	return err
}
