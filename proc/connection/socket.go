package connection

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// A socket is the kernel's part of a Conn. Its Read also receives the files that come with the bytes of a Unix
// socket.
//
// The kernel hands files out with the first of the bytes that they were sent with, and ends a read behind these
// bytes. So when a header has been read, its files are there, before those of later headers.
type socket struct {
	net.Conn
	raw  syscall.Conn // nil if reads can't be made by this package
	unix bool

	// The goroutine that receives owns these.
	reader  *sys.RightsReader // nil if none has been needed
	try     bool              // Read does not block
	files   []*os.File        // that no header has claimed
	dropped bool              // the kernel could not give all files to this process
}

func newSocket(c net.Conn) *socket {
	s := &socket{Conn: c}
	_, s.unix = c.(*net.UnixConn)
	s.raw, _ = c.(syscall.Conn)
	return s
}

// Read reads bytes. If try is set and there are none, it fails with os.ErrDeadlineExceeded. It fails with
// ErrProtocol if there are more files than a Conn sends before it sends bytes.
func (s *socket) Read(b []byte) (int, error) {
	if len(b) == 0 || !s.unix && !s.try {
		return s.Conn.Read(b)
	}
	if s.reader == nil {
		r, err := sys.NewRightsReader(s.raw)
		if err != nil {
			return 0, err
		}
		s.reader = r
	}
	n, files, dropped, err := s.reader.Read(b, !s.try)
	s.files = append(s.files, files...)
	s.dropped = s.dropped || dropped
	switch {
	case s.unix && errors.Is(err, syscall.ECONNRESET):
		// All bytes have been read. The other end was closed before it had read all that this one has sent.
		return 0, io.EOF
	case err != nil:
		return 0, err
	case len(s.files) > 2*MaxFiles: // those of two headers may be there, if the first is not complete
		return n, fmt.Errorf("%d files with few bytes: %w", len(s.files), ErrProtocol)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// writeFiles writes b and files. This is a Unix socket.
func (s *socket) writeFiles(b []byte, files []*os.File) (int, error) {
	return sys.WriteRights(s.raw, b, files, true)
}

// tryWrite writes what there is space for at once. It fails with os.ErrDeadlineExceeded if there is none.
func (s *socket) tryWrite(b []byte) (int, error) { return sys.WriteRights(s.raw, b, nil, false) }
