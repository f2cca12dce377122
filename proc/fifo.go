package proc

import "slices"

// A fifo is a list whose first element is removed again and again while others are appended. A slice would get
// new memory each time it has moved to the end of its own. The zero value is empty.
type fifo[T any] struct {
	list []T // its elements may be changed, and removed by functions of package slices
	all  []T // the memory of which list is a part
}

// push appends v.
func (f *fifo[T]) push(v T) {
	if len(f.list) == cap(f.list) {
		if n := len(f.list); n > 0 && n <= cap(f.all)/2 { // half of the memory lies before the list
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
	}
	return v
}
