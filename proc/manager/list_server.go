package manager

import (
	"bytes"
	"slices"
)

// The operations on lists. An index and a count are 8 bytes, a value is sized bytes. Values go to
// the end of the message.
const (
	listGet     = opList + iota // index -> value
	listSet                     // index, values -> nothing: as many as there are, from the index on
	listInsert                  // index, values -> nothing; an index at or beyond the end appends
	listDelete                  // from, to -> nothing
	listPop                     // -> value, the last one
	listPopAt                   // index -> value
	listSlice                   // from, to -> values
	listLen                     // -> count
	listIndex                   // from, value -> index of the first equal one
	listCount                   // value -> count of equal ones
	listReverse                 // -> nothing
	listRepeat                  // count -> nothing: the values, as many times
	listRemove                  // value -> nothing: removes the first equal one
)

// endOfList is an index beyond the end of every list.
const endOfList = ^uint64(0)

// A list is a sequence of values.
type list struct{ values []value }

// clear implements content.
func (l *list) clear() []uint64 {
	refs := refsOf(l.values)
	l.values = nil
	return refs
}

func refsOf(values []value) (refs []uint64) {
	for _, v := range values {
		refs = append(refs, v.refs...)
	}
	return refs
}

// do implements content.
func (l *list) do(x *exchange, op byte, args *reader, dst []byte) ([]byte, error) {
	switch op {
	case listSet, listInsert:
		return dst, l.put(x, op, args)
	case listDelete, listSlice:
		from, to := args.uint64(), min(args.uint64(), uint64(len(l.values)))
		if err := args.end(); err != nil {
			return dst, err
		}
		if from > to {
			return dst, ErrNotFound
		}
		if op == listDelete {
			x.discard(refsOf(l.values[from:to])...)
			l.values = slices.Delete(l.values, int(from), int(to))
			return dst, nil
		}
		for _, v := range l.values[from:to] {
			dst = x.answer(dst, v)
		}
		return dst, nil
	case listGet, listPopAt, listPop:
		i := uint64(len(l.values)) - 1
		if op != listPop {
			i = args.uint64()
		}
		if err := args.end(); err != nil {
			return dst, err
		}
		if i >= uint64(len(l.values)) {
			return dst, ErrNotFound
		}
		v := l.values[i]
		dst = x.answer(dst, v)
		if op != listGet {
			x.discard(v.refs...)
			l.values = slices.Delete(l.values, int(i), int(i)+1)
		}
		return dst, nil
	case listRemove:
		data := args.sized()
		if err := args.end(); err != nil {
			return dst, err
		}
		return dst, l.remove(x, data)
	case listIndex, listCount:
		return l.search(op, args, dst)
	case listRepeat:
		n := args.uint64()
		if err := args.end(); err != nil {
			return dst, err
		}
		return dst, l.repeat(x, n)
	}
	if err := args.end(); err != nil {
		return dst, err
	}
	switch op {
	case listLen:
		return appendUint64(dst, uint64(len(l.values))), nil
	case listReverse:
		slices.Reverse(l.values)
		return dst, nil
	}
	return dst, ErrProtocol
}

// put does listSet and listInsert. A malformed message changes nothing.
func (l *list) put(x *exchange, op byte, args *reader) error {
	i := args.uint64()
	var parts [][]byte
	for args.err == nil && len(args.rest) > 0 {
		parts = append(parts, args.sized())
	}
	if err := args.end(); err != nil {
		return err
	}
	size := uint64(len(l.values))
	if op == listSet && (i > size || uint64(len(parts)) > size-i) {
		return ErrNotFound
	}
	added := make([]value, len(parts))
	for k, data := range parts {
		added[k] = x.keep(data)
	}
	if op == listInsert {
		l.values = slices.Insert(l.values, int(min(i, size)), added...)
		return nil
	}
	x.discard(refsOf(l.values[i:][:len(added)])...)
	copy(l.values[i:], added)
	return nil
}

// remove removes the first value that is equal to data.
func (l *list) remove(x *exchange, data []byte) error {
	i := slices.IndexFunc(l.values, func(v value) bool { return bytes.Equal(v.data, data) })
	if i < 0 {
		return ErrNotFound
	}
	x.discard(l.values[i].refs...)
	l.values = slices.Delete(l.values, i, i+1)
	return nil
}

// search does listIndex and listCount. Values are equal if their bytes are.
func (l *list) search(op byte, args *reader, dst []byte) ([]byte, error) {
	var from uint64
	if op == listIndex {
		from = min(args.uint64(), uint64(len(l.values)))
	}
	data := args.sized()
	if err := args.end(); err != nil {
		return dst, err
	}
	var count uint64
	for i, v := range l.values[from:] {
		if !bytes.Equal(v.data, data) {
			continue
		}
		if op == listIndex {
			return appendUint64(dst, from+uint64(i)), nil
		}
		count++
	}
	if op == listIndex {
		return dst, ErrNotFound
	}
	return appendUint64(dst, count), nil
}

func (l *list) repeat(x *exchange, n uint64) error {
	once := l.values
	switch {
	case n == 0:
		x.discard(l.clear()...)
		return nil
	case n == 1 || len(once) == 0:
		return nil
	case n > uint64(x.table.maxRepeat/len(once)):
		return ErrTooLong
	}
	for range n - 1 {
		for _, v := range once {
			l.values = append(l.values, x.again(v))
		}
	}
	return nil
}
