// Package layout decides which Go types may lie in shared memory, and computes a fingerprint by
// which processes find out whether their types have the same layout.
package layout

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"reflect"
	"sync"
)

// ErrType means that values of a type can't lie in shared memory.
var ErrType = errors.New("type can't be shared between processes")

// A Layout describes a type that may lie in shared memory.
type Layout struct {
	Size        int    // of a value, in bytes
	Fingerprint uint64 // hash of the kinds, sizes and offsets of all its parts; never 0
}

// results caches Of: a reflect.Type's result.
var results sync.Map

type result struct {
	layout Layout
	err    error
}

// Of returns the layout of T. It returns an error that wraps ErrType and names the path of the
// first offending part, such as "T.Field[].Name", if T has no size or if a part of T has no fixed
// size or holds a pointer. It inspects each type once and remembers the result.
func Of[T any]() (Layout, error) {
	t := reflect.TypeFor[T]()
	if r, ok := results.Load(t); ok {
		r := r.(result)
		return r.layout, r.err
	}
	var r result
	h := fnv.New64a()
	if t.Size() == 0 {
		r.err = refuse(t.String(), "it has no size, so there is nothing to share")
	} else if r.err = walk(h, t, t.String()); r.err == nil {
		r.layout = Layout{Size: int(t.Size()), Fingerprint: h.Sum64() | 1}
	}
	results.Store(t, r)
	return r.layout, r.err
}

func refuse(path, why string) error { return fmt.Errorf("%w: %s: %s", ErrType, path, why) }

// walk writes the kinds, sizes and offsets of t's parts to h, and returns an error that wraps
// ErrType at the first part that can't be shared. It leaves out names, which don't affect the
// layout, and alignments: the alignment of an 8-byte kind differs between 32-bit and 64-bit
// processes even where all offsets are the same.
func walk(h io.Writer, t reflect.Type, path string) error {
	if pkg := t.PkgPath(); pkg == "sync" || pkg == "internal/sync" {
		return refuse(path, "types of package sync work within one process only; use an object of package psync beside the value")
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
		return refuse(path, t.Kind().String()+" has different sizes on different architectures; use a type with its size in its name, such as int64")
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
			return refuse(path+"."+t.Field(n-1).Name, "it has no size, and Go adds padding after such a last field, which C does not; move it forward")
		}
		return nil
	}
	return refuse(path, "kind "+t.Kind().String()+" is or holds a pointer, which is not valid in another process; use arrays of a fixed length")
}
