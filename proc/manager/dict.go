package manager

import (
	"context"
	"fmt"
	"slices"

	"github.com/seed-2e7ecdea/mp/internal/codec"
)

// A Dict is a proxy of a map that a manager's process holds. It keeps the order in which its keys
// were added.
//
// Keys and values are encoded by ring.DefaultCodec. Two keys are the same if their encoded bytes
// are, so that 0.0 and -0.0 are two keys and a NaN is one. A value is a copy: to change it, Set it
// again, or let a DictFunc change it in the manager's process. A value may hold proxies, also of the
// same manager: these stay references.
//
// Each method is one trip to the manager's process, and is atomic: it sees or changes the dict at
// one moment. It blocks until the answer is there. It fails with ctx's error when ctx is done, and
// then may have been carried out; with ErrServerDied, ErrClosed or ErrGone; with ring.ErrEncode or
// ring.ErrDecode if a key or a value can't be encoded or decoded. All methods may be called from
// several goroutines at once. A Dict must not be copied. The zero Dict is closed.
type Dict[K comparable, V any] struct{ proxy }

// An Item is a key of a Dict and its value.
type Item[K comparable, V any] struct {
	Key   K
	Value V
}

// dictCodecs are the codecs of a dict's keys and values.
type dictCodecs[K comparable, V any] struct {
	key   *codec.Codec[K]
	value *codec.Codec[V]
	print uint64
}

func dictCodecsOf[K comparable, V any]() (*dictCodecs[K, V], error) {
	key, err := codec.Of[K]()
	if err != nil {
		return nil, err
	}
	value, err := codec.Of[V]()
	if err != nil {
		return nil, err
	}
	return &dictCodecs[K, V]{key, value, mix(key.Fingerprint(), value.Fingerprint())}, nil
}

// mix returns the fingerprint of two types in this order.
func mix(a, b uint64) uint64 { return a*0x9e3779b97f4a7c15 + b }

// NewDict makes an empty dict in m's process. It fails with shm.ErrType if a key or a value has a
// part that means nothing in another process, and as methods of Dict do.
func NewDict[K comparable, V any](ctx context.Context, m *Manager) (*Dict[K, V], error) {
	codecs, err := dictCodecsOf[K, V]()
	d := new(Dict[K, V])
	if err == nil {
		err = m.make(ctx, &d.proxy, kindDict, codecs.print, codecs)
	}
	if err != nil {
		return nil, failed("NewDict", err)
	}
	return d, nil
}

// UnmarshalText attaches the Dict to the object of a reference that MarshalText made. It makes two
// trips to the manager's process. It fails with shm.ErrHandle, shm.ErrMismatch if the object is no
// dict of these types, ErrGone, or ErrServerDied.
func (d *Dict[K, V]) UnmarshalText(text []byte) error {
	codecs, err := dictCodecsOf[K, V]()
	if err == nil {
		err = d.attach(text, kindDict, codecs.print, codecs)
	}
	return failed("Dict.UnmarshalText", err)
}

// UnmarshalBinary is UnmarshalText.
func (d *Dict[K, V]) UnmarshalBinary(data []byte) error { return d.UnmarshalText(data) }

func (d *Dict[K, V]) begin(op byte) (*attachment, *dictCodecs[K, V], []byte, error) {
	a, msg, err := d.request(op)
	if err != nil {
		return nil, nil, nil, err
	}
	return a, a.codecs.(*dictCodecs[K, V]), msg, nil
}

// Get returns the value of a key. It fails with ErrNotFound if there is none.
func (d *Dict[K, V]) Get(ctx context.Context, key K) (v V, err error) {
	return d.take(ctx, "Dict.Get", dictGet, key)
}

// Pop removes a key and returns its value. It fails with ErrNotFound if there is none.
func (d *Dict[K, V]) Pop(ctx context.Context, key K) (v V, err error) {
	return d.take(ctx, "Dict.Pop", dictPop, key)
}

func (d *Dict[K, V]) take(ctx context.Context, method string, op byte, key K) (v V, err error) {
	a, codecs, msg, err := d.begin(op)
	if err == nil {
		if msg, err = appendValue(msg, codecs.key, &key); err == nil {
			err = a.call(ctx, msg, func(r *reader) error { return decodeOne(r, codecs.value, &v) })
		}
	}
	return v, failed(method, err)
}

// PopLast removes the key that was added last, and returns it with its value. It fails with
// ErrNotFound if the dict is empty.
func (d *Dict[K, V]) PopLast(ctx context.Context) (key K, v V, err error) {
	a, codecs, msg, err := d.begin(dictPopLast)
	if err == nil {
		err = a.call(ctx, msg, func(r *reader) error {
			if err := decodeOne(r, codecs.key, &key); err != nil {
				return err
			}
			return decodeOne(r, codecs.value, &v)
		})
	}
	return key, v, failed("Dict.PopLast", err)
}

// Set sets the value of a key.
func (d *Dict[K, V]) Set(ctx context.Context, key K, v V) error {
	a, codecs, msg, err := d.begin(dictSet)
	if err == nil {
		if msg, err = appendValue(msg, codecs.key, &key); err == nil {
			if msg, err = appendValue(msg, codecs.value, &v); err == nil {
				err = a.call(ctx, msg, skipCount)
			}
		}
	}
	return failed("Dict.Set", err)
}

func skipCount(r *reader) error {
	r.uint64()
	return nil
}

// Update sets the values of all keys of from.
func (d *Dict[K, V]) Update(ctx context.Context, from map[K]V) error {
	items := make([]Item[K, V], 0, len(from))
	for k, v := range from {
		items = append(items, Item[K, V]{k, v})
	}
	return d.set(ctx, "Dict.Update", items)
}

