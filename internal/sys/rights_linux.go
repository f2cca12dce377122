package sys

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// maxRights is how many descriptors the kernel takes in one message (SCM_MAX_FD).
const maxRights = 253

// The byte that comes with descriptors says whether more follow.
const (
	moreRights = 'm'
	lastRights = 'l'
)

// SendFiles sends the files over the stream socket conn, which is in the netpoller.
func SendFiles(conn *os.File, files ...*os.File) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	for {
		n := min(len(files), maxRights)
		fds := make([]int, n)
		for i, f := range files[:n] {
			fds[i] = int(f.Fd())
		}
		files = files[n:]
		kind := []byte{moreRights}
		if len(files) == 0 {
			kind[0] = lastRights
		}
		var failed error
		if err := raw.Write(func(fd uintptr) bool {
			failed = unix.Sendmsg(int(fd), kind, unix.UnixRights(fds...), nil, unix.MSG_NOSIGNAL)
			return failed != unix.EAGAIN
		}); err != nil {
			return err
		}
		if failed != nil {
			return os.NewSyscallError("sendmsg", failed)
		}
		if len(files) == 0 {
			return nil
		}
	}
}

// ReceiveFiles receives what SendFiles sent over the socket conn, which is in the netpoller. No program that
// this process starts inherits them.
func ReceiveFiles(conn *os.File) ([]*os.File, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	fds, err := receiveRights(func(kind, oob []byte) (n, oobn, flags int, err error) {
		rerr := raw.Read(func(fd uintptr) bool {
			n, oobn, flags, _, err = unix.Recvmsg(int(fd), kind, oob, unix.MSG_CMSG_CLOEXEC)
			return err != unix.EAGAIN
		})
		return n, oobn, flags, cmp.Or(rerr, err)
	})
	var files []*os.File
	for _, fd := range fds {
		files = append(files, os.NewFile(uintptr(fd), "received"))
	}
	return files, err
}

// receiveRights receives the descriptors of one SendFiles by means of recv, which calls recvmsg.
func receiveRights(recv func(kind, oob []byte) (n, oobn, flags int, err error)) (fds []int, err error) {
	defer func() {
		if err != nil {
			for _, fd := range fds {
				unix.Close(fd)
			}
			fds = nil
		}
	}()
	for {
		kind, oob := make([]byte, 1), make([]byte, unix.CmsgSpace(4*maxRights))
		n, oobn, flags, err := recv(kind, oob)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fds, os.NewSyscallError("recvmsg", err)
		}
		messages, err := unix.ParseSocketControlMessage(oob[:oobn])
		if err != nil {
			return fds, os.NewSyscallError("recvmsg", err)
		}
		for _, m := range messages {
			some, err := unix.ParseUnixRights(&m)
			if err != nil {
				return fds, os.NewSyscallError("recvmsg", err)
			}
			fds = append(fds, some...)
		}
		switch {
		case n == 0:
			return fds, io.EOF
		case flags&unix.MSG_CTRUNC != 0:
			return fds, errors.New("descriptors were lost: this process may not open as many")
		case kind[0] == lastRights:
			return fds, nil
		case kind[0] != moreRights:
			return fds, fmt.Errorf("descriptors come with %q", kind)
		}
	}
}

// IsRefusal reports whether ReceiveFiles failed since the other end was closed without sending anything.
func IsRefusal(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET) }
