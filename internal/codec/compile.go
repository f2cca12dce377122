package codec

import (
	"fmt"
	"hash"
	"hash/fnv"
	"io"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/layout"
)

// A plan is a compiled type.
type plan struct {
	root  *node
	print uint64
	own   bool // no code of other packages than this runs: no methods, no interfaces
}

// plans caches compile: a reflect.Type's result.
var plans sync.Map

type result struct {
	plan *plan
	err  error
}

// compile returns the plan for t. It returns an error that wraps layout.ErrType and names the path
// of the first part of t that can't travel.
func compile(t reflect.Type) (*plan, error) {
	if r, ok := plans.Load(t); ok {
		r := r.(result)
		return r.plan, r.err
	}
	c := compiler{print: fnv.New64a(), seen: make(map[reflect.Type]*seen), own: true}
	io.WriteString(c.print, "mp codec 1:")
	root, err := c.node(t, t.String())
	var r result
	if err != nil {
		r.err = err
	} else {
		r.plan = &plan{root, c.print.Sum64() | 1, c.own}
	}
	plans.Store(t, r)
	return r.plan, r.err
}

// A compiler compiles one type.
type compiler struct {
	print hash.Hash64
	seen  map[reflect.Type]*seen
	own   bool
}

// A seen is a type that the compiler has met.
type seen struct {
	node  *node
	index int  // how many types were met before
	open  bool // the type at hand is a part of it
}

func refuse(path, why string) error { return fmt.Errorf("%w: %s: %s", layout.ErrType, path, why) }

var timeType = reflect.TypeFor[time.Time]()

// node returns the node of t, which path leads to.
func (c *compiler) node(t reflect.Type, path string) (*node, error) {
	if s := c.seen[t]; s != nil {
		fmt.Fprintf(c.print, "#%d", s.index)
		if s.open {
			return &node{op: opDeep, typ: t, size: t.Size(), least: 1, elem: s.node}, nil
		}
		return s.node, nil
	}
	s := &seen{node: &node{typ: t, size: t.Size(), align: t.Align()}, index: len(c.seen), open: true}
	c.seen[t] = s
	err := c.fill(s.node, path)
	s.open = false
	return s.node, err
}

// foreign are the packages whose types mean something only in the process that made them.
var foreign = []string{"sync", "internal/sync", "internal/poll", "unique", "weak", "runtime"}

// fill sets all of n but typ and size.
func (c *compiler) fill(n *node, path string) (err error) {
	t := n.typ
	if slices.Contains(foreign, t.PkgPath()) {
		return refuse(path, "types of package "+t.PkgPath()+" work within one process only")
	}
	if n.size == 0 {
		n.op = opNothing
		io.WriteString(c.print, "nothing")
		return nil
	}
	if t == timeType {
		n.op, n.least = opTime, 1
		io.WriteString(c.print, "time")
		return nil
	}
	if n.marsh = marshalingOf(t); n.marsh != marshalNone {
		n.op, n.least, c.own = opMarshal, 1, false
		fmt.Fprintf(c.print, "marshal%d %s", n.marsh, t)
		return nil
	}
	switch t.Kind() {
	case reflect.Int, reflect.Uint, reflect.Uintptr:
		fmt.Fprintf(c.print, "%d:8", t.Kind()) // in 32-bit processes too
	case reflect.Bool, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64,
		reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128:
		fmt.Fprintf(c.print, "%d:%d", t.Kind(), n.size)
	default:
		fmt.Fprintf(c.print, "%d{", t.Kind())
		defer io.WriteString(c.print, "}")
	}
	n.least = 1
	switch t.Kind() {
	case reflect.Bool:
		n.op = opBool
	case reflect.Int, reflect.Uint, reflect.Uintptr:
		n.least = 8
		switch {
		case n.size == 8:
			n.op = opWord
		case t.Kind() == reflect.Int:
			n.op = opInt
		default:
			n.op = opUint
		}
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64,
		reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128:
		n.setBlock()
	case reflect.String:
		n.op = opString
	case reflect.Slice:
		n.op = opSlice
		if n.elem, err = c.node(t.Elem(), path+"[]"); err != nil {
			return err
		}
		switch {
		case n.elem.isBlock():
			n.op = opBlocks
		case n.elem.op == opBool:
			n.op = opBools
		case n.elem.op == opString:
			n.op = opStrings
		}
	case reflect.Array:
		return c.array(n, path)
	case reflect.Struct:
		return c.structure(n, path)
	case reflect.Pointer:
		n.op = opPointer
		n.elem, err = c.node(t.Elem(), "(*"+path+")")
		return err
	case reflect.Map:
		return c.mapping(n, path)
	case reflect.Interface:
		c.own = false
		n.op = opInterface
		if t == reflect.TypeFor[any]() {
			n.op = opAny
		}
		io.WriteString(c.print, t.String())
	default:
		return refuse(path, "kind "+t.Kind().String()+" means something only in the process that made it")
	}
	return nil
}

