package sync

import (
	"context"
	"os"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/party"
	"github.com/seed-2e7ecdea/mp/internal/wait"
	"github.com/seed-2e7ecdea/mp/shm"
)

func (c *rwCore) load() rwPhase { return rwPhase(c.words.phase.Load()) }

func (c *rwCore) cas(from, to rwPhase) bool {
	return c.words.phase.CompareAndSwap(uint64(from), uint64(to))
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
	c.words.drained.NotifyAll() // wakes the writer of p, if another party made it FREE
	return true
}

// heldBy checks the writer of phase p, which is not FREE. It returns ErrHeld if the writer lives,
// ErrOwnerDied if it died writing, and nil if the phase has changed.
func (c *rwCore) heldBy(p rwPhase) error {
	switch {
	case !c.Table().Dead(c.writer.Owner()):
		if p.state() == rwWanted && c.writerOverdue(p) {
			c.free(p)
			return nil
		}
		watch(&c.Base)
		return ErrHeld
	case c.load() != p:
		return nil
	case p.state() != rwWriting || c.ignoresDeaths:
		c.free(p)
		return nil
	}
	return ErrOwnerDied
}

// writerOverdue reports whether the writer of phase p, which is WANTED, has had no readers to wait
// for, and yet has not begun to write, for as long as the grace.
func (c *rwCore) writerOverdue(p rwPhase) bool {
	if !c.empty() {
		c.lateWriter.Clear()
		return false
	}
	return c.lateWriter.Since(p.stamp())
}

// Readers.

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
		c.enqueue()
		err := c.Room().Await(ctx, &c.reading, &rwReader{c, wanted})
		if err == nil {
			err = c.tryRead()
		}
		c.dequeue()
		if err != ErrHeld {
			return err
		}
	}
}

// line returns the line of this party.
func (c *rwCore) line() *rwReaders { return &c.lines[c.Me().Line()] }

// join counts a reader that has found phase p FREE. It reports whether the phase still had p's
// number afterwards. If not, the reader is not counted.
func (c *rwCore) join(p rwPhase) (bool, error) {
	if !c.add(&c.line().in) { // [RW] before the load of the phase
		return false, errTooManyReaders
	}
	if crash.Enabled {
		crash.At(crash.RWLockJoined)
	}
	if c.load().number() != p.number() {
		c.leave()
		return false, nil
	}
	return true, nil
}

// add counts one more in a word of this party's line. It reports false if there are too many.
func (c *rwCore) add(word *atomic.Uint64) bool {
	me := c.Me()
	for {
		w := word.Load()
		next := w + 1
		if partyOf(w) != me { // the counts of a dead party that had the line before
			c.raise(me.Line())
			next = uint64(me)<<32 | 1
		} else if readers(w) == maxReads {
			return false
		}
		if word.CompareAndSwap(w, next) {
			return true
		}
	}
}

// take takes back one count in a word of this party's line. It reports whether there was one, and
// whether it was the last.
func (c *rwCore) take(word *atomic.Uint64) (taken, last bool) {
	me := c.Me()
	for {
		w := word.Load()
		if partyOf(w) != me || readers(w) == 0 {
			return false, false
		}
		if word.CompareAndSwap(w, w-1) {
			return true, readers(w) == 1
		}
	}
}

// raise makes sure that writers read line.
func (c *rwCore) raise(line int) {
	for {
		top := c.words.top.Load()
		if top >= uint32(line) || c.words.top.CompareAndSwap(top, uint32(line)) {
			return
		}
	}
}

// leave takes back one reader's count of this party, and reports whether there was one.
func (c *rwCore) leave() bool {
	taken, last := c.take(&c.line().in)
	if !taken {
		return false
	}
	if crash.Enabled {
		crash.At(crash.RWLockLeft)
	}
	if last {
		c.words.drained.NotifyAll()
	}
	return true
}

func (c *rwCore) endRead() error {
	if c.load().state() == rwWriting || !c.leave() {
		return ErrNotHeld
	}
	return nil
}

// enqueue makes writers wait until this reader has the lock. If too many readers of this party are
// queued, writers wait for the party anyway.
func (c *rwCore) enqueue() { c.add(&c.line().queued) }

func (c *rwCore) dequeue() {
	if _, last := c.take(&c.line().queued); last {
		c.words.drained.NotifyAll()
	}
}

// An rwReader waits until the phase is FREE.
type rwReader struct {
	c      *rwCore
	wanted func() bool
}

