package array

import (
	"errors"
	"fmt"

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

// What the methods that are inlined panic with.
var errAt, errSet = closedError("At"), closedError("Set")

func closedError(method string) error { return fmt.Errorf("array: %s: %w", method, ErrClosed) }

func panicClosed(method string) { panic(closedError(method)) }
