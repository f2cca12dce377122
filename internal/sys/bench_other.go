//go:build !linux

package sys

// Monotonic fails with errors.ErrUnsupported.
func Monotonic() (int64, error) { return 0, errUnsupported }

// CPUs fails with errors.ErrUnsupported.
func CPUs() ([]int, error) { return nil, errUnsupported }
