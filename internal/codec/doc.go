// Package codec turns values of any Go type into bytes and back, for messages between processes of
// one machine.
//
// # What travels
//
// A value travels as an assignment copies it, together with all that it refers to:
//
//   - Bools, integers, floats, complex numbers and strings, arrays, slices, maps, structs and
//     pointers to them. Nil and empty are told apart, except that a nil []byte which is the whole
//     value arrives as an empty one.
//   - All fields of a struct, exported or not, as they do in a queue of fixed-layout values or in a
//     channel.
//   - time.Time, without its monotonic clock reading, and with the offset of its time zone but not
//     its name.
//   - Types that have, on T or *T, the methods MarshalBinary and UnmarshalBinary, GobEncode and
//     GobDecode, or MarshalText and UnmarshalText. The first pair in this order is used.
//   - Interface values that hold nil, a basic type, time.Time, time.Duration, a slice of those,
//     []any, []map[string]any, a map with string keys and values of any, a string, a bool, an int,
//     an int64 or a float64, map[any]any, or a type that was given to Register.
//   - An error in a variable of type error or any, as its text. It wraps the errors of package
//     known that the original wrapped.
//
// Two pointers to one variable arrive as pointers to two. The order of a map's entries is not
// defined, so that two encodings of one map may differ.
//
// What can't travel is an error, not left out: Of refuses channels, functions, unsafe.Pointer, and
// types of packages such as sync, whose values mean something in one process only. Append fails
// with ErrEncode if an interface holds a type that is not registered, or if a value refers to
// itself.
//
// # Format
//
// The format is for peers on one machine that use the same version of mp. It is not for storage.
// Lengths and counts are varints as in package encoding/binary.
//
//	bool               1 byte, 0 or 1
//	int, uint, uintptr 8 bytes, in 32-bit processes too
//	other numbers      as they lie in memory
//	string             length, bytes
//	slice              0 if nil, else count + 1, elements
//	array              elements
//	map                0 if nil, else count + 1, key and value of each entry
//	struct             fields, without padding
//	pointer            0 if nil, else 1 and the variable
//	interface          tag of the type, value: see dynamic.go
//	marshaler          length, bytes of the method
//
// What has no size takes no bytes. A string or a []byte that is the whole value is its bytes alone.
// Numbers that lie beside each other in memory are copied as one block: a slice of structs of
// numbers without padding is one block.
//
// # Hostile bytes
//
// Decode accepts any bytes. It doesn't panic, and it allocates at most 128 bytes for each byte of
// its input, and what UnmarshalBinary and similar methods allocate. It reads each byte at most once
// before it acts upon it, so the bytes may lie in memory that another process changes meanwhile.
// These methods get a copy.
package codec
