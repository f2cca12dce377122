//go:build linux

package sys

import (
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	futexWait        = 0
	futexWake        = 1
	futexPrivateFlag = 128
	futex2Size32     = 2
	futex2Private    = 128
)

// MaxWaitv is the number of words that FutexWaitv takes.
const MaxWaitv = 128

// FutexWord is one word to wait on with FutexWaitv.
type FutexWord struct {
	Addr    *atomic.Uint32
	Val     uint32
	Private bool // the word is not shared with another process
}

// FutexWait sleeps while *addr is val, until a wake, a signal, or the timeout if it is
// positive. It returns false if a signal or the timeout has ended the sleep, so no wake has
// counted this sleeper. If it returns true, the caller must check its condition again: the word
// was not val, or a wake has ended the sleep, perhaps one that was meant for a former user of this memory.
// The caller keeps addr's memory alive and in place.
func FutexWait(addr *atomic.Uint32, val uint32, timeout time.Duration) (woken bool, err error) {
	var ts *unix.Timespec
	if timeout > 0 {
		t := unix.NsecToTimespec(int64(timeout))
		ts = &t
	}
	_, _, errno := unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(addr)), futexWait,
		uintptr(val), uintptr(unsafe.Pointer(ts)), 0, 0)
	return errno == 0 || errno == unix.EAGAIN, futexError("futex_wait", errno)
}

// FutexWake wakes up to n threads that sleep on addr, and returns their number. It
// never blocks.
func FutexWake(addr *atomic.Uint32, n int, private bool) (int, error) {
	op := uintptr(futexWake)
	if private {
		op |= futexPrivateFlag
	}
	woken, _, errno := unix.RawSyscall(unix.SYS_FUTEX, uintptr(unsafe.Pointer(addr)), op, uintptr(n))
	if errno != 0 {
		return 0, os.NewSyscallError("futex_wake", errno)
	}
	return int(woken), nil
}

// waitv is the kernel's struct futex_waitv.
type waitv struct {
	val   uint64
	addr  uint64
	flags uint32
	_     uint32
}

// timespec64 is the kernel's struct __kernel_timespec, on every architecture.
type timespec64 struct{ sec, nsec int64 }

// FutexWaitv sleeps while every word holds its value, until a wake on one of them, a
// signal, or the timeout if it is positive. It also returns nil for a spurious wakeup.
// The words must not be on a goroutine's stack, which can move.
func FutexWaitv(words []FutexWord, timeout time.Duration) error {
	var v [MaxWaitv]waitv
	for i, w := range words {
		v[i] = waitv{val: uint64(w.Val), addr: uint64(uintptr(unsafe.Pointer(w.Addr))), flags: futex2Size32}
		if w.Private {
			v[i].flags |= futex2Private
		}
	}
	return futexWaitv(v[:len(words)], timeout)
}

// FutexWaitFew is FutexWaitv for at most four words, with a smaller frame.
func FutexWaitFew(words []FutexWord, timeout time.Duration) error {
	var v [4]waitv
	for i, w := range words {
		v[i] = waitv{val: uint64(w.Val), addr: uint64(uintptr(unsafe.Pointer(w.Addr))), flags: futex2Size32}
		if w.Private {
			v[i].flags |= futex2Private
		}
	}
	return futexWaitv(v[:len(words)], timeout)
}

func futexWaitv(v []waitv, timeout time.Duration) error {
	var ts *timespec64
	if timeout > 0 {
		at, err := deadline(timeout)
		if err != nil {
			return err
		}
		ts = &timespec64{at / int64(time.Second), at % int64(time.Second)}
	}
	_, _, errno := unix.Syscall6(unix.SYS_FUTEX_WAITV, uintptr(unsafe.Pointer(&v[0])), uintptr(len(v)), 0,
		uintptr(unsafe.Pointer(ts)), unix.CLOCK_MONOTONIC, 0)
	return futexError("futex_waitv", errno)
}

// futexError returns nil for the three errors that mean that the caller must check its
// condition again.
func futexError(name string, errno unix.Errno) error {
	switch errno {
	case 0, unix.EAGAIN, unix.EINTR, unix.ETIMEDOUT:
		return nil
	}
	return os.NewSyscallError(name, errno)
}

// HasFutexWaitv reports whether the kernel and its seccomp filters let this process
// call futex_waitv. It asks the kernel once.
var HasFutexWaitv = sync.OnceValue(func() bool {
	_, _, errno := unix.RawSyscall6(unix.SYS_FUTEX_WAITV, 0, 0, 0, 0, 0, 0)
	return errno == unix.EINVAL // a list of no words; without the call: ENOSYS or EPERM
})
