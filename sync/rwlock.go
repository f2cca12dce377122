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

// An RWLock is a lock that one writer or any number of readers hold, of any processes. A process
// owns each hold: any goroutine of the process may release what another one acquired. An RWLock is
// not reentrant, not for readers either: if a goroutine calls RAcquire twice, a writer may arrive
// in between; the writer waits for the first hold, and the second call waits for the writer.
//
// It is fair to both. Readers that arrive while a writer waits let it go first. When a writer
// releases the lock, all readers that wait get it before the next writer.
//
// Release synchronizes before the return of each later RAcquire and Acquire, and RRelease before
// the return of the Acquire of the next writer.
//
// If a reader is killed, its hold ends. If the writer that holds the lock is killed, RAcquire and
// Acquire return ErrOwnerDied, in all processes, until Recover has repaired what the lock guards.
// The death of a writer that waits changes nothing.
//
// An RWLock takes about 33 KiB of its segment. It must not be copied. The zero RWLock is closed.
// All methods may be called from several goroutines at once.
type RWLock struct {
	handle[rwCore, *rwCore]
}

var (
	_ stdsync.Locker = (*RWLock)(nil)
	_ marshaler      = (*RWLock)(nil)
)

// rwWords is an RWLock in shared memory. The readers' words follow, one cache line for each line of
// the party table.
//
//	0    flags    written when the lock is made
//	128  writer   "the writers' lock", a robust lock: its owner writes or is about to
//	256  phase    the number of the writer and its state; written by the owner of the writers' lock,
//	              and by parties that make the phase of a dead or late writer FREE
//	264  drained  gate where a writer waits for readers
//	272  top      the highest line that has or had readers
//	384  free     gate where readers wait for a writer
//	512  readers
//
// Each writer makes a new phase. A reader that finds the phase FREE counts itself, in its party's
// line, and loads the phase again. If the number has changed, a writer may have missed the reader:
// the reader takes its count back. The writer waits in state WANTED until no readers are counted.
// So at least one of a writer and a reader sees the other:
//
//	reader: count; load the phase [RW]         writer: WANTED; load the counts [RW]
//
// A reader's count names its party: counts of dead parties are ignored.
//
// Readers that wait are not counted, but queued, in a word beside the count. The owner of the
// writers' lock lets the queued readers go first: it makes its phase only when none is queued any
// more. That makes the lock fair to readers. But a writer does not wait for readers that have been
// queued for longer than the grace of an Overdue (see package wait): they may be stopped.
//
// A writer may also be stopped in WANTED, after the readers have left. It does not hold the lock
// yet. When a waiting reader has seen that for as long as the grace, it makes the phase FREE, and
// the writer begins again.
//
// Steps of a writer, and what follows if it is killed after one:
//
//	1  writers' lock taken     phase is FREE: the next writer takes the lock over
//	2  WANTED                  a party that finds this state with a dead owner of the writers' lock
//	                           makes the phase FREE
//	3  WRITING                 ErrOwnerDied until Recover; as after 2 if deaths are ignored
//	4  FREE                    as after 1; the death wakes the readers
//	5  readers woken           as after 1
//	6  writers' lock released  as in package robust
//
// No two writers make the same phase WANTED or WRITING. So a party that reads such a phase, then a
// dead owner of the writers' lock, and then the same phase again, knows that the phase's writer is
// dead.
//
// Each step of a reader is one CAS. If a reader is killed while it is counted, the count is
// ignored. If it is killed after it took its count back, its death wakes the writer that it did not
// wake.
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

// An rwReaders counts the readers of one party: in those that hold the lock or are about to find
// out whether they do, and queued those that wait.
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

// stamp returns a number other than 0 that names the phase for an Overdue.
func (p rwPhase) stamp() uint64 { return uint64(p) + 1 }

// next returns the phase that the next writer makes.
func (p rwPhase) next() rwPhase { return rwPhase(p.number()+1)<<2 | rwWanted }

// readers and partyOf return the parts of a word of rwReaders.
func readers(word uint64) uint64   { return word & math.MaxUint32 }
func partyOf(word uint64) party.ID { return party.ID(word >> 32) }

var errTooManyReaders = fmt.Errorf("%w: this process holds it for reading %d times", ErrOverflow, maxReads)

type rwCore struct {
	object.Base
	words         *rwWords
	lines         []rwReaders
	writer        robust.Mutex
	ignoresDeaths bool
	reading       wait.Spinner
	writing       wait.Spinner

	readHeld  object.Polled // error of TryRAcquire
	writeHeld object.Polled // error of TryAcquire

	lateWriter  wait.Overdue // a writer that is WANTED although no readers are in
	lateReaders wait.Overdue // readers that are queued although the phase is FREE
}

// NewRWLock makes a free lock in seg, with an optional name. NewRWLock fails as every New function
// does: see package shm.
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

