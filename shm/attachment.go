package shm

import (
	"context"
	"os"
	"runtime"
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
	locks   party.Locks
	words   *words
	entries []entry
	table   *party.Table
	room    wait.Room
	dir     robust.Mutex

	// inside is read-locked while a method is in the directory, or uses the
	// file: close waits for it. Who is in the directory must count as alive, and
	// the number of a file that was closed may already be another's.
	inside sync.RWMutex
	// detached is true when close has given the memory up. It is guarded by inside.
	detached bool

	uses atomic.Uint64 // how many Objects there have been

	mu    sync.Mutex
	holds map[hold]int                           // how many objects of this process hold what
	flags map[uint64][]weak.Pointer[atomic.Bool] // to set at close, by the Object's number
}

// A hold is a role of an entry, held by this party. Whose objects it was one
// after the other does not matter: a hold on a former one only keeps the present
// one's memory a little longer.
type hold struct{ entry, role int }

// newAttachment gives types to mem. It does not attach.
func newAttachment(mem *memory, s shape, id ID, locks party.Locks, policy WaitPolicy) *attachment {
	a := &attachment{
		id: id, mem: mem, shape: s, locks: locks,
		words:   view.At[words](mem.bytes, wordsOffset),
		entries: view.Slice[entry](mem.bytes, s.directory, s.entries),
		holds:   make(map[hold]int),
		flags:   make(map[uint64][]weak.Pointer[atomic.Bool]),
	}
	lines := view.Slice[party.Line](mem.bytes, partiesOffset, s.parties)
	a.table = party.NewTable(lines, &a.words.epoch, locks, a.clean, a.room.Waiting)
	a.room.Epoch, a.room.Watch = &a.words.epoch, a.table.Watch
	a.room.SetPolicy(policy)
	a.dir.Init(&a.words.dirLock, a.table, &a.room)
	return a
}

// clean clears what the former party of a line held.
func (a *attachment) clean(line int) {
	for i := range a.entries {
		for role := range roles {
			a.entries[i].drop(role, line)
		}
	}
}

// lockDirectory takes the directory's lock and clears up after the dead.
func (a *attachment) lockDirectory() error {
	if err := a.enter(); err != nil {
		return err
	}
	if _, err := a.dir.TakeOver(context.Background(), nil); err != nil {
		a.inside.RUnlock()
		return err
	}
	for i := range a.entries {
		e := &a.entries[i]
		switch s := e.state.Load(); {
		case s == stateMaking: // its maker had the lock and is dead
			e.state.Store(stateFree)
		case s == stateRemoved && !e.held(0, a.table.Alive):
			e.state.Store(stateFree)
		}
	}
	return nil
}

func (a *attachment) unlockDirectory() {
	a.dir.Release()
	a.inside.RUnlock()
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

// take counts one more holder in this process. The bit is set each time: the
// entry may have got another object since the first.
func (a *attachment) take(h hold) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.holds[h]++; !a.room.Closed() {
		a.entries[h.entry].hold(h.role, a.table.Me().Line())
	}
}

// give counts one less, and tells whether it was the last of this process.
func (a *attachment) give(h hold) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.holds[h]--; a.holds[h] > 0 {
		return false
	}
	delete(a.holds, h)
	if !a.room.Closed() {
		a.entries[h.entry].drop(h.role, a.table.Me().Line())
	}
	return true
}

// release ends an object's use, and the hold on its memory, when no method can
// be inside any more: the garbage collector has said so.
func (a *attachment) release(h hold, number uint64) {
	a.give(h)
	a.mu.Lock()
	delete(a.flags, number)
	a.mu.Unlock()
	released.Lock()
	defer released.Unlock()
	if released.next != nil {
		close(released.next)
		released.next = nil
	}
}

// released tells whoever waits that some object of this process was released.
var released struct {
	sync.Mutex
	next chan struct{} // closed at the next release
}

func nextRelease() <-chan struct{} {
	released.Lock()
	defer released.Unlock()
	if released.next == nil {
		released.next = make(chan struct{})
	}
	return released.next
}

// holdsRemoved tells whether a removed object still takes space because this
// process holds it, as one of its parties.
func (a *attachment) holdsRemoved() bool {
	ours := attachmentsOf(a.id)
	for i := range a.entries {
		e := &a.entries[i]
		if e.state.Load() != stateRemoved {
			continue
		}
		for _, b := range ours {
			if e.holds[0][b.table.Me().Line()/32].Load()&(1<<(b.table.Me().Line()%32)) != 0 {
				return true
			}
		}
	}
	return false
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

// alloc finds room for size bytes in the objects' part of the segment, under
// the directory's lock.
func (a *attachment) alloc(size int) (offset int, err error) {
	spans, err := a.spans()
	if err != nil {
		return 0, err
	}
	at := a.shape.base
	for _, s := range spans {
		if s.offset-at >= size {
			break
		}
		at = s.offset + s.size
	}
	if a.shape.total-at < size {
		return 0, ErrNoSpace
	}
	return at, nil
}

// fill makes the memory of [off, off+size) sure and zero. Who dies in it
// leaves an entry MAKING.
func (a *attachment) fill(off, size int) error {
	mem := a.mem.bytes[off : off+size]
	f := a.mem.file
	if f == nil {
		clear(mem)
		return nil
	}
	// Whole pages are given back and taken anew rather than written.
	first, last := roundUp(off, pageUnit), (off+size)/pageUnit*pageUnit
	if first >= last {
		first, last = off, off
	} else if err := sys.Punch(f, int64(first), int64(last-first)); err != nil {
		return err
	}
	if err := reserve(f, off, size); err != nil {
		return err
	}
	clear(mem[:first-off])
	clear(mem[last-off:])
	runtime.KeepAlive(a)
	return nil
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
