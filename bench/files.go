package bench

import (
	"errors"
	"io"
	"os"
	"syscall"

	"github.com/seed-2e7ecdea/mp/internal/sys"
	"github.com/seed-2e7ecdea/mp/shm"
)

// createOSPipe makes a pipe of the kernel from the standard output of the first process to
// the standard input of the second. For latency it makes one back, too.
func createOSPipe(_ *shm.Segment, s Scenario) (*link, error) {
	first, second := twoRoles(s)
	l := &link{in: map[role]*os.File{}, out: map[role]*os.File{}}
	for _, way := range [][2]role{{first, second}, {second, first}} {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, errors.Join(err, l.release())
		}
		l.out[way[0]], l.in[way[1]] = w, r
		l.ends = append(l.ends, r, w)
		if s.Measure == Throughput {
			break
		}
	}
	return l, nil
}

// createUnixSocket makes a pair of connected sockets. One is the standard output of the first process, the other
// the standard input of the second. For latency each is both.
func createUnixSocket(_ *shm.Segment, s Scenario) (*link, error) {
	a, b, err := sys.ControlPair()
	if err != nil {
		return nil, err
	}
	first, second := twoRoles(s)
	l := &link{
		in: map[role]*os.File{second: b}, out: map[role]*os.File{first: a},
		ends: []io.Closer{a, b},
	}
	if s.Measure == Latency {
		l.in[first], l.out[second] = a, b
	}
	return l, nil
}

// twoRoles returns the roles of the two processes that share a kernel's transport.
func twoRoles(s Scenario) (first, second role) {
	c := s.roles()
	return c[0], c[len(c)-1]
}

// A filesPort writes messages to standard output and reads them from standard
// input.
type filesPort struct {
	buf []byte // as large as a message
}

func openFiles(_ *shm.Segment, s Scenario, r role) (port, error) {
	// The parent made these files, and may have made them non-blocking.
	var err error
	if r != producer {
		err = syscall.SetNonblock(syscall.Stdin, false)
	}
	if r != consumer && err == nil {
		err = syscall.SetNonblock(syscall.Stdout, false)
	}
	return &filesPort{buf: make([]byte, s.Size)}, os.NewSyscallError("fcntl", err)
}

func (p *filesPort) send(w number, n uint64) error {
	for range n {
		stamp(p.buf, w)
		for at := 0; at < len(p.buf); {
			k, err := syscall.Write(syscall.Stdout, p.buf[at:])
			switch {
			case err == nil:
				at += k
			case err != syscall.EINTR:
				return os.NewSyscallError("write", err)
			}
		}
		w += next
	}
	return nil
}

func (p *filesPort) receive(t *tally, n uint64) (uint64, error) {
	for i := range n {
		for at := 0; at < len(p.buf); {
			k, err := syscall.Read(syscall.Stdin, p.buf[at:])
			switch {
			case err == syscall.EINTR:
			case err != nil:
				return i, os.NewSyscallError("read", err)
			case k == 0 && at == 0:
				return i, io.EOF
			case k == 0:
				return i, damaged(at, len(p.buf), 0)
			default:
				at += k
			}
		}
		w, intact := stamped(p.buf)
		if !intact {
			return i, damaged(len(p.buf), len(p.buf), w)
		}
		if !t.add(w) {
			if err := t.addMarked(w); err != nil {
				return i, err
			}
		}
	}
	return n, nil
}

// close does nothing: standard input and output are closed when the process ends.
func (p *filesPort) close() error { return nil }
