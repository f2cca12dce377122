package shm

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// Addresses are cheap. So the range of a freed object is not used again while a method that was
// called before the object was closed may still run. Such a method works on memory that belongs to
// no object, and does no harm.
//
// Objects get their ranges from the run, which is [cursor, limit), one after the other. When an
// object is freed, the pages that it alone used are given back to the kernel at once. A page that
// it shared with other objects is given back by a trim after all of them have been freed. The range
// itself stays unused until the run is used up. Then the allocator takes a gap between objects as
// the next run, once no method of any process can be using an object that was there:
//
//  1. A maker records the largest gap and raises request. [GAP]
//  2. Each Close loads request as its generation, publishes it in its party's quiet word if that
//     was 0, and only then drops its hold on the object. A party's quiet word is the generation of
//     the oldest of its closed objects that a method may still be using. The garbage collector
//     shows when no method is. [CLOSING]
//  3. The gap of request g may be used when no living party's quiet word has a generation before g.
//     For all objects in the gap were free at step 1. So each of their holders had closed them,
//     with a generation before g, or had died.
//
// A maker that finds no space sets wanted. All processes that have closed objects poll wanted, and
// run the garbage collector when it is set. internal/model/recycle.pml is this as a model, and
// checks that each of the rules is needed.

// A span is a range of the segment.
type span struct{ offset, size int }

func (s span) end() int { return s.offset + s.size }

// span returns the range of the entry's object. It returns ErrCorrupt if that is not a range of the
// objects' part of the segment.
func (a *attachment) span(e *entry) (span, error) {
	off, size := e.offset.Load(), e.size.Load()
	base, total := uint64(a.shape.base), uint64(a.shape.total)
	if off < base || off > total || off%lineSize != 0 || size == 0 || size > total-off {
		return span{}, fmt.Errorf("%w: an object of %d bytes at %d: make the segment anew", ErrCorrupt, size, off)
	}
	return span{int(off), int(size)}, nil
}

// spans returns the ranges of all objects, in order. The caller holds the directory's lock.
func (a *attachment) spans() ([]span, error) {
	var all []span
	for i := range a.used() {
		e := &a.entries[i]
		if e.state.Load() == stateFree {
			continue
		}
		s, err := a.span(e)
		if err != nil {
			return nil, err
		}
		s.size = min(roundUp(s.size, lineSize), a.shape.total-s.offset)
		all = append(all, s)
	}
	slices.SortFunc(all, func(x, y span) int { return cmp.Compare(x.offset, y.offset) })
	for i := 1; i < len(all); i++ {
		if all[i].offset < all[i-1].end() {
			return nil, fmt.Errorf("%w: objects overlap at %d: make the segment anew", ErrCorrupt, all[i].offset)
		}
	}
	return all, nil
}

// gaps returns the ranges that no object covers. They include the run only if withRun is true.
func (a *attachment) gaps(withRun bool) ([]span, error) {
	all, err := a.spans()
	if err != nil {
		return nil, err
	}
	r, err := a.run()
	if err != nil {
		return nil, err
	}
	if i, _ := slices.BinarySearchFunc(all, r.offset, func(s span, off int) int { return cmp.Compare(s.offset, off) }); r.size > 0 {
		if i > 0 && all[i-1].end() > r.offset || i < len(all) && all[i].offset < r.end() {
			return nil, fmt.Errorf("%w: an object lies in free memory at %d: make the segment anew", ErrCorrupt, r.offset)
		}
		if !withRun {
			all = slices.Insert(all, i, r)
		}
	}
	var gaps []span
	at := a.shape.base
	for _, s := range append(all, span{a.shape.total / lineSize * lineSize, 0}) {
		if s.offset > at {
			gaps = append(gaps, span{at, s.offset - at})
		}
		at = max(at, s.end())
	}
	return gaps, nil
}