// SetMany sets the values of several keys, in their order.
func (d *Dict[K, V]) SetMany(ctx context.Context, items ...Item[K, V]) error {
	return d.set(ctx, "Dict.SetMany", items)
}

func (d *Dict[K, V]) set(ctx context.Context, method string, items []Item[K, V]) error {
	a, codecs, msg, err := d.begin(dictSet)
	for i := range items {
		if err == nil {
			msg, err = appendValue(msg, codecs.key, &items[i].Key)
		}
		if err == nil {
			msg, err = appendValue(msg, codecs.value, &items[i].Value)
		}
		if i == 0 && err == nil { // most often the other items are about as long as the first
			msg = slices.Grow(msg, min((len(msg)-requestHead)*len(items)*5/4, maxKept))
		}
	}
	if err == nil {
		err = a.call(ctx, msg, skipCount)
	}
	return failed(method, err)
}

// SetDefault returns the value of a key. If there is none, it sets it to v. It reports whether there
// was one.
func (d *Dict[K, V]) SetDefault(ctx context.Context, key K, v V) (actual V, was bool, err error) {
	a, codecs, msg, err := d.begin(dictSetDefault)
	if err == nil {
		msg, err = appendValue(msg, codecs.key, &key)
	}
	if err == nil {
		msg, err = appendValue(msg, codecs.value, &v)
	}
	if err == nil {
		err = a.call(ctx, msg, func(r *reader) error {
			was = r.byte() != 0
			return decodeOne(r, codecs.value, &actual)
		})
	}
	return actual, was, failed("Dict.SetDefault", err)
}

// GetMany returns the values of those of the keys that are in the dict.
func (d *Dict[K, V]) GetMany(ctx context.Context, keys ...K) (map[K]V, error) {
	found := make(map[K]V)
	a, codecs, msg, err := d.begin(dictGetMany)
	if err == nil {
		msg, err = appendAll(msg, codecs.key, keys)
	}
	if err == nil {
		err = a.call(ctx, msg, func(r *reader) error {
			for _, key := range keys {
				if r.byte() == 0 {
					continue
				}
				var v V
				if err := decodeOne(r, codecs.value, &v); err != nil {
					return err
				}
				found[key] = v
			}
			return nil
		})
	}
	if err != nil {
		return nil, failed("Dict.GetMany", err)
	}
	return found, nil
}

// Delete removes keys, and returns how many of them were there.
func (d *Dict[K, V]) Delete(ctx context.Context, keys ...K) (n int, err error) {
	a, codecs, msg, err := d.begin(dictDelete)
	if err == nil {
		msg, err = appendAll(msg, codecs.key, keys)
	}
	if err == nil {
		err = a.call(ctx, msg, func(r *reader) error {
			n = int(r.uint64())
			return nil
		})
	}
	return n, failed("Dict.Delete", err)
}

// Contains reports whether the dict has a key.
func (d *Dict[K, V]) Contains(ctx context.Context, key K) (is bool, err error) {
	a, codecs, msg, err := d.begin(dictContains)
	if err == nil {
		msg, err = appendValue(msg, codecs.key, &key)
	}
	if err == nil {
		err = a.call(ctx, msg, func(r *reader) error {
			is = r.byte() != 0
			return nil
		})
	}
	return is, failed("Dict.Contains", err)
}

// Len returns the number of keys.
func (d *Dict[K, V]) Len(ctx context.Context) (int, error) {
	n, err := d.count(ctx, dictLen)
	return n, failed("Dict.Len", err)
}

// Keys returns all keys.
func (d *Dict[K, V]) Keys(ctx context.Context) (keys []K, err error) {
	a, codecs, msg, err := d.begin(dictKeys)
	if err == nil {
		err = a.call(ctx, msg, func(r *reader) (err error) {
			keys, err = decodeAll(r, codecs.key)
			return err
		})
	}
	return keys, failed("Dict.Keys", err)
}

// Items returns all keys with their values, as they were at one moment.
func (d *Dict[K, V]) Items(ctx context.Context) ([]Item[K, V], error) {
	items, err := d.items(ctx)
	return items, failed("Dict.Items", err)
}

// Values returns all values.
func (d *Dict[K, V]) Values(ctx context.Context) ([]V, error) {
	items, err := d.items(ctx)
	values := make([]V, len(items))
	for i, item := range items {
		values[i] = item.Value
	}
	return values, failed("Dict.Values", err)
}

// Copy returns a copy of the dict as a map.
func (d *Dict[K, V]) Copy(ctx context.Context) (map[K]V, error) {
	items, err := d.items(ctx)
	if err != nil {
		return nil, failed("Dict.Copy", err)
	}
	m := make(map[K]V, len(items))
	for _, item := range items {
		m[item.Key] = item.Value
	}
	return m, nil
}

func (d *Dict[K, V]) items(ctx context.Context) (items []Item[K, V], err error) {
	a, codecs, msg, err := d.begin(dictItems)
	if err != nil {
		return nil, err
	}
	err = a.call(ctx, msg, func(r *reader) error {
		for len(r.rest) > 0 {
			var item Item[K, V]
			if err := decodeOne(r, codecs.key, &item.Key); err != nil {
				return err
			}
			if err := decodeOne(r, codecs.value, &item.Value); err != nil {
				return fmt.Errorf("value of key %v: %w", item.Key, err)
			}
			items = append(items, item)
		}
		return nil
	})
	return items, err
}

// Clear removes all keys.
func (d *Dict[K, V]) Clear(ctx context.Context) error {
	return failed("Dict.Clear", d.simple(ctx, dictClear, nil))
}
