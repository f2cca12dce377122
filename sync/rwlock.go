package sync

import (
	"context"
	"fmt"
	"math"
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
// Each writer makes a new phase. A reader that finds the phase FREE counts itself,
// in its party's line, and looks at the phase again: if that is another now, the
// writer may have overlooked it, and it takes its count back. The writer waits in
// WANTED until no readers are counted. So a writer and a reader see each other:
//
//	reader: count; look at the phase [RW]      writer: WANTED; look at the counts [RW]
//
// A reader's count names its party: those of the dead don't count.
//
// Readers that wait are not counted, but queued, beside the counts. A writer that
// has the word lets those in first that are queued: it makes its phase only when
// none is queued any more. That is what makes the lock fair to readers, and no
// more than that: readers queued for longer than the grace of an Overdue (see package
// wait) are not waited for. They may be stopped.
//
// A writer may be stopped, too, while it waits in WANTED, and the readers have
// left. It does not hold the lock yet; when readers have seen that for as long as the
// grace they make its phase FREE, and it begins anew.
//
// Steps of a writer, and what is left if it is killed after them:
//
//	1  word taken              phase FREE: the next takes the word over
//	2  WANTED                  a party that finds this with a dead owner in the word
//	                           makes the phase FREE
//	3  WRITING                 ErrOwnerDied, until Recover; or as after 2, if
//	                           deaths are to be ignored
//	4  FREE                    as after 1; the death wakes the readers
//	5  readers woken           as after 1
//	6  word freed              as in package robust
//
// No two writers make the same phase WANTED or WRITING. So a party that has read
// that, then a dead owner in the word, then the same again, knows that this writer is
// dead.
//
// The steps of a reader are one CAS each: counted, it is counted while it lives;
// not counted, its death wakes a writer that it has not woken.
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

// A rwReaders is the readers of one party: those that are in, or look whether they
// are, and those that are queued.
//
//	 63             32  31                        0
//	+-----------------+----------------------------+
//	|  party ID       |  readers                   |
//	+-----------------+----------------------------+
type rwReaders struct {
	_      structs.HostLayout
	in     atomic.Uint64
	queued atomic.Uint64
	_      [112]byte
}

const (
	rwLines  = 512 // offset
	rwSize   = rwLines + 128*(party.MaxLines+1)
	rwPrint  = 2 // version of rwWords
	maxReads = 1<<16 - 1
)

// An rwPhase is a number and a state.
type rwPhase uint64

// States of a phase.
const (
	rwFree = iota
	rwWanted
	rwWriting
	rwStates = 3 // mask
)

func (p rwPhase) number() uint64             { return uint64(p >> 2) }
func (p rwPhase) state() uint                { return uint(p & rwStates) }
func (p rwPhase) with(state rwPhase) rwPhase { return p&^rwStates | state }

// stamp names the phase for an Overdue.
func (p rwPhase) stamp() uint64 { return uint64(p) + 1 }

// next is the phase that the next writer makes.
func (p rwPhase) next() rwPhase { return rwPhase(p.number()+1)<<2 | rwWanted }

// readers and partyOf are the parts of a word of rwReaders.
func readers(word uint64) uint64   { return word & math.MaxUint32 }
func partyOf(word uint64) party.ID { return party.ID(word >> 32) }

var errTooManyReaders = fmt.Errorf("%w: this process holds it for reading, or waits to, %d times", ErrTooMany, maxReads)

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

	hesitant wait.Overdue // a writer that is WANTED, and no readers are in
	guests   wait.Overdue // readers that are queued, and the phase is FREE
}

// NewRWLock makes a lock in seg, free, with an optional name. It fails as
// every New function does: see package shm.
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

// OpenRWLock opens the lock of that name. It fails as every Open function
// does: see package shm.
func OpenRWLock(seg *shm.Segment, name string) (*RWLock, error) {
	l := new(RWLock)
	if err := l.ref.Open(seg, name); err != nil {
		return nil, err
	}
	return l, nil
}

func (*rwCore) Type() (shm.Kind, uint64, error) { return shm.KindRWLock, rwPrint, nil }

func (c *rwCore) Use(o object.Object) error {
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
// lock or waits for it; of the writers that come after it none is waited for, unless
// this process is so slow that a writer passes it over. It fails
// with ErrOwnerDied, ErrTooMany if this process reads 65,535 times already, ctx's error (it tries once even if ctx has ended already), or
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
		err = c.write(func(ready func() bool) error {
			if ready() {
				return nil
			}
			return c.Room().Await(ctx, &c.writing, &rwWriter{c, ready, wanted})
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
