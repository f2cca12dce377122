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

// Each message is one byte. It says whether messages with further descriptors follow.
const (
	moreRights    = 'm'
	lastRights    = 'l'
	refusedRights = 'r' // there are no descriptors
)

// ErrRefused is the error of ReceiveFiles if the other end has called Refuse.
var ErrRefused = errors.New("refused")

// Refuse tells the process at the other end of conn that it gets no files.
func Refuse(conn *os.File) error {
	_, err := conn.Write([]byte{refusedRights})
	return err
}

// SendFiles sends files over the stream socket conn, which is in the netpoller, in one message or several. They
// stay open here, and keep their blocking modes.
func SendFiles(conn *os.File, files ...*os.File) error {
	for {
		n := min(len(files), maxRights)
		kind := []byte{moreRights}
		if n == len(files) {
			kind[0] = lastRights
		}
		if _, err := WriteRights(conn, kind, files[:n], true); err != nil || n == len(files) {
			return err
		}
		files = files[n:]
	}
}

// sendRights sends one message with one descriptor over a socket that is not in the netpoller.
func sendRights(conn int, kind byte, rights int) error {
	_, err := ignoringEINTR(func() (int, error) {
		return 0, unix.Sendmsg(conn, []byte{kind}, unix.UnixRights(rights), nil, unix.MSG_NOSIGNAL)
	})
	return err
}

// ReceiveFiles receives the files of one SendFiles over the socket conn, which is in the netpoller. They have the
// close-on-exec mark. ReceiveFiles returns ErrRefused if the other end has called Refuse, and an error for which
// IsGone is true if the other end has been closed.
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
				closeFD(fd)
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
			return fds, os.NewSyscallError("recvmsg", unix.EMFILE) // the kernel has dropped some
		case kind[0] == lastRights:
			return fds, nil
		case kind[0] == refusedRights:
			return fds, ErrRefused
		case kind[0] != moreRights:
			return fds, fmt.Errorf("descriptors come with %q", kind)
		}
	}
}

// IsGone reports whether an operation on a socket failed because the other end has been closed.
func IsGone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET)
}