func (r *rwReader) Try() (bool, error) {
	if !r.wanted() {
		return false, os.ErrClosed
	}
	for {
		p := r.c.load()
		if p.state() == rwFree {
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
	if r.c.load().state() == rwWanted {
		word.AtMost = wait.Grace // see writerOverdue
	}
	return word, true
}

// Pass does nothing: all waiters are woken together.
func (r *rwReader) Pass(woken, done bool) {}

// Writers.

func (c *rwCore) tryWrite() error {
	err := c.writer.TryAcquire()
	if err == ErrOwnerDied {
		err = c.takeOver()
	}
	if err != nil {
		return err
	}
	// Check first: a phase that is given up would make readers wait in vain.
	if !c.empty() {
		return c.disown(ErrHeld)
	}
	return c.write(func(ready func() bool) error {
		if !ready() {
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
			err = c.takeOver()
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

// takeOver takes the writers' lock over from a dead owner. It fails with ErrOwnerDied if the owner
// died writing, and with ErrHeld if another party was faster.
func (c *rwCore) takeOver() error {
	if p := c.load(); p.state() == rwWriting && !c.ignoresDeaths {
		if err := c.heldBy(p); err != nil {
			return err
		}
		return ErrHeld
	}
	dead, ok := c.writer.TryTakeOver()
	if !ok {
		return ErrHeld
	}
	if c.endPhase() {
		return nil
	}
	c.abandon(dead)
	return ErrOwnerDied
}

// endPhase makes the phase FREE that a dead writer has left, and returns true. If that writer died
// writing, endPhase changes nothing and returns false. This party has taken over the writers' lock.
func (c *rwCore) endPhase() bool {
	p := c.load()
	if p.state() == rwWriting && !c.ignoresDeaths {
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
// await to wait until the queued readers have the lock, and then until all readers have released
// it. If await fails, write releases the writers' lock.
func (c *rwCore) write(await func(ready func() bool) error) error {
	if crash.Enabled {
		crash.At(crash.RWLockOwned)
	}
	if !c.noneQueued() { // called here as well, so that a free lock costs no closure
		if err := await(c.noneQueued); err != nil {
			return c.disown(err)
		}
	}
	for {
		last := c.load()
		if last.state() != rwFree {
			return c.disown(shm.ErrCorrupt)
		}
		p := last.next()
		if !c.cas(last, p) { // [RW] before the loads of the counts
			return c.disown(shm.ErrCorrupt)
		}
		if crash.Enabled {
			crash.At(crash.RWLockWanted)
		}
		if !c.empty() {
			if err := await(func() bool { return c.empty() || c.load() != p }); err != nil {
				c.free(p)
				return c.disown(err)
			}
		}
		if c.cas(p, p.with(rwWriting)) {
			break
		}
		// Another party found this writer overdue or dead, and made the phase FREE.
	}
	if crash.Enabled {
		crash.At(crash.RWLockWriting)
	}
	return nil
}

// empty reports whether no living party has readers counted.
func (c *rwCore) empty() bool {
	return !c.any(func(l *rwReaders) *atomic.Uint64 { return &l.in })
}

// any reports whether a living party has a count in the word that of selects.
func (c *rwCore) any(of func(*rwReaders) *atomic.Uint64) bool {
	t := c.Table()
	for i := range min(c.words.top.Load(), party.MaxLines) {
		w := of(&c.lines[i+1]).Load()
		if readers(w) != 0 && !t.Dead(partyOf(w)) {
			watch(&c.Base)
			return true
		}
	}
	return false
}

// noneQueued reports whether no readers are queued. If the queued readers have not taken the lock
// for as long as the grace, it empties their queue and returns true, so that this writer and the
// next one need not wait for them.
func (c *rwCore) noneQueued() bool {
	if !c.any(func(l *rwReaders) *atomic.Uint64 { return &l.queued }) {
		c.lateReaders.Clear()
		return true
	}
	if !c.lateReaders.Since(c.load().stamp()) {
		return false
	}
	for i := range min(c.words.top.Load(), party.MaxLines) {
		word := &c.lines[i+1].queued
		w := word.Load()
		word.CompareAndSwap(w, w&^uint64(maxReads))
	}
	return true
}

// An rwWriter waits until ready reports true.
type rwWriter struct {
	c      *rwCore
	ready  func() bool
	wanted func() bool
}

func (w *rwWriter) Try() (bool, error) {
	if !w.wanted() {
		return false, os.ErrClosed
	}
	return w.ready(), nil
}

func (w *rwWriter) Arm() (wait.Armed, bool) {
	word := w.c.words.drained.Arm()
	if crash.Enabled {
		crash.At(crash.RWLockDraining)
	}
	if w.c.load().state() == rwFree {
		word.AtMost = wait.Grace // see noneQueued
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
