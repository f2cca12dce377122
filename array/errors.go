package array

import (
	"errors"

	"github.com/seed-2e7ecdea/mp/internal/known"
	"github.com/seed-2e7ecdea/mp/shm"
)

var (
	// ErrClosed means that this process has closed the array or its segment.
	// It is shm.ErrClosed. The methods that return no error panic with an error
	// that wraps it.
	ErrClosed = shm.ErrClosed
	// ErrTooLong means that a byte string has no room for what was to be set.
	ErrTooLong = errors.New("too long for the byte string")
)

func init() { known.Register(ErrTooLong) }

// closed is what a method without an error panics with: its name.
type closed string

func (m closed) Error() string { return "array: " + string(m) + ": " + ErrClosed.Error() }
func (closed) Unwrap() error   { return ErrClosed }
