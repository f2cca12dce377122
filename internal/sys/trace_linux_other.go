//go:build linux && !amd64

package sys

import "errors"

// Caller returns errors.ErrUnsupported: where a function returns to is known on amd64 only.
func (t *Tracee) Caller() (uintptr, error) { return 0, errors.ErrUnsupported }

// ReadClock returns errors.ErrUnsupported.
func (t *Tracee) ReadClock(uintptr) error { return errors.ErrUnsupported }
