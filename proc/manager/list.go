package manager

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed-2e7ecdea/mp/internal/codec"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A List is a proxy of a sequence of values that a manager's process holds. Its methods work, block
// and fail as those of Dict do. An index begins at 0; a method fails with ErrNotFound if there is no
// element of that index, and changes nothing.
//
// Two values are equal, for Index, Count and Remove, if their encoded bytes are.
type List[T any] struct{ proxy }

// NewList makes a list of these values in m's process. It fails as NewDict does.
func NewList[T any](ctx context.Context, m *Manager, values ...T) (*List[T], error) {
	code, err := codec.Of[T]()
	l := new(List[T])
	if err == nil {
		err = m.make(ctx, &l.proxy, kindList, code.Fingerprint(), code)
	}
	if err == nil && len(values) > 0 {
		if err = l.Append(ctx, values...); err != nil {
			_ = l.Close()
		}
	}
	if err != nil {
		return nil, failed("NewList", err)
	}
	return l, nil
}

// UnmarshalText attaches the List to the object of a reference, as Dict.UnmarshalText does.
func (l *List[T]) UnmarshalText(text []byte) error {
	code, err := codec.Of[T]()
	if err == nil {
		err = l.attach(text, kindList, code.Fingerprint(), code)
	}
	return failed("List.UnmarshalText", err)
}

// UnmarshalBinary is UnmarshalText.
func (l *List[T]) UnmarshalBinary(data []byte) error { return l.UnmarshalText(data) }

// do makes a request with numbers and values as arguments. It gives the answer to decode, which may
// be nil.
func (l *List[T]) do(
	ctx context.Context, method string, op byte, numbers []uint64, values []T, decode func(*reader, *codec.Codec[T]) error,
) error {
	a, msg, err := l.request(op)
	if err != nil {
		return failed(method, err)
	}
	code := a.codecs.(*codec.Codec[T])
	for _, n := range numbers {
		msg = appendUint64(msg, n)
	}
	if msg, err = appendAll(msg, code, values); err == nil {
		err = a.call(ctx, msg, func(r *reader) error {
			if decode == nil {
				return nil
			}
			return decode(r, code)
		})
	}
	return failed(method, err)
}

// indexes returns indexes as numbers of a request.
func indexes(list ...int) (numbers []uint64, err error) {
	for _, i := range list {
		if i < 0 {
			return nil, fmt.Errorf("index %d is negative: %w", i, shm.ErrSize)
		}
		numbers = append(numbers, uint64(i))
	}
	return numbers, nil
}

// at makes a request whose first arguments are indexes.
func (l *List[T]) at(
	ctx context.Context, method string, op byte, values []T, decode func(*reader, *codec.Codec[T]) error, list ...int,
) error {
	numbers, err := indexes(list...)
	if err != nil {
		return failed(method, err)
	}
	return l.do(ctx, method, op, numbers, values, decode)
}

// Append appends values. They stay together.
func (l *List[T]) Append(ctx context.Context, values ...T) error {
	return l.do(ctx, "List.Append", listInsert, []uint64{endOfList}, values, nil)
}

// Insert inserts values before the element i. If there is none, it appends them.
func (l *List[T]) Insert(ctx context.Context, i int, values ...T) error {
	return l.at(ctx, "List.Insert", listInsert, values, nil, i)
}

// Set replaces the elements from i on by as many values.
func (l *List[T]) Set(ctx context.Context, i int, values ...T) error {
	return l.at(ctx, "List.Set", listSet, values, nil, i)
}

// Get returns the element i.
func (l *List[T]) Get(ctx context.Context, i int) (v T, err error) {
	err = l.at(ctx, "List.Get", listGet, nil, into(&v), i)
	return v, err
}

func into[T any](v *T) func(*reader, *codec.Codec[T]) error {
	return func(r *reader, c *codec.Codec[T]) error { return decodeOne(r, c, v) }
}

// Pop removes the last element and returns it.
func (l *List[T]) Pop(ctx context.Context) (v T, err error) {
	err = l.do(ctx, "List.Pop", listPop, nil, nil, into(&v))
	return v, err
}

// PopAt removes the element i and returns it.
func (l *List[T]) PopAt(ctx context.Context, i int) (v T, err error) {
	err = l.at(ctx, "List.PopAt", listPopAt, nil, into(&v), i)
	return v, err
}

// Remove removes the first element that is equal to v. It fails with ErrNotFound if there is none.
func (l *List[T]) Remove(ctx context.Context, v T) error {
	return l.do(ctx, "List.Remove", listRemove, nil, []T{v}, nil)
}

// Delete removes the elements from index from up to but not including to, or up to the end. It fails
// with ErrNotFound if from is greater than to or than the length.
func (l *List[T]) Delete(ctx context.Context, from, to int) error {
	return l.at(ctx, "List.Delete", listDelete, nil, nil, from, to)
}

// Slice returns the elements from index from up to but not including to, or up to the end. It fails
// as Delete does.
func (l *List[T]) Slice(ctx context.Context, from, to int) (values []T, err error) {
	err = l.at(ctx, "List.Slice", listSlice, nil, all(&values), from, to)
	return values, err
}

// All returns all elements, as they were at one moment.
func (l *List[T]) All(ctx context.Context) (values []T, err error) {
	err = l.do(ctx, "List.All", listSlice, []uint64{0, endOfList}, nil, all(&values))
	return values, err
}

func all[T any](values *[]T) func(*reader, *codec.Codec[T]) error {
	return func(r *reader, c *codec.Codec[T]) (err error) {
		*values, err = decodeAll(r, c)
		return err
	}
}

// Clear removes all elements.
func (l *List[T]) Clear(ctx context.Context) error {
	return l.do(ctx, "List.Clear", listDelete, []uint64{0, endOfList}, nil, nil)
}

// Len returns the number of elements.
func (l *List[T]) Len(ctx context.Context) (int, error) {
	n, err := l.count(ctx, listLen)
	return n, failed("List.Len", err)
}

// Index returns the index of the first element, from index from on, that is equal to v. It fails
// with ErrNotFound if there is none.
func (l *List[T]) Index(ctx context.Context, v T, from int) (i int, err error) {
	err = l.at(ctx, "List.Index", listIndex, []T{v}, number[T](&i), from)
	return i, err
}

// Contains reports whether an element is equal to v.
func (l *List[T]) Contains(ctx context.Context, v T) (bool, error) {
	var i int
	err := l.do(ctx, "List.Contains", listIndex, []uint64{0}, []T{v}, number[T](&i))
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Count returns how many elements are equal to v.
func (l *List[T]) Count(ctx context.Context, v T) (n int, err error) {
	err = l.do(ctx, "List.Count", listCount, nil, []T{v}, number[T](&n))
	return n, err
}

func number[T any](n *int) func(*reader, *codec.Codec[T]) error {
	return func(r *reader, _ *codec.Codec[T]) error {
		*n = int(r.uint64())
		return nil
	}
}

// Reverse reverses the order of the elements.
func (l *List[T]) Reverse(ctx context.Context) error {
	return l.do(ctx, "List.Reverse", listReverse, nil, nil, nil)
}

// Repeat makes the list n copies of itself, one after the other. It fails with ErrTooLong,
// and changes nothing, if the list would become longer than Options.MaxRepeat of New.
func (l *List[T]) Repeat(ctx context.Context, n int) error {
	return l.at(ctx, "List.Repeat", listRepeat, nil, nil, n)
}
