package sys

import (
	"os"

	"golang.org/x/sys/unix"
)

// ReadNow reads what is in the pipe f, which is in the netpoller, without waiting. It returns 0 at
// the end of file and if there is nothing.
func ReadNow(f *os.File, buf []byte) (n int, err error) {
	err = control(f, func(fd int) (err error) {
		n, err = ignoringEINTR(func() (int, error) { return unix.Read(fd, buf) })
		if err == unix.EAGAIN {
			n, err = 0, nil
		}
		return err
	})
	return max(n, 0), err
}

// SetStandardFiles makes files the standard files of this process, and closes them.
func SetStandardFiles(files [3]*os.File) error {
	for i, f := range files {
		if _, err := ignoringEINTR(func() (int, error) { return 0, unix.Dup3(int(f.Fd()), i, 0) }); err != nil {
			return os.NewSyscallError("dup3", err)
		}
		f.Close()
	}
	return nil
}
