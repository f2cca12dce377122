package value

import (
	"fmt"

	"github.com/seed-2e7ecdea/mp/shm"
)

// ErrClosed means that this process has closed the value or its segment. It
// is shm.ErrClosed. The methods that return no error panic with an error that
// wraps it.
var ErrClosed = shm.ErrClosed

// errLoad is what Load panics with: made before, it costs Load nothing.
var errLoad = closedError("Load")

func closedError(method string) error { return fmt.Errorf("value: %s: %w", method, ErrClosed) }

func panicClosed(method string) { panic(closedError(method)) }
