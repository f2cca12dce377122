// Package layout says which Go types may lie in shared memory, and tells two
// layouts apart.
package layout

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"reflect"
	"sync"
)

// ErrType means that a type can't lie in shared memory.
var ErrType = errors.New("type can't be shared between processes")

// A Layout describes a type that may lie in shared memory.
type Layout struct {
	Size        int    // of a value in bytes
	Fingerprint uint64 // of the kinds, sizes and offsets of all that it holds; never 0
}

var checked sync.Map // reflect.Type -> result

type result struct {
	layout Layout
	err    error
}

// Of returns the layout of T. It fails with ErrType, wrapped in an error that
// names the path of the first offending part, if T holds anything but
// fixed-size kinds without pointers. The walk is done once for each type.
func Of[T any]() (Layout, error) {
	t := reflect.TypeFor[T]()
	if r, ok := checked.Load(t); ok {
		r := r.(result)
		return r.layout, r.err
	}
	var r result
	h := fnv.New64a()
	if t.Size() == 0 {
		r.err = refuse(t.String(), "it has no size")
	} else if r.err = walk(h, t, t.String()); r.err == nil {
		r.layout = Layout{Size: int(t.Size()), Fingerprint: h.Sum64() | 1}
	}
	checked.Store(t, r)
	return r.layout, r.err
}

func refuse(path, why string) error { return fmt.Errorf("%w: %s: %s", ErrType, path, why) }

// walk writes what matters of t to h: kinds, sizes, offsets; neither names nor
// alignments: those of 8-byte kinds differ between 32 and 64 bits where nothing
// else may.
func walk(h io.Writer, t reflect.Type, path string) error {
	if pkg := t.PkgPath(); pkg == "sync" || pkg == "internal/sync" {
		return refuse(path, "types of package sync work within one process only")
	}
	fmt.Fprintf(h, "%d:%d{", t.Kind(), t.Size())
	defer io.WriteString(h, "}")
	switch t.Kind() {
	case reflect.Bool,
		reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64,
		reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128:
		return nil
	case reflect.Int, reflect.Uint, reflect.Uintptr:
		return refuse(path, t.Kind().String()+" has another size on another architecture; use one with a number in its name")
	case reflect.Array:
		fmt.Fprintf(h, "%d", t.Len())
		return walk(h, t.Elem(), path+"[]")
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			fmt.Fprintf(h, "@%d", f.Offset)
			if err := walk(h, f.Type, path+"."+f.Name); err != nil {
				return err
			}
		}
		if n := t.NumField(); n > 0 && t.Size() > 0 && t.Field(n-1).Type.Size() == 0 {
			return refuse(path+"."+t.Field(n-1).Name, "it has no size, and at the end Go puts padding behind it that C has not")
		}
		return nil
	}
	return refuse(path, "kind "+t.Kind().String()+" is or holds a pointer, which means nothing in another process")
}
