package manager

import (
	"errors"
	"fmt"

	"github.com/seed-2e7ecdea/mp/internal/known"
	"github.com/seed-2e7ecdea/mp/shm"
)

var (
	// ErrClosed means that this process has closed the Manager or the proxy. It is os.ErrClosed.
	ErrClosed = shm.ErrClosed

	// ErrNotFound means that there is no such key, attribute or element.
	ErrNotFound = errors.New("not found")

	// ErrGone means that the object does not exist any more: its last user had closed it or died
	// before this process became one.
	ErrGone = errors.New("the object of the manager is gone: its last user has closed it or died")

	// ErrServerDied means that the manager's process has died or was shut down. Its objects are
	// lost.
	ErrServerDied = errors.New("the manager's process has ended: its objects are lost")

	// ErrUnknownFunction means that the program of the manager's process has not registered the
	// function, the method or the type.
	ErrUnknownFunction = errors.New("not registered: register it in a package-level variable of the manager's program")

	// ErrTooLong means that List.Repeat would make a list longer than Options.MaxRepeat. It wraps
	// shm.ErrSize.
	ErrTooLong = fmt.Errorf("the list would become too long: give a greater Options.MaxRepeat: %w", shm.ErrSize)

	// ErrProtocol means that a message between a client and the server has not the form that it
	// must have.
	ErrProtocol = errors.New("malformed message")
)

func init() {
	known.Register(ErrNotFound, ErrGone, ErrServerDied, ErrUnknownFunction, ErrTooLong, ErrProtocol)
}

// A RemoteError is the error or the panic of a registered function or method that ran in the
// manager's process. It wraps, for errors.Is, the errors that are known to both programs: those of
// package mp and those given to proc.RegisterError.
type RemoteError struct {
	Function string // its registered name
	Err      error  // what it returned, or a text that begins with "panic:"
}

func (e *RemoteError) Error() string {
	return fmt.Sprintf("manager: %s: %v", e.Function, e.Err)
}

// Unwrap returns Err.
func (e *RemoteError) Unwrap() error { return e.Err }

// failed returns err as the error of a method, as in "manager: Dict.Get: not found".
func failed(method string, err error) error {
	if err == nil {
		return nil
	}
	if remote := (*RemoteError)(nil); errors.As(err, &remote) {
		return err
	}
	return fmt.Errorf("manager: %s: %w", method, err)
}
