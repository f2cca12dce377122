//go:build crashpoints

package crash

import (
	"os"
	"runtime"
	"syscall"
)

// stop stops this process until SIGCONT. The signal is for this very thread:
// sent to the process it may stop another first, and this one runs on for a while.
func stop() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return syscall.Tgkill(os.Getpid(), syscall.Gettid(), syscall.SIGSTOP)
}
