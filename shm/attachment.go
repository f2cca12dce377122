package shm

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"weak"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/fence"
	"github.com/seed-2e7ecdea/mp/internal/party"
	"github.com/seed-2e7ecdea/mp/internal/robust"
	"github.com/seed-2e7ecdea/mp/internal/sys"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/internal/wait"
)

// An attachment is this process's use of a segment as one party. Every object of the segment, and
// every method that runs, keeps it alive.
type attachment struct {
	id      ID
	mem     *memory
	shape   shape
	own     bool // it is of the program's own segment, which is never closed
	locks   party.Locks
	words   *words
	entries []entry
	slots   []atomic.Uint32 // the index of the names
	table   *party.Table
	room    wait.Room
	dir     robust.Mutex

	// inside is read-locked while a method uses the directory or the file. close waits for such
	// methods, for two reasons: the owner of the directory's lock must be alive, and the descriptor
	// of a closed file may already be that of another file.
	inside sync.RWMutex
	// detached is true when close has given up the memory. It is guarded by inside.
	detached bool

	checked atomic.Bool // alloc has checked all entries once

	uses atomic.Uint64 // the number of objects that this process has made or opened

	mu       sync.Mutex
	holds    map[hold]int // the number of this process's objects that have each hold
	closings closings
	flags    map[uint64][]weak.Pointer[atomic.Bool] // what end sets, by the number of the use
}

// A hold is a role of an entry that this party holds. It is not bound to one of the objects that
// the entry has been: a hold on a former one only keeps the memory of the present one a little
// longer.
type hold struct{ entry, role int }

// newAttachment returns an attachment to the segment in mem that is not a party yet.
func newAttachment(mem *memory, s shape, id ID, locks party.Locks, policy WaitPolicy) *attachment {
	a := &attachment{
		id: id, mem: mem, shape: s, locks: locks,
		words:   view.At[words](mem.bytes, wordsOffset),
		entries: view.Slice[entry](mem.bytes, s.directory, s.entries),
		slots:   view.Slice[atomic.Uint32](mem.bytes, s.index, s.slots),
		holds:   make(map[hold]int),
		flags:   make(map[uint64][]weak.Pointer[atomic.Bool]),
	}
	lines := view.Slice[party.Line](mem.bytes, partiesOffset, s.parties)
	a.table = party.NewTable(lines, &a.words.party, locks, a.clean, a.room.Waiting)
	a.room.Epoch, a.room.Watch, a.room.Parties = &a.words.party.Epoch, a.table.Watch, a.table.Living
	a.room.SetPolicy(wait.Policy(policy))
	a.dir.Init(&a.words.dirLock, a.table, &a.room)
	return a
}

// clean clears the holds of the former party of a line.
func (a *attachment) clean(line int) {
	for i := range a.used() {
		for role := range roles {
			a.entries[i].drop(role, line)
		}
	}
}

// enter read-locks inside. It returns ErrClosed if the attachment is closed.
func (a *attachment) enter() error {
	a.inside.RLock()
	if a.room.Closed() {
		a.inside.RUnlock()
		return ErrClosed
	}
	return nil
}

// reopen opens the segment's file again. The result has an open file description of its own.
func (a *attachment) reopen() (*os.File, error) {
	if err := a.enter(); err != nil {
		return nil, err
	}
	defer a.inside.RUnlock()
	return sys.Reopen(a.mem.file)
}

// take counts one more use of h in this process, and sets its bit. It sets the bit each time,
// because the entry may have become another object since the first use.
func (a *attachment) take(h hold) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.holds[h]++; !a.room.Closed() {
		a.entries[h.entry].hold(h.role, a.table.Me().Line())
	}
}

// give counts one use of h less. It reports whether that was the last one in this process.
func (a *attachment) give(h hold) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.giveLocked(h)
}

func (a *attachment) giveLocked(h hold) bool {
	a.holds[h]--
	if a.holds[h] > 0 {
		return false
	}
	delete(a.holds, h)
	if !a.room.Closed() {
		a.entries[h.entry].drop(h.role, a.table.Me().Line())
	}
	return true
}

// end marks the attachment, and all objects of this party, as closed.
func (a *attachment) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.room.Close() {
		return
	}
	for _, flags := range a.flags {
		for _, flag := range flags {
			if closed := flag.Value(); closed != nil {
				closed.Store(true)
			}
		}
	}
	a.flags = nil
	if a.closings.timer != nil {
		a.closings.timer.Stop()
	}
}

// close detaches this party:
//
//  1. Its waiters return ErrClosed.
//  2. Methods that are running lose the shared memory.
//  3. The death of the party is announced to the others.
//
// If 2 fails, the party is not announced dead, because its methods may still use the memory. close
// may be called again then.
func (a *attachment) close() error {
	a.end()
	a.table.Close()
	a.table.Wake() // this party's waiters see that the room is closed
	a.inside.Lock()
	defer a.inside.Unlock()
	if a.detached {
		return nil
	}
	if err := a.mem.blank(a.shape.base); err != nil {
		return err
	}
	a.detached = true
	me := a.table.Me()
	a.table.Leave(me)
	if a.mem.file == nil {
		return a.locks.Unlock(me.Line())
	}
	return a.mem.giveUp()
}

// dropDead leaves the segment as if this process had been killed. It does not announce the death.
func (a *attachment) dropDead() error {
	a.end()
	a.table.Close()
	me := a.table.Me()
	if a.mem.file == nil {
		return a.locks.Unlock(me.Line())
	}
	return a.mem.giveUp()
}

// attach claims a line of the party table for this process.
func (a *attachment) attach() error {
	fence.Prepare()
	if err := a.table.Attach(); err != nil {
		return a.orFull(err)
	}
	if crash.Enabled {
		crash.At(crash.SegmentAttached)
	}
	// No party has had this ID before. If the directory's lock names it all the same, the file is
	// damaged or hostile.
	a.dir.Release()
	return nil
}

// orFull returns err. If err says that the party table is full, it adds the limit and the remedy.
func (a *attachment) orFull(err error) error {
	if errors.Is(err, ErrParties) {
		return because(err, "no line is free in the party table of %d: close an attachment, "+
			"or make the segment with a larger Options.Parties", a.shape.parties-1)
	}
	return err
}
