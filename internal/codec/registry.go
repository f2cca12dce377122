package codec

import (
	"reflect"
	"sync"
	"time"
)

// A registered is a type that an interface value may have.
type registered struct {
	typ   reflect.Type
	name  string // of a type that was given to Register
	tag   byte
	check uint32 // part of the fingerprint of a type that was given to Register
	plan  *plan
}

var registry = struct {
	mu     sync.RWMutex
	byName map[string]*registered
	byType map[reflect.Type]*registered
}{byName: make(map[string]*registered), byType: make(map[reflect.Type]*registered)}

// Register lets interface values of type T travel. Both sides must have called it. It fails with an
// error that wraps layout.ErrType if T can't travel, is an interface, or has the name of another
// type.
func Register[T any]() error {
	t := reflect.TypeFor[T]()
	if t.Kind() == reflect.Interface {
		return refuse(t.String(), "it is an interface: register the types that implement it")
	}
	p, err := compile(t)
	if err != nil {
		return err
	}
	r := &registered{t, nameOf(t), tagNamed, uint32(p.print >> 32), p}
	registry.mu.Lock()
	defer registry.mu.Unlock()
	if old := registry.byName[r.name]; old != nil && old.typ != t {
		return refuse(r.name, "another type of this name is registered")
	}
	if registry.byType[t] == nil { // not a basic type
		registry.byName[r.name], registry.byType[t] = r, r
	}
	return nil
}

// nameOf returns the name of a type with the whole path of its package.
func nameOf(t reflect.Type) string {
	switch {
	case t.Name() != "" && t.PkgPath() != "":
		return t.PkgPath() + "." + t.Name()
	case t.Kind() == reflect.Pointer:
		return "*" + nameOf(t.Elem())
	case t.Kind() == reflect.Slice:
		return "[]" + nameOf(t.Elem())
	}
	return t.String()
}

func registeredType(t reflect.Type) *registered {
	registry.mu.RLock()
	defer registry.mu.RUnlock()
	return registry.byType[t]
}

func registeredName(name []byte) *registered {
	registry.mu.RLock()
	defer registry.mu.RUnlock()
	return registry.byName[string(name)]
}

// basic are the types that need not be registered. The tag of a type is firstBasic and its index.
var basic = [...]reflect.Type{
	reflect.TypeFor[int8](), reflect.TypeFor[int16](), reflect.TypeFor[int32](),
	reflect.TypeFor[uint](), reflect.TypeFor[uint8](), reflect.TypeFor[uint16](), reflect.TypeFor[uint32](),
	reflect.TypeFor[uint64](), reflect.TypeFor[uintptr](),
	reflect.TypeFor[float32](), reflect.TypeFor[complex64](), reflect.TypeFor[complex128](),
	reflect.TypeFor[time.Time](), reflect.TypeFor[time.Duration](), reflect.TypeFor[struct{}](),

	reflect.TypeFor[[]bool](), reflect.TypeFor[[]string](), reflect.TypeFor[[][]byte](),
	reflect.TypeFor[[]int](), reflect.TypeFor[[]int8](), reflect.TypeFor[[]int16](), reflect.TypeFor[[]int32](),
	reflect.TypeFor[[]int64](),
	reflect.TypeFor[[]uint](), reflect.TypeFor[[]uint16](), reflect.TypeFor[[]uint32](), reflect.TypeFor[[]uint64](),
	reflect.TypeFor[[]float32](), reflect.TypeFor[[]float64](),
	reflect.TypeFor[[]complex64](), reflect.TypeFor[[]complex128](),
	reflect.TypeFor[[]time.Time](), reflect.TypeFor[[]time.Duration](),

	reflect.TypeFor[[]map[string]any](), reflect.TypeFor[map[any]any](),
	reflect.TypeFor[map[string]string](), reflect.TypeFor[map[string]bool](), reflect.TypeFor[map[string]int](),
	reflect.TypeFor[map[string]int64](), reflect.TypeFor[map[string]float64](), reflect.TypeFor[map[string][]string](),
}

// basics has the plan of each basic type.
var basics [len(basic)]*registered

func init() {
	for i, t := range basic {
		p, err := compile(t)
		if err != nil {
			panic(err)
		}
		basics[i] = &registered{typ: t, tag: firstBasic + byte(i), plan: p}
		registry.byType[t] = basics[i]
	}
}
