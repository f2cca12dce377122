package manager

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"

	"github.com/seed-2e7ecdea/mp/internal/codec"
)

// madeType makes an object of a registered type in the server's process.
type madeType struct {
	fingerprint uint64
	make        func(ctx context.Context, in []byte) (content, error)
}

func findType(name string) madeType {
	registered.mu.Lock()
	defer registered.mu.Unlock()
	return registered.types[name]
}

// instance is the content of an object of a registered type.
type instance[T any] struct{ value *T }

// do implements content.
func (*instance[T]) do(_ *exchange, _ byte, _ *reader, dst []byte) ([]byte, error) {
	return dst, ErrProtocol
}

// clear implements content.
func (i *instance[T]) clear() []uint64 {
	if c, ok := any(i.value).(io.Closer); ok {
		_, _ = guarded(func() ([]byte, error) { return nil, c.Close() }) // its last user is gone: nobody is told
	}
	return nil
}

// A Type is a type whose objects may live in a manager's process. In is the argument of its
// constructor.
type Type[T, In any] struct {
	name        string
	fingerprint uint64
	in          *codec.Codec[In]
}

// RegisterType registers a type by its constructor, which runs in the manager's process, under a
// name that is unique in the program. Make the Type a package-level variable: see OnDict. T may be
// any type: it stays in the manager's process. Only the methods that RegisterMethod registers can be
// called by other processes. If *T has a method Close() error, it is called after the object's last
// user has gone, in a goroutine of its own. The manager's process does not wait for it when it ends.
func RegisterType[T, In any](name string, f func(ctx context.Context, in In) (*T, error)) *Type[T, In] {
	h := fnv.New64a()
	io.WriteString(h, name)
	t := &Type[T, In]{name, h.Sum64(), mustCodec[In]()}
	registered.mu.Lock()
	defer registered.mu.Unlock()
	if _, ok := registered.types[name]; ok {
		panic(fmt.Sprintf("manager: two types are registered as %q", name))
	}
	registered.types[name] = madeType{t.fingerprint, func(ctx context.Context, in []byte) (content, error) {
		var arg In
		if err := t.in.Decode(in, &arg); err != nil {
			return nil, err
		}
		v, err := f(ctx, arg)
		if err != nil {
			return nil, err
		}
		return &instance[T]{v}, nil
	}}
	return t
}

// New makes an object in m's process by the type's constructor. It fails with a *RemoteError if the
// constructor fails or panics, with ErrUnknownFunction if the manager's program has not registered
// the type, and as methods of Dict do.
func (t *Type[T, In]) New(ctx context.Context, m *Manager, in In) (*Instance[T], error) {
	i := new(Instance[T])
	msg, err := appendValue(appendSized(newRequest(opMake, 0), []byte(t.name)), t.in, &in)
	if err == nil {
		err = m.created(ctx, msg, &i.proxy, kindInstance, t.fingerprint, nil)
	}
	if err != nil {
		return nil, failed(t.name, named(err, t.name))
	}
	return i, nil
}

// An Instance is a proxy of an object of a registered type: see Dict for what proxies have in
// common. Methods are called by Method.Call.
type Instance[T any] struct{ proxy }

// UnmarshalText attaches the Instance to the object of a reference, as Dict.UnmarshalText does.
// Whether the object is a T, each call of a method checks.
func (i *Instance[T]) UnmarshalText(text []byte) error {
	ref, err := parseReference(text)
	if err == nil {
		err = i.attach(text, kindInstance, ref.fingerprint, nil)
	}
	return failed("Instance.UnmarshalText", err)
}

// UnmarshalBinary is UnmarshalText.
func (i *Instance[T]) UnmarshalBinary(data []byte) error { return i.UnmarshalText(data) }

// A Method is a method of a registered type that other processes may call.
type Method[T, In, Out any] struct{ caller[In, Out] }

// RegisterMethod registers a method of a type, under a name that is unique for the type. f runs in
// the manager's process; during it, no other method of the same object runs. In all else it is as
// the function of OnDict.
func RegisterMethod[T, New, In, Out any](
	t *Type[T, New], name string, f func(ctx context.Context, v *T, in In) (Out, error),
) *Method[T, In, Out] {
	m := &Method[T, In, Out]{newCaller[In, Out](t.name + "." + name)}
	register(m.name, function{kindInstance, t.fingerprint, func(x *exchange, c content, in, dst []byte) ([]byte, error) {
		return m.serve(in, dst, func(in In) (Out, error) { return f(x.ctx, c.(*instance[T]).value, in) })
	}})
	return m
}

// Call calls the method of i's object, as DictFunc.Apply does.
func (m *Method[T, In, Out]) Call(ctx context.Context, i *Instance[T], in In) (Out, error) {
	return m.apply(ctx, &i.proxy, in)
}
