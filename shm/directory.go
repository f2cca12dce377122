package shm

import (
	"context"
	"fmt"
	"structs"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/crash"
)

// directoryWords is the state of the directory, the index of names and the allocator, at 384 in the
// segment. All words but wanted change only under the directory's lock. The entries have the truth:
// sweep rebuilds the list of free entries and the index from them.
//
//	0    mark     number of entries that were ever used: those from mark on never were
//	4    free     1 + the number of the first free entry below mark, 0 if there is none
//	8    seq      odd while the index is rebuilt
//	12   bits     log2 of the number of slots of the index in use, 0: the index is empty
//	16   filled   number of slots that are not 0
//	20   swept    the count of deaths at the last sweep
//	24   request  count of the requests for a gap: the generation of a Close
//	28   wanted   the greatest request that a maker waits for
//	32   cursor   the start of the run, where the next object will lie
//	40   limit    the end of the run; there is no run if it is below cursor
//	48   backed   memory from cursor up to here is reserved
//	56   half     a gap is requested when cursor passes this
//	64   gapLow   the start of the gap that was requested
//	72   gapHigh  the end of that gap
//	80   asked    the request for that gap, 0: there is none
//	88   loose    bytes freed in shared pages since the last trim
//	96   pad      to 128 bytes
type directoryWords struct {
	_       structs.HostLayout
	mark    atomic.Uint32
	free    atomic.Uint32
	seq     atomic.Uint32
	bits    atomic.Uint32
	filled  atomic.Uint32
	swept   atomic.Uint32
	request atomic.Uint32
	wanted  atomic.Uint32
	cursor  atomic.Uint64
	limit   atomic.Uint64
	backed  atomic.Uint64
	half    atomic.Uint64
	gapLow  atomic.Uint64
	gapHigh atomic.Uint64
	asked   atomic.Uint32
	_       uint32
	loose   atomic.Uint64
	_       [lineSize - 96]byte
}

// used returns the number of entries that were ever used.
func (a *attachment) used() int { return min(int(a.words.dir.mark.Load()), len(a.entries)) }

// entriesAtOnce is the number of entries whose memory is reserved at one time.
const entriesAtOnce = 128

// lockDirectory acquires the directory's lock. If the owner of the lock has died, or any party has
// died since the last sweep, it sweeps. It returns ErrClosed if the attachment is closed.
func (a *attachment) lockDirectory() error {
	if err := a.enter(); err != nil {
		return err
	}
	dead, err := a.dir.TakeOver(context.Background(), nil)
	if err != nil {
		a.inside.RUnlock()
		return err
	}
	d := &a.words.dir
	if dead != 0 || d.swept.Load() != a.words.party.Deaths.Load() || d.seq.Load()%2 != 0 {
		a.sweep()
	}
	return nil
}

func (a *attachment) unlockDirectory() {
	a.dir.Release()
	a.inside.RUnlock()
}

// sweep frees the objects whose makers died, and the unwanted objects that no living party holds.
// Then it rebuilds the list of free entries and the index. It runs after deaths, and when there
// seems to be no space. The caller holds the directory's lock.
func (a *attachment) sweep() {
	d := &a.words.dir
	d.swept.Store(a.words.party.Deaths.Load()) // before the holds are loaded
	d.free.Store(0)
	for i := a.used() - 1; i >= 0; i-- {
		e := &a.entries[i]
		switch s := e.state.Load(); {
		case s == stateMaking:
			a.free(i)
			d.backed.Store(d.cursor.Load()) // the object may lie between cursor and backed
		case a.unwanted(e):
			a.freeUnheld(i)
		case s == stateFree:
			a.list(i)
		}
	}
	if d.bits.Load() != 0 || d.seq.Load()%2 != 0 {
		a.rebuildIndex(0)
	}
}

// free gives the memory of an object back and makes its entry FREE. If the process is killed before
// the entry is FREE, the next sweep frees the object. If it is killed before the entry is on the
// list, the next sweep puts it there.
func (a *attachment) free(i int) {
	e := &a.entries[i]
	if s, err := a.span(e); err == nil {
		a.giveBack(s)
	}
	if crash.Enabled {
		crash.At(crash.ObjectFreed)
	}
	e.state.Store(stateFree)
	a.list(i)
}

// list puts entry i on the list of free entries.
func (a *attachment) list(i int) {
	d := &a.words.dir
	a.entries[i].next.Store(d.free.Load())
	d.free.Store(uint32(i) + 1)
}

// freeEntry returns an entry from the list of free ones, or one that was never used.
func (a *attachment) freeEntry() (int, error) {
	d := &a.words.dir
	for range 2 {
		if n := int(d.free.Load()); n > 0 && n <= a.used() && a.entries[n-1].state.Load() == stateFree {
			d.free.Store(a.entries[n-1].next.Load())
			return n - 1, nil
		}
		if i := a.used(); i < len(a.entries) {
			if i%entriesAtOnce == 0 && a.mem.file != nil {
				n := min(entriesAtOnce, len(a.entries)-i)
				if err := reserve(a.mem.file, a.shape.directory+i*entrySize, n*entrySize); err != nil {
					return 0, err
				}
			}
			d.mark.Store(uint32(i) + 1)
			return i, nil
		}
		a.sweep()
	}
	n := len(a.entries)
	return 0, fmt.Errorf("%w: %d of %d objects exist: "+
		"remove one, or make the segment with a larger Options.Objects", ErrNoSpace, n, n)
}

// unwanted reports whether the object of e is freed when no living party holds it. This is so if it
// is removed, or has no name by which another party could open it.
func (a *attachment) unwanted(e *entry) bool {
	s := e.state.Load()
	return s == stateRemoved || s == stateReady && e.nameLen.Load() == 0
}

// reap frees the object in entry i if it is unwanted and no living party holds it. The caller has
// dropped a hold on the entry. Its hold may have been for a former object, and the reason why another
// party did not free the present one.
func (a *attachment) reap(i int) {
	e := &a.entries[i]
	if !a.unwanted(e) || a.lockDirectory() != nil {
		return
	}
	defer a.unlockDirectory()
	if a.unwanted(e) {
		a.freeUnheld(i)
	}
}

// freeUnheld frees an unwanted object if no living party holds it. A party may open the object by a
// handle at the same time. Either it has set its hold before removeEntry loads the holds again, or
// it finds that the object is removed.
func (a *attachment) freeUnheld(i int) {
	if !a.entries[i].held(0, a.table.Alive) {
		a.removeEntry(i)
	}
}
