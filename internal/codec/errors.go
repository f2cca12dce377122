package codec

import (
	"errors"
	"fmt"
)

var (
	// ErrEncode means that a value can't be encoded.
	ErrEncode = errors.New("value can't be encoded")
	// ErrDecode means that bytes are not an encoded value of the type.
	ErrDecode = errors.New("bytes are not an encoded value")
)

// Reasons that ErrDecode is returned for.
var (
	errShort     = errors.New("they end too early")
	errTrailing  = errors.New("bytes follow the value")
	errCount     = errors.New("a count or length is larger than the bytes that are left")
	errBool      = errors.New("a bool is neither 0 nor 1")
	errPointer   = errors.New("a pointer is neither 0 nor 1")
	errInt       = errors.New("an integer is too large for this process's int")
	errDuplicate = errors.New("a map holds a key twice")
	errHash      = errors.New("a map's key can't be compared")
	errTag       = errors.New("an interface holds an unknown type")
	errSatisfy   = errors.New("an interface holds a type that does not implement it")
	errDeep      = fmt.Errorf("the value is more than %d levels deep", maxDepth)
)

// maxDepth bounds how deep values of recursive types, and interfaces in interfaces, are nested.
const maxDepth = 10_000
