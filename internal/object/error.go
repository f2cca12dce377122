package object

import (
	"errors"
	"fmt"
	"os"

	"github.com/seed-2e7ecdea/mp/shm"
)

// An Error is an operation on an object that failed. It reads as a sentence:
//
//	psync: Acquire of lock "accounts": its owner died holding it: repair what it guards in Recover
type Error struct {
	Op   string // the package and the method: "psync: Acquire"
	Kind shm.Kind
	Name string // of the object, "" if it has none
	Err  error
}

// Error returns the sentence.
func (e *Error) Error() string {
	object := e.Kind.String()
	if e.Name != "" {
		object = fmt.Sprintf("%v %q", e.Kind, e.Name)
	}
	why := e.Err.Error()
	if errors.Is(e.Err, os.ErrClosed) {
		why = "this process has closed it"
	}
	return fmt.Sprintf("%s of %s: %s", e.Op, object, why)
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }

// Fail returns the error of the method op on b's object: nil if err is nil, else an Error.
func (b *Base) Fail(op string, err error) error {
	if err == nil {
		return nil
	}
	return b.failure(op, err)
}

func (b *Base) failure(op string, err error) error { return Failed(b.o, op, err) }

// Failed is an Error of o. A method that fails often, since its callers try again and again, returns one
// that was made when the object was opened.
func Failed(o *Object, op string, err error) error {
	return &Error{Op: op, Kind: o.Kind(), Name: o.Name(), Err: err}
}

// Closed is the Error of a method that was called after Close.
func Closed(op string, kind shm.Kind) error { return &Error{Op: op, Kind: kind, Err: shm.ErrClosed} }