func (n *node) isBlock() bool { return n.op == opBlock || n.op == opWord }

// setBlock makes n the node of a type whose encoding is its memory.
func (n *node) setBlock() {
	n.op, n.least = opBlock, int(n.size)
	if n.size == 8 {
		n.op = opWord
	}
}

func (c *compiler) array(n *node, path string) (err error) {
	n.op, n.count = opArray, n.typ.Len()
	fmt.Fprintf(c.print, "%d ", n.count)
	if n.elem, err = c.node(n.typ.Elem(), path+"[]"); err != nil {
		return err
	}
	if n.elem.isBlock() {
		n.setBlock()
		return nil
	}
	n.least = product(n.count, n.elem.atLeast())
	return nil
}

// structure makes the fields of a struct inside n fields of n, and one block of blocks that lie
// beside each other.
func (c *compiler) structure(n *node, path string) error {
	n.op, n.least = opStruct, 0
	put := func(f field) {
		n.least = sum(n.least, f.node.atLeast())
		if len(n.fields) > 0 && f.node.isBlock() {
			last := &n.fields[len(n.fields)-1]
			if last.node.isBlock() && last.off+last.node.size == f.off {
				joined := &node{size: last.node.size + f.node.size}
				joined.setBlock()
				last.node = joined
				return
			}
		}
		n.fields = append(n.fields, f)
	}
	for i := range n.typ.NumField() {
		f := n.typ.Field(i)
		if f.Type.Size() == 0 {
			continue
		}
		io.WriteString(c.print, f.Name+":")
		child, err := c.node(f.Type, path+"."+f.Name)
		if err != nil {
			return err
		}
		if child.op != opStruct {
			put(field{f.Offset, child})
			continue
		}
		for _, inner := range child.fields {
			put(field{f.Offset + inner.off, inner.node})
		}
	}
	if len(n.fields) == 1 && n.fields[0].node.isBlock() && n.fields[0].node.size == n.size {
		n.fields = nil
		n.setBlock()
	}
	return nil
}

func (c *compiler) mapping(n *node, path string) (err error) {
	n.op = opMap
	key, elem := n.typ.Key(), n.typ.Elem()
	if n.key, err = c.node(key, path+"[key]"); err != nil {
		return err
	}
	if n.elem, err = c.node(elem, path+"[]"); err != nil {
		return err
	}
	n.hash = holdsInterface(key)
	if key == reflect.TypeFor[string]() {
		switch elem {
		case reflect.TypeFor[string]():
			n.op = opMapString
		case reflect.TypeFor[any]():
			n.op = opMapAny
		case reflect.TypeFor[int]():
			if elem.Size() == 8 {
				n.op = opMapInt
			}
		}
	}
	return nil
}

// holdsInterface reports whether a value of a map's key type may hold an interface value.
func holdsInterface(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Interface:
		return true
	case reflect.Array:
		return holdsInterface(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if holdsInterface(t.Field(i).Type) {
				return true
			}
		}
	}
	return false
}
