package manager

import (
	"context"
	"fmt"
	"sync"

	"github.com/seed-2e7ecdea/mp/internal/codec"
)

// A function runs in the server's process.
type function struct {
	kind, fingerprint uint64
	run               func(x *exchange, c content, in, dst []byte) ([]byte, error)
}

// registered are the functions and types of the program.
var registered = struct {
	mu        sync.Mutex
	functions map[string]function
	types     map[string]madeType
}{functions: make(map[string]function), types: make(map[string]madeType)}

func register(name string, f function) {
	registered.mu.Lock()
	defer registered.mu.Unlock()
	if _, ok := registered.functions[name]; ok {
		panic(fmt.Sprintf("manager: two functions are registered as %q", name))
	}
	registered.functions[name] = f
}

func findFunction(name string) function {
	registered.mu.Lock()
	defer registered.mu.Unlock()
	return registered.functions[name]
}

// A caller is a registered function with an argument and a result.
type caller[In, Out any] struct {
	name string
	in   *codec.Codec[In]
	out  *codec.Codec[Out]
}

func newCaller[In, Out any](name string) caller[In, Out] {
	return caller[In, Out]{name, mustCodec[In](), mustCodec[Out]()}
}

// apply runs the function on p's object.
func (f *caller[In, Out]) apply(ctx context.Context, p *proxy, in In) (out Out, err error) {
	err = p.apply(ctx, f.name,
		func(dst []byte) ([]byte, error) { return appendValue(dst, f.in, &in) },
		func(b []byte) error { return f.out.Decode(b, &out) })
	if err != nil {
		return out, failed(f.name, err)
	}
	return out, nil
}

// serve runs f in the server, with the argument in, and appends the result to dst.
func (f *caller[In, Out]) serve(in, dst []byte, do func(in In) (Out, error)) ([]byte, error) {
	var arg In
	if err := f.in.Decode(in, &arg); err != nil {
		return dst, err
	}
	out, err := do(arg)
	if err != nil {
		return dst, err
	}
	return f.out.Append(dst, &out)
}

// A DictFunc is a function that runs in the manager's process, on a dict there.
type DictFunc[K comparable, V, In, Out any] struct{ caller[In, Out] }

// OnDict registers f under a name that is unique in the program. The manager's process is the same
// program, and finds f by the name, so make the DictFunc a package-level variable. OnDict panics if
// the name is taken, or if a type has a part that means nothing in another process.
//
// During f, no other operation on the dict takes place. f may use proxies of other objects; if it
// uses the dict's own proxy, it waits for itself until its context ends. What f has changed stays
// if it fails. Its context ends when that of Apply does, and when the calling process or the
// manager's process ends.
func OnDict[K comparable, V, In, Out any](
	name string, f func(ctx context.Context, d *DictState[K, V], in In) (Out, error),
) *DictFunc[K, V, In, Out] {
	codecs, err := dictCodecsOf[K, V]()
	if err != nil {
		panic(fmt.Sprintf("manager: OnDict %q: %v", name, err))
	}
	df := &DictFunc[K, V, In, Out]{newCaller[In, Out](name)}
	register(name, function{kindDict, codecs.print, func(x *exchange, c content, in, dst []byte) ([]byte, error) {
		return df.serve(in, dst, func(in In) (Out, error) {
			return f(x.ctx, &DictState[K, V]{x, c.(*dict), codecs}, in)
		})
	}})
	return df
}

// Apply runs the function on d, in one trip, and returns its result. It fails with a *RemoteError if
// the function returns an error or panics, with ErrUnknownFunction if the manager's program has not
// registered it, and as the methods of Dict do.
func (f *DictFunc[K, V, In, Out]) Apply(ctx context.Context, d *Dict[K, V], in In) (Out, error) {
	return f.apply(ctx, &d.proxy, in)
}

