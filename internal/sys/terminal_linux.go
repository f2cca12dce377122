package sys

import (
	"os"

	"golang.org/x/sys/unix"
)

// TerminalWidth returns how many columns the terminal has to which f is open: 0 if the terminal does not tell, as a serial
// line. ok is false if f is no terminal.
func TerminalWidth(f *os.File) (columns int, ok bool) {
	err := control(f, func(fd int) error {
		size, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
		if err == nil {
			columns = int(size.Col)
		}
		return err
	})
	return columns, err == nil
}

// SetTerminalWidth tells the programs of a terminal that it has so many columns.
func SetTerminalWidth(f *os.File, columns int) error {
	return control(f, func(fd int) error {
		return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: uint16(columns)})
	})
}
