package shm

import (
	"context"
	"fmt"
	"structs"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/crash"
)

// directoryWords are the state of the directory, the index of names and the
// allocator, at 384 in the segment. All but wanted changes under the directory's lock
// only. Whatever they say, the entries are the truth: sweep rebuilds the rest.
//
//	0    mark     entries that were ever used: no entry from it on was
//	4    free     1 + the number of the first free entry below mark, 0 if there is none
//	8    seq      odd while the index is rebuilt
//	12   bits     log2 of the slots of the index that are in use, 0: it is empty
//	16   filled   slots that are not 0
//	20   swept    the count of deaths at the last sweep
//	24   request  generation of closings: counts the requests for a gap
//	28   wanted   the greatest request that a maker waits for
//	32   cursor   the next object lies here,
//	40   limit    and ends here at the latest; none fits if it is below cursor
//	48   backed   memory from cursor up to here is reserved
//	56   half     a request is made when cursor comes here
//	64   gapLow   the gap that was requested,
//	72   gapHigh  and its end
//	80   asked    the request for it, 0: there is none
//	88   loose    bytes of shared pages that were freed since the last trim
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

// entriesAtOnce is how many entries get memory at one time.
const entriesAtOnce = 128

// lockDirectory takes the directory's lock. If its owner died in the
// directory, or a party has died since the last sweep, it sweeps.
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

// sweep frees the objects that their makers did not finish, and the removed
// ones that no living party holds, and rebuilds the list of free entries and the index.
// It runs after deaths, and when there seems to be no space.
func (a *attachment) sweep() {
	d := &a.words.dir
	d.swept.Store(a.words.party.Deaths.Load()) // before the look at the holders
	d.free.Store(0)
	for i := a.used() - 1; i >= 0; i-- {
		e := &a.entries[i]
		switch s := e.state.Load(); {
		case s == stateMaking:
			a.free(i)
			d.backed.Store(d.cursor.Load()) // it may lie there
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

// free ends an object: its memory is given back and its entry may be used
// again. Killed before the entry is FREE, the object is freed by the next sweep;
// killed before it is listed, the sweep lists it.
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

// list puts the free entry on the list.
func (a *attachment) list(i int) {
	d := &a.words.dir
	a.entries[i].next.Store(d.free.Load())
	d.free.Store(uint32(i) + 1)
}

// freeEntry takes an entry off the list, or uses one for the first time.
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
	return 0, fmt.Errorf("%w: all %d objects are in use", ErrNoSpace, len(a.entries))
}

// unwanted reports whether the object of e ends when no living party holds it: it is removed, or has
// no name by which another party could open it.
func (a *attachment) unwanted(e *entry) bool {
	s := e.state.Load()
	return s == stateRemoved || s == stateReady && e.nameLen.Load() == 0
}

// reap frees the object that was the entry's with the serial number, if it is unwanted and no living
// party holds it.
func (a *attachment) reap(i int, serial uint32) {
	e := &a.entries[i]
	if !a.unwanted(e) || e.serial.Load() != serial || a.lockDirectory() != nil {
		return
	}
	defer a.unlockDirectory()
	if a.unwanted(e) && e.serial.Load() == serial {
		a.freeUnheld(i)
	}
}

// freeUnheld frees an unwanted object if no living party holds it. A party that opens it by a handle meanwhile
// either has its hold before the second look at the holders, or finds that the object is removed.
func (a *attachment) freeUnheld(i int) {
	if !a.entries[i].held(0, a.table.Alive) {
		a.removeEntry(i)
	}
}
