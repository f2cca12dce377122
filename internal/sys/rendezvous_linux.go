package sys

import (
	"errors"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// rendezvousNames is how many names a Listener tries. Any process of the network
// namespace may bind them, so the first need not be free.
const rendezvousNames = 8

// A Listener is a socket at which the children of this process find it, by a name
// made of its process id and PID namespace: see ConnectToParent.
type Listener struct{ file *os.File }

// ListenForChildren makes the socket. It is in the network namespace of the
// calling thread; the children must be in the same.
func ListenForChildren() (*Listener, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	l := &Listener{os.NewFile(uintptr(fd), "children")}
	for n := range rendezvousNames {
		if err = unix.Bind(fd, rendezvous(os.Getpid(), n)); err != unix.EADDRINUSE {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(os.NewSyscallError("bind", err), l.file.Close())
	}
	if err := l.Refresh(); err != nil {
		return nil, errors.Join(err, l.file.Close())
	}
	return l, nil
}

// rendezvous returns the nth name at which the process pid may listen.
func rendezvous(pid, n int) *unix.SockaddrUnix {
	// Every program that calls Init comes here: package fmt would cost more than all the rest.
	name := []byte("@mp-proc-")
	for i, part := range []uint64{PIDNamespace(), uint64(pid), uint64(n)} {
		if i > 0 {
			name = append(name, '-')
		}
		name = strconv.AppendUint(name, part, 10)
	}
	return &unix.SockaddrUnix{Name: string(name)}
}

// Refresh makes the socket show the present credentials of this process to those
// that connect. Call it before each start of a child.
func (l *Listener) Refresh() error {
	return os.NewSyscallError("listen", control(l.file, func(fd int) error {
		return unix.Listen(fd, 1<<16-1) // the kernel takes its own maximum
	}))
}

// Accept waits until a process connects. It returns the connection and the
// process's id as it was at that time, 0 for a process that this PID namespace
// does not see.
func (l *Listener) Accept() (conn *os.File, pid int, err error) {
	raw, err := l.file.SyscallConn()
	if err != nil {
		return nil, 0, err
	}
	var fd int
	if rerr := raw.Read(func(listener uintptr) bool {
		fd, err = ignoringEINTR(func() (int, error) {
			fd, _, err := unix.Accept4(int(listener), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
			return fd, err
		})
		return err != unix.EAGAIN
	}); rerr != nil {
		return nil, 0, rerr
	}
	if err != nil {
		return nil, 0, os.NewSyscallError("accept", err)
	}
	peer, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		closeFD(fd)
		return nil, 0, os.NewSyscallError("getsockopt(SO_PEERCRED)", err)
	}
	return os.NewFile(uintptr(fd), "control"), int(peer.Pid), nil
}

// ConnectToParent connects to the Listener of this process's parent. It returns
// nil if the parent does not listen.
//
// A listener counts only if the kernel says that the parent made it: any process
// may bind a parent's name. A listener that accepts nobody for the moment is
// waited for only if patient is true, since it may be anyone's.
func ConnectToParent(patient bool) *os.File {
	parent := os.Getppid()
	if parent == 0 {
		return nil // in another PID namespace
	}
	for {
		conn, busy := connect(parent)
		if conn != nil || !busy || !patient || os.Getppid() != parent {
			return conn
		}
		time.Sleep(time.Millisecond)
	}
}

// connect tries each name of the process parent once. It reports whether one that did not accept may be the parent.
func connect(parent int) (conn *os.File, busy bool) {
	fd := -1
	defer func() {
		if fd >= 0 {
			closeFD(fd)
		}
	}()
	for n := range rendezvousNames {
		if fd < 0 {
			var err error
			if fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
				return nil, busy
			}
		}
		switch err := unix.Connect(fd, rendezvous(parent, n)); err {
		case nil:
			if isParent(fd, parent) {
				conn, fd = os.NewFile(uintptr(fd), "control"), -1
				return conn, false
			}
			closeFD(fd) // of a stranger
			fd = -1
		case unix.EAGAIN:
			busy = true
		case unix.ECONNREFUSED: // no process listens there
		default:
			return nil, busy
		}
	}
	return nil, busy
}

// isParent reports whether the process at the other end of a connection is the parent of this one.
func isParent(fd, parent int) bool {
	peer, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	return err == nil && int(peer.Pid) == parent && trusted(int(peer.Uid)) && os.Getppid() == parent
}

// trusted reports whether uid may be the user of this process's parent. The
// listener of a process that is gone can show the id of its successor.
func trusted(uid int) bool { return uid == os.Geteuid() || uid == os.Getuid() || uid == 0 }

// DeathSignal returns the signal that this process gets when the thread that
// started it ends, or 0. It must be called on the main thread, as the
// initialisation of a package is.
func DeathSignal() syscall.Signal {
	sig, err := deathSignal()
	if err != nil {
		return 0
	}
	return sig
}

// control calls do with the descriptor of f, which may be in the netpoller. It returns os.ErrClosed if f is closed.
func control(f *os.File, do func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if raw.Control(func(fd uintptr) { failed = do(int(fd)) }) != nil {
		return os.ErrClosed // there is no other reason, and the error does not say so to errors.Is
	}
	return failed
}
