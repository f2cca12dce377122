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

// Addresses are cheap, so the range of an object that is gone is not used again
// while a method may still be inside: such a method works on memory that is nobody's, and
// does no harm.
//
// Objects get their ranges from [cursor, limit), one after the other. When an
// object is freed the pages that it had for itself are given back at once; those that it
// shared with others when a trim finds that all on them are gone. The range itself stays
// unused until [cursor, limit) is used up. Then the allocator moves on to a gap between
// objects, once no process has a method in what was there:
//
//  1. A maker records the largest gap and raises request. [GAP]
//  2. Each Close takes request as its generation, publishes it as its party's quiet
//     word if that was 0, and drops its hold on the object only then. A party's quiet
//     word is that of its oldest closed object in which a method may still be: the
//     garbage collector says when none is. [CLOSING]
//  3. A gap of request g may be used when no living party's quiet word is of a
//     generation before g: all objects that lay there were free at 1, so they had been
//     closed, with a generation before g, or their holders had died.
//
// A maker that finds no space sets wanted, and all processes that have closed objects
// look at that from time to time and run the garbage collector. internal/model/recycle.pml
// has these rules, with each of them left out.

// A span is a range of the segment.
type span struct{ offset, size int }

func (s span) end() int { return s.offset + s.size }

// span checks where the entry's object lies.
func (a *attachment) span(e *entry) (span, error) {
	off, size := e.offset.Load(), e.size.Load()
	base, total := uint64(a.shape.base), uint64(a.shape.total)
	if off < base || off > total || off%lineSize != 0 || size == 0 || size > total-off {
		return span{}, fmt.Errorf("%w: object at %d of %d bytes", ErrCorrupt, off, size)
	}
	return span{int(off), int(size)}, nil
}

// spans returns the memory in use, in order, under the directory's lock.
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
			return nil, fmt.Errorf("%w: objects overlap at %d", ErrCorrupt, all[i].offset)
		}
	}
	return all, nil
}

// gaps returns what no object covers, and also not [cursor, limit) unless withRun is
// true.
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
			return nil, fmt.Errorf("%w: an object lies in free memory at %d", ErrCorrupt, r.offset)
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

// run returns [cursor, limit), of size 0 if nothing is left.
func (a *attachment) run() (span, error) {
	d := &a.words.dir
	cursor, limit := d.cursor.Load(), d.limit.Load()
	base, total := uint64(a.shape.base), uint64(a.shape.total)
	if cursor == 0 && limit == 0 { // nothing was ever made
		cursor, limit = base, total/lineSize*lineSize
		d.half.Store(cursor + (limit-cursor)/2)
		d.limit.Store(limit)
		d.cursor.Store(cursor)
	}
	if limit <= cursor {
		return span{a.shape.base, 0}, nil
	}
	if cursor < base || limit > total || cursor%lineSize != 0 || limit%lineSize != 0 {
		return span{}, fmt.Errorf("%w: free memory at %d to %d", ErrCorrupt, cursor, limit)
	}
	return span{int(cursor), int(limit - cursor)}, nil
}

// errBusy means that there is space, but that a process may have a method in
// it.
var errBusy = fmt.Errorf("%w: methods of closed objects may still use the memory", ErrNoSpace)

// alloc finds space for size bytes in the objects' part of the segment, under
// the directory's lock. The space is used when advance has been called.
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
			a.sweep() // an object may be free that its last holder has not freed yet
			swept = true
		} else if err != nil {
			return 0, err
		}
	}
}

// nextRun moves on to a gap of at least size bytes. It fails with errBusy if
// the largest gap can't be used yet.
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
	// Killed in these steps, the gap has to be asked for again: a run that begins with
	// the new cursor never has the old limit.
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

// asked returns the gap that was requested, of size 0 if none was.
func (a *attachment) asked() (span, error) {
	d := &a.words.dir
	if d.asked.Load() == 0 {
		return span{}, nil
	}
	low, high := d.gapLow.Load(), d.gapHigh.Load()
	if low < uint64(a.shape.base) || high > uint64(a.shape.total) || low >= high || low%lineSize != 0 || high%lineSize != 0 {
		return span{}, fmt.Errorf("%w: gap at %d to %d", ErrCorrupt, low, high)
	}
	return span{int(low), int(high - low)}, nil
}

// ask requests the largest gap, to which the present run may belong. It fails with
// ErrNoSpace if that has fewer than size bytes. [GAP]
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
		return span{}, fmt.Errorf("%w: the largest gap has %d bytes", ErrNoSpace, largest.size)
	}
	d := &a.words.dir
	d.asked.Store(0)
	d.gapLow.Store(uint64(largest.offset))
	d.gapHigh.Store(uint64(largest.end()))
	g := d.request.Add(1)
	d.asked.Store(g)
	return largest, nil
}

// askEarly is the size of a run that requests the next gap when half of it is
// used: garbage collections that happen anyway may do what is to be waited for.
const askEarly = 1 << 14

// advance uses the space that alloc has found.
func (a *attachment) advance(off, size int) {
	d := &a.words.dir
	end := uint64(off + roundUp(size, lineSize))
	if d.asked.Load() != 0 && uint64(off) < d.gapHigh.Load() && end > d.gapLow.Load() {
		d.asked.Store(0) // the gap that is asked for loses a part
	}
	d.cursor.Store(end)
	if end >= d.half.Load() && uint64(off) < d.half.Load() && d.asked.Load() == 0 && d.limit.Load()-d.half.Load() > askEarly/2 {
		a.ask(lineSize, false) // an error will be met by the maker that needs the gap
	}
}

// takeBack undoes advance, as nobody has seen the space.
func (a *attachment) takeBack(off, size int) {
	if d := &a.words.dir; d.cursor.Load() == uint64(off+roundUp(size, lineSize)) && d.limit.Load() >= d.cursor.Load() {
		d.cursor.Store(uint64(off))
		d.backed.Store(min(d.backed.Load(), uint64(off)))
	}
}

// reserveAtOnce is how much memory small objects reserve at one time.
const reserveAtOnce = 1 << 16

var pageSize = os.Getpagesize()

// fill makes sure that the memory of [off, off+size), which alloc has found, is
// there and zero.
func (a *attachment) fill(off, size int) error {
	d := &a.words.dir
	mem := a.mem.bytes[off : off+size]
	f := a.mem.file
	switch {
	case f == nil:
		clear(mem)
		return nil
	case ownPages(span{off, size}):
		// Pages are given back and taken anew rather than written.
		if err := sys.Punch(f, int64(off), int64(size)); err != nil {
			return err
		}
		d.backed.Store(uint64(off))
		if err := reserve(f, off, size); err != nil {
			return errors.Join(err, sys.Punch(f, int64(off), int64(size)))
		}
		d.backed.Store(uint64(off + size))
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

// giveBack gives the memory of a freed object back, as far as it shares no
// page with others.
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
	sys.Punch(a.mem.file, int64(s.offset), int64(s.size)) // in an error the memory stays, unused
	d.loose.Add(uint64(min(s.size, 2*pageSize)))
}

// trimAfter is how many bytes of shared pages are freed until they are given
// back, if there are few objects. With many there are to be more: a trim looks at all
// entries.
const trimAfter = 1 << 20

// trim gives back the pages on which no object lies any more.
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
