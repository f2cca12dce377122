package sys

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// closeFD closes a descriptor that the caller owns and no *os.File has. It panics if there is no such descriptor: it
// was closed before, and next time the second close may hit one that another goroutine has just opened.
func closeFD(fd int) {
	if unix.Close(fd) == unix.EBADF {
		panic(fmt.Sprintf("sys: descriptor %d was closed twice", fd))
	}
}
