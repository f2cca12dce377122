//go:build !linux

package sys

import (
	"os"
	"time"
)

// A Usage is what a process has used so far.
type Usage struct{ CPU, Switches int64 }

// Minus returns what was used since an earlier Usage of the same process.
func (u Usage) Minus(earlier Usage) Usage {
	return Usage{CPU: u.CPU - earlier.CPU, Switches: u.Switches - earlier.Switches}
}

// Monotonic fails with errors.ErrUnsupported.
func Monotonic() (int64, error) { return 0, errUnsupported }

// Now fails with errors.ErrUnsupported.
func Now() (int64, error) { return 0, errUnsupported }

// FileSystem returns errors.ErrUnsupported.
func FileSystem(string) (size, free uint64, err error) { return 0, 0, errUnsupported }

// CPUs fails with errors.ErrUnsupported.
func CPUs() ([]int, error) { return nil, errUnsupported }

// PacketPair fails with errors.ErrUnsupported.
func PacketPair() (a, b *os.File, err error) { return nil, nil, errUnsupported }

// UsageSoFar fails with errors.ErrUnsupported.
func UsageSoFar(bool) (Usage, error) { return Usage{}, errUnsupported }

// MessageQueue fails with errors.ErrUnsupported.
func MessageQueue(_, _ int) (*os.File, error) { return nil, errUnsupported }

// MessageQueueSend fails with errors.ErrUnsupported.
func MessageQueueSend(int, []byte) error { return errUnsupported }

// MessageQueueReceive fails with errors.ErrUnsupported.
func MessageQueueReceive(int, []byte, time.Duration) (int, error) { return 0, errUnsupported }