// A DictState is a dict as a DictFunc sees it. It is valid until the function returns, and only for
// its goroutine. If a value can't be encoded or decoded, its methods end the function, and Apply
// fails with that error.
type DictState[K comparable, V any] struct {
	x      *exchange
	d      *dict
	codecs *dictCodecs[K, V]
}

func encoded[T any](c *codec.Codec[T], v *T) []byte {
	b, err := c.Append(nil, v)
	if err != nil {
		panic(coding{err})
	}
	return b
}

func decoded[T any](c *codec.Codec[T], b []byte) (v T) {
	if err := c.Decode(b, &v); err != nil {
		panic(coding{err})
	}
	return v
}

// Get returns the value of a key, and reports whether there is one.
func (s *DictState[K, V]) Get(key K) (v V, ok bool) {
	n, ok := s.d.nodes[string(encoded(s.codecs.key, &key))]
	if !ok {
		return v, false
	}
	return decoded(s.codecs.value, n.value.data), true
}

// Set sets the value of a key.
func (s *DictState[K, V]) Set(key K, v V) {
	s.d.set(s.x, encoded(s.codecs.key, &key), encoded(s.codecs.value, &v))
}

// Delete removes a key, and reports whether it was there.
func (s *DictState[K, V]) Delete(key K) bool {
	n, ok := s.d.nodes[string(encoded(s.codecs.key, &key))]
	if ok {
		s.d.remove(n)
		s.x.discard(n.value.refs...)
	}
	return ok
}

// Len returns the number of keys.
func (s *DictState[K, V]) Len() int { return len(s.d.nodes) }

// Keys returns all keys.
func (s *DictState[K, V]) Keys() (keys []K) {
	for n := s.d.first; n != nil; n = n.behind {
		keys = append(keys, decoded(s.codecs.key, []byte(n.key)))
	}
	return keys
}

// A ListFunc is a function that runs in the manager's process, on a list there.
type ListFunc[T, In, Out any] struct{ caller[In, Out] }

// OnList registers f, as OnDict does.
func OnList[T, In, Out any](
	name string, f func(ctx context.Context, l *ListState[T], in In) (Out, error),
) *ListFunc[T, In, Out] {
	code := mustCodec[T]()
	lf := &ListFunc[T, In, Out]{newCaller[In, Out](name)}
	register(name, function{kindList, code.Fingerprint(), func(x *exchange, c content, in, dst []byte) ([]byte, error) {
		return lf.serve(in, dst, func(in In) (Out, error) {
			return f(x.ctx, &ListState[T]{x, c.(*list), code}, in)
		})
	}})
	return lf
}

// Apply runs the function on l, as DictFunc.Apply does.
func (f *ListFunc[T, In, Out]) Apply(ctx context.Context, l *List[T], in In) (Out, error) {
	return f.apply(ctx, &l.proxy, in)
}

// A ListState is a list as a ListFunc sees it: see DictState.
type ListState[T any] struct {
	x    *exchange
	l    *list
	code *codec.Codec[T]
}

// Len returns the number of elements.
func (s *ListState[T]) Len() int { return len(s.l.values) }

// Get returns the element i. It panics if there is none.
func (s *ListState[T]) Get(i int) T { return decoded(s.code, s.l.values[i].data) }

// Set replaces the element i. It panics if there is none.
func (s *ListState[T]) Set(i int, v T) {
	old := s.l.values[i]
	s.l.values[i] = s.x.keep(encoded(s.code, &v))
	s.x.discard(old.refs...)
}

// Append appends values.
func (s *ListState[T]) Append(values ...T) {
	for i := range values {
		s.l.values = append(s.l.values, s.x.keep(encoded(s.code, &values[i])))
	}
}

// All returns all elements.
func (s *ListState[T]) All() []T {
	all := make([]T, len(s.l.values))
	for i := range all {
		all[i] = s.Get(i)
	}
	return all
}

// Replace makes these values the elements of the list, as after sorting them.
func (s *ListState[T]) Replace(values []T) {
	old := s.l.clear()
	s.Append(values...)
	s.x.discard(old...)
}
