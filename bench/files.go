package bench

import (
	"errors"
	"io"
	"os"
	"syscall"

	"github.com/seed-2e7ecdea/mp/internal/sys"
	"github.com/seed-2e7ecdea/mp/shm"
)

// layOSPipe makes a pipe of the kernel from the standard output of the first to
// the standard input of the second process, and one back.
func layOSPipe(_ *shm.Segment, s Scenario) (*medium, error) {
	first, second := ends(s)
	m := &medium{in: map[part]*os.File{}, out: map[part]*os.File{}}
	for _, way := range [][2]part{{first, second}, {second, first}} {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, errors.Join(err, m.release())
		}
		m.out[way[0]], m.in[way[1]] = w, r
		m.ends = append(m.ends, r, w)
		if s.Measure == Throughput {
			break
		}
	}
	return m, nil
}

// layUnixSocket makes a pair of sockets that are standard input and output of
// the two processes.
func layUnixSocket(_ *shm.Segment, s Scenario) (*medium, error) {
	a, b, err := sys.ControlPair()
	if err != nil {
		return nil, err
	}
	first, second := ends(s)
	m := &medium{
		in: map[part]*os.File{second: b}, out: map[part]*os.File{first: a},
		ends: []io.Closer{a, b},
	}
	if s.Measure == Latency {
		m.in[first], m.out[second] = a, b
	}
	return m, nil
}

// ends returns the parts of the two processes.
func ends(s Scenario) (first, second part) {
	c := s.cast()
	return c[0], c[len(c)-1]
}

// A filesPort writes messages to standard output and reads them from standard
// input.
type filesPort struct {
	buf []byte // of a message's size
}

func openFiles(_ *shm.Segment, s Scenario, p part) (port, error) {
	// Who made them may have made them non-blocking.
	var err error
	if p != producer {
		err = syscall.SetNonblock(syscall.Stdin, false)
	}
	if p != consumer && err == nil {
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
				return i, errDamaged(at, len(p.buf), 0)
			default:
				at += k
			}
		}
		w, whole := stamped(p.buf)
		if !whole {
			return i, errDamaged(len(p.buf), len(p.buf), w)
		}
		if !t.add(w) {
			if err := t.addOdd(w); err != nil {
				return i, err
			}
		}
	}
	return n, nil
}

// close does nothing: they are closed with the process.
func (p *filesPort) close() error { return nil }
