package value

import (
	"github.com/seed-2e7ecdea/mp/shm"
)

// ErrClosed means that this process has closed the value or its segment. It
// is shm.ErrClosed. The methods that return no error panic with an error that
// wraps it.
var ErrClosed = shm.ErrClosed

// closed is what a method without an error panics with: its name.
type closed string

func (m closed) Error() string { return "value: " + string(m) + ": " + ErrClosed.Error() }
func (closed) Unwrap() error   { return ErrClosed }
