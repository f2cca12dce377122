package manager

import (
	"context"
	"fmt"

	"github.com/seed-2e7ecdea/mp/internal/codec"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A Namespace is a proxy of a set of named values of any types that a manager's process holds:
//
//	const speed = manager.Attribute[float64]("speed")
//
//	err := speed.Set(ctx, ns, 2.5)
//	v, err := speed.Get(ctx, ns)
//
// Its methods work, block and fail as those of Dict do.
type Namespace struct{ proxy }

// NewNamespace makes a namespace without attributes in m's process. It fails as NewDict does.
func NewNamespace(ctx context.Context, m *Manager) (*Namespace, error) {
	n := new(Namespace)
	if err := m.make(ctx, &n.proxy, kindNamespace, 0, nil); err != nil {
		return nil, failed("NewNamespace", err)
	}
	return n, nil
}

// UnmarshalText attaches the Namespace to the object of a reference, as Dict.UnmarshalText does.
func (n *Namespace) UnmarshalText(text []byte) error {
	return failed("Namespace.UnmarshalText", n.attach(text, kindNamespace, 0, nil))
}

// UnmarshalBinary is UnmarshalText.
func (n *Namespace) UnmarshalBinary(data []byte) error { return n.UnmarshalText(data) }

// Names returns the names of all attributes, in the order in which they were first set.
func (n *Namespace) Names(ctx context.Context) (names []string, err error) {
	err = n.simple(ctx, dictKeys, func(r *reader) (err error) {
		names, err = decodeAll(r, textCodec)
		return err
	})
	return names, failed("Namespace.Names", err)
}

var textCodec = mustCodec[string]()

// Delete removes an attribute. It fails with ErrNotFound if there is none of that name.
func (n *Namespace) Delete(ctx context.Context, name string) error {
	a, msg, err := n.request(dictDelete)
	if err == nil {
		err = a.call(ctx, appendSized(msg, []byte(name)), func(r *reader) error {
			if r.uint64() == 0 {
				return fmt.Errorf("attribute %q: %w", name, ErrNotFound)
			}
			return nil
		})
	}
	return failed("Namespace.Delete", err)
}

// An Attribute is the name of an attribute of Namespaces whose values are of type T.
type Attribute[T any] string

// Set sets the attribute of n. The attribute may have had a value of another type before.
func (a Attribute[T]) Set(ctx context.Context, n *Namespace, v T) error {
	to, msg, err := n.request(dictSet)
	if err != nil {
		return failed("Attribute.Set", err)
	}
	code, err := codec.Of[T]()
	if err != nil {
		return failed("Attribute.Set", err)
	}
	// The fingerprint of the type goes before the value.
	data, err := code.Append(appendUint64(nil, code.Fingerprint()), &v)
	if err != nil {
		return failed("Attribute.Set", err)
	}
	return failed("Attribute.Set", to.call(ctx, appendSized(appendSized(msg, []byte(a)), data), skipCount))
}

// Get returns the attribute of n. It fails with ErrNotFound if it is not set, and with
// shm.ErrMismatch if its value is of another type.
func (a Attribute[T]) Get(ctx context.Context, n *Namespace) (v T, err error) {
	to, msg, err := n.request(dictGet)
	if err != nil {
		return v, failed("Attribute.Get", err)
	}
	code, err := codec.Of[T]()
	if err != nil {
		return v, failed("Attribute.Get", err)
	}
	err = to.call(ctx, appendSized(msg, []byte(a)), func(r *reader) error {
		data := &reader{rest: r.sized()}
		if print := data.uint64(); data.err == nil && print != code.Fingerprint() {
			return fmt.Errorf("%w: the value is not of type %T", shm.ErrMismatch, v)
		}
		if data.err != nil {
			return data.err
		}
		return code.Decode(data.rest, &v)
	})
	if err != nil {
		err = fmt.Errorf("attribute %q: %w", string(a), err)
	}
	return v, failed("Attribute.Get", err)
}
