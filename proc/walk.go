package proc

import (
	"fmt"
	"io"
	"os"
	"reflect"
	"sync"

	"github.com/seed-2e7ecdea/mp/internal/codec"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A holder is an object in shared memory: a segment, queue, pipe or lock.
type holder interface{ Handle() shm.Handle }

var (
	handleType = reflect.TypeFor[shm.Handle]()
	holderType = reflect.TypeFor[holder]()
)

// A sighting is a handle found in a value.
type sighting struct {
	handle shm.Handle
	object bool      // the value held the object itself, not only its handle
	closer io.Closer // ends this process's use of the object; nil if there is none, and of a segment
}

// A walk visits all of a value that is sent. It collects the handles, and refuses what can't be
// sent or has no end.
type walk struct {
	found []sighting
	above map[place]bool // pointers, maps and slices from the root to here
}

// A place is memory that a value refers to.
type place struct {
	address uintptr
	length  int
	typ     reflect.Type
}

// sightings returns the handles in *v. It fails, and says where, with ErrValue if
// v holds a channel, a function or itself, with os.ErrClosed if it holds a closed
// object.
func sightings[T any](v *T) ([]sighting, error) {
	w := walk{above: make(map[place]bool)}
	if err := w.visit(reflect.ValueOf(v).Elem(), ""); err != nil {
		return nil, err
	}
	return w.found, nil
}

// A lease is the uses of objects that this process has by a decoded value.
type lease []io.Closer

// leaseOf returns the uses of the objects that were seen.
func leaseOf(seen []sighting) (l lease) {
	for _, s := range seen {
		if s.closer != nil {
			l = append(l, s.closer)
		}
	}
	return l
}

// close ends the uses.
func (l lease) close() {
	for _, c := range l {
		_ = c.Close() // the use has ended in any case
	}
}

func (w *walk) visit(v reflect.Value, path string) error {
	if !v.IsValid() || !mustWalk(v.Type()) {
		return nil
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Interface, reflect.Chan, reflect.Func:
		if v.IsNil() {
			return nil
		}
	}
	if v.Kind() == reflect.Interface {
		return w.visit(v.Elem(), path)
	}
	if v.Type() == handleType {
		w.found = append(w.found, sighting{handle: v.Interface().(shm.Handle)})
		return nil
	}
	if object, ok := as[holder](v); ok {
		h := object.Handle()
		if h.Segment == (shm.ID{}) {
			return fmt.Errorf("(value)%s was closed: %w", path, os.ErrClosed)
		}
		one := sighting{handle: h, object: true}
		if h.Kind != shm.KindSegment { // to close it would end its other uses, too
			one.closer, _ = object.(io.Closer)
		}
		w.found = append(w.found, one)
	}
	if marshalsItself(v.Type()) {
		return nil
	}
	switch v.Kind() {
	case reflect.Chan, reflect.Func, reflect.UnsafePointer:
		return fmt.Errorf("(value)%s is a %v: %w", path, v.Kind(), ErrValue)
	case reflect.Pointer:
		return w.within(v, 0, path, func() error { return w.visit(v.Elem(), path) })
	case reflect.Slice:
		return w.within(v, v.Len(), path, func() error { return w.elements(v, path) })
	case reflect.Array:
		return w.elements(v, path)
	case reflect.Map:
		return w.within(v, 0, path, func() error {
			for it := v.MapRange(); it.Next(); {
				at := fmt.Sprintf("%s[%v]", path, it.Key())
				if err := w.visit(it.Key(), at); err != nil {
					return err
				}
				if err := w.visit(it.Value(), at); err != nil {
					return err
				}
			}
			return nil
		})
	case reflect.Struct:
		return w.fields(v, path)
	}
	return nil
}

// fields visits the fields of a struct, exported or not.
func (w *walk) fields(v reflect.Value, path string) error {
	if !v.CanAddr() {
		moved := reflect.New(v.Type()).Elem()
		moved.Set(v)
		v = moved
	}
	for i := range v.NumField() {
		f := v.Field(i)
		f = reflect.NewAt(f.Type(), f.Addr().UnsafePointer()).Elem() // else the methods of an unexported field could not be called
		if err := w.visit(f, path+"."+v.Type().Field(i).Name); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) elements(v reflect.Value, path string) error {
	if !mustWalk(v.Type().Elem()) {
		return nil
	}
	for i := range v.Len() {
		if err := w.visit(v.Index(i), fmt.Sprintf("%s[%d]", path, i)); err != nil {
			return err
		}
	}
	return nil
}

// within calls f unless v refers to memory that the walk is in already.
func (w *walk) within(v reflect.Value, length int, path string, f func() error) error {
	at := place{v.Pointer(), length, v.Type()}
	if w.above[at] {
		return fmt.Errorf("(value)%s refers to itself: %w", path, ErrValue)
	}
	w.above[at] = true
	defer delete(w.above, at)
	return f()
}

// as returns v, or the address of v, as an I.
func as[I any](v reflect.Value) (I, bool) {
	if i, ok := v.Interface().(I); ok {
		return i, true
	}
	if v.CanAddr() {
		i, ok := v.Addr().Interface().(I)
		return i, ok
	}
	var none I
	return none, false
}

// marshalsItself reports whether methods of t, or of what t points to, encode a value.
func marshalsItself(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return codec.MarshalsItself(t)
}

func has(t, iface reflect.Type) bool {
	return t.Implements(iface) || reflect.PointerTo(t).Implements(iface)
}

// walks remembers what mustWalk found out, by reflect.Type.
var walks sync.Map

// mustWalk reports whether a value of type t could hold something that a walk
// looks for. Big arrays of numbers need no walk.
func mustWalk(t reflect.Type) bool { return look(t, make(map[reflect.Type]bool)) }

// look is mustWalk; above are the types that contain t.
func look(t reflect.Type, above map[reflect.Type]bool) bool {
	if known, ok := walks.Load(t); ok {
		return known.(bool)
	}
	if above[t] {
		return true // a recursive type: its values could hold themselves
	}
	above[t] = true
	defer delete(above, t)
	must := false
	switch {
	case t == handleType || has(t, holderType):
		must = true
	case marshalsItself(t):
	default:
		switch t.Kind() {
		case reflect.Chan, reflect.Func, reflect.UnsafePointer, reflect.Interface:
			must = true
		case reflect.Pointer, reflect.Slice, reflect.Array:
			must = look(t.Elem(), above)
		case reflect.Map:
			must = look(t.Key(), above) || look(t.Elem(), above)
		case reflect.Struct:
			for i := 0; i < t.NumField() && !must; i++ {
				must = look(t.Field(i).Type, above)
			}
		}
	}
	walks.Store(t, must)
	return must
}
