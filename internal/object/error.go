package object

import (
	"errors"
	"fmt"

	"github.com/seed-2e7ecdea/mp/shm"
)

// An Error is a failed operation on an object. Its text is one sentence:
//
//	psync: Acquire of lock "accounts": its owner died holding it: repair what it guards in Recover
type Error struct {
	Op   string // the package and the method: "psync: Acquire"
	Kind shm.Kind
	Name string // the object's name, "" if it has none
	Err  error  // the reason
}

// closedText is the reason in the text of an error that wraps ErrClosed.
const closedText = "this process has closed it"

// Error returns the sentence.
func (e *Error) Error() string {
	why := e.Err.Error()
	if errors.Is(e.Err, shm.ErrClosed) {
		why = closedText
	}
	return fmt.Sprintf("%s of %s: %s", e.Op, named(e.Kind, e.Name), why)
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }

// named returns the kind and the name of an object, as in: lock "accounts".
func named(kind shm.Kind, name string) string {
	if name == "" {
		return kind.String()
	}
	return fmt.Sprintf("%v %q", kind, name)
}

// Fail returns the result of the method op of b's object: nil if err is nil, else an Error with the
// reason err.
func (b *Base) Fail(op string, err error) error {
	if err == nil {
		return nil
	}
	return b.failure(op, err)
}

func (b *Base) failure(op string, err error) error { return Failed(b.o, op, err) }

// Failed returns the Error of the method op of o with the reason err. It allocates: a method that
// callers poll makes its errors when the object is opened, and returns those.
func Failed(o Object, op string, err error) error {
	return &Error{Op: op, Kind: o.Kind(), Name: o.Name(), Err: err}
}

// Closed returns the Error of a method that was called after Close. It has no name, because the
// method finds no object any more.
func Closed(op string, kind shm.Kind) error { return &Error{Op: op, Kind: kind, Err: shm.ErrClosed} }

// A ClosedCall is the value with which a method that returns no error panics if the object or its
// segment has been closed. It wraps ErrClosed. Its string is the method and the kind of object, as
// in an Error: "value: Load of value". It is a string so that a method that panics with one is
// still inlined.
type ClosedCall string

// Error returns the sentence.
func (c ClosedCall) Error() string { return string(c) + ": " + closedText }

// Unwrap returns ErrClosed.
func (ClosedCall) Unwrap() error { return shm.ErrClosed }

// NewFailed returns the error of a New function that failed before it reached the segment. Its text
// is like that of package shm's errors: shm: new lock "accounts": why.
func NewFailed(kind shm.Kind, name string, err error) error {
	return made("new", named(kind, name), err)
}

// openFailed is NewFailed for the opening of an object.
func openFailed(kind shm.Kind, name string, err error) error {
	return made("open", named(kind, name), err)
}

func made(how, object string, err error) error { return fmt.Errorf("shm: %s %s: %w", how, object, err) }
