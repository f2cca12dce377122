package sys

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// OpenPTY opens a pair of pseudoterminals. What is written to parent, a program reads from child
// as from a keyboard.
func OpenPTY() (parent, child *os.File, err error) {
	parent, err = os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	var name string
	err = control(parent, func(fd int) error {
		if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
			return err
		}
		n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
		name = "/dev/pts/" + strconv.Itoa(n)
		return err
	})
	if err == nil {
		child, err = os.OpenFile(name, os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		parent.Close()
		return nil, nil, err
	}
	return parent, child, nil
}