// run returns [cursor, limit). Its size is 0 if nothing of it is left.
func (a *attachment) run() (span, error) {
	d := &a.words.dir
	cursor, limit := d.cursor.Load(), d.limit.Load()
	base, total := uint64(a.shape.base), uint64(a.shape.total)
	if cursor == 0 && limit == 0 { // no object was ever made
		cursor, limit = base, total/lineSize*lineSize
		d.half.Store(cursor + (limit-cursor)/2)
		d.cursor.Store(cursor)
		if crash.Enabled {
			crash.At(crash.RunPlaced) // there is no run, as in nextRun, and the next maker requests a gap
		}
		d.limit.Store(limit)
	}
	if limit <= cursor {
		return span{a.shape.base, 0}, nil
	}
	if cursor < base || limit > total || cursor%lineSize != 0 || limit%lineSize != 0 {
		return span{}, fmt.Errorf("%w: free memory at %d to %d: make the segment anew", ErrCorrupt, cursor, limit)
	}
	return span{int(cursor), int(limit - cursor)}, nil
}

// errBusy means that there is space, but that a method of a process may still use it.
var errBusy = fmt.Errorf("%w: methods may still use closed objects", ErrNoSpace)

// alloc returns the offset of a free range of size bytes. The range stays free until advance is
// called. The caller holds the directory's lock.
func (a *attachment) alloc(size int) (offset int, err error) {
	if !a.checked.Load() {
		if _, err := a.gaps(false); err != nil {
			return 0, err
		}
		a.checked.Store(true)
	}
	swept := false
	for {
		r, err := a.run()
		if err != nil || r.size >= size {
			return r.offset, err
		}
		err = a.nextRun(size)
		if errors.Is(err, ErrNoSpace) && err != errBusy && !swept {
			a.sweep() // there may be an object that no party holds and that is not freed yet
			swept = true
		} else if err != nil {
			return 0, err
		}
	}
}

// nextRun makes a gap of at least size bytes the run. It returns errBusy if the largest gap can't
// be used yet.
func (a *attachment) nextRun(size int) error {
	d := &a.words.dir
	gap, err := a.asked()
	if err == nil && gap.size < size {
		gap, err = a.ask(size, true)
	}
	if err != nil {
		return err
	}
	if _, _, loud := a.table.Loud(d.asked.Load()); loud {
		return errBusy
	}
	// If the process is killed in these steps, there is no run, and the next maker requests a gap
	// again: limit is 1 meanwhile, so that the new cursor is never used with the old limit.
	d.asked.Store(0)
	d.limit.Store(1)
	if crash.Enabled {
		crash.At(crash.RecycleBegun)
	}
	d.cursor.Store(uint64(gap.offset))
	d.backed.Store(uint64(gap.offset))
	d.half.Store(uint64(gap.offset + gap.size/2))
	if crash.Enabled {
		crash.At(crash.RecycleMoved)
	}
	d.limit.Store(uint64(gap.end()))
	return nil
}

// asked returns the gap that was requested. Its size is 0 if none was.
func (a *attachment) asked() (span, error) {
	d := &a.words.dir
	if d.asked.Load() == 0 {
		return span{}, nil
	}
	low, high := d.gapLow.Load(), d.gapHigh.Load()
	if low < uint64(a.shape.base) || high > uint64(a.shape.total) || low >= high || low%lineSize != 0 || high%lineSize != 0 {
		return span{}, fmt.Errorf("%w: gap at %d to %d: make the segment anew", ErrCorrupt, low, high)
	}
	return span{int(low), int(high - low)}, nil
}

// ask requests the largest gap. The rest of the run belongs to the gaps if withRun is true. ask
// returns ErrNoSpace if the gap has fewer than size bytes. [GAP]
func (a *attachment) ask(size int, withRun bool) (span, error) {
	gaps, err := a.gaps(withRun)
	if err != nil {
		return span{}, err
	}
	var largest span
	for _, g := range gaps {
		if g.size > largest.size {
			largest = g
		}
	}
	if largest.size < size {
		return span{}, fmt.Errorf("%w: want %d bytes, the largest gap has %d: remove objects, or make a larger segment",
			ErrNoSpace, size, largest.size)
	}
	d := &a.words.dir
	d.asked.Store(0)
	d.gapLow.Store(uint64(largest.offset))
	d.gapHigh.Store(uint64(largest.end()))
	g := d.request.Add(1)
	d.asked.Store(g)
	return largest, nil
}

