package sys

import (
	"cmp"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// MaxRights is how many descriptors WriteRights takes.
const MaxRights = maxRights

// Peer returns the process at the other end of a Unix socket and its effective user, both as they were when
// it connected or began to listen. pid is 0 if the process is not of this PID namespace.
func Peer(conn syscall.Conn) (pid, uid int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, 0, err
	}
	var cred *unix.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) {
		cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, 0, err
	}
	if failed != nil {
		return 0, 0, os.NewSyscallError("getsockopt(SO_PEERCRED)", failed)
	}
	return int(cred.Pid), int(cred.Uid), nil
}

// WriteRights writes b, which is not empty, with these files to a stream socket: to a Unix one if there are any.
// If there is no space it blocks, or fails with os.ErrDeadlineExceeded if wait is false. The files stay open here,
// and keep their blocking modes. WriteRights returns how many bytes were written: the files go with the
// first of them.
func WriteRights(conn syscall.Conn, b []byte, files []*os.File, wait bool) (n int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	err = withDescriptors(files, nil, func(fds []int) error {
		var oob []byte
		if len(fds) > 0 {
			oob = unix.UnixRights(fds...)
		}
		var failed error
		err := raw.Write(func(fd uintptr) bool {
			n, failed = ignoringEINTR(func() (int, error) {
				return unix.SendmsgN(int(fd), b, oob, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
			})
			return failed != unix.EAGAIN || !wait
		})
		if failed == unix.EAGAIN && !wait {
			failed = os.ErrDeadlineExceeded
		}
		return cmp.Or(err, os.NewSyscallError("sendmsg", failed))
	})
	return max(n, 0), err
}

// withDescriptors calls f with the descriptors of files appended to fds. None of them is closed before f returns.
func withDescriptors(files []*os.File, fds []int, f func(fds []int) error) error {
	if len(files) == 0 {
		return f(fds)
	}
	raw, err := files[0].SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if raw.Control(func(fd uintptr) { failed = withDescriptors(files[1:], append(fds, int(fd)), f) }) != nil {
		return fmt.Errorf("%s: %w", files[0].Name(), os.ErrClosed)
	}
	return failed
}

// A RightsReader reads bytes from a socket, and the files that have come with them. One goroutine at a time may use
// it.
type RightsReader struct {
	raw  syscall.RawConn
	oob  []byte
	once func(fd uintptr) bool // r.recvmsg

	// The read that is under way.
	b              []byte
	wait           bool
	n, oobn, flags int
	err            error
}

// NewRightsReader returns a RightsReader of conn.
func NewRightsReader(conn syscall.Conn) (*RightsReader, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	r := &RightsReader{raw: raw, oob: make([]byte, unix.CmsgSpace(4*maxRights))}
	r.once = r.recvmsg
	return r, nil
}

func (r *RightsReader) recvmsg(fd uintptr) bool {
	for {
		r.n, r.oobn, r.flags, _, r.err = unix.Recvmsg(int(fd), r.b, r.oob, unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT)
		if r.err != unix.EINTR {
			return r.err != unix.EAGAIN || !r.wait
		}
	}
}

// Read reads bytes into b, and the files that have come with them. The files have the close-on-exec mark. dropped
// reports that the kernel could not give this process all of them. If wait is false and there are no bytes,
// Read fails with os.ErrDeadlineExceeded. At the end of the bytes it returns 0.
func (r *RightsReader) Read(b []byte, wait bool) (n int, files []*os.File, dropped bool, err error) {
	r.b, r.wait = b, wait
	err = r.raw.Read(r.once)
	r.b = nil
	switch {
	case err != nil:
		return 0, nil, false, err
	case r.err == unix.EAGAIN:
		return 0, nil, false, os.ErrDeadlineExceeded
	case r.err != nil:
		return 0, nil, false, os.NewSyscallError("recvmsg", r.err)
	case r.oobn > 0:
		files, err = filesIn(r.oob[:r.oobn])
	}
	return r.n, files, r.flags&unix.MSG_CTRUNC != 0, err
}

// filesIn returns the files that have come with a message.
func filesIn(oob []byte) (files []*os.File, err error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	for _, m := range messages {
		fds, _ := unix.ParseUnixRights(&m) // messages of other types have none
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return files, os.NewSyscallError("recvmsg", err)
}

// SealedSize reports whether f is a memory file whose size can't be changed any more, so that its pages stay when
// it is mapped.
func SealedSize(f *os.File) bool {
	raw, err := f.SyscallConn()
	if err != nil {
		return false
	}
	got := 0
	if err := raw.Control(func(fd uintptr) { got, err = unix.FcntlInt(fd, unix.F_GET_SEALS, 0) }); err != nil {
		return false
	}
	return err == nil && got&seals == seals
}
