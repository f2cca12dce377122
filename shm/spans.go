package shm

import (
	"cmp"
	"fmt"
	"slices"
)

// A span is the memory of one object.
type span struct{ offset, size int }

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
	for i := range a.entries {
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
		if all[i].offset-all[i-1].offset < all[i-1].size {
			return nil, fmt.Errorf("%w: objects overlap at %d", ErrCorrupt, all[i].offset)
		}
	}
	return all, nil
}