// OpenRWLock opens the lock of that name. It fails as every Open function does: see package shm.
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
	c.ignoresDeaths = c.words.flags.Load()&lock.IgnoreDeaths != 0
	c.writer.Init(&c.words.writer, o.Table(), o.Room())
	c.writer.Count(o.Counters())
	c.reading.Count(o.Counters())
	c.writing.Count(o.Counters())
	return nil
}

// TryRAcquire takes the lock for reading unless a writer holds it, waits for it or tries to take
// it. It never blocks. It fails with ErrHeld, ErrOwnerDied, ErrOverflow if this process has 65,535
// holds for reading already, or ErrClosed. If it fails, the caller does not hold the lock.
func (l *RWLock) TryRAcquire() error {
	c := l.ref.Load()
	if c == nil {
		return l.closed("TryRAcquire")
	}
	return tryFailed(&c.Base, &c.readHeld, "psync: TryRAcquire", c.Done(c.tryRead()))
}

// RAcquire takes the lock for reading. It blocks until no writer holds the lock or waits for it. It
// does not wait for writers that arrive later, unless this process is so slow that a writer passes
// it over. It fails with ErrOwnerDied if a writer died holding the lock, with ErrOverflow if this
// process has 65,535 holds for reading already, with ctx's error when ctx is done (it tries once
// even if ctx is done already), or with ErrClosed when this process closes the lock. If it fails,
// the caller does not hold the lock.
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

// RRelease ends one hold for reading of this process. If it was the last hold, it wakes the writer
// that waits. It does not block. It fails with ErrNotHeld if this process does not hold the lock
// for reading, or with ErrClosed.
func (l *RWLock) RRelease() error {
	c := l.ref.Load()
	if c == nil {
		return l.closed("RRelease")
	}
	return c.Fail("psync: RRelease", c.Done(c.endRead()))
}

// TryAcquire takes the lock for writing if it is free, and never blocks. It fails with ErrHeld,
// ErrOwnerDied or ErrClosed. If it fails, the caller does not hold the lock.
func (l *RWLock) TryAcquire() error {
	c := l.ref.Load()
	if c == nil {
		return l.closed("TryAcquire")
	}
	return tryFailed(&c.Base, &c.writeHeld, "psync: TryAcquire", c.Done(c.tryWrite()))
}

// Acquire takes the lock for writing. It blocks until the writers that came before it and all
// readers have released the lock; readers that arrive meanwhile wait for it. It fails with
// ErrOwnerDied if a writer died holding the lock, with ctx's error when ctx is done (it tries once
// even if ctx is done already), or with ErrClosed when this process closes the lock. If it fails,
// the caller does not hold the lock.
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

// Release ends the writer's hold. It admits the readers that wait, and then the next writer. It
// does not block. It fails with ErrNotHeld if this process does not hold the lock for writing, or
// with ErrClosed.
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

// Recover takes a lock whose writer died writing, calls repair while it holds the lock, and
// releases the lock if repair returns nil: then the lock works as before the death. If repair fails
// or panics, or the process dies in it, the lock keeps its dead owner; Recover returns repair's
// error as it is.
//
// If no writer died writing, Recover does not call repair. It blocks until earlier writers have
// released the lock, and fails with ctx's error or ErrClosed.
func (l *RWLock) Recover(ctx context.Context, repair func() error) error {
	c := l.ref.Load()
	if c == nil {
		return l.closed("Recover")
	}
	dead, err := c.writer.TakeOver(ctx, l.ref.Wanted(c))
	if err != nil {
		return c.Fail("psync: Recover", c.Done(err))
	}
	if !c.endPhase() {
		if err := c.Done(nil); err != nil {
			return c.Fail("psync: Recover", err) // the memory is not shared any more
		}
		if err := c.repair(dead, repair); err != nil {
			return called(&c.Base, "psync: Recover", err)
		}
		c.free(c.load())
	}
	return c.Fail("psync: Recover", c.Done(c.writer.Release()))
}

// Lock is Acquire without a context, for sync.Locker. It panics with the error if Acquire fails.
func (l *RWLock) Lock() { must("psync: Lock", l.Acquire(context.Background())) }

// Unlock is Release, for sync.Locker. It panics with the error if Release fails.
func (l *RWLock) Unlock() { must("psync: Unlock", l.Release()) }

// RLock is RAcquire without a context, as in sync.RWMutex. It panics with the error if RAcquire
// fails.
func (l *RWLock) RLock() { must("psync: RLock", l.RAcquire(context.Background())) }

// RUnlock is RRelease, as in sync.RWMutex. It panics with the error if RRelease fails.
func (l *RWLock) RUnlock() { must("psync: RUnlock", l.RRelease()) }

// RLocker returns a sync.Locker whose methods are RLock and RUnlock.
func (l *RWLock) RLocker() stdsync.Locker { return (*rLocker)(l) }

type rLocker RWLock

func (l *rLocker) Lock()   { (*RWLock)(l).RLock() }
func (l *rLocker) Unlock() { (*RWLock)(l).RUnlock() }
