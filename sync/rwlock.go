package sync

import (
	"context"
	"fmt"
	"os"
	"structs"
	stdsync "sync"
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

// An RWLock is held by one writer or by any number of readers, of any
// processes. Both kinds of hold are a process's: any goroutine of the process
// may release what another acquired. It is not reentrant, for readers neither:
// between two RAcquires of one goroutine a writer may have come, which waits for
// the first and lets the second wait.
//
// It is fair to both: readers that come while a writer waits let it go first,
// and a writer that leaves lets all readers in that wait, before the next writer.
//
// Release synchronizes before the return of the RAcquires and Acquires that
// come after it, RRelease before the return of the Acquire of the next writer.
//
// A reader that is killed holds the lock no more. When the writer is killed that
// holds it, RAcquire and Acquire fail with ErrOwnerDied, for everyone, until
// Recover has repaired what the lock guards; a writer that is killed while it
// waits is of no consequence.
//
// An RWLock takes 33 KiB of its segment. It must not be copied. The zero RWLock
// is closed. All methods may be called from several goroutines at once.
type RWLock struct {
	handle[rwCore, *rwCore]
}

var (
	_ stdsync.Locker = (*RWLock)(nil)
	_ marshaler      = (*RWLock)(nil)
)

// rwWords is an RWLock in shared memory. The readers follow, a line for each
// line of the party table.
//
//	0    flags    written when the lock is made
//	128  writer   robust lock of the writers: who has it writes, or is about to
//	256  phase    which writer it is, and how far; written by who has the word
//	264  drained  gate of the writer that waits for readers
//	272  top      the highest line that has readers, or had
//	384  free     gate of readers that wait for a writer
//	512  readers
//
// Each writer makes a new phase, and phases have two colors, odd and even. A
// reader counts itself, in its party's line, under the color of the phase that
// it finds:
//
//	phase p FREE             it is in
//	phase p WANTED, WRITING  it is in as soon as phase p is neither
//	phase p STALLED          it waits for another, and does not count itself yet
//
// and looks at the phase again: if that is another now, a writer may have
// overlooked it, and it takes its count back. The writer of phase p waits in
// WANTED until no readers of the other color, those from before, are counted;
// those under its own color wait for it. So all readers that wait for a writer
// are let in by the one step that makes its phase FREE; there are no grants that
// a killed writer could leave half done.
//
// When the writer of phase p-1 has given up, readers from before it may still be
// counted, under the color of p. Then the writer of phase p makes p-1 STALLED, so
// that no more readers come in, and waits until that color has none.
//
// A reader's count names its party: those of the dead don't count.
//
// Steps of a writer, and what is left if it is killed after them:
//
//	1  word taken              phase FREE: the next takes the word over
//	2  STALLED, WANTED         who finds this with a dead owner in the word makes
//	                           the phase FREE
//	3  WRITING                 ErrOwnerDied, until Recover; or as after 2, if
//	                           deaths are to be ignored
//	4  FREE                    as after 1; the death wakes the readers
//	5  readers woken           as after 1
//	6  word freed              as in package robust
//
// No two writers make the same phase WANTED or WRITING. So who has read that,
// then a dead owner in the word, then the same again, knows that this writer is
// dead. A phase may be STALLED twice; a writer that finds it FREE again because
// somebody took it for a dead one's begins anew.
//
// The steps of a reader are one CAS each: counted, it is counted while it lives;
// not counted, its death wakes a writer that it has not woken.
//
// The idea of two colors, and of readers that the next writer has to wait for
// while they themselves still wait, is from the phase-fair locks of Brandenburg
// and Anderson ("Spin-Based Reader-Writer Synchronization for Multiprocessor
// Real-Time Systems").
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

// A rwReaders is the readers of one party.
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

// next is the phase that the next writer makes.
func (p rwPhase) next() rwPhase { return rwPhase(p.number()+1)<<2 | rwWanted }

// reads counts in a word of rwReaders.
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

// NewRWLock makes a lock in seg, free, with an optional name. It fails as
// shm.Segment.NewObject does.
func NewRWLock(seg *shm.Segment, name string, o *Options) (*RWLock, error) {
	l := new(RWLock)
	err := l.ref.New(seg, name, rwSize, func(mem []byte) error {
		if o != nil && o.IgnoreDeaths {
			view.At[rwWords](mem, 0).flags.Store(lock.IgnoreDeaths)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// OpenRWLock opens the lock of that name. It fails as shm.Segment.OpenObject
// does.
func OpenRWLock(seg *shm.Segment, name string) (*RWLock, error) {
	l := new(RWLock)
	if err := l.ref.Open(seg, name); err != nil {
		return nil, err
	}
	return l, nil
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

// TryRAcquire takes the lock for reading if no writer holds it, waits for it,
// or tries to take it, and never waits. It fails with ErrHeld, ErrOwnerDied,
// ErrTooMany if this process reads 65,535 times already, or ErrClosed: then the
// caller does not hold the lock.
func (l *RWLock) TryRAcquire() error {
	c := l.ref.Load()
	if c == nil {
		return l.closed("TryRAcquire")
	}
	return tryFailed(&c.Base, &c.readHeld, "psync: TryRAcquire", c.Done(c.tryRead()))
}

// RAcquire takes the lock for reading. It blocks until no writer holds the
// lock or waits for it; of those who come after it none is waited for. It fails
// with ErrOwnerDied, ErrTooMany if this process reads or waits to read 65,535
// times already, ctx's error (it tries once even if ctx has ended already), or
// ErrClosed. An error means that the caller does not hold the lock.
func (l *RWLock) RAcquire(ctx context.Context) error {
	c := l.ref.Load()
	if c == nil {
		return l.closed("RAcquire")
	}
	err := c.tryRead()
	if err == ErrHeld {
		err = c.read(ctx, l.ref.Wanted(c))
	}
	return c.Fail("psync: RAcquire", c.Done(err))
}

// RRelease ends one hold for reading of this process, and wakes the writer who
// waits if it was the last. It fails with ErrNotHeld if this process does not
// hold the lock for reading, or ErrClosed.
func (l *RWLock) RRelease() error {
	c := l.ref.Load()
	if c == nil {
		return l.closed("RRelease")
	}
	return c.Fail("psync: RRelease", c.Done(c.endRead()))
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

// await waits while phase p keeps readers out as it does now.
func (c *rwCore) await(ctx context.Context, p rwPhase, wanted func() bool) error {
	return c.Room().Await(ctx, &c.reading, &rwReader{c, p, wanted})
}

// heldBy looks at the writer of phase p, which is not FREE. It returns nil if
// that is not the phase any more, ErrHeld, or ErrOwnerDied.
func (c *rwCore) heldBy(p rwPhase) error {
	t := c.Object().Table()
	switch {
	case !t.Dead(c.writer.Owner()):
		t.Watch(t.Epoch().Load())
		return ErrHeld
	case c.load() != p:
		return nil
	case p.state() != rwWriting || c.takes:
		c.free(p)
		return nil
	}
	return ErrOwnerDied
}

// free makes phase p FREE, and lets the readers in that wait for it.
func (c *rwCore) free(p rwPhase) bool {
	if !c.cas(p, p.with(rwFree)) {
		return false
	}
	if crash.Enabled {
		crash.At(crash.RWLockFreed)
	}
	c.words.free.NotifyAll()
	c.words.drained.NotifyAll() // to whom it was STALLED that is alive
	return true
}

// line returns the line of this party.
func (c *rwCore) line() *atomic.Uint64 { return &c.lines[c.Object().Me().Line()].word }

// join counts a reader under p's color. It tells whether the phase still had
// p's number afterwards; else the reader is not counted.
func (c *rwCore) join(p rwPhase) (bool, error) {
	me := c.Object().Me()
	for line := c.line(); ; {
		w := line.Load()
		next := w + oneRead(p.color())
		if readsOf(w) != me { // those of a party that had the line before, and is dead
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

// raise makes line one of those that writers look at.
func (c *rwCore) raise(line int) {
	for {
		top := c.words.top.Load()
		if top >= uint32(line) || c.words.top.CompareAndSwap(top, uint32(line)) {
			return
		}
	}
}

// unjoin takes back a count that join made under that color. Others may have
// taken it for theirs, see endRead; then theirs is under the other color.
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

// endRead takes one count back for a reader that is in. It can't know under
// which color that reader was counted; what matters is only that it is one under
// which readers are in. In phase p FREE or STALLED these are both, and p's own is
// taken if there is one: so there are always at least as many counts under the other color
// as there are readers in that came under it, and the writer of phase p+1, who
// waits until that color has none, does not come while one of them is about to
// leave by what it has seen of phase p.
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

// leave takes one count under color from this party's line, if that is still
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

// An rwReader waits until the writer for whom it found a phase WANTED or
// WRITING is done, or until that phase is STALLED no more.
type rwReader struct {
	c      *rwCore
	found  rwPhase
	wanted func() bool
}

// over tells whether, as the phase is p now, r need not wait any more.
// If r is counted, it is in: no writer comes before it has left.
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

// Pass has nothing to do: all who wait are woken together.
func (r *rwReader) Pass(woken, done bool) {}

// TryAcquire takes the lock for writing if it is free, and never waits. It
// fails with ErrHeld, ErrOwnerDied, or ErrClosed: then the caller does not hold
// the lock.
func (l *RWLock) TryAcquire() error {
	c := l.ref.Load()
	if c == nil {
		return l.closed("TryAcquire")
	}
	return tryFailed(&c.Base, &c.writeHeld, "psync: TryAcquire", c.Done(c.tryWrite()))
}

func (c *rwCore) tryWrite() error {
	err := c.writer.TryAcquire()
	if err == ErrOwnerDied {
		err = c.inherit()
	}
	if err != nil {
		return err
	}
	// Readers that are inside are not to be disturbed by a phase in vain.
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

// Acquire takes the lock for writing. It blocks until the writers that came
// before it and the readers inside have left; readers that come meanwhile wait
// for it. It fails with ErrOwnerDied, ctx's error (it tries once even if ctx has
// ended already), or ErrClosed. An error means that the caller does not hold the
// lock.
func (l *RWLock) Acquire(ctx context.Context) error {
	c := l.ref.Load()
	if c == nil {
		return l.closed("Acquire")
	}
	wanted := l.ref.Wanted(c)
	err := c.own(ctx, wanted)
	if err == nil {
		err = c.write(func(color uint, during rwPhase) error {
			if c.empty(color) {
				return nil
			}
			return c.Room().Await(ctx, &c.writing, &rwWriter{c, color, during, wanted})
		})
	}
	return c.Fail("psync: Acquire", c.Done(err))
}

// Release ends the hold of the writer. Readers that wait are let in, and then
// the next writer. It fails with ErrNotHeld if this process does not hold the
// lock for writing, or ErrClosed.
func (l *RWLock) Release() error {
	c := l.ref.Load()
	if c == nil {
		return l.closed("Release")
	}
	p := c.load()
	if p.state() != rwWriting || !c.writer.Held() || !c.free(p) {
		return c.Fail("psync: Release", c.Done(ErrNotHeld))
	}
	if crash.Enabled {
		crash.At(crash.RWLockTold)
	}
	return c.Fail("psync: Release", c.Done(c.writer.Release()))
}

// own takes the writers' word.
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

// disown gives the writers' word back, and returns err.
func (c *rwCore) disown(err error) error {
	c.writer.Release()
	return err
}

// inherit takes the writers' word over from a dead owner, unless that was
// writing. It fails with ErrHeld if somebody else has done so.
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

// settle ends the phase of a dead writer whose word this party has taken
// over, unless it was writing.
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

// abandon leaves the lock to a writer that died writing, as it was.
func (c *rwCore) abandon(dead party.ID) {
	c.writer.Abandon(dead)
	c.words.free.NotifyAll()
}

// write makes the next phase, for who has the writers' word, waiting by drain
// until no readers are counted under a color. If drain fails, the word is given
// back.
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

// want makes the next phase, WANTED.
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
				c.words.free.NotifyAll() // those who were stalled count themselves
				return p, nil
			}
		}
	}
}

// empty tells whether no living party has readers counted under that color.
func (c *rwCore) empty(color uint) bool {
	t := c.Object().Table()
	for i := range min(c.words.top.Load(), party.MaxLines) {
		w := c.lines[i+1].word.Load()
		if reads(w, color) != 0 && !t.Dead(readsOf(w)) {
			t.Watch(t.Epoch().Load()) // who only tries is to be told of a death, too
			return false
		}
	}
	return true
}

// An rwWriter waits until no readers are counted under a color, or its phase
// was taken for a dead one's and is over.
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

// Pass has nothing to do: there is one writer at a time that waits so.
func (w *rwWriter) Pass(woken, done bool) {}

// Recover takes a lock whose writer died writing, calls repair while it holds
// the lock, and releases it if repair returns nil: the lock is as good as new. If
// repair fails, or the process dies in it, the lock stays as it was, and Recover
// returns repair's error. If no writer died writing it returns without calling
// repair. It waits for other writers as Acquire does, and fails as that does, but
// for ErrOwnerDied.
func (l *RWLock) Recover(ctx context.Context, repair func() error) error {
	c := l.ref.Load()
	if c == nil {
		return l.closed("Recover")
	}
	dead, err := c.writer.TakeOver(ctx, l.ref.Wanted(c))
	if err != nil {
		return c.Fail("psync: Recover", c.Done(err))
	}
	if !c.settle() {
		if err := c.Done(nil); err != nil {
			return c.Fail("psync: Recover", err) // the memory is not the lock's any more: nothing to repair
		}
		if err := c.repair(dead, repair); err != nil {
			return called(&c.Base, "psync: Recover", err)
		}
		c.free(c.load())
	}
	return c.Fail("psync: Recover", c.Done(c.writer.Release()))
}

// repair runs f; unless it returns nil, the lock is the dead writer's again.
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

// Lock is Acquire without a context, as sync.Locker has it: it panics where
// Acquire would fail.
func (l *RWLock) Lock() { must("psync: Lock", l.Acquire(context.Background())) }

// Unlock is Release, as sync.Locker has it: it panics where Release would
// fail.
func (l *RWLock) Unlock() { must("psync: Unlock", l.Release()) }

// RLock is RAcquire without a context, as sync.RWMutex has it: it panics where
// RAcquire would fail.
func (l *RWLock) RLock() { must("psync: RLock", l.RAcquire(context.Background())) }

// RUnlock is RRelease, as sync.RWMutex has it: it panics where RRelease would
// fail.
func (l *RWLock) RUnlock() { must("psync: RUnlock", l.RRelease()) }

// RLocker returns a sync.Locker whose methods are RLock and RUnlock.
func (l *RWLock) RLocker() stdsync.Locker { return (*rLocker)(l) }

type rLocker RWLock

func (l *rLocker) Lock()   { (*RWLock)(l).RLock() }
func (l *rLocker) Unlock() { (*RWLock)(l).RUnlock() }
