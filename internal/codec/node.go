package codec

import (
	"math"
	"reflect"
)

// An op says how values of a type are encoded.
type op uint8

const (
	opNothing   op = iota // a type without size
	opBlock               // numbers without padding: the memory itself
	opWord                // a block of 8 bytes
	opBool                // bool
	opInt                 // int, where it has 4 bytes
	opUint                // uint and uintptr, where they have 4 bytes
	opString              // string
	opStrings             // slice of strings
	opBlocks              // slice of blocks
	opBools               // slice of bools
	opSlice               // other slices
	opArray               // array
	opStruct              // struct
	opPointer             // pointer
	opMap                 // map
	opMapString           // map[string]string
	opMapInt              // map[string]int, where an int has 8 bytes
	opMapAny              // map[string]any
	opAny                 // any
	opInterface           // another interface
	opTime                // time.Time
	opMarshal             // a type with methods that encode it
	opDeep                // a type inside itself: counts the depth, goes on with elem
)

// A node is a type as the codec sees it. A node and all below it are immutable once its type is
// compiled.
type node struct {
	op     op
	typ    reflect.Type
	size   uintptr // of the type in memory
	align  int     // of the type in memory
	least  int     // the encoding has at least so many bytes: at least 1 if the type has a size
	elem   *node   // of slice, array, pointer, map, opDeep
	key    *node   // of map
	count  int     // of an array's elements
	fields []field // of struct, those of structs in it included
	marsh  marshaling
	hash   bool // a map's key may hold an interface, so that it may not be comparable
}

// A field is a field of a struct, or a run of fields that is one block.
type field struct {
	off  uintptr
	node *node
}

// atLeast returns the least number of bytes of n's encoding.
func (n *node) atLeast() int {
	if n.op == opDeep {
		return n.elem.least // not known yet when n was made
	}
	return n.least
}

// sum adds lengths that may be too large for an int.
func sum(a, b int) int {
	if a > math.MaxInt-b {
		return math.MaxInt
	}
	return a + b
}

// product multiplies lengths that may be too large for an int.
func product(a, b int) int {
	if b != 0 && a > math.MaxInt/b {
		return math.MaxInt
	}
	return a * b
}
