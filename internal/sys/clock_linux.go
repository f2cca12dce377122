package sys

import (
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Monotonic returns the time since some moment before, in nanoseconds. All
// processes have the same.
func Monotonic() (int64, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0, os.NewSyscallError("clock_gettime", err)
	}
	return ts.Nano(), nil
}

// A clock computes the kernel's monotonic time from Go's, which takes no system call.
type clock struct {
	begin time.Time
	at    int64 // the monotonic time at begin, or later by less than the time that its reading took
}

// readClock reads both clocks. It does so again if that took long, since the thread may have been
// taken off its CPU in between.
var readClock = sync.OnceValues(func() (c clock, err error) {
	for range 10 {
		c.begin = time.Now()
		if c.at, err = Monotonic(); err != nil || time.Since(c.begin) < 10*time.Microsecond {
			break
		}
	}
	return c, err
})

// Now is Monotonic without a system call. Within one process it is as steady as Go's clock; between processes it differs by
// the time of a system call.
func Now() (int64, error) { return deadline(0) }

// deadline returns the monotonic time after timeout.
func deadline(timeout time.Duration) (int64, error) {
	c, err := readClock()
	return c.at + int64(time.Since(c.begin)+timeout), err
}
