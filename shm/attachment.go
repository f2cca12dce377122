package shm

import (
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

// An attachment is this process's use of a segment as one party: what every
// object of it, and every method that runs, holds on to.
type attachment struct {
	id      ID
	mem     *memory
	shape   shape
	own     bool // of the program's own segment, which is never closed
	locks   party.Locks
	words   *words
	entries []entry
	slots   []atomic.Uint32 // of the index
	table   *party.Table
	room    wait.Room
	dir     robust.Mutex

	// inside is read-locked while a method is in the directory, or uses the
	// file: close waits for it. A process that is in the directory must count as alive, and
	// the number of a file that was closed may already be another's.
	inside sync.RWMutex
	// detached is true when close has given the memory up. It is guarded by inside.
	detached bool

	checked atomic.Bool // the entries were looked at as a whole

	uses atomic.Uint64 // how many Objects there have been

	mu       sync.Mutex
	holds    map[hold]int // how many Objects of this process hold what
	closings closings
	flags    map[uint64][]weak.Pointer[atomic.Bool] // to set at close, by the Object's number
}

// A hold is a role of an entry, held by this party. Which objects the entry was
// one after the other does not matter: a hold on a former one only keeps the present
// one's memory a little longer.
type hold struct{ entry, role int }

// newAttachment gives types to mem. It does not attach.
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
	a.room.Epoch, a.room.Watch = &a.words.party.Epoch, a.table.Watch
	a.room.SetPolicy(wait.Policy(policy))
	a.dir.Init(&a.words.dirLock, a.table, &a.room)
	return a
}

// clean clears what the former party of a line held.
func (a *attachment) clean(line int) {
	for i := range a.used() {
		for role := range roles {
			a.entries[i].drop(role, line)
		}
	}
}

// enter read-locks inside, unless the attachment is closed.
func (a *attachment) enter() error {
	a.inside.RLock()
	if a.room.Closed() {
		a.inside.RUnlock()
		return ErrClosed
	}
	return nil
}

// reopen opens the segment's file again, with a description of its own.
func (a *attachment) reopen() (*os.File, error) {
	if err := a.enter(); err != nil {
		return nil, err
	}
	defer a.inside.RUnlock()
	return sys.Reopen(a.mem.file)
}

// take counts one more use in this process. The bit is set each time: the
// entry may have got another object since the first.
func (a *attachment) take(h hold) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.holds[h]++; !a.room.Closed() {
		a.entries[h.entry].hold(h.role, a.table.Me().Line())
	}
}

// give counts one use less, and reports whether it was the last of this process.
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

// end says that the attachment is closed.
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

// close detaches: waiters of this process return, methods that are inside
// lose the shared memory, and then the other parties are told that this one is gone.
// If the memory can't be given up they are not told, since methods may still use it, and
// close may be called again.
func (a *attachment) close() error {
	a.end()
	a.table.Close()
	a.table.Wake() // those of this process see closed
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

// dropDead leaves the segment as if this process had been killed: nothing is
// told to anyone.
func (a *attachment) dropDead() error {
	a.end()
	a.table.Close()
	me := a.table.Me()
	if a.mem.file == nil {
		return a.locks.Unlock(me.Line())
	}
	return a.mem.giveUp()
}

// attach claims a line for this process.
func (a *attachment) attach() error {
	fence.Prepare()
	if err := a.table.Attach(); err != nil {
		return err
	}
	if crash.Enabled {
		crash.At(crash.SegmentAttached)
	}
	// A word that names this party can only be an accident, or malice.
	a.dir.Release()
	return nil
}
