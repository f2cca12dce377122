//go:build linux

package sys

import (
	"fmt"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mqAttr is the kernel's struct mq_attr, whose fields are longs.
type mqAttr struct {
	flags, messages, size, current int
	_                              [4]int
}

// queues counts the calls of MessageQueue, for names that are not used twice.
var queues atomic.Uint32

// MessageQueue makes a POSIX message queue for a number of messages of at most size bytes. Its name is removed at once,
// so that the queue ends with the last descriptor. If this process is killed before that, the name stays.
func MessageQueue(messages, size int) (*os.File, error) {
	attr := mqAttr{messages: messages, size: size}
	var name *byte
	var fd uintptr
	for {
		var err error
		if name, err = unix.BytePtrFromString(fmt.Sprintf("mp-%d-%d", os.Getpid(), queues.Add(1))); err != nil {
			return nil, err
		}
		var errno unix.Errno
		fd, _, errno = unix.Syscall6(unix.SYS_MQ_OPEN, uintptr(unsafe.Pointer(name)),
			unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600, uintptr(unsafe.Pointer(&attr)), 0, 0)
		if errno == 0 {
			break
		}
		if errno != unix.EEXIST { // that is the queue of a process of the same number that was killed
			return nil, os.NewSyscallError("mq_open", errno)
		}
	}
	f := os.NewFile(fd, "message queue")
	if _, _, errno := unix.Syscall(unix.SYS_MQ_UNLINK, uintptr(unsafe.Pointer(name)), 0, 0); errno != 0 {
		f.Close()
		return nil, os.NewSyscallError("mq_unlink", errno)
	}
	return f, nil
}

// MessageQueueSend sends msg, which is not empty, to the message queue with descriptor fd. It blocks while that is full.
func MessageQueueSend(fd int, msg []byte) error {
	_, err := ignoringEINTR(func() (int, error) {
		return 0, errnoError(unix.Syscall6(unix.SYS_MQ_TIMEDSEND, uintptr(fd), uintptr(unsafe.Pointer(&msg[0])), uintptr(len(msg)), 0, 0, 0))
	})
	return os.NewSyscallError("mq_timedsend", err)
}

// MessageQueueReceive receives a message into buf, which is as long as the longest message, and returns the message's
// length. It blocks while there is none, for the time limit at most unless that is negative; then it
// returns an error that wraps os.ErrDeadlineExceeded.
func MessageQueueReceive(fd int, buf []byte, limit time.Duration) (int, error) {
	var until *unix.Timespec
	if limit >= 0 {
		t := unix.NsecToTimespec(time.Now().Add(limit).UnixNano())
		until = &t
	}
	n, err := ignoringEINTR(func() (int, error) {
		n, _, errno := unix.Syscall6(unix.SYS_MQ_TIMEDRECEIVE, uintptr(fd), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)),
			0, uintptr(unsafe.Pointer(until)), 0)
		return int(n), errnoError(0, 0, errno)
	})
	if err == unix.ETIMEDOUT {
		err = os.ErrDeadlineExceeded
	}
	return n, os.NewSyscallError("mq_timedreceive", err)
}

// errnoError returns the error of a system call's results, nil if there is none.
func errnoError(_, _ uintptr, errno unix.Errno) error {
	if errno != 0 {
		return errno
	}
	return nil
}
