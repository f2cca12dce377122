package proc

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"syscall"

	"github.com/seed-2e7ecdea/mp/internal/known"
)

// A RemoteError is an error that a task returned, as its parent sees it. It
// wraps, for errors.Is, the well-known errors that the original wrapped: those
// given to RegisterError, and a syscall.Errno.
type RemoteError struct {
	Process string   // name of the process
	Message string   // text of the error
	Chain   []string // type and text of the error and all that it wraps, outermost first

	known []error
}

func (e *RemoteError) Error() string { return "proc: " + e.Process + ": " + e.Message }

// Unwrap returns the well-known errors that the original wrapped.
func (e *RemoteError) Unwrap() []error { return e.known }

// wireError is an error on its way from the child.
type wireError struct {
	Message string
	Chain   []string
	Known   []string // keys of registered errors
	Errno   uint
}

func encodeError(err error) ([]byte, error) {
	w := wireError{Message: err.Error(), Chain: chain(nil, err), Known: known.Texts(err)}
	if errno := syscall.Errno(0); errors.As(err, &errno) {
		w.Errno = uint(errno)
	}
	var buf bytes.Buffer
	err = gob.NewEncoder(&buf).Encode(w)
	return buf.Bytes(), err
}

func decodeError(process string, data []byte) error {
	var w wireError
	if err := gob.NewDecoder(bytes.NewReader(data)).Decode(&w); err != nil {
		return fmt.Errorf("proc: %s: error of the task: %w", process, err)
	}
	e := &RemoteError{Process: process, Message: w.Message, Chain: w.Chain, known: known.Errors(w.Known)}
	if w.Errno != 0 {
		e.known = append(e.known, syscall.Errno(w.Errno))
	}
	return e
}

// chain appends to list the type and text of err and of all that it wraps.
func chain(list []string, err error) []string {
	if err == nil {
		return list
	}
	list = append(list, fmt.Sprintf("%T: %v", err, err))
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return chain(list, e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			list = chain(list, err)
		}
	}
	return list
}
