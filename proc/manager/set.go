package manager

import (
	"context"
	"fmt"

	"github.com/seed-2e7ecdea/mp/internal/codec"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A Set is a proxy of a set of values that a manager's process holds. It keeps the order in which
// they were added. Its methods work, block and fail as those of Dict do; what is said there of keys
// holds for the values of a set.
type Set[T comparable] struct{ proxy }

// NewSet makes a set of these values in m's process. It fails as NewDict does.
func NewSet[T comparable](ctx context.Context, m *Manager, values ...T) (*Set[T], error) {
	code, err := codec.Of[T]()
	s := new(Set[T])
	if err == nil {
		err = m.make(ctx, &s.proxy, kindSet, code.Fingerprint(), code)
	}
	if err == nil && len(values) > 0 {
		if _, err = s.Add(ctx, values...); err != nil {
			_ = s.Close()
		}
	}
	if err != nil {
		return nil, failed("NewSet", err)
	}
	return s, nil
}

// UnmarshalText attaches the Set to the object of a reference, as Dict.UnmarshalText does.
func (s *Set[T]) UnmarshalText(text []byte) error {
	code, err := codec.Of[T]()
	if err == nil {
		err = s.attach(text, kindSet, code.Fingerprint(), code)
	}
	return failed("Set.UnmarshalText", err)
}

// UnmarshalBinary is UnmarshalText.
func (s *Set[T]) UnmarshalBinary(data []byte) error { return s.UnmarshalText(data) }

// do makes a request with values as arguments, each with an empty value behind it if it is to be
// set. It gives the answer to decode, which may be nil.
func (s *Set[T]) do(ctx context.Context, op byte, values []T, decode func(*reader, *codec.Codec[T]) error) error {
	a, msg, err := s.request(op)
	if err != nil {
		return err
	}
	code := a.codecs.(*codec.Codec[T])
	for i := range values {
		if msg, err = appendValue(msg, code, &values[i]); err != nil {
			return err
		}
		if op == dictSet {
			msg = appendSized(msg, nil)
		}
	}
	return a.call(ctx, msg, func(r *reader) error {
		if decode == nil {
			return nil
		}
		return decode(r, code)
	})
}

// Add adds values, and returns how many of them were not there before.
func (s *Set[T]) Add(ctx context.Context, values ...T) (n int, err error) {
	err = s.do(ctx, dictSet, values, number[T](&n))
	return n, failed("Set.Add", err)
}

// Discard removes values, and returns how many of them were there.
func (s *Set[T]) Discard(ctx context.Context, values ...T) (n int, err error) {
	err = s.do(ctx, dictDelete, values, number[T](&n))
	return n, failed("Set.Discard", err)
}

// Contains reports whether the set has a value.
func (s *Set[T]) Contains(ctx context.Context, v T) (is bool, err error) {
	err = s.do(ctx, dictContains, []T{v}, func(r *reader, _ *codec.Codec[T]) error {
		is = r.byte() != 0
		return nil
	})
	return is, failed("Set.Contains", err)
}

// Pop removes the value that was added last, and returns it. It fails with ErrNotFound if the set is
// empty.
func (s *Set[T]) Pop(ctx context.Context) (v T, err error) {
	err = s.do(ctx, dictPopLast, nil, func(r *reader, code *codec.Codec[T]) error {
		if err := decodeOne(r, code, &v); err != nil {
			return err
		}
		r.sized()
		return nil
	})
	return v, failed("Set.Pop", err)
}

// Len returns the number of values.
func (s *Set[T]) Len(ctx context.Context) (int, error) {
	n, err := s.count(ctx, dictLen)
	return n, failed("Set.Len", err)
}

// All returns all values, as they were at one moment.
func (s *Set[T]) All(ctx context.Context) (values []T, err error) {
	err = s.do(ctx, dictKeys, nil, all(&values))
	return values, failed("Set.All", err)
}

// Clear removes all values.
func (s *Set[T]) Clear(ctx context.Context) error {
	return failed("Set.Clear", s.do(ctx, dictClear, nil, nil))
}

// Union returns the values that are in s or in any of the others, which must belong to the same
// manager. Each set is looked at at another moment.
func (s *Set[T]) Union(ctx context.Context, others ...*Set[T]) ([]T, error) {
	return s.combine(ctx, "Set.Union", dictUnion, others)
}

// Intersection returns the values that are in s and in all of the others: see Union.
func (s *Set[T]) Intersection(ctx context.Context, others ...*Set[T]) ([]T, error) {
	return s.combine(ctx, "Set.Intersection", dictIntersection, others)
}

// Difference returns the values that are in s and in none of the others: see Union.
func (s *Set[T]) Difference(ctx context.Context, others ...*Set[T]) ([]T, error) {
	return s.combine(ctx, "Set.Difference", dictDifference, others)
}

// SymmetricDifference returns the values that are in s or in the other, but not in both: see Union.
func (s *Set[T]) SymmetricDifference(ctx context.Context, other *Set[T]) ([]T, error) {
	return s.combine(ctx, "Set.SymmetricDifference", dictSymmetric, []*Set[T]{other})
}

// Update adds the values that are in any of the others: see Union.
func (s *Set[T]) Update(ctx context.Context, others ...*Set[T]) error {
	_, err := s.combine(ctx, "Set.Update", setUnion, others)
	return err
}

// IntersectionUpdate removes the values that are not in all of the others: see Union.
func (s *Set[T]) IntersectionUpdate(ctx context.Context, others ...*Set[T]) error {
	_, err := s.combine(ctx, "Set.IntersectionUpdate", setIntersection, others)
	return err
}

// DifferenceUpdate removes the values that are in any of the others: see Union.
func (s *Set[T]) DifferenceUpdate(ctx context.Context, others ...*Set[T]) error {
	_, err := s.combine(ctx, "Set.DifferenceUpdate", setDifference, others)
	return err
}

// SymmetricDifferenceUpdate removes the values that are in the other, and adds those that only the
// other has: see Union.
func (s *Set[T]) SymmetricDifferenceUpdate(ctx context.Context, other *Set[T]) error {
	_, err := s.combine(ctx, "Set.SymmetricDifferenceUpdate", setSymmetric, []*Set[T]{other})
	return err
}

// IsDisjoint reports whether s and the other have no value in common: see Union.
func (s *Set[T]) IsDisjoint(ctx context.Context, other *Set[T]) (bool, error) {
	n, err := s.common(ctx, "Set.IsDisjoint", other)
	return err == nil && n.both == 0, err
}

// IsSubset reports whether the other has all values of s: see Union.
func (s *Set[T]) IsSubset(ctx context.Context, other *Set[T]) (bool, error) {
	n, err := s.common(ctx, "Set.IsSubset", other)
	return err == nil && n.both == n.this, err
}

// IsSuperset reports whether s has all values of the other: see Union.
func (s *Set[T]) IsSuperset(ctx context.Context, other *Set[T]) (bool, error) {
	n, err := s.common(ctx, "Set.IsSuperset", other)
	return err == nil && n.both == n.that, err
}

// setCounts are how many values two sets have in common, and each of them has.
type setCounts struct{ both, this, that uint64 }

func (s *Set[T]) common(ctx context.Context, method string, other *Set[T]) (n setCounts, err error) {
	err = s.with(ctx, method, setCommon, []*Set[T]{other}, func(r *reader, _ *codec.Codec[T]) error {
		n = setCounts{r.uint64(), r.uint64(), r.uint64()}
		return nil
	})
	return n, err
}

func (s *Set[T]) combine(ctx context.Context, method string, op byte, others []*Set[T]) (values []T, err error) {
	err = s.with(ctx, method, op, others, all(&values))
	return values, err
}

// with makes a request with other sets as arguments, and gives the answer to decode.
func (s *Set[T]) with(
	ctx context.Context, method string, op byte, others []*Set[T], decode func(*reader, *codec.Codec[T]) error,
) error {
	a, msg, err := s.request(op)
	if err != nil {
		return failed(method, err)
	}
	for i, o := range others {
		b := o.to.Load()
		if b == nil {
			return failed(method, ErrClosed)
		}
		if b.client != a.client {
			return failed(method, fmt.Errorf("set %d belongs to another manager: %w", i, shm.ErrMismatch))
		}
		msg = appendUint64(msg, b.object)
	}
	return failed(method, a.call(ctx, msg, func(r *reader) error { return decode(r, a.codecs.(*codec.Codec[T])) }))
}