// askEarly is the size from which on a run requests the next gap when half of it is used. Garbage
// collections that happen anyway may then make the gap usable before it is needed.
const askEarly = 1 << 14

// advance takes the range that alloc has found.
func (a *attachment) advance(off, size int) {
	d := &a.words.dir
	end := uint64(off + roundUp(size, lineSize))
	if d.asked.Load() != 0 && uint64(off) < d.gapHigh.Load() && end > d.gapLow.Load() {
		d.asked.Store(0) // the range is part of the requested gap
	}
	d.cursor.Store(end)
	if end >= d.half.Load() && uint64(off) < d.half.Load() && d.asked.Load() == 0 && d.limit.Load()-d.half.Load() > askEarly/2 {
		a.ask(lineSize, false) // an error is reported to the maker that needs the gap
	}
}

// takeBack undoes advance for an object that was not made. No other process has used the range.
func (a *attachment) takeBack(off, size int) {
	if d := &a.words.dir; d.cursor.Load() == uint64(off+roundUp(size, lineSize)) && d.limit.Load() >= d.cursor.Load() {
		d.cursor.Store(uint64(off))
		d.backed.Store(min(d.backed.Load(), uint64(off)))
	}
}

// reserveAtOnce is the number of bytes that are reserved at one time for small objects.
const reserveAtOnce = 1 << 16

var pageSize = os.Getpagesize()

// fill makes the range that alloc has found zero, and reserves the memory of its first bytes.
func (a *attachment) fill(off, size, reserved int) error {
	d := &a.words.dir
	mem := a.mem.bytes[off : off+size]
	f := a.mem.file
	switch {
	case f == nil:
		clear(mem)
		return nil
	case ownPages(span{off, size}):
		// The pages are given back and reserved again, which is cheaper than writing zeros.
		if err := sys.Punch(f, int64(off), int64(size)); err != nil {
			return err
		}
		d.backed.Store(uint64(off))
		if err := reserve(f, off, reserved); err != nil {
			return errors.Join(err, sys.Punch(f, int64(off), int64(size)))
		}
		d.backed.Store(uint64(off + reserved))
		return nil
	case d.backed.Load() < uint64(off+size):
		n := max(size, min(reserveAtOnce, int(d.limit.Load())-off))
		err := reserve(f, off, n)
		if errors.Is(err, ErrNoSpace) && n > size {
			n = size
			err = reserve(f, off, n)
		}
		if err != nil {
			return err
		}
		d.backed.Store(uint64(off + n))
	}
	clear(mem)
	return nil
}

// ownPages reports whether s covers at least one whole page.
func ownPages(s span) bool {
	return roundUp(s.offset, pageSize) < s.end()/pageSize*pageSize
}

// giveBack gives the memory of a freed object back to the kernel, except pages that it shares with
// other objects.
func (a *attachment) giveBack(s span) {
	if a.mem.file == nil {
		return
	}
	d := &a.words.dir
	if !ownPages(s) {
		if d.loose.Add(uint64(s.size)) > uint64(trimAfter+a.used()*entrySize) {
			a.trim()
		}
		return
	}
	sys.Punch(a.mem.file, int64(s.offset), int64(s.size)) // if it fails, the memory stays reserved
	d.loose.Add(uint64(min(s.size, 2*pageSize)))
}

// trimAfter is the number of bytes that are freed in shared pages before a trim gives the pages
// back, if there are few objects. With many objects the number is larger, because a trim looks at
// all entries.
const trimAfter = 1 << 20

// trim gives back the pages of gaps.
func (a *attachment) trim() {
	a.words.dir.loose.Store(0)
	gaps, err := a.gaps(false)
	if err != nil {
		return
	}
	for _, g := range gaps {
		if ownPages(g) {
			sys.Punch(a.mem.file, int64(g.offset), int64(g.size))
		}
	}
}
