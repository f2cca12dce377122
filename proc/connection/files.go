package connection

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// SendFiles sends msg, which may be empty, and open files with it. The other end receives them with
// ReceiveFiles. They stay open here and may be closed when SendFiles has returned. Each side then has a descriptor
// of the same open file, with one position.
//
// SendFiles blocks and fails as Send does. It also fails with ErrTooManyFiles if there are more than MaxFiles,
// with os.ErrClosed if one of them is closed, with syscall.ETOOMANYREFS if more files of this user are on
// their way than it may have open (RLIMIT_NOFILE), and with errors.ErrUnsupported if c is not over a Unix socket.
func (c *Conn) SendFiles(ctx context.Context, msg []byte, files ...*os.File) error {
	if len(files) > MaxFiles {
		return c.failed("send", fmt.Errorf("%d files: %w", len(files), ErrTooManyFiles))
	}
	if len(files) > 0 && !c.socket.unix {
		return c.failed("send", fmt.Errorf("files go over Unix sockets only: %w", errors.ErrUnsupported))
	}
	return c.failed("send", c.send(ctx, kindMessage, msg, files))
}

// ReceiveFiles is like Receive, but also returns the files that came with the message, which may be none. They are
// closed in programs that this one executes, and the caller must close them here. It is safe to use them
// only as far as the other side is trusted: what it has sent may be any kind of file, and may change.
//
// If this process has no descriptors for all of them, ReceiveFiles fails with syscall.EMFILE and closes c.
func (c *Conn) ReceiveFiles(ctx context.Context) ([]byte, []*os.File, error) {
	msg, files, err := c.receive(ctx, kindMessage)
	return msg, files, c.failed("receive", err)
}
