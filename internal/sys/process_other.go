//go:build !linux

package sys

import (
	"os"
	"syscall"
)

// ControlPair fails with errors.ErrUnsupported.
func ControlPair() (parent, child *os.File, err error) { return nil, nil, errUnsupported }

// ShutdownRead fails with errors.ErrUnsupported.
func ShutdownRead(*os.File) error { return errUnsupported }

// CrashFile fails with errors.ErrUnsupported.
func CrashFile() (*os.File, error) { return nil, errUnsupported }

// InheritedSocket fails with errors.ErrUnsupported.
func InheritedSocket(int) (*os.File, error) { return nil, errUnsupported }

// InheritedFile fails with errors.ErrUnsupported.
func InheritedFile(int) (*os.File, error) { return nil, errUnsupported }

// A Child is a process that can't be started here.
type Child struct{}

// StartChild fails with errors.ErrUnsupported.
func StartChild([]string, *os.ProcAttr) (*Child, error) { return nil, errUnsupported }

// PID returns 0.
func (*Child) PID() int { return 0 }

// Signal fails with errors.ErrUnsupported.
func (*Child) Signal(syscall.Signal) error { return errUnsupported }

// Wait fails with errors.ErrUnsupported.
func (*Child) Wait() (code int, err error) { return 0, errUnsupported }
