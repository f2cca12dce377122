package proc

import "slices"

// A fifo is a list to whose end elements are appended while the first ones are removed. Appending to a slice
// whose first elements were cut off would allocate new memory again and again, since it does not use the memory
// of those. The zero value is empty.
type fifo[T any] struct {
	list []T // may be read, and shortened by slices.Delete and slices.DeleteFunc; only methods may add to it
	all  []T // the memory of list, from its beginning on
}

// keptFifo is the capacity that an empty fifo keeps at most.
const keptFifo = 8 << 10

// push appends v.
func (f *fifo[T]) push(v T) {
	if len(f.list) == cap(f.list) {
		if n := len(f.list); n > 0 && n <= cap(f.all)/2 { // at least half of the memory lies before the list
			copy(f.all[:n], f.list)
			clear(f.list)
			f.list = f.all[:n]
		} else {
			f.list = slices.Grow(f.list, max(n, 8))
			f.all = f.list
		}
	}
	f.list = append(f.list, v)
}

// pushFront makes v the first element.
func (f *fifo[T]) pushFront(v T) {
	before := cap(f.all) - cap(f.list)
	if before == 0 {
		f.list = slices.Insert(f.list, 0, v)
		f.all = f.list
		return
	}
	f.list = f.all[before-1 : before+len(f.list)]
	f.list[0] = v
}

// pop removes the first element and returns it.
func (f *fifo[T]) pop() T {
	var none T
	v := f.list[0]
	f.list[0] = none
	if f.list = f.list[1:]; len(f.list) == 0 {
		f.list = f.all[:0]
		if cap(f.all) > keptFifo {
			*f = fifo[T]{}
		}
	}
	return v
}
