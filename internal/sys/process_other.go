//go:build !linux

package sys

import (
	"os"
	"syscall"
)

// Listen fails with errors.ErrUnsupported.
func Listen(string) (*os.File, error) { return nil, errUnsupported }

// IsInUse returns false.
func IsInUse(error) bool { return false }

// Accept fails with errors.ErrUnsupported.
func Accept(*os.File) (*os.File, int, error) { return nil, 0, errUnsupported }

// Connect returns nil: no process is a child.
func Connect(string, int) *os.File { return nil }

// SendFiles fails with errors.ErrUnsupported.
func SendFiles(*os.File, ...*os.File) error { return errUnsupported }

// ReceiveFiles fails with errors.ErrUnsupported.
func ReceiveFiles(*os.File) ([]*os.File, error) { return nil, errUnsupported }

// IsRefusal returns false.
func IsRefusal(error) bool { return false }

// ControlPair fails with errors.ErrUnsupported.
func ControlPair() (parent, child *os.File, err error) { return nil, nil, errUnsupported }

// ShutdownRead fails with errors.ErrUnsupported.
func ShutdownRead(*os.File) error { return errUnsupported }

// CrashFile fails with errors.ErrUnsupported.
func CrashFile() (*os.File, error) { return nil, errUnsupported }

// OnMainThread returns false.
func OnMainThread() bool { return false }

// A Starter starts nothing here.
type Starter struct{}

// NewStarter returns a Starter.
func NewStarter(*os.File) *Starter { return nil }

// Private returns false.
func (*Starter) Private() bool { return false }

// Start fails with errors.ErrUnsupported.
func (*Starter) Start([]string, []string, string, [3]*os.File) (int, error) {
	return 0, errUnsupported
}

// A Child is a process that can't be started here.
type Child struct{}

// NewChild fails with errors.ErrUnsupported.
func NewChild(int) (*Child, error) { return nil, errUnsupported }

// PID returns 0.
func (*Child) PID() int { return 0 }

// Signal fails with errors.ErrUnsupported.
func (*Child) Signal(syscall.Signal) error { return errUnsupported }

// AwaitExit returns at once.
func (*Child) AwaitExit() {}

// Wait fails with errors.ErrUnsupported.
func (*Child) Wait() (code int, err error) { return 0, errUnsupported }
