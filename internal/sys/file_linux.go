package sys

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

const (
	seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL
)

// Memfd makes an anonymous memory file of size bytes whose size can't be
// changed any more. Its memory is not reserved yet: see Reserve.
func Memfd(name string, size int64) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), "memfd:"+name)
	if err := f.Truncate(size); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return nil, errors.Join(os.NewSyscallError("fcntl(F_ADD_SEALS)", err), f.Close())
	}
	return f, nil
}

// TempFile makes a file without a name in dir, mode 0600, for LinkTemp.
func TempFile(dir string) (*os.File, error) {
	fd, err := ignoringEINTR(func() (int, error) {
		return unix.Open(dir, unix.O_RDWR|unix.O_TMPFILE|unix.O_CLOEXEC, 0o600)
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open(O_TMPFILE)", Path: dir, Err: err}
	}
	return os.NewFile(uintptr(fd), dir), nil
}

// LinkTemp gives f, made by TempFile, the name path. It fails with
// fs.ErrExist if the name is taken.
func LinkTemp(f *os.File, path string) error {
	err := control(f, func(fd int) error {
		return unix.Linkat(unix.AT_FDCWD, procFD(fd), unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
	})
	if err != nil {
		return withoutProc(&fs.PathError{Op: "linkat", Path: path, Err: err})
	}
	return nil
}

// OpenNoFollow opens path for reading and writing, unless it is a symbolic
// link or anything but a regular file.
func OpenNoFollow(path string) (*os.File, error) {
	fd, err := ignoringEINTR(func() (int, error) {
		return unix.Open(path, unix.O_RDWR|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return regular(fd, path)
}

// Reopen opens the file behind f again: the result has an open file
// description, and so record locks, of its own.
func Reopen(f *os.File) (again *os.File, err error) {
	err = control(f, func(fd int) (err error) {
		again, err = openProc(procFD(fd))
		return err
	})
	return again, err
}

// OpenOther opens descriptor fd of process pid again. It needs the right to
// look into that process, and /proc of its PID namespace.
func OpenOther(pid, fd int) (*os.File, error) {
	return openProc(fmt.Sprintf("/proc/%d/fd/%d", pid, fd))
}

func openProc(path string) (*os.File, error) {
	fd, err := ignoringEINTR(func() (int, error) {
		return unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	})
	if err != nil {
		return nil, withoutProc(&fs.PathError{Op: "open", Path: path, Err: err})
	}
	return regular(fd, path)
}

// withoutProc returns err, the failure of a system call with a path in /proc. If /proc is not mounted, it says so.
func withoutProc(err error) error {
	var st unix.Stat_t
	if unix.Stat("/proc/self", &st) == unix.ENOENT {
		return fmt.Errorf("%w: mp needs /proc, which is not mounted: mount -t proc proc /proc", err)
	}
	return err
}

// regular wraps fd if it is a regular file, as memory files are.
func regular(fd int, path string) (*os.File, error) {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = unix.EINVAL
	}
	if err != nil {
		closeFD(fd)
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

func procFD(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// Reserve allocates the memory of [off, off+n) of f, so that a later store there can't
// fail for lack of memory. If there is none it fails with ENOSPC: see IsNoSpace.
// It fails with os.ErrClosed if f is closed, also during the call.
func Reserve(f *os.File, off, n int64) error {
	return os.NewSyscallError("fallocate", control(f, func(fd int) error { return allocate(fd, 0, off, n) }))
}

func allocate(fd int, mode uint32, off, n int64) error {
	_, err := ignoringEINTR(func() (int, error) { return 0, unix.Fallocate(fd, mode, off, n) })
	return err
}

// Punch frees the memory of [off, off+n) of f. The range reads as zero, and must be
// reserved again before it is written.
func Punch(f *os.File, off, n int64) error {
	return os.NewSyscallError("fallocate(PUNCH_HOLE)", control(f, func(fd int) error {
		return allocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
	}))
}

// Links returns the number of names that f has.
func Links(f *os.File) (uint64, error) {
	var st unix.Stat_t
	if err := control(f, func(fd int) error { return unix.Fstat(fd, &st) }); err != nil {
		return 0, os.NewSyscallError("fstat", err)
	}
	return uint64(st.Nlink), nil
}

// LockByte acquires the record lock on byte at of f for f's open file description,
// shared or exclusive. If wait is true it blocks until the lock is free. It reports
// whether it has acquired the lock.
func LockByte(f *os.File, at int64, shared, wait bool) (bool, error) {
	lk := unix.Flock_t{Type: unix.F_WRLCK, Start: at, Len: 1}
	if shared {
		lk.Type = unix.F_RDLCK
	}
	cmd := unix.F_OFD_SETLK
	if wait {
		cmd = unix.F_OFD_SETLKW
	}
	err := lock(f, cmd, &lk)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EACCES):
		return false, nil
	}
	return false, os.NewSyscallError("fcntl(F_OFD_SETLK)", err)
}

// UnlockByte releases the lock that LockByte has acquired.
func UnlockByte(f *os.File, at int64) error {
	lk := unix.Flock_t{Type: unix.F_UNLCK, Start: at, Len: 1}
	return os.NewSyscallError("fcntl(F_OFD_SETLK)", lock(f, unix.F_OFD_SETLK, &lk))
}

func lock(f *os.File, cmd int, lk *unix.Flock_t) error {
	return control(f, func(fd int) error {
		_, err := ignoringEINTR(func() (int, error) { return 0, unix.FcntlFlock(uintptr(fd), cmd, lk) })
		return err
	})
}

// LockedByOther reports whether another open file description than f's holds
// an exclusive lock on one of the n bytes from at.
func LockedByOther(f *os.File, at, n int64) (bool, error) {
	lk := unix.Flock_t{Type: unix.F_RDLCK, Start: at, Len: n}
	if err := lock(f, unix.F_OFD_GETLK, &lk); err != nil {
		return false, os.NewSyscallError("fcntl(F_OFD_GETLK)", err)
	}
	return lk.Type != unix.F_UNLCK, nil
}

// IsTooLarge reports whether err says that there is no address space for a mapping, or
// that a file may not be so large.
func IsTooLarge(err error) bool { return errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.EFBIG) }

// IsNoSpace reports whether err says that memory or a file system is full.
func IsNoSpace(err error) bool { return errors.Is(err, unix.ENOSPC) }

func ignoringEINTR(f func() (int, error)) (int, error) {
	for {
		n, err := f()
		if err != unix.EINTR {
			return n, err
		}
	}
}
